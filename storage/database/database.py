"""Run statements against PostgreSQL on pooled connections, alone or in transactions.

No other module runs a statement. Failures are raised as ``storage.database.errors`` defines them.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from operator import itemgetter
from typing import Any, cast

import asyncpg

from storage.database.errors import (
    DRIVER_FAILURES,
    OutcomeUnknownError,
    translate_failure,
    translated_failures,
)
from storage.database.listen import Listener, open_listener
from storage.database.pool import Connection, ConnectionPool, open_pool, terminate_if_abandoned
from storage.database.stream import LONG_LIST, JsonStream

logger = logging.getLogger(__name__)

Row = Mapping[str, Any]
"""A row of a result: values by column name."""

_FIRST = itemgetter(0)

_MAX_LONG_LISTS = 100
"""Statements that are remembered; there are as many as legacy lists and scopes of viewers."""


class Transaction:
    """A connection inside one transaction. An exception that leaves the block rolls it back."""

    def __init__(self, database: Database, connection: Connection) -> None:
        self._database = database
        self._connection = connection
        self.wrote = False
        """Whether a statement was run that may have written something."""

    async def fetch(self, sql: str, *args: object) -> Sequence[Row]:
        """Return all rows of the result."""
        self._database.statements += 1
        self.wrote = self.wrote or not sql.lstrip().startswith("SELECT")
        with translated_failures():
            # asyncpg's Record has all methods of a Mapping but does not declare it.
            return cast("Sequence[Row]", await self._connection.fetch(sql, *args))

    async def fetch_row(self, sql: str, *args: object) -> Row | None:
        """Return the first row of the result, or None."""
        rows = await self.fetch(sql, *args)
        return rows[0] if rows else None

    async def fetch_value(self, sql: str, *args: object) -> object:
        """Return the first value of the first row, or None."""
        row = await self.fetch_row(sql, *args)
        return next(iter(row.values())) if row is not None else None

    async def fetch_json(self, sql: str, args: Sequence[object]) -> bytes | None:
        """Return the single JSON value that a statement returns, as PostgreSQL wrote it."""
        self._database.statements += 1
        with translated_failures():
            value: bytes | None = await self._connection.fetchval(sql, *args)
        return value

    async def script(self, sql: str) -> None:
        """Run one or more statements that take no parameters. Discard their results."""
        self._database.statements += 1
        self.wrote = True
        with translated_failures():
            await self._connection.execute(sql)


class Database:
    """A pool of connections to one PostgreSQL database.

    ``statements`` counts the statements that were run, without transaction control. Tests check
    that it does not grow with the rows or the depth of a query.
    """

    def __init__(self, url: str, pool: ConnectionPool) -> None:
        self.url = url
        self._pool = pool
        self.statements = 0
        self._long_lists: set[str] = set()

    @classmethod
    async def connect(
        cls,
        url: str,
        *,
        pool_min: int = 1,
        pool_max: int = 16,
        statement_timeout: float = 30.0,
        statement_cache_size: int = 1000,
    ) -> Database:
        """Open the pool.

        Args:
            url: ``postgresql://…``, in any form that libpq accepts.
            pool_min: the number of connections that stay open.
            pool_max: the maximum number of connections.
            statement_timeout: the seconds that one statement may take, 0 for no limit.
            statement_cache_size: the number of prepared statements kept for each connection, 0
                behind a pooler in transaction mode.

        Raises:
            DatabaseUnavailableError: the database cannot be reached.
        """
        with translated_failures():
            pool = await open_pool(
                url,
                pool_min=pool_min,
                pool_max=pool_max,
                statement_timeout=statement_timeout,
                statement_cache_size=statement_cache_size,
            )
        return cls(url, ConnectionPool(pool, statement_timeout or None))

    async def close(self) -> None:
        """Wait up to 5 s for running statements, then close all connections."""
        await self._pool.close()

    async def fetch_json(self, sql: str, args: Sequence[object]) -> bytes | None:
        """Return the single JSON value that a statement returns, as PostgreSQL wrote it."""
        self.statements += 1
        try:
            # Every read runs through this method. A context manager here would cost as much as all
            # other work that the gateway does for a read.
            connection = await self._pool.take()
            try:
                value: bytes | None = await connection.fetchval(sql, *args)
            except BaseException as error:
                await self._pool.give_back(connection, error)
                raise
            await self._pool.give_back(connection)
        except DRIVER_FAILURES as error:
            raise translate_failure(error) from error
        return value

    async def fetch_list(
        self, sql: str, args: Sequence[object], copy_sql: str
    ) -> bytes | JsonStream:
        """Return the JSON values that a statement returns, one for each row, joined by commas.

        A list that was long the last time is streamed.

        Args:
            sql: returns each value as ``bytea``.
            copy_sql: returns each value as ``text``; used if there are no ``args``.
        """
        self.statements += 1

        def remember(rows: int) -> None:
            if rows < LONG_LIST:
                self._long_lists.discard(sql)
            elif len(self._long_lists) < _MAX_LONG_LISTS:
                self._long_lists.add(sql)

        if sql in self._long_lists and not args:
            stream = JsonStream(self._connection(), copy_sql, remember)
            await stream.start()
            return stream
        with translated_failures():
            async with self._connection() as connection:
                rows = await connection.fetch(sql, *args)
        remember(len(rows))
        return b",".join(map(_FIRST, rows))

    async def ping(self) -> None:
        """Check that the database answers.

        Raises:
            DatabaseUnavailableError: it does not.
        """
        with translated_failures():
            async with self._connection() as connection:
                await connection.fetchval("SELECT 1")

    @contextlib.asynccontextmanager
    async def _connection(self) -> AsyncIterator[Connection]:
        """Borrow a connection. Wait for it at most as long as a statement may take."""
        connection = await self._pool.take()
        try:
            yield connection
        except BaseException as error:
            await self._pool.give_back(connection, error)
            raise
        await self._pool.give_back(connection)

    @contextlib.asynccontextmanager
    async def transaction(self) -> AsyncIterator[Transaction]:
        """Run the block in a transaction, on a connection of its own."""
        async with contextlib.AsyncExitStack() as stack:
            with translated_failures():
                connection = await stack.enter_async_context(self._connection())
            transaction = connection.transaction()
            with translated_failures():
                await transaction.start()
            running = Transaction(self, connection)
            try:
                yield running
            except BaseException as error:
                terminate_if_abandoned(connection, error)
                with contextlib.suppress(asyncpg.PostgresError, asyncpg.InterfaceError, OSError):
                    await transaction.rollback()
                raise
            try:
                await transaction.commit()
            except DRIVER_FAILURES as error:
                if not running.wrote or _is_refusal(error):
                    raise translate_failure(error) from error
                logger.error("COMMIT went unanswered", exc_info=error)
                terminate_if_abandoned(connection, error)
                raise OutcomeUnknownError("COMMIT went unanswered") from error

    async def listen(self, channel: str, on_notification: Callable[[], None]) -> Listener:
        """Call ``on_notification`` for every notification of a channel.

        The listener has a connection of its own. Close it when it is no longer needed.

        Raises:
            DatabaseUnavailableError: the database cannot be reached, or notifications do not
                arrive (a pooler may drop them).
        """

        async def send_test_notification() -> None:
            async with self._connection() as connection:
                await connection.execute("SELECT pg_notify($1, '')", channel)

        with translated_failures():
            return await open_listener(self.url, channel, on_notification, send_test_notification)


def _is_refusal(failure: BaseException) -> bool:
    """Whether PostgreSQL answered COMMIT with an error, so that the transaction wrote nothing."""
    lost = (asyncpg.PostgresConnectionError, asyncpg.AdminShutdownError, asyncpg.CrashShutdownError)
    return isinstance(failure, asyncpg.PostgresError) and not isinstance(failure, lost)
