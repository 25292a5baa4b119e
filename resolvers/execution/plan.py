"""Decide what an execution does next. Nothing here reads a clock, a database or a source.

``next_move`` is given what is defined and what has happened so far, and returns one move. The same
records therefore lead to the same move, whether the worker that wrote them goes on or another one.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from resolvers.execution.definition import ActionDefinition, Definition, ProcessDefinition
from resolvers.execution.inputs import Argument

MAX_DEPTH = 16
"""Processes that are nested in each other, with the outermost one."""


@dataclass(slots=True)
class Step:
    """A step of an execution, as it is recorded."""

    position: int
    """Its place among the actions of the state, from 1."""
    status: str = "running"
    arguments: tuple[Argument, ...] = ()
    attempt: int = 1
    error: str | None = None
    error_code: str | None = None
    in_doubt: bool = False
    """Whether an attempt may have had its effect. A later one that succeeds settles that."""
    retry_at: float | None = None
    """The time of the next attempt, by the monotonic clock of this process."""
    nested: Execution | None = None
    """The execution that it runs."""


@dataclass(slots=True)
class Execution:
    """An execution, as it is recorded."""

    id: int
    process: ProcessDefinition
    enabled: bool
    """The state of the process when it started."""
    values: dict[str, str]
    """The values of its inputs."""
    status: str = "running"
    error: str | None = None
    error_code: str | None = None
    steps: list[Step] = field(default_factory=list)
    actions: list[ActionDefinition] = field(init=False)

    def __post_init__(self) -> None:
        self.actions = self.process.actions_in(self.enabled)

    def action(self, step: Step) -> ActionDefinition:
        """Return the action of a step."""
        return self.actions[step.position - 1]

    def open_step(self) -> Step | None:
        """Return the step that has not ended, if there is one."""
        step = self.steps[-1] if self.steps else None
        return step if step is not None and step.status in ("running", "waiting") else None

    def open_path(self) -> list[Execution]:
        """Return this execution and those nested in it that have not ended, the innermost first."""
        path = [self]
        while (step := path[-1].open_step()) is not None and step.nested is not None:
            if step.nested.status not in ("running", "queued"):
                break
            path.append(step.nested)
        return path[::-1]


# Moves -------------------------------------------------------------------------------------------


class Start(NamedTuple):
    """Begin a step."""

    execution: Execution
    position: int
    action: ActionDefinition


class Act(NamedTuple):
    """Perform an attempt of a step that has begun."""

    execution: Execution
    step: Step


class Wait(NamedTuple):
    """Wait for the time of the next attempt of a step, and begin it."""

    execution: Execution
    step: Step


class Enter(NamedTuple):
    """Begin the execution that a step runs, or wait until its gate admits it."""

    execution: Execution
    step: Step
    process: ProcessDefinition


class EndStep(NamedTuple):
    """End a step without performing anything."""

    execution: Execution
    step: Step
    status: str
    error: str | None = None
    error_code: str | None = None


class End(NamedTuple):
    """End an execution."""

    execution: Execution
    status: str
    error: str | None = None
    error_code: str | None = None


Move = Start | Act | Wait | Enter | EndStep | End


def next_move(definition: Definition, root: Execution, steps: int, max_steps: int) -> Move:
    """Return what an execution does next.

    Args:
        definition: What it runs.
        root: What has happened so far.
        steps: The number of steps so far, of the root and of all that is nested in it.
        max_steps: How many there may be.
    """
    execution, depth = root, 1
    while True:
        step = execution.steps[-1] if execution.steps else None
        if step is None or _is_passed(execution, step):
            return _next_step(execution, steps < max_steps, max_steps)
        if step.status == "waiting":
            return Wait(execution, step)
        if step.status != "running":
            return _end_after(execution, step)
        action = execution.action(step)
        if action.subprocess_id is None:
            return Act(execution, step)
        nested = step.nested
        if nested is None or nested.status == "queued":
            return _enter(definition, execution, step, action.subprocess_id, depth)
        if nested.status != "running":
            return _end_step_of(execution, step, nested)
        execution, depth = nested, depth + 1


def _is_passed(execution: Execution, step: Step) -> bool:
    """Whether the execution goes on after a step."""
    if step.status == "failed":
        return execution.action(step).continues
    return step.status in ("succeeded", "skipped")


def _next_step(execution: Execution, may_start: bool, max_steps: int) -> Move:
    position = execution.steps[-1].position + 1 if execution.steps else 1
    if position > len(execution.actions):
        return End(execution, "succeeded")
    if not may_start:
        return End(execution, "failed", f"it has more than {max_steps:,} steps", "limit")
    return Start(execution, position, execution.actions[position - 1])


def _end_after(execution: Execution, step: Step) -> End:
    """Return the end of an execution after a step that did not succeed."""
    name = execution.action(step).source.name
    happened = {"failed": "failed", "cancelled": "was cancelled"}.get(
        step.status, "was interrupted"
    )
    reason = f": {step.error}" if step.error else ""
    error = f'action {step.position} ("{name}") {happened}{reason}'
    return End(execution, step.status, error, step.error_code or "step_failed")


def _enter(
    definition: Definition, execution: Execution, step: Step, process_id: int, depth: int
) -> Move:
    process = definition.processes.get(process_id)
    if process is None:  # it was deleted while the definition was read
        error = f'there is no process "{execution.action(step).action}"'
        return EndStep(execution, step, "failed", error, "process_failed")
    if depth >= MAX_DEPTH:
        error = f"it is nested deeper than {MAX_DEPTH} processes"
        return EndStep(execution, step, "failed", error, "limit")
    return Enter(execution, step, process)


def _end_step_of(execution: Execution, step: Step, nested: Execution) -> EndStep:
    """Return the end of a step whose nested execution has ended.

    It does not say why that failed: the caller may not see the nested process.
    """
    if nested.status == "succeeded":
        return EndStep(execution, step, "succeeded")
    happened = {"failed": "failed", "cancelled": "was cancelled"}.get(
        nested.status, "was interrupted"
    )
    error = f'the process "{nested.process.reference}" {happened}'
    code = "process_failed" if nested.status == "failed" else nested.error_code
    return EndStep(execution, step, nested.status, error, code)
