"""Test pages: directions, exact page info, sort orders, cursors, and invalid arguments."""

from __future__ import annotations

import base64
import itertools
import json
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from gateway.services import open_services
from tests.conftest import Graph, settings_for_tests
from tests.reference.rows import Row
from tests.resolvers.operations.home import CLEANER, PROCESSES, ROWS

Sort = Callable[[Sequence[Row]], list[Row]]

ALL = list(PROCESSES)
VISIBLE = {row["process_id"] for row in ROWS["authorisation"] if row["profile_id"] == CLEANER}


def by(field: str, *, descending: bool = False) -> Sort:
    return lambda rows: sorted(rows, key=lambda row: row[field], reverse=descending)


# A sort order in GraphQL, and the stable sorts that produce it, last key first.
ORDERS: list[tuple[str, list[Sort]]] = [
    ("[]", [by("id")]),
    ("null", [by("id")]),
    ("{field: DATABASE_ID}", [by("id")]),
    ("{field: DATABASE_ID, direction: DESC}", [by("id", descending=True)]),
    ("{field: REFERENCE}", [by("reference")]),
    ("{field: REFERENCE, direction: DESC}", [by("reference", descending=True)]),
    ("{field: NAME}", [by("id"), by("name")]),
    ("{field: NAME, direction: DESC}", [by("id", descending=True), by("name", descending=True)]),
    (
        "[{field: NAME}, {field: DATABASE_ID, direction: DESC}]",
        [by("id", descending=True), by("name")],
    ),
    (
        "[{field: NAME, direction: DESC}, {field: REFERENCE}]",
        [by("reference"), by("name", descending=True)],
    ),
    ("{field: CREATED_AT}", [by("id"), by("created_at")]),
    (
        "[{field: CREATED_AT, direction: DESC}, {field: UPDATED_AT}]",
        [by("id"), by("updated_at"), by("created_at", descending=True)],
    ),
    (
        "{field: UPDATED_AT, direction: DESC}",
        [by("id", descending=True), by("updated_at", descending=True)],
    ),
    # Keys after a unique key, and repeated keys, have no effect.
    ("[{field: REFERENCE}, {field: NAME, direction: DESC}]", [by("reference")]),
    ("[{field: NAME}, {field: NAME, direction: DESC}]", [by("id"), by("name")]),
]

PAGE = """query ($first: Int, $after: String, $last: Int, $before: String) {
    processes(orderBy: %s, first: $first, after: $after, last: $last, before: $before) {
        edges { cursor node { databaseId } } nodes { databaseId } totalCount
        pageInfo { hasNextPage hasPreviousPage startCursor endCursor }
    }
}"""


def in_order(rows: Sequence[Row], sorts: Sequence[Sort]) -> list[int]:
    for sort in sorts:
        rows = sort(rows)
    return [row["id"] for row in rows]


@pytest.mark.parametrize("profile", ["admin", "cleaner"])
@pytest.mark.parametrize(("order", "sorts"), ORDERS)
async def test_every_page_of_every_order_is_correct(
    home: Graph, order: str, sorts: list[Sort], profile: str
) -> None:
    ids = in_order([row for row in ALL if profile == "admin" or row["id"] in VISIBLE], sorts)
    query = PAGE % order
    full_page = (await home.data(query, {"first": 100}, profile=profile))["processes"]
    assert [node["databaseId"] for node in full_page["nodes"]] == ids
    cursors = [edge["cursor"] for edge in full_page["edges"]]
    assert len(set(cursors)) == len(ids)
    bounds = [None, 0, 2]
    sizes: list[dict[str, int]] = [
        *({"first": n} for n in (0, 1, len(ids))),
        *({"last": n} for n in (0, 2, len(ids))),
    ]
    for after, before, size in itertools.product(bounds, bounds, sizes):
        variables: dict[str, Any] = dict(size)
        if after is not None:
            variables["after"] = cursors[after]
        if before is not None:
            variables["before"] = cursors[before]
        start = 0 if after is None else after + 1
        end = max(start, len(ids) if before is None else before)
        cut_start, cut_end = start, end
        if "first" in size:
            cut_end = min(end, start + size["first"])
        else:
            cut_start = max(start, end - size["last"])
        page = (await home.data(query, variables, profile=profile))["processes"]
        expected = list(range(cut_start, cut_end))
        assert [edge["node"]["databaseId"] for edge in page["edges"]] == [
            ids[index] for index in expected
        ], variables
        assert page["nodes"] == [edge["node"] for edge in page["edges"]]
        assert [edge["cursor"] for edge in page["edges"]] == [cursors[index] for index in expected]
        assert page["totalCount"] == len(ids)
        assert page["pageInfo"] == {
            # Rows that a cursor excludes count like rows that the page size cuts off.
            "hasNextPage": before is not None or cut_end < end,
            "hasPreviousPage": after is not None or cut_start > start,
            "startCursor": cursors[cut_start] if expected else None,
            "endCursor": cursors[cut_end - 1] if expected else None,
        }, variables


async def test_fields_selected_alone_equal_fields_selected_together(home: Graph) -> None:
    arguments = "(orderBy: {field: NAME}, last: 3)"
    parts = [
        "nodes { databaseId }",
        "edges { cursor }",
        "edges { node { databaseId } }",
        "totalCount",
        "pageInfo { hasNextPage }",
        "pageInfo { hasPreviousPage }",
        "pageInfo { startCursor endCursor }",
        "__typename",
    ]
    query = "{ processes%s { %s } }"
    together = (await home.data(query % (arguments, " ".join(parts))))["processes"]
    for part in parts:
        alone = (await home.data(query % (arguments, part)))["processes"]
        for key, value in alone.items():
            expected = together[key]
            if isinstance(value, list):
                expected = [{inner: item[inner] for inner in value[0]} for item in expected]
            elif isinstance(value, dict):
                expected = {inner: expected[inner] for inner in value}
            assert value == expected


async def test_a_page_has_20_items_by_default(graph: Graph) -> None:
    await graph.run(
        "INSERT INTO espace (reference, name)"
        " SELECT 'e' || n, 'E' FROM generate_series(1, 120) AS n"
    )
    data = await graph.data("{ espaces { nodes { reference } totalCount } }")
    assert [node["reference"] for node in data["espaces"]["nodes"]] == [
        f"e{n}" for n in range(1, 21)
    ]
    assert data["espaces"]["totalCount"] == 120
    data = await graph.data(
        "{ espaces(last: 100) { nodes { reference } pageInfo { hasPreviousPage } } }"
    )
    assert len(data["espaces"]["nodes"]) == 100
    assert data["espaces"]["pageInfo"]["hasPreviousPage"] is True


async def test_a_cursor_remains_valid_after_its_row_is_deleted(graph: Graph) -> None:
    await graph.run(
        "INSERT INTO espace (reference, name) SELECT 'e' || n, 'E' FROM generate_series(1, 5) AS n"
    )
    query = """query ($after: String) {
        espaces(after: $after, orderBy: {field: NAME}) {
            nodes { reference } edges { cursor } pageInfo { hasPreviousPage }
        }
    }"""
    first = (await graph.data(query))["espaces"]
    await graph.run("DELETE FROM espace WHERE reference IN ('e1', 'e2')")
    after = (await graph.data(query, {"after": first["edges"][1]["cursor"]}))["espaces"]
    assert [node["reference"] for node in after["nodes"]] == ["e3", "e4", "e5"]
    # The rows before the cursor no longer exist.
    assert after["pageInfo"]["hasPreviousPage"] is False


async def test_pages_can_be_nested(home: Graph) -> None:
    query = """query ($after: String, $before: String) {
        espaces(orderBy: {field: REFERENCE}) { nodes {
            reference
            processes(first: 2, after: $after, before: $before, orderBy: {field: NAME}) {
                edges { cursor node { reference } } totalCount
                pageInfo { hasNextPage hasPreviousPage startCursor endCursor }
            }
        } }
    }"""
    first = {e["reference"]: e["processes"] for e in (await home.data(query))["espaces"]["nodes"]}
    assert {
        key: [edge["node"]["reference"] for edge in page["edges"]] for key, page in first.items()
    } == {
        "alike": [],
        "empty": [],
        "light": ["leave", "lights-off"],
        "security": ["percent", "lock"],
    }
    assert {key: page["totalCount"] for key, page in first.items()} == {
        "alike": 0,
        "empty": 0,
        "light": 6,
        "security": 3,
    }
    end = first["light"]["pageInfo"]["endCursor"]
    second = {
        e["reference"]: e["processes"]
        for e in (await home.data(query, {"after": end}))["espaces"]["nodes"]
    }
    # A cursor is valid for all connections with this sort order, whatever their parent.
    assert [edge["node"]["reference"] for edge in second["light"]["edges"]] == ["umlaut2", "Zoo"]
    assert [edge["node"]["reference"] for edge in second["security"]["edges"]] == ["lock", "zoo2"]
    assert second["security"]["pageInfo"]["hasPreviousPage"] is True
    assert second["empty"]["pageInfo"] == {
        "hasNextPage": False,
        "hasPreviousPage": False,
        "startCursor": None,
        "endCursor": None,
    }


# Invalid arguments -----------------------------------------------------------------------------


NUL, SURROGATE = "\0", "\ud800"


def cursor(*values: object) -> str:
    return base64.b64encode(json.dumps(values).encode()).decode()


@pytest.mark.parametrize(
    ("arguments", "path"),
    [
        ("first: 101", ["first"]),
        ("first: -1", ["first"]),
        ("last: 101", ["last"]),
        ("last: -2147483648", ["last"]),
        ("first: 1, last: 1", ["last"]),
        ('after: ""', ["after"]),
        ('after: "no base64!"', ["after"]),
        ('after: "ÄÖÜ"', ["after"]),
        ('before: "bm8ganNvbg=="', ["before"]),  # "no json"
        (f'after: "{cursor()}"', ["after"]),
        (f'after: "{cursor("database_id")}"', ["after"]),
        (f'after: "{cursor("database_id", "1")}"', ["after"]),
        (f'after: "{cursor("database_id", True)}"', ["after"]),
        (f'after: "{cursor("database_id", 1.0)}"', ["after"]),
        (f'after: "{cursor("database_id", None)}"', ["after"]),
        (f'after: "{cursor("database_id", [1])}"', ["after"]),
        (f'after: "{cursor("database_id", 1, 2)}"', ["after"]),
        (f'after: "{cursor("database_id", 2**31)}"', ["after"]),
        (f'after: "{cursor("database_id", 10**30)}"', ["after"]),
        (f'after: "{cursor("-database_id", 1)}"', ["after"]),
        (f'after: "{cursor("name,database_id", "a", 1)}"', ["after"]),
        (f'orderBy: {{field: NAME}}, after: "{cursor("database_id", 1)}"', ["after"]),
        (f'orderBy: {{field: NAME}}, before: "{cursor("name,database_id", 1, "a")}"', ["before"]),
        (f'orderBy: {{field: NAME}}, after: "{cursor("name,database_id", NUL, 1)}"', ["after"]),
        (
            f'orderBy: {{field: NAME}}, after: "{cursor("name,database_id", SURROGATE, 1)}"',
            ["after"],
        ),
        (
            "orderBy: [{field: NAME}, {field: DATABASE_ID, direction: DESC}],"
            f' after: "{cursor("name,database_id", "a", 1)}"',
            ["after"],
        ),
    ],
)
@pytest.mark.parametrize("nested", [False, True])
async def test_invalid_page_arguments_are_rejected(
    home: Graph, arguments: str, path: list[str], nested: bool
) -> None:
    query = "{ p: processes(%s) { totalCount } }" % arguments
    if nested:
        query = "{ e: espaces(first: 0) { edges { n: node { p: processes(%s) { totalCount } } } } }"
        query %= arguments
    error = await home.error(query)
    assert error["extensions"]["code"] == "BAD_USER_INPUT"
    (problem,) = error["extensions"]["problems"]
    assert problem["path"] == ([*(["e", "edges", "n"] if nested else []), "p", *path])
    assert error["path"] == ["e" if nested else "p"]
    assert error["message"].endswith(problem["message"])


async def test_invalid_page_arguments_in_variables_are_rejected(home: Graph) -> None:
    query = """query ($n: Int, $after: String, $order: [ProcessOrder!]) {
        processes(first: $n, after: $after, orderBy: $order) { totalCount }
    }"""
    name = [{"field": "NAME"}]
    assert "errors" not in await home.ask(query, {"n": 100})
    cases: list[tuple[dict[str, Any], str]] = [
        ({"n": 101}, "first"),
        ({"n": -1}, "first"),
        ({"after": "x"}, "after"),
        ({"after": cursor("database_id", 1), "order": name}, "after"),
        ({"after": cursor("name,database_id", "\0", 1), "order": name}, "after"),
    ]
    for variables, argument in cases:
        error = await home.error(query, variables)
        assert error["extensions"]["code"] == "BAD_USER_INPUT"
        assert error["extensions"]["problems"][0]["path"] == ["processes", argument]
    for variables in ({"n": 2**31}, {"n": "1"}, {"n": True}, {"order": [{"field": "ICON"}]}):
        error = await home.error(query, variables)
        assert error["extensions"]["code"] == "BAD_USER_INPUT"
        assert "path" not in error


async def test_page_sizes_are_settings(home: Graph) -> None:
    settings = settings_for_tests(page_size_default=2, page_size_max=5)
    async with open_services(settings, home.database) as services:
        graph = Graph(services)
        data = await graph.data("{ processes { nodes { id } } }")
        assert len(data["processes"]["nodes"]) == 2
        data = await graph.data("{ processes(first: 5) { nodes { id } } }")
        assert len(data["processes"]["nodes"]) == 5
        error = await graph.error("{ processes(first: 6) { nodes { id } } }")
        assert "0 to 5" in error["message"]
