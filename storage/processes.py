"""In charge of writing processes: their actions, inputs, authorisations, and the calls among them.

Every function runs inside the caller's transaction. ``only_profile`` limits what exists to the
processes that this profile is authorised on; None is for viewers who see all.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from storage.database import Transaction

_CALLS_LOCK = 0x63616C6C
"""Key of the advisory lock under which calls between processes are added: two that are harmless
alone could close a cycle together."""

_HIDDEN = "…"
"""What stands for processes that the viewer may not see."""

_BULK_LOCK = 0x62756C6B
"""Key of the advisory lock under which many processes are changed at once."""

_VISIBLE = """($2::integer IS NULL OR EXISTS (
    SELECT FROM authorisation WHERE process_id = process.id AND profile_id = $2))"""


@dataclass(frozen=True, slots=True)
class ProcessRow:
    """A process without its parts."""

    id: int
    reference: str
    name: str
    mode: str
    enabled: bool


@dataclass(frozen=True, slots=True)
class CalledProcess:
    """A process that an action is to run."""

    id: int
    reference: str


@dataclass(frozen=True, slots=True)
class SourceRow:
    """A source that an action is to act on."""

    id: int
    name: str
    kind: str


@dataclass(frozen=True, slots=True)
class NewAction:
    """An action to insert, with the rows that it refers to."""

    source_id: int
    action: str
    enabled: bool
    arguments: bytes
    """JSON: ``[{"reference": …, "value": …}]``."""
    subprocess_id: int | None


@dataclass(frozen=True, slots=True)
class NewInput:
    """An input to insert."""

    reference: str
    name: str
    type: str
    enabled: bool


async def lock_process(
    transaction: Transaction, process_id: int, only_profile: int | None
) -> ProcessRow | None:
    """The process, kept from other writers until the transaction ends; None where there is none."""
    row = await transaction.fetch_row(
        f"""SELECT id, reference, name, mode, enabled FROM process
        WHERE id = $1 AND {_VISIBLE} FOR NO KEY UPDATE""",
        process_id,
        only_profile,
    )
    return ProcessRow(**row) if row is not None else None


async def find_called(
    transaction: Transaction,
    references: Sequence[str],
    ids: Sequence[int],
    only_profile: int | None,
) -> list[CalledProcess]:
    """Those of these processes that exist, by reference or by id."""
    rows = await transaction.fetch(
        f"""SELECT id, reference FROM process
        WHERE (reference = ANY ($1::text[]) OR id = ANY ($3::integer[])) AND {_VISIBLE}""",
        list(references),
        only_profile,
        list(ids),
    )
    return [CalledProcess(**row) for row in rows]


async def find_sources(
    transaction: Transaction, names: Sequence[str], ids: Sequence[int]
) -> list[SourceRow]:
    """Those of these sources that exist, by name or by id."""
    rows = await transaction.fetch(
        """SELECT id, name, kind FROM source
        WHERE name = ANY ($1::text[]) OR id = ANY ($2::integer[])""",
        list(names),
        list(ids),
    )
    return [SourceRow(**row) for row in rows]


async def callers(
    transaction: Transaction, process_id: int, only_profile: int | None
) -> tuple[list[str], int]:
    """Who runs the process: the references that may be named, and how many there are in all."""
    rows = await transaction.fetch(
        f"""SELECT reference, {_VISIBLE} AS visible FROM process
        WHERE id IN (SELECT process_id FROM action WHERE subprocess_id = $1) AND id <> $1
        ORDER BY reference""",
        process_id,
        only_profile,
    )
    return [row["reference"] for row in rows if row["visible"]], len(rows)


async def update_texts(transaction: Transaction, changes: bytes, only_profile: int | None) -> int:
    """Change many processes in one statement; returns how many of them exist.

    Args:
        changes: JSON, a list of objects that each have the ``database_id`` of another process, and
            those texts that change, by column. One document costs asyncpg nothing to encode, where
            arrays of 10,000 texts take it longer than PostgreSQL takes to read the document.
    """
    found = await transaction.fetch_value(
        # Such writes follow each other. Two that lock the same rows in another order would each
        # wait for the other; to lock rows in order first would write each of them twice.
        f"""WITH alone AS MATERIALIZED (SELECT pg_advisory_xact_lock({_BULK_LOCK})), changed AS (
            UPDATE process SET
                name = coalesce(change.name, process.name),
                name_enable = coalesce(change.name_enable, process.name_enable),
                name_disable = coalesce(change.name_disable, process.name_disable),
                description = coalesce(change.description, process.description),
                icon = coalesce(change.icon, process.icon)
            FROM alone, json_to_recordset($1::json) AS change (
                database_id integer,
                name text,
                name_enable text,
                name_disable text,
                description text,
                icon text
            )
            WHERE process.id = change.database_id AND {_VISIBLE}
            RETURNING process.id
        ) SELECT count(*) FROM changed""",
        changes,
        only_profile,
    )
    assert isinstance(found, int)
    return found


async def existing_ids(
    transaction: Transaction, ids: Sequence[int], only_profile: int | None
) -> set[int]:
    """Those of the ids that are of processes which the viewer knows of."""
    rows = await transaction.fetch(
        f"SELECT id FROM process WHERE id = ANY ($1::integer[]) AND {_VISIBLE}", ids, only_profile
    )
    return {row["id"] for row in rows}


# Actions and inputs ----------------------------------------------------------------------------


async def insert_actions(
    transaction: Transaction, process_id: int, position: int, actions: Sequence[NewAction]
) -> list[int]:
    """Insert actions in this order from ``position`` on; returns their ids in order."""
    rows = await transaction.fetch(
        """INSERT INTO action
            (process_id, position, source_id, action, enabled, arguments, subprocess_id)
        SELECT $1, $2 + place - 1, source_id, action, enabled, arguments::json, subprocess_id
        FROM unnest($3::integer[], $4::text[], $5::boolean[], $6::text[], $7::integer[])
            WITH ORDINALITY
            AS new (source_id, action, enabled, arguments, subprocess_id, place)
        ORDER BY place RETURNING id""",
        process_id,
        position,
        [action.source_id for action in actions],
        [action.action for action in actions],
        [action.enabled for action in actions],
        [action.arguments.decode() for action in actions],
        [action.subprocess_id for action in actions],
    )
    return [row["id"] for row in rows]


async def insert_inputs(
    transaction: Transaction, process_id: int, position: int, inputs: Sequence[NewInput]
) -> list[int]:
    """Insert inputs in this order from ``position`` on; returns their ids in order."""
    rows = await transaction.fetch(
        """INSERT INTO input (process_id, position, reference, name, type, enabled)
        SELECT $1, $2 + place - 1, reference, name, type, enabled
        FROM unnest($3::text[], $4::text[], $5::text[], $6::boolean[])
            WITH ORDINALITY AS new (reference, name, type, enabled, place)
        ORDER BY place RETURNING id""",
        process_id,
        position,
        [new.reference for new in inputs],
        [new.name for new in inputs],
        [new.type for new in inputs],
        [new.enabled for new in inputs],
    )
    return [row["id"] for row in rows]


async def find_part(
    transaction: Transaction, table: str, part_id: int, only_profile: int | None
) -> tuple[int, int] | None:
    """The process and the position of an action or input (``table``), the process locked."""
    assert table in ("action", "input")
    process_id = await transaction.fetch_value(
        f"""SELECT process.id FROM {table} AS part JOIN process ON process.id = part.process_id
        WHERE part.id = $1 AND {_VISIBLE} FOR NO KEY UPDATE OF process""",
        part_id,
        only_profile,
    )
    # Read once the lock is held: whoever held it before may have moved or removed the part.
    position = await transaction.fetch_value(f"SELECT position FROM {table} WHERE id = $1", part_id)
    if isinstance(process_id, int) and isinstance(position, int):
        return process_id, position
    return None


async def find_input(transaction: Transaction, process_id: int, reference: str) -> int | None:
    """The id of a process's input, by its reference."""
    found = await transaction.fetch_value(
        "SELECT id FROM input WHERE process_id = $1 AND reference = $2", process_id, reference
    )
    return found if isinstance(found, int) else None


async def count_parts(transaction: Transaction, table: str, process_id: int) -> int:
    """How many actions or inputs (``table``) a process has, which is the last one's position."""
    assert table in ("action", "input")
    found = await transaction.fetch_value(
        f"SELECT count(*) FROM {table} WHERE process_id = $1", process_id
    )
    assert isinstance(found, int)
    return found


async def shift_parts(
    transaction: Transaction, table: str, process_id: int, first: int, last: int | None, by: int
) -> None:
    """Move the actions or inputs (``table``) at positions ``first`` to ``last`` by some places."""
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
    """Give an action or input (``table``) its position."""
    assert table in ("action", "input")
    await transaction.fetch(f"UPDATE {table} SET position = $2 WHERE id = $1", part_id, position)


# Calls -----------------------------------------------------------------------------------------


async def lock_calls(transaction: Transaction) -> None:
    """Let no other transaction add calls between processes until this one ends."""
    await transaction.fetch("SELECT pg_advisory_xact_lock($1)", _CALLS_LOCK)


async def find_cycle(
    transaction: Transaction, process_id: int, only_profile: int | None
) -> list[str] | None:
    """The references along a way from a process through its calls back to it; None if there is
    none. Whoever added calls has to hold ``lock_calls``. Processes that the profile may not see
    show as one "…", however many they are.
    """
    rows = await transaction.fetch(
        f"""WITH RECURSIVE reached (id) AS (
            SELECT $1::integer
            UNION SELECT subprocess_id FROM reached JOIN action ON process_id = reached.id
            WHERE subprocess_id IS NOT NULL
        )
        SELECT DISTINCT process_id, subprocess_id,
            CASE WHEN {_VISIBLE} THEN process.reference ELSE '{_HIDDEN}' END AS reference
        FROM reached JOIN action ON process_id = reached.id
            JOIN process ON process.id = subprocess_id""",
        process_id,
        only_profile,
    )
    calls: dict[int, list[tuple[int, str]]] = {}
    for row in rows:
        calls.setdefault(row["process_id"], []).append((row["subprocess_id"], row["reference"]))
    # Breadth first, so that the shortest way is named.
    ways: dict[int, list[str]] = {process_id: []}
    pending = [process_id]
    for caller in pending:
        for called, reference in calls.get(caller, ()):
            way = ways[caller]
            if called == process_id:
                return [reference, *way, reference]
            if called not in ways:
                hidden_again = reference == _HIDDEN and way[-1:] == [_HIDDEN]
                ways[called] = way if hidden_again else [*way, reference]
                pending.append(called)
    return None


# Authorisations --------------------------------------------------------------------------------


async def authorise(transaction: Transaction, process_id: int, profile_ids: Sequence[int]) -> None:
    """Authorise profiles on a process; those that are so already stay so."""
    await transaction.fetch(
        """INSERT INTO authorisation (process_id, profile_id)
        SELECT $1, unnest($2::integer[]) ON CONFLICT DO NOTHING""",
        process_id,
        list(profile_ids),
    )


async def unauthorise(transaction: Transaction, process_id: int, profile_id: int | None) -> None:
    """Take back the authorisation of a profile on a process, or of all (None)."""
    await transaction.fetch(
        """DELETE FROM authorisation
        WHERE process_id = $1 AND ($2::integer IS NULL OR profile_id = $2)""",
        process_id,
        profile_id,
    )
