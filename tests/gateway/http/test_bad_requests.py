"""Test invalid GET requests, random requests, and how long hostile requests block others."""

from __future__ import annotations

import asyncio
import io
import json
import logging
import time
from collections.abc import Iterator
from urllib.parse import quote

import aiohttp
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.conftest import Gateway, Reply
from tests.gateway.http.hostile import (
    BODIES,
    DOCUMENTS,
    LIMIT,
    VIEWER,
    bad,
    nested,
    post,
)

logger = logging.getLogger(__name__)

# GET ---------------------------------------------------------------------------------------------


async def get(gateway: Gateway, query: str) -> Reply:
    return await gateway.call("GET", f"/graphql?{query}")


async def test_an_invalid_get_is_rejected(hostile: Gateway) -> None:
    assert (await get(hostile, f"query={quote(VIEWER)}")).status == 200
    for query in [
        "query=",
        "query=%7B",
        "query=%FF",
        "query=%ED%A0%80",
        f"query={quote(VIEWER)}&operationName=%FF",
        f"query={quote(VIEWER)}&operationName=nothing",
    ]:
        bad(await get(hostile, query), 200)
    for query in [
        "",
        f"query={quote(VIEWER)}&variables=%7B",
        f"query={quote(VIEWER)}&variables=%FF",
        f"query={quote(VIEWER)}&variables=[]",
        f"query={quote(VIEWER)}&variables=1",
        f"query={quote(VIEWER)}&variables={'[' * 2000}",
        f"query={quote(VIEWER)}&variables=%7B%22a%22:1,%22a%22:2%7D",
        f"query={quote(VIEWER)}&query={quote('{ sources { totalCount } }')}",
    ]:
        bad(await get(hostile, query))


async def test_a_mutation_by_get_is_rejected(hostile: Gateway) -> None:
    query = 'mutation { createEspace(espace: {reference: "a", name: "A"}) { espace { id } } }'
    for more in ("", "&operationName="):
        reply = await get(hostile, f"query={quote(query)}{more}")
        assert reply.headers["Allow"] == "POST"
        bad(reply, 405)
    both = f"query q {VIEWER} {query.replace('mutation', 'mutation m', 1)}"
    bad(await get(hostile, f"query={quote(both)}&operationName=m"), 405)
    assert (await get(hostile, f"query={quote(both)}&operationName=q")).status == 200


async def test_other_methods_are_rejected(hostile: Gateway) -> None:
    for method in ("PUT", "DELETE", "PATCH"):
        reply = await hostile.call(method, "/graphql", {"query": VIEWER})
        assert reply.status == 405
        assert {"GET", "POST"} <= set(reply.headers["Allow"].replace(" ", "").split(","))


# Random requests ---------------------------------------------------------------------------------

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
    {"reference": st.text(max_size=5), "name": st.just("")},  # never valid, so that nothing changes
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
).map(lambda call: {"query": call[0], "variables": {"v": call[1]}})
_BODIES = st.one_of(
    st.binary(max_size=200),
    _JSON.map(lambda value: json.dumps(value).encode()),
    _REQUEST.map(lambda value: json.dumps(value).encode()),
    _CALLS.map(lambda value: json.dumps(value).encode()),
)


@settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
@given(body=_BODIES)
async def test_random_bodies_cause_no_server_error(shared: Gateway, body: bytes) -> None:
    reply = await post(shared, body)
    assert reply.status in (200, 400)
    answer = reply.json
    for error in answer.get("errors", ()):
        assert error["extensions"]["code"] == "BAD_USER_INPUT", error
    assert "data" in answer or answer["errors"]


# Time --------------------------------------------------------------------------------------------


async def test_the_longest_blocks_of_the_event_loop_are_logged(hostile: Gateway) -> None:
    """Log the requests that blocked the event loop longest. The times depend on the machine."""
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
