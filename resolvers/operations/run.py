"""Run operations in two steps: ``prepare`` a request, then ``run`` it for a viewer.

Preparing looks the document up by its text, chooses the operation and coerces its variables.
Running compiles a query to one SQL statement for each root field, or finds it compiled, and passes
on the JSON that PostgreSQL returns. Mutations run through Strawberry's executor, whose resolvers
return such JSON too.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
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
from resolvers.operations.documents import INTROSPECTION_FIELDS, Operation
from resolvers.operations.input_problems import variable_problems
from resolvers.operations.parameters import RunValues, problems
from resolvers.operations.variables import coerce
from resolvers.operations.worker import Worker
from storage.database.database import Database
from storage.reads.plan import Scope, ValueFormat, Visibility

Introspection = Literal["public", "token", "off"]

_NONE: Mapping[str, Any] = MappingProxyType({})
_NO_ACCESS = Scope(Visibility.NONE, sources=False)
"""The scope of a request without a token."""


class GraphQLRequest(NamedTuple):
    """A GraphQL request as the client sent it."""

    query: str
    operation_name: str | None = None
    variables: Mapping[str, Any] = _NONE


@dataclass(frozen=True, slots=True)
class PreparedOperation:
    """A valid operation and its variables."""

    operation: Operation
    variables: Mapping[str, Any] | None
    """The coerced variables; None if any value does not fit its type."""
    values: Mapping[str, Any]
    """The variables as the client sent them."""
    public: bool
    """Whether it may run without a token."""

    @property
    def writes(self) -> bool:
        """Whether it may change something."""
        return not self.operation.is_query


@dataclass(frozen=True, slots=True)
class RejectedOperation:
    """A request that cannot be executed, and the answer to it."""

    answer: Answer
    writes = False


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
        self.max_items = max_items
        self.worker = Worker()
        """Runs the long computations of large requests."""
        self.compiled = 0
        """The number of operations that ran as compiled SQL."""
        self.executed = 0
        """The number of operations that Strawberry's executor ran."""

    # Prepare -----------------------------------------------------------------------------------

    def prepare(self, request: GraphQLRequest) -> Prepared:
        """Prepare a request to be run. Errors of the client are part of the result."""
        document = self.compiler.document(request.query)
        if document.errors:
            return RejectedOperation(validation_answer(document.errors))
        try:
            operation = document.operation(request.operation_name)
        except GatewayError as error:
            return RejectedOperation(error_answer(error))
        variables = coerce(
            self.compiler.schema,
            operation.definition,
            operation.plain_variables,
            request.variables,
        )
        public = (
            self._introspection == "public" and operation.is_query and operation.only_introspects
        )
        return PreparedOperation(operation, variables, request.variables, public)

    # Run ---------------------------------------------------------------------------------------

    async def run(self, prepared: Prepared, viewer: Viewer | None) -> Answer:
        """Answer a prepared request. Errors of the client are part of the answer.

        Args:
            viewer: The authenticated caller; None without a token, which is enough only for
                introspection.
        """
        try:
            if isinstance(prepared, RejectedOperation):
                return prepared.answer if viewer is not None else error_answer(missing_token())
            if viewer is None and not prepared.public:
                raise missing_token()
            operation = prepared.operation
            if self._introspection == "off" and operation.introspects:
                raise GatewayError(ErrorKind.FORBIDDEN, "introspection is switched off")
            variables = prepared.variables
            if variables is None:
                self._require_permissions(operation, viewer)
                return self._variables_answer(prepared)
            if operation.is_query:
                return await self._query(operation, variables, viewer)
            assert viewer is not None
            return executed_answer(await self.mutate(operation, variables, viewer))
        except Exception as error:
            return error_answer(as_gateway_error(error))

    async def answer(self, request: GraphQLRequest, viewer: Viewer | None) -> Answer:
        """Prepare and run a request."""
        return await self.run(self.prepare(request), viewer)

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
        self, operation: Operation, variables: Mapping[str, Any], viewer: Viewer | None
    ) -> Answer:
        self.compiled += 1
        scope = _NO_ACCESS if viewer is None else viewer.reading
        query = self.compiler.query(operation, variables, scope)
        schema = self._introspect(query, operation, variables)
        fields = query.fields
        if len(fields) == 1:
            return data_answer(fields, [await self._field(fields[0], variables, schema, viewer)])
        results = (self._field(field, variables, schema, viewer) for field in fields)
        return data_answer(fields, await asyncio.gather(*results))

    def _introspect(
        self, query: CompiledQuery, operation: Operation, variables: Mapping[str, Any]
    ) -> Mapping[str, Any]:
        """Return the data of the root fields that select the schema; empty if there are none."""
        if query.introspection is None:
            return _NONE
        try:
            return introspect(
                self.compiler.schema, query.introspection, operation.fragments, variables
            )
        except IntrospectionTooLongError:
            raise bad_value((), "the operation selects too much of the schema") from None

    async def _field(
        self,
        field: CompiledField,
        variables: Mapping[str, Any],
        schema: Mapping[str, Any],
        viewer: Viewer | None,
    ) -> bytes | GatewayError:
        try:
            if field.constant is not None:
                return field.constant
            if field.key in schema:
                return orjson.dumps(schema[field.key])
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
        """Execute a mutation.

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
        return await execute_mutation(
            self.compiler.schema, operation.definition, operation.fragments, variables, context
        )
