"""Read the record of an execution as a tree, for the commands that show it.

Times are those of PostgreSQL's clock, also how long something that runs has taken so far.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import orjson

from storage.database.rows import Reader, Row


@dataclass(frozen=True, slots=True)
class TracedStep:
    """A step of an execution. The fields are named like those of GraphQL."""

    position: int
    source_name: str
    action: str
    status: str
    arguments: Sequence[Mapping[str, Any]]
    """``[{"reference": …, "value": …}, …]``."""
    attempt: int
    attempts: Sequence[Mapping[str, Any]]
    """The attempts before the last one, as ``storage.execution.journal`` records them."""
    error: str | None
    error_code: str | None
    in_doubt: bool
    result: Any
    """What the action returned; None for one that ran a process."""
    started_at: datetime
    finished_at: datetime | None
    retry_at: datetime | None
    seconds: float
    """Seconds that it took, or has taken so far."""
    retry_in: float | None
    """Seconds until the next attempt."""
    subexecution: TracedExecution | None
    """The execution that it ran."""


@dataclass(frozen=True, slots=True)
class TracedExecution:
    """An execution and all that is nested in it. The fields are named like those of GraphQL."""

    database_id: int
    process_reference: str
    process_name: str
    status: str
    inputs: Sequence[Mapping[str, Any]]
    """``[{"reference": …, "value": …}, …]``."""
    error: str | None
    error_code: str | None
    in_doubt: bool
    """Whether a step of it, or of an execution nested in it, is in doubt."""
    trigger: str
    dry_run: bool
    takeovers: int
    cancel_requested_at: datetime | None
    requested_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    seconds: float
    """Seconds that it took, or has taken so far, without those in a queue."""
    steps: Sequence[TracedStep]

    @property
    def has_ended(self) -> bool:
        """Whether nothing of it will change any more."""
        return self.status not in ("queued", "running")


async def read_trace(database: Reader, execution_id: int) -> TracedExecution | None:
    """Return the record of an execution, with what is nested in it; None if there is none.

    Everything is read with one statement, so that it is from one moment.
    """
    rows = await database.fetch(
        """SELECT tree.id, parent_step_id, process_reference, process_name, tree.status, inputs,
            tree.error, tree.error_code, trigger, dry_run, takeovers, cancel_requested_at,
            requested_at, tree.started_at, tree.finished_at,
            extract(epoch FROM coalesce(tree.finished_at, clock_timestamp())
                - CASE WHEN tree.status = 'queued' THEN requested_at ELSE tree.started_at END
            )::float8 AS seconds,
            step.id AS step_id, position, source_name, action, step.status AS step_status,
            arguments, attempt, attempts, step.error AS step_error,
            step.error_code AS step_error_code, in_doubt, result,
            step.started_at AS step_started_at, step.finished_at AS step_finished_at, retry_at,
            extract(epoch FROM coalesce(step.finished_at, clock_timestamp())
                - step.started_at)::float8 AS step_seconds,
            extract(epoch FROM retry_at - clock_timestamp())::float8 AS retry_in
        FROM (
            SELECT execution.*
            FROM (SELECT coalesce(root_id, id) AS id FROM execution WHERE id = $1) AS root
            JOIN execution ON execution.id = root.id OR execution.root_id = root.id
        ) AS tree LEFT JOIN execution_step AS step ON execution_id = tree.id
        ORDER BY tree.id, position""",
        execution_id,
    )
    executions: dict[int, list[Row]] = {}
    nested: dict[int, int] = {}  # the ID of the step to that of the execution
    for row in rows:
        executions.setdefault(row["id"], []).append(row)
        if row["parent_step_id"] is not None:
            nested[row["parent_step_id"]] = row["id"]
    return _execution(execution_id, executions, nested) if rows else None


def _execution(
    execution_id: int, executions: Mapping[int, Sequence[Row]], nested: Mapping[int, int]
) -> TracedExecution:
    rows = executions[execution_id]
    row = rows[0]
    steps = [_step(each, executions, nested) for each in rows if each["step_id"] is not None]
    return TracedExecution(
        database_id=row["id"],
        process_reference=row["process_reference"],
        process_name=row["process_name"],
        status=row["status"],
        inputs=orjson.loads(row["inputs"]),
        error=row["error"],
        error_code=row["error_code"],
        in_doubt=any(
            step.in_doubt or (step.subexecution is not None and step.subexecution.in_doubt)
            for step in steps
        ),
        trigger=row["trigger"],
        dry_run=row["dry_run"],
        takeovers=row["takeovers"],
        cancel_requested_at=row["cancel_requested_at"],
        requested_at=row["requested_at"],
        started_at=None if row["status"] == "queued" else row["started_at"],
        finished_at=row["finished_at"],
        seconds=row["seconds"],
        steps=steps,
    )


def _step(
    row: Row, executions: Mapping[int, Sequence[Row]], nested: Mapping[int, int]
) -> TracedStep:
    inner = nested.get(row["step_id"])
    return TracedStep(
        position=row["position"],
        source_name=row["source_name"],
        action=row["action"],
        status=row["step_status"],
        arguments=orjson.loads(row["arguments"]),
        attempt=row["attempt"],
        attempts=orjson.loads(row["attempts"]),
        error=row["step_error"],
        error_code=row["step_error_code"],
        in_doubt=row["in_doubt"],
        result=None if row["result"] is None else orjson.loads(row["result"]),
        started_at=row["step_started_at"],
        finished_at=row["step_finished_at"],
        retry_at=row["retry_at"],
        seconds=row["step_seconds"],
        retry_in=row["retry_in"],
        subexecution=None if inner is None else _execution(inner, executions, nested),
    )


async def find_process(database: Reader, reference: str) -> int | None:
    """Return the ID of the process with a reference."""
    rows = await database.fetch("SELECT id FROM process WHERE reference = $1", reference)
    return rows[0]["id"] if rows else None
