"""Test sources that misbehave, and workers that lose their lease or their connections."""

from __future__ import annotations

import asyncio
import uuid
from typing import Any

import pytest

from resolvers.execution import attempts, run
from resolvers.execution.calls import _checked
from resolvers.execution.sources.protocol import ActionFailedError, Call, Repeat
from tests.resolvers.execution.engine import Bench, act
from tests.resolvers.execution.scripted import Latch, ScriptedKind, ScriptedSettings, called, hang
from tests.resolvers.home import calls, until


async def ignore_cancellation(call: Call) -> str:
    """Go on for a while, although it is canceled."""
    end = asyncio.get_running_loop().time() + 2
    while (left := end - asyncio.get_running_loop().time()) > 0:
        try:
            await asyncio.sleep(left)
        except asyncio.CancelledError:
            continue
    return "late"


# Sources that misbehave --------------------------------------------------------------------------


async def test_a_source_that_hangs_is_in_doubt(bench: Bench) -> None:
    ScriptedKind.script["hang"] = hang
    await bench.process("hall", act("hang", timeout=0.1), act("never"))
    ended = await bench.execute("hall")
    assert (ended.status, ended.error_code, ended.in_doubt) == ("failed", "timed_out", True)
    assert ended.error == 'action 1 ("scripted") failed: it took longer than 0.1 s'
    assert called() == ["hang"]


async def test_a_source_that_ignores_cancellation_is_in_doubt(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(attempts, "_END_SECONDS", 0.1)
    ScriptedKind.script["hang"] = ignore_cancellation
    await bench.process("hall", act("hang", timeout=0.1, retries=2, idempotent=True))
    ended = await bench.execute("hall")
    assert (ended.status, ended.error_code, ended.in_doubt) == ("failed", "timed_out", True)
    assert ended.error == (
        'action 1 ("scripted") failed: it took longer than 0.1 s, and could not be stopped'
    )
    # Another attempt would overlap with it.
    assert called() == ["hang"]


async def test_a_source_that_ignores_cancellation_does_not_keep_an_execution_from_being_cancelled(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(attempts, "_END_SECONDS", 0.1)
    monkeypatch.setattr(run, "CANCEL_GRACE", 0.1)
    ScriptedKind.script["hang"] = ignore_cancellation
    await bench.process("hall", act("hang", timeout=1000))
    execution = await bench.admit("hall")
    await until(bench.home.steps)
    await bench.engine.cancel(execution, bench.viewer)
    ended = await bench.ended(execution, 1)
    assert (ended.status, ended.in_doubt) == ("cancelled", True)


async def test_a_source_that_cancels_itself_has_failed(bench: Bench) -> None:
    async def give_up(call: Call) -> None:
        raise asyncio.CancelledError

    ScriptedKind.script["odd"] = give_up
    await bench.process("hall", act("odd"))
    ended = await bench.execute("hall")
    assert (ended.status, ended.error_code, ended.in_doubt) == ("failed", "source_failed", True)
    assert ended.error == 'action 1 ("scripted") failed: the source raised an unexpected error'
    assert called() == ["odd"]


@pytest.mark.parametrize("failure", [RuntimeError("oops"), TimeoutError(), KeyError("a")])
async def test_a_source_that_raises_is_in_doubt(bench: Bench, failure: Exception) -> None:
    async def fail(call: Call) -> None:
        raise failure

    ScriptedKind.script["break"] = fail
    await bench.process("hall", act("break", retries=3, idempotent=True))
    ended = await bench.execute("hall")
    assert (ended.status, ended.error_code, ended.in_doubt) == ("failed", "source_failed", True)
    assert called() == ["break"]


# Doubts ------------------------------------------------------------------------------------------


def fails(**how: Any) -> Any:
    """Return an action that fails."""

    async def fail(call: Call) -> None:
        raise ActionFailedError("it failed", **how)

    return fail


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wait only a moment between attempts."""
    monkeypatch.setattr(attempts, "_SHORTEST_DELAY", 0.01)
    monkeypatch.setattr(attempts, "_LONGEST_DELAY", 0.01)


async def test_a_doubt_of_an_earlier_attempt_stays(bench: Bench, quick: None) -> None:
    """The first attempt may have had its effect, whatever the second one says."""

    async def lamp(call: Call) -> None:
        if call.attempt == 1:
            raise ActionFailedError("lost", repeat=Repeat.IF_IDEMPOTENT, in_doubt=True)
        raise ActionFailedError("not found")

    ScriptedKind.script["again"] = lamp
    await bench.process("hall", act("again", retries=1))
    ended = await bench.execute("hall")
    assert (ended.status, ended.in_doubt) == ("failed", True)
    (step,) = await bench.steps(ended.id)
    assert step["in_doubt"]


async def test_a_doubt_of_an_earlier_attempt_stays_if_the_next_is_cancelled(bench: Bench) -> None:
    ScriptedKind.script["again"] = fails(repeat=Repeat.IF_IDEMPOTENT, in_doubt=True)
    await bench.process("hall", act("again", retries=1))
    execution = await bench.admit("hall")
    await until(lambda: bench.home.graph.run("SELECT FROM execution_step WHERE status = 'waiting'"))
    await bench.engine.cancel(execution, bench.viewer)
    ended = await bench.ended(execution)
    assert (ended.status, ended.in_doubt) == ("cancelled", True)
    (step,) = await bench.steps(execution)
    assert step["in_doubt"]


async def test_a_doubt_is_settled_by_a_success(bench: Bench, quick: None) -> None:
    async def lamp(call: Call) -> None:
        if call.attempt == 1:
            raise ActionFailedError("lost", repeat=Repeat.IF_IDEMPOTENT, in_doubt=True)

    ScriptedKind.script["again"] = lamp
    await bench.process("hall", act("again", retries=1), act("next"))
    ended = await bench.execute("hall")
    assert (ended.status, ended.in_doubt) == ("succeeded", False)
    assert not any(step["in_doubt"] for step in await bench.steps(ended.id))


async def test_a_statement_that_is_canceled_at_the_end_of_a_step_is_repeated(
    bench: Bench,
) -> None:
    """As by ``statement_timeout``. Nothing stays running in a gateway that lives."""
    latch = Latch("once")
    await bench.process("hall", act("once"), act("last"))
    execution = await bench.admit("hall")
    await until(bench.home.steps)
    cancel = (
        "SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
        " AND datname = current_database() AND query LIKE '%execution_step%'"
    )
    async with bench.home.graph.database.transaction() as transaction:
        await transaction.fetch("SELECT FROM execution_step FOR UPDATE")
        latch.open.set()
        for _ in range(3):
            await until(lambda: bench.home.graph.run(cancel))
    assert (await bench.ended(execution)).status == "succeeded"
    assert await bench.statuses(execution) == ["succeeded", "succeeded"]
    assert called() == ["once", "last"]


# Workers -----------------------------------------------------------------------------------------


async def lose_lease(bench: Bench) -> None:
    """End all leases, as if the workers had been stopped for a while."""
    await bench.home.graph.run("UPDATE worker SET lease_until = '-infinity'")


async def test_an_execution_goes_on_elsewhere_after_its_worker_has_lost_its_lease(
    bench: Bench,
) -> None:
    latch = Latch("again")
    await bench.process("hall", act("again"), act("last"))
    execution = await bench.admit("hall")
    await until(bench.home.steps)
    await lose_lease(bench)
    async with bench.another_engine():
        await until(lambda: _owned_elsewhere(bench, execution))
        latch.open.set()
        ended = await bench.ended(execution)
    assert ended.status == "succeeded"
    assert (await bench.row(execution))["takeovers"] >= 1
    (step, _) = await bench.steps(execution)
    assert step["attempt"] >= 2
    keys = {call.idempotency_key for call in ScriptedKind.calls if call.action == "again"}
    assert len(keys) == 1
    assert called().count("last") == 1


async def _owned_elsewhere(bench: Bench, execution: int) -> bool:
    return bool((await bench.row(execution))["takeovers"])


async def test_an_action_that_must_not_be_repeated_is_in_doubt_after_a_takeover(
    bench: Bench,
) -> None:
    Latch("once")
    await bench.process("hall", act("once"), act("never"))
    execution = await bench.admit("hall")
    await until(bench.home.steps)
    await lose_lease(bench)
    ended = await bench.ended(execution)
    assert (ended.status, ended.error_code) == ("interrupted", "interrupted")
    assert ended.in_doubt
    assert ended.error == ('action 1 ("scripted") was interrupted: the gateway that ran it failed')
    assert called() == ["once"]


async def test_an_execution_is_not_taken_over_for_ever(bench: Bench) -> None:
    Latch("again")
    await bench.process("hall", act("again"), seconds=1000)
    execution = await bench.admit("hall")
    await until(bench.home.steps)
    await bench.home.graph.run("UPDATE execution SET takeovers = 3 WHERE id = $1", execution)
    await lose_lease(bench)
    ended = await bench.ended(execution)
    assert (ended.status, ended.in_doubt) == ("interrupted", True)
    assert ended.error == "the gateway that ran it failed, again and again"


async def test_a_worker_without_lease_does_not_act(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker that was stopped between the record of a step and its action must not begin it."""
    await bench.process("hall", act("once"))
    _checked.cache_clear()  # the settings are read again
    # As after a stop: the lease is over, and nothing has noticed yet.
    monkeypatch.setattr(ScriptedSettings, "when_read", bench.engine._keeper.lease.ended)
    execution = await bench.admit("hall")
    ended = await bench.ended(execution)
    assert (ended.status, ended.in_doubt) == ("interrupted", True)
    assert called() == []


async def test_a_nested_execution_is_ended_with_its_root(bench: Bench) -> None:
    Latch("once")
    await bench.process("lamp", act("once"))
    await bench.process("hall", calls("lamp"))
    execution = await bench.admit("hall")
    await until(lambda: bench.home.graph.run("SELECT FROM execution_step OFFSET 1"))
    await lose_lease(bench)
    ended = await bench.ended(execution)
    assert (ended.status, ended.in_doubt) == ("interrupted", True)
    (nested,) = await bench.nested(execution)
    assert nested["status"] == "interrupted"
    (step,) = await bench.steps(execution)
    assert step["status"] == "interrupted"
    assert step["error"] == 'the process "lamp" was interrupted'
    assert not step["in_doubt"]


async def test_an_execution_of_a_worker_that_is_not_there_is_taken_over(bench: Bench) -> None:
    await bench.process("hall", act("one"), act("two"))
    execution = await bench.execute("hall")
    await bench.home.graph.run(
        "WITH gone AS (DELETE FROM execution_step WHERE position = 2)"
        " UPDATE execution SET status = 'running', finished_at = NULL, owner = $1",
        uuid.uuid4(),
    )
    ended = await bench.ended(execution.id)
    assert ended.status == "succeeded"
    assert called() == ["one", "two", "two"]


async def test_an_execution_whose_records_cannot_be_read_ends_interrupted(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    """A later version may have written them. After a few tries nobody waits for one any more."""
    Latch("once")
    await bench.process("lamp", act("once"))
    await bench.process("hall", calls("lamp"))
    execution = await bench.admit("hall")
    await until(lambda: bench.home.graph.run("SELECT FROM execution_step OFFSET 1"))
    await bench.home.graph.run(
        "WITH later AS (INSERT INTO definition VALUES ('\\x00', '{\"version\": \"later\"}')"
        " RETURNING hash) UPDATE execution SET definition = hash, takeovers = 2 FROM later"
        " WHERE id = $1",
        execution,
    )
    await lose_lease(bench)
    ended = await bench.ended(execution)
    assert (ended.status, ended.in_doubt) == ("interrupted", True)
    assert ended.error == "its records cannot be read"
    assert (await bench.row(execution))["takeovers"] == 4
    (nested,) = await bench.nested(execution)
    assert nested["status"] == "interrupted"
    (step,) = await bench.steps(execution)
    assert (step["status"], step["in_doubt"]) == ("interrupted", False)
    (step,) = await bench.steps(nested["id"])
    assert (step["status"], step["in_doubt"]) == ("interrupted", True)
    assert "restoring an execution failed" in caplog.text
    assert called() == ["once"]
