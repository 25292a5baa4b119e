"""In charge of writing processes: their actions, inputs, authorisations, and the calls among them.

Every function runs inside the caller's transaction. ``only_profile`` limits what exists to the
processes that this profile is authorised on; None is for viewers who see all.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from storage.database.database import Transaction

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
