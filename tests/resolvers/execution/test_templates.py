"""Test that the arguments of actions stay short, however often a template names an input."""

from __future__ import annotations

import pytest

from resolvers.execution.templates import MAX_ARGUMENT, MAX_ARGUMENTS
from tests.resolvers.execution.executions import execute
from tests.resolvers.home import Home, arguments, calls, echo, problems

EXECUTE = """mutation($id: ID!, $inputs: [InputValue!]) {
    executeProcess(id: $id, inputs: $inputs) { execution { id } }
}"""


async def repeating(home: Home, *arguments_of_actions: dict[str, str], name: str = "lamp") -> str:
    """Create a process with an input ``a``, and an action for each of the arguments."""
    actions = [echo(arguments=arguments(**values)) for values in arguments_of_actions]
    return await home.process(name, actions=actions, inputs=[{"name": "a"}])


async def refused(home: Home, process: str, value: str) -> str:
    """Execute a process, which is bad input and records nothing; return the message."""
    error = await home.error(
        "executeProcess", "BAD_USER_INPUT", id=process, inputs=arguments(a=value)
    )
    assert set(problems(error)) == {("inputs",)}
    return problems(error)["inputs",]


async def test_an_argument_is_at_most_64_kib_when_it_is_filled_in(home: Home) -> None:
    lamp = await repeating(home, {"text": "first"}, {"text": "{a}" * 1024})
    execution = await execute(home, lamp, a="x" * 64)
    (_, step) = execution["steps"]
    assert len(step["arguments"][0]["value"]) == MAX_ARGUMENT
    assert await refused(home, lamp, "x" * 65) == (
        'the argument "text" of action 2 ("echo") would have 66,560 bytes, and at most 65,536 are'
        " allowed"
    )
    assert "66,560 bytes" not in await refused(home, lamp, "é" * 33)  # in UTF-8
    assert (await execute(home, lamp, a="é" * 32))["status"] == "SUCCEEDED"


async def test_400_bytes_do_not_become_40_megabytes(home: Home) -> None:
    lamp = await repeating(home, {"text": "{a}" * 100})
    assert "40,000,000 bytes" in await refused(home, lamp, "x" * 400_000)


async def test_all_arguments_of_an_action_are_at_most_256_kib(home: Home) -> None:
    texts = {f"text{number}": "{a}" for number in range(8)}
    lamp = await repeating(home, texts)
    value = "x" * (MAX_ARGUMENTS // 8)
    assert (await execute(home, lamp, a=value))["status"] == "SUCCEEDED"
    assert await refused(home, lamp, value + "x") == (
        'the arguments of action 1 ("echo") would have 262,152 bytes together, and at most 262,144'
        " are allowed"
    )


@pytest.mark.parametrize("value", ["", "x"])
async def test_an_argument_is_at_most_64_kib_as_it_is_written(home: Home, value: str) -> None:
    lamp = await repeating(home, {"text": "{a}" * (MAX_ARGUMENT // 3 + 1)})
    assert "at most 65,536 are allowed" in await refused(home, lamp, value)


async def test_only_actions_that_run_are_measured(home: Home) -> None:
    lamp = await home.process(
        "lamp",
        mode="SWITCH",
        state="ENABLED",
        actions=[
            echo(arguments=arguments(text="{a}")),
            echo(arguments=arguments(text="{a}" * 2000), runsWhen="DISABLED"),
        ],
        inputs=[{"name": "a"}, {"name": "a", "reference": "b", "askedWhen": "DISABLED"}],
    )
    inputs = arguments(a="x" * 100)
    executed = await home.do("executeProcess", id=lamp, inputs=inputs)
    assert executed["execution"]["status"] == "SUCCEEDED"
    assert "200,000 bytes" in await refused_with_b(home, lamp)


async def refused_with_b(home: Home, process: str) -> str:
    inputs = arguments(a="x" * 100, b="x")
    error = await home.error("executeProcess", "BAD_USER_INPUT", id=process, inputs=inputs)
    return problems(error)["inputs",]


async def test_a_nested_process_is_measured_before_it_starts(home: Home) -> None:
    await repeating(home, {"secret": "{a}" * 2000}, name="inner")
    outer = await home.process(
        "outer",
        actions=[echo(), calls("inner", arguments=arguments(a="{a}"))],
        inputs=[{"name": "a"}],
    )
    inputs = arguments(a="x" * 100)
    error = await home.graph.error(EXECUTE, {"id": outer, "inputs": inputs})
    assert error["extensions"]["code"] == "EXECUTION_FAILED"
    assert 'the process "inner" failed: an argument would be too long' in error["message"]
    assert "secret" not in error["message"]
    rows = await home.graph.run("SELECT process_reference FROM execution")
    assert [row["process_reference"] for row in rows] == ["outer"]
