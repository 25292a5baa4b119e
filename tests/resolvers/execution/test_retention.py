"""Test which old executions are deleted."""

from __future__ import annotations

import asyncio
from typing import Any

from storage.execution.records import delete_old
from tests.resolvers.execution.engine import Bench, act
from tests.resolvers.execution.scripted import Latch
from tests.resolvers.home import calls, echo, until

OLD = "now() - interval '31 days'"


async def insert(bench: Bench, process: str, count: int, status: str, at: str = OLD) -> list[int]:
    """Insert executions that have ended."""
    rows: list[dict[str, Any]] = await bench.home.graph.run(
        "INSERT INTO execution (process_id, process_reference, process_name, profile_name, enabled,"
        f" status, finished_at) SELECT id, reference, name, 'admin', false, $3, {at}"
        " FROM process, generate_series(1, $2) WHERE reference = $1 RETURNING id",
        process,
        count,
        status,
    )
    return sorted(row["id"] for row in rows)


async def kept(bench: Bench) -> list[int]:
    """Delete what is old, and return what is left."""
    while await delete_old(bench.home.graph.database):
        pass
    rows = await bench.home.graph.run("SELECT id FROM execution WHERE root_id IS NULL ORDER BY id")
    return [row["id"] for row in rows]


async def test_the_last_ten_of_each_process_and_outcome_are_kept(bench: Bench) -> None:
    await bench.process("hall", act("on"))
    await bench.process("lamp", act("on"))
    expected = []
    for process in ("hall", "lamp"):
        for status in ("succeeded", "failed", "cancelled", "interrupted"):
            expected += (await insert(bench, process, 12, status))[2:]
    assert await kept(bench) == sorted(expected)


async def test_what_is_not_old_is_kept(bench: Bench) -> None:
    await bench.process("hall", act("on"))
    old = await insert(bench, "hall", 5, "failed")
    new = await insert(bench, "hall", 20, "failed", "now() - interval '29 days'")
    assert await kept(bench) == new
    assert not set(old) & set(new)


async def test_what_is_active_is_kept(bench: Bench) -> None:
    latch = Latch("wait")
    await bench.process("hall", act("wait"), concurrency="queued")
    executions = [await bench.admit("hall") for _ in range(11)]
    await bench.home.graph.run(
        f"UPDATE execution SET requested_at = requested_at, started_at = {OLD}"
    )
    assert await kept(bench) == executions
    latch.open.set()
    for each in executions:
        assert (await bench.ended(each)).status == "succeeded"


async def test_what_belongs_to_an_execution_is_deleted_with_it(bench: Bench) -> None:
    await bench.process("lamp", act("on"))
    await bench.process("hall", calls("lamp"))
    first = await bench.execute("hall")
    replayed = await bench.engine.replay(first.id, 1, bench.viewer, current=False)
    await bench.ended(replayed)
    await bench.home.graph.run(f"UPDATE execution SET finished_at = {OLD} WHERE id = $1", first.id)
    await insert(bench, "hall", 10, "succeeded")
    remaining = await kept(bench)
    assert first.id not in remaining
    assert (await bench.row(replayed))["replay_of"] is None
    rows = await bench.home.graph.run("SELECT FROM execution WHERE root_id IS NOT NULL")
    assert len(rows) == 1
    assert len(await bench.home.graph.run("SELECT FROM execution_step")) == 2
    assert len(await bench.home.graph.run("SELECT FROM definition")) == 1
    await bench.home.graph.run("DELETE FROM execution WHERE id = $1", replayed)
    await kept(bench)
    assert not await bench.home.graph.run("SELECT FROM definition")


async def test_many_are_deleted_in_batches(bench: Bench) -> None:
    await bench.process("hall", act("on"))
    ids = await insert(bench, "hall", 1210, "failed")
    deleted = []
    while count := await delete_old(bench.home.graph.database):
        deleted.append(count)
    assert deleted == [500, 500, 200]
    assert await kept(bench) == ids[-10:]


async def test_a_definition_that_is_deleted_meanwhile_is_stored_again(bench: Bench) -> None:
    """Deleting what nothing refers to can end between storing a definition and referring to it."""
    await bench.process("hall", echo())
    await bench.execute("hall")
    await bench.home.graph.run("DELETE FROM execution")
    async with bench.home.graph.database.transaction() as deleting:
        await deleting.fetch("DELETE FROM definition RETURNING hash")
        admitting = asyncio.create_task(bench.admit("hall"))
        await until(lambda: waiting_for_locks(bench))
    ended = await bench.ended(await admitting)
    assert ended.status == "succeeded"


async def waiting_for_locks(bench: Bench) -> bool:
    return bool(
        await bench.home.graph.run(
            "SELECT FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
            " AND datname = current_database()"
        )
    )
