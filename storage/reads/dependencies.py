"""Derive from a plan what its answer depends on: domains, and shards of them.

A domain is a table with its parts, and a shard is a part of its rows, by their IDs. The triggers of
``storage/migrations/0003_changes.sql`` log the shards that a statement changes, and
``storage.database.versions`` reads their versions. As long as the versions of all dependencies of
an answer are the same, the answer is the same.

A look-up of one process depends on the shard of that row alone, unless its selection leads to
other rows of the domain. A look-up of one execution depends on the shard of its root: what is
written to an execution or its steps is also logged in the shard of the root
(``storage/migrations/0005_engine.sql``), so that this shard is enough for all that is nested in the
same root. Everything else depends on whole domains.

Whatever an SQL fragment of the model reads is found in its text, so that no table can be forgotten.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from typing import NamedTuple, TypeAlias, cast

from storage.reads.model import TABLES
from storage.reads.plan import (
    AllOf,
    AnyOf,
    Compare,
    Comparison,
    Condition,
    Constant,
    EdgeNode,
    Fields,
    Many,
    Not,
    Page,
    PageEdges,
    PageNodes,
    PageOf,
    Read,
    ReadJson,
    ReadNodes,
    ReadOne,
    ReadPage,
    Related,
    Scalar,
    Scope,
    Slot,
    Visibility,
)
from storage.reads.tables import Relation, Table

SHARDS = 64
"""The shards of a domain. The lowest bits of the ID of a row are the number of its shard."""


def shard_of(row_id: int) -> int:
    """Return the shard of the row with this ID."""
    return row_id & (SHARDS - 1)


class Domain(IntEnum):
    """A table with its parts, as the log of changes numbers it."""

    __hash__ = int.__hash__  # that of Enum takes ten times as long, and each request needs several

    ESPACE = 1
    PROCESS = 2
    """With actions, inputs and authorizations."""
    SOURCE = 3
    PROFILE = 4
    EXECUTION = 5
    """With steps."""


class Dependency(NamedTuple):
    """What an answer depends on: a shard of a domain, or all of it."""

    domain: Domain
    shard: int | None = None
    """The shard; None for all of the domain."""
    reference: str | None = None
    """Instead of a shard: the reference of the process whose shard it is."""
    in_tree: int | None = None
    """Instead of a shard: the ID of an execution, whose root has the shard."""


ValueOf: TypeAlias = "Callable[[Slot], object]"
"""Returns the value of a slot in a run."""


@dataclass(frozen=True, slots=True)
class OfRows:
    """What a read depends on: the same for all values, but for the row that it looks up."""

    domains: frozenset[Domain]
    """Domains that it depends on as a whole."""
    row: tuple[Domain, str, Slot] | None = None
    """The row that it looks up, if it depends on the shard of that row: its domain, the column that
    identifies it (``database_id`` or ``reference``), and the value."""
    whole: frozenset[Dependency] = field(init=False)
    """The dependencies on whole domains."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "whole", frozenset(map(Dependency, self.domains)))

    def of(self, value_of: ValueOf) -> frozenset[Dependency]:
        """Return the dependencies of a run."""
        if self.row is None:
            return self.whole
        domain, column, slot = self.row
        value = value_of(slot)
        if column == "reference":
            return self.whole | {Dependency(domain, reference=cast("str", value))}
        if domain is Domain.EXECUTION:
            return self.whole | {Dependency(domain, in_tree=cast("int", value))}
        return self.whole | {Dependency(domain, shard_of(cast("int", value)))}


@dataclass(frozen=True, slots=True)
class OfNode:
    """What the look-up of one object of any type depends on, by the name of the type."""

    by_type: Mapping[str, OfRows]
    type_names: Slot
    """A list of one name."""

    def of(self, value_of: ValueOf) -> frozenset[Dependency]:
        """Return the dependencies of a run; none for a type that has no objects."""
        (type_name,) = cast("Iterable[str]", value_of(self.type_names))
        chosen = self.by_type.get(type_name)
        return frozenset() if chosen is None else chosen.of(_first_of(value_of))


Dependencies: TypeAlias = "OfRows | OfNode"


def _first_of(value_of: ValueOf) -> ValueOf:
    """Return the first item of each value, which is a list."""
    return lambda slot: next(iter(cast("Iterable[object]", value_of(slot))))


def dependencies(read: Read, scope: Scope) -> Dependencies:
    """Return what the answers of a root field depend on, for viewers of this scope."""
    match read:
        case ReadPage(table, page):
            search = _Search(scope)
            search.add_rows(TABLES[table])
            search.add_page(TABLES[table], page)
            return OfRows(frozenset(search.domains))
        case ReadOne(table, fields, condition):
            return _look_up(scope, TABLES[table], fields, condition)
        case ReadJson():  # a list that is passed on depends on nothing; sources rarely change
            return OfRows(frozenset((Domain.SOURCE,)))
        case ReadNodes(choices, type_names, ids, single):
            by_type = {
                type_name: _look_up(
                    scope, TABLES[table], fields, Compare("database_id", Comparison.EQUAL, ids)
                )
                for type_name, table, fields in choices
            }
            if single:
                return OfNode(by_type, type_names)
            domains = {domain for each in by_type.values() for domain in _all_of(each)}
            return OfRows(frozenset(domains))


def _all_of(rows: OfRows) -> frozenset[Domain]:
    """Return the domains that a read depends on, whatever it depends on of them."""
    return rows.domains if rows.row is None else rows.domains | {rows.row[0]}


def _look_up(scope: Scope, table: Table, fields: Fields, condition: Condition) -> OfRows:
    """Return what the look-up of one row depends on."""
    search = _Search(scope)
    row = _row(table, condition)
    search.add_rows(table, own=row is not None)
    search.add_condition(table, condition)
    search.add_fields(table, fields, own=row is not None)
    domains = frozenset(search.domains)
    return OfRows(domains, None if row is None or row[0] in domains else row)


_KEYS: Mapping[str, tuple[str, ...]] = {
    "process": ("database_id", "reference"),
    "execution": ("database_id",),
}
"""The tables whose IDs are the shards of their domains, and the columns that identify a row."""


def _row(table: Table, condition: Condition) -> tuple[Domain, str, Slot] | None:
    """Return the one row that a look-up reads, if its shard is that of a domain."""
    match condition:
        case Compare(column, Comparison.EQUAL, slot) if column in _KEYS.get(table.name, ()):
            return DOMAINS[table.name], column, slot
    return None


DOMAINS: Mapping[str, Domain] = {
    "espace": Domain.ESPACE,
    "process": Domain.PROCESS,
    "action": Domain.PROCESS,
    "input": Domain.PROCESS,
    "authorisation": Domain.PROCESS,
    "source": Domain.SOURCE,
    "profile": Domain.PROFILE,
    "execution": Domain.EXECUTION,
    "execution_step": Domain.EXECUTION,
}
"""The domain of each table of the model."""

_TABLE = re.compile(r"\b(?:FROM|JOIN)\s+([a-z_]+)")
_PARTS = ("action", "input", "authorisation")
"""Tables whose rows are in the shard of the process that they belong to."""
_PART_OF_ROW = re.compile(r"\bprocess_id = \{[ts]\}\.id\b")
"""The join of such a row to its process."""

FUNCTIONS: Mapping[str, tuple[str, ...]] = {
    "nested_result": ("execution", "execution_step", "authorisation"),
}
"""The tables that SQL functions of the migrations read. For a profile of null, they do not read
authorizations."""
_CALL = re.compile(r"\b([a-z_]+)\(")
_OWN_NAME = re.compile(r"\bWITH RECURSIVE ([a-z_]+)")
"""A name that a fragment gives to rows itself."""
_TREE = ("execution", "execution_step")
"""Tables whose rows are in the shard of the root of their execution."""


class _Search:
    """The search for the domains that a read depends on as a whole.

    ``own`` says that a row, or the row that a relation starts from, is in the shard that the
    look-up of a row depends on.
    """

    def __init__(self, scope: Scope) -> None:
        self._scope = scope
        self.domains: set[Domain] = set()

    def add_rows(self, table: Table, *, own: bool = False, visible: bool = False) -> None:
        """Add the domains that rows of a table depend on, without their fields.

        Args:
            visible: Whether they are visible to all that can see the row that leads to them.
        """
        if not own:
            self.domains.add(DOMAINS[table.name])
        if not visible:
            self._add_visibility(table.visible, own=own)

    def add_fields(self, table: Table, fields: Fields, *, own: bool = False) -> None:
        """Add the domains that fields of a row depend on."""
        for each in fields:
            match each:
                case Constant():
                    pass
                case Scalar(_, name):
                    self._add_column(table, name, own=own)
                    self._add_visibility(table.columns[name].visible)
                case Many(_, name, fields) if name in table.embedded:
                    self._add_fragment(table.embedded[name].sql, own=own)
                    columns = table.embedded[name].columns or {}
                    for each in fields:
                        if isinstance(each, Scalar) and each.column in columns:
                            self._add_visibility(columns[each.column].visible)
                case PageOf(_, name, page):
                    if self._add_relation(table.relations[name], own=own) is not None:
                        self.add_page(TABLES[table.relations[name].target], page)
                case _:
                    relation = table.relations[each.relation]
                    within = self._add_relation(relation, own=own)
                    if within is not None:
                        self.add_fields(TABLES[relation.target], each.fields, own=within)

    def add_page(self, table: Table, page: Page) -> None:
        """Add the domains that a page depends on, without the rows that it is taken from."""
        for key in page.order:
            self._add_column(table, key.column)
        self.add_condition(table, page.condition)
        for part in page.parts:
            match part:
                case PageNodes(_, fields):
                    self.add_fields(table, fields)
                case PageEdges(_, edge):
                    for field in edge:
                        if isinstance(field, EdgeNode):
                            self.add_fields(table, field.fields)

    def add_condition(self, table: Table, condition: Condition) -> None:
        """Add the domains that a condition on a row depends on."""
        match condition:
            case AllOf(parts) | AnyOf(parts):
                for part in parts:
                    self.add_condition(table, part)
            case Not(part):
                self.add_condition(table, part)
            case Compare(name):
                self._add_column(table, name)
            case Related(name, part):
                relation = table.relations[name].tested or table.relations[name]
                if self._add_relation(relation) is not None:
                    self.add_condition(TABLES[relation.target], part)

    def _add_relation(self, relation: Relation, *, own: bool = False) -> bool | None:
        """Add the domains that the rows of a relation depend on.

        Returns:
            Whether the rows are in the shard that the look-up of a row depends on; None if the
            viewer sees none of them.
        """
        target = TABLES[relation.target]
        if target.admin_only and not self._scope.sources:
            return None
        within = own and (relation.owned or relation.in_tree)
        self._add_fragment(relation.joins, own=own, in_tree=relation.in_tree)
        if relation.link is not None:
            self._add_fragment(f"JOIN {relation.link} WHERE {relation.joins}", own=own)
        self.add_rows(target, own=within, visible=relation.owned)
        return within

    def _add_column(self, table: Table, name: str, *, own: bool = False) -> None:
        column = table.columns[name]
        fragment = f"{column.sql} {column.compared_within or ''}"
        self._add_fragment(fragment, own=own, in_tree=column.in_tree)

    def _add_visibility(self, predicate: str | None, *, own: bool = False) -> None:
        if predicate is not None and self._scope.processes is Visibility.AUTHORIZED:
            self._add_fragment(predicate, own=own, in_tree=True)

    def _add_fragment(self, sql: str, *, own: bool = False, in_tree: bool = False) -> None:
        """Add the domains of the tables that a fragment of the model reads.

        Args:
            in_tree: Whether what it reads of executions belongs to the same root as the row.
        """
        names = [name for name in _TABLE.findall(sql) if name not in _OWN_NAME.findall(sql)]
        for call in _CALL.findall(sql):
            names += FUNCTIONS.get(call, ())
        if self._scope.processes is not Visibility.AUTHORIZED and "{profile}" in sql:
            names = [name for name in names if name != "authorisation"]
        parts = sum(name in _PARTS for name in names)
        # Each of them has to be joined to the row.
        own_parts = _PARTS if own and parts == len(_PART_OF_ROW.findall(sql)) else ()
        own_records = _TREE if own and in_tree else ()
        self.domains.update(
            DOMAINS[name] for name in names if name not in own_parts and name not in own_records
        )
