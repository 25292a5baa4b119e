"""In charge of the vocabulary between a selection and its SQL: a frozen tree of what to read.

``resolvers.planning`` writes these trees from GraphQL selections, ``storage.compiler`` turns them
into SQL. A plan names columns and relations of ``storage.model`` and says which values each run
has to bring (slots); it holds no value that changes from run to run, so it can be kept and reused.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple, TypeAlias


class Rendering(Enum):
    """How words and states are written in an answer."""

    GRAPHQL = "graphql"
    """Enum values in upper case, states as ``ENABLED`` and ``DISABLED``."""
    LEGACY = "legacy"
    """Words in lower case, states as 1 and 0."""


class Visibility(Enum):
    """Which processes a viewer knows of."""

    ALL = "all"
    AUTHORISED = "authorised"
    """Those that the viewer's profile is authorised on."""
    NONE = "none"


@dataclass(frozen=True, slots=True)
class Scope:
    """What a viewer may see at all; a statement is compiled for one scope."""

    processes: Visibility
    sources: bool
    """Sources and their settings, which are an admin's."""


class RunValues(NamedTuple):
    """What one run of a compiled statement brings along."""

    variables: Mapping[str, object]
    """The operation's coerced variables."""
    profile_id: int
    """The viewer's profile, for the visibility predicates."""


@dataclass(frozen=True, slots=True)
class Slot:
    """A value that each run supplies: a parameter of the SQL statement."""

    read: Callable[[RunValues], object]
    """Takes the value out of the run's values; raises ``GatewayError`` where it is not valid."""
    sql_type: str
    """The PostgreSQL type that the parameter has."""


# What an object is asked for -------------------------------------------------------------------


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
    """At least one row at the other end of the relation exists that meets the condition."""

    relation: str
    condition: Condition


@dataclass(frozen=True, slots=True)
class AllOf:
    """Every condition holds; true where there are none."""

    conditions: tuple[Condition, ...] = ()


@dataclass(frozen=True, slots=True)
class AnyOf:
    """At least one condition holds; false where there are none."""

    conditions: tuple[Condition, ...]


@dataclass(frozen=True, slots=True)
class Not:
    """The condition does not hold."""

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
    """``totalCount`` of a connection: all rows that meet the condition, on any page."""

    key: str


PagePart: TypeAlias = "Constant | PageEdges | PageNodes | PageInfo | TotalCount"


@dataclass(frozen=True, slots=True)
class Page:
    """Rows of a table from one keyset position on."""

    parts: tuple[PagePart, ...]
    order: tuple[OrderKey, ...]
    """Ends with a unique column, so that every row has one place."""
    condition: Condition
    limit: Slot | None
    """How many rows; None for all of them."""
    after: tuple[Slot, ...] | None = None
    """The order's columns of the row that the page comes after."""
    before: tuple[Slot, ...] | None = None
    """The order's columns of the row that the page comes before."""
    backward: bool = False
    """The last rows of the range instead of the first (``last``)."""


# What a statement answers ----------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ReadPage:
    """A page of a whole table."""

    table: str
    page: Page


@dataclass(frozen=True, slots=True)
class ReadOne:
    """The one row of a table that meets the condition, or null."""

    table: str
    fields: Fields
    condition: Condition


@dataclass(frozen=True, slots=True)
class ReadNodes:
    """The rows with these ids of several tables, in this order; null where there is none."""

    choices: tuple[tuple[str, str, Fields], ...]
    """For each object type: its name in the ids, its table, and what to read of it."""
    type_names: Slot
    """``text[]``: the object type of each id."""
    ids: Slot
    """``int[]``: the database id of each id, as many as there are type names."""
    single: bool = False
    """Answer the first one alone instead of a list."""


Read: TypeAlias = "ReadPage | ReadOne | ReadNodes"
