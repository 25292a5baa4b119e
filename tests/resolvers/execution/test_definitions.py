"""Test what an execution runs: what was defined when it was admitted, within limits."""

from __future__ import annotations

import pytest

from resolvers.errors.catalogue import ErrorKind
from resolvers.execution.sources.protocol import Call
from tests.resolvers.execution.engine import Bench, act
from tests.resolvers.execution.scripted import Latch, ScriptedKind, called
from tests.resolvers.home import calls, until


async def test_a_process_changed_while_it_runs_is_run_as_it_was(bench: Bench) -> None:
    latch = Latch("wait")
    await bench.process("lamp", act("on"))
    await bench.process("hall", act("wait"), calls("lamp"), act("last"))
    execution = await bench.admit("hall")
    await until(bench.home.steps)
    await bench.home.graph.run("UPDATE action SET action = 'changed' WHERE subprocess_id IS NULL")
    await bench.home.graph.run("DELETE FROM action WHERE position > 1")
    latch.open.set()
    assert (await bench.ended(execution)).status == "succeeded"
    assert called() == ["wait", "on", "last"]
    ScriptedKind.calls.clear()
    assert (await bench.execute("hall")).status == "succeeded"
    assert "changed" in called()


async def test_a_process_deleted_while_it_runs_is_run_to_its_end(bench: Bench) -> None:
    latch = Latch("wait")
    await bench.process("light", act("wait", runsWhen="DISABLED"), mode="SWITCH")
    execution = await bench.admit("light")
    await until(bench.home.steps)
    await bench.home.graph.run("DELETE FROM process")
    latch.open.set()
    assert (await bench.ended(execution)).status == "succeeded"
    row = await bench.row(execution)
    assert (row["process_id"], row["process_reference"]) == (None, "light")


async def test_a_nested_process_deleted_meanwhile_fails_its_step(bench: Bench) -> None:
    latch = Latch("wait")
    await bench.process("lamp", act("on"))
    await bench.process("hall", act("wait"), calls("lamp"))
    execution = await bench.admit("hall")
    await until(bench.home.steps)
    await bench.home.graph.run("DELETE FROM action WHERE subprocess_id IS NOT NULL")
    await bench.home.graph.run("DELETE FROM process WHERE reference = 'lamp'")
    latch.open.set()
    ended = await bench.ended(execution)
    assert (ended.status, ended.error_code) == ("failed", "process_failed")
    assert ended.error == (
        'action 2 ("process") failed: the process "lamp" failed: there is no process "lamp"'
    )


async def test_a_source_deleted_meanwhile_changes_nothing_without_secrets(bench: Bench) -> None:
    latch = Latch("wait")
    await bench.process("hall", act("wait"), act("last"))
    execution = await bench.admit("hall")
    await until(bench.home.steps)
    await bench.home.graph.run("DELETE FROM action")
    await bench.home.graph.run("DELETE FROM source WHERE name = 'scripted'")
    latch.open.set()
    assert (await bench.ended(execution)).status == "succeeded"


async def test_inputs_that_no_longer_fit_a_nested_process_fail_its_step(bench: Bench) -> None:
    await bench.process(
        "lamp", act("on"), inputs=[{"reference": "level", "name": "Level", "type": "number"}]
    )
    level = {"arguments": [{"reference": "level", "value": "much"}]}
    await bench.process("hall", calls("lamp", **level))
    ended = await bench.execute("hall")
    assert (ended.status, ended.error_code) == ("failed", "invalid_inputs")
    assert ended.error is not None
    assert 'expected a number such as 21.5, got "much"' in ended.error
    assert not await bench.nested(ended.id)


# Limits ------------------------------------------------------------------------------------------


async def test_a_process_has_at_most_200_actions(bench: Bench) -> None:
    await bench.process("hall", act("on"))
    more = (
        "INSERT INTO action (process_id, position, source_id, action)"
        " SELECT process_id, $1, source_id, action FROM action LIMIT 1"
    )
    for position in range(100, 299):
        await bench.home.graph.run(more, position)
    assert (await bench.execute("hall")).status == "succeeded"
    assert len(called()) == 200
    await bench.home.graph.run(more, 300)
    error = await bench.refused("hall")
    assert error.kind is ErrorKind.BAD_USER_INPUT
    assert "the process has 201 actions, and at most 200 can be executed" in error.message
    await bench.process("outer", calls("hall"))
    assert (
        '"hall", which the process runs, has 201 actions' in (await bench.refused("outer")).message
    )


@pytest.mark.parametrize(("depth", "status"), [(16, "succeeded"), (17, "failed")])
async def test_processes_are_nested_16_deep(bench: Bench, depth: int, status: str) -> None:
    await bench.process("p1", act("on"))
    for level in range(2, depth + 1):
        await bench.process(f"p{level}", calls(f"p{level - 1}"))
    ended = await bench.execute(f"p{depth}")
    assert ended.status == status
    nested = await bench.nested(ended.id)
    assert len(nested) == 15
    assert {row["status"] for row in nested} == {status}
    if status == "failed":
        assert ended.error_code == "limit" or ended.error_code == "process_failed"
        assert nested[-1]["error"] == (
            'action 1 ("process") failed: it is nested deeper than 16 processes'
        )
        assert nested[-1]["error_code"] == "limit"


async def test_a_cycle_written_by_two_concurrent_transactions_ends(bench: Bench) -> None:
    """The gateway's own writes wait for each other; those of others may not see each other."""
    ids = {each: await bench.process(each, act("on")) for each in ("one", "two")}
    call = (
        "UPDATE action SET source_id = source.id, action = $2, subprocess_id = $3"
        " FROM source WHERE name = 'process' AND process_id = $1"
    )
    database = bench.home.graph.database
    async with database.transaction() as first, database.transaction() as second:
        await first.fetch(call, ids["one"], "two", ids["two"])
        await second.fetch(call, ids["two"], "one", ids["one"])
    ended = await bench.execute("one")
    assert ended.status == "failed"
    nested = await bench.nested(ended.id)
    assert [row["process_reference"] for row in nested] == ["two", "one"] * 7 + ["two"]
    assert {row["status"] for row in nested} == {"failed"}
    assert nested[-1]["error"] == (
        'action 1 ("process") failed: it is nested deeper than 16 processes'
    )
    assert called() == []


async def test_what_an_action_does_to_its_own_process_changes_nothing(bench: Bench) -> None:
    async def delete(call: Call) -> None:
        await bench.home.graph.run("DELETE FROM process")

    ScriptedKind.script["delete"] = delete
    await bench.process("hall", act("delete"), act("last"))
    assert (await bench.execute("hall")).status == "succeeded"
    assert called() == ["delete", "last"]
