"""Define how tables are described: their columns, relations and embedded lists.

The descriptions are data. In their SQL fragments, ``{t}`` stands for the alias of the row itself,
``{s}`` for the alias of the row that a relation starts from, ``{link}`` for the alias of a table
between the two, and ``{profile}`` for the viewer's profile.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum

from storage.reads.json_text import Pieces, Sql, or_null
from storage.reads.plan import OrderKey, ValueFormat


class ColumnKind(Enum):
    """The kind of a column's values. It determines how they are written and compared."""

    INTEGER = "integer"
    BIG_INTEGER = "big integer"
    """A 64-bit integer."""
    NUMBER = "number"
    """A double precision number."""
    TEXT = "text"
    TEXTS = "texts"
    """An array of text."""
    PLAIN = "plain"
    """Text that needs no escaping in JSON."""
    BOOLEAN = "boolean"
    WORD = "word"
    """A lowercase word. In GraphQL it is an enum value."""
    WORDS = "words"
    """An array of words such as ``process:read``."""
    STATE = "state"
    """A boolean that means enabled or disabled."""
    TIME = "time"
    JSON = "json"


SQL_TYPES: Mapping[ColumnKind, str] = {
    ColumnKind.INTEGER: "integer",
    ColumnKind.TEXT: "text",
    ColumnKind.BOOLEAN: "boolean",
    ColumnKind.WORD: "text",
    ColumnKind.STATE: "boolean",
    ColumnKind.TIME: "timestamptz",
}
"""The PostgreSQL type of values that a column of each kind is compared with."""


def json_string(expression: str) -> Sql:
    """Return SQL that converts a text, which must not be null, to a JSON string."""
    return Sql(f"json_text({expression})")


def _utc(time: str) -> str:
    """Return SQL that writes a time as in RFC 3339, in UTC, independent of the session."""
    pattern = '\'YYYY-MM-DD"T"HH24:MI:SS.US"Z"\''
    return f"to_char({time} AT TIME ZONE 'UTC', {pattern})"


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table, or a value computed from its row."""

    sql: str
    """In a column that is neither compared nor ordered by, ``{profile}`` is the profile of a viewer
    who sees only what it is authorized on, and null for all others."""
    kind: ColumnKind = ColumnKind.TEXT
    nullable: bool = False
    indexed: bool = False
    """Whether an index has all rows of the table in the order of the column."""
    visible: str | None = None
    """Like ``Table.visible``, for this value only: it is null if the condition is false."""
    compared_within: str | None = None
    """For a value from another table: the condition that applies a comparison inside that table,
    so that its index can be used. ``{comparison}`` is the comparison of its column ``name``."""
    in_tree: bool = False
    """Whether all that it reads of executions belongs to the same root as the row."""
    legacy: str | None = None
    """SQL for the value in the legacy dialects, if it is another one."""

    def ordered(self, alias: str) -> str:
        """Return SQL for the value that the row with this alias is ordered by."""
        return self.bound(self.sql.format(t=alias))

    def bound(self, expression: str) -> str:
        """Return SQL for a value that rows in the order of the column are compared with.

        A time that is null comes after all others, because null is not comparable in SQL.
        """
        return f"coalesce({expression}, 'infinity')" if self.nullable else expression

    def in_cursor(self, alias: str) -> str:
        """Return SQL for the value in a cursor: exact, and independent of the session."""
        value = self.sql.format(t=alias)
        return _utc(value) if self.kind is ColumnKind.TIME else value

    def render(self, alias: str, value_format: ValueFormat, profile: str) -> Pieces:
        """Return SQL for the value as JSON text, for the row with this alias.

        Args:
            profile: SQL for the profile that ``{profile}`` stands for.
        """
        graphql = value_format is ValueFormat.GRAPHQL
        sql = self.sql if graphql or self.legacy is None else self.legacy
        value = sql.format(t=alias, profile=profile)
        match self.kind:
            case ColumnKind.INTEGER | ColumnKind.BIG_INTEGER:
                return (Sql(value),)
            case ColumnKind.TEXT:
                if self.nullable:
                    return or_null(f"json_text({value})::text")
                return (json_string(value),)
            case ColumnKind.WORD:
                word = f"upper({value})" if graphql else value
                return (
                    or_null(f"""'"' || {word} || '"'""") if self.nullable else ('"', Sql(word), '"')
                )
            case ColumnKind.WORDS if graphql:
                return (Sql(f"to_json(upper(replace({value}::text, ':', '_'))::text[])"),)
            case ColumnKind.STATE if graphql:
                return '"', Sql(f"CASE WHEN {value} THEN 'ENABLED' ELSE 'DISABLED' END"), '"'
            case ColumnKind.NUMBER:
                return or_null(f"({value})::text") if self.nullable else (Sql(f"({value})::text"),)
            case ColumnKind.BOOLEAN if graphql:
                return or_null(f"({value})::text") if self.nullable else (Sql(f"({value})::text"),)
            case ColumnKind.STATE | ColumnKind.BOOLEAN:
                return (Sql(f"({value})::integer"),)
            case ColumnKind.TIME:
                utc = _utc(value)
                return (
                    or_null(f"""'"' || {utc} || '"'""") if self.nullable else ('"', Sql(utc), '"')
                )
            case ColumnKind.JSON if self.nullable:
                return or_null(f"{value}::text")
            case ColumnKind.PLAIN:
                return '"', Sql(value), '"'
            case _:
                return (Sql(f"to_json({value})"),)


_IS_SOURCE = " = {s}.id"


@dataclass(frozen=True, slots=True)
class Relation:
    """A relation from one row to one or more others."""

    target: str
    """The name of the related table."""
    joins: str
    """The condition that joins ``{t}`` (or ``{link}``) to ``{s}``."""
    many: bool = True
    link: str | None = None
    """A table or subquery between the two, named ``{link}``, and its join to ``{t}``."""
    order: tuple[str, ...] = ("{t}.id",)
    """The order of a list without pages."""
    owned: bool = False
    """Whether the rows are parts of ``{s}``, and visible to every profile that can see ``{s}``."""
    in_tree: bool = False
    """Whether the rows, and all that its SQL reads of executions, belong to the same root as
    ``{s}``."""
    typical_rows: int = 1
    """The number of rows that the cost of a query assumes."""
    tested: Relation | None = None
    """The relation that filters use, if selecting the rows needs a more complex one. It is a plain
    join, which PostgreSQL can start from either table."""

    @property
    def key(self) -> str:
        """The column that refers to ``{s}``, of a relation that filters test."""
        assert self.joins.endswith(_IS_SOURCE), f"{self.joins} does not compare a column"
        return self.joins.removesuffix(_IS_SOURCE)

    @property
    def is_linked(self) -> bool:
        """Whether another table leads to the rows, so that no index has them in order."""
        return self.link is not None or "SELECT" in self.joins


@dataclass(frozen=True, slots=True)
class EmbeddedList:
    """A list of objects that a column of the row stores as a JSON array."""

    sql: str
    """The array, or a sub-select of the objects if these have columns; ``{s}`` is the row."""
    fields: tuple[str, ...]
    """The keys of each object, in their stored order."""
    typical_rows: int = 2
    """The number of objects that the cost of a query assumes."""
    columns: Mapping[str, Column] | None = None
    """The columns of the sub-select by key; None if the array is shown as it is stored. A condition
    that limits their visibility is one on the row."""
    order: str = ""
    """The column that the objects are ordered by."""
    computing: int = 0
    """The cost of computing the list, if the row does not store it. Its SQL may also contain
    ``{kinds}``, the source kinds that are installed, ``{reader}``, the profile of the viewer, and
    ``{viewer}``, that profile if it only sees the processes that it is authorized on; otherwise
    null."""


@dataclass(frozen=True, slots=True)
class Table:
    """A table that plans can name."""

    name: str
    type_name: str
    """The GraphQL type of its rows, which is also their type in opaque IDs."""
    columns: Mapping[str, Column]
    relations: Mapping[str, Relation] = field(default_factory=dict)
    embedded: Mapping[str, EmbeddedList] = field(default_factory=dict)
    visible: str | None = None
    """The condition for a row to be visible to a profile (``{profile}``) that does not see all.
    What it reads of executions belongs to the same root as the row."""
    admin_only: bool = False
    default_order: tuple[OrderKey, ...] = (OrderKey("database_id"),)
    typical_rows: int = 100
    """The number of rows that the cost of a query assumes."""
