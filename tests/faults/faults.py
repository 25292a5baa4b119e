"""Cause each fault: of PostgreSQL, of its disk, and of the network to it.

Each function causes its fault for a while and returns when it is over. The short form takes a
second or two; the long form (``CHAOS``) repeats a fault ten times, or lasts ``CHAOS_SECONDS``.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import time
from collections.abc import AsyncIterator, Iterator

import asyncpg

from tests.faults.world import CHAOS, CHAOS_SECONDS, World
from tests.gateway.own_postgres import Postgres

_OWN_NAME = "tests"
"""The ``application_name`` of the connections of these tests."""


def _seconds(short: float) -> float:
    return CHAOS_SECONDS if CHAOS else short


def _times(short: int) -> int:
    return 10 if CHAOS else short


@contextlib.asynccontextmanager
async def administrator(postgres: Postgres) -> AsyncIterator[asyncpg.Connection[asyncpg.Record]]:
    """Connect as the tests do: the faults leave this connection alone."""
    connection = await asyncpg.connect(
        postgres.url,
        server_settings={
            "application_name": _OWN_NAME,
            "default_transaction_read_only": "off",
        },
    )
    try:
        yield connection
    finally:
        await connection.close()


async def accepts_connections(postgres: Postgres) -> None:
    """Wait until a server accepts connections."""
    deadline = time.monotonic() + 30
    while True:
        try:
            async with administrator(postgres):
                return
        except (asyncpg.PostgresError, OSError):
            assert time.monotonic() < deadline, postgres.log
        await asyncio.sleep(0.02)


async def _terminate(connection: asyncpg.Connection[asyncpg.Record]) -> None:
    """Terminate the backends of all connections but those of these tests."""
    await connection.fetch(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE backend_type = 'client backend' AND application_name <> $1",
        _OWN_NAME,
    )


# PostgreSQL --------------------------------------------------------------------------------------


async def kill(world: World) -> None:
    """Kill all processes of the server, and start it again, in the long form several times."""
    for number in range(_times(1)):
        if number:
            await asyncio.sleep(0.5)
        await asyncio.to_thread(world.postgres.kill)
        await asyncio.sleep(0.3)
        await asyncio.to_thread(world.postgres.start)


async def kill_backend(world: World) -> None:
    """Kill the process of one connection. PostgreSQL then ends all others, and recovers."""
    await asyncio.to_thread(world.postgres.kill_backend)
    await asyncio.sleep(0.1)
    await accepts_connections(world.postgres)


async def freeze(world: World) -> None:
    """Stop all processes of the server, so that it keeps its connections and says nothing."""
    with world.postgres.frozen():
        await asyncio.sleep(_seconds(2.3))


async def restart(world: World) -> None:
    """Stop the server in order, which ends its connections, and start it again."""
    await asyncio.to_thread(world.postgres.stop, signal.SIGINT)
    await asyncio.sleep(_seconds(0.5))
    await asyncio.to_thread(world.postgres.start)


async def take_all_connections(world: World) -> None:
    """Take all connections that the server allows, so that the gateway has none."""
    taken: list[asyncpg.Connection[asyncpg.Record]] = []
    async with administrator(world.postgres) as connection:
        try:
            with _stopped(world.server.process.pid):  # otherwise it would take some of them
                await _terminate(connection)
                with contextlib.suppress(asyncpg.TooManyConnectionsError):
                    while True:
                        taken.append(
                            await asyncpg.connect(
                                world.postgres.url, server_settings={"application_name": _OWN_NAME}
                            )
                        )
            await asyncio.sleep(_seconds(1))
        finally:
            for one in taken:
                await one.close()


@contextlib.contextmanager
def _stopped(process: int) -> Iterator[None]:
    os.kill(process, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(process, signal.SIGCONT)


async def make_read_only(world: World) -> None:
    """Make all transactions read-only."""
    async with administrator(world.postgres) as connection:
        await connection.execute("ALTER SYSTEM SET default_transaction_read_only = on")
        try:
            await connection.execute("SELECT pg_reload_conf()")
            await asyncio.sleep(_seconds(1))
        finally:
            await connection.execute("ALTER SYSTEM RESET default_transaction_read_only")
            await connection.execute("SELECT pg_reload_conf()")


async def terminate_backends(world: World) -> None:
    """Terminate all connections again and again."""
    async with administrator(world.postgres) as connection:
        for _ in range(_times(3)):
            await _terminate(connection)
            await asyncio.sleep(0.8 if CHAOS else 0.5)


# The network -------------------------------------------------------------------------------------


async def cut(world: World) -> None:
    """Cut all connections again and again."""
    assert world.haproxy
    for _ in range(_times(3)):
        await world.haproxy.cut()
        await asyncio.sleep(0.8 if CHAOS else 0.5)


async def refuse(world: World) -> None:
    """Cut all connections, and refuse new ones."""
    assert world.haproxy
    await world.haproxy.command("disable server postgres/only")
    try:
        await world.haproxy.cut()
        await asyncio.sleep(_seconds(1.5))
    finally:
        await world.haproxy.command("enable server postgres/only")


async def delay(world: World) -> None:
    """Delay all that is sent."""
    assert world.link
    world.link.delay = 0.03
    try:
        await asyncio.sleep(_seconds(1.5))
    finally:
        world.link.delay = 0


async def silence(world: World) -> None:
    """Deliver nothing, and close no connection."""
    assert world.link
    with world.link.silent():
        await asyncio.sleep(_seconds(2.5))
