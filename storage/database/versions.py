"""Read the versions of what answers depend on from the log of changes.

``storage/migrations/0003_changes.sql`` defines the log, and what a version is worth;
``0007_compacted_changes.sql`` what stays of it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterable, Mapping
from typing import cast

from storage.database.database import Database
from storage.database.rows import Reader
from storage.database.shared import SharedRun
from storage.reads.dependencies import Dependency

_OF_DOMAINS = "SELECT domain, 0 AS shard, bit_xor(token) AS version FROM change GROUP BY domain"

_OF_SHARDS = """
SELECT domain, shard, bit_xor(token) AS version, NULL AS reference, NULL::integer AS execution
FROM (
    SELECT domain, shard, token FROM change WHERE shard >= 0
    UNION ALL
    SELECT domain, shard, token FROM compacted_change
) AS logged GROUP BY domain, shard
UNION ALL
SELECT NULL, id & 63, NULL, reference, NULL FROM process WHERE reference = ANY ($1)
UNION ALL
SELECT NULL, coalesce(root_id, id) & 63, NULL, NULL, id FROM execution WHERE id = ANY ($2)"""

_OF_TREES = """
SELECT watched.id, (
    SELECT bit_xor(hashint8extended(xmin::text::bigint, execution.id)) FROM execution
    WHERE execution.id = root OR root_id = root
) # coalesce((
    SELECT bit_xor(hashint8extended(step.xmin::text::bigint, -step.id)) FROM execution
    JOIN execution_step AS step ON execution_id = execution.id
    WHERE execution.id = root OR root_id = root
), 0) AS version
FROM (
    SELECT id, coalesce(root_id, id) AS root FROM execution WHERE id = ANY ($1)
) AS watched"""
"""Every write gives a row another ``xmin``, whoever wrote it. An execution and a step that have the
same ID and were written together would cancel each other out, but for the sign."""


async def read_versions(
    database: Reader, dependencies: Collection[Dependency]
) -> Mapping[Dependency, int]:
    """Return the version of each dependency, all of one moment, with one statement.

    If the version of a dependency is the same as at another moment, nothing that it stands for was
    different then. The version of a process or an execution that does not exist is 0, where it is
    not identified by its shard.

    Raises:
        StorageError: The statement failed.
    """
    if all(each == Dependency(each.domain) for each in dependencies):
        rows = await database.fetch(_OF_DOMAINS)
        of_domains: dict[int, int] = {row["domain"]: row["version"] for row in rows}
        return {each: of_domains.get(each.domain, 0) for each in dependencies}
    references = [each.reference for each in dependencies if each.reference is not None]
    executions = [each.in_tree for each in dependencies if each.in_tree is not None]
    shards: dict[tuple[int, int], int] = {}
    shard_of: dict[str | int, int] = {}
    for row in await database.fetch(_OF_SHARDS, references, executions):
        if row["reference"] is not None:
            shard_of[row["reference"]] = row["shard"]
        elif row["execution"] is not None:
            shard_of[row["execution"]] = row["shard"]
        else:
            shards[row["domain"], row["shard"]] = row["version"]

    def version(of: Dependency) -> int:
        row = of.in_tree if of.reference is None else of.reference
        if row is not None:
            shard = shard_of.get(row)
            return 0 if shard is None else shards.get((of.domain, shard), 0)
        if of.shard is not None:
            return shards.get((of.domain, of.shard), 0)
        return _xor(token for (domain, _), token in shards.items() if domain == of.domain)

    return {each: version(each) for each in dependencies}


async def read_tree_versions(
    database: Reader, dependencies: Collection[Dependency]
) -> Mapping[Dependency, int]:
    """Return the version of each of these dependencies on the tree of an execution.

    It is that of the tree alone, and not that of a shard, which is shared with other trees. So it
    takes longer to read, and is no part of the versions that answers have.

    Raises:
        StorageError: The statement failed.
    """
    ids = [each.in_tree for each in dependencies]
    rows = await database.fetch(_OF_TREES, ids)
    of_ids: dict[int, int] = {row["id"]: row["version"] for row in rows}
    return {each: of_ids.get(cast("int", each.in_tree), 0) for each in dependencies}


def version_of(dependencies: Iterable[Dependency], versions: Mapping[Dependency, int]) -> int:
    """Return the version of several dependencies, of which none contains another."""
    return _xor(versions[each] for each in dependencies)


def _xor(values: Iterable[int]) -> int:
    result = 0
    for value in values:
        result ^= value
    return result


_PATIENCE = 0.05
"""Seconds after which the next statement starts although the one before has not ended: it may be on
a dead connection."""

Versions = Mapping[Dependency, int]


class VersionReader:
    """Reads the current versions for many callers at a time.

    Those that ask while a statement runs share the next one. It starts after all of them have
    asked, so what it returns is never older than a question.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._wanted: set[Dependency] = set()
        self._next: SharedRun[Versions] | None = None
        self._running: SharedRun[Versions] | None = None

    async def current(self, dependencies: Iterable[Dependency]) -> Versions:
        """Return the versions of these dependencies and perhaps of others, all of one moment.

        Raises:
            StorageError: The statement failed.
        """
        if self._next is None or self._next.abandoned:
            self._next = SharedRun(self._run())
        self._wanted.update(dependencies)
        return await self._next.result()

    async def _run(self) -> Versions:
        if self._running is not None and not self._running.task.done():
            await asyncio.wait([self._running.task], timeout=_PATIENCE)
        wanted, self._wanted = self._wanted, set()
        self._running, self._next = self._next, None
        return await read_versions(self._database, wanted)
