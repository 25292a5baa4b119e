"""Read the rows that actions refer to, and check the calls between processes.

Every function runs in the caller's transaction. ``only_profile`` is the profile whose authorized
processes exist for the caller. None stands for viewers who see all processes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from storage.database.transaction import Transaction
from storage.writes.processes import VISIBLE

_CALLS_LOCK = 0x63616C6C
"""The key of the advisory lock for adding calls between processes. Two transactions could each add
a harmless call, and the two calls together could form a cycle."""

_HIDDEN = "…"
"""Replaces processes that the viewer may not see."""


@dataclass(frozen=True, slots=True)
class CalledProcess:
    """A process that an action runs."""

    id: int
    reference: str


@dataclass(frozen=True, slots=True)
class SourceRow:
    """A source that an action uses."""

    id: int
    name: str
    kind: str


async def find_called(
    transaction: Transaction,
    references: Sequence[str],
    ids: Sequence[int],
    only_profile: int | None,
) -> list[CalledProcess]:
    """Return the existing processes among those with these references or IDs."""
    rows = await transaction.fetch(
        f"""SELECT id, reference FROM process
        WHERE (reference = ANY ($1::text[]) OR id = ANY ($3::integer[])) AND {VISIBLE}""",
        list(references),
        only_profile,
        list(ids),
    )
    return [CalledProcess(**row) for row in rows]


async def find_sources(
    transaction: Transaction, names: Sequence[str], ids: Sequence[int]
) -> list[SourceRow]:
    """Return the existing sources among those with these names or IDs."""
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
    """Return the visible references of the processes that run a process, and the number of all."""
    rows = await transaction.fetch(
        f"""SELECT reference, {VISIBLE} AS visible FROM process
        WHERE id IN (SELECT process_id FROM action WHERE subprocess_id = $1) AND id <> $1
        ORDER BY reference""",
        process_id,
        only_profile,
    )
    return [row["reference"] for row in rows if row["visible"]], len(rows)


async def lock_calls(transaction: Transaction) -> None:
    """Keep other transactions from adding calls between processes until this one ends."""
    await transaction.fetch("SELECT pg_advisory_xact_lock($1)", _CALLS_LOCK)


async def find_cycle(
    transaction: Transaction, process_id: int, only_profile: int | None
) -> list[str] | None:
    """Return the references along the shortest cycle of calls through a process, or None.

    The path starts and ends with the process. One "…" replaces each run of processes that the
    profile may not see. A transaction that added calls must hold ``lock_calls``.
    """
    rows = await transaction.fetch(
        f"""WITH RECURSIVE reached (id) AS (
            SELECT $1::integer
            UNION SELECT subprocess_id FROM reached JOIN action ON process_id = reached.id
            WHERE subprocess_id IS NOT NULL
        )
        SELECT DISTINCT process_id, subprocess_id,
            CASE WHEN {VISIBLE} THEN process.reference ELSE '{_HIDDEN}' END AS reference
        FROM reached JOIN action ON process_id = reached.id
            JOIN process ON process.id = subprocess_id""",
        process_id,
        only_profile,
    )
    calls: dict[int, list[tuple[int, str]]] = {}
    for row in rows:
        calls.setdefault(row["process_id"], []).append((row["subprocess_id"], row["reference"]))
    # Breadth first, to find the shortest path.
    paths: dict[int, list[str]] = {process_id: []}
    pending = [process_id]
    for caller in pending:
        for called, reference in calls.get(caller, ()):
            path = paths[caller]
            if called == process_id:
                return [reference, *path, reference]
            if called not in paths:
                hidden_again = reference == _HIDDEN and path[-1:] == [_HIDDEN]
                paths[called] = path if hidden_again else [*path, reference]
                pending.append(called)
    return None
