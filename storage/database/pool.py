"""Lend database connections, and keep the most recently used ones ready for the next borrower.

asyncpg's pool opens connections, limits their number and queues waiting borrowers. To acquire a
connection from it and release it again costs a task, two futures and two timers: about as much as
all other work that the gateway does for a small read. So a returned connection is kept here, and
the next borrower gets it without waiting.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import TypeAlias

import asyncpg

Connection: TypeAlias = "asyncpg.pool.PoolConnectionProxy[asyncpg.Record]"

_IDLE_SECONDS = 60.0
"""The seconds after which unused connections are released to asyncpg's pool. It closes those above
its minimum size after another five minutes."""


async def _keep_session(connection: asyncpg.Connection[asyncpg.Record]) -> None:
    """Skip asyncpg's reset query on release.

    Nothing in the gateway changes the state of a session, and the query would cost a round trip.
    """


async def _set_up_connection(connection: asyncpg.Connection[asyncpg.Record]) -> None:
    """Return JSON as the bytes that PostgreSQL sent, and accept JSON arguments as bytes."""
    await connection.set_type_codec(
        "json", schema="pg_catalog", encoder=bytes, decoder=bytes, format="binary"
    )


async def open_pool(
    url: str,
    *,
    pool_min: int = 1,
    pool_max: int = 16,
    statement_timeout: float = 30.0,
    statement_cache_size: int = 1000,
) -> asyncpg.Pool[asyncpg.Record]:
    """Open an asyncpg pool whose connections have the session settings that the gateway needs.

    Args:
        url, pool_min, pool_max, statement_timeout, statement_cache_size: see ``Database.connect``.

    Raises:
        TimeoutError, OSError, asyncpg.PostgresError, asyncpg.InterfaceError: a connection failed.
    """
    settings = {
        "application_name": "process-gateway",
        # A statement whose client has left ends within this time (ms), even if it sends nothing.
        "client_connection_check_interval": "500",
        "jit": "off",
        # Plan a statement once for each connection. Planning it for the values of each run costs
        # more than most reads: a tree took 0.8 ms instead of 0.2 ms, a page of 200 took 10 ms
        # instead of 6.6 ms. EXPLAIN (GENERIC_PLAN) shows the plan that is run.
        "plan_cache_mode": "force_generic_plan",
    }
    if statement_timeout:
        settings["statement_timeout"] = str(int(statement_timeout * 1000))
    return await asyncpg.create_pool(
        url,
        min_size=pool_min,
        max_size=pool_max,
        # Ends statements that PostgreSQL cannot cancel because the network is dead.
        command_timeout=statement_timeout + 1 if statement_timeout else None,
        timeout=10,
        statement_cache_size=statement_cache_size,
        max_cached_statement_lifetime=0,
        max_cacheable_statement_size=0,
        server_settings=settings,
        init=_set_up_connection,
        reset=_keep_session,
    )


class ConnectionPool:
    """Lend connections of an asyncpg pool.

    Args:
        pool: The pool. ``close`` closes it.
        timeout: The seconds that a borrower waits for a connection, None for no limit.
    """

    def __init__(self, pool: asyncpg.Pool[asyncpg.Record], timeout: float | None) -> None:
        self._pool = pool
        self._timeout = timeout
        self._ready: list[Connection] = []  # the most recently used one is last
        self._unused = 0  # this many of the first in _ready were not lent since the last check
        self._waiting = 0
        self._closing = False
        self._idle_check = asyncio.create_task(self._release_unused())

    async def take(self) -> Connection:
        """Borrow a connection for exclusive use. Return it with ``give_back``.

        Raises:
            TimeoutError: No connection became free in time.
            OSError, asyncpg.PostgresError, asyncpg.InterfaceError: no connection can be opened.
        """
        while self._ready:
            connection = self._ready.pop()
            self._unused = min(self._unused, len(self._ready))
            if _is_open(connection):
                return connection
            await self._pool.release(connection)
        self._waiting += 1
        try:
            return await self._pool.acquire(timeout=self._timeout)
        finally:
            self._waiting -= 1

    async def give_back(self, connection: Connection, error: BaseException | None = None) -> None:
        """Return a borrowed connection.

        Args:
            connection: The connection.
            error: The exception that ended the use of the connection, if there was one.
        """
        if error is None and not self._waiting and not self._closing:
            self._ready.append(connection)
            return
        if error is not None:
            terminate_if_abandoned(connection, error)
        await self._pool.release(connection)

    async def close(self) -> None:
        """Wait up to 5 s until all connections are returned, then close them."""
        self._closing = True
        self._idle_check.cancel()
        try:
            async with asyncio.timeout(5):
                await self._release(len(self._ready))
                await self._pool.close()
        except (TimeoutError, asyncpg.InterfaceError, OSError):
            self._pool.terminate()

    async def _release_unused(self) -> None:
        while True:
            self._unused = len(self._ready)
            await asyncio.sleep(_IDLE_SECONDS)
            await self._release(self._unused)

    async def _release(self, count: int) -> None:
        """Release the least recently used connections to asyncpg's pool."""
        unused, self._ready = self._ready[:count], self._ready[count:]
        for connection in unused:
            with contextlib.suppress(asyncpg.PostgresError, asyncpg.InterfaceError, OSError):
                await self._pool.release(connection)


def terminate_if_abandoned(connection: Connection, error: BaseException) -> None:
    """Terminate a connection whose statement timed out or was canceled.

    Any further use of the connection, even its release, would first wait until PostgreSQL has
    canceled the statement.
    """
    abandoned = (TimeoutError, asyncio.CancelledError)
    if isinstance(error, abandoned) or isinstance(error.__cause__, abandoned):
        connection.terminate()


def _is_open(connection: Connection) -> bool:
    try:
        return not connection.is_closed()
    except asyncpg.InterfaceError:
        return False  # the connection was lost, and asyncpg has already released it
