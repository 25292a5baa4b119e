"""Test the inputs of executions: types, order, and problems."""

from __future__ import annotations

from typing import Any

import pytest

from tests.resolvers.execution.executions import (
    execute,
    results,
)
from tests.resolvers.home import Home, arguments, echo, nothing, problems


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


async def test_more_values_than_a_process_can_have_inputs_are_rejected(home: Home) -> None:
    process = await home.process("hall", inputs=[{"name": "a"}])
    items = {"inputs": {"reference": "a", "value": ""}, "values": ""}
    for argument, item in items.items():
        many: dict[str, Any] = {argument: [item] * 1001}
        error = await home.error("executeProcess", "BAD_USER_INPUT", id=process, **many)
        assert problems(error) == {(argument,): "expected at most 1,000 items"}
