"""Open connections with the session settings of the gateway, and run statements on them."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias, cast

import asyncpg
from asyncpg.protocol import NO_TIMEOUT

from storage.database.server import Identity, identity_of
from storage.database.silence import WatchedConnection
from storage.database.statements import Statements

Receive: TypeAlias = "Callable[[bytes], Coroutine[Any, Any, None]]"
"""Takes data as they arrive."""

_CONNECT_TIMEOUT = 5.0
"""Seconds to wait for a connection to be opened."""

_PASSING = (asyncpg.InvalidCachedStatementError, asyncpg.DeadlockDetectedError)
"""Failures of a read that is to be run again."""

_REOPEN_SECONDS = 1.0
"""Seconds for which a connection that is lost while it is opened is opened again."""


def session_settings(statement_timeout: float, name: str = "process-gateway") -> dict[str, str]:
    """Return the parameters of a session. docs/settings.md lists them for poolers.

    Args:
        statement_timeout: The seconds that one statement may take, 0 for no limit.
        name: The name of the session in pg_stat_activity.
    """
    return {
        "application_name": name,
        "jit": "off",
        # Plan a statement once for each connection. Planning it for the values of each run costs
        # more than most reads: a tree took 0.8 ms instead of 0.2 ms, a page of 200 took 10 ms
        # instead of 6.6 ms. EXPLAIN (GENERIC_PLAN) shows the plan that is run.
        "plan_cache_mode": "force_generic_plan",
        # A statement whose connection was closed ends within this time, in milliseconds. Without
        # it, PostgreSQL runs a statement to its end before it notices.
        "client_connection_check_interval": "500",
        "statement_timeout": str(int(statement_timeout * 1000)),
    }


async def use_json_bytes(connection: asyncpg.Connection[asyncpg.Record]) -> None:
    """Return JSON as the bytes that PostgreSQL sent, and accept JSON arguments as bytes."""
    await connection.set_type_codec(
        "json", schema="pg_catalog", encoder=bytes, decoder=bytes, format="binary"
    )


@dataclass(frozen=True, slots=True)
class SessionOptions:
    """How the sessions of one database are opened. ``Database.connect`` describes the values."""

    url: str
    statement_timeout: float = 30.0
    statement_cache_bytes: int = 0
    name: str = "process-gateway"
    """The name of the sessions in pg_stat_activity."""


class Session:
    """A connection and its prepared statements, for one borrower at a time.

    Its methods raise whatever the driver raises.
    """

    __slots__ = (
        "_connection",
        "_now",
        "_since",
        "_statements",
        "_timed_out",
        "_timeout",
        "is_closed",
        "server",
    )

    def __init__(
        self,
        connection: asyncpg.Connection[asyncpg.Record],
        cache_bytes: int,
        timeout: float | None = None,
        server: Identity = (),
    ) -> None:
        self.server = server
        self._connection = connection
        self._timeout = timeout
        self._statements = Statements(connection, cache_bytes)
        self._now = asyncio.get_running_loop().time
        self._since = 0.0  # when the statement began that is running; 0 if none is
        self._timed_out = False
        self.is_closed: Callable[[], bool] = connection.is_closed
        """Whether the connection is closed, as far as this side can tell."""

    async def fetch_value(self, sql: str, args: Sequence[object]) -> object:
        """Return the first value of the first row, or None."""
        rows = await self.fetch(sql, args, 1)
        return rows[0][0] if rows else None

    async def fetch(self, sql: str, args: Sequence[object], limit: int = 0) -> list[asyncpg.Record]:
        """Return the rows.

        Args:
            limit: The most rows; 0 for all.
        """
        statement = self._statements.get(sql) or await self._statements.prepare(sql)
        self._since = self._now()
        try:
            rows = await statement.run(args, limit)
        except Exception as failure:
            if self._timed_out:
                raise TimeoutError("the statement took too long") from failure
            raise
        finally:
            self._since = 0.0
        if self._statements.unkept:
            await self._statements.forget_unkept()
        return rows

    def end_overdue(self, now: float) -> None:
        """Close the connection if its statement has taken too long. The statement fails.

        Args:
            now: The time of the event loop.
        """
        if self._timeout is not None and self._since and now - self._since > self._timeout:
            self._timed_out = True
            self.terminate()

    async def execute(self, sql: str) -> str:
        """Run one or more statements without parameters, and return the tag of the last one."""
        return await self._connection.execute(sql)

    async def copy(
        self, sql: str, output: Receive, first_sql: str, first: Callable[[object], None]
    ) -> str:
        """Copy the rows of a statement without parameters in binary, and return the tag.

        Args:
            first_sql: Returns one value, of the same snapshot, before the rows.
            first: Takes this value.
        """
        # The driver would apply its timeout by a task for each piece of the data.
        async with asyncio.timeout(self._timeout):
            return await self._copy(sql, output, first_sql, first)

    async def _copy(
        self, sql: str, output: Receive, first_sql: str, first: Callable[[object], None]
    ) -> str:
        # A failure leaves the transaction open, and so ends the use of the connection.
        await self.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
        first(await self.fetch_value(first_sql, []))
        tag = await self._connection.copy_from_query(
            sql, output=output, format="binary", timeout=cast("float", NO_TIMEOUT)
        )
        await self.execute("COMMIT")
        return tag

    async def listen(self, channel: str, on_notification: Callable[[], None]) -> None:
        """Call a function for every notification of a channel."""
        await self._connection.add_listener(channel, lambda *_: on_notification())

    def when_lost(self, call: Callable[[], None]) -> None:
        """Call a function when the connection is closed by either side."""
        self._connection.add_termination_listener(lambda _: call())

    def lost(self, failure: BaseException) -> bool:
        """Whether a statement failed because the connection was lost before the answer."""
        return (
            isinstance(failure, Exception)
            and not isinstance(failure, TimeoutError)
            and self.is_closed()
        )

    def may_repeat(self, failure: BaseException) -> bool:
        """Whether a read that failed can succeed on a new connection.

        That is so if the connection was lost, a change of the schema has outdated its prepared
        statement, or it has locked tables in another order than a TRUNCATE that waits for it.
        """
        return self.lost(failure) or isinstance(failure, _PASSING)

    def reusable(self, failure: BaseException) -> bool:
        """Whether the connection can run another statement after this failure.

        After a timeout or a cancellation it would first wait until PostgreSQL has canceled the
        statement. After a change of the schema its prepared statements are outdated.
        """
        return (
            isinstance(failure, asyncpg.PostgresError)
            and not isinstance(failure, asyncpg.InvalidCachedStatementError)
            and not self.is_closed()
            and not self._connection.is_in_transaction()
        )

    async def close(self) -> None:
        """Close the connection, which may take up to 2 s."""
        try:
            with contextlib.suppress(Exception):  # the connection is of no use any more
                await self._connection.close(timeout=2)
        finally:
            self.terminate()

    def terminate(self) -> None:
        """Close the connection at once. PostgreSQL ends its statement soon (see above)."""
        self._connection.terminate()


async def open_session(options: SessionOptions) -> Session:
    """Open a connection. One that is lost meanwhile is opened again, for a short time.

    Raises whatever the driver raises.
    """
    deadline = time.monotonic() + _REOPEN_SECONDS
    while True:
        try:
            return await _open(options)
        except Exception as failure:
            if not _was_lost(failure) or time.monotonic() > deadline:
                raise
        await asyncio.sleep(0.02)


def _was_lost(failure: Exception) -> bool:
    """Whether a connection was lost while it was opened: somebody terminates them in a loop."""
    kinds = (asyncpg.ConnectionDoesNotExistError, asyncpg.AdminShutdownError, ConnectionError)
    return isinstance(failure, kinds) and not isinstance(failure, ConnectionRefusedError)


async def _open(options: SessionOptions) -> Session:
    # Ends statements that PostgreSQL cannot cancel because a proxy is dead. The kernel notices a
    # dead network earlier. For prepared statements the pool does the same as ``command_timeout``.
    timeout = options.statement_timeout + 1 if options.statement_timeout else None
    connection: asyncpg.Connection[asyncpg.Record] = await asyncpg.connect(
        options.url,
        command_timeout=timeout,
        timeout=_CONNECT_TIMEOUT,
        connection_class=WatchedConnection,
        statement_cache_size=0,
        server_settings=session_settings(options.statement_timeout, options.name),
    )
    try:
        await use_json_bytes(connection)
        server = await identity_of(connection)
    except BaseException:
        connection.terminate()
        raise
    return Session(connection, options.statement_cache_bytes, timeout, server)
