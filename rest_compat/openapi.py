"""In charge of the OpenAPI document of a dialect, made of what runs: its routes, the models of its
bodies, and what its operations select.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import orjson
from graphql import (
    FieldNode,
    FragmentSpreadNode,
    GraphQLEnumType,
    GraphQLField,
    GraphQLList,
    GraphQLNonNull,
    GraphQLObjectType,
    GraphQLOutputType,
    GraphQLSchema,
    InlineFragmentNode,
    SelectionSetNode,
    get_named_type,
)
from pydantic.json_schema import models_json_schema

from resolvers.errors.catalogue import (
    ErrorKind,
    GatewayError,
    bad_value,
    conflict,
    missing_token,
    not_found,
)
from rest_compat.body_model import ID_SCHEMA, Body, JsonSchema
from rest_compat.dialect import Envelope
from rest_compat.handler import CompiledDialect
from rest_compat.routing import CompiledRoute

_SCHEMAS = "#/components/schemas/"
_ERROR: JsonSchema = {"$ref": f"{_SCHEMAS}Error"}

_SECURITY_SCHEMES = {
    "token": {
        "type": "apiKey",
        "in": "header",
        "name": "Authorization",
        "description": "The token alone.",
    },
    "bearer": {"type": "http", "scheme": "bearer", "description": "The token after `Bearer`."},
}
_HEADERS: Mapping[ErrorKind, Mapping[str, Any]] = {
    ErrorKind.RATE_LIMITED: {
        "Retry-After": {"description": "Seconds to wait.", "schema": {"type": "integer"}}
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


def openapi_document(
    dialect: CompiledDialect, *, version: str, base_path: str = ""
) -> dict[str, Any]:
    """The OpenAPI 3.1 document of a dialect.

    Args:
        base_path: where the dialect is mounted besides the root; empty for nowhere else.
    """
    parts = dialect.dialect
    paths: dict[str, dict[str, Any]] = {}
    for compiled in dialect.routes:
        operation = _operation(compiled, dialect.schema, parts.envelope)
        paths.setdefault(compiled.route.path, {})[compiled.route.method.lower()] = operation
    servers = ["/", base_path] if base_path else ["/"]
    return {
        "openapi": "3.1.0",
        "info": {"title": parts.title, "version": version, "description": parts.description},
        "servers": [{"url": url} for url in servers],
        "security": [{name: []} for name in _SECURITY_SCHEMES],
        "paths": paths,
        "components": {
            "schemas": _body_schemas(dialect) | {"Error": parts.envelope.failure_schema()},
            "securitySchemes": copy.deepcopy(_SECURITY_SCHEMES),
        },
    }


def errors_of(compiled: CompiledRoute) -> list[ErrorKind]:
    """Everything that can go wrong on a route, in the order of the catalogue."""
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
    return [kind for kind in ErrorKind if kind in kinds]


# Operations ------------------------------------------------------------------------------------


def _operation(
    compiled: CompiledRoute, schema: GraphQLSchema, envelope: Envelope
) -> dict[str, Any]:
    route = compiled.route
    permission = compiled.operation.permission
    needs = f"Needs the permission `{permission.value}`." if permission else "Needs a valid token."
    made: dict[str, Any] = {
        "operationId": route.operation,
        "summary": route.summary,
        "description": f"{route.description} {needs}".strip(),
        "responses": _responses(compiled, schema, envelope),
    }
    parameters = [*_path_parameters(compiled), *_query_parameters(compiled)]
    if parameters:
        made["parameters"] = parameters
    if route.body is not None:
        made["requestBody"] = {
            "required": route.body.required,
            "content": _json({"$ref": _SCHEMAS + route.body.model.__name__}),
        }
    return made


def _path_parameters(compiled: CompiledRoute) -> Iterator[dict[str, Any]]:
    for name in compiled.parameters:
        only_ids = all(choice.is_id for choice in compiled.route.variables[name])
        value = ID_SCHEMA if only_ids else {"type": "string", "minLength": 1}
        yield {"name": name, "in": "path", "required": True, "schema": dict(value)}


def _query_parameters(compiled: CompiledRoute) -> Iterator[dict[str, Any]]:
    if compiled.route.body is not None:
        for name in compiled.route.body.in_query:
            yield {
                "name": name,
                "in": "query",
                "description": "Instead of the same member of the body.",
                "schema": {"type": "string", "minLength": 1},
            }


def _responses(
    compiled: CompiledRoute, schema: GraphQLSchema, envelope: Envelope
) -> dict[str, Any]:
    """Every answer of a route by its status; answers that share one are told apart by examples."""
    answer = _answer_schema(compiled, schema) if compiled.route.has_data else None
    success = envelope.success_schema(answer)
    responses: dict[str, Any] = {"200": {"description": "It was done."}}
    if success is not None:
        responses["200"]["content"] = _json(success)
    for kind in errors_of(compiled):
        status = str(envelope.status(kind))
        response = responses.setdefault(status, {"description": "", "content": _json(_ERROR)})
        response["description"] = "; ".join(
            filter(None, [response["description"], f"{kind.value}"])
        )
        content = response["content"]["application/json"]
        if status == "200":
            content["schema"] = {"anyOf": [success, _ERROR]}
        example = orjson.loads(envelope.failure(_EXAMPLES[kind]))
        content.setdefault("examples", {})[kind.name.lower()] = {"value": example}
        if kind in _HEADERS:
            response.setdefault("headers", {}).update(_HEADERS[kind])
    return responses


def _json(schema: JsonSchema) -> dict[str, Any]:
    return {"application/json": {"schema": schema}}


def _body_schemas(dialect: CompiledDialect) -> dict[str, JsonSchema]:
    """The schemas of all bodies and of what they consist of, by the names of their models."""
    models: list[tuple[type[Body], Any]] = [
        (compiled.route.body.model, "validation")
        for compiled in dialect.routes
        if compiled.route.body is not None
    ]
    _, made = models_json_schema(models, ref_template=_SCHEMAS + "{model}")
    found: dict[str, JsonSchema] = made.get("$defs", {})
    return found


# Answers ---------------------------------------------------------------------------------------


def _answer_schema(compiled: CompiledRoute, schema: GraphQLSchema) -> JsonSchema:
    """The JSON Schema of what a route answers, as its operation selects it."""
    operation = compiled.operation
    shapes = _Shapes(operation.operation.fragments)
    type_: GraphQLOutputType = schema.get_root_type(operation.operation.definition.operation)  # type: ignore[assignment]
    selections: Sequence[SelectionSetNode | None] = [operation.operation.definition.selection_set]
    for key in operation.path:
        parent = get_named_type(type_)
        assert isinstance(parent, GraphQLObjectType)
        nodes = shapes.fields(selections)[key]
        type_ = parent.fields[nodes[0].name.value].type
        selections = [node.selection_set for node in nodes]
    # Null is answered with "not found".
    return shapes.non_null(
        type_.of_type if isinstance(type_, GraphQLNonNull) else type_, selections
    )


class _Shapes:
    """Writes the JSON Schemas of selections, in the words of the dialects."""

    def __init__(self, fragments: Mapping[str, Any]) -> None:
        self._fragments = fragments

    def fields(self, selections: Sequence[SelectionSetNode | None]) -> dict[str, list[FieldNode]]:
        """The fields selected, by their keys in the answer."""
        found: dict[str, list[FieldNode]] = {}
        pending = [node for node in selections if node is not None]
        while pending:
            for selection in pending.pop(0).selections:
                match selection:
                    case FieldNode():
                        key = (selection.alias or selection.name).value
                        found.setdefault(key, []).append(selection)
                    case FragmentSpreadNode():
                        pending.append(self._fragments[selection.name.value].selection_set)
                    case InlineFragmentNode():
                        pending.append(selection.selection_set)
        return found

    def non_null(
        self, type_: GraphQLOutputType, selections: Sequence[SelectionSetNode | None]
    ) -> JsonSchema:
        """The schema of a value that is not null."""
        match type_:
            case GraphQLList():
                return {"type": "array", "items": self.any(type_.of_type, selections)}
            case GraphQLObjectType():
                properties = {
                    key: self._field(type_.fields[nodes[0].name.value], nodes)
                    for key, nodes in self.fields(selections).items()
                }
                return {
                    "type": "object",
                    "properties": properties,
                    "required": list(properties),
                    "additionalProperties": False,
                }
            case GraphQLEnumType():
                values = [value.value for value in type_.values.values()]
                return {"enum": sorted({_word(value) for value in values}, key=str)}
        return dict(_SCALARS[get_named_type(type_).name])

    def any(
        self, type_: GraphQLOutputType, selections: Sequence[SelectionSetNode | None]
    ) -> JsonSchema:
        """The schema of a value that may be null."""
        if isinstance(type_, GraphQLNonNull):
            return self.non_null(type_.of_type, selections)
        return {"anyOf": [self.non_null(type_, selections), {"type": "null"}]}

    def _field(self, field: GraphQLField, nodes: Sequence[FieldNode]) -> JsonSchema:
        made = self.any(field.type, [node.selection_set for node in nodes])
        return made | ({"description": field.description} if field.description else {})


_SCALARS: Mapping[str, JsonSchema] = {
    "ID": {"type": "string"},
    "String": {"type": "string"},
    "Int": {"type": "integer"},
    "Float": {"type": "number"},
    "Boolean": {"enum": [0, 1]},
    "DateTime": {"type": "string", "format": "date-time"},
    "JSON": {},
}
"""How the dialects write each scalar of the schema."""


def _word(value: Any) -> str | int:
    """How the dialects write an enum value: states as 0 and 1, words as they are stored."""
    plain = getattr(value, "value", value)
    return int(plain) if isinstance(plain, bool) else str(plain)
