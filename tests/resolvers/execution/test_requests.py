"""Test how executions are asked for: waiting, keys, dry runs, canceling, and replays."""

from __future__ import annotations

from typing import Any

import pytest

from tests.resolvers.execution.executions import fails, record, trouble, with_trouble
from tests.resolvers.home import Home, arguments, echo, nothing, problems, until

# Waiting -----------------------------------------------------------------------------------------


async def ended(home: Home) -> bool:
    """Return whether every execution has ended."""
    return not await home.graph.run("SELECT FROM execution WHERE finished_at IS NULL")


async def test_an_execution_is_shown_as_it_is_when_its_time_is_over(home: Home) -> None:
    await with_trouble(home)
    process = await home.process("hall", actions=[echo(), trouble("wait"), echo("last")])
    executed = await home.do("executeProcess", id=process, wait=0.1)
    execution = executed["execution"]
    assert (execution["status"], execution["error"]) == ("RUNNING", None)
    assert [(step["status"], step["result"]) for step in execution["steps"]] == [
        ("SUCCEEDED", {}),
        ("RUNNING", None),
    ]
    await until(lambda: ended(home))
    after = await record(home, execution["id"])
    assert (after["status"], len(after["steps"])) == ("SUCCEEDED", 3)


async def test_an_execution_goes_on_if_nobody_waits(home: Home) -> None:
    process = await home.process("hall", actions=[echo()])
    execution = (await home.do("executeProcess", id=process, wait=0))["execution"]
    assert execution["status"] in ("QUEUED", "RUNNING", "SUCCEEDED")
    await until(lambda: ended(home))
    assert (await record(home, execution["id"]))["status"] == "SUCCEEDED"


@pytest.mark.parametrize(
    ("wait", "shown"), [(-0.5, "-0.5"), (300.5, "300.5"), (1e300, "1e+300"), (-1, "-1.0")]
)
async def test_the_time_to_wait_is_limited(home: Home, wait: float, shown: str) -> None:
    process = await home.process("hall", actions=[echo()])
    error = await home.error("executeProcess", "BAD_USER_INPUT", id=process, wait=wait)
    assert problems(error) == {("wait",): f"expected seconds from 0 to 300, got {shown}"}


# Keys --------------------------------------------------------------------------------------------


async def test_a_request_that_is_sent_again_runs_nothing(home: Home) -> None:
    process = await home.process("hall", actions=[echo()])
    request: dict[str, Any] = {"id": process, "idempotencyKey": "morning 1~"}
    first = (await home.do("executeProcess", **request))["execution"]
    assert (await home.do("executeProcess", **request))["execution"] == first
    other = (await home.do("executeProcess", by="occupant", **request))["execution"]
    assert other["id"] != first["id"]
    error = await home.error("executeProcess", "CONFLICT", dryRun=True, **request)
    assert problems(error)
    assert len(await home.graph.run("SELECT FROM execution")) == 2


@pytest.mark.parametrize(
    ("key", "shown"),
    [
        ("", '""'),
        ("x" * 256, f'"{"x" * 38}… of 256 characters'),
        ("a\nb", '"a\\nb"'),
        ("é", '"é"'),
        ("\x7f", '"\\x7f"'),
        ("a\0", '"a\\x00"'),
    ],
)
async def test_a_key_has_printable_characters(home: Home, key: str, shown: str) -> None:
    process = await home.process("hall", actions=[echo()])
    expected = {("idempotencyKey",): f"expected 1 to 255 printable ASCII characters, got {shown}"}
    error = await home.error("executeProcess", "BAD_USER_INPUT", id=process, idempotencyKey=key)
    assert problems(error) == expected
    execution = (await home.do("executeProcess", id=process))["execution"]["id"]
    rejected: dict[str, Any] = {"id": execution, "from": 1, "idempotencyKey": key}
    assert problems(await home.error("replayExecution", "BAD_USER_INPUT", **rejected)) == expected


# Failures ----------------------------------------------------------------------------------------


async def test_the_error_of_an_execution_tells_how_it_ended(home: Home) -> None:
    await with_trouble(home)
    process = await home.process("hall", actions=[trouble("fail")])
    message, execution = await fails(home, process)
    query = "mutation($id: ID!) { executeProcess(id: $id) { execution { id } } }"
    error = await home.graph.error(query, {"id": process})
    assert error["message"] == message
    extensions = error["extensions"]
    assert (extensions["status"], extensions["inDoubt"]) == ("FAILED", False)
    assert (await record(home, extensions["execution"]))["status"] == "FAILED"
    assert execution["status"] == "FAILED"


# Canceling ---------------------------------------------------------------------------------------


async def test_an_execution_can_be_canceled(home: Home) -> None:
    await with_trouble(home)
    process = await home.process("hall", actions=[trouble("tarry"), echo("never")])
    execution = (await home.do("executeProcess", id=process, wait=0.1))["execution"]
    canceled = (await home.do("cancelExecution", id=execution["id"]))["execution"]
    assert canceled["id"] == execution["id"]
    await until(lambda: ended(home))
    query = (
        "query($id: ID!) { execution(id: $id)"
        " { status errorCode cancelRequestedAt steps { action } } }"
    )
    (after,) = (await home.graph.data(query, {"id": execution["id"]})).values()
    assert (after["status"], after["errorCode"]) == ("CANCELLED", "CANCELLED")
    assert after["cancelRequestedAt"] is not None
    assert len(after["steps"]) == 1
    await home.error("cancelExecution", "CONFLICT", id=execution["id"])


async def test_only_an_execution_that_the_viewer_sees_can_be_canceled(home: Home) -> None:
    await home.profile("cleaner", "PROCESS_READ", "PROCESS_EXECUTE")
    process = await home.process("hall", actions=[echo()])
    execution = (await home.do("executeProcess", id=process))["execution"]["id"]
    await home.error("cancelExecution", "NOT_FOUND", by="cleaner", id=execution)
    await home.error("cancelExecution", "NOT_FOUND", id=nothing("Execution"))
    error = await home.error("cancelExecution", "BAD_USER_INPUT", id=process)
    assert problems(error) == {("id",): "expected the id of a Execution, got the id of a Process"}
    await home.error("cancelExecution", "FORBIDDEN", by="guest", id=execution)


# Replays -----------------------------------------------------------------------------------------


async def test_a_replay_is_an_execution_of_its_own(home: Home) -> None:
    process = await home.process(
        "hall", inputs=[{"name": "n"}], actions=[echo(arguments=arguments(n="{n}"))]
    )
    first = (await home.do("executeProcess", id=process, inputs=arguments(n="7")))["execution"]
    replay: dict[str, Any] = {"id": first["id"], "from": 1, "idempotencyKey": "again"}
    second = (await home.do("replayExecution", **replay))["execution"]
    assert second["id"] != first["id"]
    assert second["inputs"] == first["inputs"]
    assert second["steps"][0]["result"] == {"n": "7"}
    assert (await home.do("replayExecution", **replay))["execution"]["id"] == second["id"]
    query = "query($id: ID!) { execution(id: $id) { trigger replayOf { id } } }"
    (shown,) = (await home.graph.data(query, {"id": second["id"]})).values()
    assert shown == {"trigger": "REPLAY", "replayOf": {"id": first["id"]}}


async def test_only_an_execution_that_the_viewer_sees_can_be_replayed(home: Home) -> None:
    await home.profile("cleaner", "PROCESS_READ", "PROCESS_EXECUTE")
    process = await home.process("hall", actions=[echo()])
    execution = (await home.do("executeProcess", id=process))["execution"]["id"]
    replay: dict[str, Any] = {"id": execution, "from": 1}
    await home.error("replayExecution", "NOT_FOUND", by="cleaner", **replay)
    await home.error("replayExecution", "FORBIDDEN", by="guest", **replay)
    await home.error("replayExecution", "NOT_FOUND", **replay | {"id": nothing("Execution")})
    error = await home.error("replayExecution", "BAD_USER_INPUT", **replay | {"from": 0})
    assert problems(error) == {("from",): "expected a position from 1, got 0"}
    error = await home.error("replayExecution", "BAD_USER_INPUT", **replay, wait=301)
    assert problems(error) == {("wait",): "expected seconds from 0 to 300, got 301.0"}
