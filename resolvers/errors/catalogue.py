"""Define the error catalogue: every kind of error.

An entry's name is GraphQL's ``extensions.code``. HTTP statuses and the codes of the legacy dialects
are in ``rest_compat.errors``. ``docs/errors.md`` lists exactly these entries; a test compares them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum


class ErrorKind(Enum):
    """An entry of the catalogue. Its value describes the error in the documentation."""

    BAD_USER_INPUT = "invalid input (shape, type, range, malformed JSON)"
    NOT_FOUND = "object does not exist, or is not visible to the caller"
    CONFLICT = "object already exists, is still in use, or has another version"
    DATABASE_UNAVAILABLE = "database unreachable, or it failed"
    TOKEN_EXPIRED = "token expired"  # noqa: S105 - a description
    UNAUTHENTICATED = "token missing or invalid"
    FORBIDDEN = "caller lacks the required permission"
    RATE_LIMITED = "too many requests, too costly ones at once, no connection free in time"
    EXECUTION_FAILED = "an action of an execution failed"
    PERSISTED_QUERY_NOT_SUPPORTED = "only the hash of a persisted query was sent"
    INTERNAL = "any other error"


_LONGEST_KEY = 255
"""Characters of a key in a message, as many as a reference has. An unknown key can be any text."""


@dataclass(frozen=True, slots=True)
class FieldProblem:
    """A problem with one value of the input, and the path to that value."""

    path: tuple[str | int, ...]
    """Keys and list indices from the root of the input to the value. Empty for the root itself."""
    message: str
    """What was expected and what was received, without the path."""

    def __str__(self) -> str:
        path = format_path(self.path)
        return f"{path}: {self.message}" if path else self.message


@dataclass(frozen=True, slots=True)
class ProcessInputProblem(FieldProblem):
    """A problem with the value of an input of a process to execute.

    GraphQL shows the path of the value in the arguments. The legacy dialects and calls between
    processes have no such arguments: there, the input's reference locates the problem.
    """

    reference: str
    """Reference of the input, as the caller spelled it."""
    detail: str
    """What was expected and what was received, without the reference."""

    @property
    def by_reference(self) -> FieldProblem:
        """The problem located by the input's reference."""
        return FieldProblem(("inputs", self.reference), self.detail)


def format_path(path: Sequence[str | int]) -> str:
    """Return a path as text: ``actions[2].arguments[0].value``. Very long keys are cut."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            key = part if len(part) <= _LONGEST_KEY else f"{part[: _LONGEST_KEY - 1]}…"
            text += f".{key}" if text else key
    return text


MOST_LISTED = 20
"""Problems that an answer lists before it says how many more there are (docs/contract.md §2)."""


class GatewayError(Exception):
    """An error that is reported to the caller in the format of the called API.

    ``message`` tells the caller what to fix. It never contains SQL, a stack trace, a host, a file
    path, or a secret. Details for operators are logged as the exception's cause.
    """

    kind: ErrorKind

    def __init__(
        self,
        kind: ErrorKind,
        message: str,
        *,
        problems: Sequence[FieldProblem] = (),
        more: int = 0,
        retry_after: int | None = None,
        details: dict[str, object] | None = None,
    ) -> None:
        super().__init__(message)
        self.kind = kind
        self.message = message
        self.problems = tuple(problems[:MOST_LISTED])
        """The first problems with the input."""
        self.more = more + max(len(problems) - MOST_LISTED, 0)
        """The number of further problems."""
        self.retry_after = retry_after
        """Whole seconds to wait before trying again; only for ``RATE_LIMITED``."""
        self.details = details or {}
        """Additional members of GraphQL's ``extensions``, such as the ID of a failed execution."""

    def __str__(self) -> str:
        return self.message

    @property
    def listed(self) -> tuple[FieldProblem, ...]:
        """The problems as an answer lists them.

        If there are more of them, the last item has an empty path and the message "and 9,980 more".
        """
        return listed(self.problems, self.more)


def listed(problems: Sequence[FieldProblem], more: int = 0) -> tuple[FieldProblem, ...]:
    """Return the first problems, and an item with the number of the others, if there are any.

    Args:
        more: The number of problems besides ``problems``.
    """
    more += max(len(problems) - MOST_LISTED, 0)
    others = (FieldProblem((), f"and {more:,} more"),) if more else ()
    return (*problems[:MOST_LISTED], *others)


def bad_input(*problems: FieldProblem, more: int = 0) -> GatewayError:
    """Return the error for input with these problems. Its message lists the first of them.

    Args:
        more: The number of problems that are not among ``problems``.
    """
    message = "; ".join(str(problem) for problem in listed(problems, more))
    return GatewayError(ErrorKind.BAD_USER_INPUT, message, problems=problems, more=more)


def bad_value(path: Sequence[str | int], message: str) -> GatewayError:
    """Return the error for one invalid value at ``path``."""
    return bad_input(FieldProblem(tuple(path), message))


def not_found(message: str, path: Sequence[str | int] = ()) -> GatewayError:
    """Return the error for an object that does not exist or is not visible to the caller."""
    problems = [FieldProblem(tuple(path), message)] if path else []
    return GatewayError(ErrorKind.NOT_FOUND, message, problems=problems)


def conflict(message: str, path: Sequence[str | int] = ()) -> GatewayError:
    """Return the error for an object that already exists, is in use, or has another version."""
    problems = [FieldProblem(tuple(path), message)] if path else []
    return GatewayError(ErrorKind.CONFLICT, message, problems=problems)


def missing_token() -> GatewayError:
    """Return the error for a request that needs a token and has none."""
    return GatewayError(
        ErrorKind.UNAUTHENTICATED, "there is no token; send it as 'Authorization: Bearer <token>'"
    )


def forbidden(message: str) -> GatewayError:
    """Return the error for a missing permission. ``message`` names the permission."""
    return GatewayError(ErrorKind.FORBIDDEN, message)
