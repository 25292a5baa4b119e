"""Test lookups of single objects: by each key, by opaque ids of every type, and invalid keys."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from resolvers.values.ids import global_id
from tests.conftest import Graph

ARABIC_ONE = "\u0661"
"""A character that Python accepts as a digit."""


def raw_id(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


@pytest.mark.parametrize(
    ("field", "expected"),
    [
        ("espace(databaseId: 2)", "Espace:2"),
        ('espace(reference: "security")', "Espace:2"),
        (f'espace(id: "{global_id("Espace", 2)}")', "Espace:2"),
        ("process(databaseId: 3)", "Process:3"),
        ('process(reference: "lock")', "Process:3"),
        ('process(reference: "Zoo")', "Process:4"),
        (f'process(id: "{global_id("Process", 3)}")', "Process:3"),
        ("profile(databaseId: 4)", "Profile:4"),
        ('profile(name: "cleaner")', "Profile:4"),
        ("source(databaseId: 4)", "Source:4"),
        ('source(name: "siren")', "Source:4"),
        ("execution(databaseId: 5)", "Execution:5"),
        ('process(reference: "lock", id: null, databaseId: null)', "Process:3"),
        # No such object.
        ("process(databaseId: 99)", None),
        ("process(databaseId: 0)", None),
        ("process(databaseId: -1)", None),
        ('process(reference: "")', None),
        ('process(reference: "LOCK")', None),
        ('process(reference: "lock ")', None),
        ('source(name: "\\u0001")', None),
        (f'process(id: "{global_id("Process", 99)}")', None),
    ],
)
async def test_an_object_is_looked_up_by_each_key(
    home: Graph, field: str, expected: str | None
) -> None:
    data = await home.data("{ object: %s { id __typename } }" % field)
    if expected is None:
        assert data == {"object": None}
    else:
        type_name = expected.split(":")[0]
        assert data == {"object": {"id": raw_id(expected), "__typename": type_name}}


@pytest.mark.parametrize(
    ("field", "path"),
    [
        ("process", ["p"]),
        ("process(id: null)", ["p"]),
        ('process(databaseId: 1, reference: "leave")', ["p"]),
        ('process(reference: "\\u0000")', ["p", "reference"]),
        ('process(id: "x")', ["p", "id"]),
        ('process(id: "")', ["p", "id"]),
        ("process(id: 1)", ["p", "id"]),
        (f'process(id: "{global_id("Espace", 1)}")', ["p", "id"]),
        (f'process(id: "{raw_id("Process:0")}")', ["p", "id"]),
        (f'process(id: "{raw_id("Process:-1")}")', ["p", "id"]),
        (f'process(id: "{raw_id("Process:2147483648")}")', ["p", "id"]),
        (f'process(id: "{raw_id("Process:99999999999")}")', ["p", "id"]),
        (f'process(id: "{raw_id("Process:1:1")}")', ["p", "id"]),
        (f'process(id: "{raw_id("Process: 1")}")', ["p", "id"]),
        (f'process(id: "{raw_id("Process:" + ARABIC_ONE)}")', ["p", "id"]),
        (f'process(id: "{raw_id("process:1")}")', ["p", "id"]),
        (f'process(id: "{raw_id("Process")}")', ["p", "id"]),
        ('node(id: "x")', ["p", "id"]),
        (f'node(id: "{raw_id("Process:0")}")', ["p", "id"]),
    ],
)
async def test_invalid_keys_are_rejected(home: Graph, field: str, path: list[str]) -> None:
    error = await home.error("{ p: %s { __typename } }" % field)
    assert error["extensions"]["code"] == "BAD_USER_INPUT"
    assert error["path"] == ["p"]
    assert [problem["path"] for problem in error["extensions"]["problems"]] == [path]


NODES = """query ($ids: [ID!]!) { nodes(ids: $ids) {
    __typename id
    ... on Process { reference espace { name } subprocesses { reference } }
    ... on Espace { reference name }
    ... on Action { action process { reference } }
    ... on Input { type means: kind }
    ... on Profile { name }
    ... on Source { kind }
    ... on Execution { status }
    ... on ExecutionStep { result execution { id } }
} }"""


async def test_nodes_returns_objects_in_the_requested_order(home: Graph) -> None:
    requested = [
        "Input:2",
        "Process:1",
        "ExecutionStep:3",
        "Espace:3",
        "Process:99",
        "Process:1",
        "Action:40",
        "Profile:1",
        "Source:2",
        "Nonsense:1",
        "Execution:7",
        "Viewer:1",
    ]
    data = await home.data(NODES, {"ids": [raw_id(text) for text in requested]})
    step = {
        "result": [1, 2.5, None, {"\U0001f514": "\u0001"}],
        "execution": {"id": raw_id("Execution:1")},
    }
    process = {
        "reference": "leave",
        "espace": {"name": "Light"},
        "subprocesses": [{"reference": "lights-off"}, {"reference": "lock"}],
    }
    expected: list[dict[str, Any] | None] = [
        {"type": "Farbe", "means": "TEXT"},
        process,
        step,
        {"reference": "empty", "name": "Empty"},
        None,
        process,
        {"action": "arm", "process": {"reference": "leave"}},
        {"name": "admin"},
        {"kind": "echo"},
        None,
        {"status": "SUCCEEDED"},
        None,
    ]
    assert data["nodes"] == [
        None if value is None else {"__typename": text.split(":")[0], "id": raw_id(text), **value}
        for text, value in zip(requested, expected, strict=True)
    ]


async def test_node_returns_the_same_as_nodes(home: Graph) -> None:
    query = NODES.replace("$ids: [ID!]!", "$id: ID!").replace("nodes(ids: $ids)", "node(id: $id)")
    for profile in ("admin", "cleaner", "clerk"):
        for text in ("Process:1", "Process:3", "Espace:1", "Source:1", "Action:50", "Input:3"):
            one = await home.data(query, {"id": raw_id(text)}, profile=profile)
            many = await home.data(NODES, {"ids": [raw_id(text)]}, profile=profile)
            assert [one["node"]] == many["nodes"]


async def test_the_number_of_ids_is_limited(home: Graph) -> None:
    assert await home.data(NODES, {"ids": []}) == {"nodes": []}
    espace = global_id("Espace", 1)
    data = await home.data(NODES, {"ids": [espace] * 100})
    assert len(data["nodes"]) == 100
    error = await home.error(NODES, {"ids": [espace] * 101})
    assert error["extensions"]["code"] == "BAD_USER_INPUT"
    assert error["extensions"]["problems"][0]["path"] == ["nodes", "ids"]
    error = await home.error(NODES, {"ids": [espace, "x"]})
    assert error["extensions"]["problems"][0]["path"] == ["nodes", "ids", 1]
    # GraphQL coerces a single value to a list.
    assert await home.data(NODES, {"ids": espace}) == await home.data(NODES, {"ids": [espace]})


async def test_a_node_may_have_no_selected_fields(home: Graph) -> None:
    process, espace = global_id("Process", 1), global_id("Espace", 1)
    query = '{ nodes(ids: ["%s", "%s"]) { ... on Espace { name } } }' % (process, espace)
    assert (await home.data(query))["nodes"] == [{}, {"name": "Light"}]


REQUESTED = [
    "Espace:1",
    "Profile:1",
    "Source:1",
    "Process:1",
    "Process:4",
    "Action:10",
    "Action:70",
    "Action:80",
    "Input:1",
    "Input:3",
    "Execution:1",
    "Execution:3",
    "Execution:4",
    "Execution:5",
    "Execution:6",
    "ExecutionStep:1",
    "ExecutionStep:5",
    "ExecutionStep:6",
]


@pytest.mark.parametrize(
    ("profile", "hidden"),
    [
        ("admin", ""),
        ("janitor", ""),
        ("occupant", "Source:1"),
        # Authorized on 1 and 2, but not on 3 and 4. Requested the executions 4 and 5.
        (
            "cleaner",
            "Source:1 Process:4 Action:70 Action:80 Input:3 Execution:3 Execution:6",
        ),
        (
            "lodger",
            "Source:1 Process:1 Process:4 Action:10 Action:70 Action:80 Input:1 Input:3"
            " Execution:1 Execution:3 Execution:4 Execution:5 Execution:6"
            " ExecutionStep:1 ExecutionStep:5 ExecutionStep:6",
        ),
        (
            # Also authorized on 1 and 2, but without the permission to read.
            "clerk",
            "Source:1 Process:1 Process:4 Action:10 Action:70 Action:80 Input:1 Input:3"
            " Execution:1 Execution:3 Execution:4 Execution:5 Execution:6"
            " ExecutionStep:1 ExecutionStep:5 ExecutionStep:6",
        ),
    ],
)
async def test_nodes_are_limited_to_visible_objects(home: Graph, profile: str, hidden: str) -> None:
    data = await home.data(NODES, {"ids": [raw_id(text) for text in REQUESTED]}, profile=profile)
    missing = {text for text, node in zip(REQUESTED, data["nodes"], strict=True) if node is None}
    assert missing == set(hidden.split())
