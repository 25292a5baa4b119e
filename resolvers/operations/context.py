"""In charge of what a resolver is given along with its arguments: who asks, and the way to answer.

A resolver never builds an object. It names rows, and one statement answers with what was selected
of them, as JSON that Strawberry's executor passes on untouched (``resolvers.operations``).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias, cast

import orjson
import strawberry
from graphql import GraphQLObjectType, get_named_type, is_leaf_type
from graphql.execution.values import VariableValues

from resolvers.access.viewer import Viewer
from resolvers.operations.plan import Limits, Planner
from resolvers.values.enums import Permission
from storage.database.database import Database
from storage.reads.objects import compile_read
from storage.reads.plan import Read, Rendering, RunValues, Scope

if TYPE_CHECKING:
    from resolvers.execution.engine import ExecutionEngine


@dataclass(frozen=True, slots=True)
class RequestContext:
    """What the resolvers of one operation work with."""

    viewer: Viewer
    database: Database
    executions: ExecutionEngine
    limits: Limits
    access_changed: Callable[[], None]
    """To be called after profiles were written."""
    rendering: Rendering = Rendering.GRAPHQL

    async def read(self, info: Info) -> Any:
        """Answer a root field of a query."""
        raw = info._raw_info
        definition = raw.parent_type.fields[raw.field_name]
        self.viewer.require(permission_of(definition), raw.field_name)
        planner = self._planner(info)
        plan = planner.root(definition, str(raw.path.key), raw.field_nodes)
        return await self._answer(plan, self.viewer.reading)

    async def payload(self, info: Info, values: Mapping[str, object]) -> Any:
        """Answer a mutation.

        Args:
            values: by field of the payload in snake case, the database id of the row that it
                shows (None for null), or the value itself where it is a scalar.
        """
        raw = info._raw_info
        type_ = cast(GraphQLObjectType, get_named_type(raw.return_type))
        permission = permission_of(raw.parent_type.fields[raw.field_name])
        scope = self.viewer.scope(permission or Permission.PROCESS_READ)
        planner = self._planner(info)
        answer: dict[str, object] = {}
        selections = [node.selection_set for node in raw.field_nodes]
        for key, nodes in planner.collect(type_, selections).items():
            name = nodes[0].name.value
            if name == "__typename":
                answer[key] = type_.name
                continue
            field_type = get_named_type(type_.fields[name].type)
            value = values[type_.fields[name].extensions["strawberry-definition"].python_name]
            if isinstance(value, int) and not is_leaf_type(field_type):
                plan = planner.by_id(cast(GraphQLObjectType, field_type), nodes, value)
                answer[key] = await self._answer(plan, scope)
            else:
                answer[key] = value
        return orjson.Fragment(orjson.dumps(answer))

    def _planner(self, info: Info) -> Planner:
        raw = info._raw_info
        variables = VariableValues({}, cast("dict[str, Any]", raw.variable_values))
        return Planner(raw.schema, raw.fragments, variables, self.limits)

    async def _answer(self, plan: Read, scope: Scope) -> orjson.Fragment | None:
        statement = compile_read(plan, scope, self.rendering)
        arguments = statement.arguments(RunValues({}, self.viewer.profile_id))
        found = await self.database.fetch_json(statement.sql, arguments)
        return orjson.Fragment(found) if found is not None else None


Info: TypeAlias = strawberry.Info[RequestContext, None]


def permission_of(definition: Any) -> Permission | None:
    """What a root field of the schema asks of its callers; None for a valid token and no more."""
    metadata = definition.extensions["strawberry-definition"].metadata
    return cast("Permission | None", metadata.get("permission"))
