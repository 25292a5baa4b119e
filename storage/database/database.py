"""In charge of connections: the pool, transactions, notifications, and what failures mean.

No other module runs a statement against PostgreSQL. What asyncpg raises is turned into the error
catalogue here; the driver's own words go to the log only.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from typing import Any, cast

import asyncpg

from storage.database.errors import (
    AlreadyExistsError,
    DatabaseUnavailableError,
    StillInUseError,
    StorageError,
)
from storage.database.listen import Listener
from storage.database.pool import Connection, ConnectionPool, cut_if_given_up, open_pool

logger = logging.getLogger(__name__)

Row = Mapping[str, Any]
"""A row of an answer: values by column name."""


_FAILURES = (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError)
"""What a statement can fail with."""


def _named(failure: BaseException) -> StorageError:
    """What a failure means."""
    match failure:
        case asyncpg.UniqueViolationError():
            return AlreadyExistsError(failure.constraint_name or "")
        case asyncpg.ForeignKeyViolationError():
            return StillInUseError(failure.constraint_name or "")
    # The driver's message may hold SQL, values or a host name: it is for the log alone.
    logger.error("a statement failed", exc_info=failure)
    return DatabaseUnavailableError("the database did not answer")


@contextlib.contextmanager
def _failures_named() -> Iterator[None]:
    try:
        yield
    except _FAILURES as failure:
        raise _named(failure) from failure


class Transaction:
    """A connection inside one transaction; whatever leaves with an exception is rolled back."""

    def __init__(self, database: Database, connection: Connection) -> None:
        self._database = database
        self._connection = connection

    async def fetch(self, sql: str, *args: object) -> Sequence[Row]:
        """All rows of the statement's answer."""
        self._database.statements += 1
        with _failures_named():
            # asyncpg's Record has all of a Mapping's methods, but does not say so.
            return cast("Sequence[Row]", await self._connection.fetch(sql, *args))

    async def fetch_row(self, sql: str, *args: object) -> Row | None:
        """The first row of the statement's answer, or None."""
        rows = await self.fetch(sql, *args)
        return rows[0] if rows else None

    async def fetch_value(self, sql: str, *args: object) -> object:
        """The first value of the first row, or None."""
        row = await self.fetch_row(sql, *args)
        return next(iter(row.values())) if row is not None else None

    async def script(self, sql: str) -> None:
        """Run several statements that take no parameters and answer nothing."""
        self._database.statements += 1
        with _failures_named():
            await self._connection.execute(sql)


class Database:
    """A pool of connections to one PostgreSQL database.

    ``statements`` counts what was run, transaction control aside; tests hold it constant over
    rows and depth.
    """

    def __init__(self, url: str, pool: ConnectionPool) -> None:
        self.url = url
        self._pool = pool
        self.statements = 0

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
            url: ``postgresql://…``, any form that libpq takes.
            pool_min, pool_max: connections kept open, and at most.
            statement_timeout: seconds that one statement may take, 0 for no limit.
            statement_cache_size: prepared statements kept for each connection; 0 behind a
                pooler in transaction mode.

        Raises:
            DatabaseUnavailableError: the database cannot be reached.
        """
        with _failures_named():
            pool = await open_pool(
                url,
                pool_min=pool_min,
                pool_max=pool_max,
                statement_timeout=statement_timeout,
                statement_cache_size=statement_cache_size,
            )
        return cls(url, ConnectionPool(pool, statement_timeout or None))

    async def close(self) -> None:
        """Close all connections once they are idle; those that are not within 5 s are cut."""
        await self._pool.close()

    async def fetch_json(self, sql: str, args: Sequence[object]) -> bytes | None:
        """The one JSON value that the statement answers with, as PostgreSQL wrote it."""
        self.statements += 1
        try:
            # Every read comes through here, where a context manager costs as much as all of the
            # gateway's own work on it.
            connection = await self._pool.take()
            try:
                answer: bytes | None = await connection.fetchval(sql, *args)
            except BaseException as error:
                await self._pool.give_back(connection, error)
                raise
            await self._pool.give_back(connection)
        except _FAILURES as error:
            raise _named(error) from error
        return answer

    async def fetch_list(self, sql: str, args: Sequence[object]) -> list[bytes]:
        """The JSON values that the statement answers with, one in each row."""
        self.statements += 1
        with _failures_named():
            async with self._connection() as connection:
                return [row[0] for row in await connection.fetch(sql, *args)]

    async def ping(self) -> None:
        """Ask for nothing; raises ``DatabaseUnavailableError`` where even that fails."""
        with _failures_named():
            async with self._connection() as connection:
                await connection.fetchval("SELECT 1")

    @contextlib.asynccontextmanager
    async def _connection(self) -> AsyncIterator[Connection]:
        """A connection, waited for no longer than for a statement."""
        connection = await self._pool.take()
        try:
            yield connection
        except BaseException as error:
            await self._pool.give_back(connection, error)
            raise
        await self._pool.give_back(connection)

    @contextlib.asynccontextmanager
    async def transaction(self) -> AsyncIterator[Transaction]:
        """A transaction on a connection of its own."""
        async with contextlib.AsyncExitStack() as stack:
            with _failures_named():
                connection = await stack.enter_async_context(self._connection())
            transaction = connection.transaction()
            with _failures_named():
                await transaction.start()
            try:
                yield Transaction(self, connection)
            except BaseException as error:
                cut_if_given_up(connection, error)
                with contextlib.suppress(asyncpg.PostgresError, asyncpg.InterfaceError, OSError):
                    await transaction.rollback()
                raise
            with _failures_named():
                await transaction.commit()

    async def listen(self, channel: str, heard: Callable[[], None]) -> Listener:
        """Call ``heard`` at every notification of ``channel``, on a connection of its own.

        Raises:
            DatabaseUnavailableError: the database cannot be reached, or what is notified does not
                arrive, which only trying tells: some poolers take a LISTEN and forget it.
        """
        arrived = asyncio.Event()

        def hear(*_: object) -> None:
            arrived.set()
            heard()

        with _failures_named():
            connection = await asyncpg.connect(self.url, timeout=5, statement_cache_size=0)
            try:
                await connection.add_listener(channel, hear)
                async with self._connection() as notifier:
                    await notifier.execute("SELECT pg_notify($1, '')", channel)
                await asyncio.wait_for(arrived.wait(), timeout=2)
            except BaseException:
                connection.terminate()
                raise
        return Listener(connection)
