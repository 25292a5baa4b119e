"""Test each condition of the fence by itself, with every kind of write that a transition has."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import replace

import pytest

from storage.database.database import Database
from storage.database.rows import Row
from storage.execution.gates import Gate
from storage.execution.journal import Fence, transition
from storage.execution.writes import (
    BeginNested,
    DelayStep,
    Ending,
    EndNested,
    EndStep,
    FailedAttempt,
    Flip,
    RepeatStep,
    StartNested,
    StartStep,
    Write,
)

_FAILED = FailedAttempt("it failed", "source_failed", in_doubt=True)
_SUCCEEDED = Ending("succeeded")


async def _run(database: Database, sql: str, *args: object) -> Row:
    row = await database.write(sql, *args)
    assert row is not None
    return row


async def _execution(database: Database) -> tuple[Fence, int, int]:
    """Return an execution with steps that run, its process, and one nested in it that waits."""
    process = await _run(
        database,
        "INSERT INTO process (reference, name, mode) VALUES ('hall', 'Hall', 'switch')"
        " RETURNING id",
    )
    worker = uuid.uuid4()
    execution = (
        "INSERT INTO execution (process_id, process_reference, process_name, enabled, profile_name,"
    )
    root = await _run(
        database,
        f"{execution} owner, seq) VALUES ($1, 'hall', 'Hall', false, 'admin', $2, 7) RETURNING id",
        process["id"],
        worker,
    )
    step = await _run(
        database,
        "INSERT INTO execution_step (execution_id, position, source_name, action)"
        " SELECT $1, position, 'process', 'hall' FROM generate_series(1, 2) AS position"
        " RETURNING id",
        root["id"],
    )
    nested = await _run(
        database,
        f"{execution} root_id, parent_step_id, status)"
        " VALUES ($1, 'hall', 'Hall', false, 'admin', $2, $3, 'queued') RETURNING id",
        process["id"],
        root["id"],
        step["id"],
    )
    return Fence(root["id"], 7, worker), process["id"], nested["id"]


def _writes(fence: Fence, process_id: int, nested_id: int) -> dict[str, Sequence[Write]]:
    root_id = fence.root_id
    return {
        "nothing": [],
        "start": [StartStep(root_id, 3, "echo", "say", b"[]", None)],
        "end": [EndStep(root_id, 1, "succeeded")],
        "end and start": [
            EndStep(root_id, 1, "succeeded"),
            StartStep(root_id, 3, "echo", "say", b"[]", None),
        ],
        "delay": [DelayStep(root_id, 1, _FAILED, 1.0)],
        "repeat": [RepeatStep(root_id, 1, _FAILED)],
        "nest": [
            StartNested(
                root_id, 2, process_id, "hall", "Hall", b"[]", enabled=False, gate=Gate("open")
            )
        ],
        "begin nested": [BeginNested(nested_id, b"[]", enabled=False)],
        "end nested": [EndNested(nested_id, process_id, _SUCCEEDED)],
        "flip": [
            EndNested(
                nested_id, process_id, replace(_SUCCEEDED, flip=Flip(process_id, enabled=False))
            )
        ],
    }


KINDS = list(_writes(Fence(0, 0, uuid.UUID(int=0)), 0, 0))


async def _rows(database: Database) -> list[str]:
    return [
        row["line"]
        for table in ("execution", "execution_step", "process")
        for row in await database.fetch(f"SELECT t::text AS line FROM {table} AS t ORDER BY id")
    ]


@pytest.mark.parametrize(
    "wrong", ["seq before", "seq after", "owner", "root", "ended", "cancelled"]
)
async def test_nothing_is_written_if_one_condition_does_not_hold(
    database: Database, wrong: str
) -> None:
    fence, process_id, nested_id = await _execution(database)
    writes = _writes(fence, process_id, nested_id)
    match wrong:
        case "seq before":
            fence = fence._replace(seq=6)
        case "seq after":
            fence = fence._replace(seq=8)
        case "owner":
            fence = fence._replace(owner=uuid.uuid4())
        case "root":
            fence = fence._replace(root_id=nested_id)
        case "ended":
            await database.write("UPDATE execution SET status = 'failed' WHERE seq = 7")
        case "cancelled":
            await database.write("UPDATE execution SET cancel_requested_at = now()")
    before = await _rows(database)
    for kind in KINDS:
        for ends in (None, _SUCCEEDED, replace(_SUCCEEDED, flip=Flip(process_id, enabled=False))):
            for releases in (False, True):
                if ends is not None and (releases or kind == "flip"):
                    continue
                sql, values = transition(
                    fence,
                    writes[kind],
                    starts=wrong == "cancelled",
                    end=ends,
                    releases=releases,
                )
                assert await database.write(sql, *values) is None, kind
                assert await _rows(database) == before, kind


@pytest.mark.parametrize("kind", KINDS)
async def test_a_transition_is_written_once(database: Database, kind: str) -> None:
    fence, process_id, nested_id = await _execution(database)
    sql, values = transition(fence, _writes(fence, process_id, nested_id)[kind], starts=True)
    before = await _rows(database)
    row = await database.write(sql, *values)
    assert row is not None
    assert (row["seq"], row["status"]) == (8, "running")
    after = await _rows(database)
    assert after != before
    assert await database.write(sql, *values) is None
    assert await _rows(database) == after
