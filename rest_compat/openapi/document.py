"""Write the OpenAPI document of a dialect from its routes, its bodies and their selections.

The schemas describe the recommended form of each request with plain types, because client
generators fail on unions and mixed enums. The other accepted forms are in the descriptions.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from typing import Any, cast

import orjson
from pydantic.json_schema import models_json_schema

from rest_compat.body_model import ID_SCHEMA, SCHEMAS, Body, JsonSchema
from rest_compat.dialect import Envelope, RouteExample
from rest_compat.entity_tags import IF_MATCH
from rest_compat.handler import CompiledDialect
from rest_compat.http import IDEMPOTENCY_KEY
from rest_compat.openapi.answers import AnswerSchemas
from rest_compat.openapi.errors import error_example, error_responses, errors_of, response_name
from rest_compat.routing import CompiledRoute

_RESPONSES = "#/components/responses/"
_SECURITY_SCHEMES = {
    "token": {
        "type": "apiKey",
        "in": "header",
        "name": "Authorization",
        "description": "The access token alone.",
    },
    "bearer": {
        "type": "http",
        "scheme": "bearer",
        "description": "The access token after `Bearer`.",
    },
}
_ETAG = "Identifies the answer, for `If-None-Match`."
_ETAG_OF_PROCESS = f"{_ETAG} It begins with the version of the process, for `If-Match`."
_IF_MATCH = r'^(\*|(W/)?"[!#-~]*"( *, *(W/)?"[!#-~]*"){0,9})$'
_CONTACT = {"name": "The operator of this gateway"}
# The project states no license, so this names none: an SPDX reference outside the SPDX list.
_LICENSE = {"name": "Proprietary", "identifier": "LicenseRef-Proprietary"}


def openapi_document(
    dialect: CompiledDialect, *, version: str, base_path: str = ""
) -> dict[str, Any]:
    """Return the OpenAPI 3.1 document of a dialect.

    Args:
        base_path: The path that the dialect is mounted at besides the root; empty for none.

    Raises:
        ValueError: Two operations of the dialect select different fields of one type.
    """
    parts = dialect.dialect
    bodies = _body_schemas(dialect)
    writer = _Operations(dialect, bodies)
    paths: dict[str, dict[str, Any]] = {}
    for compiled in dialect.routes:
        methods = paths.setdefault(compiled.route.path, {})
        methods[compiled.route.method.lower()] = writer.operation(compiled)
    tags = dict.fromkeys(_tag(compiled) for compiled in dialect.routes)
    servers = ["/", base_path] if base_path else ["/"]
    return {
        "openapi": "3.1.0",
        "info": {
            "title": parts.title,
            "version": version,
            "description": parts.description,
            "contact": dict(_CONTACT),
            "license": dict(_LICENSE),
        },
        "servers": [{"url": url} for url in servers],
        "security": [{name: []} for name in _SECURITY_SCHEMES],
        "tags": [{"name": name, "description": parts.tags.get(name, "")} for name in tags],
        "paths": paths,
        "components": {
            "schemas": writer.schemas | bodies,
            "responses": writer.responses,
            "securitySchemes": copy.deepcopy(_SECURITY_SCHEMES),
        },
    }


class _Operations:
    """The operations of a dialect, and the components that they refer to."""

    def __init__(self, dialect: CompiledDialect, bodies: Mapping[str, JsonSchema]) -> None:
        self._bodies = bodies
        self._envelope: Envelope = dialect.dialect.envelope
        self._examples = dialect.dialect.examples
        self._answers = AnswerSchemas(dialect.schema)
        self.responses = error_responses(dialect.routes, self._envelope)
        """The answers to errors that have a status of their own, by name."""
        self.schemas = self._answers.components
        """The schemas of the answers by name."""
        self.schemas["Code"] = self._envelope.code_schema()
        if self.responses:
            self.schemas["ApiError"] = self._envelope.failure_schema()

    def operation(self, compiled: CompiledRoute) -> dict[str, Any]:
        """Return the operation object of a route, and collect its components."""
        route = compiled.route
        example = self._examples.get(route.operation, RouteExample())
        permission = compiled.operation.permission
        access = (
            f"Requires the permission `{permission.value}`."
            if permission
            else "Requires a valid token."
        )
        operation: dict[str, Any] = {
            "operationId": route.operation,
            "tags": [_tag(compiled)],
            "summary": route.summary,
            "description": f"{route.description} {access}".strip(),
            "responses": self._responses(compiled, example),
        }
        parameters = [
            *_path_parameters(compiled, example),
            *self._query_parameters(compiled),
            *_header_parameters(compiled),
        ]
        if parameters:
            operation["parameters"] = parameters
        if route.body is not None:
            content: dict[str, Any] = {"schema": {"$ref": SCHEMAS + route.body.model.__name__}}
            if example.body is not None:
                content["examples"] = {"request": {"value": example.body}}
            operation["requestBody"] = {
                "required": route.body.required,
                "content": {"application/json": content},
            }
        return operation

    def _query_parameters(self, compiled: CompiledRoute) -> Iterator[dict[str, Any]]:
        rule = compiled.route.body
        for name in rule.in_query if rule is not None else ():
            assert rule is not None
            member = self._bodies[rule.model.__name__]["properties"][name]
            yield {
                "name": name,
                "in": "query",
                "description": f"Replaces the member `{name}` of the body. Send one of the two.",
                "schema": {key: part for key, part in member.items() if key != "description"},
            }

    def _responses(self, compiled: CompiledRoute, example: RouteExample) -> dict[str, Any]:
        """Return the answers of a route by status."""
        success = self._success(compiled, example)
        responses: dict[str, Any] = {"200": success}
        if compiled.route.method == "GET":
            responses["304"] = {
                "description": "The answer has not changed.",
                "headers": copy.deepcopy(success["headers"]),
            }
        for kind in errors_of(compiled):
            status = self._envelope.status(kind)
            if status == 200:
                content = success["content"]["application/json"]
                content["examples"] |= error_example(kind, self._envelope)
            else:
                responses[str(status)] = {"$ref": _RESPONSES + response_name(status)}
        return responses

    def _success(self, compiled: CompiledRoute, example: RouteExample) -> dict[str, Any]:
        route = compiled.route
        data = self._answers.add(compiled) if route.has_data else None
        schema = self._envelope.success_schema(data)
        response: dict[str, Any] = {"description": "The request succeeded."}
        if route.method == "GET":
            description = _ETAG_OF_PROCESS if route.tagged else _ETAG
            response["headers"] = {
                "ETag": {"description": description, "schema": {"type": "string"}}
            }
        if schema is None:
            return response | {"description": "The request succeeded. The answer has no body."}
        name = f"{route.operation}Response" if route.has_data else "Success"
        self.schemas[name] = schema
        body = (orjson.dumps(example.answer),) if route.has_data else None
        examples = {}
        if not route.has_data or example.answer is not None:
            parts = cast("tuple[bytes, ...]", self._envelope.success(body))
            value = orjson.loads(b"".join(parts))
            examples["success"] = {"value": value}
        content = {"schema": {"$ref": SCHEMAS + name}, "examples": examples}
        return response | {"content": {"application/json": content}}


def _tag(compiled: CompiledRoute) -> str:
    """Return the group of a route: the last fixed segment of its path."""
    return [segment for segment in compiled.segments if segment is not None][-1]


def _path_parameters(compiled: CompiledRoute, example: RouteExample) -> Iterator[dict[str, Any]]:
    for name in compiled.parameters:
        choices = compiled.route.variables[name]
        names = [choice.key or choice.variable for choice in choices if not choice.is_id]
        schema = {"type": "string", "minLength": 1} if names else dict(ID_SCHEMA)
        parameter: dict[str, Any] = {
            "name": name,
            "in": "path",
            "required": True,
            "description": f"{' or '.join(['The ID', *names])}.",
            "schema": schema,
        }
        if name in example.path:
            parameter["example"] = example.path[name]
        yield parameter


def _header_parameters(compiled: CompiledRoute) -> Iterator[dict[str, Any]]:
    if compiled.route.method == "GET":
        yield {
            "name": "If-None-Match",
            "in": "header",
            "description": "Entity tags of earlier answers, separated by commas. If one of them is"
            " still that of the answer, the response is 304 without a body.",
            "schema": {"type": "string"},
        }
    if compiled.route.if_match is not None:
        yield {
            "name": IF_MATCH,
            "in": "header",
            "description": "Entity tags, separated by commas. Nothing is changed unless one of them"
            " is the `ETag` of the process. `*` stands for any.",
            "schema": {"type": "string", "pattern": _IF_MATCH},
        }
    if compiled.route.idempotency_key is not None:
        yield {
            "name": IDEMPOTENCY_KEY,
            "in": "header",
            "description": "1 to 255 printable ASCII characters that identify the request. If it is"
            " sent again within 24 hours, it is answered with the execution that it started.",
            "schema": {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[ -~]+$"},
        }


def _body_schemas(dialect: CompiledDialect) -> dict[str, JsonSchema]:
    """Return the schemas of all bodies and of their parts, by the names of their models."""
    models: list[tuple[type[Body], Any]] = [
        (compiled.route.body.model, "validation")
        for compiled in dialect.routes
        if compiled.route.body is not None
    ]
    _, schemas = models_json_schema(models, ref_template=SCHEMAS + "{model}")
    definitions: dict[str, JsonSchema] = schemas.get("$defs", {})
    return definitions
