"""Test that every failure of the database has its own exception, and that reads survive cuts."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable

import asyncpg
import pytest

from storage.database.database import Database
from storage.database.errors import (
    AlreadyExistsError,
    DatabaseBusyError,
    DatabaseUnavailableError,
    OutcomeUnknownError,
    StorageError,
)
from storage.database.stream import LONG_LIST, JsonStream
from tests.resolvers.home import until
from tests.storage.database.conftest import beside, connected
from tests.storage.database.proxy import Link, pass_on, proxied, swallow

_READ = "SELECT convert_to(sum(n)::text, 'UTF8') FROM generate_series(1, $1::integer) AS n"
_LIST = "SELECT convert_to(n::text, 'UTF8'), 7 FROM generate_series(1, 20) AS n"
_VERSION = "SELECT 7"
_INSERT = "INSERT INTO espace (reference, name) VALUES ($1, 'x')"


async def read(database: Database) -> None:
    number = random.randint(1, 3000)
    assert await database.fetch_json(_READ, [number]) == str(number * (number + 1) // 2).encode()


async def read_list(database: Database) -> None:
    values, _ = await database.fetch_list(_LIST, [], _LIST, _VERSION)
    assert isinstance(values, bytes)
    assert len(values.split(b",")) == 20


async def write(database: Database) -> None:
    async with database.transaction() as transaction:
        await transaction.fetch(_INSERT, f"e{random.random()}")


async def repeated(
    seconds: float, runs: int, *calls: Callable[[], Awaitable[object]]
) -> tuple[int, list[BaseException]]:
    """Run calls for a time, each so many times at once. Return how many succeeded, and failures."""
    end = time.monotonic() + seconds
    succeeded = 0
    failures: list[BaseException] = []

    async def loop(call: Callable[[], Awaitable[object]]) -> None:
        nonlocal succeeded
        while time.monotonic() < end:
            try:
                await call()
                succeeded += 1
            except Exception as error:
                failures.append(error)
                await asyncio.sleep(0.001)

    await asyncio.gather(*(loop(call) for call in calls for _ in range(runs)))
    return succeeded, failures


async def test_no_read_fails_while_all_backends_are_terminated_again_and_again(
    database_url: str,
) -> None:
    async with connected(database_url, pool_max=16) as database, beside(database_url) as other:

        async def terminate() -> None:
            await asyncio.sleep(0.3)
            await other.terminate_all()

        terminating = asyncio.create_task(repeated(4, 1, terminate))
        succeeded, failures = await repeated(
            4, 8, lambda: read(database), lambda: read_list(database)
        )
        assert failures == []
        assert succeeded > 100
        cuts, problems = await terminating
        assert cuts > 3
        assert problems == []


async def test_whatever_is_cut_is_a_failure_of_the_database(database_url: str) -> None:
    """The proxy cuts connections in the middle of answers, at every moment of a statement."""
    async with proxied(database_url) as (proxy, url), connected(url, pool_max=8) as database:
        left = random.randint(1, 2000)

        def cut_sometimes(link: Link, data: bytes) -> bytes:
            nonlocal left
            left -= len(data)
            if left > 0:
                return data
            left = random.randint(1, 2000)
            asyncio.get_running_loop().call_soon(link.cut)
            return data[: random.randint(0, len(data))]

        proxy.answers = cut_sometimes
        succeeded, failures = await repeated(
            2,
            3,
            lambda: read(database),
            lambda: read_list(database),
            lambda: write(database),
            lambda: database.ping(),
        )
        assert succeeded > 20
        assert failures  # otherwise the test tests nothing
        unknown = [error for error in failures if not isinstance(error, StorageError)]
        assert unknown == []
        allowed = (DatabaseUnavailableError, DatabaseBusyError)
        assert {type(error) for error in failures if not isinstance(error, allowed)} == set()
        proxy.answers = pass_on
        await read(database)


async def test_a_read_is_repeated_only_after_a_lost_connection(database_url: str) -> None:
    slow = "SELECT convert_to(pg_sleep(1 + nextval('runs') * 0)::text, 'UTF8')"
    wrong = "SELECT convert_to((nextval('runs') / 0)::text, 'UTF8')"
    async with (
        connected(database_url, pool_max=1, statement_timeout=0.5) as database,
        beside(database_url) as other,
    ):
        await other.run("CREATE SEQUENCE runs")
        for sql in (slow, wrong):
            with pytest.raises(DatabaseUnavailableError):
                await database.fetch_json(sql, [])
        cancelled = asyncio.create_task(database.fetch_json(slow, []))
        await until(lambda: other.running("%pg_sleep%"))
        cancelled.cancel()
        with pytest.raises(asyncio.CancelledError):
            await cancelled
        assert await other.run("SELECT nextval('runs')") == 4


@pytest.mark.parametrize(
    ("run", "failure"),
    [
        (read, DatabaseUnavailableError),
        (read_list, DatabaseUnavailableError),
        (lambda database: database.write(_INSERT, f"e{random.random()}"), OutcomeUnknownError),
        (write, DatabaseUnavailableError),
    ],
)
async def test_a_statement_ends_where_the_network_dies_without_a_sign(
    database_url: str,
    run: Callable[[Database], Awaitable[object]],
    failure: type[StorageError],
) -> None:
    async with (
        proxied(database_url) as (proxy, url),
        connected(url, pool_max=1, statement_timeout=0.5) as database,
    ):
        await run(database)  # the statement is prepared
        proxy.answers = swallow
        async with asyncio.timeout(5):
            with pytest.raises(failure):
                await run(database)
        proxy.answers = pass_on
        await read(database)


async def test_a_read_that_is_ended_because_of_a_deadlock_is_repeated(database_url: str) -> None:
    both = (
        "SELECT convert_to((count(*) + (SELECT count(*) FROM process))::text, 'UTF8') FROM espace"
    )
    async with connected(database_url, pool_max=1) as database:
        writer = await asyncpg.connect(database_url)
        await writer.execute("SET deadlock_timeout = '10s'; BEGIN; LOCK TABLE process")
        reading = asyncio.create_task(database.fetch_json(both, []))
        async with beside(database_url) as other:
            await until(lambda: other.running("%FROM espace%"))
        # Now each waits for the other. PostgreSQL ends the read, which looks for that first.
        await writer.execute("LOCK TABLE espace")
        await writer.execute("COMMIT")
        await writer.close()
        assert await reading == b"0"


async def test_a_stream_that_is_cut_before_its_first_chunk_starts_again(database_url: str) -> None:
    long = f"SELECT convert_to(n::text, 'UTF8'), 7 FROM generate_series(1, {LONG_LIST}) AS n"
    copied = f"SELECT n::text FROM generate_series(1, {LONG_LIST}) AS n"
    async with proxied(database_url) as (proxy, url), connected(url, pool_max=1) as database:
        await database.fetch_list(long, [], copied, _VERSION)
        cuts = 0

        def cut_first(link: Link, data: bytes) -> bytes:
            nonlocal cuts
            if b"COPY" in data and not cuts:
                cuts += 1
                link.cut()
            return data

        proxy.requests = cut_first
        stream, _ = await database.fetch_list(long, [], copied, _VERSION)
        assert isinstance(stream, JsonStream)
        assert b"".join([chunk async for chunk in stream]).count(b",") == LONG_LIST - 1
        assert cuts == 1


async def test_a_stream_ends_where_the_network_dies_without_a_sign(database_url: str) -> None:
    long = f"SELECT convert_to(n::text, 'UTF8'), 7 FROM generate_series(1, {LONG_LIST}) AS n"
    copied = "SELECT repeat('x', 100) FROM generate_series(1, 100000) AS n"
    async with (
        proxied(database_url) as (proxy, url),
        connected(url, pool_max=1, statement_timeout=0.5) as database,
    ):
        await database.fetch_list(long, [], copied, _VERSION)
        stream, _ = await database.fetch_list(long, [], copied, _VERSION)
        assert isinstance(stream, JsonStream)
        proxy.answers = swallow
        with pytest.raises(DatabaseUnavailableError):
            async with asyncio.timeout(5):
                [chunk async for chunk in stream]


# Writes ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("arrives", [True, False])
async def test_the_outcome_is_unknown_if_commit_is_not_answered(
    database_url: str, arrives: bool
) -> None:
    async with proxied(database_url) as (proxy, url), connected(url) as database:

        def cut_at_commit(link: Link, data: bytes) -> bytes:
            if b"COMMIT" in data and not arrives:
                link.cut()
            return data

        def cut_the_answer(link: Link, data: bytes) -> bytes:
            if b"COMMIT" in link.sent:
                link.cut()
            return data

        proxy.requests, proxy.answers = cut_at_commit, cut_the_answer
        with pytest.raises(OutcomeUnknownError):
            async with database.transaction() as transaction:
                await transaction.fetch(_INSERT, "unknown")
        # A transaction that wrote nothing has no outcome.
        with pytest.raises(DatabaseUnavailableError) as raised:
            async with database.transaction() as transaction:
                await transaction.fetch("SELECT 1")
        assert not isinstance(raised.value, OutcomeUnknownError)
        async with beside(database_url) as other:
            assert await other.run("SELECT count(*) FROM espace") == int(arrives)


async def test_nothing_is_written_if_the_connection_is_lost_before_commit(
    database_url: str,
) -> None:
    async def write_and_lose(*, notice: bool) -> None:
        async with database.transaction() as transaction:
            await transaction.fetch(_INSERT, "lost")
            await other.terminate_all()
            if notice:
                await asyncio.sleep(0.1)  # COMMIT is not sent then
            else:
                await transaction.fetch("SELECT 1")

    async with connected(database_url) as database, beside(database_url) as other:
        for notice in (False, True):
            with pytest.raises(DatabaseUnavailableError) as raised:
                await write_and_lose(notice=notice)
            assert not isinstance(raised.value, OutcomeUnknownError)
        assert await other.run("SELECT count(*) FROM espace") == 0


async def test_a_transaction_begins_again_if_its_connection_was_lost_before(
    database_url: str,
) -> None:
    async with connected(database_url) as database, beside(database_url) as other:
        await database.ping()
        await other.terminate_all()
        await write(database)
        assert await other.run("SELECT count(*) FROM espace") == 1


async def test_a_commit_that_rolls_back_is_a_failure(database_url: str) -> None:
    async def write_twice() -> None:
        async with database.transaction() as transaction:
            await transaction.fetch(_INSERT, "twice")
            with pytest.raises(AlreadyExistsError):
                await transaction.fetch(_INSERT, "twice")

    async with connected(database_url, pool_max=1) as database:
        with pytest.raises(DatabaseUnavailableError):
            await write_twice()
        assert await database.fetch("SELECT reference FROM espace") == []


async def test_a_failed_transaction_leaves_its_connection_usable(database_url: str) -> None:
    async def write_and_fail(error: type[Exception]) -> None:
        async with database.transaction() as transaction:
            await transaction.fetch(_INSERT, "once")
            if error is AlreadyExistsError:
                await transaction.fetch(_INSERT, "once")
            raise error

    async with connected(database_url, pool_max=1) as database:
        pid = await database.fetch("SELECT pg_backend_pid() AS pid")
        await write(database)
        for error in (AlreadyExistsError, ZeroDivisionError):
            with pytest.raises(error):
                await write_and_fail(error)
        assert await database.fetch("SELECT pg_backend_pid() AS pid") == pid
        assert len(await database.fetch("SELECT FROM espace")) == 1


async def test_a_transaction_can_read_json(database: Database) -> None:
    async with database.transaction() as transaction:
        await transaction.fetch(_INSERT, "one")
        sql = "SELECT convert_to(reference, 'UTF8') FROM espace WHERE name = $1"
        assert await transaction.fetch_json(sql, ["x"]) == b"one"
        assert await transaction.fetch_json(sql, ["none"]) is None


async def test_other_databases_are_not_reached_by_mistake(database_url: str) -> None:
    """What cannot be connected to is unavailable; what is no URL is the operator's mistake."""
    missing = database_url.replace("/test_", "/missing_test_")
    with pytest.raises(DatabaseUnavailableError) as raised:
        await Database.connect(missing)
    assert isinstance(raised.value.__cause__, asyncpg.InvalidCatalogNameError)
    with pytest.raises(ValueError, match="port"):
        await Database.connect("postgresql://postgres@127.0.0.1:port/x")
