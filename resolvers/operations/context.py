"""Run mutations: define the context of their functions, and read the payloads that they return.

A mutation never builds an object. It names rows, and one statement for each row returns the
selected fields as JSON, which the executor passes on. The statements run in the transaction of the
mutation, before COMMIT: if one of them fails, nothing was written.
"""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias, cast

import orjson
import strawberry
from graphql import (
    BREAK,
    GraphQLObjectType,
    GraphQLResolveInfo,
    Visitor,
    VisitorAction,
    get_named_type,
    is_leaf_type,
    visit,
)

from resolvers.access.viewer import Viewer
from resolvers.errors.catalogue import bad_input
from resolvers.execution.engine import ExecutionEngine, incomplete
from resolvers.graphql_adapter import Payload, permission_of, python_name
from resolvers.operations.compile import CompiledRead, OperationCompiler, compile_planned
from resolvers.operations.cost import Estimate, check_cost, estimate
from resolvers.operations.documents import Operation
from resolvers.operations.parameters import RunValues
from resolvers.operations.plan import ROW_ID
from resolvers.operations.selection import sub_selections
from resolvers.values.enums import Permission
from storage.database.database import Database
from storage.database.errors import StorageError
from storage.database.transaction import Transaction
from storage.reads.plan import Scope, ValueFormat


@dataclass(frozen=True, slots=True)
class RequestContext:
    """What the mutations of one operation share."""

    viewer: Viewer
    compiler: OperationCompiler
    operation: Operation
    database: Database
    executions: ExecutionEngine
    access_changed: Callable[[], None]
    """Called after profiles were written."""
    value_format: ValueFormat = ValueFormat.GRAPHQL
    permitted: bool = False
    """Whether the viewer's permission was already checked."""


class MutationContext:
    """The context of the function of one mutation.

    Args:
        request: What it shares with the other mutations of the operation.
        stack: Ends the transaction when the payload has been read.
    """

    def __init__(self, request: RequestContext, stack: contextlib.AsyncExitStack) -> None:
        self.viewer = request.viewer
        self.executions = request.executions
        self.worker = request.compiler.worker
        self.reader: Database | Transaction = request.database
        """Reads the payload."""
        self.executed: int | None = None
        """The execution that the mutation ran. Its effects stay, whatever fails afterwards."""
        self._request = request
        self._stack = stack

    async def begin(self, *, changes_access: bool = False) -> Transaction:
        """Begin the transaction of the mutation, once its arguments are valid.

        It is committed after the payload has been read, and rolled back if anything fails before.

        Args:
            changes_access: Whether the mutation writes profiles.
        """
        if changes_access:
            # Called after the transaction, whatever its outcome: COMMIT may go unanswered.
            self._stack.callback(self._request.access_changed)
        transaction = self._request.database.transaction()
        self.reader = writing = await self._stack.enter_async_context(transaction)
        return writing


Info: TypeAlias = strawberry.Info[MutationContext, None]


async def run_mutation(
    info: GraphQLResolveInfo[RequestContext],
    function: Callable[[MutationContext], Awaitable[Mapping[str, object]]],
) -> Payload:
    """Run a mutation, and return its payload.

    Args:
        info: The resolve info of the root field.
        function: Writes, and returns what the payload shows: by field in snake case, the database
            ID of its row (None for null), or the value itself if the field is a scalar.

    Raises:
        GatewayError, StorageError: The mutation failed and wrote nothing, with two exceptions.
            COMMIT went unanswered (``OutcomeUnknownError``), or a process was executed.
    """
    plan = _plan_of(info)
    async with contextlib.AsyncExitStack() as stack:
        context = MutationContext(info.context, stack)
        values = await function(context)
        try:
            payload = await plan.answer(values, context.reader, context.viewer)
        except StorageError as error:
            if context.executed is None:
                raise
            raise incomplete(context.executed, error) from error
    return payload


@dataclass(frozen=True, slots=True)
class _Member:
    """One field of a payload."""

    key: str
    name: str
    """The name of the field, in snake case."""
    read: CompiledRead | None
    """Reads the object of the field; None for a scalar."""


@dataclass(frozen=True, slots=True)
class PayloadPlan:
    """The selection of a mutation's payload, compiled before anything is written."""

    type_name: str
    members: tuple[_Member, ...]
    estimates: tuple[Estimate, ...]

    async def answer(
        self, values: Mapping[str, object], reader: Database | Transaction, viewer: Viewer
    ) -> Payload:
        """Return the payload that shows ``values``, which ``run_mutation`` describes."""
        payload = Payload()
        for member in self.members:
            if member.name == "__typename":
                payload[member.key] = self.type_name
            elif member.read is None or values[member.name] is None:
                payload[member.key] = values[member.name]
            else:
                run = RunValues({ROW_ID: values[member.name]}, viewer.profile_id)
                sql, arguments = member.read.statement.sql, member.read.arguments(run)
                answer = await reader.fetch_json(sql, arguments)
                payload[member.key] = None if answer is None else orjson.Fragment(answer)
        return payload


def _plan_of(info: GraphQLResolveInfo[RequestContext]) -> PayloadPlan:
    """Return the plan of a mutation's payload.

    It is kept with the operation, unless the selection contains variables.

    Raises:
        GatewayError: ``BAD_USER_INPUT``, if an argument in the selection is not valid, or the
            selection costs too much.
    """
    context = info.context
    permission = permission_of(info.parent_type.fields[info.field_name])
    scope = context.viewer.scope(permission or Permission.PROCESS_READ)
    key = ("payload", info.path.key, scope, context.value_format)
    plan: PayloadPlan | None = context.operation.compiled.get(key)
    if plan is None:
        plan = _planned(info, scope)
        if not _has_variables(info):
            statements = [each.read.statement for each in plan.members if each.read is not None]
            context.compiler.keep(context.operation, key, plan, statements)
    variables = cast("Mapping[str, Any]", info.variable_values)
    run = RunValues(variables, context.viewer.profile_id)
    check_cost(plan.estimates, run, context.compiler.limits)
    return plan


def _planned(info: GraphQLResolveInfo[RequestContext], scope: Scope) -> PayloadPlan:
    """Compile the selection of a mutation's payload. Raises like ``_plan_of``, but for its cost."""
    context = info.context
    members: list[_Member] = []
    estimates: list[Estimate] = []
    payload = cast(GraphQLObjectType, get_named_type(info.return_type))
    variables = cast("Mapping[str, Any]", info.variable_values)
    planner = context.compiler.planner(context.operation, variables)
    for key, nodes in planner.collect(payload, sub_selections(info.field_nodes)).items():
        name = nodes[0].name.value
        if name == "__typename":
            members.append(_Member(key, name, None))
            continue
        field = payload.fields[name]
        type_ = get_named_type(field.type)
        read = None
        if not is_leaf_type(type_):
            planned = planner.by_id(cast(GraphQLObjectType, type_), key, nodes)
            if planned.problems:
                raise bad_input(*planned.problems)
            estimates.append(estimate(key, planned.read))
            read = compile_planned(planned.read, planned.slots, scope, context.value_format)
        members.append(_Member(key, python_name(field), read))
    return PayloadPlan(payload.name, tuple(members), tuple(estimates))


class _VariableSearch(Visitor):
    """Notes whether a node contains a variable."""

    def __init__(self) -> None:
        super().__init__()
        self.found = False

    def enter_variable(self, *_: object) -> VisitorAction:
        """Stop at the first variable."""
        self.found = True
        return BREAK


def _has_variables(info: GraphQLResolveInfo[RequestContext]) -> bool:
    """Whether a variable occurs in the selection of a payload, or in any fragment."""
    search = _VariableSearch()
    selections = [node.selection_set for node in info.field_nodes]
    for node in (*selections, *info.fragments.values()):
        if node is not None:
            visit(node, search)
    return search.found
