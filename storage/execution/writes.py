"""Define the parts of transitions: what is written to steps and executions, if the fence holds.

Each takes its rows from ``fence``, which has none if the owner has lost the tree.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from storage.execution.gates import Gate, at_gate

_UTC = '\'YYYY-MM-DD"T"HH24:MI:SS.US"Z"\''


class Values:
    """The parameters of a statement. Calling it adds one, and returns its place in the SQL."""

    def __init__(self) -> None:
        self.values: list[object] = []

    def __call__(self, value: object, type_: str) -> str:
        """Add a value, and return its place with its type."""
        self.values.append(value)
        return f"${len(self.values)}::{type_}"

    def all_of(self, write: StartStep | EndStep) -> Mapping[str, str]:
        """Add all values of a write in their order, and return their places by name."""
        return {
            name: self(value, _TYPES[name])
            for name, value in zip(write._fields, write, strict=True)
        }


_TYPES = {
    "execution_id": "integer",
    "position": "integer",
    "source_name": "text",
    "action": "text",
    "arguments": "json",
    "subprocess_id": "integer",
    "status": "text",
    "result": "json",
    "error": "text",
    "error_code": "text",
    "in_doubt": "boolean",
}
"""The types of the values of steps."""


class Write(Protocol):
    """A part of a transition. Its rows are written only if the fence holds."""

    def sql(self, value: Values) -> str:
        """Return a data-modifying statement that takes its rows from ``fence``."""


# Steps -------------------------------------------------------------------------------------------


class StartStep(NamedTuple):
    """Record that a step starts, or with the status ``skipped``, that it is skipped.

    This and ``EndStep`` are tuples, whose values are those of their statements.
    """

    execution_id: int
    position: int
    source_name: str
    action: str
    arguments: bytes
    """JSON: ``[{"reference": …, "value": …}, …]``."""
    subprocess_id: int | None
    status: str = "running"

    def sql(self, value: Values) -> str:
        """Return the insertion of a step."""
        at = value.all_of(self)
        return f"""INSERT INTO execution_step (execution_id, position, source_name, action,
            arguments, subprocess_id, status, started_at, finished_at)
        SELECT {at["execution_id"]}, {at["position"]}, {at["source_name"]}, {at["action"]},
            {at["arguments"]}, (SELECT id FROM process WHERE id = {at["subprocess_id"]}),
            {at["status"]}, clock_timestamp(),
            CASE WHEN {at["status"]} = 'skipped' THEN clock_timestamp() END
        FROM fence"""


class EndStep(NamedTuple):
    """Record the end of a step."""

    execution_id: int
    position: int
    status: str
    result: bytes | None = None
    """JSON. A step that ran a process has none: ``nested_result`` reads it."""
    error: str | None = None
    error_code: str | None = None
    in_doubt: bool = False

    def sql(self, value: Values) -> str:
        """Return the update of a step."""
        at = value.all_of(self)
        return f"""UPDATE execution_step SET status = {at["status"]}, result = {at["result"]},
            error = {at["error"]}, error_code = {at["error_code"]}, in_doubt = {at["in_doubt"]},
            retry_at = NULL, finished_at = clock_timestamp()
        FROM fence WHERE execution_id = {at["execution_id"]} AND position = {at["position"]}"""


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
