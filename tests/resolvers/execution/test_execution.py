"""Executing processes: order, values, failures, limits and the record of each run."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Callable
from typing import Any

import pytest

from resolvers.execution.inputs import fill_in
from tests.resolvers.home import Home, arguments, calls, echo, nothing, problems, until

HomeWith = Callable[..., contextlib.AbstractAsyncContextManager[Home]]

RECORD = """{
    databaseId processReference processName status state error nested askedBy
    process { reference } inputs { reference value }
    steps {
        position sourceName action status result error arguments { reference value }
        subprocess { reference }
        subexecution {
            databaseId processReference status error nested parentStep { position }
            steps { status result error subexecution { processReference steps { result } } }
        }
    }
}"""


def trouble(action: str) -> dict[str, Any]:
    return {"source": "trouble", "action": action}


async def with_trouble(home: Home) -> Home:
    await home.do("createSource", source={"name": "trouble", "kind": "trouble"})
    return home


async def execute(home: Home, process: str, by: str = "admin", **values: str) -> dict[str, Any]:
    """Execute a process successfully; returns the record."""
    inputs = arguments(**values)
    executed = await home.do("executeProcess", by=by, id=process, inputs=inputs)
    execution: dict[str, Any] = executed["execution"]
    assert execution["status"] == "SUCCEEDED"
    return execution


async def fails(home: Home, process: str, by: str = "admin") -> tuple[str, dict[str, Any]]:
    """Execute a process that fails; returns the error message and the record."""
    query = "mutation($id: ID!) { executeProcess(id: $id) { execution { id } } }"
    error = await home.graph.error(query, {"id": process}, profile=by)
    assert error["extensions"]["code"] == "EXECUTION_FAILED"
    assert error["path"] == ["executeProcess"]
    execution = await record(home, error["extensions"]["execution"])
    assert execution["status"] == "FAILED"
    assert execution["error"] is not None
    assert execution["error"] in error["message"]
    return error["message"], execution


async def record(home: Home, id_: str, by: str = "admin") -> Any:
    query = f"query($id: ID!) {{ execution(id: $id) {RECORD} }}"
    return (await home.graph.data(query, {"id": id_}, profile=by))["execution"]


def results(execution: dict[str, Any]) -> list[Any]:
    return [step["result"] for step in execution["steps"]]


async def state(home: Home, process: str) -> str:
    value: str = (await home.read(process))["state"]
    return value


# Actions -----------------------------------------------------------------------------------------


async def test_actions_run_in_order_and_are_recorded(home: Home) -> None:
    actions = [echo(name, arguments=arguments(n=name)) for name in "cab"]
    process = await home.process("hall", actions=actions)
    await home.do("moveAction", id=(await home.read(process))["actions"][0]["id"], position=3)
    executed = await home.do("executeProcess", id=process)
    assert executed["process"] == await home.read(process)
    execution = executed["execution"]
    assert results(execution) == [{"n": "a"}, {"n": "b"}, {"n": "c"}]
    assert [(step["position"], step["action"]) for step in execution["steps"]] == [
        (1, "a"),
        (2, "b"),
        (3, "c"),
    ]
    assert {step["status"] for step in execution["steps"]} == {"SUCCEEDED"}
    recorded = await record(home, execution["id"])
    assert recorded["askedBy"] == "admin"
    assert recorded["nested"] is False
    assert recorded["process"] == {"reference": "hall"}
    times = await home.graph.run(
        "SELECT bool_and(finished_at >= started_at) AS fine FROM execution_step"
    )
    assert times == [{"fine": True}]


async def test_a_process_without_actions_can_be_executed(home: Home) -> None:
    execution = await execute(home, await home.process("empty"))
    assert execution["steps"] == []


@pytest.mark.parametrize(
    ("template", "filled"),
    [
        ("{a}", "1"),
        ("x{a}{a} {b}", "x11 {a}{b}"),
        ("{c} {} { } {a b}", "{c} {} { } {a b}"),
        ('{"on": {a}, "to": {"n": "{a}"}}', '{"on": 1, "to": {"n": "1"}}'),
        ("{{a}}", "{1}"),
        ("{{b}}", "{{a}{b}}"),
        ("{a", "{a"),
        ("a}", "a}"),
        ("{é𝄞}", "x"),
        ("", ""),
    ],
)
def test_values_are_filled_in_once(template: str, filled: str) -> None:
    assert fill_in(template, {"a": "1", "b": "{a}{b}", "é𝄞": "x"}) == filled


async def test_inputs_reach_the_source(home: Home) -> None:
    process = await home.process(
        "hall",
        inputs=[{"name": "a"}, {"name": "b"}],
        actions=[echo(arguments=arguments(both='{"a": "{a}", "b": {b}}', unknown="{c}"))],
    )
    execution = await execute(home, process, b="{a}", a="1")
    assert execution["inputs"] == arguments(a="1", b="{a}")
    assert results(execution) == [{"both": '{"a": "1", "b": {a}}', "unknown": "{c}"}]
    assert execution["steps"][0]["arguments"] == arguments(
        both='{"a": "1", "b": {a}}', unknown="{c}"
    )


async def test_a_switch_runs_the_actions_for_its_state_and_flips(home: Home) -> None:
    process = await home.process(
        "light",
        mode="SWITCH",
        actions=[
            echo("on", runsWhen="DISABLED", arguments=arguments(to="on {level}")),
            echo("off", runsWhen="ENABLED", arguments=arguments(to="off {level}")),
            echo("on too", runsWhen="DISABLED"),
        ],
        inputs=[
            {"name": "level", "askedWhen": "DISABLED"},
            {"name": "why", "askedWhen": "ENABLED"},
        ],
    )
    for _ in range(2):
        first = await execute(home, process, level="5")
        assert first["state"] == await state(home, process) == "ENABLED"
        assert [step["action"] for step in first["steps"]] == ["on", "on too"]
        assert results(first)[0] == {"to": "on 5"}
        # An input of the other state is not required, but accepted.
        second = await execute(home, process, why="late", level="7")
        assert second["state"] == await state(home, process) == "DISABLED"
        assert [step["action"] for step in second["steps"]] == ["off"]
        assert results(second) == [{"to": "off 7"}]


async def test_a_simple_process_runs_every_action_and_keeps_its_state(home: Home) -> None:
    process = await home.process(
        "hall",
        state="ENABLED",
        actions=[echo("a", runsWhen="DISABLED"), echo("b", runsWhen="ENABLED")],
        inputs=[{"name": "x", "askedWhen": "DISABLED"}, {"name": "y", "askedWhen": "ENABLED"}],
    )
    execution = await execute(home, process, x="1", y="2")
    assert [step["action"] for step in execution["steps"]] == ["a", "b"]
    assert execution["state"] == await state(home, process) == "ENABLED"
    await home.error("executeProcess", "BAD_USER_INPUT", id=process, inputs=arguments(x="1"))


# Inputs ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("word", "good", "bad"),
    [
        ("text", ["", " any\n", "é𝄞"], []),
        ("my own", ["", "{}"], []),
        (
            "number",
            ["21.5", "-3", "+.5", "1.", "1e3"],
            ["", "x", "1,5", "nan", "inf", "1e999", "٣"],
        ),
        ("integer", ["0", "-7", "+12"], ["", "1.5", "1e3", "0x1", " 1", "1" * 101, "٣"]),
        ("boolean", ["true", "false", "0", "1"], ["", "yes", "True", "2"]),
        ("choice", ["a"], [""]),
        ("time", ["07:30", "23:59:59"], ["", "7:30", "24:00", "12:60", "07:30\n"]),
        ("color", ["#ff8800", "#ABCDEF"], ["", "ff8800", "#ff88", "#gg8800"]),
    ],
)
async def test_inputs_are_checked_by_their_type(
    home: Home, word: str, good: list[str], bad: list[str]
) -> None:
    process = await home.process(f"takes {word}", inputs=[{"name": "v", "type": word}])
    for value in good:
        await execute(home, process, v=value)
    for value in bad:
        error = await home.error(
            "executeProcess", "BAD_USER_INPUT", id=process, inputs=arguments(v=value)
        )
        (message,) = problems(error).values()
        assert message.startswith("expected ")


async def test_every_invalid_input_is_located_before_anything_runs(home: Home) -> None:
    process = await home.process(
        "hall", actions=[echo()], inputs=[{"name": n, "type": "integer"} for n in ("a", "b", "c")]
    )
    error = await home.error(
        "executeProcess",
        "BAD_USER_INPUT",
        id=process,
        inputs=[*arguments(b="x", d="1", c="1"), *arguments(c="2")],
    )
    assert problems(error) == {
        ("inputs", 0, "value"): 'expected a whole number, got "x"',
        ("inputs", 1, "reference"): "the process has no such input",
        ("inputs", 3, "reference"): "is given twice",
        ("inputs",): 'the input "a" is missing',
    }
    assert error["message"].endswith('; inputs: the input "a" is missing')
    for value in ("a\0", "\ud800"):
        error = await home.error(
            "executeProcess", "BAD_USER_INPUT", id=process, inputs=arguments(a=value)
        )
        assert set(problems(error)) == {("inputs", 0, "value")}
    await home.error("executeProcess", "BAD_USER_INPUT", id=process, inputs=None)


async def test_values_are_assigned_to_inputs_in_order(home: Home) -> None:
    process = await home.process(
        "hall",
        inputs=[{"name": "a"}, {"name": "b"}],
        actions=[echo(arguments=arguments(x="{a}-{b}"))],
    )
    executed = await home.do("executeProcess", id=process, values=["1", "2"])
    assert results(executed["execution"]) == [{"x": "1-2"}]
    cases: list[tuple[list[str], dict[tuple[str | int, ...], str]]] = [
        (["1"], {("inputs",): 'the input "b" is missing'}),
        (["1", "2", "3"], {("values", 2): "expected at most 2 values, got 3"}),
        (
            ["\0", "1", "\ud800"],
            {
                ("values", 0): "must not contain the NUL character",
                ("values", 2): "must not contain a lone surrogate",
            },
        ),
    ]
    for values, expected in cases:
        error = await home.error("executeProcess", "BAD_USER_INPUT", id=process, values=values)
        assert problems(error) == expected


async def test_an_invalid_value_in_order_is_located_by_its_index(home: Home) -> None:
    process = await home.process(
        "hall", inputs=[{"name": name, "type": "integer"} for name in ("a", "b")]
    )
    error = await home.error(
        "executeProcess",
        "BAD_USER_INPUT",
        id=process,
        inputs=arguments(a="1"),
        values=["2", "many"],
    )
    assert problems(error) == {
        ("values", 0): "is given twice",
        ("values", 1): 'expected a whole number, got "many"',
    }


async def test_an_unknown_process_is_not_executed(home: Home) -> None:
    error = await home.error("executeProcess", "NOT_FOUND", id=nothing("Process"))
    assert error["message"] == "there is no such process"
    error = await home.error("executeProcess", "BAD_USER_INPUT", id=nothing("Action"))
    assert set(problems(error)) == {("id",)}


# Sub-processes -----------------------------------------------------------------------------------


async def three_levels(home: Home) -> str:
    await home.process(
        "lamp",
        inputs=[{"name": "level", "type": "integer"}],
        actions=[echo(arguments=arguments(set="{level}"))],
    )
    await home.process(
        "room",
        inputs=[{"name": "l"}, {"name": "who"}],
        actions=[
            echo(arguments=arguments(hello="{who}")),
            calls("lamp", arguments=arguments(level="{l}")),
        ],
    )
    return await home.process(
        "home",
        inputs=[{"name": "level"}],
        actions=[calls("room", arguments=arguments(l="{level}", who="{me}"))],
    )


async def test_processes_nest_with_their_inputs(home: Home) -> None:
    top = await execute(home, await three_levels(home), level="7")
    recorded = await record(home, top["id"])
    (step,) = recorded["steps"]
    assert step["subprocess"] == {"reference": "room"}
    sub = step["subexecution"]
    assert step["result"]["execution"] == sub["databaseId"]
    assert step["result"]["results"][0] == {"hello": "{me}"}
    assert step["result"]["results"][1]["results"] == [{"set": "7"}]
    assert (sub["nested"], sub["parentStep"]) == (True, {"position": 1})
    assert sub["steps"][1]["subexecution"] == {
        "processReference": "lamp",
        "steps": [{"result": {"set": "7"}}],
    }
    nested = await home.graph.data(
        "{ executions(where: {nested: false}) { totalCount nodes { id } } }"
    )
    assert nested["executions"]["totalCount"] == 1


async def test_nested_switches_flip_as_well(home: Home) -> None:
    light = await home.process("light", mode="SWITCH", actions=[echo("on", runsWhen="DISABLED")])
    scene = await home.process("scene", actions=[calls("light"), calls("light"), calls("light")])
    execution = await execute(home, scene)
    assert [len(step["result"]["results"]) for step in execution["steps"]] == [1, 0, 1]
    assert await state(home, light) == "ENABLED"


async def test_a_sub_process_that_lacks_an_input_fails(home: Home) -> None:
    await home.process("lamp", inputs=[{"name": "level"}])
    process = await home.process(
        "hall", mode="SWITCH", state="ENABLED", actions=[echo(), calls("lamp"), echo("never")]
    )
    message, execution = await fails(home, process)
    assert message == (
        'the execution of "hall" failed: action 2 ("process") failed: the process "lamp" failed:'
        " inputs.level: is missing"
    )
    assert [step["status"] for step in execution["steps"]] == ["SUCCEEDED", "FAILED"]
    assert execution["steps"][1]["subexecution"] is None
    assert execution["state"] == await state(home, process) == "ENABLED"


async def test_a_failure_three_levels_down_fails_every_level(home: Home) -> None:
    await with_trouble(home)
    await home.process("c", actions=[trouble("fail")])
    await home.process("b", actions=[calls("c")])
    a = await home.process("a", mode="SWITCH", actions=[calls("b", runsWhen="DISABLED")])
    message, execution = await fails(home, a)
    assert message == (
        'the execution of "a" failed: action 1 ("process") failed: the process "b" failed'
    )
    sub = execution["steps"][0]["subexecution"]
    assert sub["status"] == "FAILED"
    assert sub["error"] == 'action 1 ("process") failed: the process "c" failed'
    assert await state(home, a) == "DISABLED"
    statuses = await home.graph.run("SELECT DISTINCT status FROM execution")
    assert statuses == [{"status": "failed"}]


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
        assert execution["steps"][0]["error"] == "it was interrupted"
        assert execution["steps"][0]["subexecution"]["status"] == "FAILED"
        assert execution["steps"][0]["subexecution"]["steps"][0]["status"] == "FAILED"
        assert await state(home, inner) == "ENABLED"


async def test_a_disconnected_caller_leaves_a_failed_execution(home: Home) -> None:
    await with_trouble(home)
    process = await home.process("hall", actions=[trouble("sleep")], mode="SWITCH", state="ENABLED")
    running = asyncio.create_task(execute(home, process))
    await until(home.steps)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    for table in ("execution", "execution_step"):
        rows = await home.graph.run(
            f"SELECT status, error, finished_at IS NOT NULL AS ended FROM {table}"
        )
        assert rows == [{"status": "failed", "error": "it was interrupted", "ended": True}]
    assert await state(home, process) == "ENABLED"


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


# Visibility --------------------------------------------------------------------------------------


async def test_executions_of_a_deleted_process_stay_readable(home: Home) -> None:
    await home.profile("cleaner", "PROCESS_READ", "PROCESS_EXECUTE")
    await home.profile("other", "PROCESS_READ", "PROCESS_EXECUTE")
    process = await home.process(
        "hall", actions=[echo(arguments=arguments(a="1"))], profiles=[{"name": "cleaner"}]
    )
    execution = await execute(home, process, by="cleaner")
    before = await record(home, execution["id"])
    await home.do("deleteProcess", id=process)
    after = {**before, "process": None}
    assert await record(home, execution["id"]) == after
    assert await record(home, execution["id"], by="cleaner") == after
    assert await record(home, execution["id"], by="other") is None


async def test_a_restricted_profile_executes_processes_it_is_authorized_on(home: Home) -> None:
    await home.profile("cleaner", "PROCESS_READ", "PROCESS_EXECUTE")
    process = await home.process("hall", actions=[echo()])
    await home.error("executeProcess", "NOT_FOUND", by="cleaner", id=process)
    await home.do("authoriseProfile", process=process, profile={"name": "cleaner"})
    execution = await execute(home, process, by="cleaner")
    assert (await record(home, execution["id"]))["askedBy"] == "cleaner"


async def test_a_hidden_sub_process_runs_but_shows_nothing(home: Home) -> None:
    await with_trouble(home)
    await home.profile("cleaner", "PROCESS_READ", "PROCESS_EXECUTE")
    await home.process("vault", actions=[echo(arguments=arguments(code="4711")), trouble("fail")])
    await home.process("safe", actions=[echo(arguments=arguments(code="4711"))])
    for name, action in (("opens", "safe"), ("fails", "vault")):
        await home.process(name, actions=[calls(action)], profiles=[{"name": "cleaner"}])
    opens, failing = [
        (
            await home.graph.data(
                "query($r: String!) { process(reference: $r) { id } }", {"r": name}
            )
        )["process"]["id"]
        for name in ("opens", "fails")
    ]
    execution = await execute(home, opens, by="cleaner")
    mine = await record(home, execution["id"], by="cleaner")
    (step,) = mine["steps"]
    assert (step["status"], step["action"]) == ("SUCCEEDED", "safe")
    assert [step[name] for name in ("result", "error", "subprocess", "subexecution")] == [None] * 4
    assert "4711" not in json.dumps([execution, mine])
    assert "4711" in json.dumps(await record(home, execution["id"]))
    listed = await home.graph.data("{ executions { totalCount } }", profile="cleaner")
    assert listed["executions"]["totalCount"] == 1
    message, _ = await fails(home, failing, by="cleaner")
    assert message.endswith('failed: the process "vault" failed')


async def test_executing_requires_its_permission(home: Home) -> None:
    process = await home.process("hall")
    error = await home.error("executeProcess", "FORBIDDEN", by="guest", id=process)
    assert error["message"] == (
        "executeProcess needs the permission process:execute, which the profile guest does not have"
    )
    assert await execute(home, process, by="occupant")
    # Without read permission, a profile learns only that its execution succeeded.
    await home.profile("button", "PROCESS_EXECUTE")
    await home.do("authoriseProfile", process=process, profile={"name": "button"})
    assert await execute(home, process, by="button")
    error = await home.graph.error("{ executions { totalCount } }", profile="button")
    assert error["extensions"]["code"] == "FORBIDDEN"
