"""A plan is data: it can be compared, printed and kept."""

from __future__ import annotations

from typing import Any, cast

from graphql import GraphQLObjectType

from gateway.services import compiler_of
from resolvers.operations.plan import PlannedField
from resolvers.operations.variables import shape_of, with_references
from storage.reads.plan import (
    AllOf,
    Compare,
    Comparison,
    CursorKey,
    Literal,
    PageSize,
    Slot,
    Stored,
    VariableRef,
)
from tests.conftest import settings_for_tests

QUERY = """query ($after: String, $name: String!, $size: Int!) {
    processes(first: $size, after: $after, where: {name: {in: ["a", $name]}, mode: {eq: SWITCH}}) {
        nodes { id subprocesses { name } }
    }
}"""
VARIABLES = {"after": "cursor", "name": "b", "size": 5}


def planned(query: str, variables: dict[str, Any]) -> PlannedField:
    """Plan the one root field of a query."""
    compiler = compiler_of(settings_for_tests())
    operation = compiler.read(query).operation(None)
    planner = compiler.planner(operation, with_references(shape_of(variables)))
    root = cast(GraphQLObjectType, compiler.schema.query_type)
    ((key, nodes),) = planner.collect(root, [operation.definition.selection_set]).items()
    return planner.root(root.fields[nodes[0].name.value], key, nodes)


def test_plans_of_the_same_operation_are_equal() -> None:
    plan = planned(QUERY, VARIABLES)
    assert plan == planned(QUERY, {"after": "another", "name": "c", "size": 7})
    assert hash(plan) == hash(planned(QUERY, VARIABLES))
    assert plan != planned(QUERY.replace("id sub", "name sub"), VARIABLES)
    assert plan.problems == ()


def test_a_slot_says_where_its_value_is_and_how_it_is_checked() -> None:
    read = cast(Any, planned(QUERY, VARIABLES).read)
    path = ("processes",)
    assert read.page.limit == Slot(
        VariableRef(("size",)), "integer", PageSize(100), (*path, "first")
    )
    (after,) = read.page.after
    key = CursorKey("database_id", ((int,),), 0)
    assert after == Slot(VariableRef(("after",)), "integer", key, (*path, "after"))
    condition: Any = read.page.condition
    assert isinstance(condition, AllOf)
    name, mode = cast("tuple[Any, Any]", condition.conditions)
    assert (name.column, name.comparison) == ("name", Comparison.IN)
    assert name.slot.conversion == Stored()
    assert name.slot.path == (*path, "where", "name", "in")
    assert mode == Compare("mode", Comparison.EQUAL, Slot(Literal("switch"), "text"))


def test_a_plan_prints_as_what_it_is() -> None:
    text = repr(planned(QUERY, VARIABLES))
    for part in (
        "ReadPage(table='process'",
        "VariableRef(path=('size',))",
        "PageSize(maximum=100)",
    ):
        assert part in text


def test_all_problems_of_constant_arguments_are_found_at_once() -> None:
    arguments = 'first: -1, last: 101, after: "x", where: {name: {eq: "\\u0000"}}'
    query = "{ processes(%s) { __typename } }" % arguments
    problems = {problem.path[1:]: problem.message for problem in planned(query, {}).problems}
    assert problems.keys() == {("first",), ("last",), ("after",), ("where", "name", "eq")}
