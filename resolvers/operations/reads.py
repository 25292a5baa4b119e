"""Read the answers of statements, or take those that were kept and have not changed.

A kept answer is only used after the database has said, since the request came, that the version of
what it depends on is the same. Requests that ask for this at the same time share the statement, and
those that read the same anew share that one, as long as it has not started.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from hashlib import blake2b
from importlib.metadata import version as version_of_package
from typing import NamedTuple, cast

from resolvers.operations.compile import CompiledRead
from resolvers.operations.kept import Kept, KeptAnswers, Key, size_of
from storage.database.database import Database
from storage.database.errors import StorageError
from storage.database.shared import SharedRun
from storage.database.stream import JsonStream, Parts
from storage.database.versions import VersionReader, version_of
from storage.reads.dependencies import Dependency
from storage.reads.statement import Statement

logger = logging.getLogger(__name__)

_RELEASE = version_of_package("process-gateway").encode()
"""Part of every tag: another release may write other bytes around the same answer."""
_OFTEN = 2
"""Changes in a row after which an answer is asked for and validated by one statement."""


class ReadAnswer(NamedTuple):
    """The answer of a statement."""

    parts: Parts | None
    """The JSON; None if there is no row."""
    version: int
    """The version of what it depends on, of the same snapshot."""
    tag: str
    """Identifies the answer among all versions of it and all others."""
    kept: Kept | None = None
    """Where it is kept."""


@dataclass(eq=False)
class Asked:
    """A statement that is asked for, and what is known about its answer."""

    statement: Statement
    arguments: Sequence[object]
    key: Key
    kept: Kept | None
    server_changes: int
    """``Database.server_changes`` at the request."""
    version: int | None = None
    """The version of its dependencies since the request, once they were validated."""
    audited: bool = False
    """Whether the database is to answer it although it is kept."""

    @cached_property
    def dependencies(self) -> frozenset[Dependency]:
        """What the answer depends on."""
        return self.statement.dependencies(self.arguments)

    @property
    def current_tag(self) -> str:
        """The tag of the answer of now, once it was validated."""
        assert self.version is not None
        return self.tag(self.version)

    def tag(self, version: int) -> str:
        """Return the tag of the answer with this version."""
        if self.kept is not None and self.kept.version == version:
            return self.kept.tag
        fingerprint, arguments = self.key
        text = b"%b%b%r%b" % (fingerprint, _RELEASE, arguments, version.to_bytes(8, signed=True))
        return blake2b(text, digest_size=12, salt=b"tag of an answer").hexdigest()


class Reads:
    """Reads the answers of statements from one database.

    Args:
        max_bytes: The memory for answers that are kept, 0 to keep none.
        audit_one_in: One in this many answers that were kept is read from the database as well, and
            compared; 0 for none.
    """

    def __init__(self, database: Database, *, max_bytes: int, audit_one_in: int) -> None:
        self.kept = KeptAnswers(max_bytes)
        self.database = database
        self._audit_one_in = audit_one_in
        self._versions = VersionReader(database)
        self._waiting: dict[Key, SharedRun[ReadAnswer]] = {}
        self._running: dict[Key, SharedRun[ReadAnswer]] = {}
        self._server_changes = 0
        self._repairing: asyncio.Task[None] | None = None
        self.hits = 0
        """Answers that were kept and had not changed, including those that the client had."""
        self.misses = 0
        """Answers that were read."""
        self.audits = 0
        """Answers that were kept, and were read as well."""
        self.mismatches = 0
        """Audits whose answers differed although their versions did not."""

    def ask(self, read: CompiledRead, arguments: Sequence[object]) -> Asked:
        """Look up what is known about the answer of a statement."""
        statement = read.statement
        key = statement.key(arguments)
        server_changes = self.database.server_changes
        if self._server_changes != server_changes:
            self._server_changes = server_changes
            self.kept.clear()
        return Asked(statement, arguments, key, self.kept.get(key), server_changes)

    async def validate(self, asked: Sequence[Asked]) -> None:
        """Get the versions of what these depend on, all of one moment.

        Raises:
            StorageError: The database failed.
        """
        versions = await self._versions.current(
            dependency for each in asked for dependency in each.dependencies
        )
        for each in asked:
            each.version = version_of(each.dependencies, versions)

    def spared(self, asked: Sequence[Asked]) -> bool:
        """Count answers as hits that need not be read, because the client has them.

        Returns:
            False if they are to be read nevertheless, to audit what is kept.
        """
        if all(each.kept is not None for each in asked) and self._audit_is_due():
            for each in asked:
                each.audited = True
            return False
        self.hits += len(asked)
        return True

    async def answer(self, asked: Asked) -> ReadAnswer:
        """Return the answer of a statement that returns one value.

        Raises:
            StorageError: The database failed.
        """
        kept = asked.kept
        if kept is None and not self.kept.asked_again(asked.key):
            self.misses += 1
            return await self._read(asked)
        often = kept is not None and kept.changes >= _OFTEN and asked.version is None
        if kept is None or often or not await self._holds(asked, kept):
            answer = await self._started(asked) or await self._shared(asked)
            if kept is None or answer.kept is not kept:
                self.misses += 1
                return answer
        kept.changes = 0
        if not asked.audited and not self._audit_is_due():
            self.hits += 1
            return _answer_of(kept)
        answer = await self._read(asked)
        self._audit(kept, answer)
        return answer

    async def answer_list(self, asked: Asked) -> ReadAnswer:
        """Return the answer of a statement that returns a row for each element of a list.

        Raises:
            StorageError: The database failed.
        """
        kept = asked.kept
        if kept is not None and not await self._holds(asked, kept):
            kept = None
        audited = kept is not None and (asked.audited or self._audit_is_due())
        if kept is not None and not audited:
            self.hits += 1
            return _answer_of(kept)
        self.misses += kept is None
        keeps = asked.kept is not None or self.kept.asked_again(asked.key)
        statement = asked.statement
        values, version = await self.database.fetch_list(
            statement.versioned_sql, asked.arguments, statement.copy_sql, statement.version_sql
        )
        answer = ReadAnswer((values,), version, asked.tag(version))
        if not isinstance(values, JsonStream):
            if kept is not None:
                self._audit(kept, answer)
            elif keeps:
                answer = answer._replace(kept=self._keep(asked, answer))
        elif kept is not None:
            values.keep = lambda chunks: self._audit(kept, answer._replace(parts=chunks))
        elif keeps:
            values.keep = lambda chunks: self._keep(asked, answer._replace(parts=chunks))
        return answer

    async def _holds(self, asked: Asked, kept: Kept) -> bool:
        """Whether the kept answer is that of now."""
        if asked.version is None:
            await self.validate([asked])
        return kept.version == asked.version and kept.server == self.database.server_changes

    # Reading -------------------------------------------------------------------------------------

    async def _read(self, asked: Asked) -> ReadAnswer:
        value, version = await self.database.fetch_versioned(
            asked.statement.versioned_sql, asked.arguments
        )
        return self._answer(asked, value, version)

    @staticmethod
    def _answer(asked: Asked, value: bytes | None, version: int) -> ReadAnswer:
        return ReadAnswer(None if value is None else (value,), version, asked.tag(version))

    async def _started(self, asked: Asked) -> ReadAnswer | None:
        """Return the answer of a run that started before this request, if it is that of now."""
        run = self._running.get(asked.key)
        if run is None or run.abandoned or asked.version is None:
            return None
        try:
            answer = await run.result()
        except StorageError:
            return None
        return answer if answer.version == asked.version else None

    async def _shared(self, asked: Asked) -> ReadAnswer:
        """Return the answer of a run that has not started."""
        run = self._waiting.get(asked.key)
        if run is None or run.abandoned:
            run = self._waiting[asked.key] = SharedRun(self._read_and_keep(asked))
            run.task.add_done_callback(partial(self._ended, asked.key, run))
        return await run.result()

    async def _read_and_keep(self, asked: Asked) -> ReadAnswer:
        """Read an answer for all requests that have waited for it, unless the kept one holds."""
        self._running[asked.key] = self._waiting.pop(asked.key)
        kept = asked.kept
        if kept is not None and asked.version is None:
            value, version = await self.database.fetch_versioned(
                asked.statement.changed_sql, [*asked.arguments, kept.version]
            )
            if version != kept.version:
                answer = self._answer(asked, value, version)
                return answer._replace(kept=self._keep(asked, answer))
            if kept.server == self.database.server_changes:
                return _answer_of(kept)
        answer = await self._read(asked)
        return answer._replace(kept=self._keep(asked, answer))

    def _ended(self, key: Key, run: SharedRun[ReadAnswer], _: object) -> None:
        for runs in (self._waiting, self._running):
            if runs.get(key) is run:
                del runs[key]

    def _keep(self, asked: Asked, answer: ReadAnswer) -> Kept:
        parts = cast("tuple[bytes, ...] | None", answer.parts)
        size = size_of(parts, asked.key)
        changes = 0 if asked.kept is None else asked.kept.changes + 1
        kept = Kept(
            asked.key, parts, answer.version, answer.tag, asked.server_changes, size, changes
        )
        self.kept.add(kept)
        return kept

    # Audits --------------------------------------------------------------------------------------

    def _audit_is_due(self) -> bool:
        one_in = self._audit_one_in
        return one_in > 0 and (self.hits + self.audits + 1) % one_in == 0

    def _audit(self, kept: Kept, answer: ReadAnswer) -> None:
        """Compare an answer that was kept with the same one from the database."""
        self.audits += 1
        if answer.version != kept.version:  # it has changed meanwhile
            self.kept.drop(kept.key)
            return
        parts = cast("tuple[bytes, ...] | None", answer.parts)
        if _joined(parts) == _joined(kept.parts):
            return
        self.mismatches += 1
        self.kept.clear()
        logger.error(
            "an answer that was kept differs from the database: data were changed while triggers"
            " were switched off; everything counts as changed now"
        )
        self._repairing = asyncio.create_task(self._repair())

    async def _repair(self) -> None:
        """Give everything another version, for other gateways and the tags that clients have."""
        try:
            await self.database.change_all_versions()
        except StorageError as error:  # a standby, for example; the primary will be audited as well
            logger.warning("the versions cannot be changed: %s", error)


def _answer_of(kept: Kept) -> ReadAnswer:
    return ReadAnswer(kept.parts, kept.version, kept.tag, kept)


def _joined(parts: tuple[bytes, ...] | None) -> bytes | None:
    return None if parts is None else b"".join(parts)
