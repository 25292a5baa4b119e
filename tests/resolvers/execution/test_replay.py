"""Test dry runs, and executions that repeat earlier ones."""

from __future__ import annotations

from typing import Any

import pytest

from resolvers.errors.catalogue import ErrorKind, GatewayError
from resolvers.execution.sources.protocol import ActionFailedError, Call
from storage.execution.records import Ended
from tests.resolvers.execution.engine import Bench, act
from tests.resolvers.execution.scripted import Latch, ScriptedKind, called
from tests.resolvers.home import UNKNOWN_ID, calls

ROOM = {"reference": "room", "name": "Room", "type": "text"}


async def fail(call: Call) -> None:
    """Fail."""
    raise ActionFailedError("it failed")


# Dry runs ----------------------------------------------------------------------------------------


async def test_a_dry_run_acts_on_nothing(bench: Bench) -> None:
    placed = act("set", arguments=[{"reference": "to", "value": "{room}"}])
    await bench.process("light", act("on", runsWhen="DISABLED"), mode="SWITCH")
    await bench.process("hall", placed, calls("light"), act("last"), inputs=[ROOM])
    ended = await bench.execute("hall", dry_run=True, inputs=[("room", "kitchen")])
    assert (ended.status, ended.in_doubt) == ("succeeded", False)
    assert await bench.statuses(ended.id) == ["skipped", "succeeded", "skipped"]
    assert (await bench.steps(ended.id))[0]["arguments"] == (
        b'[{"reference":"to","value":"kitchen"}]'
    )
    (nested,) = await bench.nested(ended.id)
    assert (nested["status"], nested["dry_run"]) == ("succeeded", True)
    assert await bench.statuses(nested["id"]) == ["skipped"]
    assert called() == []
    assert not await bench.home.graph.run("SELECT FROM process WHERE enabled")


async def test_a_dry_run_waits_for_nobody_and_holds_nobody_up(bench: Bench) -> None:
    latch = Latch("wait")
    await bench.process("hall", act("wait"), concurrency="single")
    first = await bench.admit("hall")
    assert (await bench.execute("hall", dry_run=True)).status == "succeeded"
    latch.open.set()
    await bench.ended(first)


async def test_a_dry_run_checks_its_inputs(bench: Bench) -> None:
    await bench.process("hall", act("on"), inputs=[ROOM])
    assert (await bench.refused("hall", dry_run=True)).kind is ErrorKind.BAD_USER_INPUT


# Replays -----------------------------------------------------------------------------------------


async def replay(bench: Bench, ended: Ended, first: int, **how: Any) -> Ended:
    """Replay an execution, and return how that ended."""
    how.setdefault("current", False)
    return await bench.ended(await bench.engine.replay(ended.id, first, bench.viewer, **how))


async def refused(bench: Bench, execution_id: int, first: int, *, by: str = "admin") -> str:
    """Return the message for a replay that is refused."""
    viewer = await bench.home.graph.viewer(by)
    with pytest.raises(GatewayError) as raised:
        await bench.engine.replay(execution_id, first, viewer, current=False)
    return raised.value.message


async def test_an_execution_is_repeated_from_a_step_on(bench: Bench) -> None:
    ScriptedKind.script["two"] = fail
    placed = act("two", arguments=[{"reference": "to", "value": "{room}"}])
    await bench.process("hall", act("one"), placed, act("three"), inputs=[ROOM])
    failed = await bench.execute("hall", inputs=[("room", "kitchen")])
    assert called() == ["one", "two"]
    ScriptedKind.script.clear()
    ScriptedKind.calls.clear()
    ended = await replay(bench, failed, 2)
    assert ended.status == "succeeded"
    assert called() == ["two", "three"]
    assert ScriptedKind.calls[0].arguments == (("to", "kitchen"),)
    assert await bench.statuses(ended.id) == ["skipped", "succeeded", "succeeded"]
    row = await bench.row(ended.id)
    assert (row["replay_of"], row["replay_from"], row["trigger"]) == (failed.id, 2, "replay")
    assert (await bench.row(failed.id))["status"] == "failed"


async def test_a_doubt_is_settled_by_a_replay_after_the_step(bench: Bench) -> None:
    async def lost(call: Call) -> None:
        raise ActionFailedError("lost", in_doubt=True)

    ScriptedKind.script["two"] = lost
    await bench.process("hall", act("one"), act("two"))
    failed = await bench.execute("hall")
    assert failed.in_doubt
    ScriptedKind.calls.clear()
    ended = await replay(bench, failed, 3)
    assert (ended.status, ended.in_doubt) == ("succeeded", False)
    assert called() == []
    assert await bench.statuses(ended.id) == ["skipped", "skipped"]


@pytest.mark.parametrize("current", [True, False])
async def test_a_replay_runs_what_was_or_what_is(bench: Bench, current: bool) -> None:
    await bench.process("hall", act("old"))
    first = await bench.execute("hall")
    await bench.home.graph.run("UPDATE action SET action = 'new'")
    ScriptedKind.calls.clear()
    await replay(bench, first, 1, current=current)
    assert called() == ["new" if current else "old"]


async def test_a_switch_is_replayed_only_in_its_old_state(bench: Bench) -> None:
    ScriptedKind.script["on"] = fail
    await bench.process("light", act("on", runsWhen="DISABLED"), mode="SWITCH")
    failed = await bench.execute("light")
    ScriptedKind.script.clear()
    ended = await replay(bench, failed, 1)
    assert ended.status == "succeeded"
    assert await bench.home.graph.run("SELECT FROM process WHERE enabled")
    for each in (failed, ended):
        assert await refused(bench, each.id, 1) == "the state of the process has changed since"


async def test_a_replay_has_a_key_too(bench: Bench) -> None:
    await bench.process("hall", act("on"), act("off"))
    first = await bench.execute("hall")
    second = await replay(bench, first, 2, idempotency_key="a")
    assert (await replay(bench, first, 2, idempotency_key="a")).id == second.id
    with pytest.raises(GatewayError, match="the idempotency key was used for another request"):
        await replay(bench, first, 1, idempotency_key="a")
    assert (await bench.refused("hall", idempotency_key="a")).kind is ErrorKind.CONFLICT


async def test_what_cannot_be_replayed(bench: Bench) -> None:
    latch = Latch("wait")
    await bench.process("lamp", act("wait"))
    await bench.process("hall", calls("lamp"))
    execution = await bench.admit("hall")
    assert await refused(bench, execution, 1) == "the execution has not ended yet"
    latch.open.set()
    await bench.ended(execution)
    for first in (0, 3, -1):
        assert f"expected the position of a step, 1 to 2, got {first}" in await refused(
            bench, execution, first
        )
    (nested,) = await bench.nested(execution)
    assert "a nested execution cannot be replayed, only the outermost one" in await refused(
        bench, nested["id"], 1
    )
    unknown = "there is no such execution, or its process was deleted"
    assert await refused(bench, UNKNOWN_ID, 1) == unknown
    await bench.home.profile("neighbor", "PROCESS_EXECUTE")
    assert await refused(bench, execution, 1, by="neighbor") == unknown
    await bench.home.graph.run("UPDATE execution SET definition = NULL")
    assert await refused(bench, execution, 1) == (
        "an earlier version recorded the execution; it cannot be replayed"
    )
    await bench.home.graph.run("DELETE FROM action")
    await bench.home.graph.run("DELETE FROM process")
    assert await refused(bench, execution, 1) == unknown
