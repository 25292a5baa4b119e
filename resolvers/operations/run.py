"""Run operations in two steps: ``prepare`` a request, then ``run`` it for a viewer.

Preparing looks the document up by its text, chooses the operation and coerces its variables.
Running compiles a query to one SQL statement for each root field, or finds it compiled, and passes
on the JSON that PostgreSQL returns. Mutations run through Strawberry's executor, whose resolvers
return such JSON too.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType
from typing import Any, Literal, NamedTuple

import orjson
from graphql import ExecutionResult

from resolvers.access.viewer import Viewer
from resolvers.errors.catalogue import ErrorKind, GatewayError, bad_input, bad_value, missing_token
from resolvers.errors.translate import as_gateway_error
from resolvers.execution.engine import ExecutionEngine
from resolvers.graphql_adapter import (
    IntrospectionTooLongError,
    execute_mutation,
    introspect,
    permission_of,
)
from resolvers.operations.answers import (
    Answer,
    data_answer,
    error_answer,
    executed_answer,
    validation_answer,
)
from resolvers.operations.compile import CompiledField, CompiledQuery, OperationCompiler
from resolvers.operations.context import RequestContext
from resolvers.operations.cost import check_cost
from resolvers.operations.documents import INTROSPECTION_FIELDS, Document, Operation
from resolvers.operations.input_problems import variable_problems
from resolvers.operations.parameters import RunValues, problems
from resolvers.operations.public import PublicDocuments
from resolvers.operations.variables import coerce
from storage.database.database import Database
from storage.reads.plan import Scope, ValueFormat, Visibility

Introspection = Literal["public", "token", "off"]

_CANCEL_TIME = 0.25
"""Seconds that canceled mutations get to end."""

_NONE: Mapping[str, Any] = MappingProxyType({})
_MAX_CONNECTIONS = 4
"""Connections to the database that one operation uses at a time."""
_INTROSPECTED = "introspected"
"""What the answers to root fields that select the schema are kept as, with their operation."""
_NO_ACCESS = Scope(Visibility.NONE, sources=False)
"""The scope of a request without a token."""


class GraphQLRequest(NamedTuple):
    """A GraphQL request as the client sent it."""

    query: str
    operation_name: str | None = None
    variables: Mapping[str, Any] = _NONE
    extensions: Mapping[str, Any] = _NONE
    """``{"cost": true}`` asks for the cost of the operation."""
    size: int = 0
    """Bytes of the request."""


@dataclass(frozen=True, slots=True)
class PreparedOperation:
    """A valid operation and its variables."""

    operation: Operation
    variables: Mapping[str, Any] | None
    """The coerced variables; None if any value does not fit its type."""
    values: Mapping[str, Any]
    """The variables as the client sent them."""
    shows_cost: bool = False
    """Whether the answer shows the cost of the operation."""
    size: int = 0
    """Bytes of the request."""

    @property
    def writes(self) -> bool:
        """Whether it may change something."""
        return self.operation.is_mutation

    @property
    def is_subscription(self) -> bool:
        """Whether it is answered again and again (``resolvers.operations.subscribe``)."""
        return self.operation.is_subscription


@dataclass(frozen=True, slots=True)
class RejectedOperation:
    """A request that cannot be executed, and the answer to it."""

    answer: Answer
    writes = False
    is_subscription = False


Prepared = PreparedOperation | RejectedOperation


class Operations:
    """Runs operations of one schema against one database.

    Args:
        access_changed: Called after an operation has written profiles.
        introspection: Who may read the schema.
        max_items: The most items of all lists in a request together.
    """

    def __init__(
        self,
        compiler: OperationCompiler,
        database: Database,
        executions: ExecutionEngine,
        *,
        access_changed: Callable[[], None] = lambda: None,
        introspection: Introspection = "public",
        max_items: int = 20_000,
    ) -> None:
        self.compiler = compiler
        self.database = database
        self._executions = executions
        self._access_changed = access_changed
        self._introspection = introspection
        self._public = PublicDocuments(compiler.schema)
        self._writing: set[asyncio.Task[ExecutionResult]] = set()
        self.max_items = max_items
        self.worker = compiler.worker
        self.compiled = 0
        """The number of operations that ran as compiled SQL."""
        self.too_costly = 0
        """The number of queries that cost more than ``max_query_cost``."""
        self.executed = 0
        """The number of operations that Strawberry's executor ran."""

    @property
    def is_public(self) -> bool:
        """Whether the schema may be read without a token."""
        return self._introspection == "public"

    # Prepare -----------------------------------------------------------------------------------

    async def prepare(self, request: GraphQLRequest) -> Prepared:
        """Prepare a request to be run. Errors of the client are part of the result."""
        return await self._prepare(await self.compiler.document(request.query), request)

    async def prepare_public(self, request: GraphQLRequest) -> Prepared:
        """Prepare a request without a token, which may only introspect.

        Only if the schema ``is_public``.

        Raises:
            GatewayError: ``UNAUTHENTICATED`` or ``RATE_LIMITED``.
        """
        prepared = await self._prepare(self._public.read(request.query), request)
        if isinstance(prepared, RejectedOperation):
            raise missing_token()
        return prepared

    async def _prepare(self, document: Document, request: GraphQLRequest) -> Prepared:
        if document.errors:
            return RejectedOperation(validation_answer(document.errors))
        try:
            operation = document.operation(request.operation_name)
        except GatewayError as error:
            return RejectedOperation(error_answer(error))
        variables = await self.worker.run(
            request.size,
            partial(
                coerce,
                self.compiler.schema,
                operation.definition,
                operation.plain_variables,
                request.variables,
            ),
        )
        shows_cost = request.extensions.get("cost") is True
        return PreparedOperation(operation, variables, request.variables, shows_cost, request.size)

    # Run ---------------------------------------------------------------------------------------

    async def run(self, prepared: Prepared, viewer: Viewer | None) -> Answer:
        """Answer a prepared request. Errors of the client are part of the answer.

        Args:
            viewer: The authenticated caller; None for an operation of ``prepare_public``.
        """
        try:
            if isinstance(prepared, RejectedOperation):
                return prepared.answer
            operation = prepared.operation
            if self._introspection == "off" and operation.introspects:
                raise GatewayError(ErrorKind.FORBIDDEN, "introspection is switched off")
            variables = prepared.variables
            if variables is None:
                self._require_permissions(operation, viewer)
                return await self.worker.run(
                    prepared.size, partial(self._variables_answer, prepared)
                )
            if operation.is_query:
                return await self._query(prepared, variables, viewer)
            assert viewer is not None
            if operation.is_subscription:
                raise bad_value((), "a subscription needs a WebSocket or an event stream")
            return executed_answer(await self.mutate(operation, variables, viewer))
        except Exception as error:
            return error_answer(as_gateway_error(error))

    async def answer(self, request: GraphQLRequest, viewer: Viewer) -> Answer:
        """Prepare and run a request."""
        return await self.run(await self.prepare(request), viewer)

    def _require_permissions(self, operation: Operation, viewer: Viewer | None) -> None:
        """Raise ``FORBIDDEN`` if the viewer may not use a root field of the operation.

        Permissions are checked before the shape of the input (docs/contract.md §2).
        """
        root = self.compiler.schema.get_root_type(operation.definition.operation)
        assert root is not None
        if viewer is not None:
            for name in sorted(operation.root_names - INTROSPECTION_FIELDS):
                viewer.require(permission_of(root.fields[name]), name)

    def _variables_answer(self, prepared: PreparedOperation) -> Answer:
        """Return the answer to variables that do not fit."""
        definitions, problems = variable_problems(
            self.compiler.schema,
            prepared.operation.definition,
            prepared.operation.fragments,
            prepared.values,
        )
        if not problems:  # graphql-core could not coerce a value that is well-formed
            raise bad_value((), "the variables are nested too deeply")
        return error_answer(bad_input(*problems), definitions)

    # Queries -----------------------------------------------------------------------------------

    async def _query(
        self, prepared: PreparedOperation, variables: Mapping[str, Any], viewer: Viewer | None
    ) -> Answer:
        self.compiled += 1
        operation = prepared.operation
        scope = _NO_ACCESS if viewer is None else viewer.reading
        query = self.compiler.query(operation, variables, scope)
        cost = self.check_cost(query, variables, viewer)
        schema = await self._introspect(query, prepared, variables, viewer)
        fields = query.fields
        if len(fields) == 1:
            results = [await self._field(fields[0], variables, schema, viewer)]
        else:
            results = await self._several(fields, variables, schema, viewer)
        if prepared.shows_cost and cost is not None:
            maximum = self.compiler.limits.max_query_cost
            return data_answer(fields, results, {"cost": {"requested": cost, "maximum": maximum}})
        return data_answer(fields, results)

    def check_cost(
        self, query: CompiledQuery, variables: Mapping[str, Any], viewer: Viewer | None
    ) -> int | None:
        """Return what a query costs; None if that is switched off.

        Raises:
            GatewayError: ``BAD_USER_INPUT``, if it costs too much.
        """
        limits = self.compiler.limits
        if limits.cost_mode == "off" or viewer is None:
            return None
        if query.constant_cost is not None and query.constant_cost <= limits.max_query_cost:
            return query.constant_cost
        # The permission is judged before the cost: a field that may not be read costs nothing.
        estimates = [
            field.estimate
            for field in query.fields
            if field.permission is None or viewer.may(field.permission)
        ]
        try:
            cost = check_cost(estimates, RunValues(variables, viewer.profile_id), limits)
        except GatewayError:
            self.too_costly += 1
            raise
        self.too_costly += cost > limits.max_query_cost
        return cost

    async def _introspect(
        self,
        query: CompiledQuery,
        prepared: PreparedOperation,
        variables: Mapping[str, Any],
        viewer: Viewer | None,
    ) -> Mapping[str, bytes]:
        """Return the JSON of the root fields that select the schema; empty if there are none."""
        if query.introspection is None:
            return _NONE
        operation = prepared.operation
        kept: Mapping[str, bytes] | None = operation.compiled.get(_INTROSPECTED)
        if kept is not None:
            return kept
        compute = partial(
            introspect, self.compiler.schema, query.introspection, operation.fragments, variables
        )
        if viewer is None:
            # In the worker, so that requests that wait there find what the ones before have left.
            compute = partial(self._public.budget.run, compute)
        try:
            data = await self.worker.compute(compute)
        except IntrospectionTooLongError:
            raise bad_value((), "the operation selects too much of the schema") from None
        answers = {key: orjson.dumps(value) for key, value in data.items()}
        if not operation.definition.variable_definitions:
            operation.compiled[_INTROSPECTED] = answers
            size = sum(map(len, answers.values()))
            self.compiler.cache.grow(operation, size)
            self._public.cache.grow(operation, size)
        return answers

    async def _several(
        self,
        fields: Sequence[CompiledField],
        variables: Mapping[str, Any],
        schema: Mapping[str, bytes],
        viewer: Viewer | None,
    ) -> list[bytes | GatewayError]:
        """Return the results of several root fields, a few of which are read at a time."""
        results: list[bytes | GatewayError] = [b""] * len(fields)
        pending = iter(enumerate(fields))

        async def read() -> None:
            for index, field in pending:
                results[index] = await self._field(field, variables, schema, viewer)

        readers = min(len(fields), _MAX_CONNECTIONS)
        async with asyncio.TaskGroup() as group:
            for _ in range(readers):
                group.create_task(read())
        return results

    async def _field(
        self,
        field: CompiledField,
        variables: Mapping[str, Any],
        schema: Mapping[str, bytes],
        viewer: Viewer | None,
    ) -> bytes | GatewayError:
        try:
            if field.constant is not None:
                return field.constant
            if field.key in schema:
                return schema[field.key]
            assert viewer is not None
            viewer.require(field.permission, field.node.name.value)
            if field.error is not None:
                return field.error
            assert field.read is not None
            values = RunValues(variables, viewer.profile_id)
            if field.problems:
                all_problems = (*field.problems, *problems(field.slots, values))
                raise bad_input(*dict.fromkeys(all_problems))
            arguments = field.read.arguments(values)
            answer = await self.database.fetch_json(field.read.statement.sql, arguments)
            return b"null" if answer is None else answer
        except Exception as error:
            return as_gateway_error(error)

    # Mutations ---------------------------------------------------------------------------------

    async def mutate(
        self,
        operation: Operation,
        variables: Mapping[str, Any],
        viewer: Viewer,
        value_format: ValueFormat = ValueFormat.GRAPHQL,
        *,
        permitted: bool = False,
    ) -> ExecutionResult:
        """Execute a mutation, to its end even if the caller is canceled: the client has left.

        Args:
            variables: Coerced to their types.
            permitted: Whether the viewer's permission was already checked.
        """
        self.executed += 1
        context = RequestContext(
            viewer,
            self.database,
            self._executions,
            self.compiler.limits,
            self._access_changed,
            self.worker,
            value_format,
            permitted,
        )
        writing = asyncio.create_task(
            execute_mutation(
                self.compiler.schema, operation.definition, operation.fragments, variables, context
            )
        )
        self._writing.add(writing)
        writing.add_done_callback(self._writing.discard)
        return await asyncio.shield(writing)

    async def finish(self, seconds: float) -> None:
        """Wait for the mutations whose callers were canceled; cancel those that take longer."""
        if self._writing:
            await asyncio.wait(self._writing, timeout=seconds)
        unfinished = list(self._writing)
        for writing in unfinished:
            writing.cancel()
        if unfinished:
            await asyncio.wait(unfinished, timeout=_CANCEL_TIME)
