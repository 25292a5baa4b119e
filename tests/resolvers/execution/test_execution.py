"""Test executing processes: order, sub-processes, records, and visibility."""

from __future__ import annotations

import json

import pytest

from resolvers.execution.templates import fill_in
from tests.resolvers.execution.engine import Bench, act
from tests.resolvers.execution.executions import (
    execute,
    fails,
    record,
    results,
    state,
    trouble,
    with_trouble,
)
from tests.resolvers.home import Home, arguments, calls, echo

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


async def test_a_step_takes_one_statement(bench: Bench) -> None:
    """Its end and the start of the next one share it, and nothing is read in between."""
    counts = []
    for name, steps in (("short", 3), ("long", 13)):
        await bench.process(name, *[act("on")] * steps)
        before = bench.home.graph.database.statements
        assert (await bench.execute(name)).status == "succeeded"
        counts.append(bench.home.graph.database.statements - before)
    assert counts[1] - counts[0] == 10


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
