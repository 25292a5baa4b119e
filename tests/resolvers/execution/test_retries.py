"""Test how often actions are repeated, what is recorded of it, and what follows a failure."""

from __future__ import annotations

import json
from typing import Any

import pytest

from resolvers.execution import attempts
from resolvers.execution.attempts import Outcome, delay_before_next
from resolvers.execution.sources.protocol import ActionFailedError, Call, Repeat
from tests.resolvers.execution.engine import Bench, act
from tests.resolvers.execution.scripted import ScriptedKind, called, hang
from tests.resolvers.home import calls


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wait only a moment between attempts."""
    monkeypatch.setattr(attempts, "_SHORTEST_DELAY", 0.01)
    monkeypatch.setattr(attempts, "_LONGEST_DELAY", 0.01)


def fails(times: int, **how: Any) -> Any:
    """Return an action that fails so often before it succeeds."""

    async def fail(call: Call) -> str:
        if call.attempt <= times:
            raise ActionFailedError(f'failure "{call.attempt}"', **how)
        return "done"

    return fail


@pytest.mark.parametrize(
    ("action", "repeat", "expected"),
    [
        ("once", Repeat.NEVER, 1),
        ("once", Repeat.IF_IDEMPOTENT, 1),
        ("once", Repeat.ALWAYS, 3),
        ("again", Repeat.NEVER, 1),
        ("again", Repeat.IF_IDEMPOTENT, 3),
        ("again", Repeat.ALWAYS, 3),
    ],
)
async def test_only_what_may_be_repeated_is(
    bench: Bench, action: str, repeat: Repeat, expected: int
) -> None:
    ScriptedKind.script[action] = fails(9, repeat=repeat)
    await bench.process("hall", act(action, retries=2))
    ended = await bench.execute("hall")
    assert ended.error == f'action 1 ("scripted") failed: failure "{expected}"'
    assert [call.attempt for call in ScriptedKind.calls] == list(range(1, expected + 1))
    assert len({call.idempotency_key for call in ScriptedKind.calls}) == 1


@pytest.mark.parametrize("marked", [True, False])
async def test_an_action_says_itself_whether_it_may_be_repeated(bench: Bench, marked: bool) -> None:
    name = "once" if marked else "again"
    ScriptedKind.script[name] = fails(1, repeat=Repeat.IF_IDEMPOTENT)
    await bench.process("hall", act(name, retries=1, idempotent=marked))
    assert (await bench.execute("hall")).status == ("succeeded" if marked else "failed")


async def test_attempts_are_recorded(bench: Bench) -> None:
    ScriptedKind.script["again"] = fails(2, repeat=Repeat.IF_IDEMPOTENT, in_doubt=True)
    await bench.process("hall", act("again", retries=5))
    ended = await bench.execute("hall")
    assert ended.status == "succeeded"
    (step,) = await bench.steps(ended.id)
    assert (step["attempt"], step["status"], step["error"]) == (3, "succeeded", None)
    recorded = json.loads(step["attempts"])
    assert [each["error"] for each in recorded] == ['failure "1"', 'failure "2"']
    assert {each["errorCode"] for each in recorded} == {"source_failed"}
    assert {each["inDoubt"] for each in recorded} == {True}
    times = [each[key] for each in recorded for key in ("startedAt", "finishedAt")]
    assert times == sorted(times)
    # Three waits: the end of each attempt and the start of the next are transitions of their own.
    assert (await bench.row(ended.id))["seq"] == 6


async def test_a_timeout_is_an_attempt(bench: Bench) -> None:
    ScriptedKind.script["again"] = hang
    await bench.process("hall", act("again", retries=1, timeout=0.05))
    ended = await bench.execute("hall")
    assert (ended.error_code, ended.in_doubt) == ("timed_out", True)
    assert called() == ["again", "again"]
    (step,) = await bench.steps(ended.id)
    (first,) = json.loads(step["attempts"])
    assert first["error"] == "it took longer than 0.05 s"


async def test_each_step_and_execution_has_a_key_of_its_own(bench: Bench) -> None:
    await bench.process("hall", act("again"), act("again"))
    await bench.execute("hall")
    await bench.execute("hall")
    assert len({call.idempotency_key for call in ScriptedKind.calls}) == 4


async def test_no_attempt_begins_after_the_deadline(bench: Bench) -> None:
    ScriptedKind.script["busy"] = fails(9, repeat=Repeat.ALWAYS, retry_after=30)
    await bench.process("hall", act("busy", retries=5), seconds=0.005)
    ended = await bench.execute("hall")
    assert ended.status == "failed"
    assert len(called()) <= 1


def test_a_source_may_ask_to_wait_longer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    for attempt in range(1, 6):
        busy = Outcome(error="busy", repeat=Repeat.ALWAYS)
        delays = [delay_before_next(busy, attempt, 5, idempotent=False) for _ in range(200)]
        assert all(delay is not None and 1 <= delay <= min(60, 2**attempt) for delay in delays)
        assert len(set(delays)) > 100
        asked = Outcome(error="busy", repeat=Repeat.ALWAYS, retry_after=45)
        assert delay_before_next(asked, attempt, 5, idempotent=False) == 45
        never = Outcome(error="busy", repeat=Repeat.ALWAYS, retry_after=1e9)
        assert delay_before_next(never, attempt, 5, idempotent=False) == 60
        assert delay_before_next(busy, 6, 5, idempotent=False) is None


# After a failure ---------------------------------------------------------------------------------


async def test_an_execution_may_go_on_after_a_failure(bench: Bench) -> None:
    ScriptedKind.script["bad"] = fails(9)
    await bench.process("lamp", act("bad"))
    await bench.process(
        "hall",
        act("bad", on_failure="continue"),
        calls("lamp") | {"on_failure": "continue"},
        act("last"),
    )
    ended = await bench.execute("hall")
    assert (ended.status, ended.error, ended.error_code) == ("succeeded", None, None)
    assert await bench.statuses(ended.id) == ["failed", "failed", "succeeded"]
    assert called() == ["bad", "bad", "last"]


async def test_an_execution_does_not_go_on_after_a_cancellation(bench: Bench) -> None:
    async def cancel(call: Call) -> None:
        (row,) = await bench.home.graph.run("SELECT id FROM execution")
        await bench.engine.cancel(row["id"], bench.viewer)

    ScriptedKind.script["cancel"] = cancel
    await bench.process("hall", act("cancel", on_failure="continue"), act("never"))
    assert (await bench.execute("hall")).status == "cancelled"
    assert called() == ["cancel"]


async def test_a_switch_whose_failed_steps_do_not_matter_is_flipped(bench: Bench) -> None:
    ScriptedKind.script["bad"] = fails(9)
    await bench.process(
        "light", act("bad", on_failure="continue", runsWhen="DISABLED"), mode="SWITCH"
    )
    assert (await bench.execute("light")).status == "succeeded"
    assert await bench.home.graph.run("SELECT FROM process WHERE enabled")
