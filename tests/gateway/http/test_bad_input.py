"""What a hostile or broken GraphQL client may send: it is told what to mend, nothing changes."""

from __future__ import annotations

import asyncio
import base64
import gzip
import io
import json
import logging
import re
import time
import zlib
from collections.abc import AsyncIterator, Iterator
from typing import Any
from urllib.parse import quote

import aiohttp
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from storage.database.database import Database
from tests.conftest import Gateway, Reply, StartGateway, database_copy, running_gateway
from tests.resolvers.home import Home

logger = logging.getLogger(__name__)

LIMIT = 1024 * 1024
_LEAKS = re.compile(
    rb"asyncpg|postgres|psql|SELECT |INSERT |Traceback|File \\|\.py\b|site-packages|orjson|pydantic"
    rb"|sys\.|Exception|surrogates not allowed|codec|/(?:home|usr|root|tmp)/|localhost",
    re.IGNORECASE,
)


@pytest.fixture(scope="module")
async def shared(postgres: str, template: str) -> AsyncIterator[Gateway]:
    """One gateway for all of it: what is refused changes nothing."""
    async with database_copy(postgres, template) as url:
        database = await Database.connect(url, pool_max=4)
        try:
            async with running_gateway(database) as gateway:
                home = Home(gateway)
                await home.process("hall", actions=[{"source": "echo", "action": "say"}])
                await home.process("attic", inputs=[{"name": "n"}])
                yield gateway
        finally:
            await database.close()


@pytest.fixture
async def hostile(shared: Gateway) -> AsyncIterator[Gateway]:
    """A gateway that a test must not change."""
    before = await Home(shared).dump()
    yield shared
    assert await Home(shared).dump() == before


def bad(reply: Reply, *statuses: int) -> list[dict[str, Any]]:
    """The errors of a reply that says what to mend, and nothing else."""
    assert reply.status in (statuses or (400,)), reply
    assert reply.headers["Content-Type"].startswith("application/")
    errors: list[dict[str, Any]] = reply.json["errors"]
    assert errors
    for error in errors:
        assert error["extensions"]["code"] == "BAD_USER_INPUT", error
        assert error["message"] not in ("", "None")
        assert len(error["message"]) < 2000
    found = _LEAKS.search(reply.body)
    assert found is None, (found, reply.body)
    return errors


async def post(gateway: Gateway, body: Any) -> Reply:
    return await gateway.call("POST", "/graphql", body)


async def send(gateway: Gateway, query: str, **variables: Any) -> Reply:
    return await post(gateway, {"query": query, "variables": variables})


# Bodies ------------------------------------------------------------------------------------------

DEEP = 100_000
VIEWER = "{ viewer { seesAll } }"
BODIES: dict[str, tuple[bytes, str]] = {
    "nothing": (b"", "the body is empty"),
    "blanks": (b" \n", "the body is empty"),
    "cut off": (b'{"query": "{ vie', "ends before it is complete"),
    "a word": (b"nul", "not valid JSON"),
    "null": (b"null", "expected an object with a query, got null"),
    "an array": (b"[]", "expected an object with a query, got a list"),
    "a batch": (b'[{"query": "{ viewer { seesAll } }"}]', "got a list"),
    "a number": (b"12", "got 12"),
    "a text": (b'"{ viewer { seesAll } }"', "expected an object"),
    "not UTF-8": (b'{"query": "\xff"}', "not valid UTF-8 at line 1, column 12"),
    "an overlong NUL": (b'{"query": "\xc0\x80"}', "not valid UTF-8"),
    "a surrogate in UTF-8": (b'{"query": "\xed\xa0\x80"}', "not valid UTF-8"),
    "a byte order mark": (b"\xef\xbb\xbf{}", "byte order mark"),
    "UTF-16": ('{"query": "{ viewer { seesAll } }"}'.encode("utf-16"), "not valid UTF-8"),
    "no query": (b"{}", "query: is required"),
    "query null": (b'{"query": null}', "query: is required"),
    "query a number": (b'{"query": 1}', "query: expected text, got 1"),
    "query a list": (b'{"query": ["{ viewer { seesAll } }"]}', "query: expected text, got a list"),
    "variables a list": (b'{"query": "{a}", "variables": []}', "variables: expected an object"),
    "variables a text": (b'{"query": "{a}", "variables": "{}"}', "variables: expected an object"),
    "name a number": (b'{"query": "{a}", "operationName": 1}', "operationName: expected text"),
    "name an object": (b'{"query": "{a}", "operationName": {}}', "operationName: expected text"),
    "query twice": (b'{"query": "{a}", "query": "{b}"}', 'duplicate key "query"'),
    "query twice, escaped": (b'{"query": "{a}", "qu\\u0065ry": "{b}"}', 'duplicate key "query"'),
    "a variable twice": (
        b'{"query": "{a}", "variables": {"a": {"b": 1, "c": [{}], "b": 2}}}',
        'duplicate key "b"',
    ),
    "deep arrays": (b"[" * DEEP, "nested deeper than 1,024 levels"),
    "deep objects": (b'{"a":' * DEEP, "nested deeper than 1,024 levels"),
    "deep variables": (
        b'{"query": "{a}", "variables": {"a": ' + b"[" * DEEP + b"]" * DEEP + b"}}",
        "nested deeper than 1,024 levels",
    ),
    "a long number": (
        b'{"query": "{a}", "variables": {"a": ' + b"9" * 5000 + b"}}",
        "a number is too large",
    ),
    "a large exponent": (b'{"query": "{a}", "variables": {"a": 1e999}}', "a number is too large"),
    "NaN": (b'{"query": "{a}", "variables": {"a": NaN}}', "not valid JSON"),
    "a comment": (b'{"query": "{a}" /* hello */}', "not valid JSON"),
    "a comma too many": (b'{"query": "{a}",}', "not valid JSON"),
    "two values": (b'{"query": "{a}"} {}', "not valid JSON"),
    "a NUL": (b'{"query": "{a}", "variables": {"a": ["\\u0000"]}}', "variables.a[0]: holds a NUL"),
    "a NUL in the query": (b'{"query": "{a}\\u0000"}', "query: holds a NUL"),
    "a raw NUL": (b'{"query": "{a}\0"}', "not valid JSON"),
    "half a pair": (b'{"query": "{a}", "variables": {"a": "\\ud800"}}', "half of a surrogate pair"),
    "the other half": (b'{"query": "\\udc00"}', "half of a surrogate pair"),
    "half a pair as a key": (b'{"\\ud83d": 1}', "half of a surrogate pair"),
}


@pytest.mark.parametrize(("body", "message"), BODIES.values(), ids=BODIES)
async def test_a_body_that_is_no_request(hostile: Gateway, body: bytes, message: str) -> None:
    (error,) = bad(await post(hostile, body))
    assert message in error["message"]


async def test_a_body_is_read_as_json_whatever_its_type(hostile: Gateway) -> None:
    body = json.dumps({"query": VIEWER}).encode()
    for type_ in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data", "?"):
        reply = await hostile.call("POST", "/graphql", body, headers={"Content-Type": type_})
        assert reply.json == {"data": {"viewer": {"seesAll": True}}}


# Sizes -------------------------------------------------------------------------------------------


async def in_chunks(body: bytes) -> AsyncIterator[bytes]:
    for start in range(0, len(body), 2**16):
        yield body[start : start + 2**16]


async def test_a_body_past_the_limit(hostile: Gateway) -> None:
    token = await hostile.token()
    fits = b'{"query": "{ viewer { seesAll } }", "extensions": "'
    fits += b"x" * (LIMIT - len(fits) - 2) + b'"}'
    assert len(fits) == LIMIT
    async with aiohttp.ClientSession(headers={"Authorization": token}) as client:
        for body, status in ((fits, 200), (fits + b" ", 400), (b"x" * (5 * LIMIT), 400)):
            for data in (io.BytesIO(body), in_chunks(body)):
                async with client.post(f"{hostile.url}/graphql", data=data) as response:
                    reply = Reply(response.status, dict(response.headers), await response.read())
                assert reply.status == status
                if status == 400:
                    (error,) = bad(reply)
                    assert error["message"] == "the body is longer than 1,048,576 bytes"


async def test_a_body_that_was_packed(hostile: Gateway) -> None:
    body = json.dumps({"query": VIEWER}).encode()
    bomb = b'{"query": "' + b"a" * (30 * LIMIT) + b'"}'
    for encoding, packed, statuses in [
        ("gzip", gzip.compress(body), (200, 400)),
        ("deflate", zlib.compress(body), (200, 400)),
        ("gzip", b"not packed at all", (400,)),
        ("deflate", b"\xff" * 100, (400,)),
        ("gzip", gzip.compress(body)[:20], (400,)),
        ("gzip", gzip.compress(bomb), (400,)),
        ("deflate", zlib.compress(bomb), (400,)),
    ]:
        reply = await hostile.call(
            "POST", "/graphql", packed, headers={"Content-Encoding": encoding}
        )
        assert reply.status in statuses, (encoding, packed[:20], reply)
        if reply.status == 400:
            bad(reply)


async def test_a_request_that_is_broken_off(hostile: Gateway) -> None:
    """It is answered or its connection is closed; the next one is served all the same."""
    port = int(hostile.url.rpartition(":")[2])
    token = await hostile.token()
    start = f"POST /graphql HTTP/1.1\r\nHost: x\r\nAuthorization: {token}\r\n".encode()
    for rest in [
        b"Content-Length: 100\r\n\r\n{",
        b"Content-Length: -1\r\n\r\n",
        b"Transfer-Encoding: chunked\r\n\r\n5\r\n{",
        b"Transfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n0\r\n\r\n",
        b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n{}",
        b"Content-Encoding: gzip\r\nContent-Length: 2\r\n\r\n{}",
    ]:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(start + rest)
        writer.write_eof()
        async with asyncio.timeout(2):
            answer = await reader.read()
        assert b" 500 " not in answer.split(b"\r\n", 1)[0]
        assert _LEAKS.search(answer) is None
        writer.close()
        assert (await send(hostile, VIEWER)).status == 200


# Documents ---------------------------------------------------------------------------------------


def nested(opening: str, closing: str, levels: int, inside: str = "") -> str:
    return opening * levels + inside + closing * levels


def doubling(levels: int) -> str:
    """Fragments that each spread the next one twice, at two places."""
    fragments = "".join(
        f"fragment f{level} on Process {{ a: subprocesses {{ ...f{level + 1} }}"
        f" b: subprocesses {{ ...f{level + 1} }} }} "
        for level in range(levels)
    )
    return f"{fragments} fragment f{levels} on Process {{ name }}"


_ALL = "fields { name args { name type { name } } type { name ofType { name } } }"
DOCUMENTS: dict[str, str] = {
    "nothing": "",
    "blanks": " ,\n",
    "no braces": "viewer",
    "deep fields": nested("{a", "}", DEEP),
    "deep and cut off": "{a" * DEEP,
    "deep and few": nested("{a", "}", 900),
    "deep lists": "{ processes(where: " + "[" * DEEP,
    "deep values": "{ processes(where: " + nested("{not: ", "}", DEEP, "{}") + ") { totalCount } }",
    "deep, but few tokens": "{ processes { nodes {"
    + nested("subprocesses {", "}", 60, "name")
    + "} } }",
    "deep filters": "{ processes(where: "
    + nested("{subprocesses: ", "}", 150, "{}")
    + ") { totalCount } }",
    "a long number": "{ processes(first: " + "9" * 5000 + ") { totalCount } }",
    "a long number as an id": "{ node(id: " + "9" * 5000 + ") { id } }",
    "a long fraction": "{ processes(first: 1." + "9" * 5000 + ") { totalCount } }",
    "a long number as JSON": 'mutation { createSource(source: {name: "a", kind: "echo", settings:'
    " {a: " + "9" * 5000 + "}}) { source { id } } }",
    "a long default": "query($a: Int = " + "9" * 5000 + ") { processes(first: $a) { totalCount } }",
    "a long name": "{ " + "a" * 100_000 + " }",
    "a huge number": "{ process(databaseId: 2147483648) { id } }",
    "a negative page": "{ processes(first: -1) { totalCount } }",
    "an endless page": "{ processes(first: 101) { totalCount } }",
    "two keys": '{ process(databaseId: 1, reference: "a") { id } }',
    "a literal half of a pair": '{ process(reference: "\\uD800") { id } }',
    "a literal half in braces": '{ process(reference: "\\u{D800}") { id } }',
    "past Unicode": '{ process(reference: "\\u{110000}") { id } }',
    "an unknown field": "{ viewr { seesAll } }",
    "an unknown argument": "{ viewer(a: 1) { seesAll } }",
    "an unknown type": "query($a: Nothing) { viewer { seesAll } }",
    "an unknown directive": "{ viewer { seesAll @nothing } }",
    "an unknown fragment": "{ viewer { ...nothing } }",
    "a missing variable": "query($a: ID!) { node(id: $a) { id } }",
    "a subscription": "subscription { viewer { seesAll } }",
    "a definition": "type A { b: Int }",
    "a definition beside": "{ viewer { seesAll } } extend type Query { b: Int }",
    "a fragment alone": "fragment f on Viewer { seesAll }",
    "two without names": "{ viewer { seesAll } } { viewer { seesAll } }",
    "two to choose from": "query a { viewer { seesAll } } query b { viewer { seesAll } }",
    "a cycle": "{ viewer { ...f } } fragment f on Viewer { ...g } fragment g on Viewer { ...f }",
    "a cycle in itself": "{ viewer { ...f } } fragment f on Viewer { profile { processes { nodes"
    " { profiles { ...g } } } } }"
    " fragment g on Profile { processes { nodes { profiles { ...g } } } }",
    "2^16 fields": "{ processes { nodes { ...f0 } } } " + doubling(16),
    "2^60 fields": "{ processes { nodes { ...f0 } } } " + doubling(60),
    "10,000 aliases": "{" + " ".join(f"a{n}: __typename" for n in range(10_000)) + "}",
    "500 aliases": "{" + " ".join(f"a{n}: viewer {{ seesAll }}" for n in range(500)) + "}",
    "20,000 times a field": "{" + "viewer { seesAll } " * 20_000 + "}",
    "5,000 words": "{" + "a " * 5000 + "}",
    "900 times a field": "{" + "viewer { seesAll } " * 900 + "}",
    "3,900 times a word": "{" + "__typename " * 3900 + "}",
    "fragments beside fragments": "{ viewer {"
    + " ".join(f"...f{n}" for n in range(200))
    + "} }"
    + "".join(f"fragment f{n} on Viewer {{ seesAll permissions }}" for n in range(200)),
    "the schema 300 times": "{"
    + " ".join(f"a{n}: __schema {{ ...s }}" for n in range(300))
    + "} fragment s on __Schema { types { "
    + _ALL
    + " } }",
    "the schema 99 times": "{"
    + " ".join(f"a{n}: __schema {{ ...s }}" for n in range(99))
    + "} fragment s on __Schema { types { "
    + _ALL
    + " } }",
    "all types 300 times": "{ __schema {"
    + " ".join(f"a{n}: types {{ ...t }}" for n in range(300))
    + "} } fragment t on __Type { "
    + _ALL
    + " }",
    "types of types": "{ __schema { types "
    + nested("{ fields { type ", "} }", 12, "{ name }")
    + " } }",
    "1,900 directives": "{ viewer { seesAll " + "@skip(if: false) " * 600 + "} }",
    "400 operations": "".join(f"query q{n} {{ viewer {{ seesAll }} }}" for n in range(400)),
}


@pytest.mark.parametrize("query", DOCUMENTS.values(), ids=DOCUMENTS)
async def test_a_document_that_is_refused(hostile: Gateway, query: str) -> None:
    bad(await send(hostile, query), 200, 400)


async def test_messages_about_documents_say_what_to_mend(hostile: Gateway) -> None:
    for name, message in [
        ("a long number", "A number has more than 400 characters"),
        ("20,000 times a field", "more than 100,000 characters"),
        ("5,000 words", "more than 4000 tokens"),
        ("900 times a field", "repeats fields, or spreads fragments, too often"),
        ("500 aliases", "more than 100 fields at its root"),
        ("the schema 300 times", "more than 100 fields at its root"),
        ("the schema 99 times", "selects too much of the schema"),
        ("all types 300 times", "selects too much of the schema"),
        ("deep fields", "more than 100,000 characters"),
        ("deep and few", "nested too deeply"),
        ("deep filters", "filters are nested deeper than 40 levels"),
        ("2^16 fields", "selects more than 5,000 fields"),
        ("two to choose from", "expected one of the document's operations: a, b"),
        ("a cycle", 'Cannot spread fragment "f" within itself'.replace('"', "'")),
    ]:
        errors = bad(await send(hostile, DOCUMENTS[name]), 200, 400)
        assert any(message in error["message"] for error in errors), (name, errors)


async def test_an_operation_that_the_document_has_not(hostile: Gateway) -> None:
    for query in (VIEWER, "query a { viewer { seesAll } } query b { viewer { seesAll } }"):
        for name in ("c", "A", "\N{SNOWMAN}", "__proto__"):
            bad(await post(hostile, {"query": query, "operationName": name}))


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


async def test_what_is_no_id(hostile: Gateway) -> None:
    for wrong in NOT_IDS:
        for query in (
            "query($id: ID!) { node(id: $id) { id } }",
            "query($id: ID!) { nodes(ids: [$id]) { id } }",
            "query($id: ID!) { process(id: $id) { id } }",
            "mutation($id: ID!) { deleteProcess(id: $id) { deletedId } }",
            "mutation($id: ID!) { executeProcess(id: $id) { execution { id } } }",
        ):
            bad(await send(hostile, query, id=wrong), 200)
    for unknown in ("Nothing:1", "process:1", "__Type:1"):
        reply = await send(hostile, "query($id: ID!) { node(id: $id) { id } }", id=opaque(unknown))
        assert reply.json["data"] == {"node": None}


async def test_what_is_no_database_id(hostile: Gateway) -> None:
    query = "query($id: Int!) { process(databaseId: $id) { id } }"
    not_ints: list[Any] = [2**31, -(2**31) - 1, 2**63, 1.5, True, "1", [], {}]
    for wrong in not_ints:
        bad(await send(hostile, query, id=wrong), 400)
    for nobody in (0, -1, 2**31 - 1):
        assert (await send(hostile, query, id=nobody)).json == {"data": {"process": None}}


async def test_nul_where_texts_are_looked_for(hostile: Gateway) -> None:
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


async def test_what_is_no_cursor(hostile: Gateway) -> None:
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
    for wrong in cursors:
        bad(await send(hostile, query, c=opaque(json.dumps(wrong))), 200)
    surrogate = json.dumps([order, "\ud800", 1])
    for text in ["", "x", cursor[:-3], opaque(surrogate), opaque("[" * DEEP), "é"]:
        bad(await send(hostile, query, c=text), 200)


async def test_variables_that_do_not_fit(hostile: Gateway) -> None:
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
    for wrong in processes:
        bad(await send(hostile, create, p=wrong), 200, 400)
    deep: Any = "x"
    for _ in range(300):
        deep = [deep]
    bad(await send(hostile, create, p=deep), 400)


# GET ---------------------------------------------------------------------------------------------


async def get(gateway: Gateway, query: str) -> Reply:
    return await gateway.call("GET", f"/graphql?{query}")


async def test_a_get_that_is_broken(hostile: Gateway) -> None:
    assert (await get(hostile, f"query={quote(VIEWER)}")).status == 200
    for query in [
        "",
        "query=",
        "query=%7B",
        "query=%FF",
        "query=%ED%A0%80",
        f"query={quote(VIEWER)}&operationName=%FF",
        f"query={quote(VIEWER)}&operationName=nothing",
        f"query={quote(VIEWER)}&variables=%7B",
        f"query={quote(VIEWER)}&variables=%FF",
        f"query={quote(VIEWER)}&variables=[]",
        f"query={quote(VIEWER)}&variables=1",
        f"query={quote(VIEWER)}&variables={'[' * 2000}",
        f"query={quote(VIEWER)}&variables=%7B%22a%22:1,%22a%22:2%7D",
        f"query={quote(VIEWER)}&query={quote('{ sources { totalCount } }')}",
    ]:
        bad(await get(hostile, query))


async def test_a_mutation_by_get_is_not_run(hostile: Gateway) -> None:
    query = 'mutation { createEspace(espace: {reference: "a", name: "A"}) { espace { id } } }'
    for more in ("", "&operationName="):
        reply = await get(hostile, f"query={quote(query)}{more}")
        assert reply.headers["Allow"] == "POST"
        bad(reply, 405)
    both = f"query q {VIEWER} {query.replace('mutation', 'mutation m', 1)}"
    bad(await get(hostile, f"query={quote(both)}&operationName=m"), 405)
    assert (await get(hostile, f"query={quote(both)}&operationName=q")).status == 200


async def test_other_methods_are_named(hostile: Gateway) -> None:
    for method in ("PUT", "DELETE", "PATCH"):
        reply = await hostile.call(method, "/graphql", {"query": VIEWER})
        assert reply.status == 405
        assert {"GET", "POST"} <= set(reply.headers["Allow"].replace(" ", "").split(","))


# Anything ----------------------------------------------------------------------------------------

_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
_TOKENS = '''{ } ( ) [ ] : ! $ @ ... = | & " """ query mutation fragment on viewer processes nodes
    id name where eq first after Process Viewer a b 1 -1 1.5 null true # , \\u0000 \ufeff é 𝄞'''
_WORDS = st.sampled_from([*_TOKENS.split(), "\n"])
_DOCUMENT = st.text() | st.lists(_WORDS, max_size=25).map(" ".join)
_REQUEST = st.fixed_dictionaries(
    {},
    optional={"query": _DOCUMENT | _JSON, "variables": _JSON, "operationName": _JSON, "x": _JSON},
)
_NEW = st.fixed_dictionaries(
    {"reference": st.text(max_size=5), "name": st.just("")},  # never valid: nothing is to change
    optional={
        name: _JSON
        | st.lists(st.fixed_dictionaries({}, optional={"source": st.text(), "name": _JSON}))
        for name in ("actions", "inputs", "espace", "profiles", "mode", "icon", "description")
    },
)
_CALLS = st.one_of(
    _NEW.map(
        lambda p: ("mutation($v: NewProcess!) { createProcess(process: $v) { process { id } } }", p)
    ),
    _JSON.map(lambda w: ("query($v: ProcessWhere) { processes(where: $v) { totalCount } }", w)),
    st.text().map(
        lambda t: (
            "query($v: String) { processes(where: {name: {contains: $v}}) { totalCount } }",
            t,
        )
    ),
    st.text().map(lambda t: ("query($v: String) { processes(after: $v) { nodes { id } } }", t)),
    st.text().map(lambda t: ("query($v: ID!) { node(id: $v) { id } }", t)),
).map(lambda found: {"query": found[0], "variables": {"v": found[1]}})
_BODIES = st.one_of(
    st.binary(max_size=200),
    _JSON.map(lambda value: json.dumps(value).encode()),
    _REQUEST.map(lambda value: json.dumps(value).encode()),
    _CALLS.map(lambda value: json.dumps(value).encode()),
)


@settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
@given(body=_BODIES)
async def test_whatever_comes_is_no_fault_of_the_server(shared: Gateway, body: bytes) -> None:
    reply = await post(shared, body)
    assert reply.status in (200, 400)
    answer = reply.json
    for error in answer.get("errors", ()):
        assert error["extensions"]["code"] == "BAD_USER_INPUT", error
    assert "data" in answer or answer["errors"]


# Time --------------------------------------------------------------------------------------------


async def test_nothing_of_this_holds_up_the_others_for_long(hostile: Gateway) -> None:
    """Logs what held up the event loop longest. How long that is depends on the machine."""
    longest: list[tuple[float, str]] = []
    token = await hostile.token()
    for name, body in _measured():
        async with aiohttp.ClientSession(headers={"Authorization": token}) as client:
            waits: list[float] = []
            ticking = asyncio.create_task(_tick(waits))
            await asyncio.sleep(0.01)
            waits.clear()
            async with client.post(f"{hostile.url}/graphql", data=io.BytesIO(body)) as response:
                await response.read()
                assert response.status < 500
            await asyncio.sleep(0.002)
            ticking.cancel()
        longest.append((max(waits), name))
    for waited, name in sorted(longest, reverse=True)[:8]:
        logger.info("%6.0f ms  %s", waited * 1000, name)


async def _tick(waits: list[float]) -> None:
    while True:
        before = time.perf_counter()
        await asyncio.sleep(0.001)
        waits.append(time.perf_counter() - before)


def _measured() -> Iterator[tuple[str, bytes]]:
    yield from ((name, body) for name, (body, _) in BODIES.items())
    for name, query in DOCUMENTS.items():
        yield name, json.dumps({"query": query}).encode()
    for name, query in {
        "a megabyte of commas": "," * 1_000_000 + VIEWER,
        "a megabyte of lines": "#\n" * 300_000 + VIEWER,
        "a megabyte of escapes": '{ process(reference: "' + "\\u0041" * 140_000 + '") { id } }',
        "a megabyte of text": '{ process(reference: "' + "a" * 1_000_000 + '") { id } }',
        "a megabyte of a block": '{ process(reference: """' + " \n" * 300_000 + '""") { id } }',
        "a megabyte of a number": "{ processes(first: " + "9" * 1_000_000 + ") { totalCount } }",
        "a megabyte of a name": "{ " + "a" * 1_000_000 + " }",
        "repeated branches": "{ processes { nodes {"
        + nested("subprocesses {", "}", 15, "name") * 60
        + "} } }",
        "repeated selections": "{"
        + "".join(f"a: viewer {{ b{n}: seesAll b: seesAll }}" for n in range(330))
        + "}",
    }.items():
        yield name, json.dumps({"query": query}).encode()
    ids = [{"databaseId": number, "name": "x"} for number in range(1, 30_000)]
    yield (
        "30,000 changes",
        json.dumps(
            {
                "query": "mutation($c: [ProcessTexts!]!) { updateProcesses(changes: $c)"
                " { updatedCount } }",
                "variables": {"c": ids},
            }
        ).encode()[:LIMIT],
    )
    yield (
        "many keys",
        b'{"query": "{a}", "variables": {'
        + b",".join(b'"%d":0' % n for n in range(80_000))
        + b"}}",
    )
    yield (
        "many objects",
        b'{"query": "{a}", "variables": {"a": [' + b",".join([b'{"a":0}'] * 120_000) + b"]}}",
    )
    yield (
        "many strings",
        b'{"query": "{a}", "variables": {"a": [' + b",".join([b'"\\u0001"'] * 100_000) + b"]}}",
    )


async def test_the_limit_is_a_setting(start_gateway: StartGateway) -> None:
    async with start_gateway(max_body_bytes=100, max_query_tokens=5, max_query_depth=1) as gateway:
        assert (await send(gateway, "{ __typename }")).status == 200
        for query in ("{ " + "a" * 100 + " }", "{ a b c d e }", "{ viewer { profile { name } } }"):
            bad(await send(gateway, query), 200, 400)
