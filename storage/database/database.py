"""Run statements against PostgreSQL on pooled connections, alone or in transactions.

Every statement runs here, or in a transaction that begins here. Failures are raised as
``storage.database.errors`` defines them.

A read outside a transaction whose connection is lost before its answer is run again, on a new
connection. Nothing in a transaction is, and nothing after a timeout or a cancellation.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import replace
from functools import partial
from operator import itemgetter
from typing import Any, TypeVar, cast

import asyncpg

from storage.database.errors import (
    DatabaseBusyError,
    DatabaseUnavailableError,
    OutcomeUnknownError,
    StorageError,
)
from storage.database.listen import Listener, open_listener
from storage.database.outage import FailureLog
from storage.database.pool import ConnectionPool
from storage.database.rows import Row
from storage.database.session import Session, SessionOptions
from storage.database.stream import LONG_LIST, JsonStream
from storage.database.transaction import Transaction

_Value = TypeVar("_Value")

_FIRST = itemgetter(0)

_MAX_LONG_LISTS = 100
"""Statements that are remembered; there are as many as legacy lists and scopes of viewers."""

_REPEATS = 2
"""The number of times that a read is run again at most. Where all connections are cut in a loop,
the new one is sometimes cut as well."""

_BEGIN = "BEGIN; SET LOCAL idle_in_transaction_session_timeout = '6s'"
"""A process that is stopped or cut off in a transaction holds its locks no longer than a lease."""

_COMPACT = """
SELECT compact_changes($1) AS removed, pg_relation_size(oid) > 262144 AS is_large,
    pg_has_role(relowner, 'USAGE') AS may_vacuum
FROM pg_class WHERE oid = 'change'::regclass"""
"""The log is large from 256 KiB on. The size is NULL if the table is dropped at this moment."""


class Database:
    """A pool of connections to one PostgreSQL database.

    ``statements`` counts the statements that were run, without transaction control. Tests check
    that it does not grow with the rows or the depth of a query.
    """

    def __init__(self, options: SessionOptions, failures: FailureLog, pool: ConnectionPool) -> None:
        self.url = options.url
        self.statements = 0
        self.when_written: Callable[[], None] = lambda: None
        """Called after each transaction that may have written something and was committed."""
        self._options = options
        self._failures = failures
        self._pool = pool
        self._long_lists: set[str] = set()

    @classmethod
    async def connect(
        cls,
        url: str,
        *,
        pool_min: int = 1,
        pool_max: int = 16,
        pool_timeout: float = 2.0,
        statement_timeout: float = 30.0,
        statement_cache_bytes: int = 16 * 1024 * 1024,
    ) -> Database:
        """Open the pool.

        Args:
            url: ``postgresql://…``, in any form that libpq accepts.
            pool_min: the number of connections that stay open.
            pool_max: the maximum number of connections.
            pool_timeout: the seconds that a statement waits for a connection.
            statement_timeout: the seconds that one statement may take, 0 for no limit.
            statement_cache_bytes: the memory that PostgreSQL may keep for prepared statements of
                one connection, 0 behind a pooler in transaction mode, which cannot keep any.

        Raises:
            DatabaseUnavailableError: the database cannot be reached.
            ValueError: the URL is malformed.
        """
        options = SessionOptions(url, statement_timeout, statement_cache_bytes)
        failures = FailureLog()
        pool = ConnectionPool(
            options, failures, minimum=pool_min, maximum=pool_max, timeout=pool_timeout
        )
        try:
            await pool.fill()
        except BaseException as failure:
            await pool.close()
            malformed = isinstance(failure, ValueError)
            if isinstance(failure, Exception) and (
                not malformed or isinstance(failure, asyncpg.InterfaceError)
            ):
                raise failures.translated(failure) from failure
            raise
        return cls(options, failures, pool)

    def apart(self, connections: int, name: str) -> Database:
        """Return the same database with connections of its own, which no other statement takes.

        Close it when it is no longer needed.

        Args:
            connections: The maximum number of connections.
            name: The name of the sessions in pg_stat_activity.
        """
        options = replace(self._options, name=name)
        pool = ConnectionPool(
            options,
            self._failures,
            minimum=0,
            maximum=connections,
            timeout=self._pool.timeout,
        )
        return Database(options, self._failures, pool)

    @property
    def server_changes(self) -> int:
        """How often a connection led to another server than the one before, or after a restart."""
        return self._pool.server_changes

    async def close(self) -> None:
        """Wait up to 5 s for running statements, then close all connections."""
        await self._pool.close()

    # Reads ---------------------------------------------------------------------------------------

    async def fetch_json(self, sql: str, args: Sequence[object]) -> bytes | None:
        """Return the single JSON value that a statement returns, as PostgreSQL wrote it."""
        self.statements += 1
        # Every read runs through this method. A context manager here would cost as much as all
        # other work that the gateway does for a read.
        session = await self._pool.take()
        try:
            value = await session.fetch_value(sql, args)
        except BaseException as failure:
            run = partial(Session.fetch_value, sql=sql, args=args)
            session, value = await self._again(session, failure, run)
        self._pool.give_back(session)
        return cast("bytes | None", value)

    async def fetch_versioned(self, sql: str, args: Sequence[object]) -> tuple[bytes | None, int]:
        """Return the JSON value of a statement, and the version that is its second column."""
        self.statements += 1
        session = await self._pool.take()  # without a context manager, as above
        try:
            rows: Any = await session.fetch(sql, args, 1)
        except BaseException as failure:
            run = partial(Session.fetch, sql=sql, args=args, limit=1)
            session, rows = await self._again(session, failure, run)
        self._pool.give_back(session)
        versioned: tuple[bytes | None, int] = rows[0]
        return versioned

    async def fetch(self, sql: str, *args: object) -> Sequence[Row]:
        """Return all rows of a read."""
        self.statements += 1
        rows = await self._read(partial(Session.fetch, sql=sql, args=args))
        return cast("Sequence[Row]", rows)

    async def fetch_list(
        self, sql: str, args: Sequence[object], copy_sql: str, version_sql: str
    ) -> tuple[bytes | JsonStream, int]:
        """Return the JSON values that a statement returns, one for each row, joined by commas, and
        their version.

        A list that was long the last time is streamed.

        Args:
            sql: Returns each value as ``bytea``, and the version with each of them. It returns a
                row without a value for an empty list.
            copy_sql: Returns each value as ``text``; used if there are no ``args``.
            version_sql: Returns the version that belongs to ``copy_sql``.
        """
        self.statements += 1

        def remember(rows: int) -> None:
            if rows < LONG_LIST:
                self._long_lists.discard(sql)
            elif len(self._long_lists) < _MAX_LONG_LISTS:
                self._long_lists.add(sql)

        if sql in self._long_lists and not args:
            stream = JsonStream(
                lambda receive, may_start_again, receive_version: self._read(
                    partial(
                        Session.copy,
                        sql=copy_sql,
                        output=receive,
                        first_sql=version_sql,
                        first=receive_version,
                    ),
                    may_start_again,
                ),
                remember,
            )
            await stream.start()
            return stream, stream.version
        rows = await self._read(partial(Session.fetch, sql=sql, args=args))
        remember(len(rows))
        first, version = rows[0]
        return b"" if first is None else b",".join(map(_FIRST, rows)), cast("int", version)

    # Writes --------------------------------------------------------------------------------------

    async def write(self, sql: str, *args: object) -> Row | None:
        """Run one statement in a transaction of its own, and return its first row.

        Raises:
            OutcomeUnknownError: The statement was not answered, and may have written.
            StorageError: It failed, and wrote nothing.
        """
        rows = await self.write_rows(sql, *args)
        return rows[0] if rows else None

    async def write_rows(self, sql: str, *args: object) -> Sequence[Row]:
        """Run one statement in a transaction of its own, and return its rows. Raises as above."""
        self.statements += 1
        session = await self._pool.take()
        try:
            rows = await session.fetch(sql, args)
        except BaseException as failure:
            # An error that PostgreSQL answers means that it has rolled back.
            unanswered = not session.reusable(failure)
            error = self._failed(session, failure)
            if unanswered and isinstance(failure, Exception):
                raise OutcomeUnknownError("the statement was not answered") from failure
            raise error from error.__cause__
        self._pool.give_back(session)
        self._written()
        return cast("Sequence[Row]", rows)

    def _written(self) -> None:
        """Note that a transaction which may have written something was committed."""
        self.when_written()
        if self._failures.impaired.ongoing:
            self._failures.impaired.succeeded()

    # The log of changes --------------------------------------------------------------------------

    async def compact_changes(self, minimum: int) -> None:
        """Compact the log of changes if it has at least so many rows, and clear what they leave.

        Raises:
            StorageError: It failed. No version has changed.
        """
        rows = await self._read(partial(Session.fetch, sql=_COMPACT, args=[minimum]))
        for row in rows:
            if row["removed"] and row["may_vacuum"]:
                # To shorten the file it may wait for seconds until nobody reads the log.
                sql = f"VACUUM (SKIP_LOCKED, TRUNCATE {bool(row['is_large'])}) change"
                await self._read(partial(Session.execute, sql=sql))

    async def change_all_versions(self) -> None:
        """Give everything that answers depend on another version.

        Raises:
            StorageError: It failed.
        """
        await self._read(partial(Session.execute, sql="SELECT log_unknown_changes()"))

    async def ping(self) -> None:
        """Check that the database answers.

        Raises:
            DatabaseUnavailableError: it does not.
        """
        try:
            await self._read(partial(Session.execute, sql="SELECT 1"))
        except DatabaseBusyError as error:
            raise DatabaseUnavailableError("no statement ended in time") from error

    async def _read(
        self,
        run: Callable[[Session], Awaitable[_Value]],
        may_repeat: Callable[[], bool] = lambda: True,
    ) -> _Value:
        """Run a read on a connection of the pool.

        Args:
            run: Runs the statement.
            may_repeat: Whether it can still be run again after it failed.
        """
        session = await self._pool.take()
        try:
            value = await run(session)
        except BaseException as failure:
            session, value = await self._again(session, failure, run, may_repeat)
        self._pool.give_back(session)
        return value

    async def _again(
        self,
        session: Session,
        failure: BaseException,
        run: Callable[[Session], Awaitable[_Value]],
        may_repeat: Callable[[], bool] = lambda: True,
    ) -> tuple[Session, _Value]:
        """Run a statement again whose connection was lost before its answer.

        Args:
            session: The borrowed connection.
            failure: What the statement raised.
            run, may_repeat: See ``_read``.

        Returns:
            The new connection, and what the statement returned.

        Raises:
            StorageError: It failed for another reason, or again. The connection was given back.
        """
        for _ in range(_REPEATS):
            if not session.may_repeat(failure) or not may_repeat():
                break
            session = await self._pool.replace(session)
            try:
                return session, await run(session)
            except BaseException as another:
                failure = another
        raise self._failed(session, failure)

    def _failed(self, session: Session, failure: BaseException) -> BaseException:
        """Give a connection back after a failure, and return the exception to raise."""
        lost = session.lost(failure)
        self._pool.give_back(session, failure)
        if not isinstance(failure, Exception):
            return failure  # a cancellation
        error = self._failures.translated(failure, lost=lost)
        error.__cause__ = failure
        return error

    # Transactions --------------------------------------------------------------------------------

    @contextlib.asynccontextmanager
    async def transaction(self) -> AsyncIterator[Transaction]:
        """Run the block in a transaction, on a connection of its own.

        Raises:
            OutcomeUnknownError: COMMIT was not answered, and the transaction may have written.
            StorageError: It failed otherwise, and nothing was written.
        """
        session = await self._pool.take()
        begin = partial(Session.execute, sql=_BEGIN)
        try:
            await begin(session)
        except BaseException as failure:
            session, _ = await self._again(session, failure, begin)
        transaction = Transaction(self, self._failures, session)
        try:
            yield transaction
        except BaseException as error:
            await self._roll_back(session, error)
            raise
        await self._commit(session, wrote=transaction.wrote)

    async def _commit(self, session: Session, *, wrote: bool) -> None:
        sent = not session.is_closed()
        try:
            tag = await session.execute("COMMIT")
        except BaseException as failure:
            # An error that PostgreSQL answers means that it has rolled back.
            unanswered = sent and not session.reusable(failure)
            error = self._failed(session, failure)
            if unanswered and wrote and isinstance(failure, Exception):
                raise OutcomeUnknownError("COMMIT was not answered") from failure
            raise error from error.__cause__
        self._pool.give_back(session)
        if tag != "COMMIT":  # an error in the block was caught there
            raise DatabaseUnavailableError("the transaction was rolled back")
        if wrote:
            self._written()

    async def _roll_back(self, session: Session, error: BaseException) -> None:
        """End a transaction after an exception in its block, and give its connection back."""
        failure = error.__cause__ if isinstance(error, StorageError) else None
        abandoned = (TimeoutError, asyncio.CancelledError)
        if isinstance(error, abandoned) or isinstance(failure, abandoned):
            # Any further use would wait until PostgreSQL has canceled the statement.
            self._pool.give_back(session, error)
            return
        try:
            await session.execute("ROLLBACK")
        except BaseException as another:
            self._pool.give_back(session, another)
            if not isinstance(another, Exception):
                raise
        else:
            self._pool.give_back(session, failure)

    # Notifications -------------------------------------------------------------------------------

    async def listen(
        self, channel: str, on_notification: Callable[[], None], on_loss: Callable[[], None]
    ) -> Listener:
        """Open a connection that calls ``on_notification`` for every notification of a channel.

        Close it when it is no longer needed. Where notifications do not arrive, its ``hears`` is
        False. ``on_loss`` is called when the connection is closed by either side.

        Raises:
            StorageError: The database cannot be reached, or has no free connection.
        """
        send = partial(Session.fetch_value, sql="SELECT pg_notify($1, '')", args=[channel])
        try:
            return await open_listener(
                self._options,
                self._failures,
                channel,
                on_notification,
                on_loss,
                lambda: self._read(send),
            )
        except Exception as failure:
            raise self._failures.translated(failure, lost=True) from failure
