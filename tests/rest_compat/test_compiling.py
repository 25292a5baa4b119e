"""Test that a route that does not fit the schema stops the start with a message that names both."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import pytest
from graphql import (
    GraphQLInputObjectType,
    GraphQLObjectType,
    GraphQLSchema,
    OperationDefinitionNode,
    parse,
)

from resolvers.operations.compile import OperationCompiler
from resolvers.operations.limits import Limits
from resolvers.schema.build import build_schema
from rest_compat.body_model import client_path
from rest_compat.check import compile_dialect
from rest_compat.dialect import Dialect, Route, RouteError
from rest_compat.dialects import build_dialects, describe_routes
from rest_compat.process.bodies import ExecuteBody, ProcessBody
from rest_compat.process.routes import process_dialect
from rest_compat.processes.routes import processes_dialect


def compiler(change: Callable[[GraphQLSchema], None] = lambda schema: None) -> OperationCompiler:
    """Return a compiler for the real schema, with a change applied to it."""
    schema = build_schema()
    change(schema._schema)
    return OperationCompiler(schema, Limits())


def rename(type_name: str, field: str) -> Callable[[GraphQLSchema], None]:
    """Return a change that renames a field, as a change in ``resolvers`` might."""

    def change(schema: GraphQLSchema) -> None:
        type_ = schema.type_map[type_name]
        assert isinstance(type_, GraphQLObjectType | GraphQLInputObjectType)
        fields: dict[str, Any] = type_.fields
        fields[f"{field}Renamed"] = fields.pop(field)

    return change


@pytest.mark.parametrize(
    ("type_name", "field", "route"),
    [
        ("Query", "espaces", "GET /espaces"),
        ("Espace", "icon", "GET /espaces"),
        ("Process", "nameEnable", "GET /process "),
        ("Action", "sourceName", "GET /process "),
        ("Mutation", "createProcess", "POST /process "),
        ("NewProcess", "nameDisable", "POST /process "),
        ("NewAction", "runsWhen", "POST /process "),
        ("EspaceKeyInput", "databaseId", "POST /process "),
        ("Mutation", "deleteProcess", "DELETE /process/{idProcess} "),
        ("ActionPayload", "action", "POST /process/{idProcess}/actions "),
        ("ExecutionStep", "result", "POST /process/{id}/execute "),
        ("InputValue", "value", "POST /process/{id}/execute "),
        ("Mutation", "unauthoriseProfile", "DELETE /process/{idProcess}/profiles "),
        ("ProcessTexts", "description", "PUT /processes "),
        ("ProcessChanges", "description", "PUT /processes/{id} "),
    ],
)
def test_a_renamed_field_stops_the_start(type_name: str, field: str, route: str) -> None:
    with pytest.raises(RouteError) as raised:
        build_dialects(compiler(rename(type_name, field)), process_dialect_status="http")
    message = str(raised.value)
    assert message.startswith(route)
    assert field in message
    assert type_name in message


def test_the_dialects_match_the_schema() -> None:
    process, processes = build_dialects(compiler(), process_dialect_status="http")
    assert (process.name, processes.name) == ("process", "processes")


def with_changed_route(dialect: Dialect, operation: str, changes: dict[str, Any]) -> Dialect:
    """Return a copy of a dialect with one route changed."""
    routes = tuple(
        dataclasses.replace(route, **changes) if route.operation == operation else route
        for route in dialect.routes
    )
    return dataclasses.replace(dialect, routes=routes)


@pytest.mark.parametrize(
    ("operation", "changes", "problem"),
    [
        ("Process", {"operation": "Nothing"}, "there is no such operation"),
        ("Process", {"answer": ("espaces",)}, "expected the one root field espaces"),
        ("Process", {"path": "/process/{other}"}, "the path names"),
        ("DeleteProcess", {"variables": {"idProcess": ()}}, "nothing supplies $id"),
        ("AddAction", {"body": None}, "nothing supplies $action"),
    ],
)
def test_an_invalid_route_stops_the_start(
    operation: str, changes: dict[str, Any], problem: str
) -> None:
    dialect = with_changed_route(process_dialect("http"), operation, changes)
    with pytest.raises(RouteError, match=r"of the /process dialect does not fit") as raised:
        compile_dialect(dialect, compiler())
    assert problem in str(raised.value)


def test_an_operation_without_a_route_stops_the_start() -> None:
    dialect = processes_dialect()
    with pytest.raises(RouteError, match=r"runs the operation UpdateProcess$"):
        compile_dialect(dataclasses.replace(dialect, routes=dialect.routes[:2]), compiler())


def test_every_operation_has_a_route() -> None:
    for dialect in (process_dialect("http"), processes_dialect()):
        names = [
            definition.name.value
            for definition in parse(dialect.document).definitions
            if isinstance(definition, OperationDefinitionNode) and definition.name
        ]
        assert sorted(names) == sorted(route.operation for route in dialect.routes)


def test_describe_routes_lists_every_route() -> None:
    rows = describe_routes(build_dialects(compiler(), process_dialect_status="http"))
    assert len({tuple(map(len, row)) for row in rows}) == 1
    plain = [tuple(cell.rstrip() for cell in row) for row in rows]
    assert ("process", "GET", "/espaces", "Espaces", "-") in plain
    execute = ("POST", "/process/{id}/execute", "ExecuteProcess", "process:execute")
    assert ("process", *execute) in plain
    assert ("processes", "PUT", "/processes/{id}", "UpdateProcess", "process:write") in plain


def test_a_route_prints_as_method_and_path() -> None:
    assert str(Route("GET", "/process", "Processes", (), "")) == "GET /process"


@pytest.mark.parametrize(
    ("path", "body", "expected"),
    [
        (("actions", 0, "runsWhen"), {}, ("sources", 0, "enable")),
        (("actions", 1), {"actions": [1, 2]}, ("actions", 1)),
        (("actions", 0, "sourceId"), {}, ("sources", 0, "source")),
        (
            ("actions", 0, "arguments", 2, "reference"),
            {"actions": [{"arguments": [1, 2, {"name": "x"}]}]},
            ("actions", 0, "arguments", 2, "name"),
        ),
        (("espace", "databaseId"), {}, ("espace",)),
        (("profiles", 1, "name"), {}, ("profiles", 1)),
        (("state",), {}, ("enable",)),
        ((), {}, ()),
    ],
)
def test_client_path_uses_the_names_of_the_client(
    path: tuple[str | int, ...], body: Any, expected: tuple[str | int, ...]
) -> None:
    assert client_path(ProcessBody, path, body) == expected


def test_client_path_locates_execution_inputs() -> None:
    assert client_path(ExecuteBody, ("inputs", "who"), {}) == ("inputs", "who")
    assert client_path(ExecuteBody, ("values", 3), {"inputs": []}) == ("inputs", 3)
