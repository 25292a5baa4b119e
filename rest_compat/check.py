"""Check a dialect against the schema at start-up, and make it ready to run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

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

from resolvers.operations.compile import OperationCompiler
from rest_compat.body_model import field_mismatches, graphql_fields, mismatches
from rest_compat.dialect import Dialect, Route, RouteError
from rest_compat.handler import CompiledDialect
from rest_compat.operation import LegacyOperation, compile_operation
from rest_compat.routing import CompiledRoute, parameters_of, segments_of


def compile_dialect(dialect: Dialect, compiler: OperationCompiler) -> CompiledDialect:
    """Validate a dialect against the schema and make it ready to run.

    Raises:
        RouteError: A route does not fit. The message names the route and the mismatch.
    """
    # One document for each operation, so that an error is reported with its own operation.
    documents: Mapping[str, DocumentNode] = separate_operations(parse(dialect.document))
    routes = []
    for route in dialect.routes:
        try:
            routes.append(_compile(route, documents, compiler))
        except ValueError as error:
            raise RouteError(
                f"{route} of the /{dialect.name} dialect does not fit the schema"
                f" (operation {route.operation}): {error}"
            ) from error
    unused = ", ".join(sorted(documents.keys() - {route.operation for route in dialect.routes}))
    if unused:
        raise RouteError(f"no route of the /{dialect.name} dialect runs the operation {unused}")
    return CompiledDialect(dialect, tuple(routes), compiler.schema)


def _compile(
    route: Route, documents: Mapping[str, DocumentNode], compiler: OperationCompiler
) -> CompiledRoute:
    if route.operation not in documents:
        raise ValueError("there is no such operation")
    text = print_ast(documents[route.operation])
    operation = compile_operation(
        compiler, text, route.operation, route.answer, tagged=route.tagged
    )
    parameters = parameters_of(route.path)
    if set(parameters) != set(route.variables):
        raise ValueError(f"the path names {parameters}, the table {tuple(route.variables)}")
    problems = list(_variable_problems(route, operation, compiler.schema))
    if problems:
        raise ValueError("; ".join(problems))
    return CompiledRoute(route, operation, segments_of(route.path), parameters)


def _variable_problems(
    route: Route, operation: LegacyOperation, schema: GraphQLSchema
) -> Iterator[str]:
    """Yield the mismatches between a request's variables and those of the operation."""
    expected: dict[str, GraphQLInputType] = {
        definition.variable.name.value: type_from_ast(schema, definition.type)  # type: ignore[misc]  # it is an input type
        for definition in operation.operation.definition.variable_definitions or ()
    }
    supplied = {choice.variable for choices in route.variables.values() for choice in choices}
    if route.if_match is not None:
        supplied.add(route.if_match)
    rule = route.body
    if rule is not None and rule.variable is not None:
        supplied.add(rule.variable)
        if rule.variable in expected:
            yield from mismatches(rule.model, expected[rule.variable])
    elif rule is not None:
        for name, info in graphql_fields(rule.model):
            if name in expected:
                yield from field_mismatches(info, expected[name])
                if is_non_null_type(expected[name]) and not info.is_required():
                    yield f"${name} is required by the operation but not by the body"
            supplied.add(name)
    for name in sorted(supplied - expected.keys()):
        yield f"the operation has no variable ${name}"
    for name, type_ in expected.items():
        if is_non_null_type(type_) and name not in supplied:
            yield f"nothing supplies ${name}"
