"""``created_at`` and ``updated_at`` of processes: set for every writer, and cheap to set."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from storage.database.database import Database
from storage.database.rows import Row
from storage.migrations.migrate import available
from storage.writes.processes import update_texts
from storage.writes.rows import TOUCHED, update_row
from tests.conftest import database_copy, running_gateway
from tests.resolvers.home import Home, calls, echo

_FLIP = f"UPDATE process SET enabled = NOT enabled, {TOUCHED} WHERE id = $1"
LONG_AGO = datetime(2000, 1, 1, tzinfo=UTC)

_ROWS = """
INSERT INTO espace (id, reference, name) VALUES (1, 'room', 'Room');
INSERT INTO process (id, reference, name, espace_id, created_at)
    SELECT n, 'p' || n, 'P', 1, '2000-01-01' FROM generate_series(1, 4) AS n;
INSERT INTO action (id, process_id, position, source_id, action) SELECT n, n, 1, 2, 'say'
    FROM generate_series(1, 3) AS n;
INSERT INTO action (id, process_id, position, source_id, action, subprocess_id)
    SELECT n + 10, n, 2, 1, 'p4', 4 FROM generate_series(1, 2) AS n;
INSERT INTO input (id, process_id, position, reference, name, type)
    SELECT n, n, 1, 'i', 'I', 'text' FROM generate_series(1, 3) AS n;
INSERT INTO profile (id, name) VALUES (10, 'cleaner');
INSERT INTO authorisation SELECT n, 10 FROM generate_series(1, 2) AS n;
"""


async def run(database: Database, script: str) -> None:
    async with database.transaction() as transaction:
        await transaction.script(script)


async def rows(database: Database, sql: str, *args: object) -> Sequence[Row]:
    async with database.transaction() as transaction:
        return await transaction.fetch(sql, *args)


@pytest.fixture
async def old(database: Database) -> Database:
    """Four processes that were last written long ago. The first two run the last one."""
    await run(database, _ROWS)
    await run(database, f"UPDATE process SET updated_at = '{LONG_AGO}'")
    return database


async def touched(database: Database) -> set[int]:
    """Return the processes that were written since."""
    found = await rows(database, "SELECT id FROM process WHERE updated_at > $1", LONG_AGO)
    return {row["id"] for row in found}


@pytest.mark.parametrize(
    ("statement", "expected"),
    [
        ("UPDATE process SET enabled = true WHERE id = 1", {1}),
        ("UPDATE process SET name = name WHERE id < 3", {1, 2}),
        ("INSERT INTO process (id, reference, name) VALUES (5, 'new', 'New')", {5}),
        ("INSERT INTO action SELECT 99, 3, 2, 2, 'x'", {3}),
        ("UPDATE action SET enabled = false WHERE id IN (1, 3)", {1, 3}),
        ("UPDATE action SET process_id = 4 WHERE id = 3", {3, 4}),
        ("UPDATE action SET enabled = false WHERE false", set()),
        ("DELETE FROM action WHERE id = 2", {2}),
        ("INSERT INTO input SELECT 9, 3, 2, 'j', 'J', 'text'", {3}),
        ("UPDATE input SET name = 'J' WHERE id = 1", {1}),
        ("DELETE FROM input", {1, 2, 3}),
        ("INSERT INTO authorisation VALUES (3, 10)", {3}),
        ("INSERT INTO authorisation VALUES (1, 10) ON CONFLICT DO NOTHING", set()),
        ("DELETE FROM authorisation WHERE process_id = 2", {2}),
        # Cascades: a profile's authorizations, and the actions that run a process.
        ("DELETE FROM profile WHERE id = 10", {1, 2}),
        ("UPDATE process SET reference = 'renamed' WHERE id = 4", {1, 2, 4}),
        ("DELETE FROM process WHERE id = 3", set()),
        # What a process shows but does not own.
        ("UPDATE espace SET name = 'R'", set()),
        ("UPDATE source SET settings = '{}'", set()),
        ("UPDATE profile SET name = 'maid' WHERE id = 10", set()),
    ],
)
async def test_a_write_to_a_process_or_its_parts_sets_updated_at(
    old: Database, statement: str, expected: set[int]
) -> None:
    await run(old, statement)
    assert await touched(old) == expected
    (row,) = await rows(old, "SELECT count(*) FROM process WHERE created_at > $1", LONG_AGO)
    assert row["count"] == (1 if "'new'" in statement else 0)


async def test_the_statements_of_the_gateway_set_updated_at(old: Database) -> None:
    async with old.transaction() as transaction:
        await update_row(transaction, "process", 1, {"icon": "x"})
        await update_texts(transaction, b'[{"database_id": 2, "name": "N"}]', None)
        await transaction.fetch(_FLIP, 3)
    assert await touched(old) == {1, 2, 3}


async def test_a_time_that_a_client_sets_stays(old: Database) -> None:
    await run(old, "UPDATE process SET updated_at = '2001-02-03T04:05:06Z', name = 'N'")
    found = await rows(old, "SELECT DISTINCT updated_at FROM process")
    assert [row["updated_at"] for row in found] == [datetime(2001, 2, 3, 4, 5, 6, tzinfo=UTC)]


async def test_updated_at_never_goes_back(old: Database) -> None:
    """A transaction that began earlier may write later."""
    async with old.transaction() as earlier:
        await earlier.fetch("SELECT 1")
        await run(old, "UPDATE process SET icon = 'later' WHERE id = 1")
        await run(old, "UPDATE action SET enabled = false WHERE id = 2")
        before = await rows(old, "SELECT updated_at FROM process WHERE id < 3 ORDER BY id")
        await earlier.script("UPDATE process SET icon = 'earlier' WHERE id = 1")
        await earlier.script("UPDATE action SET enabled = true WHERE id = 2")
    after = await rows(old, "SELECT updated_at FROM process WHERE id < 3 ORDER BY id")
    assert [row["updated_at"] for row in after] == [row["updated_at"] for row in before]


async def test_a_new_process_was_never_updated(database: Database) -> None:
    async with running_gateway(database) as gateway:
        home = Home(gateway)
        await home.process("p", actions=[echo()], inputs=[{"name": "a", "type": "text"}])
        data = await gateway.data("{ processes { nodes { createdAt updatedAt } } }")
    (node,) = data["processes"]["nodes"]
    assert node["createdAt"] == node["updatedAt"]
    now = datetime.now(UTC)
    assert now - timedelta(minutes=1) < datetime.fromisoformat(node["createdAt"]) <= now


async def test_any_role_that_may_write_parts_can(old: Database) -> None:
    await run(
        old,
        """CREATE SCHEMA elsewhere; CREATE ROLE editor;
        GRANT USAGE ON SCHEMA public TO editor; GRANT SELECT, UPDATE ON action TO editor;
        SET LOCAL search_path TO elsewhere; SET LOCAL ROLE editor;
        UPDATE public.action SET enabled = false WHERE id = 1""",
    )
    assert await touched(old) == {1}
    await run(old, "DROP OWNED BY editor; DROP ROLE editor")


# Costs -------------------------------------------------------------------------------------------


async def test_updates_of_processes_stay_hot(old: Database) -> None:
    """A HOT update writes to no index. PostgreSQL counts them."""
    async with old.transaction() as transaction:
        await transaction.script("SELECT pg_stat_reset()")
    for _ in range(100):
        async with old.transaction() as transaction:
            await transaction.fetch(_FLIP, 1)
        await run(old, "UPDATE process SET enabled = NOT enabled WHERE id = 2")
        await run(old, "UPDATE action SET enabled = NOT enabled WHERE id = 3")
        await run(old, "UPDATE input SET name = name")
    # Each session reports its counts at most once a second.
    statistics = """SELECT n_tup_upd, n_tup_hot_upd FROM pg_stat_user_tables
        WHERE relname = 'process'"""
    async with asyncio.timeout(10):
        while True:
            (row,) = await rows(old, statistics)
            if row["n_tup_upd"] >= 500:
                break
            await run(old, "SELECT pg_stat_force_next_flush()")
            await asyncio.sleep(0.1)
    assert row["n_tup_hot_upd"] == row["n_tup_upd"]


# Concurrent writers ------------------------------------------------------------------------------


async def test_32_writers_do_not_deadlock(database: Database, database_url: str) -> None:
    """Writers whose statements touch many processes, in different orders."""
    pool = await Database.connect(database_url, pool_max=32, pool_timeout=60)
    (before,) = await rows(pool, DEADLOCKS)
    async with running_gateway(pool) as gateway:
        home = Home(gateway)
        called = [await home.process(f"called{n}") for n in range(3)]
        callers = [
            await home.process(f"p{n}", actions=[calls(f"called{m}") for m in range(3)])
            for n in range(8)
        ]
        everything = [*called, *callers]
        numbers = [row["id"] for row in await home.graph.run("SELECT id FROM process")]

        async def writer(number: int) -> None:
            chance = random.Random(number)
            for turn in range(6):
                match number % 6:
                    case 0:  # touches all callers
                        changes = {"reference": f"r{number}-{turn}"}
                        await home.do("updateProcess", id=chance.choice(called), changes=changes)
                    case 1:  # touches all that it was authorized on
                        profile = await home.profile(f"w{number}-{turn}", "PROCESS_READ")
                        for process in chance.sample(everything, 4):
                            key = {"id": profile}
                            await home.do("authoriseProfile", process=process, profile=key)
                        await home.do("deleteProfile", id=profile)
                    case 2:
                        process = chance.choice(callers)
                        await home.do("addAction", process=process, action=echo())
                    case 3:
                        process = chance.choice(everything)
                        await home.do("updateProcess", id=process, changes={"state": "ENABLED"})
                    case 4:
                        order = chance.sample(numbers, len(numbers))
                        changes_ = [{"databaseId": id_, "icon": "i"} for id_ in order]
                        await home.do("updateProcesses", changes=changes_)
                    case _:
                        process = chance.choice(everything)
                        new = {"name": f"i{number}-{turn}", "type": "text"}
                        await home.do("addInput", process=process, input=new)

        await asyncio.gather(*(writer(number) for number in range(32)))
    (after,) = await rows(pool, DEADLOCKS)
    assert after["deadlocks"] == before["deadlocks"]
    await pool.close()


DEADLOCKS = "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"


# Databases of earlier versions -------------------------------------------------------------------


@pytest.fixture
async def earlier(postgres: str) -> AsyncIterator[Database]:
    """A database with the migrations before that of the times, and with data."""
    async with database_copy(postgres, "template0") as url:
        database = await Database.connect(url)
        for version, _, sql in available():
            if version < 4:
                await run(database, sql)
        await run(database, _ROWS.replace(", created_at", "").replace(", '2000-01-01'", ""))
        yield database
        await database.close()


async def test_existing_processes_get_the_time_of_the_migration(earlier: Database) -> None:
    (sql,) = (sql for version, _, sql in available() if version == 4)
    (start,) = await rows(earlier, "SELECT clock_timestamp() AS now")
    await run(earlier, sql)
    times: Any = await rows(earlier, "SELECT DISTINCT created_at, updated_at FROM process")
    (row,) = times
    assert start["now"] < row["created_at"] == row["updated_at"]
    await run(earlier, "UPDATE action SET enabled = false WHERE id = 1")
    found = await rows(earlier, "SELECT id FROM process WHERE updated_at > created_at")
    assert [each["id"] for each in found] == [1]
