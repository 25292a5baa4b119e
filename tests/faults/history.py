"""Record in the database what is committed, and compare it with what the clients were told.

A trigger adds a row to a table for every description that a transaction writes. So the history has
exactly what was committed, also what a later write has replaced.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

import asyncpg

from tests.faults.answers import Outcome
from tests.faults.load import Sent, Write

_RECORD = """
CREATE TABLE IF NOT EXISTS history (
    number      bigint GENERATED ALWAYS AS IDENTITY,
    reference   text NOT NULL,
    description text NOT NULL,
    transaction xid8 NOT NULL DEFAULT pg_current_xact_id()
);
CREATE OR REPLACE FUNCTION record() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO history (reference, description) VALUES (NEW.reference, NEW.description);
    RETURN NULL;
END $$;
CREATE OR REPLACE TRIGGER record AFTER INSERT OR UPDATE OF description ON process
    FOR EACH ROW EXECUTE FUNCTION record();
"""


async def record_history(url: str) -> None:
    """Start the recording in a migrated database."""
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(_RECORD)
    finally:
        await connection.close()


async def contradictions(url: str, sent: Iterable[Sent]) -> list[str]:
    """Return the writes whose outcome the database contradicts. No writer may still be writing.

    - An acknowledged write was committed once.
    - A write that failed was not committed. If its outcome is unknown, it may have been, once.
    - Each process has the value of the last write that was committed.
    """
    writes = [(one.write, one) for one in sent if one.write is not None]
    connection = await asyncpg.connect(url)
    try:
        rows = await connection.fetch("SELECT * FROM history ORDER BY number")
        processes = await connection.fetch("SELECT reference, description FROM process")
    finally:
        await connection.close()
    current = {row["reference"]: row["description"] for row in processes}
    transactions = defaultdict(set)
    for row in rows:
        transactions[Write(row["reference"], row["description"])].add(row["transaction"])
    found = []
    last: dict[str, Write] = {}
    for write, one in writes:
        count = len(transactions[write])
        if count not in _ALLOWED.get(one.outcome, (0, 1)):
            found.append(f"committed {count} times: {one}")
        if count:
            last[write.reference] = write
    found += [
        f"{write.reference} does not have the last value that was committed"
        for write in last.values()
        if current.get(write.reference) != write.value
    ]
    return found


_ALLOWED = {Outcome.RIGHT: (1,), Outcome.UNAVAILABLE: (0,), Outcome.BUSY: (0,)}
"""How often a write may have been committed."""
