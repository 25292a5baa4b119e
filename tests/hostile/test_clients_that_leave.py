"""Leave before the answer: reads end in PostgreSQL, writes and executions do not."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator, Collection

import asyncpg
import pytest

from tests.hostile.attacked import Attacked, attacked_on_copy, eventually, exchange

PROMISE = 1.0
"""Seconds in which a read ends whose client has left."""
SLACK = 1.0
"""Seconds more on a busy machine."""


@pytest.fixture(scope="module")
async def target(postgres: str, template: str) -> AsyncIterator[Attacked]:
    """A gateway that keeps no answers, so that every read needs the tables that a test locks."""
    async with attacked_on_copy(postgres, template, kept_answers_bytes=0) as started:
        yield started


@contextlib.asynccontextmanager
async def locked(target: Attacked, table: str) -> AsyncIterator[asyncpg.Connection[asyncpg.Record]]:
    """Lock a table, so that whatever uses it waits; yield the connection that has the lock."""
    connection = await asyncpg.connect(target.database_url)
    try:
        async with connection.transaction():
            await connection.execute(f"LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE")
            yield connection
    finally:
        await connection.close()


async def waiting(target: Attacked) -> int:
    """Return the number of statements of the gateway that wait for a lock."""
    connection = await asyncpg.connect(target.database_url)
    try:
        count: int = await connection.fetchval(
            "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
            " AND datname = current_database()"
        )
        return count
    finally:
        await connection.close()


READ = {"query": "{ processes { nodes { name } } espaces { nodes { name } } }"}


async def waiting_clients(
    target: Attacked, requests: Collection[bytes]
) -> list[asyncio.StreamWriter]:
    """Send requests from a client each, and wait until all of them wait for the lock."""
    clients = []
    for request in requests:
        _, writer = await asyncio.open_connection(*target.address)
        writer.write(request)
        clients.append(writer)

    async def all_wait() -> bool:
        return await waiting(target) >= len(requests)

    assert await eventually(all_wait, 10)
    return clients


@pytest.mark.parametrize("how", ["close", "reset"])
async def test_reads_end_when_their_client_leaves(target: Attacked, how: str) -> None:
    requests = [
        target.head("GET", "/process"),
        target.head("GET", "/processes"),
        target.head("GET", "/process/1"),
        target.head("HEAD", "/process"),
        target.post(READ),
        target.post({"query": "{ viewer { seesAll } a: processes { totalCount } }"}),
    ]
    async with locked(target, "process"):
        clients = await waiting_clients(target, requests)
        for writer in clients:
            if how == "reset":
                writer.transport.abort()
            else:
                writer.close()
        left_at = time.monotonic()

        async def none_waits() -> bool:
            return not await waiting(target)

        assert await eventually(none_waits, PROMISE + SLACK)
        assert time.monotonic() - left_at < PROMISE + SLACK
    reader, writer = await asyncio.open_connection(*target.address)
    writer.write(target.post())
    assert (await reader.readline()).startswith(b"HTTP/1.1 200 ")
    writer.close()


async def test_a_client_that_closes_only_its_side_gets_a_quick_answer(target: Attacked) -> None:
    for request in (target.head("GET", "/process/1"), target.post(), target.head("GET", "/health")):
        answers = []
        for _ in range(5):
            reader, writer = await asyncio.open_connection(*target.address)
            writer.write(request)
            writer.write_eof()
            async with asyncio.timeout(5):
                answers.append(await reader.read())
            writer.close()
        quick = [answer for answer in answers if answer]  # on a busy machine, some may be late
        assert quick
        for answer in quick:
            assert answer.startswith(b"HTTP/1.1 200 ")
        # An answer can precede the end of the client; that of the health check usually does.
        assert b"/health" in request or any(b"Connection: close" in answer for answer in quick)


async def test_no_connection_is_lost_with_the_clients(target: Attacked) -> None:
    """More clients leave than there are connections to the database."""
    async with locked(target, "process"):
        for _ in range(60):
            _, writer = await asyncio.open_connection(*target.address)
            writer.write(target.post(READ))
            await asyncio.sleep(0.01)
            writer.transport.abort()
        await asyncio.sleep(0.2)
    for _ in range(20):
        reader, writer = await asyncio.open_connection(*target.address)
        writer.write(target.post())
        async with asyncio.timeout(10):
            assert (await reader.readline()).startswith(b"HTTP/1.1 200 ")
        writer.close()


NEW = "mutation($p: NewProcess!) { createProcess(process: $p) { process { databaseId } } }"


async def test_a_write_under_way_is_finished(target: Attacked) -> None:
    sent = {
        "graphql": target.post(
            {"query": NEW, "variables": {"p": {"reference": "left_graphql", "name": "A"}}}
        ),
        "process": b"",
        "bulk": b"",
    }
    body = json.dumps({"reference": "left_process", "name": "A"}).encode()
    sent["process"] = target.head("POST", "/process", f"Content-Length: {len(body)}") + body
    body = json.dumps({"processes": [{"id": 1, "name": "left_bulk"}]}).encode()
    sent["bulk"] = target.head("PUT", "/processes", f"Content-Length: {len(body)}") + body
    async with locked(target, "process"):
        clients = await waiting_clients(target, sent.values())
        for writer in clients:
            writer.transport.abort()
        await asyncio.sleep(PROMISE + 0.5)
        assert await waiting(target) == len(sent)

    connection = await asyncpg.connect(target.database_url)

    async def all_written() -> bool:
        count: int = await connection.fetchval(
            "SELECT count(*) FROM process WHERE reference IN ('left_graphql', 'left_process')"
            " OR name = 'left_bulk'"
        )
        return count == 3

    try:
        assert await eventually(all_written, 5)
    finally:
        await connection.close()


async def test_an_execution_goes_on(target: Attacked) -> None:
    connection = await asyncpg.connect(target.database_url)
    try:
        new = b'{"reference":"speaks","name":"S","sources":[{"source":"echo","action":"say"}]}'
        reader, writer = await asyncio.open_connection(*target.address)
        created = await exchange(
            reader, writer, target.head("POST", "/process", f"Content-Length: {len(new)}") + new
        )
        writer.close()
        assert created.startswith(b"HTTP/1.1 200 ")
        process = await connection.fetchval("SELECT id FROM process WHERE reference = 'speaks'")
        before = await connection.fetchval("SELECT count(*) FROM execution")
        body = b"{}"
        async with locked(target, "execution"):
            _, writer = await asyncio.open_connection(*target.address)
            writer.write(
                target.head("POST", f"/process/{process}/execute", f"Content-Length: {len(body)}")
                + body
            )

            async def it_waits() -> bool:
                return await waiting(target) >= 1

            assert await eventually(it_waits, 10)
            writer.transport.abort()
            await asyncio.sleep(PROMISE + 0.5)

        async def is_recorded() -> bool:
            done: int = await connection.fetchval(
                "SELECT count(*) FROM execution WHERE finished_at IS NOT NULL"
            )
            return bool(done == before + 1)

        assert await eventually(is_recorded, 5)
    finally:
        await connection.close()


async def test_a_stream_ends_when_its_client_leaves(target: Attacked) -> None:
    for _ in range(2):  # the second one is streamed
        reader, writer = await asyncio.open_connection(*target.address)
        writer.write(target.head("GET", "/process", "Connection: close"))
        await reader.read()
        writer.close()
    async with locked(target, "action"):
        _, writer = await asyncio.open_connection(*target.address)
        writer.write(target.head("GET", "/process"))

        async def it_waits() -> bool:
            return await waiting(target) >= 1

        assert await eventually(it_waits, 10)
        writer.transport.abort()

        async def it_ended() -> bool:
            return not await waiting(target)

        assert await eventually(it_ended, PROMISE + SLACK)
