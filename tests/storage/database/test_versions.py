"""Test that versions change with the data that they stand for, whoever writes, and only then."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping

import asyncpg
import pytest

from storage.database.database import Database
from storage.database.versions import read_tree_versions, read_versions
from storage.reads.dependencies import DOMAINS, SHARDS, Dependency, Domain
from tests.storage.database.conftest import connected

_ALL = [Dependency(domain) for domain in Domain]
_PROCESSES = [Dependency(Domain.PROCESS, shard) for shard in range(SHARDS)]
_EXECUTIONS = [Dependency(Domain.EXECUTION, shard) for shard in range(SHARDS)]

_HOME = """
INSERT INTO espace (id, reference, name) VALUES (1, 'hall', 'Hall');
INSERT INTO source (id, name, kind) VALUES (10, 'lamp', 'echo');
INSERT INTO profile (id, name) VALUES (10, 'keeper');
INSERT INTO process (id, reference, name, espace_id) VALUES
    (1, 'one', 'One', 1), (2, 'two', 'Two', 1), (3, 'three', 'Three', NULL),
    (65, 'far', 'Far', NULL);
INSERT INTO action (id, process_id, position, source_id, action, subprocess_id) VALUES
    (1, 1, 1, 10, 'on', NULL), (2, 2, 1, 1, 'three', 3);
INSERT INTO input (id, process_id, position, reference, name, type)
    VALUES (1, 1, 1, 'a', 'A', 'text');
INSERT INTO authorisation (process_id, profile_id) VALUES (1, 10), (2, 10);
INSERT INTO execution
    (id, process_id, process_reference, process_name, enabled, profile_id, profile_name) VALUES
    (1, 1, 'one', 'One', true, 10, 'keeper'), (2, 3, 'three', 'Three', true, 10, 'keeper');
INSERT INTO execution_step (id, execution_id, position, source_name, action, subprocess_id)
    VALUES (1, 1, 1, 'process', 'three', 3);
UPDATE execution SET parent_step_id = 1, root_id = 1 WHERE id = 2;
"""


@pytest.fixture
async def writer(database_url: str) -> AsyncIterator[asyncpg.Connection[asyncpg.Record]]:
    """Fill the database of the test, and yield a connection beside the gateway."""
    connection = await asyncpg.connect(database_url)
    await connection.execute(_HOME)
    yield connection
    await connection.close()


async def _all_versions(database: Database) -> Mapping[Dependency, int]:
    return await read_versions(database, [*_ALL, *_PROCESSES, *_EXECUTIONS])


async def _changed(
    database: Database, writer: asyncpg.Connection[asyncpg.Record], sql: str
) -> set[str]:
    """Run statements, and return what has other versions than before, such as ``process 1``."""
    before = await _all_versions(database)
    await writer.execute(sql)
    after = await _all_versions(database)
    different = [each for each in before if before[each] != after[each]]
    for domain in (Domain.PROCESS, Domain.EXECUTION):
        has_shards = any(each.domain is domain and each.shard is not None for each in different)
        assert has_shards is (Dependency(domain) in different)
    return {
        f"{each.domain.name.lower()} {each.shard}"
        if each.shard is not None
        else each.domain.name.lower()
        for each in different
        if each.shard is not None or each.domain not in (Domain.PROCESS, Domain.EXECUTION)
    }


WRITES = {
    "INSERT INTO espace (id, reference, name) VALUES (9, 'attic', 'Attic')": {"espace"},
    "UPDATE espace SET name = 'Foyer'": {"espace"},
    "DELETE FROM espace WHERE id = 5": set(),
    "INSERT INTO process (id, reference, name) VALUES (70, 'a', 'A'), (71, 'b', 'B')": {
        "process 6",
        "process 7",
    },
    "UPDATE process SET enabled = true WHERE id = 2": {"process 2"},
    "UPDATE process SET enabled = true WHERE id IN (1, 65)": {"process 1"},
    "UPDATE process SET enabled = true WHERE id = 99": set(),
    # The row leaves one shard for another.
    "UPDATE process SET id = 66 WHERE id = 65": {"process 1", "process 2"},
    # The foreign key of actions follows the reference, in process 2.
    "UPDATE process SET reference = 'drei' WHERE id = 3": {"process 3", "process 2"},
    "DELETE FROM process WHERE id = 65": {"process 1"},
    # Its parts are deleted with it, and its executions stay.
    "DELETE FROM process WHERE id = 1": {"process 1", "execution 1"},
    "DELETE FROM process WHERE id = 2": {"process 2"},
    "UPDATE action SET enabled = false WHERE id = 1": {"process 1"},
    "UPDATE action SET process_id = 3 WHERE id = 1": {"process 1", "process 3"},
    "DELETE FROM action": {"process 1", "process 2"},
    "INSERT INTO input (id, process_id, position, reference, name, type)"
    " VALUES (9, 3, 1, 'a', 'A', 'text')": {"process 3"},
    "UPDATE input SET name = 'B'": {"process 1"},
    "DELETE FROM input": {"process 1"},
    "INSERT INTO authorisation VALUES (3, 10)": {"process 3"},
    "INSERT INTO authorisation VALUES (1, 10) ON CONFLICT DO NOTHING": set(),
    "UPDATE authorisation SET process_id = 65 WHERE process_id = 1": {"process 1"},
    "DELETE FROM authorisation WHERE process_id = 2": {"process 2"},
    "INSERT INTO source (name, kind) VALUES ('bell', 'echo')": {"source"},
    "UPDATE source SET secrets = '{}' WHERE id = 10": {"source"},
    "DELETE FROM action; DELETE FROM source WHERE id = 10": {"source", "process 1", "process 2"},
    "INSERT INTO profile (name) VALUES ('guest 2')": {"profile"},
    "UPDATE profile SET name = 'janitor' WHERE id = 10": {"profile"},
    # Its authorizations are deleted with it, and its executions stay.
    "DELETE FROM profile WHERE id = 10": {
        "profile",
        "process 1",
        "process 2",
        "execution 1",
        "execution 2",
    },
    "UPDATE execution SET status = 'failed' WHERE id = 1": {"execution 1"},
    # With its step, and the execution that this step has started.
    "DELETE FROM execution WHERE id = 1": {"execution 1", "execution 2"},
    "UPDATE execution_step SET error = 'x'": {"execution 1"},
    # What is written to a nested execution counts for its root as well.
    "UPDATE execution SET status = 'failed' WHERE id = 2": {"execution 1", "execution 2"},
    "INSERT INTO execution_step (id, execution_id, position, source_name, action)"
    " VALUES (5, 2, 1, 'echo', 'say')": {"execution 1", "execution 2"},
    "DELETE FROM execution_step": {"execution 1", "execution 2"},
    "MERGE INTO process USING (VALUES (3), (67)) AS v (id) ON process.id = v.id"
    " WHEN MATCHED THEN UPDATE SET enabled = true"
    " WHEN NOT MATCHED THEN INSERT (id, reference, name) VALUES (v.id, 'm', 'M')": {"process 3"},
    "WITH gone AS (DELETE FROM input RETURNING 1) UPDATE source SET kind = 'echo'": {
        "process 1",
        "source",
    },
    "BEGIN; UPDATE process SET enabled = true; ROLLBACK": set(),
    "BEGIN; SAVEPOINT s; DELETE FROM input; ROLLBACK TO s; COMMIT": set(),
    "UPDATE revoked_token SET expires_at = now()": set(),
    "SELECT compact_changes(0)": set(),
}


@pytest.mark.parametrize("sql", WRITES)
async def test_a_write_changes_the_versions_of_its_shards(
    database: Database, writer: asyncpg.Connection[asyncpg.Record], sql: str
) -> None:
    assert await _changed(database, writer, sql) == WRITES[sql]


async def test_copy_and_truncate_change_versions(
    database: Database, writer: asyncpg.Connection[asyncpg.Record]
) -> None:
    before = await _all_versions(database)
    await writer.copy_records_to_table(
        "process", records=[(80, "c", "C")], columns=["id", "reference", "name"]
    )
    copied = await _all_versions(database)
    assert {each for each in before if before[each] != copied[each]} == {
        Dependency(Domain.PROCESS),
        Dependency(Domain.PROCESS, 80 % SHARDS),
    }
    await writer.execute("TRUNCATE process CASCADE")
    after = await _all_versions(database)
    different = {each for each in copied if copied[each] != after[each]}
    assert different == {*_PROCESSES, *_EXECUTIONS} | {
        Dependency(Domain.PROCESS),
        Dependency(Domain.EXECUTION),
    }


async def test_every_table_of_the_model_is_logged(database: Database) -> None:
    rows = await database.fetch(
        "SELECT tgrelid::regclass::text AS name, count(*) AS triggers FROM pg_trigger"
        " WHERE tgname LIKE 'log_%' GROUP BY 1"
    )
    assert {row["name"]: row["triggers"] for row in rows} == dict.fromkeys(DOMAINS, 4)


async def test_a_version_is_that_of_its_snapshot(
    database: Database, writer: asyncpg.Connection[asyncpg.Record]
) -> None:
    before = await _all_versions(database)
    async with writer.transaction():
        await writer.execute("UPDATE process SET enabled = true")
        assert await _all_versions(database) == before
    assert await _all_versions(database) != before


async def test_the_reference_of_a_process_stands_for_its_shard(
    database: Database, writer: asyncpg.Connection[asyncpg.Record]
) -> None:
    one, none = (Dependency(Domain.PROCESS, reference=name) for name in ("one", "none"))
    shard = Dependency(Domain.PROCESS, 1)
    before = await read_versions(database, [one, none, shard])
    assert before[one] == before[shard] != 0
    assert before[none] == 0
    await writer.execute("UPDATE process SET reference = 'none' WHERE id = 2")
    after = await read_versions(database, [one, none, shard])
    assert (after[one], after[shard]) == (before[one], before[shard])
    assert after[none] != 0
    await writer.execute("UPDATE process SET reference = 'moved' WHERE id = 1")
    assert (await read_versions(database, [one]))[one] == 0


async def test_an_execution_stands_for_the_shard_of_its_root(
    database: Database, writer: asyncpg.Connection[asyncpg.Record]
) -> None:
    root, nested, none = (Dependency(Domain.EXECUTION, in_tree=id_) for id_ in (1, 2, 3))
    shard = Dependency(Domain.EXECUTION, 1)
    before = await read_versions(database, [root, nested, none, shard])
    assert before[root] == before[nested] == before[shard] != 0
    assert before[none] == 0
    await writer.execute("DELETE FROM execution WHERE id = 2")
    after = await read_versions(database, [root, nested])
    assert after[root] != before[root]
    assert after[nested] == 0


async def test_an_execution_that_is_nested_has_a_root(
    writer: asyncpg.Connection[asyncpg.Record],
) -> None:
    with pytest.raises(asyncpg.CheckViolationError):
        await writer.execute("UPDATE execution SET root_id = NULL WHERE id = 2")


_TREE_WRITES = [
    "UPDATE execution SET seq = seq WHERE id = 1",
    "UPDATE execution SET status = 'cancelled' WHERE id = 2",
    "UPDATE execution_step SET result = '1' WHERE id = 1",
    "INSERT INTO execution_step (id, execution_id, position, source_name, action)"
    " VALUES (2, 2, 1, 'lamp', 'on')",
    "DELETE FROM execution WHERE id = 2",
]


@pytest.mark.parametrize("sql", _TREE_WRITES)
async def test_a_write_changes_the_version_of_its_tree_and_of_no_other(
    database: Database, writer: asyncpg.Connection[asyncpg.Record], sql: str
) -> None:
    await writer.execute(
        "INSERT INTO execution (id, process_reference, process_name, enabled, profile_name)"
        " VALUES (65, 'one', 'One', true, 'keeper')"
    )
    trees = [Dependency(Domain.EXECUTION, in_tree=id_) for id_ in (1, 2, 65, 66)]
    before = await read_tree_versions(database, trees)
    assert before[trees[0]] == before[trees[1]] != before[trees[2]] != 0
    assert before[trees[3]] == 0
    assert await read_tree_versions(database, trees) == before
    await writer.execute(sql)
    after = await read_tree_versions(database, trees)
    assert after[trees[0]] != before[trees[0]]
    assert after[trees[1]] == (0 if sql.startswith("DELETE") else after[trees[0]])
    assert (after[trees[2]], after[trees[3]]) == (before[trees[2]], 0)


async def test_a_version_never_comes_back(
    database: Database, writer: asyncpg.Connection[asyncpg.Record]
) -> None:
    seen: set[int] = set()
    for state in ("true", "false") * 5:
        await writer.execute(f"UPDATE process SET enabled = {state} WHERE id = 1")
        seen.update((await read_versions(database, [Dependency(Domain.PROCESS)])).values())
        await writer.execute("SELECT compact_changes(0)")
    assert len(seen) == 10


async def test_databases_differ_from_the_start(database: Database) -> None:
    rows = await database.fetch("SELECT domain, token FROM change")
    assert {row["domain"] for row in rows} == set(Domain)
    assert len({row["token"] for row in rows}) == len(Domain)


async def test_roles_without_a_right_on_the_log_can_write(
    writer: asyncpg.Connection[asyncpg.Record], database: Database
) -> None:
    before = await _all_versions(database)
    await writer.execute("CREATE ROLE visitor; GRANT UPDATE, SELECT ON process TO visitor")
    try:
        await writer.execute("SET ROLE visitor; SET search_path = ''")
        await writer.execute("UPDATE public.process SET enabled = true WHERE id = 2")
    finally:
        await writer.execute("RESET ROLE; RESET search_path; DROP OWNED BY visitor")
        await writer.execute("DROP ROLE visitor")
    assert await _all_versions(database) != before


async def test_compacting_leaves_a_row_for_each_domain(
    database: Database, writer: asyncpg.Connection[asyncpg.Record]
) -> None:
    count = "SELECT count(*) FROM change"
    for _ in range(2):  # the shards are new the first time
        for _ in range(20):
            await writer.execute(
                "UPDATE process SET enabled = NOT enabled; UPDATE espace SET icon = ''"
            )
        before = await _all_versions(database)
        rows = await writer.fetchval(count)
        assert await writer.fetchval("SELECT compact_changes($1)", rows + 1) == 0
        assert await writer.fetchval("SELECT compact_changes($1)", rows) == rows - len(Domain)
        assert await writer.fetchval(count) == len(Domain)
        assert await _all_versions(database) == before
        of_domains = await read_versions(database, _ALL)
        assert of_domains == {each: before[each] for each in _ALL}


async def test_compacting_clears_the_log(
    database: Database, writer: asyncpg.Connection[asyncpg.Record]
) -> None:
    """PostgreSQL reads all pages of the log for each version, whatever is left in them."""
    pages = "SELECT pg_relation_size('change') / 8192"
    log = "INSERT INTO change (domain, shard) SELECT 2, n & 63 FROM generate_series(1, $1) AS n"
    for _ in range(10):
        await writer.execute(log, 300)
        await database.compact_changes(40)
    assert await writer.fetchval(pages) <= 4
    # A log that was large once becomes short again.
    await writer.execute(log, 20_000)
    assert await writer.fetchval(pages) > 32
    for _ in range(10):  # the rows that stay can be on any page, and keep those before it
        await writer.execute(log, 40)
        await database.compact_changes(40)
    assert await writer.fetchval(pages) <= 32


async def test_who_does_not_own_the_log_compacts_without_clearing_it(
    writer: asyncpg.Connection[asyncpg.Record], database_url: str
) -> None:
    await writer.execute(
        "CREATE ROLE tenant LOGIN; GRANT SELECT, INSERT, UPDATE, DELETE"
        " ON change, compacted_change TO tenant;"
        " GRANT SELECT ON process, execution TO tenant"
    )
    try:
        url = database_url.replace("//postgres@", "//tenant@")
        async with connected(url) as database:
            before = await _all_versions(database)
            await database.compact_changes(1)
            assert await _all_versions(database) == before
            assert await writer.fetchval("SELECT count(*) FROM change") == len(Domain)
    finally:
        await writer.execute("DROP OWNED BY tenant; DROP ROLE tenant")


async def test_compacting_while_others_write_changes_no_version(database_url: str) -> None:
    """Each writer checks that the version which it left is there, whatever was compacted."""
    async with connected(database_url, pool_max=8) as database:
        await database.fetch(
            "INSERT INTO process (id, reference, name)"
            " SELECT i, i::text, 'P' FROM generate_series(1, 8) AS i"
        )
        done = False

        async def compact() -> int:
            gone = 0
            while not done:
                for row in await database.fetch("SELECT compact_changes(0) AS gone"):
                    gone += row["gone"]
            return gone

        async def write(process: int) -> None:
            own = Dependency(Domain.PROCESS, process)
            previous = (await read_versions(database, [own]))[own]
            for _ in range(50):
                await database.fetch(
                    "UPDATE process SET enabled = NOT enabled WHERE id = $1", process
                )
                version = (await read_versions(database, [own]))[own]
                assert version != previous
                assert (await read_versions(database, [own]))[own] == version
                previous = version

        compacting = [asyncio.create_task(compact()) for _ in range(2)]
        await asyncio.gather(*map(write, range(1, 9)))
        done = True
        assert sum(await asyncio.gather(*compacting)) > 300


async def test_writers_on_different_processes_do_not_wait(
    database: Database, writer: asyncpg.Connection[asyncpg.Record], database_url: str
) -> None:
    """A second writer commits while the transaction of the first one is open, in the same shard."""
    other = await asyncpg.connect(database_url)
    try:
        async with writer.transaction():
            await writer.execute("UPDATE process SET enabled = true WHERE id = 1")
            await other.execute("SET lock_timeout = '1s'")
            await other.execute("UPDATE process SET enabled = true WHERE id = 65")
            await other.execute("SELECT compact_changes(0)")
    finally:
        await other.close()


async def test_32_writers_do_not_deadlock(database_url: str) -> None:
    async with connected(database_url, pool_max=33, pool_timeout=30) as database:
        await database.fetch(
            "INSERT INTO process (id, reference, name)"
            " SELECT i, i::text, 'P' FROM generate_series(1, 64) AS i"
        )

        async def write(number: int) -> None:
            for turn in range(10):
                async with database.transaction() as transaction:
                    # Each has two processes of its own, and meets the others in all shards.
                    for process in (number, number + 32)[:: 1 if turn % 2 else -1]:
                        await transaction.fetch(
                            "UPDATE process SET enabled = NOT enabled WHERE id = $1", process
                        )
                    await transaction.fetch(
                        "INSERT INTO espace (reference, name) VALUES ($1, 'E')", f"{number} {turn}"
                    )
                await database.fetch("SELECT compact_changes(0)")

        await asyncio.gather(*map(write, range(1, 33)))
        (row,) = await database.fetch("SELECT count(*) AS count FROM espace")
        assert row["count"] == 320


async def test_updates_of_the_state_stay_hot(
    writer: asyncpg.Connection[asyncpg.Record],
) -> None:
    for _ in range(20):
        await writer.execute("UPDATE process SET enabled = NOT enabled WHERE id = 1")
    await writer.execute("SELECT pg_stat_force_next_flush()")
    row = await writer.fetchrow(
        "SELECT n_tup_upd, n_tup_hot_upd FROM pg_stat_user_tables WHERE relname = 'process'"
    )
    assert row is not None
    assert row["n_tup_hot_upd"] == row["n_tup_upd"] >= 20


async def test_an_execution_and_a_step_with_the_same_id_do_not_cancel_each_other_out(
    writer: asyncpg.Connection[asyncpg.Record], database: Database
) -> None:
    await writer.execute(
        """BEGIN;
        INSERT INTO execution (id, process_reference, process_name, enabled, profile_name)
            VALUES (7, 'one', 'One', true, 'keeper');
        INSERT INTO execution_step (id, execution_id, position, source_name, action)
            VALUES (7, 7, 1, 'echo', 'say');
        COMMIT"""
    )
    tree, none = (Dependency(Domain.EXECUTION, in_tree=id_) for id_ in (7, 8))
    versions = await read_tree_versions(database, [tree, none])
    assert versions[tree] != versions[none] == 0
