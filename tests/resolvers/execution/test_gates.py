"""Test how many executions of a process run at a time, and what becomes of the others."""

from __future__ import annotations

import asyncio

import pytest

from resolvers.errors.catalogue import ErrorKind
from resolvers.execution.admission import ExecuteRequest
from tests.resolvers.execution.engine import Bench, act
from tests.resolvers.execution.scripted import Latch, called
from tests.resolvers.home import calls, until


async def test_a_single_process_runs_once_at_a_time(bench: Bench) -> None:
    latch = Latch("wait")
    await bench.process("hall", act("wait"), concurrency="single")
    first = await bench.admit("hall")
    error = await bench.refused("hall")
    assert error.kind is ErrorKind.CONFLICT
    assert error.message == '"hall" is being executed, and runs once at a time'
    latch.open.set()
    assert (await bench.ended(first)).status == "succeeded"
    assert (await bench.execute("hall")).status == "succeeded"
    assert latch.most == 1


async def test_executions_of_a_queued_process_run_in_their_order(bench: Bench) -> None:
    latch = Latch("wait")
    await bench.process("hall", act("wait"), concurrency="queued")
    executions = [await bench.admit("hall") for _ in range(11)]
    assert [(await bench.row(each))["status"] for each in executions] == [
        "running",
        *["queued"] * 10,
    ]
    error = await bench.refused("hall")
    assert error.kind is ErrorKind.CONFLICT
    assert error.message == '10 executions of "hall" wait already'
    latch.open.set()
    ended = [await bench.ended(each) for each in executions]
    assert {each.status for each in ended} == {"succeeded"}
    rows = await bench.home.graph.run("SELECT id FROM execution ORDER BY started_at")
    assert [row["id"] for row in rows] == executions
    assert latch.most == 1


async def test_a_parallel_process_runs_ten_times_at_a_time(bench: Bench) -> None:
    latch = Latch("wait")
    await bench.process("hall", act("wait"))
    executions = [await bench.admit("hall") for _ in range(20)]
    await until(lambda: _running(bench, 10))
    assert (await bench.refused("hall")).message == '10 executions of "hall" wait already'
    assert latch.most == 10
    latch.open.set()
    assert {(await bench.ended(each)).status for each in executions} == {"succeeded"}
    assert latch.most == 10


async def _running(bench: Bench, count: int) -> bool:
    rows = await bench.home.graph.run("SELECT FROM execution_step WHERE status = 'running'")
    return len(rows) == count


async def test_a_restarted_process_starts_when_the_one_before_has_ended(bench: Bench) -> None:
    latch = Latch("wait")
    await bench.process("hall", act("wait"), act("then"), concurrency="restart")
    first = await bench.admit("hall")
    await until(lambda: _running(bench, 1))
    second = await bench.admit("hall")
    third = await bench.admit("hall")
    assert (await bench.row(third))["status"] == "queued"
    superseded = await bench.ended(second)
    assert (superseded.status, superseded.error_code) == ("cancelled", "superseded")
    assert superseded.error == "a later execution of the process replaced it"
    assert latch.most == 1
    assert (await bench.row(third))["status"] == "queued"  # the first one still acts
    latch.open.set()
    cancelled = await bench.ended(first)
    assert (cancelled.status, cancelled.error_code) == ("cancelled", "cancelled")
    assert (await bench.ended(third)).status == "succeeded"
    assert latch.most == 1
    assert called() == ["wait", "wait", "then"]
    assert (await bench.row(first))["finished_at"] <= (await bench.row(third))["started_at"]


async def test_two_gateways_run_a_switch_one_after_the_other(bench: Bench) -> None:
    await bench.process(
        "light",
        act("on", runsWhen="DISABLED"),
        act("off", runsWhen="ENABLED"),
        mode="SWITCH",
        concurrency="queued",
    )
    request = ExecuteRequest(bench.ids["light"])
    async with bench.another_engine() as other:
        engines = [bench.engine, other] * 3
        executions = await asyncio.gather(*(each.admit(request, bench.viewer) for each in engines))
        for each in executions:
            assert (await bench.ended(each)).status == "succeeded"
    assert called() == ["on", "off"] * 3
    rows = await bench.home.graph.run("SELECT enabled FROM execution ORDER BY finished_at")
    assert [row["enabled"] for row in rows] == [True, False] * 3


# Nested executions -------------------------------------------------------------------------------


async def test_a_nested_execution_of_a_single_process_is_refused(bench: Bench) -> None:
    latch = Latch("wait")
    await bench.process("lamp", act("wait"), concurrency="single")
    await bench.process("hall", calls("lamp"))
    first = await bench.admit("lamp")
    ended = await bench.execute("hall")
    assert ended.status == "failed"
    assert ended.error == (
        'action 1 ("process") failed: the process "lamp" failed: it runs already'
    )
    assert ended.error_code == "busy"
    latch.open.set()
    assert (await bench.ended(first)).status == "succeeded"
    assert (await bench.execute("hall")).status == "succeeded"


async def test_nested_executions_wait_in_the_same_line(bench: Bench) -> None:
    latch = Latch("wait")
    await bench.process("lamp", act("wait"), concurrency="queued")
    await bench.process("hall", calls("lamp"))
    executions = [await bench.admit(each) for each in ("lamp", "hall", "lamp", "hall")]
    await until(lambda: _queued(bench, 3))
    latch.open.set()
    for each in executions:
        assert (await bench.ended(each)).status == "succeeded"
    assert latch.most == 1


async def _queued(bench: Bench, count: int) -> bool:
    rows = await bench.home.graph.run("SELECT FROM execution WHERE status = 'queued'")
    return len(rows) == count


async def test_the_line_of_nested_executions_is_as_long(bench: Bench) -> None:
    latch = Latch("wait")
    await bench.process("lamp", act("wait"), concurrency="queued")
    await bench.process("hall", calls("lamp"))
    executions = [await bench.admit("lamp") for _ in range(11)]
    ended = await bench.execute("hall")
    assert ended.error == (
        'action 1 ("process") failed: the process "lamp" failed: too many wait for it'
    )
    latch.open.set()
    for each in executions:
        await bench.ended(each)


async def test_a_timeout_names_the_gate(bench: Bench) -> None:
    latch = Latch("wait")
    await bench.process("lamp", act("wait"), concurrency="queued")
    await bench.process("hall", act("first"), calls("lamp"), seconds=0.5)
    first = await bench.admit("lamp")
    ended = await bench.execute("hall")
    assert (ended.status, ended.error_code) == ("failed", "timed_out")
    assert ended.error == 'it took longer than 0.5 s: action 2 waited for "lamp"'
    assert await bench.statuses(ended.id) == ["succeeded", "failed"]
    assert (await bench.nested(ended.id))[0]["status"] == "failed"
    latch.open.set()
    assert (await bench.ended(first)).status == "succeeded"
    assert (await bench.execute("lamp")).status == "succeeded"


async def test_a_nested_execution_of_a_restarted_process_ends_the_one_before(bench: Bench) -> None:
    latch = Latch("wait")
    await bench.process("lamp", act("wait"), act("then"), concurrency="restart")
    await bench.process("hall", calls("lamp"))
    first = await bench.admit("lamp")
    await until(lambda: _running(bench, 1))
    second = await bench.admit("hall")
    await until(lambda: _queued(bench, 1))
    latch.open.set()
    assert (await bench.ended(first)).status == "cancelled"
    assert (await bench.ended(second)).status == "succeeded"
    assert called() == ["wait", "wait", "then"]


async def test_a_nested_execution_that_waits_is_superseded_by_a_later_one(bench: Bench) -> None:
    latch = Latch("wait")
    await bench.process("lamp", act("wait"), act("then"), concurrency="restart")
    await bench.process("hall", act("first"), calls("lamp"), act("last"))
    first = await bench.admit("lamp")
    await until(lambda: _running(bench, 1))
    second = await bench.admit("hall")
    await until(lambda: _queued(bench, 1))
    third = await bench.admit("lamp")
    superseded = await bench.ended(second)  # while the first one still acts
    assert (superseded.status, superseded.error_code) == ("cancelled", "superseded")
    assert superseded.error == (
        'action 2 ("process") was cancelled: the process "lamp" was cancelled'
    )
    (nested,) = await bench.nested(second)
    assert (nested["status"], nested["error_code"]) == ("cancelled", "superseded")
    assert await bench.statuses(second) == ["succeeded", "cancelled"]
    latch.open.set()
    assert (await bench.ended(first)).status == "cancelled"
    assert (await bench.ended(third)).status == "succeeded"
    assert called() == ["wait", "first", "wait", "then"]


async def test_a_superseded_nested_execution_keeps_its_end_when_its_tree_ends(bench: Bench) -> None:
    """The tree is canceled in the moment in which its nested execution is superseded."""
    latch = Latch("wait")
    await bench.process("lamp", act("wait"), concurrency="restart")
    await bench.process("hall", calls("lamp"))
    first = await bench.admit("lamp")
    await until(lambda: _running(bench, 1))
    second = await bench.admit("hall")
    await until(lambda: _queued(bench, 1))
    await bench.home.graph.run(
        "WITH superseded AS (UPDATE execution SET status = 'cancelled', error_code = 'superseded',"
        " finished_at = clock_timestamp() WHERE root_id = $1)"
        " UPDATE execution SET cancel_requested_at = clock_timestamp() WHERE id = $1",
        second,
    )
    assert (await bench.ended(second)).status == "cancelled"
    (nested,) = await bench.nested(second)
    assert (nested["status"], nested["error_code"]) == ("cancelled", "superseded")
    latch.open.set()
    await bench.ended(first)


async def test_a_process_that_waits_for_itself_times_out(bench: Bench) -> None:
    """Only writes past the gateway make such a process; an error must still come of it."""
    await bench.process("lamp", act("one"), concurrency="queued", seconds=0.5)
    await bench.home.graph.run(
        "INSERT INTO action (process_id, position, source_id, action, subprocess_id)"
        " SELECT $1, 9, id, 'lamp', $1 FROM source WHERE name = 'process'",
        bench.ids["lamp"],
    )
    ended = await bench.execute("lamp")
    assert ended.error == 'it took longer than 0.5 s: action 2 waited for "lamp"'
    assert (await bench.row(ended.id))["status"] == "failed"


# The queue ---------------------------------------------------------------------------------------


@pytest.fixture
async def waiting(bench: Bench) -> tuple[Latch, int, int]:
    """An execution that runs, and one that waits for it."""
    latch = Latch("wait")
    await bench.process("hall", act("wait"), concurrency="queued")
    return latch, await bench.admit("hall"), await bench.admit("hall")


async def test_an_execution_does_not_wait_for_ever(
    bench: Bench, waiting: tuple[Latch, int, int]
) -> None:
    latch, first, second = waiting
    await bench.home.graph.run(
        "UPDATE execution SET requested_at = requested_at - interval '11 minutes' WHERE id = $1",
        second,
    )
    ended = await bench.ended(second)
    assert (ended.status, ended.error_code) == ("cancelled", "queue_expired")
    assert ended.error == "it waited longer than 10 minutes"
    latch.open.set()
    assert (await bench.ended(first)).status == "succeeded"
    assert called() == ["wait"]


async def test_an_input_removed_while_an_execution_waits_changes_nothing(bench: Bench) -> None:
    """What it runs was fixed when it was admitted."""
    latch = Latch("wait")
    hall = await bench.process(
        "hall",
        act("wait", arguments=[{"reference": "to", "value": "{room}"}]),
        concurrency="queued",
        inputs=[{"reference": "room", "name": "Room", "type": "text"}],
    )
    request = {"inputs": [("room", "kitchen")]}
    first, second = await bench.admit("hall", **request), await bench.admit("hall", **request)
    await bench.home.graph.run("DELETE FROM input WHERE process_id = $1", hall)
    await bench.home.graph.run("UPDATE action SET arguments = '[]'")
    assert (await bench.refused("hall", **request)).kind is ErrorKind.BAD_USER_INPUT
    latch.open.set()
    for each in (first, second):
        assert (await bench.ended(each)).status == "succeeded"
        (step,) = await bench.steps(each)
        assert step["arguments"] == b'[{"reference":"to","value":"kitchen"}]'


async def test_inputs_that_do_not_fit_the_state_any_more_end_an_execution(bench: Bench) -> None:
    """The first execution flips the switch, and the second one has the inputs of the old state."""
    latch = Latch("wait")
    await bench.process(
        "light",
        act("wait", runsWhen="DISABLED"),
        mode="SWITCH",
        inputs=[
            {"reference": "level", "name": "Level", "type": "number", "askedWhen": "DISABLED"},
            {"reference": "why", "name": "Why", "type": "text", "askedWhen": "ENABLED"},
        ],
    )
    first = await bench.admit("light", inputs=[("level", "1")])
    second = await bench.admit("light", inputs=[("level", "1")])
    third = await bench.admit("light", inputs=[("why", "late")])
    latch.open.set()
    assert (await bench.ended(first)).status == "succeeded"
    ended = await bench.ended(second)
    assert (ended.status, ended.error_code) == ("failed", "invalid_inputs")
    assert ended.error is not None
    assert 'the input "why" is missing' in ended.error
    assert (await bench.ended(third)).status == "succeeded"


async def test_a_process_deleted_while_executions_wait_ends_them(
    bench: Bench, waiting: tuple[Latch, int, int]
) -> None:
    latch, first, second = waiting
    await bench.home.graph.run("DELETE FROM process")
    ended = await bench.ended(second)
    assert (ended.status, ended.error_code) == ("cancelled", "queue_expired")
    assert ended.error == "its process was deleted while it waited"
    latch.open.set()
    assert (await bench.ended(first)).status == "succeeded"
