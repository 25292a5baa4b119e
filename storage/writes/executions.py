"""Load the process that an execution runs, and record the execution and its steps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import orjson

from storage.database.database import Transaction
from storage.writes.processes import VISIBLE, ProcessRow
from storage.writes.rows import TOUCHED

Argument = tuple[str, str]
"""The reference and the value of an argument."""


@dataclass(frozen=True, slots=True)
class ActionRow:
    """An action, with the source that runs it."""

    id: int
    position: int
    source_name: str
    source_kind: str
    source_settings: dict[str, object]
    """The settings and the secrets of the source."""
    action: str
    enabled: bool
    arguments: tuple[Argument, ...]
    subprocess_id: int | None


@dataclass(frozen=True, slots=True)
class InputRow:
    """An input of a process, with what it accepts."""

    reference: str
    type: str
    enabled: bool
    required: bool
    default: str | None
    choices: tuple[str, ...]
    min: float | None
    max: float | None
    step: float | None
    pattern: str | None


@dataclass(frozen=True, slots=True)
class Program:
    """A process with the actions and inputs that an execution needs."""

    process: ProcessRow
    actions: tuple[ActionRow, ...]
    inputs: tuple[InputRow, ...]

    @property
    def state(self) -> bool | None:
        """The state whose actions and inputs take part, or None if all do (a simple process)."""
        return self.process.enabled if self.process.mode == "switch" else None


async def load_program(
    transaction: Transaction, process_id: int, only_profile: int | None
) -> Program | None:
    """Return a process with its parts in order, or None if the profile cannot see it."""
    row = await transaction.fetch_row(
        f"""SELECT id, reference, name, mode, enabled FROM process
        WHERE id = $1 AND {VISIBLE}""",
        process_id,
        only_profile,
    )
    if row is None:
        return None
    actions = await transaction.fetch(
        """SELECT action.id, position, source.name AS source_name, kind, settings, secrets,
            action, enabled, arguments, subprocess_id
        FROM action JOIN source ON source.id = source_id
        WHERE process_id = $1 ORDER BY position""",
        process_id,
    )
    inputs = await transaction.fetch(
        """SELECT reference, type, enabled, required, default_value AS default, choices, min, max,
            step, pattern
        FROM input WHERE process_id = $1 ORDER BY position""",
        process_id,
    )
    return Program(
        ProcessRow(**row),
        tuple(
            ActionRow(
                action["id"],
                action["position"],
                action["source_name"],
                action["kind"],
                {**orjson.loads(action["settings"]), **orjson.loads(action["secrets"])},
                action["action"],
                action["enabled"],
                tuple((a["reference"], a["value"]) for a in orjson.loads(action["arguments"])),
                action["subprocess_id"],
            )
            for action in actions
        ),
        tuple(InputRow(**{**row, "choices": tuple(row["choices"])}) for row in inputs),
    )


async def start_execution(
    transaction: Transaction,
    process: ProcessRow,
    inputs: Sequence[Argument],
    *,
    profile_id: int,
    profile_name: str,
    parent_step_id: int | None,
) -> int:
    """Record the start of an execution. Return its ID."""
    execution_id = await transaction.fetch_value(
        """INSERT INTO execution (process_id, process_reference, process_name, inputs, enabled,
            profile_id, profile_name, parent_step_id)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8) RETURNING id""",
        process.id,
        process.reference,
        process.name,
        arguments_json(inputs),
        process.enabled,
        profile_id,
        profile_name,
        parent_step_id,
    )
    assert isinstance(execution_id, int)
    return execution_id


async def start_step(
    transaction: Transaction,
    execution_id: int,
    position: int,
    action: ActionRow,
    arguments: Sequence[Argument],
) -> int:
    """Record the start of an action as a step. Return the step's ID."""
    step_id = await transaction.fetch_value(
        """INSERT INTO execution_step
            (execution_id, position, source_name, action, arguments, subprocess_id)
        VALUES ($1, $2, $3, $4, $5, $6) RETURNING id""",
        execution_id,
        position,
        action.source_name,
        action.action,
        arguments_json(arguments),
        action.subprocess_id,
    )
    assert isinstance(step_id, int)
    return step_id


async def finish_step(
    transaction: Transaction, step_id: int, *, result: bytes | None, error: str | None
) -> None:
    """Record the end of a step, with its result (JSON) or its error."""
    await transaction.fetch(
        """UPDATE execution_step SET status = CASE WHEN $3::text IS NULL THEN 'succeeded'
            ELSE 'failed' END, result = $2, error = $3, finished_at = clock_timestamp()
        WHERE id = $1""",
        step_id,
        result,
        error,
    )


async def finish_execution(
    transaction: Transaction, execution_id: int, *, enabled: bool, error: str | None
) -> None:
    """Record the end of an execution, with the new state of its process and its error, if any."""
    await transaction.fetch(
        """UPDATE execution SET status = CASE WHEN $3::text IS NULL THEN 'succeeded'
            ELSE 'failed' END, enabled = $2, error = $3, finished_at = clock_timestamp()
        WHERE id = $1""",
        execution_id,
        enabled,
        error,
    )


async def flip_state(transaction: Transaction, process_id: int, enabled: bool) -> bool:
    """Flip the state of a switch. Return False if its current state is not ``enabled``."""
    rows = await transaction.fetch(
        f"""UPDATE process SET enabled = NOT $2, {TOUCHED}
        WHERE id = $1 AND enabled = $2 RETURNING id""",
        process_id,
        enabled,
    )
    return bool(rows)


def arguments_json(arguments: Sequence[Argument]) -> bytes:
    """Return arguments as the JSON that the database stores."""
    return orjson.dumps(
        [{"reference": reference, "value": value} for reference, value in arguments]
    )
