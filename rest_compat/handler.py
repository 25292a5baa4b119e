"""Answer requests to a dialect: match the route, check the permission, validate, and run."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from graphql import GraphQLSchema

from resolvers.access.viewer import Viewer
from resolvers.errors.catalogue import (
    ErrorKind,
    FieldProblem,
    GatewayError,
    ProcessInputProblem,
    bad_input,
    bad_value,
    not_found,
)
from resolvers.errors.translate import as_gateway_error
from resolvers.operations.run import Operations
from resolvers.rules.versions import VERSION_ARGUMENT
from resolvers.values.json_limits import RawJson
from resolvers.values.json_pieces import loads_list
from resolvers.values.strict_json import loads
from resolvers.values.text import shorten
from resolvers.values.validation import validate
from rest_compat.body_model import Body, client_path, required_members
from rest_compat.dialect import BodyRule, Dialect, Route, database_id
from rest_compat.entity_tags import IF_MATCH, read_if_match
from rest_compat.http import IDEMPOTENCY_KEY, Authenticate, Request, Response, retry_after
from rest_compat.operation import RouteAnswer
from rest_compat.routing import CompiledRoute, Match, NoMatch, match


@dataclass(frozen=True, slots=True)
class CompiledDialect:
    """A dialect that was validated against the schema, ready to run."""

    dialect: Dialect
    routes: tuple[CompiledRoute, ...]
    schema: GraphQLSchema
    """The schema that the routes were compiled against."""

    @property
    def name(self) -> str:
        """The dialect's name."""
        return self.dialect.name

    def serves(self, path: str) -> bool:
        """Whether a path belongs to this dialect, even if no route matches it."""
        return path[:1] == "/" and path[1:].split("/", 1)[0] in self.dialect.roots

    async def respond(
        self, request: Request, operations: Operations, authenticate: Authenticate
    ) -> Response:
        """Answer a request. Every error becomes a response.

        The order of the checks is that of docs/contract.md §2: token, permission, shape, existence.
        """
        try:
            matched = match(self.routes, request.method, request.path)
            if isinstance(matched, NoMatch):
                return self._no_match(matched, request.method)
            compiled = matched.compiled
            viewer = await authenticate()
            viewer.require(compiled.operation.permission, str(compiled.route))
            key = _idempotency_key(compiled.route, request)
            conditions = [key | each for each in _conditions(compiled.route, request)]
            body = await _read_body(compiled.route.body, request, operations)
            answer = await _run(matched, body, conditions, request.known, operations, viewer)
        except Exception as error:
            return self.error_response(as_gateway_error(error))
        if answer.not_modified:
            return Response(304, tag=answer.tag)
        body_parts = self.dialect.envelope.success(answer.parts)
        return Response(200, body_parts, tag=answer.tag, kept=answer.kept)

    def error_response(self, error: GatewayError) -> Response:
        """Return the response to a request that failed."""
        status = self.dialect.envelope.status(error.kind)
        headers = retry_after(error.retry_after)
        if status == 401:
            headers["WWW-Authenticate"] = "Bearer"
        return Response(status, (self.dialect.envelope.failure(error),), headers)

    def _no_match(self, no_match: NoMatch, method: str) -> Response:
        """Return the response to a request that no route matches."""
        if not no_match.allowed:
            return self.error_response(not_found("there is no such path in this API"))
        allowed = ", ".join(no_match.allowed)
        response = self.error_response(
            bad_value((), f"this path does not take {shorten(method)}, only {allowed}")
        )
        status = 405 if response.status != 200 else 200
        return Response(status, response.parts, {"Allow": allowed})


# The request -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _RequestBody:
    """A body that has the shape that its route expects."""

    raw: object = None
    """The parsed JSON."""
    body: Body | None = None
    """The validated body; None if the route takes no body."""
    variables: Mapping[str, Any] = field(default_factory=dict)
    """The variables of the operation that the body supplies."""


async def _read_body(
    rule: BodyRule | None, request: Request, operations: Operations
) -> _RequestBody:
    """Read and validate the body of a request; raise ``BAD_USER_INPUT`` if it does not fit."""
    if rule is None:
        return _RequestBody()
    text = await request.read_body(bulk=rule.bulk)
    validated = partial(_validated, text, rule, request, operations.max_items)
    return await operations.worker.run(len(text), validated)


def _validated(text: RawJson, rule: BodyRule, request: Request, max_items: int) -> _RequestBody:
    """Parse and validate the body of a request."""
    if text and not text.isspace():
        if rule.bulk:
            check = None if rule.check is None else rule.check()
            raw = loads_list(text, request.content_type, max_items, check)
        else:
            raw = loads(text, request.content_type, max_items)
    elif rule.required:
        expected = ", ".join(required_members(rule.model))
        raise bad_value((), f"a JSON body is required: an object with {expected}")
    else:
        raw = {}
    if isinstance(raw, dict):
        for name in rule.in_query:
            if name in request.query:
                if raw.get(name) is not None:
                    raise bad_value((name,), "is given twice, in the query and in the body")
                raw[name] = request.query[name]
    body = validate(rule.model, raw)
    members = body.variables()
    variables = members if rule.variable is None else {rule.variable: members}
    return _RequestBody(raw, body, variables)


def _conditions(route: Route, request: Request) -> tuple[dict[str, Any], ...]:
    """Return the variables that ``If-Match`` supplies, once for each version that it accepts.

    Raises:
        GatewayError: ``BAD_USER_INPUT``, if the header is malformed.
    """
    if route.if_match is None:
        return ({},)
    versions = read_if_match(request.if_match)
    return ({},) if versions is None else tuple({route.if_match: each} for each in versions)


def _idempotency_key(route: Route, request: Request) -> dict[str, Any]:
    """Return the variable that ``Idempotency-Key`` supplies, if the request has the header.

    Raises:
        GatewayError: ``BAD_USER_INPUT``, if it has two of them.
    """
    if route.idempotency_key is None or not request.idempotency_keys:
        return {}
    if len(request.idempotency_keys) > 1:
        raise bad_value((IDEMPOTENCY_KEY,), "is given twice")
    return {route.idempotency_key: request.idempotency_keys[0]}


async def _run(
    matched: Match,
    body: _RequestBody,
    conditions: Sequence[Mapping[str, Any]],
    known: Collection[str],
    operations: Operations,
    viewer: Viewer,
) -> RouteAnswer:
    """Return the operation's answer.

    Args:
        conditions: Further variables. They are tried one after another, until one of them names
            the version of the process.

    Raises:
        GatewayError: The operation failed. The paths of its problems refer to the request.
    """
    route, rule = matched.compiled.route, matched.compiled.route.body
    if rule is not None and body.body is not None:
        _require_same(rule, body.body, matched.parameters)
    missing: GatewayError | None = None
    choices = itertools.product(_path_variables(route, matched.parameters), conditions)
    for from_path, condition in choices:
        try:
            answer = await matched.compiled.operation.run(
                {**body.variables, **from_path, **condition}, operations, viewer, known
            )
        except GatewayError as error:
            missing = _locate_in_request(error, route, body)
            if missing.kind is not ErrorKind.NOT_FOUND and not _is_about_version(error):
                raise missing from error
        else:
            if answer.parts is not None or answer.not_modified or not route.has_data:
                return answer
    raise missing or _nothing_there(matched.parameters)


def _is_about_version(error: GatewayError) -> bool:
    """Whether the process does not have the version that was tried."""
    return error.kind is ErrorKind.CONFLICT and any(
        problem.path == VERSION_ARGUMENT for problem in error.problems
    )


def _path_variables(route: Route, parameters: Mapping[str, str]) -> Iterable[dict[str, Any]]:
    """Yield the variables that the path supplies, once for each object that it can identify."""
    choices = [
        [
            (choice.variable, value)
            for choice in route.variables[name]
            if (value := choice.read(text)) is not None
        ]
        for name, text in parameters.items()
    ]
    return (dict(combination) for combination in itertools.product(*choices))


def _nothing_there(parameters: Mapping[str, str]) -> GatewayError:
    values = ", ".join(f"{name} {shorten(text)}" for name, text in parameters.items())
    return not_found(f"there is nothing at this path for {values}")


def _require_same(rule: BodyRule, body: Body, parameters: Mapping[str, str]) -> None:
    """Reject a body that contradicts the path."""
    for member, parameter in rule.repeats.items():
        value, expected = getattr(body, member), database_id(parameters[parameter])
        if value is not None and expected is not None and value != expected:
            raise bad_value((member,), f"expected {expected} as in the path, got {value}")


def _locate_in_request(error: GatewayError, route: Route, body: _RequestBody) -> GatewayError:
    """Locate an error of the operation in the request instead of in the operation's arguments."""
    if not error.problems:
        return error
    from_path = {choice.variable for choices in route.variables.values() for choice in choices}
    problems: list[FieldProblem] = []
    for problem in error.problems:
        if isinstance(problem, ProcessInputProblem):
            problems.append(problem.by_reference)
            continue
        variable, below = problem.path[:1], problem.path[1:]
        if variable and variable[0] in from_path:
            return not_found(problem.message)
        if problem.path == VERSION_ARGUMENT:
            problems.append(FieldProblem((IF_MATCH,), problem.message))
        elif variable == (route.idempotency_key,):
            problems.append(FieldProblem((IDEMPOTENCY_KEY,), problem.message))
        elif route.body is not None:
            path = below if route.body.variable is not None else problem.path
            path = client_path(route.body.model, path, body.raw)
            problems.append(FieldProblem(path, problem.message))
    if error.kind is ErrorKind.BAD_USER_INPUT:
        return bad_input(*problems, more=error.more)
    return GatewayError(error.kind, error.message, problems=problems, details=error.details)
