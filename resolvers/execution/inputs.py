"""Check the values of a process's inputs."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from resolvers.errors.catalogue import (
    FieldProblem,
    ProcessInputProblem,
    bad_input,
    bad_value,
)
from resolvers.values.text import shorten

Argument = tuple[str, str]

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
"""Check of each known type, and what it expects. Any other type accepts any text."""


@dataclass(frozen=True, slots=True)
class InputRule:
    """An input of a process, as values for it are checked."""

    reference: str
    type: str
    enabled: bool

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> InputRule:
        """Return a rule from the JSON of a definition."""
        return cls(values["reference"], values["type"], values["enabled"])


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
        SuppliedValue(row.reference, value, ("values", index), ("values", index))
        for index, (row, value) in enumerate(zip(inputs, values, strict=False))
    ]


def check_inputs(
    inputs: Sequence[InputRule], state: bool | None, values: Sequence[SuppliedValue]
) -> list[Argument]:
    """Return the values to run a process with, in the order of its inputs.

    Args:
        inputs: The process's inputs.
        state: The state whose inputs are required; None for all of them (a simple process).
        values: The values that the caller supplied.

    Raises:
        GatewayError: ``BAD_USER_INPUT`` with every input that is missing, unknown, supplied twice
            or not of its type.
    """
    problems: list[FieldProblem] = []
    accepted: dict[str, str] = {}
    types = {row.reference: row.type for row in inputs}
    for reference, value, reference_path, value_path in values:
        if reference not in types:
            detail = "the process has no such input"
            problems.append(ProcessInputProblem(reference_path, detail, reference, detail))
        elif reference in accepted:
            detail = "is given twice"
            problems.append(ProcessInputProblem(reference_path, detail, reference, detail))
        else:
            accepted[reference] = value
            check, expected = _CHECKS.get(types[reference], (None, ""))
            if check is not None and not check(value):
                detail = f"expected {expected}, got {shorten(value)}"
                problems.append(ProcessInputProblem(value_path, detail, reference, detail))
    for row in inputs_in(inputs, state):
        if row.reference not in accepted:
            message = f'the input "{row.reference}" is missing'
            problems.append(ProcessInputProblem(("inputs",), message, row.reference, "is missing"))
    if problems:
        raise bad_input(*problems)
    return [(row.reference, accepted[row.reference]) for row in inputs if row.reference in accepted]


def inputs_in(inputs: Sequence[InputRule], state: bool | None) -> list[InputRule]:
    """Return the inputs that a process requires in a state; all of them if the state is None."""
    return [row for row in inputs if state is None or row.enabled is state]
