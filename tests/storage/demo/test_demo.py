"""Test the demo data: the home works, and generated processes are complete and repeatable."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from typing import Any

import pytest

from resolvers.access.viewer import Viewer
from resolvers.errors.catalogue import GatewayError
from resolvers.execution.admission import ExecuteRequest
from resolvers.execution.engine import ExecutionEngine, ExecutionLimits
from resolvers.execution.secrets import SecretBox
from resolvers.execution.sources.registry import installed_kinds
from resolvers.values.enums import Permission
from storage.database.database import Database
from storage.database.rows import Row
from storage.demo.home import load_home
from storage.demo.load import generate
from tests.conftest import SECRET_KEY, database_copy

ADMIN = Viewer(1, "admin", frozenset(Permission), built_in=True)

INPUT_VALUES = {
    "boolean": "true",
    "choice": "living room",
    "color": "#ffd7a0",
    "integer": "3",
    "number": "21.5",
    "text": "à bientôt",
    "time": "07:30",
}
"""A valid value for an input of each type."""

TABLES = ("espace", "process", "action", "input", "source", "profile", "authorisation")


async def rows(database: Database, sql: str, *args: object) -> Sequence[Row]:
    async with database.transaction() as transaction:
        return await transaction.fetch(sql, *args)


async def value(database: Database, sql: str, *args: object) -> Any:
    return next(iter((await rows(database, sql, *args))[0].values()))


async def contents(database: Database) -> dict[str, list[tuple[object, ...]]]:
    """Return all rows of the tables that demo data is inserted into, without their times."""
    return {
        table: [
            tuple(value for column, value in row.items() if not column.endswith("_at"))
            for row in await rows(database, f"SELECT * FROM {table}")
        ]
        for table in TABLES
    }


async def execute(database: Database, process_id: int) -> int:
    """Execute a process with valid inputs. Return the id of the execution."""
    engine = ExecutionEngine(
        database, installed_kinds(), ExecutionLimits(), SecretBox(lambda: [SECRET_KEY])
    )
    inputs = await rows(
        database,
        """SELECT input.reference, type, choices FROM input JOIN process ON process.id = process_id
        WHERE process.id = $1 AND (mode = 'simple' OR input.enabled = process.enabled)""",
        process_id,
    )
    values = [
        (row["reference"], row["choices"][0] if row["choices"] else INPUT_VALUES[row["type"]])
        for row in inputs
    ]
    try:
        return await engine.execute(ExecuteRequest(process_id, values), ADMIN)
    finally:
        await engine.close()


# The home ----------------------------------------------------------------------------------------


async def test_the_home_is_inserted_once(database: Database) -> None:
    assert await load_home(database)
    loaded = await contents(database)
    assert not await load_home(database)
    assert await contents(database) == loaded


async def test_two_concurrent_loads_insert_one_home(database: Database, database_url: str) -> None:
    other = await Database.connect(database_url)
    assert sorted(await asyncio.gather(load_home(database), load_home(other))) == [False, True]
    await other.close()


@pytest.mark.parametrize(
    "change",
    [
        "DELETE FROM process WHERE reference IN ('holiday', 'film_evening', 'oven')",
        "DELETE FROM action; DELETE FROM process; DELETE FROM espace; DELETE FROM profile",
        "DELETE FROM action; DELETE FROM process; DELETE FROM espace; DELETE FROM source",
        "UPDATE process SET reference = reference || '_2', espace_id = NULL; DELETE FROM espace",
    ],
    ids=["processes", "all but sources", "all but profiles", "references"],
)
async def test_loading_keeps_the_changes_of_a_user(database: Database, change: str) -> None:
    await load_home(database)
    async with database.transaction() as transaction:
        await transaction.script(change)
    changed = await contents(database)
    assert not await load_home(database)
    assert await contents(database) == changed


async def test_the_home_is_inserted_beside_existing_processes(database: Database) -> None:
    await generate(database, 10)
    assert await load_home(database)


async def test_every_process_of_the_home_executes(database: Database) -> None:
    await load_home(database)
    processes = await rows(database, "SELECT id, mode, enabled FROM process ORDER BY id")
    assert len(processes) > 25
    for process in processes:
        states = []
        for _ in range(2):
            await execute(database, process["id"])
            states.append(
                await value(database, "SELECT enabled FROM process WHERE id = $1", process["id"])
            )
        before = process["enabled"]
        assert states == ([not before, before] if process["mode"] == "switch" else [before] * 2)

    recorded = await rows(
        database, "SELECT DISTINCT status FROM execution UNION SELECT status FROM execution_step"
    )
    assert [row["status"] for row in recorded] == ["succeeded"]
    # Every placeholder that names an input was replaced.
    steps = await rows(database, "SELECT arguments FROM execution_step")
    assert not [step for step in steps if re.search(rb"\{\w+\}", step["arguments"])]
    unused_sources = await rows(
        database,
        """SELECT name FROM source WHERE name <> 'echo'
        AND name NOT IN (SELECT source_name FROM execution_step)""",
    )
    assert not unused_sources


async def test_leaving_home_runs_processes_three_levels_deep(database: Database) -> None:
    await load_home(database)
    process_id = await value(database, "SELECT id FROM process WHERE reference = 'leave_home'")
    execution_id = await execute(database, process_id)
    nested = await rows(
        database,
        """WITH RECURSIVE run (id, path) AS (
            SELECT id, process_reference FROM execution WHERE id = $1
            UNION ALL
            SELECT execution.id, path || ' > ' || process_reference
            FROM run JOIN execution_step ON execution_id = run.id
            JOIN execution ON parent_step_id = execution_step.id
        ) SELECT path FROM run""",
        execution_id,
    )
    assert "leave_home > secure_house > arm_alarm > check_openings" in {
        row["path"] for row in nested
    }


async def test_custom_profiles_see_only_some_processes(database: Database) -> None:
    await load_home(database)
    authorized = await rows(
        database,
        """SELECT name, count(*) FROM profile JOIN authorisation ON profile_id = id
        GROUP BY name ORDER BY name""",
    )
    assert [row["name"] for row in authorized] == ["children", "cleaner"]
    assert all(3 <= row["count"] <= 10 for row in authorized)


# Load --------------------------------------------------------------------------------------------


async def test_every_generated_process_has_all_parts(database: Database) -> None:
    await generate(database, 1000)
    parts = await rows(
        database,
        """SELECT DISTINCT
            (SELECT count(*) FROM action WHERE process_id = process.id) AS actions,
            (SELECT sum(json_array_length(arguments)) FROM action WHERE process_id = process.id)
                AS arguments,
            (SELECT count(*) FROM input WHERE process_id = process.id) AS inputs,
            (SELECT count(*) FROM authorisation WHERE process_id = process.id) AS profiles,
            espace_id IS NOT NULL AS placed
        FROM process""",
    )
    assert [tuple(row.values()) for row in parts] == [(4, 8, 2, 2, True)]
    assert await value(database, "SELECT count(DISTINCT espace_id) FROM process") == 20
    assert await value(database, "SELECT count(*) FROM process WHERE mode = 'switch'") == 200
    assert await value(database, "SELECT count(subprocess_id) FROM action") == 100
    # Every called process is an earlier one, so there are no cycles.
    assert await value(database, "SELECT bool_and(subprocess_id < process_id) FROM action")


async def test_generated_processes_execute(database: Database) -> None:
    await generate(database, 100)
    # A switch in each state, and a process that runs the 10th, which runs the 1st.
    for number in (3, 8, 100):
        for _ in range(2):
            await execute(database, number)
    executions = await rows(
        database,
        """SELECT process_reference, status, count(*) FROM execution GROUP BY 1, 2 ORDER BY 1""",
    )
    assert [tuple(row.values()) for row in executions] == [
        (f"load-{number:07}", "succeeded", 2) for number in (1, 3, 8, 10, 100)
    ]


async def test_the_same_count_generates_the_same_processes(
    database: Database, postgres: str, template: str
) -> None:
    await generate(database, 100)
    async with database_copy(postgres, template) as url:
        other = await Database.connect(url)
        await generate(other, 100)
        assert await contents(other) == await contents(database)
        await other.close()


async def test_a_second_run_continues_the_numbers(database: Database) -> None:
    await generate(database, 12)
    before = await contents(database)
    await generate(database, 12)
    references = await rows(database, "SELECT reference FROM process ORDER BY id")
    assert [row["reference"] for row in references] == [f"load-{n:07}" for n in range(1, 25)]
    after = await contents(database)
    assert [row for row in after["process"] if row in before["process"]] == before["process"]
    assert [len(after[table]) for table in ("espace", "source", "profile")] == [
        len(before[table]) for table in ("espace", "source", "profile")
    ]


async def test_two_concurrent_runs_do_not_conflict(database: Database) -> None:
    await asyncio.gather(generate(database, 50), generate(database, 50))
    assert await value(database, "SELECT max(reference) FROM process") == "load-0000100"


async def test_a_count_that_exceeds_the_digits_of_references_is_rejected(
    database: Database,
) -> None:
    await generate(database, 1)
    before = await contents(database)
    with pytest.raises(ValueError, match="at most 9,999,998 more"):
        await generate(database, 9_999_999)
    assert await contents(database) == before


async def test_ten_thousand_processes_take_few_statements_and_are_analyzed(
    database: Database,
) -> None:
    before = database.statements
    await generate(database, 10_001)
    assert database.statements - before <= 15
    assert await value(database, "SELECT count(*) FROM process") == 10_001
    statistics = await rows(
        database,
        "SELECT relname, reltuples FROM pg_class WHERE relname = ANY ($1::text[])",
        list(TABLES),
    )
    assert {row["relname"]: row["reltuples"] for row in statistics} == {
        "espace": 20,
        "process": 10_001,
        "action": 40_004,
        "input": 20_002,
        "source": 12,
        "profile": 13,
        "authorisation": 20_002,
    }


async def test_the_home_has_only_the_rooms_that_it_has(database: Database) -> None:
    await load_home(database)
    process_id = await value(database, "SELECT id FROM process WHERE reference = 'set_temperature'")
    engine = ExecutionEngine(
        database, installed_kinds(), ExecutionLimits(), SecretBox(lambda: [SECRET_KEY])
    )
    values = [("room", "no such room"), ("temperature", "31"), ("until", "22:00")]
    try:
        with pytest.raises(GatewayError) as refused:
            await engine.execute(ExecuteRequest(process_id, values), ADMIN)
    finally:
        await engine.close()
    assert [str(problem) for problem in refused.value.problems] == [
        'inputs[0].value: expected one of "whole house", "living room", "kitchen", "bathroom",'
        ' "bedroom", got "no such room"',
        'inputs[1].value: expected a number from 5 to 30 in steps of 0.5, got "31"',
    ]
    assert not await rows(database, "SELECT FROM execution")
