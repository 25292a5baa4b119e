"""Test the inputs of executions: types, order, and problems."""

from __future__ import annotations

from typing import Any

import pytest

from resolvers.errors.catalogue import GatewayError
from resolvers.execution.inputs import InputRule, SuppliedValue, check_inputs
from resolvers.execution.patterns import matcher
from tests.resolvers.execution.executions import (
    execute,
    results,
)
from tests.resolvers.home import Home, arguments, calls, echo, nothing, problems


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


# What an input accepts ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "good", "bad"),
    [
        (
            {"type": "choice", "choices": ["whole house", "kitchen"]},
            ["kitchen"],
            {
                "no such room": 'expected one of "whole house", "kitchen", got "no such room"',
                "Kitchen": 'expected one of "whole house", "kitchen", got "Kitchen"',
                "": 'expected one of "whole house", "kitchen", got ""',
            },
        ),
        (
            {"type": "integer", "choices": ["1", "2"]},
            ["2"],
            {"+2": 'expected one of "1", "2", got "+2"'},
        ),
        (
            {"type": "text", "choices": [f"c{number}" for number in range(13)]},
            ["c12"],
            {
                "x": 'expected one of "c0", "c1", "c2", "c3", "c4", "c5", "c6", "c7", "c8", "c9"'
                ' and 3 more, got "x"'
            },
        ),
        (
            {"type": "number", "min": 0.1, "max": 0.7, "step": 0.2},
            ["0.1", "0.3", ".70", "1e-1"],
            {
                "0.2": 'expected a number from 0.1 to 0.7 in steps of 0.2, got "0.2"',
                "0.9": 'expected a number from 0.1 to 0.7 in steps of 0.2, got "0.9"',
                "-0.1": 'expected a number from 0.1 to 0.7 in steps of 0.2, got "-0.1"',
                "x": 'expected a number such as 21.5, got "x"',
            },
        ),
        (
            {"type": "number", "step": 0.1},
            ["0.3", "-0.7", "1e300", "123456789012345678901234567890.1"],
            {"0.25": 'expected a number in steps of 0.1, got "0.25"'},
        ),
        (
            {"type": "integer", "min": 2},
            ["2", "9" * 100],
            {"1": 'expected a whole number of at least 2, got "1"'},
        ),
        (
            {"type": "integer", "max": 2},
            ["2", "-" + "9" * 100],
            {"3": 'expected a whole number of at most 2, got "3"'},
        ),
        (
            {"type": "time", "min": 25_200, "max": 79_230, "step": 900},
            ["07:00", "07:15:00", "22:00"],
            {
                "06:59": 'expected a time from 07:00 to 22:00:30 in steps of 900 s, got "06:59"',
                "07:15:01": "expected a time from 07:00 to 22:00:30 in steps of 900 s, got"
                ' "07:15:01"',
                "7:15": 'expected a time such as 07:30, got "7:15"',
            },
        ),
        (
            {"type": "text", "pattern": "[a-c]+|é{2}"},
            ["abc", "éé"],
            {
                "abcd": 'expected a text that matches [a-c]+|é{2}, got "abcd"',
                "abc\n": 'expected a text that matches [a-c]+|é{2}, got "abc\\n"',
                "a" * 1001: f'expected at most 1,000 characters, got "{"a" * 38}…',
            },
        ),
        (
            {"type": "my own", "pattern": "a*"},
            ["", "aa"],
            {"b": 'expected a text that matches a*, got "b"'},
        ),
    ],
)
async def test_inputs_are_checked_by_what_they_accept(
    home: Home, settings: dict[str, Any], good: list[str], bad: dict[str, str]
) -> None:
    process = await home.process("takes", inputs=[{"name": "v", **settings}])
    for value in good:
        await execute(home, process, v=value)
    for value, message in bad.items():
        error = await home.error(
            "executeProcess", "BAD_USER_INPUT", id=process, inputs=arguments(v=value)
        )
        assert problems(error) == {("inputs", 0, "value"): message}


async def test_an_input_without_a_value_takes_its_default_or_is_empty(home: Home) -> None:
    process = await home.process(
        "hall",
        inputs=[
            {"name": "a", "default": "A"},
            {"name": "b", "required": False, "default": "B"},
            {"name": "c", "type": "number", "required": False},
            {"name": "d", "label": "The last one"},
        ],
        actions=[echo(arguments=arguments(x="{a}-{b}-{c}-{d}"))],
    )
    executed = await execute(home, process, d="D")
    assert results(executed) == [{"x": "A-B--D"}]
    assert executed["inputs"] == arguments(a="A", b="B", c="", d="D")
    # An empty field of a form is no value, unless the input is required.
    executed = await execute(home, process, d="", c="", b="", a="")
    assert results(executed) == [{"x": "---"}]
    error = await home.error("executeProcess", "BAD_USER_INPUT", id=process, inputs=[])
    assert problems(error) == {("inputs",): 'the input "d" is missing'}
    error = await home.error(
        "executeProcess", "BAD_USER_INPUT", id=process, inputs=arguments(c="x", d="")
    )
    assert problems(error) == {("inputs", 0, "value"): 'expected a number such as 21.5, got "x"'}


async def test_an_optional_value_is_passed_on_to_a_nested_process(home: Home) -> None:
    optional = {"name": "n", "type": "number", "required": False, "min": 1}
    await home.process("inner", inputs=[optional], actions=[echo(arguments=arguments(x="{n}"))])
    outer = await home.process(
        "outer", inputs=[optional], actions=[calls("inner", arguments=arguments(n="{n}"))]
    )
    for values, expected in (({}, ""), ({"n": "2"}, "2")):
        (step,) = results(await execute(home, outer, **values))
        assert step["results"] == [{"x": expected}]


async def test_a_switch_takes_the_defaults_of_its_state_only(home: Home) -> None:
    process = await home.process(
        "lamp",
        mode="SWITCH",
        inputs=[
            {"name": "on", "default": "1", "askedWhen": "DISABLED"},
            {"name": "off", "default": "0", "askedWhen": "ENABLED"},
        ],
    )
    assert (await execute(home, process))["inputs"] == arguments(on="1")
    assert (await execute(home, process))["inputs"] == arguments(off="0")


async def test_a_default_that_is_not_accepted_any_more_is_refused(home: Home) -> None:
    process = await home.process("hall", inputs=[{"name": "a", "default": "x"}])
    await home.graph.run("UPDATE input SET type = 'integer'")
    error = await home.error("executeProcess", "BAD_USER_INPUT", id=process, inputs=[])
    assert problems(error) == {
        ("inputs",): 'the input "a": its default is not valid: expected a whole number, got "x"'
    }
    await home.graph.run("UPDATE input SET pattern = '(', type = 'text'")
    error = await home.error(
        "executeProcess", "BAD_USER_INPUT", id=process, inputs=arguments(a="b")
    )
    assert problems(error) == {
        ("inputs", 0, "value"): "expected nothing, because the pattern of the input is not valid,"
        ' got "b"'
    }


async def test_values_that_patterns_check_are_bounded_together(home: Home) -> None:
    names = [f"n{number}" for number in range(6)]
    process = await home.process("hall", inputs=[{"name": n, "pattern": "a*"} for n in names])
    await execute(home, process, **dict.fromkeys(names, "a" * 833))
    error = await home.error(
        "executeProcess",
        "BAD_USER_INPUT",
        id=process,
        inputs=arguments(**dict.fromkeys(names, "a" * 834)),
    )
    assert problems(error) == {
        ("inputs",): "the values of inputs with a pattern have 5,004 characters together, and at"
        " most 5,000 are allowed"
    }


def test_matching_takes_linear_time() -> None:
    """A backtracking engine would take hours for each of these."""
    values = ("a" * 999 + "!", "ab" * 499 + "!", "x" * 1000)
    for pattern in ("(a+)+", "(a|a)*", "(a|ab)*", "(x+x+)+y", "(.*a){20}", "(.*)*b"):
        matches = matcher(pattern)
        assert not [value for value in values if matches(value)], pattern


def test_a_rule_is_read_from_a_definition() -> None:
    assert InputRule.from_json({"reference": "a", "type": "text"}) == InputRule("a", "text")
    written = {
        "reference": "a",
        "type": "number",
        "enabled": False,
        "required": False,
        "default": "2",
        "choices": ["1", "2"],
        "min": 1,
        "max": 2,
        "step": 1,
        "pattern": "[12]",
        "unit": "of no interest",
    }
    rule = InputRule.from_json(written)
    assert rule == InputRule("a", "number", False, False, "2", ("1", "2"), 1.0, 2.0, 1.0, "[12]")
    values = [SuppliedValue("a", "3")]
    with pytest.raises(GatewayError, match='inputs: expected one of "1", "2", got "3"'):
        check_inputs([rule], None, values)
