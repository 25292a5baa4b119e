"""Open connections with asyncpg alone, whose sessions are those of the gateway.

PostgreSQL then plans and runs a statement in the same way. Prepared statements are kept by asyncpg,
whatever their size.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TypeAlias

import asyncpg

from storage.database.session import session_settings, use_json_bytes

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"


@asynccontextmanager
async def connected(url: str) -> AsyncIterator[Connection]:
    """Open a connection without a timeout of statements."""
    connection: Connection = await asyncpg.connect(
        url,
        statement_cache_size=1000,
        max_cached_statement_lifetime=0,
        max_cacheable_statement_size=0,
        server_settings=session_settings(0),
    )
    try:
        await use_json_bytes(connection)
        yield connection
    finally:
        await connection.close()


async def open_pool(url: str) -> asyncpg.Pool[asyncpg.Record]:
    """Open asyncpg's pool, with as many connections as the gateway has by default."""
    return await asyncpg.create_pool(
        url,
        min_size=1,
        max_size=16,
        command_timeout=31,  # the driver's way to the limit that the gateway has as well
        statement_cache_size=1000,
        max_cached_statement_lifetime=0,
        max_cacheable_statement_size=0,
        server_settings=session_settings(30),
        init=use_json_bytes,
        reset=_keep_session,
    )


async def _keep_session(connection: Connection) -> None:
    """Skip asyncpg's reset query on release, which would cost a round trip."""
