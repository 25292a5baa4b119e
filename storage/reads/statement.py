"""Compile a read plan to one SQL statement that returns JSON.

The statement returns one row with one column, the answer as UTF-8 bytes. A whole table (``rows``)
returns one row for each element of the list.
"""

from __future__ import annotations

from dataclasses import dataclass

from storage.reads import objects
from storage.reads.model import TABLES
from storage.reads.plan import (
    Read,
    ReadNodes,
    ReadOne,
    ReadPage,
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
    copy_sql: str = ""
    """The rows of a list as texts instead of bytes, which COPY sends as they are."""


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
    # As bytes: asyncpg would decode a text, only for it to be encoded again.
    return Statement(f"SELECT convert_to({sql}, 'UTF8')", tuple(compilation.slots))


def compile_versioned(
    read: ReadOne, scope: Scope, value_format: ValueFormat = ValueFormat.GRAPHQL
) -> Statement:
    """Compile the read of a process to a statement that returns its version before its JSON."""
    compilation = Compilation(scope, value_format)
    sql = objects.one(
        compilation, read.fields, TABLES[read.table], read.condition, before=("version",)
    )
    return Statement(f"SELECT convert_to({sql}, 'UTF8')", tuple(compilation.slots))


def compile_rows(
    read: ReadPage, scope: Scope, value_format: ValueFormat = ValueFormat.GRAPHQL
) -> Statement:
    """Compile a page that selects only its nodes to a statement with a row for each node.

    Whole tables are read this way: aggregating megabytes costs PostgreSQL more than sending rows.
    """
    compilation = Compilation(scope, value_format)
    rows = objects.connection(compilation, read.page, Rows(TABLES[read.table])).node_rows()
    sql = f"SELECT convert_to(o, 'UTF8') FROM ({rows}) AS {compilation.alias()}"
    return Statement(sql, tuple(compilation.slots), copy_sql=rows)
