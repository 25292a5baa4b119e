"""In charge of writing processes: their actions, inputs, authorisations, and the calls among them.

Every function runs inside the caller's transaction. ``only_profile`` limits what exists to the
processes that this profile is authorised on; None is for viewers who see all.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from storage.database.database import Transaction
from storage.writes.processes import _VISIBLE

_CALLS_LOCK = 0x63616C6C
"""Key of the advisory lock under which calls between processes are added: two that are harmless
alone could close a cycle together."""

_HIDDEN = "…"
"""What stands for processes that the viewer may not see."""


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
