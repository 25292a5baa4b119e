"""In charge of running a dialect: compiled against the schema once, then asked by requests."""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote_to_bytes

from graphql import (
    DocumentNode,
    GraphQLInputType,
    GraphQLSchema,
    is_non_null_type,
    parse,
    print_ast,
    separate_operations,
    type_from_ast,
)

from resolvers.access.viewer import Viewer
from resolvers.errors.catalogue import (
    ErrorKind,
    FieldProblem,
    GatewayError,
    bad_input,
    bad_value,
    not_found,
)
from resolvers.errors.translate import as_gateway_error
from resolvers.operations.compile import LegacyOperation, OperationCompiler
from resolvers.operations.run import Operations
from resolvers.values.strict_json import loads
from resolvers.values.text import shorten
from resolvers.values.validation import validate
from rest_compat.body_model import (
    Body,
    client_path,
    field_misfits,
    graphql_fields,
    misfits,
    required_members,
)
from rest_compat.dialect import BodyRule, Dialect, Route, RouteError, database_id
from rest_compat.http import Authenticate, Request, Response

_PARAMETER = re.compile(r"\{(\w+)\}")


@dataclass(frozen=True, slots=True)
class CompiledRoute:
    """A route, and its operation ready to run."""

    route: Route
    operation: LegacyOperation
    segments: tuple[str | None, ...]
    """Of its path; None for each variable part."""
    parameters: tuple[str, ...]
    """The names of the variable parts, in order."""


@dataclass(frozen=True, slots=True)
class _Matched:
    """A route, and what the path says."""

    compiled: CompiledRoute
    parameters: Mapping[str, str]
    """An empty text stands for one that can be no name of anything."""


@dataclass(frozen=True, slots=True)
class CompiledDialect:
    """A dialect that fits the schema, ready to run."""

    dialect: Dialect
    routes: tuple[CompiledRoute, ...]
    schema: GraphQLSchema
    """What the routes were compiled against."""

    @property
    def name(self) -> str:
        """The dialect's name."""
        return self.dialect.name

    def serves(self, path: str) -> bool:
        """Whether a path is this dialect's to answer, even if only with "not found"."""
        return path[:1] == "/" and path[1:].split("/", 1)[0] in self.dialect.roots

    def largest_body(self, method: str, path: str, usual: int, bulk: int) -> int:
        """How many bytes a body may have: ``usual``, or ``bulk`` on the routes made for it."""
        matched = self._match(method, path)
        rule = matched.compiled.route.body if isinstance(matched, _Matched) else None
        return bulk if rule is not None and rule.bulk else usual

    async def respond(
        self, request: Request, operations: Operations, authenticate: Authenticate
    ) -> Response:
        """The response to a request; never raises for anything that a client sent.

        It is judged in the order of CONTRACT.md §2: token, permission, shape, existence.
        """
        try:
            matched = self._match(request.method, request.path)
            if isinstance(matched, Response):
                return matched
            compiled = matched.compiled
            viewer = await authenticate()
            viewer.require(compiled.operation.permission, str(compiled.route))
            given = await _read(compiled.route.body, request)
            data = await _run(matched, given, operations, viewer)
        except Exception as error:
            return self.refuse(as_gateway_error(error))
        return Response(
            200, self.dialect.envelope.success(data if compiled.route.has_data else None)
        )

    def refuse(self, error: GatewayError) -> Response:
        """The response to a request that was refused."""
        status = self.dialect.envelope.status(error.kind)
        headers: dict[str, str] = {}
        if error.retry_after is not None:
            headers["Retry-After"] = str(math.ceil(error.retry_after))
        if status == ErrorKind.UNAUTHENTICATED.words.status:
            headers["WWW-Authenticate"] = "Bearer"
        return Response(status, (self.dialect.envelope.failure(error),), headers)

    def _match(self, method: str, path: str) -> _Matched | Response:
        """The route that a request is for, or the refusal where there is none."""
        parts = path.removesuffix("/").split("/")[1:]
        segments = [_decoded(part) for part in parts]
        allowed: list[str] = []
        for compiled in self.routes if all(parts) else ():
            values = _values(compiled.segments, segments)
            if values is None:
                continue
            wanted = compiled.route.method
            if method == wanted or (method == "HEAD" and wanted == "GET"):
                return _Matched(compiled, dict(zip(compiled.parameters, values, strict=True)))
            allowed += ["GET", "HEAD"] if wanted == "GET" else [wanted]
        if not allowed:
            return self.refuse(not_found("there is no such path in this API"))
        refusal = self.refuse(
            bad_value((), f"this path does not take {shorten(method)}, only {', '.join(allowed)}")
        )
        status = 405 if refusal.status != 200 else 200
        return Response(status, refusal.parts, {"Allow": ", ".join(allowed)})


def _decoded(segment: str) -> str:
    """A part of a path as text; empty where it is none that could name anything."""
    try:
        text = unquote_to_bytes(segment).decode()
    except UnicodeDecodeError:
        return ""
    return "" if "\0" in text else text


def _values(pattern: tuple[str | None, ...], segments: list[str]) -> list[str] | None:
    """The variable parts of a path, or None where it is not of this pattern."""
    if len(pattern) != len(segments):
        return None
    values = []
    for expected, segment in zip(pattern, segments, strict=True):
        if expected is None:
            values.append(segment)
        elif expected != segment:
            return None
    return values


# What a request brings -------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Given:
    """A body that has the shape that its route wants."""

    raw: object = None
    body: Body | None = None


async def _read(rule: BodyRule | None, request: Request) -> _Given:
    """The body of a request; raises ``BAD_USER_INPUT`` where it is not of its shape."""
    if rule is None:
        return _Given()
    text = await request.read_body()
    if text.strip():
        raw = loads(text)
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
    return _Given(raw, validate(rule.model, raw))


async def _run(
    matched: _Matched, given: _Given, operations: Operations, viewer: Viewer
) -> tuple[bytes, ...] | None:
    """What the operation answers.

    Raises:
        GatewayError: in the client's own words.
    """
    route, rule = matched.compiled.route, matched.compiled.route.body
    variables: dict[str, Any] = {}
    if rule is not None and given.body is not None:
        dumped = given.body.variables()
        variables = dumped if rule.variable is None else {rule.variable: dumped}
        _require_same(rule, given.body, matched.parameters)
    missing: GatewayError | None = None
    for from_path in _path_variables(route, matched.parameters):
        try:
            data = await operations.run(matched.compiled.operation, variables | from_path, viewer)
        except GatewayError as error:
            missing = _in_client_words(error, route, given)
            if missing.kind is not ErrorKind.NOT_FOUND:
                raise missing from error
        else:
            if data is not None or not route.has_data:
                return data
    raise missing or _nothing_there(route, matched.parameters)


def _path_variables(route: Route, parameters: Mapping[str, str]) -> Iterable[dict[str, Any]]:
    """The variables that the path gives, once for each thing that it can stand for."""
    choices = [
        [
            (choice.variable, value)
            for choice in route.variables[name]
            if (value := choice.read(text)) is not None
        ]
        for name, text in parameters.items()
    ]
    return (dict(chosen) for chosen in itertools.product(*choices))


def _nothing_there(route: Route, parameters: Mapping[str, str]) -> GatewayError:
    named = ", ".join(f"{name} {shorten(text)}" for name, text in parameters.items())
    return not_found(f"there is nothing at this path for {named}")


def _require_same(rule: BodyRule, body: Body, parameters: Mapping[str, str]) -> None:
    """Refuse a body that says something else than the path."""
    for member, parameter in rule.repeats.items():
        said, wanted = getattr(body, member), database_id(parameters[parameter])
        if said is not None and wanted is not None and said != wanted:
            raise bad_value((member,), f"expected {wanted} as in the path, got {said}")


def _in_client_words(error: GatewayError, route: Route, given: _Given) -> GatewayError:
    """An error of the operation, located in the request instead of in the operation's input."""
    if not error.problems:
        return error
    from_path = {choice.variable for choices in route.variables.values() for choice in choices}
    found: list[FieldProblem] = []
    for problem in error.problems:
        variable, rest = problem.path[:1], problem.path[1:]
        if variable and variable[0] in from_path:
            return not_found(problem.message)
        if route.body is not None:
            place = rest if route.body.variable is not None else problem.path
            found.append(
                FieldProblem(client_path(route.body.model, place, given.raw), problem.message)
            )
    if error.kind is ErrorKind.BAD_USER_INPUT:
        return bad_input(*found)
    return GatewayError(error.kind, error.message, problems=found)


# Compiling -------------------------------------------------------------------------------------


def compile_dialect(dialect: Dialect, compiler: OperationCompiler) -> CompiledDialect:
    """Validate a dialect against the schema and make it ready to run.

    Raises:
        RouteError: a route does not fit; the message names the route and what does not fit.
    """
    # One document for each operation, so that an error in one is not another's.
    documents: Mapping[str, DocumentNode] = separate_operations(parse(dialect.document))
    compiled = []
    for route in dialect.routes:
        try:
            compiled.append(_compile(route, documents, compiler))
        except ValueError as error:
            raise RouteError(
                f"{route} of the /{dialect.name} dialect does not fit the schema"
                f" (operation {route.operation}): {error}"
            ) from error
    unused = ", ".join(sorted(documents.keys() - {route.operation for route in dialect.routes}))
    if unused:
        raise RouteError(f"no route of the /{dialect.name} dialect runs the operation {unused}")
    return CompiledDialect(dialect, tuple(compiled), compiler.schema)


def _compile(
    route: Route, documents: Mapping[str, DocumentNode], compiler: OperationCompiler
) -> CompiledRoute:
    if route.operation not in documents:
        raise ValueError("there is no such operation")
    text = print_ast(documents[route.operation])
    operation = compiler.prepare(text, route.operation, route.answer)
    parameters = tuple(_PARAMETER.findall(route.path))
    if set(parameters) != set(route.variables):
        raise ValueError(f"the path names {parameters}, the table {tuple(route.variables)}")
    wrong = list(_variable_misfits(route, operation, compiler.schema))
    if wrong:
        raise ValueError("; ".join(wrong))
    segments = tuple(
        None if _PARAMETER.fullmatch(part) else part for part in route.path.split("/")[1:]
    )
    return CompiledRoute(route, operation, segments, parameters)


def _variable_misfits(
    route: Route, operation: LegacyOperation, schema: GraphQLSchema
) -> Iterable[str]:
    """What of the variables that a request gives does not fit those that the operation takes."""
    wanted: dict[str, GraphQLInputType] = {
        definition.variable.name.value: type_from_ast(schema, definition.type)  # type: ignore[misc]
        for definition in operation.definition.variable_definitions or ()
    }
    given = {choice.variable for choices in route.variables.values() for choice in choices}
    rule = route.body
    if rule is not None and rule.variable is not None:
        given.add(rule.variable)
        if rule.variable in wanted:
            yield from misfits(rule.model, wanted[rule.variable])
    elif rule is not None:
        for name, info in graphql_fields(rule.model):
            if name in wanted:
                yield from field_misfits(info, wanted[name])
                if is_non_null_type(wanted[name]) and not info.is_required():
                    yield f"${name} is required by the operation but not by the body"
            given.add(name)
    yield from (f"the operation has no variable ${name}" for name in sorted(given - wanted.keys()))
    for name, type_ in wanted.items():
        if is_non_null_type(type_) and name not in given:
            yield f"nothing gives ${name}"


# Listing ---------------------------------------------------------------------------------------


def describe_routes(dialects: Iterable[CompiledDialect]) -> list[tuple[str, ...]]:
    """Every legacy route: dialect, method, path, operation and permission, padded to columns."""
    rows = [
        (
            compiled.name,
            route.route.method,
            route.route.path,
            route.route.operation,
            route.operation.permission.value if route.operation.permission else "-",
        )
        for compiled in dialects
        for route in compiled.routes
    ]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        tuple(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows
    ]
