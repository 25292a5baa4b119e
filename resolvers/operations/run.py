"""In charge of the one pipeline that every request runs through, GraphQL or legacy.

A query goes from its variables straight to the database, one statement a root field, and the JSON
that comes back goes out as it is. Mutations and introspection run through Strawberry's executor,
whose resolvers answer with such JSON too.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Literal, NamedTuple

import orjson
from graphql import (
    ExecutionResult,
    GraphQLError,
    OperationDefinitionNode,
    OperationType,
    default_field_resolver,
    default_type_resolver,
)
from graphql.execution.collect_fields import FragmentDetails
from graphql.execution.values import VariableValues, get_variable_values
from strawberry.schema.schema import StrawberryGraphQLCoreExecutionContext

from resolvers.access.viewer import Viewer
from resolvers.errors.catalogue import ErrorKind, GatewayError
from resolvers.errors.translate import as_gateway_error, entry, entry_of_graphql, from_graphql
from resolvers.execution.engine import ExecutionEngine
from resolvers.operations.compile import (
    INTROSPECTION_FIELDS,
    CompiledField,
    Document,
    LegacyOperation,
    Operation,
    OperationCompiler,
    PlainVariable,
)
from resolvers.operations.context import RequestContext, permission_of
from resolvers.values.ids import MAX_DATABASE_ID
from storage.database.database import Database
from storage.reads.plan import Rendering, RunValues

Introspection = Literal["public", "token", "off"]


_NONE: Mapping[str, Any] = MappingProxyType({})


class GraphQLRequest(NamedTuple):
    """What a GraphQL client sent."""

    query: str
    operation_name: str | None = None
    variables: Mapping[str, Any] = _NONE
    read_only: bool = False
    """Refuse mutations: the request came by a method that must not change anything."""


class Answer(NamedTuple):
    """A GraphQL response: HTTP status, body, and headers that say more about it."""

    status: int
    parts: tuple[bytes, ...]
    """The body. What the database answered is one of them as it came: it may be megabytes."""
    headers: Mapping[str, str] = _NONE

    @property
    def body(self) -> bytes:
        """The body in one piece."""
        return b"".join(self.parts)


class _PassThroughContext(StrawberryGraphQLCoreExecutionContext):
    """Strawberry's executor, taking finished JSON from a resolver as it is."""

    def complete_value(
        self,
        return_type: Any,
        field_details_list: Any,
        info: Any,
        path: Any,
        result: Any,
        position_context: Any,
    ) -> Any:
        if isinstance(result, orjson.Fragment):
            return result
        return super().complete_value(
            return_type, field_details_list, info, path, result, position_context
        )


class Operations:
    """Runs operations of one schema against one database.

    Args:
        access_changed: called after an operation has written profiles.
        introspection: who may ask for the schema.
    """

    def __init__(
        self,
        compiler: OperationCompiler,
        database: Database,
        executions: ExecutionEngine,
        *,
        access_changed: Callable[[], None] = lambda: None,
        introspection: Introspection = "public",
    ) -> None:
        self.compiler = compiler
        self._database = database
        self._executions = executions
        self._access_changed = access_changed
        self._introspection = introspection
        self.compiled = 0
        """Operations that went from their variables straight to SQL."""
        self.executed = 0
        """Operations that Strawberry's executor ran."""

    # GraphQL -----------------------------------------------------------------------------------

    async def answer(self, request: GraphQLRequest, viewer: Viewer | None) -> Answer:
        """The response to a GraphQL request; never raises for anything that a client sent.

        Args:
            viewer: who asks; None without a token, which is enough for introspection alone.
        """
        try:
            document = self.compiler.document(request.query)
            if viewer is None and not self._open_to_all(document, request.operation_name):
                raise GatewayError(
                    ErrorKind.UNAUTHENTICATED,
                    "no access token: send it in the Authorization header",
                )
            if document.errors:
                return _refused([entry_of_graphql(error) for error in document.errors])
            operation = document.operation(request.operation_name)
            introspects = operation.introspects
            if introspects and self._introspection == "off":
                raise GatewayError(ErrorKind.FORBIDDEN, "introspection is switched off")
            is_query = operation.definition.operation is OperationType.QUERY
            if request.read_only and not is_query:
                refused = entry(
                    GatewayError(ErrorKind.BAD_USER_INPUT, "send a mutation with POST, not GET")
                )
                return Answer(405, (orjson.dumps({"errors": [refused]}),), {"Allow": "POST"})
            variables = self._variables(operation, request.variables)
            if isinstance(variables, list):
                return self._refused_variables(operation, viewer, variables)
            if viewer is not None and is_query and not introspects:
                return await self._run_query(request, variables, viewer)
            result = await self._executed(document, operation.definition, variables, viewer)
            return _executed_answer(result)
        except GatewayError as error:
            return refusal(error)

    def _open_to_all(self, document: Document, operation_name: str | None) -> bool:
        """Whether the operation may run without a token."""
        if self._introspection != "public" or document.errors:
            return False
        try:
            return document.operation(operation_name).only_introspects
        except GatewayError:
            return False

    # Queries -----------------------------------------------------------------------------------

    async def _run_query(
        self, request: GraphQLRequest, variables: Mapping[str, Any], viewer: Viewer
    ) -> Answer:
        self.compiled += 1
        scope = viewer.reading
        fields = self.compiler.query(request.query, request.operation_name, variables, scope)
        values = RunValues(variables, viewer.profile_id)
        if len(fields) == 1:
            return _data(fields, [await self._run_field(fields[0], values, viewer)])
        runs = (self._run_field(compiled, values, viewer) for compiled in fields)
        return _data(fields, await asyncio.gather(*runs))

    async def _run_field(
        self, compiled: CompiledField, values: RunValues, viewer: Viewer
    ) -> bytes | GatewayError:
        try:
            viewer.require(compiled.permission, compiled.node.name.value)
            if compiled.error is not None:
                return compiled.error
            if compiled.statement is None:
                return compiled.constant
            arguments = compiled.statement.arguments(values)
            found = await self._database.fetch_json(compiled.statement.sql, arguments)
            return b"null" if found is None else found
        except Exception as error:
            return as_gateway_error(error)

    # Everything else ---------------------------------------------------------------------------

    async def _executed(
        self,
        document: Document,
        operation: OperationDefinitionNode,
        variables: Mapping[str, Any],
        viewer: Viewer | None,
        rendering: Rendering = Rendering.GRAPHQL,
    ) -> ExecutionResult:
        """What Strawberry's executor makes of the operation."""
        self.executed += 1
        context = None
        if viewer is not None:
            context = RequestContext(
                viewer,
                self._database,
                self._executions,
                self.compiler.limits,
                self._access_changed,
                rendering,
            )
        # Made here and not by graphql.execute, which would coerce the variables again.
        executor = _PassThroughContext(
            self.compiler.schema,
            dict(document.fragments),
            {name: FragmentDetails(fragment) for name, fragment in document.fragments.items()},
            None,
            context,
            operation,
            VariableValues({}, dict(variables)),
            default_field_resolver,
            default_type_resolver,
            default_field_resolver,
        )
        result: Any = executor.execute_operation()
        executed: ExecutionResult = await result if asyncio.iscoroutine(result) else result
        return executed

    # Variables ---------------------------------------------------------------------------------

    def _variables(
        self, operation: Operation, given: Mapping[str, Any]
    ) -> Mapping[str, Any] | list[GraphQLError]:
        """The operation's variables, coerced to their types, or what is wrong with them."""
        coerced = None if operation.variables is None else _coerced(operation.variables, given)
        if coerced is not None:
            return coerced
        definitions = operation.definition.variable_definitions or ()
        found = get_variable_values(self.compiler.schema, definitions, dict(given), max_errors=10)
        return found if isinstance(found, list) else found.coerced

    def _refused_variables(
        self, operation: Operation, viewer: Viewer | None, errors: Sequence[GraphQLError]
    ) -> Answer:
        """The response to variables that do not fit, for a viewer who might have used them.

        Permission is judged before the shape of the input (CONTRACT.md §2).
        """
        root = self.compiler.schema.get_root_type(operation.definition.operation)
        assert root is not None
        if viewer is not None:
            for name in sorted(operation.root_names - INTROSPECTION_FIELDS):
                viewer.require(permission_of(root.fields[name]), name)
        return _refused([entry_of_graphql(error) for error in errors])

    # Legacy routes -----------------------------------------------------------------------------

    async def run(
        self, operation: LegacyOperation, variables: Mapping[str, Any], viewer: Viewer
    ) -> tuple[bytes, ...] | None:
        """The JSON that a legacy route answers with, in parts; None where it is null.

        Args:
            variables: as they are after coercion; the route was checked to give what fits.

        Raises:
            GatewayError: whatever went wrong.
        """
        try:
            if operation.statements:
                self.compiled += 1
                viewer.require(operation.permission, operation.path[0])
                statement = operation.statements[viewer.reading]
                arguments = statement.arguments(RunValues(variables, viewer.profile_id))
                if statement.listed:
                    found = await self._database.fetch_list(statement.sql, arguments)
                    return b"[", b",".join(found), b"]"
                one = await self._database.fetch_json(statement.sql, arguments)
                return None if one is None else (one,)
            result = await self._executed(
                operation.document,
                operation.definition,
                variables,
                viewer,
                Rendering.LEGACY,
            )
        except Exception as error:
            raise as_gateway_error(error) from error
        if result.errors:
            raise from_graphql(result.errors[0]) from result.errors[0]
        value = orjson.loads(orjson.dumps(result.data))
        for key in operation.path:
            value = value[key]
        return None if value is None else (orjson.dumps(value),)


def _coerced(variables: Sequence[PlainVariable], given: Mapping[str, Any]) -> dict[str, Any] | None:
    """The variables, where each is of just its type: there is nothing to coerce.

    None where one is not, and graphql-core has to judge; it takes ten times as long.
    """
    coerced: dict[str, Any] = {}
    for name, type_, nullable, has_default in variables:
        value = given.get(name)
        if value is None:
            if not nullable or (has_default and name not in given):
                return None
            if name in given:
                coerced[name] = None
            continue
        if type(value) is not type_:
            return None
        if isinstance(value, int) and not -MAX_DATABASE_ID - 1 <= value <= MAX_DATABASE_ID:
            return None
        coerced[name] = value
    return coerced


def refusal(error: GatewayError) -> Answer:
    """The response to a request that was not executed because of this error."""
    headers = {} if error.retry_after is None else {"Retry-After": f"{error.retry_after:.0f}"}
    return Answer(error.kind.words.status, (orjson.dumps({"errors": [entry(error)]}),), headers)


def _refused(errors: Sequence[Mapping[str, Any]]) -> Answer:
    """The response to an operation that is not valid."""
    body = orjson.dumps({"errors": list(errors)})
    return Answer(ErrorKind.BAD_USER_INPUT.words.status, (body,))


def _executed_answer(result: ExecutionResult) -> Answer:
    """The response made of what the executor came to."""
    body: dict[str, Any] = {"data": result.data}
    if result.errors:
        body["errors"] = [entry_of_graphql(error) for error in result.errors]
    return Answer(200, (orjson.dumps(body),))


def _data(fields: Sequence[CompiledField], answers: Sequence[bytes | GatewayError]) -> Answer:
    """The response made of its root fields' answers, each as the database wrote it."""
    parts = [b'{"data":{']
    errors: list[Mapping[str, Any]] = []
    fatal = False
    for compiled, answer in zip(fields, answers, strict=True):
        if isinstance(answer, GatewayError):
            errors.append(entry(answer, path=[compiled.key], locations=_location(compiled)))
            fatal = fatal or compiled.non_null
            answer = b"null"
        parts += (compiled.opening, answer, b",")
    if len(parts) > 1:
        parts.pop()
    parts.append(b"}")
    if fatal:
        parts = [b'{"data":null']
    if errors:
        parts += (b',"errors":', orjson.dumps(errors))
    parts.append(b"}")
    return Answer(200, tuple(parts))


def _location(compiled: CompiledField) -> list[dict[str, int]]:
    token = compiled.node.loc.start_token if compiled.node.loc else None
    return [{"line": token.line, "column": token.column}] if token else []
