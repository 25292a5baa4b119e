"""Adapt the private parts of Strawberry and graphql-core that the pipeline needs.

Nothing else imports these names (``pyproject.toml`` bans them), so an upgrade of either library is
checked in one place.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Protocol, cast

import strawberry
from graphql import (
    DirectiveNode,
    ExecutionResult,
    FieldNode,
    FragmentDefinitionNode,
    GraphQLError,
    GraphQLField,
    GraphQLInputObjectType,
    GraphQLResolveInfo,
    GraphQLSchema,
    GraphQLSyntaxError,
    OperationDefinitionNode,
    default_field_resolver,
    default_type_resolver,
    get_argument_values,
    get_directive_values,
    get_variable_values,
)
from graphql.execution.collect_fields import FragmentDetails
from graphql.execution.values import VariableValues
from graphql.type import GraphQLIncludeDirective, GraphQLSkipDirective
from graphql.validation.rules import overlapping_fields_can_be_merged
from graphql.validation.validate import ValidationAbortedError
from strawberry.printer import print_schema as print_strawberry_schema
from strawberry.schema.schema import StrawberryGraphQLCoreExecutionContext

from resolvers.errors.translate import from_graphql
from resolvers.values.enums import Permission

# Comparing repeated fields in pairs is the only validation rule that takes far more than linear
# time. The default budget allows one second, this one 0.02 s. It applies only to documents whose
# fields conflict (``resolvers.operations.overlaps``).
overlapping_fields_can_be_merged.MAX_COMPLEXITY_BUDGET = 4_000

_INTROSPECTION_SECONDS = 0.5
"""Processor time that one introspection may take. The full introspection query takes 0.05 s, with
``__typename`` in every selection 0.07 s."""
_INTROSPECTION_VALUES = 40_000
"""Values that an introspection may have however long they take, because garbage collection counts
as its processor time. The full introspection query has 11,000, with ``__typename`` 14,000."""

# Schema ----------------------------------------------------------------------------------------


def core_schema(schema: strawberry.Schema) -> GraphQLSchema:
    """Return the graphql-core schema behind a Strawberry schema."""
    return schema._schema


def print_schema(schema: strawberry.Schema) -> str:
    """Print a schema in the schema definition language."""
    return print_strawberry_schema(schema)


def python_name(field: GraphQLField) -> str:
    """Return a field's name in snake case, which is its name in ``storage.reads.model``."""
    return cast(str, field.extensions["strawberry-definition"].python_name)


def permission_of(field: GraphQLField) -> Permission | None:
    """Return the permission that a root field requires; None if a valid token is enough."""
    metadata = field.extensions["strawberry-definition"].metadata
    return cast("Permission | None", metadata.get("permission"))


def mark_one_of(schema: strawberry.Schema) -> None:
    """Mark the input types with ``@oneOf`` for graphql-core.

    Strawberry only prints the directive. Without the mark, graphql-core does not enforce it for
    literals or variables.
    """
    for type_ in core_schema(schema).type_map.values():
        if isinstance(type_, GraphQLInputObjectType):
            type_.is_one_of = type_.extensions["strawberry-definition"].is_one_of


class MutationResolver(Protocol):
    """The function behind a mutation, called with the coerced arguments by their Python names."""

    def __call__(self, source: None, info: Any, /, **arguments: Any) -> Awaitable[Any]:
        """Run the mutation."""
        ...


def replace_mutation_resolvers(
    schema: strawberry.Schema,
    wrap: Callable[[GraphQLField, MutationResolver], Callable[..., Awaitable[Any]]],
) -> None:
    """Replace Strawberry's resolvers of all mutations.

    Strawberry's own resolvers build an input object for each item of the arguments, only for the
    pydantic models of ``resolvers.rules.models`` to build theirs: half a second for a list of
    10,000. The new ones pass the arguments on as graphql-core has coerced them.

    Args:
        wrap: Returns the resolver of a field; called with the field and the function behind it.
            The resolver is called with the resolve info and the arguments by their Python names.
    """
    mutations = core_schema(schema).mutation_type
    assert mutations is not None
    for field in mutations.fields.values():
        definition = field.extensions["strawberry-definition"]
        names = dict(
            zip(field.args, (arg.python_name for arg in definition.arguments), strict=True)
        )
        function = definition.base_resolver.wrapped_func
        field.resolve = _with_python_names(wrap(field, function), names)


def _with_python_names(
    resolve: Callable[..., Awaitable[Any]], names: Mapping[str, str]
) -> Callable[..., Awaitable[Any]]:
    async def resolver(source: None, info: GraphQLResolveInfo[Any], /, **arguments: Any) -> Any:
        return await resolve(info, **{names[name]: value for name, value in arguments.items()})

    return resolver


def strawberry_info(info: GraphQLResolveInfo[Any], field: GraphQLField) -> strawberry.Info:
    """Return Strawberry's view of a resolve info."""
    return strawberry.Info(info, field.extensions["strawberry-definition"])


# Values ----------------------------------------------------------------------------------------


def coerce_variables(
    schema: GraphQLSchema,
    operation: OperationDefinitionNode,
    values: Mapping[str, Any],
) -> dict[str, Any] | None:
    """Coerce an operation's variables to their types; return None if any does not fit."""
    definitions = operation.variable_definitions or ()
    result = get_variable_values(schema, definitions, dict(values), max_errors=1)
    return None if isinstance(result, list) else result.coerced


class Variables:
    """Coerced variables, for reading the arguments and directives of an operation's fields.

    The methods raise ``GatewayError`` with ``BAD_USER_INPUT`` where a variable that may be null is
    null, but the argument may not be.
    """

    def __init__(self, coerced: Mapping[str, Any]) -> None:
        self._values = VariableValues({}, cast("dict[str, Any]", coerced))

    def arguments(self, field: GraphQLField, node: FieldNode) -> dict[str, Any]:
        """Return the arguments of a field by name, defaults included."""
        with _translated_errors():
            return get_argument_values(field, node, self._values)

    def includes(self, node: Any) -> bool:
        """Whether ``@skip`` and ``@include`` keep a selection."""
        directives: tuple[DirectiveNode, ...] = node.directives
        if not directives:
            return True
        with _translated_errors():
            skip = get_directive_values(GraphQLSkipDirective, node, self._values)
            if skip and skip["if"]:
                return False
            include = get_directive_values(GraphQLIncludeDirective, node, self._values)
            return not include or bool(include["if"])


@contextmanager
def _translated_errors() -> Iterator[None]:
    try:
        yield
    except GraphQLError as error:
        raise from_graphql(error) from error


def is_validation_aborted(error: GraphQLError) -> bool:
    """Whether validation stopped because the document is too complex to validate."""
    return isinstance(error, ValidationAbortedError) and error.message == "Validation aborted."


def is_error_limit_reached(error: GraphQLError) -> bool:
    """Whether an error only says that validation stopped after the greatest number of errors."""
    return isinstance(error, ValidationAbortedError) and not is_validation_aborted(error)


def is_token_limit_exceeded(error: GraphQLSyntaxError) -> bool:
    """Whether parsing stopped because the document has too many tokens."""
    return "Document contains more than" in error.message


# Execution -------------------------------------------------------------------------------------


class Payload(dict[str, Any]):
    """A finished answer of a mutation, which the executor passes on as it is."""


class IntrospectionTooLongError(Exception):
    """An introspection exceeded its time limit."""


class _StopExecution(BaseException):
    """Ends an execution from within."""


class _ExecutionContext(StrawberryGraphQLCoreExecutionContext):
    """An executor that passes payloads on, and ends at a deadline."""

    deadline: float | None = None
    """In seconds of this thread's processor time."""
    values_before_deadline = 0
    """Values that are completed before the deadline applies."""

    def complete_value(
        self,
        return_type: Any,
        field_details_list: Any,
        info: Any,
        path: Any,
        result: Any,
        position_context: Any,
    ) -> Any:
        if isinstance(result, Payload):
            return result
        if self.deadline is not None:
            self.values_before_deadline -= 1
            if self.values_before_deadline < 0 and time.thread_time() > self.deadline:
                raise _StopExecution
        return super().complete_value(
            return_type, field_details_list, info, path, result, position_context
        )


async def execute_mutation(
    schema: GraphQLSchema,
    operation: OperationDefinitionNode,
    fragments: Mapping[str, FragmentDefinitionNode],
    variables: Mapping[str, Any],
    context: object,
) -> ExecutionResult:
    """Execute a mutation, whose resolvers return payloads.

    Args:
        variables: Coerced to their types.
        context: Passed on to the resolvers.
    """
    result = _executor(schema, operation, fragments, variables, context).execute_operation()
    return cast(ExecutionResult, await result if asyncio.iscoroutine(result) else result)


def introspect(
    schema: GraphQLSchema,
    operation: OperationDefinitionNode,
    fragments: Mapping[str, FragmentDefinitionNode],
    variables: Mapping[str, Any],
) -> dict[str, Any]:
    """Return the data of a query of ``__schema`` and ``__type``.

    Raises:
        GatewayError: ``BAD_USER_INPUT``, if an argument is null that may not be.
        IntrospectionTooLongError: It takes longer than ``_INTROSPECTION_SECONDS`` and has more than
            ``_INTROSPECTION_VALUES`` values.
    """
    executor = _executor(schema, operation, fragments, variables, None)
    executor.deadline = time.thread_time() + _INTROSPECTION_SECONDS
    executor.values_before_deadline = _INTROSPECTION_VALUES
    try:
        result = cast(ExecutionResult, executor.execute_operation())
    except _StopExecution:
        raise IntrospectionTooLongError from None
    if result.errors:
        raise from_graphql(result.errors[0])
    assert result.data is not None
    return result.data


def _executor(
    schema: GraphQLSchema,
    operation: OperationDefinitionNode,
    fragments: Mapping[str, FragmentDefinitionNode],
    variables: Mapping[str, Any],
    context: object,
) -> _ExecutionContext:
    # Created here and not by graphql.execute, which would coerce the variables again.
    return _ExecutionContext(
        schema,
        dict(fragments),
        {name: FragmentDetails(fragment) for name, fragment in fragments.items()},
        None,
        context,
        operation,
        VariableValues({}, dict(variables)),
        default_field_resolver,
        default_type_resolver,
        default_field_resolver,
    )
