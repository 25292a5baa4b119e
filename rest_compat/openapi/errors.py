"""Describe the errors of a dialect's routes: a named response for each HTTP status."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from http import HTTPStatus
from typing import Any

import orjson

from resolvers.errors.catalogue import (
    ErrorKind,
    GatewayError,
    bad_value,
    conflict,
    missing_token,
    not_found,
)
from resolvers.errors.translate import as_gateway_error
from rest_compat.body_model import SCHEMAS
from rest_compat.dialect import Envelope
from rest_compat.routing import CompiledRoute
from storage.database.errors import OutcomeUnknownError

_HEADERS: Mapping[ErrorKind, Mapping[str, Any]] = {
    ErrorKind.RATE_LIMITED: {
        "Retry-After": {"description": "Seconds to wait.", "schema": {"type": "integer"}}
    },
    ErrorKind.UNAUTHENTICATED: {
        "WWW-Authenticate": {"description": "Always `Bearer`.", "schema": {"type": "string"}}
    },
}
_EXAMPLES: Mapping[ErrorKind, GatewayError] = {
    ErrorKind.BAD_USER_INPUT: bad_value(("name",), "expected text, got 5"),
    ErrorKind.NOT_FOUND: not_found("there is no such process"),
    ErrorKind.CONFLICT: conflict("a process with this reference exists already"),
    ErrorKind.DATABASE_UNAVAILABLE: GatewayError(
        ErrorKind.DATABASE_UNAVAILABLE, "the database is out of reach or failed; try again later"
    ),
    ErrorKind.TOKEN_EXPIRED: GatewayError(ErrorKind.TOKEN_EXPIRED, "the token expired"),
    ErrorKind.UNAUTHENTICATED: missing_token(),
    ErrorKind.FORBIDDEN: GatewayError(
        ErrorKind.FORBIDDEN,
        "this needs the permission process:write, which the profile guest does not have",
    ),
    ErrorKind.RATE_LIMITED: GatewayError(
        ErrorKind.RATE_LIMITED, "too many requests; try again in 2 s", retry_after=2
    ),
    ErrorKind.EXECUTION_FAILED: GatewayError(
        ErrorKind.EXECUTION_FAILED,
        'the execution of "leave_home" failed: action 2 ("hue") failed: no answer',
    ),
    ErrorKind.INTERNAL: GatewayError(ErrorKind.INTERNAL, "something went wrong in the gateway"),
}
_UNKNOWN_OUTCOME = as_gateway_error(OutcomeUnknownError())


def errors_of(compiled: CompiledRoute) -> list[ErrorKind]:
    """Return the errors that a route can return, in the order of the catalogue."""
    kinds = {
        ErrorKind.DATABASE_UNAVAILABLE,
        ErrorKind.TOKEN_EXPIRED,
        ErrorKind.UNAUTHENTICATED,
        ErrorKind.RATE_LIMITED,
        ErrorKind.INTERNAL,
    } | compiled.route.errors
    if compiled.operation.permission is not None:
        kinds.add(ErrorKind.FORBIDDEN)
    if compiled.route.body is not None:
        kinds.add(ErrorKind.BAD_USER_INPUT)
    if compiled.route.variables:
        kinds.add(ErrorKind.NOT_FOUND)
    if compiled.route.if_match is not None:
        kinds |= {ErrorKind.BAD_USER_INPUT, ErrorKind.CONFLICT}
    if compiled.route.idempotency_key is not None:
        kinds |= {ErrorKind.BAD_USER_INPUT, ErrorKind.CONFLICT}
    return [kind for kind in ErrorKind if kind in kinds]


def error_responses(routes: Iterable[CompiledRoute], envelope: Envelope) -> dict[str, Any]:
    """Return the responses to errors by name, for all errors that do not have the status 200.

    Errors with the same status share its response, and each is an example of it.
    """
    kinds = {kind for compiled in routes for kind in errors_of(compiled)}
    responses: dict[str, Any] = {}
    for kind in ErrorKind:
        status = envelope.status(kind)
        if kind not in kinds or status == 200:
            continue
        summary = kind.value
        name = response_name(status)
        if name in responses:
            responses[name]["description"] += f"; {summary}"
        else:
            content = {"schema": {"$ref": f"{SCHEMAS}ApiError"}, "examples": {}}
            responses[name] = {
                "description": summary,
                "content": {"application/json": content},
            }
        responses[name]["content"]["application/json"]["examples"] |= error_example(kind, envelope)
        if kind in _HEADERS:
            responses[name].setdefault("headers", {}).update(_HEADERS[kind])
    return responses


def response_name(status: int) -> str:
    """Return the name of the response of a status: ``NotFound`` for 404."""
    return HTTPStatus(status).phrase.title().replace(" ", "")


def error_example(kind: ErrorKind, envelope: Envelope) -> dict[str, Any]:
    """Return examples of an error by name."""
    examples = {kind.name.lower(): _EXAMPLES[kind]}
    if kind is _UNKNOWN_OUTCOME.kind:
        examples["outcome_unknown"] = _UNKNOWN_OUTCOME
    return {
        name: {"value": orjson.loads(envelope.failure(error))} for name, error in examples.items()
    }
