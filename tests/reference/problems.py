"""List what of a process cannot work as it is written."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from resolvers.execution.sources.registry import installed_kinds
from tests.reference.model import Row, Rows

KINDS = {"process", *installed_kinds()}
"""The source kinds that are installed, which no rule decides."""
MOST = 100

Problem = dict[str, Any]


def problems_of(
    process: Row, rows: Rows, knows: Callable[[int], bool], *, writes: bool
) -> list[Problem]:
    """Return the problems of a process.

    Args:
        rows: All rows of all tables.
        knows: Whether the viewer sees the process with this ID.
        writes: Whether the viewer may write processes.
    """
    actions = [row for row in rows["action"] if row["process_id"] == process["id"]]
    problems: list[Problem] = []
    for action in sorted(actions, key=lambda row: row["position"]):
        (source,) = (row for row in rows["source"] if row["id"] == action["source_id"])
        problems += _of_kind(action, source)
        offers = writes and source["kind"] != "process" and source["kind"] in KINDS
        if offers:
            problems += _of_action(action, source)
        problems += _of_placeholders(action, _inputs(process["id"], rows))
        if action["subprocess_id"] is not None and knows(action["subprocess_id"]):
            (called,) = (row for row in rows["process"] if row["id"] == action["subprocess_id"])
            problems += _of_call(action, called, _inputs(called["id"], rows))
        if offers:
            problems += _of_arguments(action, source)
    return problems[:MOST]


def _inputs(process_id: int, rows: Rows) -> list[Row]:
    own = (row for row in rows["input"] if row["process_id"] == process_id)
    return sorted(own, key=lambda row: row["position"])


def _of_kind(action: Row, source: Row) -> Iterator[Problem]:
    if source["kind"] not in KINDS:
        yield _problem(
            action,
            "UNKNOWN_SOURCE_KIND",
            f'the kind of the source "{source["name"]}", on which action {action["position"]} acts,'
            " is not installed",
        )


def _offered(action: Row, source: Row) -> dict[str, Any] | None:
    """Return what the source offers by the name of the action."""
    for each in source["catalogue"]["actions"]:
        if each["name"] == action["action"]:
            return dict(each)
    return None


def _of_action(action: Row, source: Row) -> Iterator[Problem]:
    if not source["catalogue"]["takesAnyAction"] and _offered(action, source) is None:
        yield _problem(
            action,
            "UNKNOWN_ACTION",
            f'action {action["position"]} runs "{action["action"]}" of the source'
            f' "{source["name"]}", which offers no such action',
        )


def _of_arguments(action: Row, source: Row) -> Iterator[Problem]:
    offered = _offered(action, source)
    if offered is None:
        return
    name = f'"{action["action"]}" of the source "{source["name"]}"'
    known = [argument["reference"] for argument in offered["arguments"]]
    given = [argument["reference"] for argument in action["arguments"]]
    for reference in given:
        if reference not in known and not source["catalogue"]["takesAnyArgument"]:
            yield _problem(
                action,
                "UNKNOWN_ARGUMENT",
                f'action {action["position"]} gives "{reference}" to {name},'
                " which has no such argument",
                reference,
            )
    for argument in offered["arguments"]:
        if argument["required"] and argument["reference"] not in given:
            yield _problem(
                action,
                "MISSING_ARGUMENT",
                f'action {action["position"]} runs {name} without "{argument["reference"]}",'
                " which it requires",
                argument["reference"],
            )


def _of_placeholders(action: Row, inputs: list[Row]) -> Iterator[Problem]:
    known = {row["reference"] for row in inputs}
    for argument in action["arguments"]:
        for name in dict.fromkeys(placeholders(argument["value"])):
            if (
                name not in known
                and len(name) <= 255
                and not name.lstrip(" \t\n\r").startswith('"')
            ):
                yield _problem(
                    action,
                    "UNKNOWN_PLACEHOLDER",
                    f'the argument "{argument["reference"]}" of action {action["position"]} names'
                    f' the input "{name}", which the process does not have',
                    argument["reference"],
                    name,
                )


def placeholders(template: str) -> Iterator[str]:
    """Yield what is in the innermost braces of a text, unless there is nothing."""
    name: str | None = None
    for character in template:
        if character == "{":
            name = ""
        elif character == "}":
            if name:
                yield name
            name = None
        elif name is not None:
            name += character


def _of_call(action: Row, called: Row, inputs: list[Row]) -> Iterator[Problem]:
    known = {row["reference"] for row in inputs}
    given = [argument["reference"] for argument in action["arguments"]]
    for reference in given:
        if reference not in known:
            yield _problem(
                action,
                "UNKNOWN_ARGUMENT",
                f'action {action["position"]} gives "{reference}" to the process'
                f' "{called["reference"]}", which has no such input',
                reference,
            )
    for row in inputs:
        if row["required"] and row["default_value"] is None and row["reference"] not in given:
            state = "enabled" if row["enabled"] else "disabled"
            yield _problem(
                action,
                "MISSING_ARGUMENT",
                f'action {action["position"]} runs the process "{called["reference"]}" without'
                f' "{row["reference"]}", which it requires'
                + (f" while it is {state}" if called["mode"] == "switch" else ""),
                row["reference"],
            )


def _problem(
    action: Row, code: str, message: str, argument: str | None = None, name: str | None = None
) -> Problem:
    return {
        "code": code,
        "message": message,
        "position": action["position"],
        "argument": argument,
        "input": name,
    }
