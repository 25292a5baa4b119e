"""Test that the records of versions without an engine are migrated."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest

from gateway.services import open_services
from storage.database.database import Database
from storage.database.rows import Row
from storage.migrations.migrate import available
from tests.conftest import Graph, database_copy, settings_for_tests

_ENGINE = 5
"""The migration that adds the engine."""

_ROWS = """
INSERT INTO espace (id, reference, name) VALUES (1, 'room', 'Room');
INSERT INTO process (id, reference, name, mode, espace_id) VALUES
    (1, 'outer', 'Outer', 'simple', 1), (2, 'inner', 'Inner', 'switch', 1);
INSERT INTO action (process_id, position, source_id, action, subprocess_id)
    VALUES (1, 1, 1, 'inner', 2), (2, 1, 2, 'say', NULL);
INSERT INTO input (process_id, position, reference, name, type)
    VALUES (1, 1, 'who', 'Who', 'text');
INSERT INTO execution (id, process_id, process_reference, process_name, status, enabled, error,
    started_at, finished_at, profile_id, profile_name) VALUES
    (1, 1, 'outer', 'Outer', 'succeeded', false, NULL, '2020-01-01', '2020-01-02', 1, 'admin'),
    (2, 2, 'inner', 'Inner', 'succeeded', true, NULL, '2020-01-01', '2020-01-02', 1, 'admin'),
    (3, 1, 'outer', 'Outer', 'running', false, NULL, '2020-01-03', NULL, 1, 'admin'),
    (4, 2, 'inner', 'Inner', 'running', true, NULL, '2020-01-03', NULL, 1, 'admin'),
    (5, 1, 'outer', 'Outer', 'failed', false, 'it failed', '2020-01-04', '2020-01-05', 1, 'admin');
INSERT INTO execution_step (id, execution_id, position, source_name, action, status, result,
    started_at, finished_at, subprocess_id) VALUES
    (1, 1, 1, 'process', 'inner', 'succeeded', '{"execution":2,"results":[{"a":1}]}',
        '2020-01-01', '2020-01-02', 2),
    (2, 2, 1, 'echo', 'say', 'succeeded', '{"a":1}', '2020-01-01', '2020-01-02', NULL),
    (3, 3, 1, 'process', 'inner', 'running', NULL, '2020-01-03', NULL, 2),
    (4, 4, 1, 'echo', 'say', 'running', NULL, '2020-01-03', NULL, NULL);
UPDATE execution SET parent_step_id = 1 WHERE id = 2;
UPDATE execution SET parent_step_id = 3 WHERE id = 4;
SELECT setval('execution_id_seq', 5), setval('execution_step_id_seq', 4);
"""


async def run(database: Database, script: str) -> None:
    async with database.transaction() as transaction:
        await transaction.script(script)


async def rows(database: Database, sql: str) -> Sequence[Row]:
    async with database.transaction() as transaction:
        return await transaction.fetch(sql)


@pytest.fixture
async def migrated(postgres: str) -> AsyncIterator[Database]:
    """A database with executions of an earlier version, to which all migrations were applied."""
    async with database_copy(postgres, "template0") as url:
        database = await Database.connect(url, pool_max=4)
        for version, _, sql in available():
            if version == _ENGINE:
                await run(database, _ROWS)
            await run(database, sql)
        yield database
        await database.close()


async def test_what_ran_is_interrupted_and_in_doubt(migrated: Database) -> None:
    executions = await rows(
        migrated,
        "SELECT id, root_id, status, error_code, finished_at IS NOT NULL AS ended, trigger"
        " FROM execution ORDER BY id",
    )
    assert [tuple(row.values()) for row in executions] == [
        (1, None, "succeeded", None, True, "request"),
        (2, 1, "succeeded", None, True, "process"),
        (3, None, "interrupted", "interrupted", True, "request"),
        (4, 3, "interrupted", "interrupted", True, "process"),
        (5, None, "failed", None, True, "request"),
    ]
    steps = await rows(
        migrated, "SELECT id, status, in_doubt, result IS NULL AS none FROM execution_step"
    )
    assert [tuple(row.values()) for row in sorted(steps, key=lambda row: row["id"])] == [
        (1, "succeeded", False, True),
        (2, "succeeded", False, False),
        (3, "interrupted", True, True),
        (4, "interrupted", True, True),
    ]
    (times,) = await rows(
        migrated, "SELECT bool_and(requested_at = started_at) AS same FROM execution"
    )
    assert times["same"]


async def test_the_records_read_as_before_and_new_ones_follow(migrated: Database) -> None:
    async with open_services(settings_for_tests(), migrated) as services:
        graph = Graph(services)
        query = """{ execution(databaseId: 1) { status root { databaseId } requestedAt
            attempts: steps { attempts { startedAt } }
            steps { result subexecution { databaseId steps { result } } } } }"""
        execution: Any = (await graph.data(query))["execution"]
        (step,) = execution["steps"]
        assert step["result"] == {"execution": 2, "results": [{"a": 1}]}
        assert step["subexecution"] == {"databaseId": 2, "steps": [{"result": {"a": 1}}]}
        executed = await graph.data(
            'mutation { executeProcess(id: "UHJvY2Vzczox", values: ["me"]) {'
            " execution { databaseId status } } }"
        )
        assert executed["executeProcess"]["execution"] == {"databaseId": 6, "status": "SUCCEEDED"}
        error = await graph.error(
            'mutation { replayExecution(id: "RXhlY3V0aW9uOjU=", from: 1) { execution { id } } }'
        )
        assert error["message"] == (
            "an earlier version recorded the execution; it cannot be replayed"
        )
