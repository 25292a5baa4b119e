"""In charge of the error catalogue: everything that can go wrong, once, with its words in each API.

The table is the contract's (CONTRACT.md §2). GraphQL, both dialects and their OpenAPI documents
render from it, and ``docs/errors.md`` lists exactly its entries (a test holds the two together).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum


@dataclass(frozen=True, slots=True)
class Words:
    """What one kind of error is called in each API."""

    graphql: str
    """GraphQL ``extensions.code``."""
    process: str
    """``code`` of the /process dialect's envelope."""
    processes: int
    """``code`` of the /processes dialect."""
    status: int
    """HTTP status, everywhere but where ``processes_status`` says otherwise."""
    summary: str
    """What happened, for documentation."""
    processes_status: int | None = None
    """HTTP status in the /processes dialect where it differs."""


class ErrorKind(Enum):
    """One line of the catalogue."""

    BAD_USER_INPUT = Words(
        "BAD_USER_INPUT", "invalid", 1001, 400, "bad input (shape, type, range, broken JSON)"
    )
    NOT_FOUND = Words(
        "NOT_FOUND", "not_found", 1005, 404, "no such thing, or not visible to the caller"
    )
    CONFLICT = Words(
        "CONFLICT", "conflict", 1001, 409, "exists already, or still in use", processes_status=400
    )
    DATABASE_UNAVAILABLE = Words(
        "DATABASE_UNAVAILABLE", "unavailable", 1006, 503, "database out of reach, or it failed"
    )
    TOKEN_EXPIRED = Words("TOKEN_EXPIRED", "token_expired", 2002, 401, "token expired")
    UNAUTHENTICATED = Words(
        "UNAUTHENTICATED", "unauthenticated", 2004, 401, "no token, or one that is not valid"
    )
    FORBIDDEN = Words("FORBIDDEN", "forbidden", 3001, 403, "the caller may not do that")
    RATE_LIMITED = Words("RATE_LIMITED", "rate_limited", 6001, 429, "too many requests")
    EXECUTION_FAILED = Words(
        "EXECUTION_FAILED", "execution_failed", 1006, 502, "an action of an execution failed"
    )
    INTERNAL = Words("INTERNAL", "internal", 1006, 500, "anything else")

    @property
    def words(self) -> Words:
        """The words of this kind in each API."""
        return self.value


PROCESSES_MESSAGES: dict[int, str] = {
    1001: "Incorrect data",
    1005: "Resource with this id is not exists",
    1006: "Error access to database",
    2002: "Access token expired",
    2004: "No access token",
    3001: "Access to this resource is denied",
    6001: "Too many requests. Try again later",
}
"""The fixed ``message`` of each code of the /processes dialect, to the letter."""


@dataclass(frozen=True, slots=True)
class FieldProblem:
    """What is wrong with one value of the input, and where it stands."""

    path: tuple[str | int, ...]
    """Keys and list indices from the top of the input to the value; empty for all of it."""
    message: str
    """What was expected and what came, without the place."""

    def __str__(self) -> str:
        place = format_path(self.path)
        return f"{place}: {self.message}" if place else self.message


def format_path(path: Sequence[str | int]) -> str:
    """Write a path as a person would: ``actions[2].arguments[0].value``."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            text += f".{part}" if text else part
    return text


class GatewayError(Exception):
    """A failure that the caller is told about, in the words of the API that it used.

    ``message`` tells the caller what to mend. It never holds SQL, a stack trace, a host, a file
    path or a secret: what only an operator may know goes to the log, as the exception's cause.
    """

    kind: ErrorKind

    def __init__(
        self,
        kind: ErrorKind,
        message: str,
        *,
        problems: Sequence[FieldProblem] = (),
        retry_after: float | None = None,
        details: dict[str, object] | None = None,
    ) -> None:
        super().__init__(message)
        self.kind = kind
        self.message = message
        self.problems = tuple(problems)
        self.retry_after = retry_after
        """Seconds to wait before trying again; only of ``RATE_LIMITED``."""
        self.details = details or {}
        """More facts for GraphQL's ``extensions``, such as the id of a failed execution."""

    def __str__(self) -> str:
        return self.message


def bad_input(*problems: FieldProblem) -> GatewayError:
    """The error for input that has these problems; its message names all of them."""
    message = "; ".join(str(problem) for problem in problems[:10])
    if len(problems) > 10:
        message += f"; and {len(problems) - 10} more"
    return GatewayError(ErrorKind.BAD_USER_INPUT, message, problems=problems)


def bad_value(path: Sequence[str | int], message: str) -> GatewayError:
    """The error for one wrong value at ``path``."""
    return bad_input(FieldProblem(tuple(path), message))


def not_found(message: str, path: Sequence[str | int] = ()) -> GatewayError:
    """The error for a thing that does not exist, or that the caller may not know of."""
    problems = [FieldProblem(tuple(path), message)] if path else []
    return GatewayError(ErrorKind.NOT_FOUND, message, problems=problems)


def conflict(message: str, path: Sequence[str | int] = ()) -> GatewayError:
    """The error for a thing that exists already or is still in use."""
    problems = [FieldProblem(tuple(path), message)] if path else []
    return GatewayError(ErrorKind.CONFLICT, message, problems=problems)


def forbidden(message: str) -> GatewayError:
    """The error for a caller who lacks a permission; the message names the permission."""
    return GatewayError(ErrorKind.FORBIDDEN, message)
