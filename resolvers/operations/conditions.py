"""Plan filters and orders: the arguments ``where`` and ``orderBy`` of connections."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from pydantic.alias_generators import to_snake

from resolvers.operations.limits import limit_error
from resolvers.operations.planning import Planning
from storage.reads.model import TABLES
from storage.reads.plan import (
    AllOf,
    AnyOf,
    Compare,
    Comparison,
    Condition,
    Not,
    OrderKey,
    PrefixEnd,
    Related,
    Stored,
)
from storage.reads.tables import SQL_TYPES, Table


def plan_where(planning: Planning, table: Table, where: Mapping[str, Any]) -> Condition:
    """Plan a filter of the rows of a table. A null operand or part is ignored."""
    with planning.at("where"):
        return _all_of(planning, table, where)


def _all_of(planning: Planning, table: Table, where: Mapping[str, Any]) -> Condition:
    deepest = planning.limits.max_query_depth
    if planning.depth > 2 * deepest:  # every level of a filter has a path of two parts
        raise limit_error("max_query_depth", "levels of nested filters", deepest)
    planning.count_field()
    conditions: list[Condition] = []
    for name, value in where.items():
        planning.count_field()
        if value is not None:
            with planning.at(name):
                conditions += _conditions(planning, table, name, value)
    return conditions[0] if len(conditions) == 1 else AllOf(tuple(conditions))


def _conditions(planning: Planning, table: Table, name: str, value: Any) -> Iterable[Condition]:
    """Plan one member of a filter."""
    column = to_snake(name)
    if name == "and":
        yield from _each(planning, table, value)
    elif name == "or":
        yield AnyOf(tuple(_each(planning, table, value)))
    elif name == "not":
        yield Not(_all_of(planning, table, value))
    elif column in table.relations:
        target = TABLES[table.relations[column].target]
        yield Related(column, _all_of(planning, target, value))
    elif isinstance(value, Mapping):
        for operator, operand in value.items():
            if operand is not None:
                yield from _comparisons(planning, table, column, operator, operand)
    else:
        yield compare(planning, table, column, Comparison.EQUAL, value)


def _each(
    planning: Planning, table: Table, parts: Sequence[Mapping[str, Any]]
) -> Iterator[Condition]:
    for index, part in enumerate(parts):
        with planning.at(index):
            yield _all_of(planning, table, part)


def _comparisons(
    planning: Planning, table: Table, column: str, operator: str, operand: Any
) -> Iterable[Compare]:
    """Plan one operator of a filter of a column."""
    if operator == "startsWith":
        # A range of the column's index. The plan does not know the prefix.
        yield compare(planning, table, column, Comparison.GREATER_OR_EQUAL, operand, operator)
        yield Compare(
            column, Comparison.LESS, planning.slot(operand, "text", PrefixEnd(), operator)
        )
    else:
        comparison = Comparison(to_snake(operator))
        yield compare(planning, table, column, comparison, operand, operator)


def compare(
    planning: Planning,
    table: Table,
    column: str,
    comparison: Comparison,
    operand: Any,
    argument: str = "",
) -> Compare:
    """Plan the comparison of a column with the value of an argument."""
    sql_type = SQL_TYPES[table.columns[column].kind]
    if comparison is Comparison.IN:
        sql_type += "[]"
    return Compare(column, comparison, planning.slot(operand, sql_type, Stored(), argument))


def plan_order(
    planning: Planning, table: Table, keys: Iterable[Mapping[str, Any]]
) -> tuple[OrderKey, ...]:
    """Plan an order; it ends with a unique column.

    Keys after a unique column have no effect. The ID is ordered in the direction of the key before
    it, so that an index of both columns can be used.
    """
    order: list[OrderKey] = []
    for key in keys:
        planning.count_field()
        column = key["field"].value
        if column not in [known.column for known in order]:
            order.append(OrderKey(column, descending=key["direction"].value == "desc"))
        if column in ("database_id", "reference"):
            return tuple(order)
    if not order:
        return table.default_order
    return (*order, OrderKey("database_id", order[-1].descending))
