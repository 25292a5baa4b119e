"""Lock and change processes and their authorizations.

Every function runs in the caller's transaction. ``only_profile`` is the profile whose authorized
processes exist for the caller. None stands for viewers who see all processes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from storage.database.transaction import Transaction
from storage.reads.versions import PROCESS_VERSION
from storage.writes.rows import TOUCHED

_BULK_LOCK = 0x62756C6B
"""The key of the advisory lock for changing many processes in one statement."""

VISIBLE = """($2::integer IS NULL OR EXISTS (
    SELECT FROM authorisation WHERE process_id = process.id AND profile_id = $2))"""
"""The SQL condition that a row of ``process`` is visible to the profile in parameter 2."""


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
    """Lock a process against other writers until the transaction ends. Return it, or None."""
    row = await transaction.fetch_row(
        f"""SELECT id, reference, name, mode, enabled FROM process
        WHERE id = $1 AND {VISIBLE} FOR NO KEY UPDATE""",
        process_id,
        only_profile,
    )
    return ProcessRow(**row) if row is not None else None


async def update_texts(transaction: Transaction, changes: bytes, only_profile: int | None) -> int:
    """Change the texts of many processes in one statement. Return how many of them exist.

    Args:
        transaction: The caller's transaction.
        changes: A JSON list of objects. Each has the ``database_id`` of a different process, and
            the new texts by column. A document costs asyncpg nothing to encode, while it needs
            longer to encode arrays of 10,000 texts than PostgreSQL needs to read the document.
        only_profile: See the module.
    """
    count = await transaction.fetch_value(
        # The advisory lock serializes these writes. Without it, two that lock the same rows in
        # different orders would deadlock. Locking the rows in order first would write each twice.
        f"""WITH alone AS MATERIALIZED (SELECT pg_advisory_xact_lock({_BULK_LOCK})), changed AS (
            UPDATE process SET
                name = coalesce(change.name, process.name),
                name_enable = coalesce(change.name_enable, process.name_enable),
                name_disable = coalesce(change.name_disable, process.name_disable),
                description = coalesce(change.description, process.description),
                icon = coalesce(change.icon, process.icon),
                {TOUCHED}
            FROM alone, json_to_recordset($1::json) AS change (
                database_id integer,
                name text,
                name_enable text,
                name_disable text,
                description text,
                icon text
            )
            WHERE process.id = change.database_id AND {VISIBLE}
            RETURNING process.id
        ) SELECT count(*) FROM changed""",
        changes,
        only_profile,
    )
    assert isinstance(count, int)
    return count


async def lock_processes(transaction: Transaction, process_ids: Sequence[int]) -> None:
    """Lock many processes against other writers until the transaction ends."""
    # Under the lock of bulk updates, so that two of them do not wait for each other's rows.
    await transaction.fetch("SELECT pg_advisory_xact_lock($1)", _BULK_LOCK)
    await transaction.fetch(
        "SELECT FROM process WHERE id = ANY ($1::integer[]) ORDER BY id FOR NO KEY UPDATE",
        process_ids,
    )


async def read_versions(transaction: Transaction, process_ids: Sequence[int]) -> dict[int, str]:
    """Return the versions of the processes that exist, by ID."""
    rows = await transaction.fetch(
        f"""SELECT id, {PROCESS_VERSION.format(t="process")} AS version
        FROM process WHERE id = ANY ($1::integer[])""",
        process_ids,
    )
    return {row["id"]: row["version"] for row in rows}


async def missing_items(
    transaction: Transaction, ids: Sequence[int], only_profile: int | None, most: int
) -> tuple[Sequence[int], int]:
    """Look for IDs that belong to no process, or to one that is not visible.

    Args:
        most: The most indices to return.

    Returns:
        The indices of the first ones in the list, and the number of all.
    """
    rows = await transaction.fetch(
        f"""SELECT number - 1 AS index, count(*) OVER () AS count
        FROM unnest($1::integer[]) WITH ORDINALITY AS asked (id, number)
        WHERE NOT EXISTS (SELECT FROM process WHERE process.id = asked.id AND {VISIBLE})
        ORDER BY number LIMIT $3""",
        ids,
        only_profile,
        most,
    )
    return [row["index"] for row in rows], rows[0]["count"] if rows else 0


# Authorizations --------------------------------------------------------------------------------


async def authorize(transaction: Transaction, process_id: int, profile_ids: Sequence[int]) -> None:
    """Authorize profiles on a process. Skip those that are authorized already."""
    await transaction.fetch(
        """INSERT INTO authorisation (process_id, profile_id)
        SELECT $1, unnest($2::integer[]) ON CONFLICT DO NOTHING""",
        process_id,
        list(profile_ids),
    )


async def unauthorize(transaction: Transaction, process_id: int, profile_id: int | None) -> None:
    """Remove the authorization of a profile on a process, or of all profiles (None)."""
    await transaction.fetch(
        """DELETE FROM authorisation
        WHERE process_id = $1 AND ($2::integer IS NULL OR profile_id = $2)""",
        process_id,
        profile_id,
    )
