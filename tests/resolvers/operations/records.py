"""Define the rows of a tree of executions, as the engine writes them."""

from __future__ import annotations

from typing import Any

from tests.reference.rows import Row, Rows

CLEANER = 4
HALL, LAMP, VAULT = 1, 2, 3
"""Processes. The cleaner is authorized on all but the last."""
ROOT, NESTED, HIDDEN, DEEP, OTHER = 11, 80, 145, 210, 12
"""Executions: the hall runs the lamp and the vault, and the vault runs the lamp. Their IDs belong
to different shards."""
FIRST_STEP = 2**31 + 5
"""The first step has an ID of 64 bits."""

PROCESSES = {HALL: "hall", LAMP: "lamp", VAULT: "vault"}


def execution(id_: int, process: int, **values: Any) -> Row:
    """Return an execution that succeeded."""
    return {
        "id": id_,
        "process_id": process,
        "process_reference": PROCESSES[process],
        "process_name": PROCESSES[process],
        "enabled": False,
        "profile_id": CLEANER,
        "profile_name": "cleaner",
        "status": "succeeded",
        "finished_at": "2026-01-01T10:00:09Z",
        **values,
    }


def nested(id_: int, process: int, step: int, **values: Any) -> Row:
    """Return an execution that a step of the tree has started."""
    return execution(id_, process, root_id=ROOT, parent_step_id=step, trigger="process", **values)


def step(id_: int, execution_id: int, position: int, **values: Any) -> Row:
    """Return a step of the source echo that succeeded."""
    return {
        "id": id_,
        "execution_id": execution_id,
        "position": position,
        "source_name": "echo",
        "action": "say",
        "status": "succeeded",
        "attempted_at": "2026-01-01T10:00:01Z",
        "started_at": "2026-01-01T10:00:01Z",
        "finished_at": "2026-01-01T10:00:02Z",
        **values,
    }


def call(id_: int, execution_id: int, position: int, process: int, **values: Any) -> Row:
    """Return a step that ran a process."""
    return step(
        id_,
        execution_id,
        position,
        source_name="process",
        action=PROCESSES[process],
        subprocess_id=process,
        **values,
    )


ATTEMPT: Row = {
    "startedAt": "2026-01-01T10:00:00.000001Z",
    "finishedAt": "2026-01-01T10:00:00.500000Z",
    "error": "no answer",
    "errorCode": "source_failed",
    "inDoubt": False,
}
"""An attempt that another one followed."""

TREE: Rows = {
    "process": [
        {"id": id_, "reference": reference, "name": reference}
        for id_, reference in PROCESSES.items()
    ],
    "profile": [
        {"id": CLEANER, "name": "cleaner", "permissions": ["process:read", "process:execute"]}
    ],
    "authorisation": [{"process_id": process, "profile_id": CLEANER} for process in (HALL, LAMP)],
    "execution": [
        execution(
            ROOT,
            HALL,
            seq=17,
            takeovers=2,
            deadline="2026-01-01T10:01:00Z",
            cancel_requested_at="2026-01-01T10:00:08Z",
            requested_at="2026-01-01T09:59:59Z",
        ),
        nested(NESTED, LAMP, FIRST_STEP),
        nested(HIDDEN, VAULT, 3, status="failed", error="secret", error_code="timed_out"),
        nested(DEEP, LAMP, 5),
        execution(OTHER, HALL, dry_run=True, trigger="replay", replay_of=ROOT, seq=3),
    ],
    "execution_step": [
        call(FIRST_STEP, ROOT, 1, LAMP),
        step(2, ROOT, 2, result={"said": None}),
        call(3, ROOT, 3, VAULT, status="failed", error="secret", error_code="process_failed"),
        # In the lamp:
        step(4, NESTED, 1, result="on"),
        step(
            2**40,
            NESTED,
            2,
            result=[1],
            in_doubt=True,
            attempt=2,
            attempts=[ATTEMPT],
            error="lost",
            error_code="timed_out",
            status="failed",
        ),
        # In the vault:
        call(5, HIDDEN, 1, LAMP),
        step(6, HIDDEN, 2, status="failed", error="secret", in_doubt=True),
        # In the lamp that the vault runs:
        step(7, DEEP, 1, result="deep"),
        step(8, DEEP, 2, in_doubt=True, status="interrupted"),
        # In the other execution:
        step(9, OTHER, 1, status="skipped"),
        step(
            10,
            OTHER,
            2,
            status="waiting",
            attempt=1,
            attempts=[ATTEMPT],
            finished_at=None,
            retry_at="2026-01-01T10:00:03Z",
        ),
        step(13, OTHER, 3, status="running", finished_at=None, attempt=2, attempts=[ATTEMPT]),
    ],
}
