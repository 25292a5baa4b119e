"""In charge of turning whatever was raised into the catalogue's errors, and into GraphQL's."""

from __future__ import annotations

import logging
from typing import Any

from graphql import GraphQLError

from resolvers.errors.catalogue import ErrorKind, FieldProblem, GatewayError
from storage.database.errors import AlreadyExistsError, DatabaseUnavailableError, StillInUseError

logger = logging.getLogger(__name__)

_LONGEST_MESSAGE = 1000

_TAKEN = {
    "process_reference_key": "a process with this reference exists already",
    "espace_reference_key": "an espace with this reference exists already",
    "source_name_key": "a source with this name exists already",
    "profile_name_key": "a profile with this name exists already",
    "input_process_id_reference_key": "the process has an input with this reference already",
}
"""What to say of each unique constraint of ``storage/migrations``."""
_IN_USE = {
    "process_espace_id_fkey": "the espace still has processes",
    "action_source_id_fkey": "the source is still acted on by processes",
    "action_subprocess_id_action_fkey": "the process is still run by other processes",
}
"""What to say of each foreign key that keeps a row from going."""


def as_gateway_error(error: BaseException) -> GatewayError:
    """The catalogue's error for anything that was raised; what is unexpected goes to the log."""
    match error:
        case GatewayError():
            return error
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
    """The catalogue's error behind a GraphQL error: what a resolver raised, or bad input."""
    if error.original_error is not None and not isinstance(error.original_error, GraphQLError):
        return as_gateway_error(error.original_error)
    message = error.message
    if len(message) > _LONGEST_MESSAGE:  # it repeats what the client sent
        message = f"{message[:_LONGEST_MESSAGE]}…"
    return GatewayError(ErrorKind.BAD_USER_INPUT, message)


def entry(
    error: GatewayError,
    *,
    path: list[str | int] | None = None,
    locations: list[dict[str, int]] | None = None,
) -> dict[str, Any]:
    """An item of ``errors`` in a GraphQL response.

    ``extensions`` has the catalogue's ``code``; of bad input also ``problems``, each with the path
    of the wrong value in the operation's arguments and a message.
    """
    extensions: dict[str, Any] = {"code": error.kind.name, **error.details}
    if error.problems:
        extensions["problems"] = [_problem(problem) for problem in error.problems]
    if error.retry_after is not None:
        extensions["retryAfter"] = error.retry_after
    found: dict[str, Any] = {"message": error.message, "extensions": extensions}
    if path:
        found["path"] = path
    if locations:
        found["locations"] = locations
    return found


def entry_of_graphql(error: GraphQLError) -> dict[str, Any]:
    """An item of ``errors`` for an error that graphql-core found or passed on."""
    locations = [{"line": at.line, "column": at.column} for at in error.locations or ()]
    return entry(from_graphql(error), path=error.path, locations=locations)


def _problem(problem: FieldProblem) -> dict[str, Any]:
    return {"path": list(problem.path), "message": problem.message}
