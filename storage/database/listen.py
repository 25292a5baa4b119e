"""Listen for notifications on a connection of its own, which also reads what they announce."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from typing import cast

import asyncpg

from storage.database.outage import FailureLog
from storage.database.rows import Row
from storage.database.session import Session, SessionOptions, open_session

LISTENER = "process-gateway listener"
"""The name of the session in pg_stat_activity."""

_SECONDS = 2.0
"""Seconds to wait for each answer on the connection, and for a test notification."""


class Listener:
    """A connection that receives notifications until it is closed or lost.

    A connection can be dead without a sign: only an answer tells. PostgreSQL sends the
    notifications that it has before the answer to a statement, so whoever gets an answer has also
    got all notifications of earlier commits.
    """

    def __init__(self, session: Session, failures: FailureLog) -> None:
        self._session = session
        self._failures = failures
        self._turn = asyncio.Lock()
        self.hears = False
        """Whether notifications arrive. They do not on a standby and behind some poolers."""

    @property
    def alive(self) -> bool:
        """Whether the connection is still open, as far as this side can tell."""
        return not self._session.is_closed()

    async def fetch(self, sql: str, *args: object) -> Sequence[Row]:
        """Return all rows of a read.

        Raises:
            DatabaseUnavailableError: There was no answer within 2 s. The connection is closed.
        """
        async with self._turn:
            try:
                async with asyncio.timeout(_SECONDS):
                    rows = await self._session.fetch(sql, args)
            except BaseException as failure:
                lost = self._session.lost(failure)
                if not self._session.reusable(failure):
                    self._session.terminate()
                if not isinstance(failure, Exception):
                    raise
                raise self._failures.translated(failure, lost=lost) from failure
        if self._failures.unreachable.ongoing:
            self._failures.unreachable.succeeded()
        return cast("Sequence[Row]", rows)

    async def check(self) -> None:
        """Check that the connection is not dead. Raises like ``fetch``."""
        await self.fetch("SELECT 1")

    async def close(self) -> None:
        """Close the connection."""
        await self._session.close()


async def open_listener(
    options: SessionOptions,
    failures: FailureLog,
    channel: str,
    on_notification: Callable[[], None],
    on_loss: Callable[[], None],
    send_test_notification: Callable[[], Awaitable[object]],
) -> Listener:
    """Open a connection that listens on a channel, and test whether notifications arrive on it.

    Some poolers accept LISTEN and then deliver nothing. Only a test shows that.

    Args:
        options: How the connection is opened.
        failures: Where its failures are logged.
        channel: The name of the channel.
        on_notification: Called for every notification, the test one included.
        on_loss: Called when the connection is closed by either side.
        send_test_notification: Sends a notification to the channel, on another connection.

    Raises:
        StorageError: The test notification cannot be sent.
        Exception: Whatever the driver raises if the connection cannot be opened or is lost.
    """
    async with asyncio.timeout(_SECONDS):
        session = await open_session(replace(options, name=LISTENER))
    listener = Listener(session, failures)
    try:
        session.when_lost(on_loss)
        listener.hears = await _hears(session, channel, on_notification, send_test_notification)
    except BaseException:
        session.terminate()
        raise
    return listener


async def _hears(
    session: Session,
    channel: str,
    on_notification: Callable[[], None],
    send_test_notification: Callable[[], Awaitable[object]],
) -> bool:
    """Listen on a channel. Return whether notifications arrive."""
    arrived = asyncio.Event()

    def receive() -> None:
        arrived.set()
        on_notification()

    try:
        async with asyncio.timeout(_SECONDS):
            await session.listen(channel, receive)
    except asyncpg.ReadOnlySQLTransactionError:
        return False  # a standby
    await send_test_notification()
    try:
        async with asyncio.timeout(_SECONDS):
            await arrived.wait()
    except TimeoutError:
        return False
    return True
