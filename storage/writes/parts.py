"""Insert, find and reorder the parts of processes: their actions and inputs.

Every function runs in the caller's transaction. ``only_profile`` is the profile whose authorized
processes exist for the caller. None stands for viewers who see all processes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import orjson

from storage.database.transaction import Transaction
from storage.writes.processes import VISIBLE
from storage.writes.rows import TOUCHED


@dataclass(frozen=True, slots=True)
class NewAction:
    """An action to insert, with the IDs of the rows that it refers to."""

    source_id: int
    action: str
    enabled: bool
    arguments: bytes
    """JSON: ``[{"reference": …, "value": …}]``."""
    subprocess_id: int | None
    timeout: float | None = None
    """Seconds of one attempt; None for the default of the gateway."""
    retries: int = 0
    on_failure: str = "stop"
    idempotent: bool | None = None
    """None if its source decides."""


@dataclass(frozen=True, slots=True)
class NewInput:
    """An input to insert."""

    reference: str
    name: str
    type: str
    enabled: bool
    label: str = ""
    help: str = ""
    required: bool = True
    min: float | None = None
    max: float | None = None
    step: float | None = None
    unit: str = ""
    pattern: str | None = None
    choices: Sequence[str] = ()
    default: str | None = None


async def insert_actions(
    transaction: Transaction, process_id: int, position: int, actions: Sequence[NewAction]
) -> list[int]:
    """Insert actions in order, starting at ``position``. Return their IDs in the same order."""
    rows = await transaction.fetch(
        """INSERT INTO action (process_id, position, source_id, action, enabled, arguments,
            subprocess_id, timeout, retries, on_failure, idempotent)
        SELECT $1, $2 + ordinal - 1, source_id, action, enabled, arguments::json, subprocess_id,
            timeout, retries, on_failure, idempotent
        FROM unnest($3::integer[], $4::text[], $5::boolean[], $6::text[], $7::integer[],
                $8::double precision[], $9::smallint[], $10::text[], $11::boolean[])
            WITH ORDINALITY
            AS new (source_id, action, enabled, arguments, subprocess_id, timeout, retries,
                on_failure, idempotent, ordinal)
        ORDER BY ordinal RETURNING id""",
        process_id,
        position,
        [action.source_id for action in actions],
        [action.action for action in actions],
        [action.enabled for action in actions],
        [action.arguments.decode() for action in actions],
        [action.subprocess_id for action in actions],
        [action.timeout for action in actions],
        [action.retries for action in actions],
        [action.on_failure for action in actions],
        [action.idempotent for action in actions],
    )
    return [row["id"] for row in rows]


async def insert_inputs(
    transaction: Transaction, process_id: int, position: int, inputs: Sequence[NewInput]
) -> list[int]:
    """Insert inputs in order, starting at ``position``. Return their IDs in the same order."""
    rows = await transaction.fetch(
        """INSERT INTO input (process_id, position, reference, name, type, enabled, label, help,
            required, min, max, step, unit, pattern, choices, default_value)
        SELECT $1, $2 + ordinal - 1, reference, name, type, enabled, label, help,
            required, min, max, step, unit, pattern,
            ARRAY(SELECT json_array_elements_text(choices::json)), default_value
        FROM unnest($3::text[], $4::text[], $5::text[], $6::boolean[], $7::text[], $8::text[],
                $9::boolean[], $10::double precision[], $11::double precision[],
                $12::double precision[], $13::text[], $14::text[], $15::text[], $16::text[])
            WITH ORDINALITY AS new (reference, name, type, enabled, label, help, required, min,
                max, step, unit, pattern, choices, default_value, ordinal)
        ORDER BY ordinal RETURNING id""",
        process_id,
        position,
        [new.reference for new in inputs],
        [new.name for new in inputs],
        [new.type for new in inputs],
        [new.enabled for new in inputs],
        [new.label for new in inputs],
        [new.help for new in inputs],
        [new.required for new in inputs],
        [new.min for new in inputs],
        [new.max for new in inputs],
        [new.step for new in inputs],
        [new.unit for new in inputs],
        [new.pattern for new in inputs],
        # Lists of different lengths are no array.
        [orjson.dumps(list(new.choices)).decode() for new in inputs],
        [new.default for new in inputs],
    )
    return [row["id"] for row in rows]


async def find_part(
    transaction: Transaction, table: str, part_id: int, only_profile: int | None
) -> tuple[int, int] | None:
    """Lock the process of an action or input (``table``). Return its ID and the part's position."""
    assert table in ("action", "input")
    process_id = await transaction.fetch_value(
        f"""SELECT process.id FROM {table} AS part JOIN process ON process.id = part.process_id
        WHERE part.id = $1 AND {VISIBLE} FOR NO KEY UPDATE OF process""",
        part_id,
        only_profile,
    )
    # Read this after taking the lock: its previous holder may have moved or deleted the part.
    position = await transaction.fetch_value(f"SELECT position FROM {table} WHERE id = $1", part_id)
    if isinstance(process_id, int) and isinstance(position, int):
        return process_id, position
    return None


async def find_input(transaction: Transaction, process_id: int, reference: str) -> int | None:
    """Return the ID of the input of a process that has this reference, or None."""
    input_id = await transaction.fetch_value(
        "SELECT id FROM input WHERE process_id = $1 AND reference = $2", process_id, reference
    )
    return input_id if isinstance(input_id, int) else None


async def count_parts(transaction: Transaction, table: str, process_id: int) -> int:
    """Return the number of actions or inputs (``table``) of a process: the last one's position."""
    assert table in ("action", "input")
    count = await transaction.fetch_value(
        f"SELECT count(*) FROM {table} WHERE process_id = $1", process_id
    )
    assert isinstance(count, int)
    return count


async def shift_parts(
    transaction: Transaction, table: str, process_id: int, first: int, last: int | None, by: int
) -> None:
    """Add ``by`` to the positions ``first`` to ``last`` (None: the end) of actions or inputs."""
    assert table in ("action", "input")
    await transaction.fetch(
        f"""UPDATE {table} SET position = position + $4
        WHERE process_id = $1 AND position >= $2 AND ($3::integer IS NULL OR position <= $3)""",
        process_id,
        first,
        last,
        by,
    )


async def place_part(transaction: Transaction, table: str, part_id: int, position: int) -> None:
    """Set the position of an action or input (``table``)."""
    assert table in ("action", "input")
    await transaction.fetch(f"UPDATE {table} SET position = $2 WHERE id = $1", part_id, position)


# Settings --------------------------------------------------------------------------------------

_COPIES = (
    """UPDATE process SET concurrency = original.concurrency, timeout = original.timeout, {touched}
    FROM ({original}) AS original WHERE process.id = $1""",
    """UPDATE action SET timeout = same.timeout, retries = same.retries,
        on_failure = same.on_failure, idempotent = same.idempotent
    FROM ({original}) AS original JOIN action AS same ON same.process_id = original.id
    WHERE action.process_id = $1 AND same.position = action.position
        AND same.source_id = action.source_id AND same.action = action.action""",
    """UPDATE input SET label = same.label, help = same.help, required = same.required,
        min = same.min, max = same.max, step = same.step, unit = same.unit,
        pattern = same.pattern, choices = same.choices, default_value = same.default_value
    FROM ({original}) AS original JOIN input AS same ON same.process_id = original.id
    WHERE input.process_id = $1 AND same.reference = input.reference AND same.type = input.type""",
)


async def copy_settings(
    transaction: Transaction, process_id: int, only_profile: int | None, original_id: int
) -> None:
    """Give a process the settings of another one, and those of the parts that both have.

    Actions are the same if they have the same position, source and action, inputs if they have the
    same reference and type. Does nothing if the profile cannot see the other process.
    """
    original = f"SELECT id, concurrency, timeout FROM process WHERE id = $3 AND {VISIBLE}"
    for statement in _COPIES:
        await transaction.fetch(
            statement.format(original=original, touched=TOUCHED),
            process_id,
            only_profile,
            original_id,
        )
