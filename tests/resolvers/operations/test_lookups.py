"""Look-ups of single objects: by each key, by opaque ids of every type, and wrong ones."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from resolvers.values.ids import global_id
from tests.conftest import Graph

ARABIC_ONE = "\u0661"
"""A digit to Python, too."""


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
        # Nothing there.
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
async def test_one_object(home: Graph, field: str, expected: str | None) -> None:
    data = await home.data("{ found: %s { id __typename } }" % field)
    if expected is None:
        assert data == {"found": None}
    else:
        type_name = expected.split(":")[0]
        assert data == {"found": {"id": raw_id(expected), "__typename": type_name}}


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
async def test_wrong_keys(home: Graph, field: str, path: list[str]) -> None:
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


async def test_nodes_of_every_type_in_the_order_asked_for(home: Graph) -> None:
    asked = [
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
    data = await home.data(NODES, {"ids": [raw_id(text) for text in asked]})
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
        for text, value in zip(asked, expected, strict=True)
    ]


async def test_node_answers_as_nodes_does(home: Graph) -> None:
    query = NODES.replace("$ids: [ID!]!", "$id: ID!").replace("nodes(ids: $ids)", "node(id: $id)")
    for profile in ("admin", "cleaner", "clerk"):
        for text in ("Process:1", "Process:3", "Espace:1", "Source:1", "Action:50", "Input:3"):
            one = await home.data(query, {"id": raw_id(text)}, profile=profile)
            many = await home.data(NODES, {"ids": [raw_id(text)]}, profile=profile)
            assert [one["node"]] == many["nodes"]


async def test_no_nodes_and_too_many(home: Graph) -> None:
    assert await home.data(NODES, {"ids": []}) == {"nodes": []}
    espace = global_id("Espace", 1)
    data = await home.data(NODES, {"ids": [espace] * 100})
    assert len(data["nodes"]) == 100
    error = await home.error(NODES, {"ids": [espace] * 101})
    assert error["extensions"]["code"] == "BAD_USER_INPUT"
    assert error["extensions"]["problems"][0]["path"] == ["nodes", "ids"]
    error = await home.error(NODES, {"ids": [espace, "x"]})
    assert error["extensions"]["problems"][0]["path"] == ["nodes", "ids", 1]
    # A single value stands for a list of it, as everywhere in GraphQL.
    assert await home.data(NODES, {"ids": espace}) == await home.data(NODES, {"ids": [espace]})


async def test_a_node_of_which_nothing_is_asked(home: Graph) -> None:
    process, espace = global_id("Process", 1), global_id("Espace", 1)
    query = '{ nodes(ids: ["%s", "%s"]) { ... on Espace { name } } }' % (process, espace)
    assert (await home.data(query))["nodes"] == [{}, {"name": "Light"}]


ASKED = [
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
    ("profile", "unseen"),
    [
        ("admin", ""),
        ("janitor", ""),
        ("occupant", "Source:1"),
        # Authorised on 1 and 2, neither on 3 nor 4; asked for executions 4 and 5.
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
            # Authorised on 1 and 2 too, but without the permission to read.
            "clerk",
            "Source:1 Process:1 Process:4 Action:10 Action:70 Action:80 Input:1 Input:3"
            " Execution:1 Execution:3 Execution:4 Execution:5 Execution:6"
            " ExecutionStep:1 ExecutionStep:5 ExecutionStep:6",
        ),
    ],
)
async def test_nodes_that_a_viewer_sees(home: Graph, profile: str, unseen: str) -> None:
    data = await home.data(NODES, {"ids": [raw_id(text) for text in ASKED]}, profile=profile)
    missing = {text for text, node in zip(ASKED, data["nodes"], strict=True) if node is None}
    assert missing == set(unseen.split())
