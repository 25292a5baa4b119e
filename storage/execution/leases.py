"""Keep the leases of workers, and find the executions that nobody runs.

A worker may run executions while it has a lease. PostgreSQL's clock alone decides when a lease
ends. One that has ended is never renewed, so whoever finds it ended can rely on that.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from storage.database.database import Database
from storage.database.rows import Reader

LEASE_SECONDS = 6.0
"""Seconds for which a lease is valid after it was renewed."""
MAX_TAKEOVERS = 3
"""Times that an execution is taken over from a worker that failed."""
QUEUE_MINUTES = 10
"""Minutes that an execution waits at most."""

_LIVE = "SELECT id FROM worker WHERE lease_until > clock_timestamp()"
_LEASE_END = f"clock_timestamp() + interval '{LEASE_SECONDS} seconds'"


async def take_lease(database: Database, worker: UUID) -> None:
    """Record a new worker, and remove those whose leases ended long ago."""
    await database.write(
        f"""WITH gone AS (
            DELETE FROM worker WHERE lease_until < clock_timestamp() - interval '1 hour'
        )
        INSERT INTO worker (id, lease_until) VALUES ($1, {_LEASE_END})""",
        worker,
    )


async def renew_lease(database: Database, worker: UUID) -> bool:
    """Renew a lease. Return False if it has ended."""
    row = await database.write(
        f"""UPDATE worker SET lease_until = {_LEASE_END}
        WHERE id = $1 AND lease_until > clock_timestamp() RETURNING id""",
        worker,
    )
    return row is not None


async def end_lease(database: Database, worker: UUID) -> None:
    """End a lease now. Others take over what the worker ran."""
    await database.write(
        "UPDATE worker SET lease_until = '-infinity' WHERE id = $1 RETURNING id", worker
    )


@dataclass(frozen=True, slots=True)
class Taken:
    """An execution that a worker has taken over."""

    id: int
    seq: int
    failed: bool
    """Whether the owner before has failed. Otherwise, it gave the execution up."""


async def take_over(
    database: Database, worker: UUID, most: int, lost: Sequence[int] = ()
) -> Sequence[Taken]:
    """Take over executions that run, and whose owner has no lease. The worker itself must have one.

    Only an owner that did not give the execution up counts as a takeover.

    Args:
        database: The database.
        worker: The new owner.
        most: How many it takes at most.
        lost: Executions of the worker itself that it does not run, and takes as well.
    """
    rows = await database.write_rows(
        f"""UPDATE execution SET owner = $1, seq = execution.seq + 1,
            takeovers = takeovers + found.failed::integer
        FROM (
            SELECT id, owner IS NOT NULL AS failed FROM execution
            WHERE status = 'running' AND root_id IS NULL AND engine = 'embedded'
                AND $1 IN ({_LIVE}) AND (
                owner IS NULL OR owner NOT IN ({_LIVE})
                OR (owner = $1 AND id = ANY ($3::integer[]))
            )
            ORDER BY id LIMIT $2 FOR NO KEY UPDATE SKIP LOCKED
        ) AS found WHERE execution.id = found.id
        RETURNING execution.id, execution.seq, found.failed""",
        worker,
        most,
        list(lost),
    )
    return [Taken(**row) for row in rows]


@dataclass(frozen=True, slots=True)
class Due:
    """What a worker finds when it looks around."""

    orphans: bool
    """Whether there are executions that nobody runs."""
    own: Sequence[int]
    """The executions of the worker itself."""
    cancelled: Sequence[int]
    """Those of them that are to be cancelled."""
    waiting: Sequence[int]
    """The processes that have executions waiting."""
    expired: bool
    """Whether an execution has waited for too long."""


async def look_around(database: Reader, worker: UUID) -> Due:
    """Return what there is to do for a worker, with one statement that locks nothing."""
    rows = await database.fetch(
        f"""SELECT
            EXISTS (
                SELECT FROM execution WHERE status = 'running' AND root_id IS NULL
                    AND engine = 'embedded' AND (owner IS NULL OR owner NOT IN ({_LIVE}))
            ) AS orphans,
            ARRAY (
                SELECT id FROM execution WHERE status = 'running' AND root_id IS NULL
                    AND owner = $1
            ) AS own,
            ARRAY (
                SELECT id FROM execution WHERE status = 'running' AND root_id IS NULL
                    AND owner = $1 AND cancel_requested_at IS NOT NULL
            ) AS cancelled,
            ARRAY (
                SELECT DISTINCT process_id FROM execution
                WHERE status = 'queued' AND root_id IS NULL AND process_id IS NOT NULL
                    AND engine = 'embedded'
            ) AS waiting,
            EXISTS (
                SELECT FROM execution
                WHERE status = 'queued' AND root_id IS NULL AND engine = 'embedded' AND (
                    process_id IS NULL
                    OR requested_at < clock_timestamp() - interval '{QUEUE_MINUTES} minutes'
                )
            ) AS expired""",
        worker,
    )
    return Due(**rows[0])


async def expire_queued(database: Database) -> None:
    """End the executions that have waited for too long, or whose process was deleted."""
    await database.write(
        f"""UPDATE execution SET status = 'cancelled', seq = seq + 1,
            finished_at = clock_timestamp(), error_code = 'queue_expired',
            error = CASE WHEN process_id IS NULL THEN 'its process was deleted while it waited'
                ELSE 'it waited longer than {QUEUE_MINUTES} minutes' END
        WHERE status = 'queued' AND root_id IS NULL AND engine = 'embedded' AND (
            process_id IS NULL
            OR requested_at < clock_timestamp() - interval '{QUEUE_MINUTES} minutes'
        )"""
    )
