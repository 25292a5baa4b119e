"""In charge of open connections: asyncpg's pool, with those that were used last kept at hand.

asyncpg's pool opens connections, holds their number, and queues who has to wait. Taking a
connection out of it and giving it back costs a task, two futures and two timers: about as much as
all that the gateway does itself for a small read. So a connection that is given back stays here,
where the next one who needs it takes it with nothing to wait for.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import TypeAlias

import asyncpg

Connection: TypeAlias = "asyncpg.pool.PoolConnectionProxy[asyncpg.Record]"

_LOOK = 60.0
"""Seconds after which connections that nobody needed are given back to asyncpg's pool, which closes
those beyond its least number after another five minutes."""


async def _keep_session(connection: asyncpg.Connection[asyncpg.Record]) -> None:
    """Reset nothing at release: nothing in the gateway changes a session's state, and asyncpg's
    reset query would cost another round trip.
    """


async def _prepare(connection: asyncpg.Connection[asyncpg.Record]) -> None:
    """Take JSON as the bytes that came over the wire, and give it as text or bytes."""
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
    """A pool of asyncpg's, with connections as the gateway's statements want them.

    The arguments are those of ``Database.connect``. Raises what asyncpg raises.
    """
    settings = {
        "application_name": "process-gateway",
        "jit": "off",
        # A statement is planned once for each connection. Planning for each run's values costs
        # more than most reads do: a tree took 0.8 ms instead of 0.2, a page of 200 took 10
        # instead of 6.6. EXPLAIN (GENERIC_PLAN) shows what is run.
        "plan_cache_mode": "force_generic_plan",
    }
    if statement_timeout:
        settings["statement_timeout"] = str(int(statement_timeout * 1000))
    return await asyncpg.create_pool(
        url,
        min_size=pool_min,
        max_size=pool_max,
        # A statement that PostgreSQL does not even cancel (a dead network) ends as well.
        command_timeout=statement_timeout + 1 if statement_timeout else None,
        timeout=10,
        statement_cache_size=statement_cache_size,
        max_cached_statement_lifetime=0,
        max_cacheable_statement_size=0,
        server_settings=settings,
        init=_prepare,
        reset=_keep_session,
    )


class ConnectionPool:
    """Lends connections.

    Args:
        patience: seconds that a borrower waits for a connection to become free or to be opened;
            None for as long as it takes.
    """

    def __init__(self, pool: asyncpg.Pool[asyncpg.Record], patience: float | None) -> None:
        self._pool = pool
        self._patience = patience
        self._kept: list[Connection] = []  # the last one was used last
        self._unused = 0  # of them, so many from the first on were not needed since the last look
        self._waiting = 0
        self._closing = False
        self._looking = asyncio.create_task(self._give_spare_ones_back())

    async def take(self) -> Connection:
        """A connection that is the caller's alone until it is given back.

        Raises:
            TimeoutError: none became free.
            OSError, asyncpg.PostgresError, asyncpg.InterfaceError: none can be opened.
        """
        while self._kept:
            connection = self._kept.pop()
            self._unused = min(self._unused, len(self._kept))
            if _is_open(connection):
                return connection
            await self._pool.release(connection)
        self._waiting += 1
        try:
            return await self._pool.acquire(timeout=self._patience)
        finally:
            self._waiting -= 1

    async def give_back(self, connection: Connection, error: BaseException | None = None) -> None:
        """Give a connection back.

        Args:
            error: what the caller's use of it failed with.
        """
        if error is None and not self._waiting and not self._closing:
            self._kept.append(connection)
            return
        if error is not None:
            cut_if_given_up(connection, error)
        await self._pool.release(connection)

    async def close(self) -> None:
        """Close all connections once they are given back; those that are not within 5 s are cut."""
        self._closing = True
        self._looking.cancel()
        try:
            async with asyncio.timeout(5):
                await self._release(len(self._kept))
                await self._pool.close()
        except (TimeoutError, asyncpg.InterfaceError, OSError):
            self._pool.terminate()

    async def _give_spare_ones_back(self) -> None:
        while True:
            self._unused = len(self._kept)
            await asyncio.sleep(_LOOK)
            await self._release(self._unused)

    async def _release(self, number: int) -> None:
        """Give connections back to asyncpg's pool, those first that were not used for longest."""
        spare, self._kept = self._kept[:number], self._kept[number:]
        for connection in spare:
            with contextlib.suppress(asyncpg.PostgresError, asyncpg.InterfaceError, OSError):
                await self._pool.release(connection)


def cut_if_given_up(connection: Connection, error: BaseException) -> None:
    """Cut a connection whose statement was given up: whatever is done with it next, even giving it
    back, would first wait for PostgreSQL to cancel that statement.
    """
    given_up = (TimeoutError, asyncio.CancelledError)
    if isinstance(error, given_up) or isinstance(error.__cause__, given_up):
        connection.terminate()


def _is_open(connection: Connection) -> bool:
    try:
        return not connection.is_closed()
    except asyncpg.InterfaceError:
        return False  # it was cut, and asyncpg has taken it back on its own
