"""Translate exceptions into errors of the catalogue, and those into GraphQL's `errors`."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

from graphql import GraphQLError

from resolvers.errors.catalogue import ErrorKind, FieldProblem, GatewayError, bad_input
from storage.database.errors import (
    AlreadyExistsError,
    DatabaseBusyError,
    DatabaseUnavailableError,
    OutcomeUnknownError,
    ReadOnlyDatabaseError,
    StillInUseError,
)

logger = logging.getLogger(__name__)

_LONGEST_MESSAGE = 1000

_TAKEN = {
    "process_reference_key": "a process with this reference exists already",
    "espace_reference_key": "an espace with this reference exists already",
    "source_name_key": "a source with this name exists already",
    "profile_name_key": "a profile with this name exists already",
    "input_process_id_reference_key": "the process has an input with this reference already",
}
"""Message for each unique constraint of ``storage/migrations``."""
_IN_USE = {
    "process_espace_id_fkey": "the espace still has processes",
    "action_source_id_fkey": "the source is still acted on by processes",
    "action_subprocess_id_action_fkey": "the process is still run by other processes",
}
"""Message for each foreign key that prevents deleting a row."""


class InvalidLiteralError(GraphQLError):
    """A validation error of a document: a literal does not fit its type.

    Args:
        errors: What graphql-core reported about the literal.
        problems: The same as problems of the operation's arguments.
    """

    def __init__(self, errors: Sequence[GraphQLError], problems: Sequence[FieldProblem]) -> None:
        message = errors[0].message if len(errors) == 1 else bad_input(*problems).message
        super().__init__(message, [node for error in errors for node in error.nodes or ()])
        self.problems = tuple(problems)


def as_gateway_error(error: BaseException) -> GatewayError:
    """Return the catalogue's error for any exception. Log an unexpected one."""
    match error:
        case GatewayError():
            return error
        case DatabaseBusyError():
            return GatewayError(
                ErrorKind.RATE_LIMITED,
                f"the database is busy; try again in {error.retry_after} s",
                retry_after=error.retry_after,
            )
        case ReadOnlyDatabaseError():
            return GatewayError(
                ErrorKind.DATABASE_UNAVAILABLE,
                "the database is read-only at the moment; reads work, writes do not",
            )
        case OutcomeUnknownError():
            return GatewayError(
                ErrorKind.DATABASE_UNAVAILABLE,
                "the database did not confirm the write; it may or may not have been saved: read"
                " before you repeat it",
                details={"outcome": "UNKNOWN"},
            )
        case DatabaseUnavailableError():
            return GatewayError(
                ErrorKind.DATABASE_UNAVAILABLE,
                "the database is out of reach or failed; try again later",
            )
        case AlreadyExistsError():
            return GatewayError(
                ErrorKind.CONFLICT, _TAKEN.get(error.constraint, "it exists already")
            )
        case StillInUseError():
            return GatewayError(
                ErrorKind.CONFLICT, _IN_USE.get(error.constraint, "it is still in use")
            )
    logger.error("an unexpected error", exc_info=error)
    return GatewayError(ErrorKind.INTERNAL, "something went wrong in the gateway")


def from_graphql(error: GraphQLError) -> GatewayError:
    """Return the catalogue's error behind a GraphQL error: what a resolver raised, or bad input."""
    if isinstance(error, InvalidLiteralError):
        return GatewayError(
            ErrorKind.BAD_USER_INPUT, _shortened(error.message), problems=error.problems
        )
    if error.original_error is not None and not isinstance(error.original_error, GraphQLError):
        return as_gateway_error(error.original_error)
    return GatewayError(ErrorKind.BAD_USER_INPUT, _shortened(error.message))


def _shortened(message: str) -> str:
    """Return a message of graphql-core, truncated if it is long: it repeats the client's input."""
    return message if len(message) <= _LONGEST_MESSAGE else f"{message[:_LONGEST_MESSAGE]}…"


def entry(
    error: GatewayError,
    *,
    path: list[str | int] | None = None,
    locations: list[dict[str, int]] | None = None,
) -> dict[str, Any]:
    """Return an item of ``errors`` in a GraphQL response.

    ``extensions`` has the catalogue's ``code``. Bad input also has ``problems``, each with a
    message and the path of the value in the operation's arguments.
    """
    extensions: dict[str, Any] = {"code": error.kind.name, **error.details}
    if error.problems:
        extensions["problems"] = [
            {"path": list(problem.path), "message": problem.message} for problem in error.listed
        ]
    if error.retry_after is not None:
        extensions["retryAfter"] = error.retry_after
    item: dict[str, Any] = {"message": error.message, "extensions": extensions}
    if path:
        item["path"] = path
    if locations:
        item["locations"] = locations
    return item


def entry_of_graphql(error: GraphQLError) -> dict[str, Any]:
    """Return an item of ``errors`` for an error that graphql-core reported or passed on."""
    locations = [{"line": place.line, "column": place.column} for place in error.locations or ()]
    return entry(from_graphql(error), path=error.path, locations=locations)
