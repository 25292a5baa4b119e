"""Describe what to read as a frozen tree: the vocabulary between a GraphQL selection and its SQL.

``resolvers.operations.plan`` builds these trees, ``storage.reads.statement`` compiles them. A plan
names columns and relations of ``storage.reads.model``. It contains no value that changes from run
to run: those are slots, which say where a run finds the value. Plans can be compared, printed and
cached.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, StrEnum
from typing import NamedTuple, TypeAlias


class ValueFormat(Enum):
    """How enum values and states are written in an answer."""

    GRAPHQL = "graphql"
    """Enum values in upper case, states as ``ENABLED`` and ``DISABLED``."""
    LEGACY = "legacy"
    """Enum values in lower case, states as 1 and 0."""


class Visibility(StrEnum):
    """Which processes a viewer can see."""

    ALL = "all"
    AUTHORIZED = "authorized"
    """Those that the viewer's profile is authorized on."""
    NONE = "none"


class Scope(NamedTuple):
    """What a viewer can see. A statement is compiled for one scope.

    Each request looks its statement up by it. A tuple of texts is hashed without any Python code.
    """

    processes: Visibility
    sources: bool
    """Whether sources and their settings are visible, which only admins can see."""


# Values ----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Literal:
    """A value that is part of the plan, already converted."""

    value: object


@dataclass(frozen=True, slots=True)
class VariableRef:
    """A value that each run takes from the operation's coerced variables."""

    path: tuple[str | int, ...]
    """The variable's name, then keys and list indices inside its value."""


@dataclass(frozen=True, slots=True)
class ListOf:
    """A list with at least one item that each run takes from its variables."""

    items: tuple[Operand, ...]


class ViewerProfile(Enum):
    """The ID of the viewer's profile, for visibility predicates."""

    ID = "viewer profile"


Operand: TypeAlias = "Literal | VariableRef | ListOf | ViewerProfile"


@dataclass(frozen=True, slots=True)
class Stored:
    """Compare the value with a column: an enum by its value, a text only if it can be stored."""


@dataclass(frozen=True, slots=True)
class PrefixEnd:
    """Convert a prefix to the least text that is greater than every text that starts with it."""


@dataclass(frozen=True, slots=True)
class PageSize:
    """Check that the value is a number of rows from 0 to ``maximum``."""

    maximum: int


@dataclass(frozen=True, slots=True)
class GlobalId:
    """Convert an opaque ID of this type to the row's ID."""

    type_name: str


@dataclass(frozen=True, slots=True)
class GlobalIds:
    """Convert a list of opaque IDs of any type to one of their two parts, as a list."""

    part: IdPart
    maximum: int
    """The greatest number of IDs."""


class IdPart(Enum):
    """One part of an opaque ID."""

    TYPE_NAME = "type name"
    ROW_ID = "row ID"


@dataclass(frozen=True, slots=True)
class CursorKey:
    """Convert a cursor to the value of one column of the order that the cursor was made for."""

    order: str
    """As ``describe_order`` writes it."""
    types: tuple[tuple[type, ...], ...]
    """The Python types that the value of each of the order's columns may have."""
    index: int


Conversion: TypeAlias = "Stored | PrefixEnd | PageSize | GlobalId | GlobalIds | CursorKey"


@dataclass(frozen=True, slots=True)
class Slot:
    """A parameter of the SQL statement, whose value each run supplies.

    ``resolvers.operations.parameters`` fills it.
    """

    operand: Operand
    sql_type: str
    """The PostgreSQL type of the parameter."""
    conversion: Conversion | None = None
    """How the value is converted and checked; None for a value that is used as it is."""
    path: tuple[str | int, ...] = ()
    """The argument that the value comes from, for error messages."""


VIEWER_PROFILE = Slot(ViewerProfile.ID, "integer")


# Fields of an object ---------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Constant:
    """A text that is the same in every row, such as ``__typename``."""

    key: str
    value: str


@dataclass(frozen=True, slots=True)
class Scalar:
    """One column of the row."""

    key: str
    column: str


@dataclass(frozen=True, slots=True)
class One:
    """The row at the other end of a to-one relation, or null."""

    key: str
    relation: str
    fields: Fields


@dataclass(frozen=True, slots=True)
class Many:
    """All rows at the other end of a to-many relation, in the relation's order."""

    key: str
    relation: str
    fields: Fields
    kinds: Slot | None = None
    """The source kinds that are installed, for a list that is computed from them."""


@dataclass(frozen=True, slots=True)
class PageOf:
    """A connection to the rows at the other end of a to-many relation."""

    key: str
    relation: str
    page: Page


Field: TypeAlias = "Constant | Scalar | One | Many | PageOf"
Fields: TypeAlias = "tuple[Field, ...]"


# Conditions ------------------------------------------------------------------------------------


class Comparison(Enum):
    """How a column is compared with a slot."""

    EQUAL = "eq"
    IN = "in"
    CONTAINS = "contains"
    LESS = "lt"
    LESS_OR_EQUAL = "lte"
    GREATER = "gt"
    GREATER_OR_EQUAL = "gte"


@dataclass(frozen=True, slots=True)
class Compare:
    """A column of the row compared with a slot."""

    column: str
    comparison: Comparison
    slot: Slot


@dataclass(frozen=True, slots=True)
class Related:
    """At least one row at the other end of the relation meets the condition."""

    relation: str
    condition: Condition


@dataclass(frozen=True, slots=True)
class AllOf:
    """All conditions match; true if there are none."""

    conditions: tuple[Condition, ...] = ()


@dataclass(frozen=True, slots=True)
class AnyOf:
    """At least one condition matches; false if there are none."""

    conditions: tuple[Condition, ...]


@dataclass(frozen=True, slots=True)
class Not:
    """The condition does not match."""

    condition: Condition


Condition: TypeAlias = "Compare | Related | AllOf | AnyOf | Not"


# Pages -----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class OrderKey:
    """One column of an order."""

    column: str
    descending: bool = False


@dataclass(frozen=True, slots=True)
class EdgeCursor:
    """``cursor`` of an edge."""

    key: str


@dataclass(frozen=True, slots=True)
class EdgeNode:
    """``node`` of an edge."""

    key: str
    fields: Fields


@dataclass(frozen=True, slots=True)
class PageEdges:
    """``edges`` of a connection."""

    key: str
    fields: tuple[Constant | EdgeCursor | EdgeNode, ...]


@dataclass(frozen=True, slots=True)
class PageNodes:
    """``nodes`` of a connection."""

    key: str
    fields: Fields


class PageFact(Enum):
    """One field of ``pageInfo``."""

    HAS_NEXT = "has_next_page"
    HAS_PREVIOUS = "has_previous_page"
    START_CURSOR = "start_cursor"
    END_CURSOR = "end_cursor"


@dataclass(frozen=True, slots=True)
class PageFactField:
    """A field of ``pageInfo`` under its key."""

    key: str
    fact: PageFact


@dataclass(frozen=True, slots=True)
class PageInfo:
    """``pageInfo`` of a connection."""

    key: str
    fields: tuple[Constant | PageFactField, ...]


@dataclass(frozen=True, slots=True)
class TotalCount:
    """``totalCount`` of a connection: the number of rows that match, on all pages."""

    key: str


PagePart: TypeAlias = "Constant | PageEdges | PageNodes | PageInfo | TotalCount"


@dataclass(frozen=True, slots=True)
class Page:
    """A range of rows in one order, cut out by keyset positions."""

    parts: tuple[PagePart, ...]
    order: tuple[OrderKey, ...]
    """Ends with a unique column, so that the order is total."""
    condition: Condition
    limit: Slot | None
    """The number of rows; None for all of them."""
    after: tuple[Slot, ...] | None = None
    """The order's columns of the row that the page starts after."""
    before: tuple[Slot, ...] | None = None
    """The order's columns of the row that the page ends before."""
    backward: bool = False
    """Whether to read the last rows of the range instead of the first (``last``)."""


# Root fields -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ReadPage:
    """A page of a whole table."""

    table: str
    page: Page


@dataclass(frozen=True, slots=True)
class ReadOne:
    """The one row of a table that matches the condition, or null."""

    table: str
    fields: Fields
    condition: Condition


@dataclass(frozen=True, slots=True)
class ReadNodes:
    """The rows of several tables with these IDs, in this order; null for an ID without a row."""

    choices: tuple[tuple[str, str, Fields], ...]
    """For each object type: its name in the IDs, its table, and the fields to read."""
    type_names: Slot
    """``text[]``: the object type of each ID."""
    ids: Slot
    """``bigint[]``: the row ID of each ID, as many as there are type names."""
    single: bool = False
    """Return the first row alone instead of a list."""


@dataclass(frozen=True, slots=True)
class JsonField:
    """A member that is selected of a JSON object."""

    key: str
    name: str
    """Its name in the object."""
    fields: JsonFields | None = None
    """What is selected of the objects in it, which is a list; None for the value as it is."""


JsonFields: TypeAlias = "tuple[JsonField | Constant, ...]"


@dataclass(frozen=True, slots=True)
class ReadJson:
    """A list of JSON objects that are not rows of a table."""

    items: Slot | str
    """``text``: the list as JSON; or the name of one in ``storage.reads.json_lists``."""
    fields: JsonFields


Read: TypeAlias = "ReadPage | ReadOne | ReadNodes | ReadJson"


def describe_order(order: tuple[OrderKey, ...]) -> str:
    """Write an order as text, such as ``name,-database_id``.

    Cursors contain it, so that a cursor that was made for another order is recognized.
    """
    return ",".join(("-" if key.descending else "") + key.column for key in order)
