"""In charge of reading what an execution runs, and of recording it while it runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import orjson

from storage.database.database import Transaction
from storage.writes.processes import ProcessRow

Argument = tuple[str, str]
"""A reference and a value."""


@dataclass(frozen=True, slots=True)
class ActionRow:
    """An action as it is run."""

    id: int
    position: int
    source_name: str
    source_kind: str
    source_settings: dict[str, object]
    """Settings and secrets of the source together."""
    action: str
    enabled: bool
    arguments: tuple[Argument, ...]
    subprocess_id: int | None


@dataclass(frozen=True, slots=True)
class InputRow:
    """An input as it is asked for."""

    reference: str
    type: str
    enabled: bool


@dataclass(frozen=True, slots=True)
class Program:
    """A process with all that running it takes."""

    process: ProcessRow
    actions: tuple[ActionRow, ...]
    inputs: tuple[InputRow, ...]

    @property
    def state(self) -> bool | None:
        """The state whose actions and inputs take part; None for all of them (a simple process)."""
        return self.process.enabled if self.process.mode == "switch" else None


async def load_program(
    transaction: Transaction, process_id: int, only_profile: int | None
) -> Program | None:
    """A process with its parts, in order; None where there is none that the profile may execute."""
    row = await transaction.fetch_row(
        """SELECT id, reference, name, mode, enabled FROM process
        WHERE id = $1 AND ($2::integer IS NULL OR EXISTS (
            SELECT FROM authorisation WHERE process_id = process.id AND profile_id = $2))""",
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
        "SELECT reference, type, enabled FROM input WHERE process_id = $1 ORDER BY position",
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
        tuple(InputRow(**given) for given in inputs),
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
    """Record that a process starts to run; returns the execution's id."""
    found = await transaction.fetch_value(
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
    assert isinstance(found, int)
    return found


async def start_step(
    transaction: Transaction,
    execution_id: int,
    position: int,
    action: ActionRow,
    arguments: Sequence[Argument],
) -> int:
    """Record that an action starts; returns the step's id."""
    found = await transaction.fetch_value(
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
    assert isinstance(found, int)
    return found


async def finish_step(
    transaction: Transaction, step_id: int, *, result: bytes | None, error: str | None
) -> None:
    """Record how an action ended: with a result (JSON), or with an error."""
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
    """Record how a run ended, and the state that its process is in then."""
    await transaction.fetch(
        """UPDATE execution SET status = CASE WHEN $3::text IS NULL THEN 'succeeded'
            ELSE 'failed' END, enabled = $2, error = $3, finished_at = clock_timestamp()
        WHERE id = $1""",
        execution_id,
        enabled,
        error,
    )


async def flip_state(transaction: Transaction, process_id: int, enabled: bool) -> bool:
    """Change a switch from the state ``enabled`` to the other; False where it is not in it."""
    rows = await transaction.fetch(
        "UPDATE process SET enabled = NOT $2 WHERE id = $1 AND enabled = $2 RETURNING id",
        process_id,
        enabled,
    )
    return bool(rows)


def arguments_json(arguments: Sequence[Argument]) -> bytes:
    """Arguments as the database stores them."""
    return orjson.dumps(
        [{"reference": reference, "value": value} for reference, value in arguments]
    )
