"""Check the settings of processes and of inputs: those that have to fit each other."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from resolvers.errors.catalogue import FieldProblem, bad_input, bad_value
from resolvers.execution.inputs import MEASURED, InputRule, value_problem
from resolvers.execution.patterns import MAX_MATCHED_TOGETHER, matcher
from resolvers.rules.keys import Path
from resolvers.rules.models import NewInputModel, NewProcessModel, accept
from resolvers.values.enums import ProcessConcurrency, ProcessMode

_LAST_SECOND = 24 * 3600 - 1
"""The last second of a day, since midnight."""

_COLUMNS: Mapping[str, str] = {
    **{name: name for name in InputRule.__dataclass_fields__},
    "default": "default_value",
}
RULED = frozenset(_COLUMNS.values()) - {"reference", "enabled"}
"""The columns of an input that have to fit each other."""


def require_concurrency(concurrency: ProcessConcurrency | None, mode: str, path: Path) -> None:
    """Check that a process of this mode can have this concurrency; None is not checked.

    Args:
        path: Path of the process in the arguments.

    Raises:
        GatewayError: ``BAD_USER_INPUT``, if it cannot.
    """
    if concurrency is ProcessConcurrency.PARALLEL and mode == ProcessMode.SWITCH.value:
        raise bad_value(
            (*path, "concurrency"),
            "expected SINGLE, QUEUED or RESTART, got PARALLEL: the executions of a switch depend on"
            " its state",
        )


def accept_process(value: Any, argument: str) -> NewProcessModel:
    """Validate a new process, and raise ``BAD_USER_INPUT`` with every problem and its path.

    Args:
        argument: The name of the argument that holds it.
    """
    new = accept(NewProcessModel, value, argument)
    require_concurrency(new.concurrency, str(new.mode.value), (argument,))
    problems = [
        FieldProblem((argument, "inputs", index, *path), message)
        for index, part in enumerate(new.inputs)
        for path, message in rule_problems(rule_of(part))
    ]
    if problems:
        raise bad_input(*problems)
    return new


def rule_of(new: NewInputModel) -> InputRule:
    """Return what a new input accepts."""
    return InputRule(
        new.short_name,
        new.type,
        new.asked_when.value,
        new.required,
        new.default,
        tuple(new.choices),
        new.min,
        new.max,
        new.step,
        new.pattern,
    )


def rule_of_row(row: Mapping[str, Any]) -> InputRule:
    """Return what an input accepts, from its columns."""
    return InputRule.from_json({name: row[column] for name, column in _COLUMNS.items()})


def require_sound(rule: InputRule, path: Path) -> None:
    """Check that the settings of an input fit each other.

    Args:
        path: Path of the input in the arguments.

    Raises:
        GatewayError: ``BAD_USER_INPUT`` with every problem.
    """
    problems = [FieldProblem((*path, *field), message) for field, message in rule_problems(rule)]
    if problems:
        raise bad_input(*problems)


def rule_problems(rule: InputRule) -> list[tuple[Path, str]]:
    """Return the settings of an input that do not fit: the path of each, and what was expected."""
    problems = [*_bounds_problems(rule), *_choices_problems(rule)]
    if rule.pattern is not None:
        try:
            matcher(rule.pattern)
        except ValueError as error:
            problems.append((("pattern",), str(error)))
    return problems or [*_value_problems(rule)]


def _bounds_problems(rule: InputRule) -> Iterator[tuple[Path, str]]:
    bounds = {"min": rule.min, "max": rule.max, "step": rule.step}
    given = {name: number for name, number in bounds.items() if number is not None}
    if rule.type not in MEASURED:
        for name in given:
            yield (name,), "only inputs of the types number, integer and time have it"
        return
    if rule.step is not None and not rule.step > 0:
        yield ("step",), f"expected a number above 0, got {rule.step:g}"
    if rule.type == "time":
        for name in ("min", "max"):
            if name in given and not 0 <= given[name] <= _LAST_SECOND:
                message = f"expected seconds since midnight, from 0 to {_LAST_SECOND:,}"
                yield (name,), f"{message}, got {given[name]:,g}"
    if rule.min is not None and rule.max is not None and rule.min > rule.max:
        yield ("max",), f"expected at least {rule.min:g}, which is the min, got {rule.max:g}"


def _choices_problems(rule: InputRule) -> Iterator[tuple[Path, str]]:
    known: set[str] = set()
    for index, choice in enumerate(rule.choices):
        if choice in known:
            yield ("choices", index), "is given twice"
        known.add(choice)


def _value_problems(rule: InputRule) -> Iterator[tuple[Path, str]]:
    """Yield the choices and the default that the input would not accept."""
    if rule.pattern is not None and sum(map(len, rule.choices)) > MAX_MATCHED_TOGETHER:
        most = f"{MAX_MATCHED_TOGETHER:,}"
        yield ("choices",), f"with a pattern, expected at most {most} characters in all choices"
        return
    without = replace(rule, choices=(), required=True)
    for index, choice in enumerate(rule.choices):
        problem = value_problem(without, choice)
        if problem is not None:
            yield ("choices", index), problem
    if rule.default is not None:
        problem = value_problem(rule, rule.default)
        if problem is not None:
            yield ("default",), problem
