"""Test how executions are cancelled, in each of their states."""

from __future__ import annotations

import asyncio

import pytest

from resolvers.errors.catalogue import ErrorKind, GatewayError
from resolvers.execution import run
from resolvers.execution.sources.protocol import ActionFailedError, Call, Repeat
from tests.resolvers.execution.engine import Bench, act
from tests.resolvers.execution.scripted import Latch, ScriptedKind, called
from tests.resolvers.home import UNKNOWN_ID, calls, until


async def refused(bench: Bench, execution: int, by: str = "admin") -> GatewayError:
    """Return the error of an execution that cannot be cancelled."""
    with pytest.raises(GatewayError) as raised:
        await bench.engine.cancel(execution, await bench.home.graph.viewer(by))
    return raised.value


async def test_an_execution_that_runs_ends_after_its_action(bench: Bench) -> None:
    latch = Latch("wait")
    await bench.process("hall", act("wait"), act("never"))
    execution = await bench.admit("hall")
    await until(bench.home.steps)
    await bench.engine.cancel(execution, bench.viewer)
    latch.open.set()
    ended = await bench.ended(execution)
    assert (ended.status, ended.error, ended.error_code, ended.in_doubt) == (
        "cancelled",
        "it was cancelled",
        "cancelled",
        False,
    )
    assert await bench.statuses(execution) == ["succeeded"]
    assert called() == ["wait"]


async def test_an_action_that_does_not_end_is_in_doubt(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run, "CANCEL_GRACE", 0.1)
    Latch("wait")
    await bench.process("lamp", act("wait"), act("never"))
    await bench.process("hall", calls("lamp"))
    execution = await bench.admit("hall")
    await until(lambda: bench.home.graph.run("SELECT FROM execution_step OFFSET 1"))
    await bench.engine.cancel(execution, bench.viewer)
    ended = await bench.ended(execution)
    assert (ended.status, ended.in_doubt) == ("cancelled", True)
    (nested,) = await bench.nested(execution)
    assert nested["status"] == "cancelled"
    (step,) = await bench.steps(nested["id"])
    assert (step["status"], step["in_doubt"]) == ("cancelled", True)
    (step,) = await bench.steps(execution)
    assert (step["status"], step["in_doubt"]) == ("cancelled", False)


async def test_a_switch_that_is_cancelled_is_not_flipped(bench: Bench) -> None:
    latch = Latch("wait")
    await bench.process("light", act("wait", runsWhen="DISABLED"), mode="SWITCH")
    execution = await bench.admit("light")
    await until(bench.home.steps)
    await bench.engine.cancel(execution, bench.viewer)
    latch.open.set()
    assert (await bench.ended(execution)).status == "cancelled"
    assert await bench.home.graph.run("SELECT FROM process WHERE NOT enabled")


async def test_an_execution_that_waits_in_line_ends_at_once(bench: Bench) -> None:
    latch = Latch("wait")
    await bench.process("hall", act("wait"), concurrency="queued")
    first, second, third = [await bench.admit("hall") for _ in range(3)]
    await bench.engine.cancel(second, bench.viewer)
    row = await bench.row(second)
    assert (row["status"], row["error"], row["error_code"]) == (
        "cancelled",
        "it was cancelled",
        "cancelled",
    )
    assert row["finished_at"]
    latch.open.set()
    assert (await bench.ended(first)).status == "succeeded"
    assert (await bench.ended(second)).status == "cancelled"
    assert (await bench.ended(third)).status == "succeeded"
    assert called() == ["wait", "wait"]


async def test_an_execution_that_waits_for_its_next_attempt_ends_at_once(bench: Bench) -> None:
    async def fail(call: Call) -> None:
        raise ActionFailedError("busy", repeat=Repeat.ALWAYS, retry_after=60)

    ScriptedKind.script["busy"] = fail
    await bench.process("hall", act("busy", retries=1), seconds=1000)
    execution = await bench.admit("hall")
    await until(lambda: bench.home.graph.run("SELECT FROM execution_step WHERE status = 'waiting'"))
    await bench.engine.cancel(execution, bench.viewer)
    ended = await bench.ended(execution, 3)
    assert (ended.status, ended.in_doubt) == ("cancelled", False)
    (step,) = await bench.steps(execution)
    assert (step["status"], step["attempt"], step["retry_at"]) == ("cancelled", 1, None)


async def test_an_execution_that_waits_at_a_gate_ends_at_once(bench: Bench) -> None:
    latch = Latch("wait")
    await bench.process("lamp", act("wait"), concurrency="queued")
    await bench.process("hall", calls("lamp"))
    first, second = await bench.admit("lamp"), await bench.admit("hall")
    await until(lambda: bench.home.graph.run("SELECT FROM execution WHERE status = 'queued'"))
    await bench.engine.cancel(second, bench.viewer)
    ended = await bench.ended(second, 3)
    assert (ended.status, ended.in_doubt) == ("cancelled", False)
    assert (await bench.nested(second))[0]["status"] == "cancelled"
    latch.open.set()
    assert (await bench.ended(first)).status == "succeeded"
    assert (await bench.execute("lamp")).status == "succeeded"


async def test_an_execution_is_cancelled_elsewhere_when_its_gate_opens(bench: Bench) -> None:
    """The worker that runs it does not know yet that it was cancelled."""
    latch = Latch("wait")
    await bench.process("lamp", act("wait"), concurrency="queued")
    await bench.process("hall", calls("lamp"))
    first, second = await bench.admit("lamp"), await bench.admit("hall")
    await until(lambda: bench.home.graph.run("SELECT FROM execution WHERE status = 'queued'"))
    await bench.home.graph.run(
        "UPDATE execution SET cancel_requested_at = now() WHERE id = $1", second
    )
    latch.open.set()
    assert (await bench.ended(first)).status == "succeeded"
    assert (await bench.ended(second)).status == "cancelled"
    assert (await bench.row(second))["takeovers"] == 0
    assert called() == ["wait"]


async def test_an_execution_of_another_worker_is_cancelled(bench: Bench) -> None:
    latch = Latch("wait")
    await bench.process("hall", act("wait"), act("never"))
    execution = await bench.admit("hall")
    await until(bench.home.steps)
    async with bench.another_engine() as other:
        await other.cancel(execution, bench.viewer)
        latch.open.set()
        ended = await other.wait(execution, 10)
    assert ended is not None
    assert ended.status == "cancelled"
    assert called() == ["wait"]


async def test_nothing_starts_after_cancel_has_answered(bench: Bench) -> None:
    """Whatever the run was about to do."""
    await bench.process("hall", *[act("step")] * 20)
    for pause in range(12):
        ScriptedKind.calls.clear()
        execution = await bench.admit("hall")
        await asyncio.sleep(pause / 200)
        try:
            await bench.engine.cancel(execution, bench.viewer)
        except GatewayError as error:
            assert error.kind is ErrorKind.CONFLICT  # noqa: PT017 - it need not be raised
        started = len(await bench.steps(execution))
        await bench.ended(execution)
        assert len(await bench.steps(execution)) == started
        assert len(called()) <= started


async def test_what_cannot_be_cancelled(bench: Bench) -> None:
    await bench.process("lamp", act("on"))
    await bench.process("hall", calls("lamp"))
    ended = await bench.execute("hall")
    error = await refused(bench, ended.id)
    assert error.kind is ErrorKind.CONFLICT
    assert error.message == "the execution has ended already"
    (nested,) = await bench.nested(ended.id)
    error = await refused(bench, nested["id"])
    assert error.kind is ErrorKind.BAD_USER_INPUT
    assert "a nested execution cannot be cancelled, only the outermost one" in error.message
    error = await refused(bench, UNKNOWN_ID)
    assert error.kind is ErrorKind.NOT_FOUND
    assert error.message == "there is no such execution"


async def test_an_execution_that_is_not_visible_cannot_be_cancelled(bench: Bench) -> None:
    latch = Latch("wait")
    await bench.home.profile("neighbor", "PROCESS_EXECUTE")
    await bench.process("hall", act("wait"))
    execution = await bench.admit("hall")
    error = await refused(bench, execution, by="neighbor")
    assert error.message == "there is no such execution"
    latch.open.set()
    assert (await bench.ended(execution)).status == "succeeded"
