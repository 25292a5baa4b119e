"""In charge of the connections: lent again, waited for, replaced when cut, given up when spare."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from storage.database import pool as module
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


async def test_one_connection_serves_who_comes_one_after_the_other(database_url: str) -> None:
    async with connected(database_url, pool_max=4) as database:
        assert len({await database.fetch_json(_PID, []) for _ in range(20)}) == 1


async def test_more_callers_than_connections_are_all_served(database_url: str) -> None:
    async with connected(database_url, pool_max=2) as database:
        served = await asyncio.gather(*(database.fetch_json(_SLOW_PID, []) for _ in range(20)))
        assert len(set(served)) == 2


async def test_reads_and_transactions_take_turns_on_one_connection(database_url: str) -> None:
    async def write() -> object:
        async with database.transaction() as transaction:
            return str(await transaction.fetch_value("SELECT pg_backend_pid()")).encode()

    async with connected(database_url, pool_max=1) as database:
        calls = [write() if n % 3 == 0 else database.fetch_json(_PID, []) for n in range(30)]
        assert len(set(await asyncio.gather(*calls))) == 1


async def test_nobody_waits_for_longer_than_a_statement_may_take(database_url: str) -> None:
    async with (
        connected(database_url, pool_max=1, statement_timeout=0.3) as database,
        database.transaction(),
    ):
        start = time.monotonic()
        with pytest.raises(DatabaseUnavailableError):
            await database.fetch_json(_PID, [])
        assert 0.2 < time.monotonic() - start < 10


async def test_a_connection_whose_caller_left_is_lent_again(database_url: str) -> None:
    async with connected(database_url, pool_max=1) as database:
        left = asyncio.create_task(database.fetch_json("SELECT ''::bytea FROM pg_sleep(60)", []))
        await asyncio.sleep(0.2)
        left.cancel()
        with pytest.raises(asyncio.CancelledError):
            await left
        assert await database.fetch_json(_PID, [])


async def test_connections_that_were_cut_are_replaced(database_url: str) -> None:
    async with (
        connected(database_url, pool_max=4) as database,
        connected(database_url, pool_max=1) as other,
    ):
        pids = await asyncio.gather(*(database.fetch_json(_SLOW_PID, []) for _ in range(4)))
        async with other.transaction() as transaction:
            for pid in pids:
                assert pid is not None
                await transaction.fetch("SELECT pg_terminate_backend($1, 5000)", int(pid))
        await asyncio.sleep(0.1)  # for the news to arrive
        again = await asyncio.gather(*(database.fetch_json(_SLOW_PID, []) for _ in range(4)))
        assert len(set(again)) == 4
        assert set(again).isdisjoint(pids)


async def test_spare_connections_are_given_up(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_LOOK", 0.2)
    lent = await open_pool(database_url, pool_max=4)
    pool = ConnectionPool(lent, None)
    try:
        taken = [await pool.take() for _ in range(4)]
        for connection in taken:
            await pool.give_back(connection)
        assert lent.get_idle_size() == 0  # they are all kept at hand
        async with asyncio.timeout(10):
            while lent.get_idle_size() < 3:
                used = await pool.take()
                await asyncio.sleep(0.01)
                await pool.give_back(used)
        assert await pool.take() is used  # the one that is needed stays
        await pool.give_back(used)
    finally:
        await pool.close()


async def test_closing_waits_for_who_is_served_and_lends_no_more(database_url: str) -> None:
    database = await Database.connect(database_url, pool_max=2)
    served = asyncio.create_task(database.fetch_json(_SLOW_PID, []))
    await asyncio.sleep(0.01)
    await database.close()
    assert await served
    with pytest.raises(DatabaseUnavailableError):
        await database.fetch_json(_PID, [])
