"""Run operations in two steps: ``prepare`` a request, then ``run`` it for a viewer.

Preparing looks the document up by its text, chooses the operation and coerces its variables.
``resolvers.operations.query`` answers queries. Mutations run through Strawberry's executor, whose
resolvers return the JSON that PostgreSQL returned.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType
from typing import Any, Literal, NamedTuple

from graphql import ExecutionResult

from resolvers.access.viewer import Viewer
from resolvers.errors.catalogue import ErrorKind, GatewayError, bad_input, bad_value, missing_token
from resolvers.errors.translate import as_gateway_error
from resolvers.execution.engine import ExecutionEngine
from resolvers.graphql_adapter import coerce_variables, execute_mutation, permission_of
from resolvers.operations.answers import Answer, error_answer, executed_answer, validation_answer
from resolvers.operations.compile import OperationCompiler
from resolvers.operations.context import RequestContext
from resolvers.operations.documents import INTROSPECTION_FIELDS, Document, Operation
from resolvers.operations.input_problems import variable_problems
from resolvers.operations.public import PublicDocuments
from resolvers.operations.query import Queries
from resolvers.operations.reads import Reads
from resolvers.operations.variables import without_coercion
from storage.database.database import Database
from storage.reads.plan import ValueFormat

Introspection = Literal["public", "token", "off"]

_CANCEL_TIME = 0.25
"""Seconds that canceled mutations get to end."""

_NONE: Mapping[str, Any] = MappingProxyType({})


class GraphQLRequest(NamedTuple):
    """A GraphQL request as the client sent it."""

    query: str
    operation_name: str | None = None
    variables: Mapping[str, Any] = _NONE
    extensions: Mapping[str, Any] = _NONE
    """``{"cost": true}`` asks for the cost of the operation."""
    size: int = 0
    """Bytes of the request."""


class PreparedOperation(NamedTuple):
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
        reads: Reads,
        *,
        access_changed: Callable[[], None] = lambda: None,
        introspection: Introspection = "public",
        max_items: int = 20_000,
    ) -> None:
        self.compiler = compiler
        self.database = database
        self.reads = reads
        self._executions = executions
        self._access_changed = access_changed
        self._introspection = introspection
        self._public = PublicDocuments(compiler.schema)
        self.queries = Queries(compiler, reads, self._public)
        self._writing: set[asyncio.Task[ExecutionResult]] = set()
        self.max_items = max_items
        self.worker = compiler.worker
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
        sent = request.variables
        variables: Mapping[str, Any] | None = without_coercion(operation.plain_variables, sent)
        if variables is None:
            coerce = partial(coerce_variables, self.compiler.schema, operation.definition, sent)
            variables = await self.worker.run(request.size, coerce)
        shows_cost = request.extensions.get("cost") is True
        return PreparedOperation(operation, variables, sent, shows_cost, request.size)

    # Run ---------------------------------------------------------------------------------------

    async def run(
        self, prepared: Prepared, viewer: Viewer | None, known: Collection[str] = ()
    ) -> Answer:
        """Answer a prepared request. Errors of the client are part of the answer.

        Args:
            viewer: The authenticated caller; None for an operation of ``prepare_public``.
            known: The tags of the answers that the client has. The answer to a query that has not
                changed has no body.
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
                return await self.queries.answer(
                    operation, variables, viewer, known, shows_cost=prepared.shows_cost
                )
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
            self.compiler,
            operation,
            self.database,
            self._executions,
            self._access_changed,
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
