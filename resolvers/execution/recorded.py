"""Restore what has happened in an execution from its records."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import datetime
from functools import partial

import orjson

from resolvers.execution.definition import Definition, ProcessDefinition, read_definition
from resolvers.execution.patience import until_read
from resolvers.execution.plan import Execution, Step
from storage.database.database import Database
from storage.database.rows import Row
from storage.execution.leases import MAX_TAKEOVERS
from storage.execution.records import TreeRecord, read_tree


@dataclass(slots=True)
class Tree:
    """An execution that a caller asked for, with all that is nested in it."""

    definition: Definition
    root: Execution
    steps: int
    """The number of steps so far, of all executions."""
    deadline: float
    """The time at which it has to end, by the monotonic clock of this process."""
    timeout: float
    """Seconds that it may take."""
    key: str
    """Identifies it among the executions of all gateways."""
    dry_run: bool = False
    cancel_requested: bool = False
    taken_over: bool = False
    """Whether the worker before has failed."""
    taken_over_too_often: bool = False
    in_doubt: bool = False
    """Whether a step is in doubt."""
    waits_for: str | None = None
    """What it waits for at the gate of a process."""
    unwritten: Execution | None = None
    """The execution whose last step is not recorded yet."""

    def too_late(self) -> str:
        """Return the message for an execution that takes too long."""
        waited = f": {self.waits_for}" if self.waits_for else ""
        return f"it took longer than {self.timeout:g} s{waited}"


class UnreadableError(Exception):
    """The records of an execution do not fit together: another version wrote them, for example.

    Args:
        taken_over_too_often: Whether no further worker is to try.
    """

    def __init__(self, *, taken_over_too_often: bool) -> None:
        super().__init__("the records of an execution cannot be read")
        self.taken_over_too_often = taken_over_too_often


async def read_recorded(database: Database, root_id: int) -> Tree | None:
    """Return what has happened in an execution; None if it was deleted.

    While the database fails, this waits.

    Args:
        database: The database.
        root_id: The root of the tree.

    Raises:
        UnreadableError: The records do not fit together.
    """
    record = await until_read(partial(read_tree, database, root_id))
    if record is None:
        return None
    too_often = record.root["takeovers"] > MAX_TAKEOVERS
    try:
        return _restored(record, taken_over_too_often=too_often)
    except Exception as error:
        raise UnreadableError(taken_over_too_often=too_often) from error


def _restored(record: TreeRecord, *, taken_over_too_often: bool) -> Tree:
    definition = read_definition(record.definition)
    now = time.monotonic()
    rows_of_steps = {row["id"]: row for row in record.steps}
    executions: dict[int, Execution] = {}
    nested_in: dict[int, Execution] = {}  # by the ID of the step
    for row in record.executions:  # the outer ones have smaller IDs
        process = definition.root
        if row["parent_step_id"] is not None:
            step = rows_of_steps[row["parent_step_id"]]
            action = executions[step["execution_id"]].actions[step["position"] - 1]
            assert action.subprocess_id is not None
            process = definition.processes[action.subprocess_id]
        execution = _execution(row, process)
        executions[execution.id] = execution
        if row["parent_step_id"] is not None:
            nested_in[row["parent_step_id"]] = execution
    for row in record.steps:
        executions[row["execution_id"]].steps.append(_step(row, nested_in.get(row["id"]), now))
    root = record.root
    return Tree(
        definition,
        executions[root["id"]],
        len(record.steps),
        now + root["seconds_left"],
        root["timeout"],
        tree_key(root["id"], root["requested_at"]),
        root["dry_run"],
        root["cancel_requested"],
        in_doubt=any(
            row["in_doubt"] and row["status"] not in ("running", "waiting") for row in record.steps
        ),
        taken_over_too_often=taken_over_too_often,
    )


def tree_key(root_id: int, requested_at: datetime) -> str:
    """Return what identifies an execution among those of all gateways."""
    return f"{root_id}@{requested_at.isoformat()}"


def _execution(row: Row, process: ProcessDefinition) -> Execution:
    values = {each["reference"]: each["value"] for each in orjson.loads(row["inputs"])}
    return Execution(
        row["id"], process, row["enabled"], values, row["status"], row["error"], row["error_code"]
    )


def _step(row: Row, nested: Execution | None, now: float) -> Step:
    return Step(
        row["position"],
        row["status"],
        tuple((each["reference"], each["value"]) for each in orjson.loads(row["arguments"])),
        row["attempt"],
        row["error"],
        row["error_code"],
        row["in_doubt"],
        None if row["retry_in"] is None else now + row["retry_in"],
        nested,
    )
