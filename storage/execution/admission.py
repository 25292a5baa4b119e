"""Record the executions that callers ask for, start those that wait, and cancel.

Every function runs in the caller's transaction. Where a gate is mentioned, it holds its lock.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from storage.database.rows import Reader
from storage.database.transaction import Transaction
from storage.execution.gates import Gate, at_gate
from storage.writes.arguments import arguments_json

KEY_HOURS = 24
"""Hours for which an idempotency key is kept."""


@dataclass(frozen=True, slots=True)
class NewExecution:
    """An execution to record."""

    process_id: int
    process_reference: str
    process_name: str
    profile_id: int
    profile_name: str
    inputs: Sequence[tuple[str, str]]
    """The values to run with; those by reference while it waits."""
    supplied: bytes
    """JSON: ``{"inputs": [[reference, value], …], "values": [value, …]}``."""
    enabled: bool
    definition_hash: bytes
    definition: bytes
    timeout: float
    """Seconds that it may take."""
    trigger: str = "request"
    key: str | None = None
    request_hash: bytes | None = None
    dry_run: bool = False
    replay_of: int | None = None
    replay_from: int | None = None


@dataclass(frozen=True, slots=True)
class Admitted:
    """An execution that was recorded."""

    id: int
    status: str
    """``running`` or ``queued``."""
    requested_at: datetime


async def find_by_key(database: Reader, profile_id: int, key: str) -> tuple[int, bytes] | None:
    """Return the execution that a profile asked for with a key: its ID and the request's hash."""
    rows = await database.fetch(
        f"""SELECT id, request_hash FROM execution WHERE profile_id = $1 AND idempotency_key = $2
            AND requested_at > clock_timestamp() - interval '{KEY_HOURS} hours'""",
        profile_id,
        key,
    )
    return (rows[0]["id"], rows[0]["request_hash"]) if rows else None


async def record_execution(
    transaction: Transaction, new: NewExecution, gate: Gate, owner: UUID
) -> Admitted | None:
    """Record an execution, which starts at once or waits.

    Returns:
        None if the gate does not admit it, or another execution has its key.
    """
    if new.key is not None:  # one that is no longer kept
        await transaction.fetch(
            f"""UPDATE execution SET idempotency_key = NULL
            WHERE profile_id = $1 AND idempotency_key = $2
                AND requested_at <= clock_timestamp() - interval '{KEY_HOURS} hours'""",
            new.profile_id,
            new.key,
        )
    row = await transaction.fetch_row(
        f"""WITH stored AS (
            INSERT INTO definition (hash, body) VALUES ($9, $10) ON CONFLICT DO NOTHING
        )
        INSERT INTO execution (process_id, process_reference, process_name, profile_id,
            profile_name, inputs, supplied, enabled, definition, timeout, trigger, idempotency_key,
            request_hash, dry_run, replay_of, replay_from, status, owner, deadline)
        SELECT $1, $2, $3, $4, $5, $6, $7, $8, $9, $11::float8, $12, $13, $14, $15, $16, $17,
            CASE WHEN starts THEN 'running' ELSE 'queued' END,
            CASE WHEN starts THEN $18::uuid END,
            CASE WHEN starts THEN clock_timestamp() + make_interval(secs => $11::float8) END
        FROM (SELECT {gate.starts} AS starts FROM {at_gate("$1")} WHERE {gate.admits}) AS gate
        ON CONFLICT (profile_id, idempotency_key) WHERE idempotency_key IS NOT NULL DO NOTHING
        RETURNING id, status, requested_at""",
        new.process_id,
        new.process_reference,
        new.process_name,
        new.profile_id,
        new.profile_name,
        arguments_json(new.inputs),
        new.supplied,
        new.enabled,
        new.definition_hash,
        new.definition,
        new.timeout,
        new.trigger,
        new.key,
        new.request_hash,
        new.dry_run,
        new.replay_of,
        new.replay_from,
        owner,
    )
    return None if row is None else Admitted(**row)


async def skip_steps(
    transaction: Transaction, execution_id: int, replayed: int, first: int
) -> None:
    """Record the steps of a replayed execution before ``first`` as skipped."""
    await transaction.fetch(
        """INSERT INTO execution_step (execution_id, position, source_name, action, arguments,
            subprocess_id, status, started_at, finished_at)
        SELECT $1, position, source_name, action, arguments, subprocess_id, 'skipped',
            clock_timestamp(), clock_timestamp()
        FROM execution_step WHERE execution_id = $2 AND position < $3""",
        execution_id,
        replayed,
        first,
    )


async def supersede(transaction: Transaction, process_id: int, by: int) -> list[int]:
    """Cancel the executions of a process that run, and end those that wait, all but one.

    The owner of a nested execution that waited finds its end when it looks at the gate again.

    Args:
        transaction: Holds the lock of the gate.
        process_id: The process.
        by: The root that supersedes the others.

    Returns:
        The roots of those that were canceled.
    """
    cancelled = await transaction.fetch(
        """UPDATE execution SET cancel_requested_at = clock_timestamp()
        WHERE cancel_requested_at IS NULL AND status = 'running' AND id <> $2 AND id IN (
            SELECT coalesce(root_id, id) FROM execution
            WHERE process_id = $1 AND status = 'running' AND NOT dry_run
        ) RETURNING id""",
        process_id,
        by,
    )
    await transaction.fetch(
        """UPDATE execution SET status = 'cancelled', error_code = 'superseded',
            error = 'a later execution of the process replaced it',
            finished_at = clock_timestamp(), seq = seq + 1
        WHERE process_id = $1 AND status = 'queued' AND NOT dry_run
            AND coalesce(root_id, id) <> $2""",
        process_id,
        by,
    )
    return [row["id"] for row in cancelled]


@dataclass(frozen=True, slots=True)
class QueuedExecution:
    """The execution of a process that waits for the longest time."""

    id: int
    definition: bytes
    supplied: bytes


async def first_in_line(transaction: Transaction, process_id: int) -> QueuedExecution | None:
    """Return the execution that waits for the longest time at the gate of a process.

    Returns:
        None if none waits, or if it is nested: then its owner begins it.
    """
    row = await transaction.fetch_row(
        """SELECT execution.id, body AS definition, supplied
        FROM execution LEFT JOIN definition ON hash = definition
        WHERE process_id = $1 AND status = 'queued' AND NOT dry_run AND engine = 'embedded'
        ORDER BY execution.id LIMIT 1""",
        process_id,
    )
    return None if row is None or row["definition"] is None else QueuedExecution(**row)


async def begin_queued(
    transaction: Transaction,
    execution_id: int,
    inputs: Sequence[tuple[str, str]],
    *,
    enabled: bool,
    owner: UUID,
) -> int | None:
    """Start an execution that waited. Return its ``seq``, or None if it has ended meanwhile."""
    row = await transaction.fetch_row(
        """UPDATE execution SET status = 'running', owner = $2, seq = seq + 1, inputs = $3,
            enabled = $4, started_at = clock_timestamp(),
            deadline = clock_timestamp() + make_interval(secs => timeout)
        WHERE id = $1 AND status = 'queued' RETURNING seq""",
        execution_id,
        owner,
        arguments_json(inputs),
        enabled,
    )
    return None if row is None else row["seq"]


async def end_queued(
    transaction: Transaction, execution_id: int, status: str, error: str, error_code: str
) -> None:
    """End an execution that waits."""
    await transaction.fetch(
        """UPDATE execution SET status = $2, error = $3, error_code = $4, seq = seq + 1,
            finished_at = clock_timestamp()
        WHERE id = $1 AND status = 'queued'""",
        execution_id,
        status,
        error,
        error_code,
    )


async def request_cancel(transaction: Transaction, execution_id: int) -> str | None:
    """Ask for the end of an execution that runs, or end one that waits.

    Returns:
        Its status afterwards; None if it had ended before.
    """
    row = await transaction.fetch_row(
        """UPDATE execution SET
            cancel_requested_at = coalesce(cancel_requested_at, clock_timestamp()),
            status = CASE status WHEN 'queued' THEN 'cancelled' ELSE status END,
            error = CASE status WHEN 'queued' THEN 'it was cancelled' END,
            error_code = CASE status WHEN 'queued' THEN 'cancelled' END,
            finished_at = CASE status WHEN 'queued' THEN clock_timestamp() END,
            seq = CASE status WHEN 'queued' THEN seq + 1 ELSE seq END
        WHERE id = $1 AND status IN ('queued', 'running') RETURNING status""",
        execution_id,
    )
    return None if row is None else row["status"]
