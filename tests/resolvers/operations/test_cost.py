"""The estimated cost of queries: what counts, what is allowed, and what the error proposes."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.services import open_services
from tests.conftest import Graph, settings_for_tests
from tests.resolvers.home import Home

WHOLE = """
fragment whole on Process {
  id databaseId reference name nameEnable nameDisable displayName description icon mode state
  espace { id databaseId reference name description icon }
  actions { id databaseId position sourceName action runsWhen arguments { reference value } }
  inputs { id databaseId position reference name type kind askedWhen }
  profiles { id databaseId name permissions seesAll }
}
"""
NESTED = (
    "{ processes(first: 100) { nodes { espace { processes(first: 100) { nodes { name } } } } } }"
)


async def cost(graph: Graph, query: str, variables: dict[str, Any] | None = None) -> int:
    answer = await graph.ask(query, variables, extensions={"cost": True})
    result: int = answer["extensions"]["cost"]["requested"]
    return result


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("{ viewer { seesAll } }", 4 + 1),
        ("{ __typename }", 0),
        ("{ processes(first: 10) { nodes { databaseId } } }", 10 * (2 + 1)),
        ("{ processes { nodes { name } } }", 20 * (2 + 3)),
        ("{ processes(first: 10) { nodes { description } } }", 10 * (2 + 32)),
        ("{ processes(last: 10) { edges { cursor node { mode } } } }", 10 * (2 + 6 + 1)),
        ("{ processes(first: 10) { nodes { " + "a" * 32 + ": name } } }", 10 * (2 + 2 + 3)),
        ("{ processes(first: 10) { nodes { espace { name } } } }", 10 * (2 + 4 + 3)),
        (
            "{ processes(first: 10) { nodes { actions { sourceName } } } }",
            10 * (2 + 14 + 4 * (2 + 4 + 3)),
        ),
        (
            "{ processes(first: 10) { nodes { actions { arguments { value } } } } }",
            10 * (2 + 14 + 4 * (2 + 6 + 2 * (2 + 3))),
        ),
        ("{ processes(first: 3) { nodes { name } pageInfo { endCursor } } }", 3 * (2 + 3) + 10),
        ("{ processes { totalCount } }", 10_000 // 2),
        ("{ espaces { totalCount } }", 100 // 2),
        (
            '{ processes(first: 1, where: {name: {contains: "a"}}) { nodes { name } } }',
            (10_000 + 2 * 10_000) // 2 + (2 + 3),
        ),
        (
            '{ processes(first: 1, where: {or: [{name: {eq: "a"}}, {name: {eq: "b"}}]})'
            " { nodes { name } totalCount } }",
            2 * (10_000 + 2 * 10_000) // 2 + (2 + 3),
        ),
        (
            '{ espaces(first: 1, where: {processes: {name: {eq: "a"}}}) { nodes { icon } } }',
            (100 + 4 * 100 + 20_000 + 20_000) // 2 + (2 + 3),
        ),
        (
            "{ espaces(first: 10) { nodes { processes(first: 5) { nodes { name } } } } }",
            10 * (2 + 80 + 5 * (2 + 3)),
        ),
        (
            "{ espaces(first: 10) { nodes {"
            " processes(orderBy: {field: NAME}) { nodes { name } } } } }",
            10 * (2 + 80 + 3 * 500 // 2 + 20 * (2 + 3)),
        ),
        (
            "{ profiles(first: 10) { nodes { processes { totalCount } } } }",
            10 * (2 + 80 + 2000),
        ),
        (
            '{ nodes(ids: ["RXNwYWNlOjE=", "RXNwYWNlOjI="]) { id ... on Espace { name } } }',
            2 * (4 + 6),
        ),
    ],
)
async def test_what_counts(home: Graph, query: str, expected: int) -> None:
    assert await cost(home, query) == expected


async def test_the_sizes_of_pages_are_those_of_the_request(home: Graph) -> None:
    query = """query($n: Int, $m: Int = 3, $ids: [ID!]!) {
        espaces(first: $n) { nodes { processes(last: $m) { nodes { name } } } }
        nodes(ids: $ids) { id }
    }"""
    assert await cost(home, query, {"n": 10, "ids": []}) == 10 * (2 + 80 + 3 * 5)
    assert await cost(home, query, {"n": 1, "m": 50, "ids": []}) == 1 * (2 + 80 + 50 * 5)
    assert await cost(home, query, {"n": 0, "ids": ["RXNwYWNlOjE="] * 7}) == 7 * (4 + 3)


@pytest.mark.parametrize(
    "levels",
    [
        "...whole",
        "...whole subprocesses { ...whole subprocesses { ...whole } }",
        "...whole actions { subprocess { ...whole actions { subprocess { ...whole } } } }",
    ],
)
async def test_a_hundred_whole_trees_three_levels_deep_are_allowed(
    home: Graph, levels: str
) -> None:
    assert await cost(home, f"{{ processes(first: 100) {{ nodes {{ {levels} }} }} }} {WHOLE}") > 0


async def test_a_query_that_costs_too_much_does_not_run(home: Graph) -> None:
    deeper = NESTED.replace("name", "espace { " + "processes(first: 100) { nodes { name } } }")
    before = home.database.statements
    viewer = await home.viewer("admin")
    spent = home.database.statements - before
    before = home.database.statements
    error = await home.error(deeper)
    assert home.database.statements == before + spent, viewer
    details = error["extensions"]["cost"]
    assert error["extensions"]["code"] == "BAD_USER_INPUT"
    assert details["maximum"] == 1_000_000 < details["requested"]
    assert details["fits"]["path"] == ["processes", "first"]
    fitting = details["fits"]["value"]
    assert f"processes.first: {fitting} would fit" in error["message"]
    assert await cost(home, deeper.replace("first: 100", f"first: {fitting}", 1)) <= 1_000_000
    more = deeper.replace("first: 100", f"first: {fitting + 1}", 1)
    assert (await home.error(more))["extensions"]["cost"]["requested"] > 1_000_000


async def test_an_inner_page_is_proposed_where_no_outer_one_is_enough(home: Graph) -> None:
    settings = settings_for_tests(max_query_cost=184)
    async with open_services(settings, home.database) as services:
        error = await Graph(services).error(
            "{ espace(databaseId: 1) { some: processes(first: 90) { nodes { name } } } }"
        )
        hopeless = await Graph(services).error("{ processes { totalCount } }")
    assert error["extensions"]["cost"]["fits"] == {"path": ["espace", "some", "first"], "value": 20}
    assert "fits" not in hopeless["extensions"]["cost"]
    assert "select fewer fields" in hopeless["message"]


async def test_the_mode_decides_what_happens_to_a_costly_query(home: Graph) -> None:
    for mode, shown in (("measure", {"requested": 500, "maximum": 10}), ("off", None)):
        settings = settings_for_tests(max_query_cost=10, cost_mode=mode)
        async with open_services(settings, home.database) as services:
            query = "{ processes(first: 100) { nodes { name } } }"
            answer = await Graph(services).ask(query, extensions={"cost": True})
            assert "errors" not in answer
            assert answer.get("extensions", {}).get("cost") == shown
            assert services.operations.queries.too_costly == (1 if shown else 0)


async def test_the_permission_is_judged_before_the_cost(home: Graph) -> None:
    settings = settings_for_tests(max_query_cost=10)
    async with open_services(settings, home.database) as services:
        error = await Graph(services).error(
            "{ sources(first: 100) { nodes { name } } }", profile="guest"
        )
    assert error["extensions"]["code"] == "FORBIDDEN"


async def test_a_payload_that_costs_too_much_changes_nothing(
    shared_home: Home, database: Any
) -> None:
    graph = shared_home.graph
    page = "processes(first: 100) { nodes { espace { " * 3
    query = (
        'mutation { createEspace(espace: {reference: "costly", name: "n"}) { espace { '
        + page
        + "name"
        + " } } }" * 3
        + " } } }"
    )
    error = await graph.error(query)
    assert error["extensions"]["cost"]["requested"] > 1_000_000
    assert (await graph.data('{ espace(reference: "costly") { name } }')) == {"espace": None}
