"""Lock and count the executions of a process: how many run at a time, and how many wait.

Executions are admitted under the lock of the row of their process, and so is the end of one that
flips it. Counting follows locking in a statement of its own, because a statement that waited for a
lock still counts what it saw before.
"""

from __future__ import annotations

from dataclasses import dataclass

from storage.database.transaction import Transaction

MAX_PARALLEL = 10
"""Executions of a process that run at the same time."""
MAX_QUEUED = 10
"""Executions of a process that wait."""


@dataclass(frozen=True, slots=True)
class Gate:
    """How many executions of a process run at a time.

    ``concurrency`` is ``single``, ``queued``, ``parallel``, ``restart``, or ``open`` for a dry run.
    """

    concurrency: str

    @property
    def limit(self) -> int:
        """The number of executions that run at the same time."""
        return MAX_PARALLEL if self.concurrency == "parallel" else 1

    @property
    def starts(self) -> str:
        """SQL: whether a new execution starts at once."""
        if self.concurrency == "open":
            return "true"
        return f"(at_gate.running < {self.limit} AND at_gate.queued = 0)"

    @property
    def admits(self) -> str:
        """SQL: whether a new execution is recorded. If it does not start at once, it waits."""
        if self.concurrency == "single":
            return self.starts
        if self.concurrency == "restart":
            return "true"  # those that wait are superseded
        return f"({self.starts} OR at_gate.queued < {MAX_QUEUED})"


def at_gate(process_id: str) -> str:
    """Return a table ``at_gate``: how many executions of a process are running and queued.

    Dry runs do not count: they act on nothing.
    """
    return f"""(SELECT count(*) FILTER (WHERE status = 'running') AS running,
            count(*) FILTER (WHERE status = 'queued') AS queued
        FROM execution
        WHERE process_id = {process_id} AND status IN ('queued', 'running') AND NOT dry_run
    ) AS at_gate"""


async def lock_gate(transaction: Transaction, process_id: int) -> bool | None:
    """Lock the gate of a process until the transaction ends.

    Returns:
        The state of the process, or None if it does not exist.
    """
    row = await transaction.fetch_row(
        "SELECT enabled FROM process WHERE id = $1 FOR NO KEY UPDATE", process_id
    )
    return None if row is None else row["enabled"]


async def next_in_line(transaction: Transaction, process_id: int, gate: Gate) -> int | None:
    """Return the execution that may begin now, or None. The caller holds the lock."""
    row = await transaction.fetch_row(
        f"""SELECT (
            SELECT min(id) FROM execution
            WHERE process_id = $1 AND status = 'queued' AND NOT dry_run
        ) AS id FROM {at_gate("$1")} WHERE at_gate.running < {gate.limit}""",
        process_id,
    )
    return None if row is None else row["id"]


async def is_busy(transaction: Transaction, process_id: int, gate: Gate) -> bool:
    """Whether a new execution would not start at once. The caller holds the lock."""
    row = await transaction.fetch_row(
        f"""SELECT NOT {gate.starts} AS busy FROM {at_gate("$1")}""", process_id
    )
    return row is not None and row["busy"]


async def read_end(transaction: Transaction, execution_id: int) -> tuple[str, str | None] | None:
    """Return the status and error code of an execution that waited and was ended; else None."""
    row = await transaction.fetch_row(
        "SELECT status, error_code FROM execution WHERE id = $1 AND status <> 'queued'",
        execution_id,
    )
    return None if row is None else (row["status"], row["error_code"])
