"""Listen for notifications on a dedicated connection."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable

import asyncpg


class Listener:
    """A connection that receives notifications until it is closed or lost."""

    def __init__(self, connection: asyncpg.Connection[asyncpg.Record]) -> None:
        self._connection = connection

    @property
    def alive(self) -> bool:
        """Whether the connection is still open, as far as this side can tell."""
        return not self._connection.is_closed()

    async def close(self) -> None:
        """Close the connection."""
        with contextlib.suppress(asyncpg.PostgresError, asyncpg.InterfaceError, OSError):
            await self._connection.close(timeout=2)


async def open_listener(
    url: str,
    channel: str,
    on_notification: Callable[[], None],
    send_test_notification: Callable[[], Awaitable[None]],
) -> Listener:
    """Open a connection that listens on a channel, and check that notifications arrive on it.

    Some poolers accept LISTEN and then deliver nothing. Only a test shows that.

    Args:
        url: The database to connect to.
        channel: The name of the channel.
        on_notification: Called for every notification, the test one included.
        send_test_notification: Sends a notification to the channel, on another connection.

    Raises:
        TimeoutError: The test notification did not arrive within 2 s.
        OSError, asyncpg.PostgresError, asyncpg.InterfaceError: a connection failed.
    """
    arrived = asyncio.Event()

    def receive(*_: object) -> None:
        arrived.set()
        on_notification()

    connection = await asyncpg.connect(url, timeout=5, statement_cache_size=0)
    try:
        await connection.add_listener(channel, receive)
        await send_test_notification()
        await asyncio.wait_for(arrived.wait(), timeout=2)
    except BaseException:
        connection.terminate()
        raise
    return Listener(connection)
