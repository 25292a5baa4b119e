"""Write the transitions of executions: each is one statement that its fence guards.

An execution that a caller asked for, and all that are nested in it, are one tree with one owner.
The ``seq`` of its root is the fence: a transition first increments it, and does so only if it has
the value that the owner knows, the owner is the same, and the tree is still running. If it has not,
the statement writes nothing. Whoever takes a tree over increments ``seq`` too, so that nothing that
an earlier owner still sends has an effect.

A transition consists of writes. ``transition`` joins them to one statement.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol
from uuid import UUID

from storage.execution.gates import Gate, at_gate
from storage.writes.rows import TOUCHED

_UTC = '\'YYYY-MM-DD"T"HH24:MI:SS.US"Z"\''


@dataclass(frozen=True, slots=True)
class Fence:
    """The right to write a tree."""

    root_id: int
    seq: int
    owner: UUID

    def at(self, seq: int) -> Fence:
        """Return the fence after a transition."""
        return Fence(self.root_id, seq, self.owner)


class Values:
    """The parameters of a statement. Calling it adds one, and returns its place in the SQL."""

    def __init__(self) -> None:
        self.values: list[object] = []

    def __call__(self, value: object, type_: str) -> str:
        """Add a value, and return its place with its type."""
        self.values.append(value)
        return f"${len(self.values)}::{type_}"


class Write(Protocol):
    """A part of a transition. Its rows are written only if the fence holds."""

    def sql(self, value: Values) -> str:
        """Return a data-modifying statement that takes its rows from ``fence``."""


# Steps -------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class StartStep:
    """Record that a step starts, or with the status ``skipped``, that it is skipped."""

    execution_id: int
    position: int
    source_name: str
    action: str
    arguments: bytes
    """JSON: ``[{"reference": …, "value": …}, …]``."""
    subprocess_id: int | None
    status: str = "running"

    @property
    def values(self) -> tuple[object, ...]:
        """The values that ``sql`` adds."""
        return (
            self.execution_id,
            self.position,
            self.source_name,
            self.action,
            self.arguments,
            self.subprocess_id,
            self.status,
            self.status == "skipped",
        )

    def sql(self, value: Values) -> str:
        """Return the insertion of a step."""
        return f"""INSERT INTO execution_step (execution_id, position, source_name, action,
            arguments, subprocess_id, status, started_at, finished_at)
        SELECT {value(self.execution_id, "integer")}, {value(self.position, "integer")},
            {value(self.source_name, "text")}, {value(self.action, "text")},
            {value(self.arguments, "json")},
            (SELECT id FROM process WHERE id = {value(self.subprocess_id, "integer")}),
            {value(self.status, "text")}, clock_timestamp(),
            CASE WHEN {value(self.status == "skipped", "boolean")} THEN clock_timestamp() END
        FROM fence"""


@dataclass(frozen=True, slots=True)
class EndStep:
    """Record the end of a step."""

    execution_id: int
    position: int
    status: str
    result: bytes | None = None
    """JSON. A step that ran a process has none: ``nested_result`` reads it."""
    error: str | None = None
    error_code: str | None = None
    in_doubt: bool = False

    @property
    def values(self) -> tuple[object, ...]:
        """The values that ``sql`` adds."""
        return (
            self.status,
            self.result,
            self.error,
            self.error_code,
            self.in_doubt,
            self.execution_id,
            self.position,
        )

    def sql(self, value: Values) -> str:
        """Return the update of a step."""
        return f"""UPDATE execution_step SET status = {value(self.status, "text")},
            result = {value(self.result, "json")}, error = {value(self.error, "text")},
            error_code = {value(self.error_code, "text")},
            in_doubt = {value(self.in_doubt, "boolean")},
            retry_at = NULL, finished_at = clock_timestamp()
        FROM fence WHERE execution_id = {value(self.execution_id, "integer")}
            AND position = {value(self.position, "integer")}"""


@dataclass(frozen=True, slots=True)
class InterruptSteps:
    """Record that all steps of a tree that have not ended were interrupted.

    Those that may have acted are in doubt.
    """

    root_id: int
    error: str

    def sql(self, value: Values) -> str:
        """Return the update of the steps."""
        return f"""UPDATE execution_step SET status = 'interrupted', error_code = 'interrupted',
            error = {value(self.error, "text")}, retry_at = NULL, finished_at = clock_timestamp(),
            in_doubt = in_doubt OR (execution_step.status = 'running' AND subprocess_id IS NULL)
        FROM fence WHERE execution_step.status IN ('running', 'waiting') AND execution_id IN (
            SELECT id FROM execution WHERE {value(self.root_id, "integer")} IN (id, root_id)
        )"""


@dataclass(frozen=True, slots=True)
class FailedAttempt:
    """An attempt that another one follows."""

    error: str
    error_code: str
    in_doubt: bool

    def appended(self, value: Values) -> str:
        """Return SQL for the attempts of a step with this one at the end."""
        return f"""(CASE WHEN attempts::text = '[]' THEN '[' ELSE left(attempts::text, -1) || ','
            END || concat(
                '{{"startedAt":"', to_char(attempted_at AT TIME ZONE 'UTC', {_UTC}),
                '","finishedAt":"', to_char(clock_timestamp() AT TIME ZONE 'UTC', {_UTC}),
                '","error":', json_text({value(self.error, "text")}),
                ',"errorCode":', json_text({value(self.error_code, "text")}),
                ',"inDoubt":', {value(self.in_doubt, "boolean")}::text,
            '}}]'))::json"""


@dataclass(frozen=True, slots=True)
class DelayStep:
    """Record that an attempt failed, and when the next one starts."""

    execution_id: int
    position: int
    attempt: FailedAttempt
    seconds: float

    def sql(self, value: Values) -> str:
        """Return the update of a step."""
        return f"""UPDATE execution_step SET status = 'waiting',
            attempts = {self.attempt.appended(value)},
            in_doubt = in_doubt OR {value(self.attempt.in_doubt, "boolean")},
            retry_at = clock_timestamp() + make_interval(secs => {value(self.seconds, "float8")})
        FROM fence WHERE execution_id = {value(self.execution_id, "integer")}
            AND position = {value(self.position, "integer")}"""


@dataclass(frozen=True, slots=True)
class RepeatStep:
    """Record that the next attempt starts.

    ``attempt`` is the one before, unless ``DelayStep`` recorded it.
    """

    execution_id: int
    position: int
    attempt: FailedAttempt | None = None

    def sql(self, value: Values) -> str:
        """Return the update of a step."""
        attempts = ""
        if self.attempt is not None:
            attempts = f""", attempts = {self.attempt.appended(value)},
                in_doubt = in_doubt OR {value(self.attempt.in_doubt, "boolean")}"""
        return f"""UPDATE execution_step SET status = 'running', attempt = attempt + 1,
            attempted_at = clock_timestamp(), retry_at = NULL{attempts}
        FROM fence WHERE execution_id = {value(self.execution_id, "integer")}
            AND position = {value(self.position, "integer")}"""


# Executions --------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Flip:
    """A switch that is flipped if its state is still the one in which its execution started."""

    process_id: int
    enabled: bool
    """That state."""


@dataclass(frozen=True, slots=True)
class Ending:
    """How an execution ends. One that flips a switch fails if its state was changed meanwhile."""

    status: str
    error: str | None = None
    error_code: str | None = None
    flip: Flip | None = None

    def assignments(self, value: Values) -> str:
        """Return the assignments that end an execution. ``gate`` is the row of the switch."""
        if self.flip is None:
            return f"""status = {value(self.status, "text")}, error = {value(self.error, "text")},
                error_code = {value(self.error_code, "text")}, finished_at = clock_timestamp()"""
        # There is no row if the switch was deleted. Then nothing is left to be flipped.
        changed = "coalesce((SELECT changed FROM gate), false)"
        return f"""status = CASE WHEN {changed} THEN 'failed' ELSE {value(self.status, "text")} END,
            error = CASE WHEN {changed} THEN 'the state of the process was changed meanwhile' END,
            error_code = CASE WHEN {changed} THEN 'state_changed' END,
            enabled = {value(not self.flip.enabled, "boolean")} <> {changed},
            finished_at = clock_timestamp()"""


@dataclass(frozen=True, slots=True)
class EndNested:
    """Record the end of a nested execution, unless it was superseded while it waited."""

    execution_id: int
    process_id: int
    ending: Ending

    def sql(self, value: Values) -> str:
        """Return the update of the execution. It returns the ID and the status."""
        return f"""UPDATE execution SET {self.ending.assignments(value)}
        FROM fence WHERE execution.id = {value(self.execution_id, "integer")}
            AND execution.finished_at IS NULL
        RETURNING execution.id, execution.status"""


@dataclass(frozen=True, slots=True)
class InterruptNested:
    """Record that all nested executions of a tree that have not ended were interrupted."""

    root_id: int
    error: str

    def sql(self, value: Values) -> str:
        """Return the update of the executions."""
        return f"""UPDATE execution SET status = 'interrupted', error_code = 'interrupted',
            error = {value(self.error, "text")}, finished_at = clock_timestamp()
        FROM fence WHERE root_id = {value(self.root_id, "integer")} AND finished_at IS NULL"""


@dataclass(frozen=True, slots=True)
class StartNested:
    """Record an execution that a step runs, if the gate of its process admits it.

    The caller holds the lock of the gate (``storage.execution.gates``).
    """

    parent_id: int
    position: int
    """The step of the parent that runs it."""
    process_id: int
    process_reference: str
    process_name: str
    inputs: bytes
    """JSON, as the arguments of a step."""
    enabled: bool
    gate: Gate

    def sql(self, value: Values) -> str:
        """Return the insertion of an execution. It returns the ID and the status."""
        process_id = value(self.process_id, "integer")
        return f"""INSERT INTO execution (process_id, process_reference, process_name, inputs,
            enabled, profile_id, profile_name, parent_step_id, root_id, trigger, dry_run, status)
        SELECT (SELECT id FROM process WHERE id = {process_id}),
            {value(self.process_reference, "text")}, {value(self.process_name, "text")},
            {value(self.inputs, "json")}, {value(self.enabled, "boolean")},
            fence.profile_id, fence.profile_name,
            (SELECT id FROM execution_step
            WHERE execution_id = {value(self.parent_id, "integer")}
                AND position = {value(self.position, "integer")}),
            fence.id, 'process', fence.dry_run,
            CASE WHEN {self.gate.starts} THEN 'running' ELSE 'queued' END
        FROM fence, {at_gate(process_id)} WHERE {self.gate.admits}
        RETURNING id, status"""


@dataclass(frozen=True, slots=True)
class BeginNested:
    """Record that a nested execution that waited at its gate begins."""

    execution_id: int
    inputs: bytes
    """JSON, as the arguments of a step."""
    enabled: bool

    def sql(self, value: Values) -> str:
        """Return the update of the execution. It returns the ID and the status."""
        return f"""UPDATE execution SET status = 'running', started_at = clock_timestamp(),
            inputs = {value(self.inputs, "json")}, enabled = {value(self.enabled, "boolean")}
        FROM fence WHERE execution.id = {value(self.execution_id, "integer")}
            AND execution.status = 'queued'
        RETURNING execution.id, execution.status"""


# Transitions -------------------------------------------------------------------------------------


def transition(
    fence: Fence,
    writes: Sequence[Write],
    *,
    starts: bool = False,
    end: Ending | None = None,
    releases: bool = False,
) -> tuple[str, list[object]]:
    """Return the statement of a transition, and its values.

    Its row has the new ``seq``, and the ``status``, ``error`` and ``error_code`` of the root. If an
    execution has ended, ``others_wait`` is whether others of its process are queued. ``nested_id``
    and ``nested_status`` are those of the last nested execution that was written.
    Without a row, the fence did not hold.

    Args:
        fence: What the owner knows.
        writes: What is written.
        starts: Whether a step starts. None does after the execution was canceled.
        end: The end of the root.
        releases: Whether the owner gives the tree up, so that another worker goes on with it.
    """
    if len(writes) > _MOST_WRITES or (end is not None and end.flip is not None):
        return _built(fence, writes, starts, end, releases)
    values: list[object] = [fence.root_id, fence.seq, fence.owner]
    if end is not None:
        values += (end.status, end.error, end.error_code)
    for write in writes:
        if not isinstance(write, StartStep | EndStep):
            return _built(fence, writes, starts, end, releases)
        values += write.values
    shape = (*map(type, writes), starts, end is None, releases)
    sql = _TEXTS.get(shape)
    if sql is None:
        sql, _ = _built(fence, writes, starts, end, releases)
        _TEXTS[shape] = sql
    return sql, values


_MOST_WRITES = 2
"""Writes of a transition whose text is kept. That is enough for the steps of a process."""
_TEXTS: dict[tuple[object, ...], str] = {}
"""The texts of the transitions that most executions consist of. Only their values differ."""


def _built(
    fence: Fence, writes: Sequence[Write], starts: bool, end: Ending | None, releases: bool
) -> tuple[str, list[object]]:
    """Return what ``transition`` returns."""
    value = Values()
    conditions = [
        f"id = {value(fence.root_id, 'integer')}",
        f"seq = {value(fence.seq, 'bigint')}",
        f"owner = {value(fence.owner, 'uuid')}",
        "status = 'running'",
    ]
    if starts:
        conditions.append("cancel_requested_at IS NULL")
    parts = []
    endings = [write.ending for write in writes if isinstance(write, EndNested)]
    flips = [each.flip for each in (*endings, end) if each is not None and each.flip is not None]
    for flip in flips:
        # At most one. Its row is locked before that of the root, in the order of admissions.
        state = value(flip.enabled, "boolean")
        parts.append(
            f"gate AS MATERIALIZED (SELECT id, enabled <> {state} AS changed FROM process"
            f" WHERE id = {value(flip.process_id, 'integer')} FOR NO KEY UPDATE)"
        )
        conditions.append("(SELECT count(*) FROM gate) >= 0")
    ending = "" if end is None else f", {end.assignments(value)}"
    if releases:
        ending += ", owner = NULL"
    parts.append(
        f"fence AS (UPDATE execution SET seq = seq + 1{ending} WHERE {' AND '.join(conditions)}"
        " RETURNING id, seq, status, error, error_code, process_id, profile_id, profile_name,"
        " dry_run)"
    )
    nested_id, nested_status = "NULL::integer", "NULL"
    for number, write in enumerate(writes):
        parts.append(f"write_{number} AS ({write.sql(value)})")
        if isinstance(write, StartNested | BeginNested | EndNested):
            nested_id = f"(SELECT id FROM write_{number})"
            nested_status = f"(SELECT status FROM write_{number})"
    if flips:
        parts.append(
            f"flip AS (UPDATE process SET enabled = NOT enabled, {TOUCHED} FROM fence"
            " WHERE process.id = (SELECT id FROM gate WHERE NOT changed))"
        )
    others_wait = "false"
    if end is not None or endings:
        ended = "fence.process_id"
        if end is None:
            last = next(write for write in reversed(writes) if isinstance(write, EndNested))
            ended = value(last.process_id, "integer")
        others_wait = (
            f"EXISTS (SELECT FROM execution AS other WHERE other.process_id = {ended}"
            " AND other.status = 'queued')"
        )
    sql = (
        f"WITH {', '.join(parts)} SELECT seq, status, error, error_code,"
        f" {others_wait} AS others_wait, {nested_id} AS nested_id,"
        f" {nested_status} AS nested_status FROM fence"
    )
    return sql, value.values
