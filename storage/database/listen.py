"""In charge of connections: the pool, transactions, notifications, and what failures mean.

No other module runs a statement against PostgreSQL. What asyncpg raises is turned into the error
catalogue here; the driver's own words go to the log only.
"""

from __future__ import annotations

import contextlib

import asyncpg


class Listener:
    """A connection that hears notifications until it is closed or cut."""

    def __init__(self, connection: asyncpg.Connection[asyncpg.Record]) -> None:
        self._connection = connection

    @property
    def alive(self) -> bool:
        """Whether notifications still arrive, as far as is known."""
        return not self._connection.is_closed()

    async def close(self) -> None:
        """End the connection."""
        with contextlib.suppress(asyncpg.PostgresError, asyncpg.InterfaceError, OSError):
            await self._connection.close(timeout=2)
