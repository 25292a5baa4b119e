"""Compile which rows a sub-select reads: FROM and WHERE, visibility and conditions.

``Compilation`` is the state that all parts of one statement share.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from storage.reads.model import TABLES
from storage.reads.plan import (
    VIEWER_PROFILE,
    AllOf,
    AnyOf,
    Compare,
    Comparison,
    Condition,
    Not,
    Related,
    Scope,
    Slot,
    ValueFormat,
    Visibility,
)
from storage.reads.tables import Column, Relation, Table

_OPERATORS = {
    Comparison.EQUAL: "=",
    Comparison.LESS: "<",
    Comparison.LESS_OR_EQUAL: "<=",
    Comparison.GREATER: ">",
    Comparison.GREATER_OR_EQUAL: ">=",
}


class Compilation:
    """The state of compiling one statement: the aliases in use and the parameters.

    Args:
        scope: What the viewers of the statement can see.
        value_format: How enum values and states are written.
    """

    def __init__(self, scope: Scope, value_format: ValueFormat) -> None:
        self.scope = scope
        self.value_format = value_format
        self.slots: list[Slot] = []
        self._viewer_profile: str | None = None
        self._aliases = 0

    def alias(self) -> str:
        """Return an alias that is unique in the statement."""
        self._aliases += 1
        return f"t{self._aliases}"

    def parameter(self, slot: Slot) -> str:
        """Add a parameter for a slot; return it as an SQL expression."""
        self.slots.append(slot)
        return f"${len(self.slots)}::{slot.sql_type}"

    def parameter_of(self, slot: Slot) -> str:
        """Return the parameter that was added for a slot before."""
        return f"${self.slots.index(slot) + 1}::{slot.sql_type}"

    def visibility(self, predicate: str | None, alias: str) -> str | None:
        """Return a visibility predicate of the row ``alias``; None if every row is visible."""
        if predicate is None or self.scope.processes is Visibility.ALL:
            return None
        if self.scope.processes is Visibility.NONE:
            return "false"
        return predicate.format(t=alias, profile=self.profile)

    @property
    def profile(self) -> str:
        """SQL for the profile that only sees what it is authorized on; null if all is visible."""
        if self.scope.processes is Visibility.ALL:
            return "NULL::integer"
        if self.scope.processes is Visibility.NONE:
            return "0"
        return self.reader

    @property
    def reader(self) -> str:
        """SQL for the profile of the viewer."""
        if self._viewer_profile is None:
            self._viewer_profile = self.parameter(VIEWER_PROFILE)
        return self._viewer_profile

    def hides(self, table: Table) -> bool:
        """Whether every row of the table is hidden from the statement's viewers."""
        return table.admin_only and not self.scope.sources


@dataclass(frozen=True, slots=True)
class Rows:
    """The rows that a sub-select reads: a whole table, or those that a relation leads to."""

    table: Table
    relation: Relation | None = None
    source: str | None = None
    """The alias of the row that the relation starts from; None for those of all rows."""
    in_filter: bool = False
    """Whether other rows are filtered by them."""


def from_where(
    compilation: Compilation,
    rows: Rows,
    alias: str,
    link: str = "",
    condition: Condition | None = None,
    keysets: Sequence[str] = (),
) -> str:
    """Compile FROM and WHERE of a sub-select.

    Args:
        alias: The alias to give the rows.
        link: The alias to give the table between the two ends of the relation.
        keysets: Further predicates, of the page's position.
    """
    relation = rows.relation
    tables = f" FROM {rows.table.name} AS {alias}"
    if relation is not None and relation.link is not None:
        link = link or compilation.alias()
        tables += f" JOIN {relation.link.format(t=alias, s=rows.source, link=link)}"
    predicates: list[str] = []
    if relation is not None and rows.source is not None:
        predicates.append(relation.joins.format(t=alias, s=rows.source, link=link))
    if relation is None or not relation.owned:
        visible = compilation.visibility(rows.table.visible, alias)
        if visible:
            predicates.append(visible)
    if compilation.hides(rows.table):
        predicates.append("false")
    if condition is not None:
        predicates.append(compile_condition(compilation, condition, rows, alias))
    predicates += keysets
    predicates = [predicate for predicate in predicates if predicate != "true"]
    return tables + (f" WHERE {' AND '.join(predicates)}" if predicates else "")


def compile_condition(
    compilation: Compilation, condition: Condition, rows: Rows, alias: str
) -> str:
    """Compile a condition on a row to an SQL predicate, which is never null.

    Args:
        rows: The rows that the condition is tested on.
        alias: The alias of such a row.
    """
    match condition:
        case AllOf(conditions):
            parts = [compile_condition(compilation, part, rows, alias) for part in conditions]
            return f"({' AND '.join(parts)})" if parts else "true"
        case AnyOf(conditions):
            parts = [compile_condition(compilation, part, rows, alias) for part in conditions]
            return f"({' OR '.join(parts)})" if parts else "false"
        case Not(part):
            return f"NOT {compile_condition(compilation, part, rows, alias)}"
        case Related(name, part):
            relation = rows.table.relations[name]
            tested = relation.tested or relation
            test = _is_among if tested.many and rows.in_filter else _has_related
            return test(compilation, tested, part, alias)
        case Compare(name, comparison, slot):
            column = rows.table.columns[name]
            return _compare(column, alias, comparison, compilation.parameter(slot))


def _has_related(
    compilation: Compilation, relation: Relation, condition: Condition, source: str
) -> str:
    """Compile a test for rows that match a condition and are related to the row ``source``."""
    rows = Rows(TABLES[relation.target], relation, source, in_filter=True)
    tail = from_where(compilation, rows, compilation.alias(), condition=condition)
    return f"EXISTS (SELECT{tail})"


def _is_among(
    compilation: Compilation, relation: Relation, condition: Condition, source: str
) -> str:
    """Compile the same test for a filter inside another: all rows that match are found once.

    The subquery does not refer to the source, and OFFSET keeps PostgreSQL from changing that. It
    expects a third of all rows to match, and would look for one again and again. A filter by the
    processes of profiles that matched none took 33 s.
    """
    rows = Rows(TABLES[relation.target], relation, in_filter=True)
    alias, link, found = (compilation.alias() for _ in range(3))
    tail = from_where(compilation, rows, alias, link, condition)
    matching = f"(SELECT {relation.key.format(t=alias, link=link)} AS key{tail} OFFSET 0)"
    return f"EXISTS (SELECT FROM {matching} AS {found} WHERE {found}.key = {source}.id)"


def _compare(column: Column, alias: str, comparison: Comparison, parameter: str) -> str:
    """Compare a column with a parameter; the predicate is never null."""
    value = "name" if column.compared_within else column.sql.format(t=alias)
    match comparison:
        case Comparison.IN:
            predicate = f"{value} = ANY ({parameter})"
        case Comparison.CONTAINS:
            # strpos, unlike LIKE, has no characters that mean something else.
            predicate = f"strpos({value}, {parameter}) > 0"
        case _:
            predicate = f"{value} {_OPERATORS[comparison]} {parameter}"
    if column.compared_within:
        return column.compared_within.format(t=alias, comparison=predicate)
    # A null value matches no comparison, and matches the NOT of it.
    return f"coalesce({predicate}, false)" if column.nullable else f"({predicate})"
