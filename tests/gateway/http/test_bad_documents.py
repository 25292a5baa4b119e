"""Test hostile documents and values: the error explains the problem, and nothing changes."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from tests.conftest import Gateway, StartGateway
from tests.gateway.http.hostile import (
    DEEP,
    DOCUMENTS,
    VIEWER,
    bad,
    post,
    send,
)


@pytest.mark.parametrize("query", DOCUMENTS.values(), ids=DOCUMENTS)
async def test_an_invalid_document_is_rejected(hostile: Gateway, query: str) -> None:
    bad(await send(hostile, query), 200)


async def test_messages_about_documents_explain_the_problem(hostile: Gateway) -> None:
    for name, message in [
        ("a long number", "A number has more than 400 characters"),
        ("20,000 times a field", "has 380,002 characters, and at most 100,000 are allowed"),
        ("5,000 words", "has more than 1,500 tokens"),
        ("300 times a field", "has 300 fields at its root, and at most 20 are allowed"),
        ("400 conflicting fields", "repeats fields, or spreads fragments, too often"),
        ("200 aliases", "has 200 fields at its root"),
        ("the schema 100 times", "has 100 fields at its root"),
        ("all types 201 times", "has 201 aliases, and at most 200 are allowed"),
        ("all types 190 times", "selects too much of the schema"),
        ("deep fields", "has 300,000 characters"),
        ("deep and few", "nested too deeply"),
        ("deep filters", "more than 20 levels of nested filters"),
        ("2^16 fields", "has 131,070 aliases"),
        ("two to choose from", "expected one of the document's operations: a, b"),
        ("a cycle", 'Cannot spread fragment "f" within itself'.replace('"', "'")),
    ]:
        errors = bad(await send(hostile, DOCUMENTS[name]), 200)
        assert any(message in error["message"] for error in errors), (name, errors)


async def test_an_unknown_operation_name_is_rejected(hostile: Gateway) -> None:
    for query in (VIEWER, "query a { viewer { seesAll } } query b { viewer { seesAll } }"):
        for name in ("c", "A", "\N{SNOWMAN}", "__proto__"):
            bad(await post(hostile, {"query": query, "operationName": name}), 200)


# Values ------------------------------------------------------------------------------------------


def opaque(text: str | bytes) -> str:
    return base64.b64encode(text.encode() if isinstance(text, str) else text).decode()


NOT_IDS = [
    "",
    "1",
    "Process:1",
    "\N{SNOWMAN}",
    "=" * 40,
    "A" * 100_000,
    opaque(b"\xff\xfe"),
    opaque("Process"),
    opaque("Process:"),
    opaque("Process:0"),
    opaque("Process:-1"),
    opaque("Process:1.0"),
    opaque("Process:2147483648"),
    opaque("Process:99999999999999999999"),
    opaque("Process:" + "9" * 5000),
    opaque("Process:\N{ARABIC-INDIC DIGIT THREE}"),
    opaque("Process:1:2"),
    opaque("Process:1\0"),
    opaque("Process: 1"),
]


async def test_invalid_ids_are_rejected(hostile: Gateway) -> None:
    for id_ in NOT_IDS:
        for query in (
            "query($id: ID!) { node(id: $id) { id } }",
            "query($id: ID!) { nodes(ids: [$id]) { id } }",
            "query($id: ID!) { process(id: $id) { id } }",
            "mutation($id: ID!) { deleteProcess(id: $id) { deletedId } }",
            "mutation($id: ID!) { executeProcess(id: $id) { execution { id } } }",
        ):
            bad(await send(hostile, query, id=id_), 200)
    for unknown in ("Nothing:1", "process:1", "__Type:1"):
        reply = await send(hostile, "query($id: ID!) { node(id: $id) { id } }", id=opaque(unknown))
        assert reply.json["data"] == {"node": None}


async def test_invalid_database_ids_are_rejected(hostile: Gateway) -> None:
    query = "query($id: Int!) { process(databaseId: $id) { id } }"
    not_ints: list[Any] = [2**31, -(2**31) - 1, 2**63, 1.5, True, "1", [], {}]
    for id_ in not_ints:
        bad(await send(hostile, query, id=id_), 200)
    for unknown in (0, -1, 2**31 - 1):
        assert (await send(hostile, query, id=unknown)).json == {"data": {"process": None}}


async def test_nul_characters_in_texts_are_rejected(hostile: Gateway) -> None:
    for where in (
        '{name: {eq: "%s"}}',
        '{name: {in: ["a", "%s"]}}',
        '{description: {contains: "%s"}}',
        '{reference: {startsWith: "%s"}}',
        '{or: [{name: {eq: "a"}}, {not: {espace: {name: {contains: "%s"}}}}]}',
        '{actions: {sourceName: {eq: "%s"}}}',
    ):
        query = f"{{ processes(where: {where % chr(92)}u0000) {{ totalCount }} }}"
        query = query.replace("\\" + chr(34), "\\u0000" + chr(34)).replace("u0000)", ")")
        (error,) = bad(await send(hostile, query), 200)
        assert error["path"] == ["processes"]
        assert "must not contain the NUL character" in error["message"]
    for query in (
        '{ process(reference: "\\u0000") { id } }',
        '{ node(id: "\\u0000") { id } }',
        '{ processes(after: "\\u0000") { totalCount nodes { id } } }',
        '{ espace(reference: "a\\u0000") { id } }',
        'mutation { createEspace(espace: {reference: "a", name: "\\u0000"}) { espace { id } } }',
        'mutation { updateProcesses(changes: [{databaseId: 1, icon: "\\u0000"}])'
        " { updatedCount } }",
        f'mutation {{ removeInput(ofProcess: "{opaque("Process:2")}", reference: "\\u0000")'
        " { removedId } }",
        f'mutation {{ executeProcess(id: "{opaque("Process:2")}", values: ["\\u0000"])'
        " { execution { id } } }",
        'mutation { createSource(source: {name: "a", kind: "echo", settings: {a: "\\u0000"}})'
        " { source { id } } }",
        f'mutation {{ authoriseProfile(process: "{opaque("Process:2")}",'
        ' profile: {name: "\\u0000"}) { process { id } } }',
    ):
        bad(await send(hostile, query), 200)


async def test_invalid_cursors_are_rejected(hostile: Gateway) -> None:
    query = "query($c: String) { processes(first: 1, after: $c, orderBy: {field: NAME})"
    query += " { pageInfo { endCursor } nodes { reference } } }"
    page = (await send(hostile, query)).json["data"]["processes"]
    cursor = page["pageInfo"]["endCursor"]
    order, name, number = json.loads(base64.b64decode(cursor))
    assert isinstance(name, str)
    assert isinstance(number, int)
    assert (await send(hostile, query, c=cursor)).status == 200
    cursors: list[Any] = [
        [order, "a\0", 1],
        [order, name, 2**31],
        [order, name, -(2**31)],
        [order, name, 10**30],
        [order, name, 1.5],
        [order, name, True],
        [order, name, None],
        [order, name, "1"],
        [order, name],
        [order, name, number, number],
        [order, [name], number],
        ["", name, number],
        [],
        {},
        None,
        1,
        "text",
    ]
    for content in cursors:
        bad(await send(hostile, query, c=opaque(json.dumps(content))), 200)
    surrogate = json.dumps([order, "\ud800", 1])
    for text in ["", "x", cursor[:-3], opaque(surrogate), opaque("[" * DEEP), "é"]:
        bad(await send(hostile, query, c=text), 200)


async def test_variables_of_the_wrong_type_are_rejected(hostile: Gateway) -> None:
    create = "mutation($p: NewProcess!) { createProcess(process: $p) { process { id } } }"
    processes: list[Any] = [
        None,
        1,
        "x",
        [],
        {},
        {"reference": 1, "name": "a"},
        {"reference": "a", "name": None},
        {"reference": "a", "name": "a", "unknown": 1},
        {"reference": "a", "name": "a", "mode": "simple"},
        {"reference": "a", "name": "a", "mode": 1},
        {"reference": "a", "name": "a", "actions": {"source": "echo"}},
        {"reference": "a", "name": "a", "espace": {"reference": "a", "databaseId": 1}},
        {"reference": "a", "name": "a", "espace": {}},
        {"reference": "a", "name": "a", "espace": {"reference": None}},
        {"__proto__": {}, "name": "a", "reference": "a"},
    ]
    for process in processes:
        bad(await send(hostile, create, p=process), 200)
    deep: Any = "x"
    for _ in range(300):
        deep = [deep]
    bad(await send(hostile, create, p=deep), 200)


async def test_the_limits_are_settings(start_gateway: StartGateway) -> None:
    async with start_gateway(max_body_bytes=100, max_query_tokens=5, max_query_depth=1) as gateway:
        assert (await send(gateway, "{ __typename }")).status == 200
        for query in ("{ " + "a" * 100 + " }", "{ a b c d e }", "{ viewer { profile { name } } }"):
            bad(await send(gateway, query), 200, 400)
