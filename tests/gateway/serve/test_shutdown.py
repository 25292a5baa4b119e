"""Test that stopping takes at most the grace period and a second, whatever clients do."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable

import asyncpg
import pytest

from storage.database.database import Database
from storage.demo.load import generate
from tests.conftest import database_copy
from tests.hostile.attacked import Attacked, attacked, exchange

GRACE = 1.0
PROMISE = GRACE + 1.0


@pytest.fixture(scope="module")
async def database_url(postgres: str, template: str) -> AsyncIterator[str]:
    """A database with a list of several megabytes."""
    async with database_copy(postgres, template) as url:
        database = await Database.connect(url)
        await generate(database, 3000)
        await database.close()
        yield url


async def connection(
    target: Attacked, stack: contextlib.AsyncExitStack
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Open a connection until the end of the test."""
    reader, writer = await asyncio.open_connection(*target.address)
    stack.callback(lambda: writer.transport.abort())
    return reader, writer


async def never_reads(target: Attacked, stack: contextlib.AsyncExitStack) -> None:
    client = stack.enter_context(socket.socket())
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    client.connect(target.address)
    client.sendall(target.head("GET", "/process"))


async def trickles_a_body(target: Attacked, stack: contextlib.AsyncExitStack) -> None:
    _, writer = await connection(target, stack)
    writer.write(target.head("PUT", "/processes", "Content-Length: 10000"))

    async def trickle() -> None:
        while not writer.is_closing():
            writer.write(b" ")
            await asyncio.sleep(0.05)

    stack.callback(asyncio.create_task(trickle()).cancel)


async def trickles_a_head(target: Attacked, stack: contextlib.AsyncExitStack) -> None:
    _, writer = await connection(target, stack)

    async def trickle() -> None:
        for byte in target.head("GET", "/process") * 10:
            writer.write(bytes([byte]))
            await asyncio.sleep(0.05)
            if writer.is_closing():
                break

    stack.callback(asyncio.create_task(trickle()).cancel)


async def stays_idle(target: Attacked, stack: contextlib.AsyncExitStack) -> None:
    reader, writer = await connection(target, stack)
    await exchange(reader, writer, target.post())


async def sends_on_and_on(target: Attacked, stack: contextlib.AsyncExitStack) -> None:
    reader, writer = await connection(target, stack)

    async def flood() -> None:
        with contextlib.suppress(ConnectionError):
            while True:
                writer.write(target.post() * 20)
                await writer.drain()
                await reader.read(65_536)

    stack.callback(asyncio.create_task(flood()).cancel)


async def waits_for_the_database(target: Attacked, stack: contextlib.AsyncExitStack) -> None:
    """Read, execute a process, and leave after a write, while tables are locked."""
    locking = await asyncpg.connect(target.database_url)
    stack.push_async_callback(locking.close)
    await locking.execute("BEGIN")
    await locking.execute("LOCK TABLE espace, execution IN ACCESS EXCLUSIVE MODE")
    body = b'{"reference":"a","name":"b","espace":{"reference":"light"}}'
    for request in (
        target.head("GET", "/espaces"),
        target.post({"query": "{ espaces { nodes { name } } }"}),
        target.head("POST", "/process/1/execute", "Content-Length: 2") + b"{}",
        target.head("POST", "/process", f"Content-Length: {len(body)}") + body,
    ):
        _, writer = await connection(target, stack)
        writer.write(request)
    await asyncio.sleep(0.2)
    writer.transport.abort()


Client = Callable[[Attacked, contextlib.AsyncExitStack], Awaitable[None]]
CLIENTS = [
    never_reads,
    trickles_a_body,
    trickles_a_head,
    stays_idle,
    sends_on_and_on,
    waits_for_the_database,
]


async def stop(target: Attacked) -> float:
    """Stop the gateway, and return the seconds that it took, corrected for a busy machine."""
    busy = max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1))
    started_at = time.monotonic()
    target.server.process.terminate()
    assert await asyncio.to_thread(target.server.ended) == 0, target.server.log
    taken = time.monotonic() - started_at
    assert "Traceback" not in target.server.log, target.server.log
    return GRACE + (taken - GRACE) / busy


@pytest.mark.parametrize("workers", [1, 2])
async def test_stopping_takes_at_most_the_grace_period_and_a_second(
    database_url: str, workers: int
) -> None:
    async with (
        attacked(database_url, shutdown_grace=GRACE, workers=workers) as target,
        contextlib.AsyncExitStack() as stack,
    ):
        for client in CLIENTS:
            await client(target, stack)
        await asyncio.sleep(0.5)
        assert await stop(target) < PROMISE


@pytest.mark.parametrize("client", [stays_idle, trickles_a_head])
async def test_idle_clients_do_not_delay_the_end(database_url: str, client: Client) -> None:
    async with (
        attacked(database_url, shutdown_grace=20) as target,
        contextlib.AsyncExitStack() as stack,
    ):
        await client(target, stack)
        assert await stop(target) < 5


async def test_a_body_that_arrives_during_the_grace_period_is_accepted(database_url: str) -> None:
    async with attacked(database_url, shutdown_grace=10) as target:
        reader, writer = await asyncio.open_connection(*target.address)
        request = target.post()
        writer.write(request[:-10])
        await asyncio.sleep(0.3)
        target.server.process.terminate()
        await asyncio.sleep(0.3)
        writer.write(request[-10:])
        answer = await reader.read()
        assert answer.startswith(b"HTTP/1.1 200 ")
        assert b"Connection: close" in answer
        assert await asyncio.to_thread(target.server.ended) == 0
        writer.close()
