"""Define the context of mutation resolvers, and read the payloads that they return.

A resolver never builds an object. It names rows, and one statement for each row returns the
selected fields as JSON, which the executor passes on.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias, cast

import orjson
import strawberry
from graphql import GraphQLObjectType, GraphQLResolveInfo, get_named_type, is_leaf_type

from resolvers.access.viewer import Viewer
from resolvers.errors.catalogue import bad_input
from resolvers.graphql_adapter import Payload, permission_of, python_name
from resolvers.operations.compile import CompiledRead, compile_planned
from resolvers.operations.cost import Estimate, check_cost, estimate
from resolvers.operations.limits import Limits
from resolvers.operations.parameters import RunValues
from resolvers.operations.plan import ROW_ID, Planner
from resolvers.operations.planning import Planning
from resolvers.operations.selection import sub_selections
from resolvers.values.enums import Permission
from storage.database.database import Database
from storage.reads.plan import ValueFormat

if TYPE_CHECKING:
    from resolvers.execution.engine import ExecutionEngine


@dataclass(frozen=True, slots=True)
class RequestContext:
    """The context of the resolvers of one mutation."""

    viewer: Viewer
    database: Database
    executions: ExecutionEngine
    limits: Limits
    access_changed: Callable[[], None]
    """Called after profiles were written."""
    value_format: ValueFormat = ValueFormat.GRAPHQL
    permitted: bool = False
    """Whether the viewer's permission was already checked."""


Info: TypeAlias = strawberry.Info[RequestContext, None]


@dataclass(frozen=True, slots=True)
class _Member:
    """One field of a payload."""

    key: str
    name: str
    """The name of the field, in snake case."""
    read: CompiledRead | None
    """Reads the object of the field; None for a scalar."""


class PayloadPlan:
    """The selection of a mutation's payload, compiled before anything is written.

    Raises:
        GatewayError: ``BAD_USER_INPUT``, if an argument in the selection is not valid, or the
            selection costs too much.
    """

    def __init__(self, info: GraphQLResolveInfo[RequestContext]) -> None:
        self._context = context = info.context
        self._members: list[_Member] = []
        estimates: list[Estimate] = []
        payload = cast(GraphQLObjectType, get_named_type(info.return_type))
        self._type_name = payload.name
        permission = permission_of(info.parent_type.fields[info.field_name])
        scope = context.viewer.scope(permission or Permission.PROCESS_READ)
        variables = cast("Mapping[str, Any]", info.variable_values)
        planner = Planner(info.schema, Planning(info.fragments, variables, context.limits))
        for key, nodes in planner.collect(payload, sub_selections(info.field_nodes)).items():
            name = nodes[0].name.value
            if name == "__typename":
                self._members.append(_Member(key, name, None))
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
            self._members.append(_Member(key, python_name(field), read))
        run = RunValues(variables, context.viewer.profile_id)
        check_cost(estimates, run, context.limits)

    async def answer(self, values: Mapping[str, object]) -> Payload:
        """Return the payload.

        Args:
            values: By field of the payload in snake case, the database ID of its row
                (None for null), or the value itself if it is a scalar.
        """
        payload = Payload()
        for member in self._members:
            if member.name == "__typename":
                payload[member.key] = self._type_name
            elif member.read is None or values[member.name] is None:
                payload[member.key] = values[member.name]
            else:
                payload[member.key] = await self._object(member.read, values[member.name])
        return payload

    async def _object(self, read: CompiledRead, database_id: object) -> orjson.Fragment | None:
        run = RunValues({ROW_ID: database_id}, self._context.viewer.profile_id)
        arguments = read.arguments(run)
        answer = await self._context.database.fetch_json(read.statement.sql, arguments)
        return None if answer is None else orjson.Fragment(answer)
