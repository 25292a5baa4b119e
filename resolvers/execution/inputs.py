"""Check the values of a process's inputs."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, NamedTuple

from resolvers.errors.catalogue import (
    FieldProblem,
    ProcessInputProblem,
    bad_input,
    bad_value,
)
from resolvers.execution.patterns import MAX_MATCHED, MAX_MATCHED_TOGETHER, matcher
from resolvers.values.numbers import is_number
from resolvers.values.text import shorten

Argument = tuple[str, str]
"""The reference and the value of an input."""

_TIME = re.compile(r"([01]\d|2[0-3]):[0-5]\d(:[0-5]\d)?", re.ASCII)
_COLOR = re.compile(r"#[0-9a-fA-F]{6}")
_INTEGER = re.compile(r"[+-]?[0-9]{1,100}")


_CHECKS: Mapping[str, tuple[Callable[[str], object], str]] = {
    "number": (is_number, "a number such as 21.5"),
    "integer": (_INTEGER.fullmatch, "a whole number"),
    "boolean": (lambda text: text in ("true", "false", "1", "0"), "true or false"),
    "choice": (bool, "one of its words"),
    "time": (_TIME.fullmatch, "a time such as 07:30"),
    "color": (_COLOR.fullmatch, "a color such as #ff8800"),
}
"""Check of each known type, and what it expects. Any other type accepts any text."""
MEASURED: Mapping[str, str] = {"number": "a number", "integer": "a whole number", "time": "a time"}
"""The types whose values can have a least and a greatest one and steps, and what they expect."""
_MOST_NAMED = 10
"""Choices that a message names."""


@dataclass(frozen=True, slots=True)
class InputRule:
    """What an input of a process accepts."""

    reference: str
    type: str
    """Any word. Those that are not known are text."""
    enabled: bool = True
    """The state in which a switch asks for it."""
    required: bool = True
    default: str | None = None
    """The value if the caller supplies none."""
    choices: tuple[str, ...] = ()
    """The only values that are accepted; empty if there are others."""
    min: float | None = None
    """Of a number; of a time, in seconds since midnight. So are ``max`` and ``step``."""
    max: float | None = None
    step: float | None = None
    """Values are ``min``, or else 0, and a multiple of this more or less."""
    pattern: str | None = None
    """A regular expression that the whole value has to match."""

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> InputRule:
        """Return the rule that a definition holds. Members that are left out have their default."""
        members = {name: value[name] for name in cls.__dataclass_fields__ if name in value}
        if "choices" in members:
            members["choices"] = tuple(members["choices"])
        for name in ("min", "max", "step"):  # JSON does not tell 1 from 1.0
            if members.get(name) is not None:
                members[name] = float(members[name])
        return cls(**members)


def value_problem(rule: InputRule, value: str) -> str | None:
    """Return what an input expects and what it got; None if it accepts the value.

    An input that is not required accepts the empty text, whatever its type is: a form sends it for
    a field that is not filled in, and it is what a process passes on that has no value itself.
    """
    if not rule.required and not value:
        return None
    expected = _expected(rule, value)
    return None if expected is None else f"expected {expected}, got {shorten(value)}"


def _expected(rule: InputRule, value: str) -> str | None:
    """Return what the input expects instead of a value; None if it accepts the value."""
    if rule.choices and value not in rule.choices:
        return f"one of {_named(rule.choices)}"
    check, expected = _CHECKS.get(rule.type, (None, ""))
    if check is not None and not check(value):
        return expected
    if rule.type in MEASURED and not _fits(rule, measure(rule.type, value)):
        return f"{MEASURED[rule.type]}{_bounds(rule)}"
    if rule.pattern is None:
        return None
    if len(value) > MAX_MATCHED:
        return f"at most {MAX_MATCHED:,} characters"
    try:
        matches = matcher(rule.pattern)
    except ValueError:  # the database was written by somebody else
        return "nothing, because the pattern of the input is not valid"
    return None if matches(value) else f"a text that matches {rule.pattern}"


def _named(choices: Sequence[str]) -> str:
    names = ", ".join(shorten(choice) for choice in choices[:_MOST_NAMED])
    more = len(choices) - _MOST_NAMED
    return f"{names} and {more:,} more" if more > 0 else names


def measure(type_: str, value: str) -> Fraction:
    """Return a valid number, or the seconds since midnight of a valid time, exactly."""
    if type_ != "time":
        return Fraction(value)
    parts = [int(part) for part in value.split(":")]
    return Fraction(sum(part * unit for part, unit in zip(parts, (3600, 60, 1), strict=False)))


def _exact(number: float) -> Fraction:
    """Return a stored number as it was written: 0.1 is a tenth."""
    return Fraction(repr(number))


def _fits(rule: InputRule, value: Fraction) -> bool:
    """Whether a number is between the least and the greatest one, and on a step."""
    if rule.min is not None and value < _exact(rule.min):
        return False
    if rule.max is not None and value > _exact(rule.max):
        return False
    if rule.step is None:
        return True
    return (value - _exact(rule.min or 0.0)) % _exact(rule.step) == 0


def _bounds(rule: InputRule) -> str:
    """Describe which numbers or times an input accepts: `` from 5 to 30 in steps of 0.5``."""
    shown = _as_time if rule.type == "time" else _plain
    text = ""
    if rule.min is not None and rule.max is not None:
        text = f" from {shown(rule.min)} to {shown(rule.max)}"
    elif rule.min is not None:
        text = f" of at least {shown(rule.min)}"
    elif rule.max is not None:
        text = f" of at most {shown(rule.max)}"
    if rule.step is not None:
        text += f" in steps of {_plain(rule.step)}{' s' if rule.type == 'time' else ''}"
    return text


def _plain(number: float) -> str:
    return str(int(number)) if number.is_integer() and abs(number) < 1e15 else repr(number)


def _as_time(seconds: float) -> str:
    whole = int(seconds)
    text = f"{whole // 3600:02}:{whole // 60 % 60:02}"
    return f"{text}:{whole % 60:02}" if whole % 60 else text


# Values of an execution ------------------------------------------------------------------------


class SuppliedValue(NamedTuple):
    """A value that the caller supplied for an input."""

    reference: str
    value: str
    reference_path: tuple[str | int, ...] = ("inputs",)
    """Path of the reference in the arguments."""
    value_path: tuple[str | int, ...] = ("inputs",)
    """Path of the value in the arguments."""


def by_reference(arguments: Sequence[Argument]) -> list[SuppliedValue]:
    """Return the values of the argument ``inputs``: references and values, in any order."""
    return [
        SuppliedValue(reference, value, ("inputs", index, "reference"), ("inputs", index, "value"))
        for index, (reference, value) in enumerate(arguments)
    ]


def by_position(inputs: Sequence[InputRule], values: Sequence[str]) -> list[SuppliedValue]:
    """Return the values of the argument ``values``: one for each of ``inputs``, in their order.

    Raises:
        GatewayError: ``BAD_USER_INPUT`` if there are more values than inputs.
    """
    if len(values) > len(inputs):
        raise bad_value(
            ("values", len(inputs)),
            f"expected at most {len(inputs)} values, got {len(values)}",
        )
    return [
        SuppliedValue(rule.reference, value, ("values", index), ("values", index))
        for index, (rule, value) in enumerate(zip(inputs, values, strict=False))
    ]


def check_inputs(
    inputs: Sequence[InputRule], state: bool | None, values: Sequence[SuppliedValue]
) -> list[Argument]:
    """Return the values to run a process with, in the order of its inputs.

    An input that the process asks for and that has no value gets its default, and the empty text if
    it has none and is not required.

    Args:
        inputs: The process's inputs.
        state: The state whose inputs are asked for; None for all of them (a simple process).
        values: The values that the caller supplied.

    Raises:
        GatewayError: ``BAD_USER_INPUT`` with every input that is missing, unknown, supplied twice
            or not what the input accepts.
    """
    problems: list[FieldProblem] = []
    accepted: dict[str, str] = {}
    matched = 0
    rules = {rule.reference: rule for rule in inputs}
    for reference, value, reference_path, value_path in values:
        detail = None
        if reference not in rules:
            detail = "the process has no such input"
        elif reference in accepted:
            detail = "is given twice"
        if detail is not None:
            problems.append(ProcessInputProblem(reference_path, detail, reference, detail))
            continue
        accepted[reference] = value
        if rules[reference].pattern is not None:
            matched += len(value)
        # A value beyond the limit is not matched: the sum is a problem itself.
        detail = value_problem(rules[reference], value) if matched <= MAX_MATCHED_TOGETHER else None
        if detail is not None:
            problems.append(ProcessInputProblem(value_path, detail, reference, detail))
    for rule in inputs_in(inputs, state):
        if rule.reference in accepted:
            continue
        if rule.default is None and rule.required:
            problems.append(
                _problem_of(rule, f'the input "{rule.reference}" is missing', "is missing")
            )
            continue
        accepted[rule.reference] = rule.default or ""
        detail = value_problem(rule, accepted[rule.reference])
        if detail is not None:
            detail = f"its default is not valid: {detail}"
            problems.append(_problem_of(rule, f'the input "{rule.reference}": {detail}', detail))
    if matched > MAX_MATCHED_TOGETHER:
        message = (
            f"the values of inputs with a pattern have {matched:,} characters together, and at most"
            f" {MAX_MATCHED_TOGETHER:,} are allowed"
        )
        problems.append(FieldProblem(("inputs",), message))
    if problems:
        raise bad_input(*problems)
    return [
        (rule.reference, accepted[rule.reference]) for rule in inputs if rule.reference in accepted
    ]


def _problem_of(rule: InputRule, message: str, detail: str) -> ProcessInputProblem:
    """Return a problem with an input for which the caller supplied no value."""
    return ProcessInputProblem(("inputs",), message, rule.reference, detail)


def inputs_in(inputs: Sequence[InputRule], state: bool | None) -> list[InputRule]:
    """Return the inputs that a process asks for in a state; all of them if the state is None."""
    return [rule for rule in inputs if state is None or rule.enabled is state]
