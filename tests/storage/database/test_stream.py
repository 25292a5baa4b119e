"""Long lists are streamed: every value arrives, in order, and a failure is noticed."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable

import aiohttp
import pytest
from aiohttp import web

from gateway.http.response_body import body_of
from storage.database.database import Database
from storage.database.errors import DatabaseUnavailableError
from storage.database.stream import LONG_LIST, JsonStream
from tests.conftest import running_gateway

VERSION = "SELECT 7"
AWKWARD = 'a "quoted" \\ back\\\\slash, a\nnew line, a\ttab, \x7f and Лампа \U0001f4a1'
ROWS = LONG_LIST + 500


async def stream_of(database: Database, copy_sql: str) -> JsonStream:
    """Stream a list that was long the last time."""
    long = f"SELECT convert_to(n::text, 'UTF8'), 7 FROM generate_series(1, {LONG_LIST}) AS n"
    first, version = await database.fetch_list(long, [], copy_sql, VERSION)
    assert isinstance(first, bytes)
    assert version == 7
    second, version = await database.fetch_list(long, [], copy_sql, VERSION)
    assert isinstance(second, JsonStream)
    assert version == 7
    return second


async def test_a_streamed_list_has_every_value_in_order(database: Database) -> None:
    value = "n || repeat('\\', n % 7) || chr(10)"
    sql = f"SELECT to_json({value})::text FROM generate_series(1, 100000) AS n"
    chunks = [chunk async for chunk in await stream_of(database, sql)]
    assert len(chunks) > 5
    values = json.loads(b"[" + b"".join(chunks) + b"]")
    assert values == [f"{n}{chr(92) * (n % 7)}\n" for n in range(1, 100_001)]


@pytest.mark.parametrize("length", [1, 0x2C, 0xFF, 0x100, 0x101, 0x10000, 0x10001, 0x1000100])
async def test_a_streamed_value_can_have_any_length(database: Database, length: int) -> None:
    sql = f"SELECT repeat('1', {length} - n) FROM unnest(ARRAY[0, {length} - 1, 0]) AS n"
    chunks = [chunk async for chunk in await stream_of(database, sql)]
    assert b"".join(chunks) == b",".join([b"1" * length, b"1", b"1" * length])


async def test_a_list_that_became_short_is_not_streamed_again(database: Database) -> None:
    sql, copied = (
        f"SELECT {value} FROM generate_series(1, {rows}) AS n"
        for value, rows in (
            ("convert_to(n::text, 'UTF8'), 7", LONG_LIST),
            ("n::text", LONG_LIST - 1),
        )
    )
    await database.fetch_list(sql, [], copied, VERSION)
    stream, _ = await database.fetch_list(sql, [], copied, VERSION)
    assert isinstance(stream, JsonStream)
    assert [chunk async for chunk in stream]
    values, _ = await database.fetch_list(sql, [], copied, VERSION)
    assert isinstance(values, bytes)


async def test_an_empty_list_is_streamed(database: Database) -> None:
    stream = await stream_of(database, "SELECT 'x' WHERE false")
    assert [chunk async for chunk in stream] == []


async def test_a_statement_that_fails_at_once_raises_before_the_stream(database: Database) -> None:
    with pytest.raises(DatabaseUnavailableError):
        await stream_of(database, "SELECT (1 / 0)::text")


FAILS_LATE = "SELECT repeat('x', 100 / (80000 - n) + 10) FROM generate_series(1, 100000) AS n"


async def test_a_statement_that_fails_later_raises_from_the_stream(database: Database) -> None:
    stream = await stream_of(database, FAILS_LATE)
    iterator = aiter(stream)
    assert await anext(iterator)
    with pytest.raises(DatabaseUnavailableError):
        [chunk async for chunk in iterator]


async def serve(
    handler: Callable[[web.BaseRequest], Awaitable[web.StreamResponse]],
) -> web.ServerRunner:
    runner = web.ServerRunner(web.Server(handler))
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    return runner


async def test_a_client_notices_that_a_body_is_not_complete(database: Database) -> None:
    async def handler(_: web.BaseRequest) -> web.StreamResponse:
        return web.Response(body=body_of((b"[", await stream_of(database, FAILS_LATE), b"]")))

    runner = await serve(handler)
    try:
        async with aiohttp.ClientSession() as client:
            url = f"http://127.0.0.1:{runner.addresses[0][1]}/"
            async with client.get(url) as response:
                assert response.status == 200
                with pytest.raises(aiohttp.ClientPayloadError):
                    await response.read()
    finally:
        await runner.cleanup()


async def test_a_client_that_leaves_cancels_the_statement(database: Database) -> None:
    endless = "SELECT repeat('x', 100000) || pg_sleep(0.005) FROM generate_series(1, 1000000)"

    async def handler(_: web.BaseRequest) -> web.StreamResponse:
        return web.Response(body=body_of((b"[", await stream_of(database, endless), b"]")))

    runner = await serve(handler)
    try:
        async with aiohttp.ClientSession() as client:
            url = f"http://127.0.0.1:{runner.addresses[0][1]}/"
            async with client.get(url) as response:
                await response.content.readexactly(100_000)
                response.close()
        for _ in range(100):
            if not await running(database, "COPY%pg_sleep%"):
                return
            await asyncio.sleep(0.05)
        pytest.fail("the statement still runs")
    finally:
        await runner.cleanup()


async def running(database: Database, statement: str) -> int:
    """The number of such statements that run."""
    async with database.transaction() as transaction:
        count = await transaction.fetch_value(
            "SELECT count(*) FROM pg_stat_activity WHERE query LIKE $1 AND state = 'active'"
            " AND datname = current_database() AND pid <> pg_backend_pid()",
            statement,
        )
    assert isinstance(count, int)
    return count


@pytest.mark.parametrize("path", ["/process", "/processes"])
async def test_a_legacy_list_is_the_same_whether_it_is_streamed(
    database: Database, path: str
) -> None:
    async with database.transaction() as transaction:
        await transaction.fetch(
            "INSERT INTO process (reference, name, description)"
            " SELECT 'p' || n, $1, $1 || n FROM generate_series(1, $2::integer) AS n",
            AWKWARD,
            ROWS,
        )
    async with running_gateway(database) as gateway:
        whole = await gateway.call("GET", path)
        assert "Content-Length" in whole.headers
        streamed = await gateway.call("GET", path)
        assert streamed.headers["Transfer-Encoding"] == "chunked"
        assert streamed.body == whole.body
        assert AWKWARD in streamed.json.get("data", streamed.json.get("processes"))[0]["name"]
        head = await gateway.call("HEAD", path, headers={"Accept-Encoding": "identity"})
        assert (head.body, int(head.headers["Content-Length"])) == (b"", len(whole.body))
