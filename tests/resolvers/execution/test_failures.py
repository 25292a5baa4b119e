"""Test executions that fail or run at the same time."""

from __future__ import annotations

import asyncio

import pytest

from tests.resolvers.execution.executions import (
    HomeWith,
    execute,
    fails,
    results,
    state,
    trouble,
    with_trouble,
)
from tests.resolvers.home import Home, calls, echo, until

# Failures ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("action", "expected"),
    [
        ("fail", "the bulb is broken\ufffd\ufffd"),
        ("break", "the source raised an unexpected error"),
        ("set", "the source returned a value that is not JSON"),
        ("surrogate", "the source returned a value that is not JSON"),
    ],
)
async def test_a_failing_source_fails_the_execution(home: Home, action: str, expected: str) -> None:
    await with_trouble(home)
    process = await home.process("hall", actions=[trouble(action), echo("never")])
    _, execution = await fails(home, process)
    assert execution["error"] == f'action 1 ("trouble") failed: {expected}'
    assert [(step["status"], step["error"]) for step in execution["steps"]] == [
        ("FAILED", expected)
    ]


async def test_a_source_may_answer_with_any_json(home: Home) -> None:
    await with_trouble(home)
    process = await home.process("hall", actions=[trouble("nul"), trouble("nothing")])
    assert results(await execute(home, process)) == [{"text": "a\0b"}, None]


async def test_a_source_of_an_unknown_kind_fails_the_execution(home: Home) -> None:
    process = await home.process("hall", actions=[echo()])
    await home.graph.run(
        "WITH other AS (INSERT INTO source (name, kind) VALUES ('old', 'gone') RETURNING id)"
        " UPDATE action SET source_id = other.id FROM other"
    )
    _, execution = await fails(home, process)
    assert 'this gateway has no source kind "gone"' in execution["error"]
    await home.graph.run("UPDATE source SET kind = 'lamp' WHERE name = 'old'")
    _, execution = await fails(home, process)
    assert "the settings of the source do not fit its kind" in execution["error"]


async def test_the_number_of_steps_is_limited(home_with: HomeWith) -> None:
    async with home_with(execution_max_steps=5) as home:
        await home.process("two", actions=[echo(), echo()])
        assert await execute(
            home, await home.process("fine", actions=[calls("two"), echo(), echo()])
        )
        process = await home.process("much", actions=[calls("two"), calls("two")])
        _, execution = await fails(home, process)
        assert [step["status"] for step in execution["steps"]] == ["SUCCEEDED", "FAILED"]
        assert "it has more than 5 steps" in execution["steps"][1]["subexecution"]["error"]


async def test_the_depth_of_nesting_is_limited(home: Home) -> None:
    await home.process("p0", actions=[echo()])
    for level in range(1, 150):
        process = await home.process(f"p{level}", actions=[calls(f"p{level - 1}")])
    message, _ = await fails(home, process)
    assert message.endswith('the process "p148" failed')
    statuses = await home.graph.run("SELECT status, count(*) FROM execution GROUP BY status")
    assert [row["status"] for row in statuses] == ["failed"]
    (deepest,) = await home.graph.run("SELECT error FROM execution ORDER BY id DESC LIMIT 1")
    assert "nested deeper than" in deepest["error"]


async def test_the_time_of_an_execution_is_limited(home_with: HomeWith) -> None:
    async with home_with(execution_timeout=0.2) as home:
        await with_trouble(home)
        inner = await home.process(
            "inner", mode="SWITCH", actions=[trouble("sleep")], state="ENABLED"
        )
        message, execution = await fails(home, await home.process("hall", actions=[calls("inner")]))
        assert "it took longer than 0.2 s" in message
        assert execution["error"] == "it took longer than 0.2 s"
        assert execution["steps"][0]["error"] == "it took longer than 0.2 s"
        assert execution["steps"][0]["subexecution"]["status"] == "FAILED"
        assert execution["steps"][0]["subexecution"]["steps"][0]["status"] == "FAILED"
        assert await state(home, inner) == "ENABLED"


async def test_a_caller_that_leaves_changes_nothing(home: Home) -> None:
    await with_trouble(home)
    process = await home.process("hall", actions=[trouble("wait")], mode="SWITCH", state="ENABLED")
    running = asyncio.create_task(execute(home, process))
    await until(home.steps)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    await until(lambda: home.graph.run("SELECT FROM execution WHERE status = 'succeeded'"))
    assert await state(home, process) == "DISABLED"


# Concurrency -------------------------------------------------------------------------------------


async def test_executions_of_a_switch_wait_for_each_other(home: Home) -> None:
    await with_trouble(home)
    process = await home.process(
        "light",
        mode="SWITCH",
        actions=[
            {**trouble("pause"), "runsWhen": "DISABLED"},
            echo("off", runsWhen="ENABLED"),
        ],
    )
    await home.process("scene", actions=[calls("light")])
    scene = await home.process("scenes", actions=[calls("scene")])
    executions = await asyncio.gather(*(execute(home, p) for p in [process, scene] * 4))
    assert len(executions) == 8
    rows = await home.graph.run(
        "SELECT enabled FROM execution WHERE process_reference = 'light' ORDER BY finished_at"
    )
    assert [row["enabled"] for row in rows] == [True, False] * 4
    assert await state(home, process) == "DISABLED"


async def test_a_state_changed_meanwhile_is_not_overwritten(home: Home) -> None:
    await with_trouble(home)
    process = await home.process(
        "light", mode="SWITCH", actions=[{**trouble("wait"), "runsWhen": "DISABLED"}]
    )
    failing = asyncio.create_task(fails(home, process))
    await until(home.steps)
    await home.do("updateProcess", id=process, changes={"state": "ENABLED"})
    _, execution = await failing
    assert execution["error"] == "the state of the process was changed meanwhile"
    assert await state(home, process) == "ENABLED"
