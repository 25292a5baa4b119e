"""In charge of the values that a caller supplies: are they all there, are they what they should be,
and where do they go in a template.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence

from resolvers.errors.catalogue import FieldProblem, bad_input, bad_value
from resolvers.values.text import shorten
from storage.writes.executions import Argument, InputRow

_TIME = re.compile(r"([01]\d|2[0-3]):[0-5]\d(:[0-5]\d)?")
_COLOR = re.compile(r"#[0-9a-fA-F]{6}")
_INTEGER = re.compile(r"[+-]?[0-9]{1,100}")
_NUMBER = re.compile(r"[+-]?([0-9]{1,100}(\.[0-9]{0,100})?|\.[0-9]{1,100})([eE][+-]?[0-9]{1,3})?")


def _is_number(text: str) -> bool:
    return _NUMBER.fullmatch(text) is not None and math.isfinite(float(text))


_CHECKS: Mapping[str, tuple[Callable[[str], object], str]] = {
    "number": (_is_number, "a number such as 21.5"),
    "integer": (_INTEGER.fullmatch, "a whole number"),
    "boolean": (lambda text: text in ("true", "false", "1", "0"), "true or false"),
    "choice": (bool, "one of its words"),
    "time": (_TIME.fullmatch, "a time such as 07:30"),
    "color": (_COLOR.fullmatch, "a color such as #ff8800"),
}
"""What each known type takes; any other type takes any text."""


def check_inputs(
    inputs: Sequence[InputRow], state: bool | None, given: Sequence[Argument]
) -> list[Argument]:
    """The values to run a process with, in the order of its inputs.

    Args:
        inputs: the process's inputs.
        state: the state whose inputs are asked for; None for all of them (a simple process).
        given: what the caller supplied.

    Raises:
        GatewayError: ``BAD_USER_INPUT`` with every input that is missing, unknown, given twice or
            not of its type.
    """
    wrong: list[FieldProblem] = []
    values: dict[str, str] = {}
    known = {known.reference: known for known in inputs}
    for reference, value in given:
        if reference not in known:
            wrong.append(_problem(reference, "the process has no such input"))
        elif reference in values:
            wrong.append(_problem(reference, "is given twice"))
        else:
            values[reference] = value
            check, expected = _CHECKS.get(known[reference].type, (None, ""))
            if check is not None and not check(value):
                wrong.append(_problem(reference, f"expected {expected}, got {shorten(value)}"))
    wrong += [
        _problem(asked.reference, "is missing")
        for asked in asked_in(inputs, state)
        if asked.reference not in values
    ]
    if wrong:
        raise bad_input(*wrong)
    return [
        (asked.reference, values[asked.reference]) for asked in inputs if asked.reference in values
    ]


def asked_in(inputs: Sequence[InputRow], state: bool | None) -> list[InputRow]:
    """The inputs that take part in a state; all of them where it is None."""
    return [asked for asked in inputs if state is None or asked.enabled is state]


def in_turn(asked: Sequence[InputRow], values: Sequence[str]) -> list[Argument]:
    """Values that came without references, each with that of the input in its place.

    Raises:
        GatewayError: ``BAD_USER_INPUT`` where there are more of them than inputs.
    """
    if len(values) > len(asked):
        raise bad_value(
            ("values", len(asked)),
            f"expected at most {len(asked)} values, got {len(values)}",
        )
    return [(known.reference, value) for known, value in zip(asked, values, strict=False)]


def fill_in(template: str, values: Mapping[str, str]) -> str:
    """A template with each ``{reference}`` replaced by that input's value.

    Braces around anything else stay, so that a value can be JSON; what is filled in is not looked
    at again.
    """
    if "{" not in template:
        return template
    return re.sub(r"\{([^{}]+)\}", lambda found: values.get(found[1], found[0]), template)


def _problem(reference: str, message: str) -> FieldProblem:
    return FieldProblem(("inputs", reference), message)
