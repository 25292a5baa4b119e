"""Test the connection pool: reuse, fair waiting, lost connections, cancellation and shrinking."""

from __future__ import annotations

import asyncio
import time
from itertools import pairwise

import pytest

from storage.database import pool as pool_module
from storage.database.database import Database
from storage.database.errors import DatabaseBusyError, DatabaseUnavailableError
from storage.database.fairness import borrower
from storage.database.outage import FailureLog
from storage.database.pool import ConnectionPool
from storage.database.session import SessionOptions
from tests.resolvers.home import until
from tests.storage.database.conftest import beside, connected

_PID = "SELECT convert_to(pg_backend_pid()::text, 'UTF8')"
_SLOW_PID = "SELECT convert_to(pg_backend_pid()::text, 'UTF8') FROM pg_sleep(0.05)"


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


async def test_a_caller_waits_at_most_the_pool_timeout(database_url: str) -> None:
    async with connected(database_url, pool_max=1, pool_timeout=0.3) as database:
        async with database.transaction():
            start = time.monotonic()
            waiting = [database.fetch_json(_PID, []) for _ in range(5)]
            results = await asyncio.gather(*waiting, return_exceptions=True)
            assert time.monotonic() - start > 0.2
        assert [type(result) for result in results] == [DatabaseBusyError] * 5
        (error, *_) = results
        assert isinstance(error, DatabaseBusyError)
        assert 1 <= error.retry_after <= 30
        assert await database.fetch_json(_PID, [])  # nobody is left in the queue


async def test_an_owner_does_not_wait_for_all_reads_of_another(database_url: str) -> None:
    """One has 200 slow reads in the queue, two others have one each, and wait for about one."""
    finished: list[str] = []

    async def read(owner: str) -> None:
        borrower.set(owner)
        await database.fetch_json("SELECT ''::bytea FROM pg_sleep(0.005)", [])
        finished.append(owner)

    async with connected(database_url, pool_max=1, pool_timeout=60) as database:
        many = [asyncio.create_task(read("many")) for _ in range(200)]
        await asyncio.sleep(0.05)
        before = len(finished)
        assert before < 100
        one = [asyncio.create_task(read(owner)) for owner in ("one", "another")]
        await asyncio.gather(*many, *one)
        assert finished.index("one") - before <= 4
        assert finished.index("another") - before <= 4
        assert len(finished) == 202


async def test_the_reads_of_one_owner_are_served_in_their_order(database_url: str) -> None:
    finished: list[int] = []

    async def read(number: int) -> None:
        await database.fetch_json(_PID, [])
        finished.append(number)

    async with connected(database_url, pool_max=1) as database:
        await asyncio.gather(*(read(number) for number in range(50)))
    assert all(first < second for first, second in pairwise(finished))


async def test_a_cancelled_caller_in_the_queue_loses_no_connection(database_url: str) -> None:
    async with connected(database_url, pool_max=2, pool_timeout=10) as database:
        for delay in (0, 0.001, 0.002, 0.01):
            waiting = [asyncio.create_task(database.fetch_json(_PID, [])) for _ in range(20)]
            await asyncio.sleep(delay)
            for task in waiting[::2]:
                task.cancel()
            results = await asyncio.gather(*waiting, return_exceptions=True)
            assert all(isinstance(result, bytes) for result in results[1::2])
        async with database.transaction(), database.transaction():
            pass  # both connections can still be borrowed


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


async def test_the_statement_of_a_cancelled_caller_ends_in_postgresql(database_url: str) -> None:
    async def ended() -> bool:
        return await other.running("SELECT ''::bytea FROM%") == 0

    heavy = "SELECT ''::bytea FROM (SELECT sum(n) FROM generate_series(1, 1000000000) AS n) AS t"
    async with connected(database_url, pool_max=2) as database, beside(database_url) as other:
        for sql in (heavy, "SELECT ''::bytea FROM pg_sleep(300)"):
            abandoned = asyncio.create_task(database.fetch_json(sql, []))
            await until(lambda: other.running("SELECT ''::bytea FROM%"), 10)
            start = time.monotonic()
            abandoned.cancel()
            await until(ended, 10)
            # 0.5 s is the interval at which PostgreSQL looks; the rest is for a busy machine.
            assert time.monotonic() - start < 3


async def test_lost_connections_are_replaced(database_url: str) -> None:
    async with connected(database_url, pool_max=4) as database, beside(database_url) as other:
        pids = await asyncio.gather(*(database.fetch_json(_SLOW_PID, []) for _ in range(4)))
        assert await other.terminate_all() == 4
        await asyncio.sleep(0.1)  # the driver has to notice
        new_pids = await asyncio.gather(*(database.fetch_json(_SLOW_PID, []) for _ in range(4)))
        assert len(set(new_pids)) == 4
        assert set(new_pids).isdisjoint(pids)


async def test_unused_connections_are_closed(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pool_module, "_IDLE_SECONDS", 0.2)
    count = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"

    async def closed() -> bool:
        assert await database.fetch_json(_PID, []) == used  # the connection in use is kept
        return bool(await other.run(count) == 3)

    async with (
        connected(database_url, pool_min=2, pool_max=4) as database,
        beside(database_url) as other,
    ):
        await asyncio.gather(*(database.fetch_json(_SLOW_PID, []) for _ in range(4)))
        assert await other.run(count) == 5
        used = await database.fetch_json(_PID, [])
        await until(closed, 10)
        await asyncio.sleep(0.5)
        assert await closed()  # the minimum, and the one that counts


async def test_callers_wait_if_the_server_has_no_connection_left(database_url: str) -> None:
    """A pool that may open more than the server admits lends what it has."""
    name = database_url.partition("?")[0].rpartition("/")[2]
    async with beside(database_url) as other:
        await other.run("CREATE ROLE few LOGIN CONNECTION LIMIT 2")
        await other.run(f"GRANT ALL ON DATABASE {name} TO few")
        try:
            url = database_url.replace("postgres@", "few@")
            async with connected(url, pool_max=8, pool_timeout=10) as database:
                pids = await asyncio.gather(
                    *(database.fetch_json(_SLOW_PID, []) for _ in range(20))
                )
            assert len(set(pids)) == 2
        finally:
            await other.run(f"REVOKE ALL ON DATABASE {name} FROM few")
            await other.run("DROP ROLE few")


async def test_a_pool_that_cannot_connect_says_so_at_once(database_url: str) -> None:
    pool = ConnectionPool(
        SessionOptions("postgresql://postgres@127.0.0.1:1/none"),
        FailureLog(),
        minimum=0,
        maximum=2,
        timeout=30,
    )
    try:
        async with asyncio.timeout(10):
            results = await asyncio.gather(
                *(pool.take() for _ in range(20)), return_exceptions=True
            )
        assert {type(result) for result in results} == {DatabaseUnavailableError}
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
