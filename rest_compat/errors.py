"""Map each error of the catalogue to its HTTP status and its code in each dialect.

``docs/errors.md`` contains the same table; a test compares them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from resolvers.errors.catalogue import ErrorKind


@dataclass(frozen=True, slots=True)
class ErrorCodes:
    """The codes of one kind of error."""

    process: str | None
    """``code`` in the /process dialect's envelope; None if only GraphQL has the error."""
    processes: int | None
    """``code`` in the /processes dialect; None if only GraphQL has the error."""
    status: int
    """HTTP status, of GraphQL as well, where a request that was not executed has one of its own
    (docs/contract.md §6)."""
    processes_status: int | None = None
    """HTTP status in the /processes dialect, if it differs."""


ERROR_CODES: Mapping[ErrorKind, ErrorCodes] = {
    ErrorKind.BAD_USER_INPUT: ErrorCodes("invalid", 1001, 400),
    ErrorKind.NOT_FOUND: ErrorCodes("not_found", 1005, 404),
    ErrorKind.CONFLICT: ErrorCodes("conflict", 1001, 409, processes_status=400),
    ErrorKind.DATABASE_UNAVAILABLE: ErrorCodes("unavailable", 1006, 503),
    ErrorKind.TOKEN_EXPIRED: ErrorCodes("token_expired", 2002, 401),
    ErrorKind.UNAUTHENTICATED: ErrorCodes("unauthenticated", 2004, 401),
    ErrorKind.FORBIDDEN: ErrorCodes("forbidden", 3001, 403),
    ErrorKind.RATE_LIMITED: ErrorCodes("rate_limited", 6001, 429),
    ErrorKind.EXECUTION_FAILED: ErrorCodes("execution_failed", 1006, 502),
    ErrorKind.PERSISTED_QUERY_NOT_SUPPORTED: ErrorCodes(None, None, 400),
    ErrorKind.INTERNAL: ErrorCodes("internal", 1006, 500),
}

PROCESSES_MESSAGES: Mapping[int, str] = {
    1001: "Incorrect data",
    1005: "Resource with this id is not exists",
    1006: "Error access to database",
    2002: "Access token expired",
    2004: "No access token",
    3001: "Access to this resource is denied",
    6001: "Too many requests. Try again later",
}
"""The fixed ``message`` of each code of the /processes dialect (docs/contract.md §2)."""


def http_status(kind: ErrorKind) -> int:
    """Return the HTTP status of an error, in GraphQL and in the /process dialect."""
    return ERROR_CODES[kind].status
