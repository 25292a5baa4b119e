"""Compile a read plan to one SQL statement that returns JSON.

The statement returns one row with one column, the answer as UTF-8 bytes. A whole table (``rows``)
returns one row for each element of the list.

It is compiled a second time with the version of its dependencies as another column: both are of one
snapshot.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from hashlib import blake2b

from storage.reads import objects
from storage.reads.dependencies import (
    SHARDS,
    Dependencies,
    Dependency,
    Domain,
    OfNode,
    OfRows,
    dependencies,
)
from storage.reads.json_lists import json_list
from storage.reads.json_text import quoted
from storage.reads.model import TABLES
from storage.reads.plan import (
    Read,
    ReadJson,
    ReadNodes,
    ReadOne,
    ReadPage,
    Scalar,
    Scope,
    Slot,
    ValueFormat,
)
from storage.reads.rows import Compilation, Rows


@dataclass(frozen=True, slots=True)
class Statement:
    """One SQL statement and its parameters."""

    sql: str
    slots: tuple[Slot, ...]
    """The parameters, in order."""
    versioned_sql: str
    """The same with a second column, the version of its dependencies. A list has at least one row:
    that of an empty list has no value."""
    depends: Dependencies
    fingerprint: bytes
    """Identifies the SQL."""
    changed_sql: str = ""
    """Like ``versioned_sql`` with one more parameter: a version. The answer is NULL, and is not
    computed, if it still has this version. Empty for lists."""
    copy_sql: str = ""
    """The rows of a list as texts, which COPY sends as they are, and so need no conversion."""
    version_sql: str = ""
    """The version that belongs to ``copy_sql``."""

    def key(self, arguments: Sequence[object]) -> tuple[bytes, tuple[object, ...]]:
        """Return what identifies the answer among all others, whatever its version is."""
        return self.fingerprint, tuple(arguments)

    def dependencies(self, arguments: Sequence[object]) -> frozenset[Dependency]:
        """Return what the answer depends on.

        Args:
            arguments: The values of the parameters.
        """
        return self.depends.of(lambda slot: arguments[self.slots.index(slot)])


def compile_read(
    read: Read, scope: Scope, value_format: ValueFormat = ValueFormat.GRAPHQL
) -> Statement:
    """Compile ``read`` for viewers of this scope."""
    compilation = Compilation(scope, value_format)
    match read:
        case ReadPage(table, page):
            sql = objects.connection(compilation, page, Rows(TABLES[table])).object()
        case ReadOne(table, fields, condition):
            sql = objects.one(compilation, fields, TABLES[table], condition)
        case ReadNodes():
            sql = objects.nodes(compilation, read)
        case ReadJson():
            sql = json_list(compilation, read)
    return _statement(sql, compilation, dependencies(read, scope))


def compile_with_version(
    read: ReadOne, scope: Scope, value_format: ValueFormat = ValueFormat.GRAPHQL
) -> Statement:
    """Compile the read of a process to a statement that returns its version before its JSON."""
    compilation = Compilation(scope, value_format)
    table = TABLES[read.table]
    sql = objects.one(compilation, read.fields, table, read.condition, before=("version",))
    with_version = ReadOne(read.table, (*read.fields, Scalar("", "version")), read.condition)
    return _statement(sql, compilation, dependencies(with_version, scope))


def _statement(sql: str, compilation: Compilation, depends: Dependencies) -> Statement:
    version = _version(depends, compilation)
    # As bytes: asyncpg would decode a text, only for it to be encoded again.
    answer = f"convert_to({sql}, 'UTF8')"
    return Statement(
        f"SELECT {answer}",
        tuple(compilation.slots),
        f"SELECT {answer}, {version}",
        depends,
        _fingerprint(sql),
        # OFFSET keeps PostgreSQL from computing the version once for each place that names it.
        f"SELECT CASE WHEN log.version <> ${len(compilation.slots) + 1}::bigint THEN {answer} END,"
        f" log.version FROM (SELECT {version} AS version OFFSET 0) AS log",
    )


def compile_rows(
    read: ReadPage, scope: Scope, value_format: ValueFormat = ValueFormat.GRAPHQL
) -> Statement:
    """Compile a page that selects only its nodes to a statement with a row for each node.

    Whole tables are read this way: aggregating megabytes costs PostgreSQL more than sending rows.
    """
    compilation = Compilation(scope, value_format)
    rows = objects.connection(compilation, read.page, Rows(TABLES[read.table])).node_rows()
    depends = dependencies(read, scope)
    version = _version(depends, compilation)
    alias = compilation.alias()
    return Statement(
        f"SELECT convert_to({alias}.o, 'UTF8') FROM ({rows}) AS {alias}",
        tuple(compilation.slots),
        f"SELECT convert_to({alias}.o, 'UTF8'), log.version FROM (SELECT {version} AS version)"
        f" AS log LEFT JOIN ({rows}) AS {alias} ON true",
        depends,
        _fingerprint(rows),
        copy_sql=rows,
        version_sql=f"SELECT {version}",
    )


def _fingerprint(sql: str) -> bytes:
    return blake2b(sql.encode(), digest_size=16).digest()


def _version(depends: Dependencies, compilation: Compilation) -> str:
    """Compile the version of dependencies (``storage.database.versions``)."""
    if isinstance(depends, OfNode):
        type_name = f"({compilation.parameter_of(depends.type_names)})[1]"
        branches = "".join(
            f" WHEN {quoted(name)} THEN {_version_of_rows(rows, compilation, '[1]')}"
            for name, rows in depends.by_type.items()
        )
        return f"CASE {type_name}{branches} ELSE 0 END"
    return _version_of_rows(depends, compilation)


def _one_of(domains: Collection[Domain]) -> str:
    """Return SQL that tells whether a row of the log is about one of these domains."""
    if max(domains) == len(domains):
        # All from the first one on, as most reads need them: one comparison takes PostgreSQL 4 µs
        # less for the whole log than a list of four.
        return f"domain <= {len(domains)}"
    # A list takes less time than a comparison with each domain.
    return f"domain IN ({', '.join(f'{domain:d}' for domain in sorted(domains))})"


def _version_of_rows(depends: OfRows, compilation: Compilation, item: str = "") -> str:
    """Compile the version of what rows depend on.

    Args:
        item: The subscript of the value that identifies a row; empty if the value is no list.
    """
    whole = _one_of(depends.domains) if depends.domains else "false"
    if depends.row is None:
        return f"(SELECT coalesce(bit_xor(token), 0) FROM change WHERE {whole})"
    domain, column, slot = depends.row
    key = f"({compilation.parameter_of(slot)}){item}"
    if column == "reference":
        key = f"(SELECT id FROM process WHERE reference = {key})"
    elif domain is Domain.EXECUTION:
        key = f"(SELECT coalesce(root_id, id) FROM execution WHERE id = {key})"
    of_shard = f"domain = {domain:d} AND shard = looked_up.number"
    return (
        "(SELECT coalesce(bit_xor(token), 0)"
        f" FROM (SELECT {key} & {SHARDS - 1} AS number) AS looked_up, LATERAL ("
        f"SELECT token FROM change WHERE {whole} OR {of_shard}"
        f" UNION ALL SELECT token FROM compacted_change WHERE {of_shard}) AS log)"
    )
