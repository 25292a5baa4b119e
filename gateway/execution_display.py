"""Show an execution: as a tree, live in a terminal or line by line, or as JSON.

In a terminal the tree is drawn again in place. Elsewhere there is one line for each change that was
seen. What it shows comes from processes and sources, so characters that control a terminal are
replaced.
"""

from __future__ import annotations

import dataclasses
import re
import shutil
import sys
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import orjson

from resolvers.values.ids import global_id
from storage.execution.trace import TracedExecution, TracedStep

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")


@dataclass(frozen=True, slots=True)
class Line:
    """A line of the tree."""

    path: str
    """Where it is, such as ``leave_home/2/good_night/1``."""
    depth: int
    label: str
    """The last part of the path."""
    state: tuple[object, ...]
    """What a change of it changes."""
    text: str
    """How it is, with times; it follows the path or the label."""


class Display(ABC):
    """Shows an execution while it runs and at its end."""

    def show(self, execution: TracedExecution) -> None:  # noqa: B027 - JSON shows only the end
        """Show it as it is now."""

    @abstractmethod
    def end(self, execution: TracedExecution) -> None:
        """Show it for the last time."""

    def close(self) -> None:  # noqa: B027 - most displays leave nothing open
        """Leave it as it was shown last."""


def display_for(*, as_json: bool, follows: bool) -> Display:
    """Return the display for standard output.

    Args:
        as_json: Whether the end is printed as JSON, and nothing before.
        follows: Whether changes are shown. If not, the tree is shown once.
    """
    if as_json:
        return _Json()
    return _Lines() if follows and not sys.stdout.isatty() else _Live()


class _Json(Display):
    def end(self, execution: TracedExecution) -> None:
        print(as_json(execution).decode(), flush=True)


class _Lines(Display):
    """Prints what has changed."""

    def __init__(self) -> None:
        self._shown: dict[str, tuple[object, ...]] = {}

    def show(self, execution: TracedExecution) -> None:
        for line in lines_of(execution, ends_last=True):
            if self._shown.get(line.path) != line.state:
                self._shown[line.path] = line.state
                print(line.path + line.text, flush=True)

    end = show


class _Live(Display):
    """Draws the tree in place. Lines are cut at the edge, so that each takes one row."""

    def __init__(self) -> None:
        self._rows = 0

    def show(self, execution: TracedExecution) -> None:
        lines = list(tree_of(execution))
        # What has scrolled off the screen cannot be drawn again.
        height = max(shutil.get_terminal_size().lines - 1, 1)
        shown = lines[-height:]
        self._draw("\x1b[?7l" + "".join(f"{line}\n" for line in shown) + "\x1b[?7h")
        self._rows = len(shown)

    def end(self, execution: TracedExecution) -> None:
        self._draw("".join(f"{line}\n" for line in tree_of(execution)))

    def _draw(self, text: str) -> None:
        back = f"\x1b[{self._rows}F\x1b[J" if self._rows else ""
        sys.stdout.write(back + text)
        sys.stdout.flush()


# The tree ----------------------------------------------------------------------------------------


def tree_of(execution: TracedExecution) -> Iterator[str]:
    """Yield the lines of the whole tree, indented, with the attempts that failed."""
    for line in lines_of(execution, attempts=True):
        yield "  " * line.depth + line.label + line.text


def lines_of(
    execution: TracedExecution,
    path: str = "",
    depth: int = 0,
    *,
    ends_last: bool = False,
    attempts: bool = False,
) -> Iterator[Line]:
    """Yield the lines of an execution and all below it.

    Args:
        execution: The execution.
        path: The path of the step that ran it.
        depth: How far it is indented.
        ends_last: Whether what has ended comes after what is below it.
        attempts: Whether there is a line for each attempt before the last one.
    """
    label = _clean(execution.process_reference)
    path = f"{path}/{label}" if path else label
    name = f" (execution {execution.database_id})"
    dry = ", dry run" if execution.dry_run and not depth else ""
    taken = f", taken over {execution.takeovers} times" if execution.takeovers else ""
    own = _line(path, depth, label, name, execution, dry + taken)
    last = ends_last and execution.finished_at is not None
    if not last:
        yield own
    for step in execution.steps:
        yield from _lines_of_step(step, path, depth + 1, ends_last=ends_last, attempts=attempts)
    if last:
        yield own


def _lines_of_step(
    step: TracedStep, path: str, depth: int, *, ends_last: bool, attempts: bool
) -> Iterator[Line]:
    path = f"{path}/{step.position}"
    name = f" {_clean(step.source_name)} {_clean(step.action)}"
    attempt = f", attempt {step.attempt}" if step.attempt > 1 else ""
    if step.retry_in is not None:
        attempt = f", attempt {step.attempt + 1} in {max(step.retry_in, 0.0):.1f} s"
    own = _line(path, depth, str(step.position), name, step, attempt)
    last = ends_last and step.finished_at is not None
    if not last:
        yield own
    if attempts:
        for number, failed in enumerate(step.attempts, 1):
            label = f"attempt {number}"
            yield Line(f"{path}/{label}", depth + 1, label, (), f": {_attempt(failed)}")
    if step.subexecution is not None:
        yield from lines_of(
            step.subexecution, path, depth + 1, ends_last=ends_last, attempts=attempts
        )
    if last:
        yield own


def _line(
    path: str,
    depth: int,
    label: str,
    name: str,
    shown: TracedExecution | TracedStep,
    more: str,
) -> Line:
    """Return the line of an execution or a step."""
    # An execution is in doubt because of a step, whose line says so.
    doubt = ", in doubt" if shown.in_doubt and isinstance(shown, TracedStep) else ""
    cancelling = ""
    if isinstance(shown, TracedExecution) and shown.status == "running":
        cancelling = ", is being cancelled" if shown.cancel_requested_at is not None else ""
    error = "" if shown.error is None else f": {_clean(shown.error)}"
    text = f"{name}: {shown.status}{doubt}{cancelling}{more}, {shown.seconds:.2f} s{error}"
    attempt = shown.attempt if isinstance(shown, TracedStep) else shown.takeovers
    return Line(path, depth, label, (shown.status, shown.in_doubt, cancelling, attempt), text)


def _attempt(failed: Mapping[str, Any]) -> str:
    """Return how an attempt failed."""
    started, finished = (
        datetime.fromisoformat(failed[name]) for name in ("startedAt", "finishedAt")
    )
    doubt = ", in doubt" if failed["inDoubt"] else ""
    seconds = (finished - started).total_seconds()
    return f"{failed['errorCode']}{doubt}, {seconds:.2f} s: {_clean(failed['error'])}"


def _clean(text: str) -> str:
    """Return a text without characters that control a terminal."""
    return _CONTROL.sub("\ufffd", text)


# JSON --------------------------------------------------------------------------------------------


def as_json(execution: TracedExecution) -> bytes:
    """Return an execution as JSON, with the names, IDs and codes of GraphQL."""
    return orjson.dumps(
        _value(execution), option=orjson.OPT_INDENT_2 | orjson.OPT_UTC_Z | orjson.OPT_NON_STR_KEYS
    )


def _value(value: Any) -> Any:
    """Return what is shown of an execution, a step, or a list of steps."""
    if isinstance(value, TracedExecution | TracedStep):
        shown = {
            _camel(field.name): _value(getattr(value, field.name))
            for field in dataclasses.fields(value)
            if field.name != "retry_in"
        }
        for name in ("status", "errorCode", "trigger"):
            if shown.get(name) is not None:
                shown[name] = shown[name].upper()
        if isinstance(value, TracedExecution):
            shown = {"id": global_id("Execution", value.database_id), **shown}
        else:
            shown["attempts"] = [
                {**each, "errorCode": each["errorCode"].upper()} for each in value.attempts
            ]
        return shown
    if isinstance(value, list):
        return [_value(each) for each in value]
    return value


def _camel(name: str) -> str:
    first, *others = name.split("_")
    return first + "".join(map(str.title, others))
