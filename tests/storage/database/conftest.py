"""Open databases with other settings, and connections beside them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import asyncpg

from storage.database.database import Database


@asynccontextmanager
async def connected(url: str, **settings: Any) -> AsyncIterator[Database]:
    """Open a database with these arguments of ``Database.connect``."""
    database = await Database.connect(url, **settings)
    try:
        yield database
    finally:
        await database.close()


class Beside:
    """A connection of its own, for looking at the others and ending them."""

    def __init__(self, connection: asyncpg.Connection[asyncpg.Record]) -> None:
        self.run = connection.fetchval

    async def running(self, statement: str) -> int:
        """Return the number of statements that run and match a pattern of LIKE."""
        count: int = await self.run(
            "SELECT count(*) FROM pg_stat_activity WHERE query LIKE $1 AND state = 'active'"
            " AND datname = current_database() AND pid <> pg_backend_pid()",
            statement,
        )
        return count

    async def terminate_all(self) -> int:
        """Terminate all other backends of the database, and return their number."""
        count: int = await self.run(
            "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
        return count


@asynccontextmanager
async def beside(url: str) -> AsyncIterator[Beside]:
    """Open a connection beside a database."""
    connection = await asyncpg.connect(url)
    try:
        yield Beside(connection)
    finally:
        await connection.close()
