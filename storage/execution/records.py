"""Read the records that the engine goes on from and waits for, and delete old ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from storage.database.database import Database
from storage.database.rows import Reader, Row

RETENTION_DAYS = 30
"""Days for which executions that have ended are kept."""
ALWAYS_KEPT = 10
"""Executions of each process and outcome that are kept however old they are."""
_BATCH = 500
"""Executions that are deleted in one statement."""


@dataclass(frozen=True, slots=True)
class FenceState:
    """What a worker reads after a transition that was not acknowledged, or did not hold."""

    seq: int
    owner: UUID | None
    status: str
    cancel_requested: bool
    error: str | None
    error_code: str | None


async def read_fence(database: Reader, root_id: int) -> FenceState | None:
    """Return the fence of a tree as it is now, or None if it was deleted."""
    rows = await database.fetch(
        """SELECT seq, owner, status, cancel_requested_at IS NOT NULL AS cancel_requested, error,
            error_code
        FROM execution WHERE id = $1""",
        root_id,
    )
    return FenceState(**rows[0]) if rows else None


@dataclass(frozen=True, slots=True)
class TreeRecord:
    """The records of a tree: the root, what is nested in it, and all steps."""

    definition: bytes
    root: Row
    """The columns of a root, and ``seconds_left`` until its deadline."""
    executions: Sequence[Row]
    steps: Sequence[Row]


async def read_tree(database: Reader, root_id: int) -> TreeRecord | None:
    """Return the records of a tree that runs, or None if it was deleted."""
    rows = await database.fetch(
        """SELECT execution.id, body AS definition, requested_at, timeout, takeovers, dry_run,
            cancel_requested_at IS NOT NULL AS cancel_requested,
            extract(epoch FROM deadline - clock_timestamp())::float8 AS seconds_left
        FROM execution JOIN definition ON hash = definition WHERE execution.id = $1""",
        root_id,
    )
    if not rows:
        return None
    executions = await database.fetch(
        """SELECT id, status, error, error_code, inputs, enabled, parent_step_id
        FROM execution WHERE id = $1 OR root_id = $1 ORDER BY id""",
        root_id,
    )
    steps = await database.fetch(
        """SELECT id, execution_id, position, status, error, error_code, in_doubt, attempt,
            arguments, extract(epoch FROM retry_at - clock_timestamp())::float8 AS retry_in
        FROM execution_step WHERE execution_id = ANY ($1::integer[])
        ORDER BY execution_id, position""",
        [row["id"] for row in executions],
    )
    return TreeRecord(rows[0]["definition"], rows[0], executions, steps)


@dataclass(frozen=True, slots=True)
class Ended:
    """How an execution has ended."""

    id: int
    process_reference: str
    status: str
    error: str | None
    error_code: str | None
    in_doubt: bool
    """Whether a step of it, or of an execution nested in it, is in doubt."""


async def read_ended(database: Reader, ids: Sequence[int]) -> list[Ended]:
    """Return how those of these executions ended that have ended."""
    rows = await database.fetch(
        """SELECT id, process_reference, status, error, error_code, EXISTS (
            SELECT FROM execution_step WHERE in_doubt AND execution_id IN (
                SELECT execution.id UNION ALL
                SELECT nested.id FROM execution AS nested WHERE nested.root_id = execution.id
            )
        ) AS in_doubt
        FROM execution WHERE id = ANY ($1::integer[]) AND status NOT IN ('queued', 'running')""",
        list(ids),
    )
    return [Ended(**row) for row in rows]


async def read_executed(
    database: Reader, execution_id: int, only_profile: int | None
) -> Row | None:
    """Return what a viewer needs to cancel or replay an execution, or None if it cannot see it.

    The columns: id, root_id, process_id, process_reference, process_name, status, enabled,
    dry_run, supplied, definition (JSON or None), steps (their number).
    """
    rows = await database.fetch(
        """SELECT id, root_id, process_id, process_reference, process_name, status, enabled,
            dry_run, supplied, (SELECT body FROM definition WHERE hash = definition) AS definition,
            (SELECT count(*) FROM execution_step WHERE execution_id = execution.id) AS steps
        FROM execution WHERE id = $1 AND ($2::integer IS NULL OR CASE
            WHEN process_id IS NULL THEN profile_id = $2
            ELSE EXISTS (SELECT FROM authorisation
                WHERE process_id = execution.process_id AND profile_id = $2) END)""",
        execution_id,
        only_profile,
    )
    return rows[0] if rows else None


async def delete_old(database: Database) -> int:
    """Delete one batch of executions that are not kept any longer. Return how many roots.

    Those nested in them, and the definitions that nothing refers to, are deleted with them.
    """
    rows: Sequence[Any] = await database.write_rows(
        f"""WITH old AS (
            SELECT id FROM (
                SELECT id, finished_at, row_number() OVER (
                    PARTITION BY process_id, process_reference, status ORDER BY id DESC
                ) AS place
                FROM execution
                WHERE root_id IS NULL AND status NOT IN ('queued', 'running')
            ) AS ended
            WHERE place > {ALWAYS_KEPT}
                AND finished_at < clock_timestamp() - interval '{RETENTION_DAYS} days'
            ORDER BY id LIMIT {_BATCH}
        )
        DELETE FROM execution USING old WHERE execution.id = old.id RETURNING execution.id"""
    )
    await database.write_rows(
        """DELETE FROM definition WHERE NOT EXISTS (
            SELECT FROM execution WHERE execution.definition = definition.hash)"""
    )
    return len(rows)
