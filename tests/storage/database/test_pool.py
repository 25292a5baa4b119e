"""Test the connection pool: reuse, waiting, replacement of lost connections, and shrinking."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from storage.database import pool as pool_module
from storage.database.database import Database
from storage.database.errors import DatabaseUnavailableError
from storage.database.pool import ConnectionPool, open_pool

_PID = "SELECT convert_to(pg_backend_pid()::text, 'UTF8')"
_SLOW_PID = "SELECT convert_to(pg_backend_pid()::text, 'UTF8') FROM pg_sleep(0.05)"


@asynccontextmanager
async def connected(
    url: str, *, pool_max: int, statement_timeout: float = 30
) -> AsyncIterator[Database]:
    database = await Database.connect(url, pool_max=pool_max, statement_timeout=statement_timeout)
    try:
        yield database
    finally:
        await database.close()


async def test_sequential_callers_share_one_connection(database_url: str) -> None:
    async with connected(database_url, pool_max=4) as database:
        assert len({await database.fetch_json(_PID, []) for _ in range(20)}) == 1


async def test_more_callers_than_connections_all_get_results(database_url: str) -> None:
    async with connected(database_url, pool_max=2) as database:
        results = await asyncio.gather(*(database.fetch_json(_SLOW_PID, []) for _ in range(20)))
        assert len(set(results)) == 2


async def test_reads_and_transactions_share_one_connection(database_url: str) -> None:
    async def write() -> object:
        async with database.transaction() as transaction:
            return str(await transaction.fetch_value("SELECT pg_backend_pid()")).encode()

    async with connected(database_url, pool_max=1) as database:
        calls = [write() if n % 3 == 0 else database.fetch_json(_PID, []) for n in range(30)]
        assert len(set(await asyncio.gather(*calls))) == 1


async def test_a_caller_waits_at_most_the_statement_timeout(database_url: str) -> None:
    async with (
        connected(database_url, pool_max=1, statement_timeout=0.3) as database,
        database.transaction(),
    ):
        start = time.monotonic()
        with pytest.raises(DatabaseUnavailableError):
            await database.fetch_json(_PID, [])
        assert 0.2 < time.monotonic() - start < 10


async def test_a_connection_is_available_again_after_its_caller_is_cancelled(
    database_url: str,
) -> None:
    async with connected(database_url, pool_max=1) as database:
        abandoned = asyncio.create_task(
            database.fetch_json("SELECT ''::bytea FROM pg_sleep(60)", [])
        )
        await asyncio.sleep(0.2)
        abandoned.cancel()
        with pytest.raises(asyncio.CancelledError):
            await abandoned
        assert await database.fetch_json(_PID, [])


async def test_lost_connections_are_replaced(database_url: str) -> None:
    async with (
        connected(database_url, pool_max=4) as database,
        connected(database_url, pool_max=1) as other,
    ):
        pids = await asyncio.gather(*(database.fetch_json(_SLOW_PID, []) for _ in range(4)))
        async with other.transaction() as transaction:
            for pid in pids:
                assert pid is not None
                await transaction.fetch("SELECT pg_terminate_backend($1, 5000)", int(pid))
        await asyncio.sleep(0.1)  # asyncpg has to notice
        new_pids = await asyncio.gather(*(database.fetch_json(_SLOW_PID, []) for _ in range(4)))
        assert len(set(new_pids)) == 4
        assert set(new_pids).isdisjoint(pids)


async def test_unused_connections_are_released(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pool_module, "_IDLE_SECONDS", 0.2)
    asyncpg_pool = await open_pool(database_url, pool_max=4)
    pool = ConnectionPool(asyncpg_pool, None)
    try:
        taken = [await pool.take() for _ in range(4)]
        for connection in taken:
            await pool.give_back(connection)
        assert asyncpg_pool.get_idle_size() == 0  # all connections stay open
        async with asyncio.timeout(10):
            while asyncpg_pool.get_idle_size() < 3:
                used = await pool.take()
                await asyncio.sleep(0.01)
                await pool.give_back(used)
        assert await pool.take() is used  # the connection in use is kept
        await pool.give_back(used)
    finally:
        await pool.close()


async def test_close_waits_for_running_statements_and_rejects_new_ones(database_url: str) -> None:
    database = await Database.connect(database_url, pool_max=2)
    running = asyncio.create_task(database.fetch_json(_SLOW_PID, []))
    await asyncio.sleep(0.01)
    await database.close()
    assert await running
    with pytest.raises(DatabaseUnavailableError):
        await database.fetch_json(_PID, [])
