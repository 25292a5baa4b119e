"""Write down every transition in the database of a test, and check them."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence

from storage.database.database import Database
from storage.database.rows import Row

_TRIGGERS = """
CREATE TABLE history (
    number bigserial PRIMARY KEY,
    transaction xid8 NOT NULL DEFAULT pg_current_xact_id(),
    root integer NOT NULL,
    execution integer NOT NULL,
    position integer,       -- of a step
    process integer,        -- of an execution
    old_seq bigint, seq bigint,
    old_status text, status text NOT NULL,
    old_owner uuid, owner uuid,
    cancelled boolean,
    old_attempt integer, attempt integer
);
CREATE FUNCTION note_execution() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO history (root, execution, process, old_seq, seq, old_status, status, old_owner,
        owner, cancelled)
    VALUES (coalesce(NEW.root_id, NEW.id), NEW.id,
        CASE WHEN NOT NEW.dry_run THEN NEW.process_id END, OLD.seq, NEW.seq, OLD.status,
        NEW.status, OLD.owner, NEW.owner, NEW.cancel_requested_at IS NOT NULL);
    RETURN NULL;
END $$;
CREATE FUNCTION note_step() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO history (root, execution, position, old_status, status, old_attempt, attempt)
    VALUES ((SELECT coalesce(root_id, id) FROM execution WHERE id = NEW.execution_id),
        NEW.execution_id, NEW.position, OLD.status, NEW.status, OLD.attempt, NEW.attempt);
    RETURN NULL;
END $$;
CREATE TRIGGER note AFTER INSERT OR UPDATE ON execution
    FOR EACH ROW EXECUTE FUNCTION note_execution();
CREATE TRIGGER note AFTER INSERT OR UPDATE ON execution_step
    FOR EACH ROW EXECUTE FUNCTION note_step();
"""

ENDED = ("succeeded", "failed", "cancelled", "interrupted")
ACTIVE = ("queued", "running")


async def install(database: Database) -> None:
    """Add the triggers to a migrated database."""
    async with database.transaction() as transaction:
        await transaction.script(_TRIGGERS)


async def check(database: Database, limits: Mapping[int, int] | None = None) -> None:
    """Check all transitions so far.

    Args:
        database: The database.
        limits: How many executions of a process may run at a time, by process.
    """
    rows = await database.fetch("SELECT * FROM history ORDER BY number")
    by_root: defaultdict[int, list[Row]] = defaultdict(list)
    for row in rows:
        by_root[row["root"]].append(row)
    for root, own in by_root.items():
        _check_tree(root, own)
    _check_gates(rows, limits or {})


def _check_tree(root: int, rows: Sequence[Row]) -> None:
    by_transaction: defaultdict[int, list[Row]] = defaultdict(list)
    cancelled = ended = False
    starts: Counter[tuple[int, int, int]] = Counter()
    for row in rows:
        story = f"execution {root}: {dict(row)}"
        by_transaction[row["transaction"]].append(row)
        is_step = row["position"] is not None
        is_root = row["execution"] == root and not is_step
        starts_step = is_step and row["status"] == "running"
        if starts_step:
            starts[row["execution"], row["position"], row["attempt"]] += 1
        if starts_step or (row["old_status"] is None and not is_step and not is_root):
            assert not cancelled, f"it starts after it was cancelled: {story}"
        if is_root and row["old_status"] is not None:
            assert row["seq"] - row["old_seq"] in (0, 1), f"seq jumps: {story}"
            same = (row["status"], row["owner"]) == (row["old_status"], row["old_owner"])
            assert same or row["seq"] == row["old_seq"] + 1, f"seq stands still: {story}"
            if ended:
                assert row["seq"] == row["old_seq"], f"it goes on after its end: {story}"
        if row["old_status"] in ENDED:
            assert row["status"] == row["old_status"], f"an end is not final: {story}"
        cancelled = cancelled or bool(row["cancelled"])
        ended = ended or (is_root and row["status"] in ENDED)
    for place, count in starts.items():
        assert count == 1, f"an attempt of execution {root} was recorded {count} times: {place}"
    for changes in by_transaction.values():
        of_root = [row for row in changes if row["position"] is None and row["execution"] == root]
        fenced = [row for row in of_root if row["seq"] != row["old_seq"]]  # an insertion too
        if len(changes) > len(of_root):
            assert len(fenced) == 1, f"a change has no fence: {[dict(row) for row in changes]}"
        assert len(fenced) <= 1, f"two transitions at once: {[dict(row) for row in changes]}"


def _check_gates(rows: Sequence[Row], limits: Mapping[int, int]) -> None:
    running: defaultdict[int, set[int]] = defaultdict(set)
    for row in rows:
        process = row["process"]
        if row["position"] is not None or process not in limits:
            continue
        if row["status"] == "running":
            running[process].add(row["execution"])
        else:
            running[process].discard(row["execution"])
        assert len(running[process]) <= limits[process], (
            f"process {process} runs too often: {running[process]}"
        )
