"""In charge of the GraphQL schema as a whole."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import strawberry
from graphql import GraphQLField, GraphQLResolveInfo

from resolvers.operations.context import permission_of
from resolvers.schema.mutations.root import Mutation
from resolvers.schema.queries import Query
from resolvers.schema.types import NODE_TYPES


def build_schema() -> strawberry.Schema:
    """The schema that everything runs on; printed, it is ``schema.graphql``."""
    schema = strawberry.Schema(Query, Mutation, types=NODE_TYPES)
    mutations = schema._schema.mutation_type
    assert mutations is not None
    for field in mutations.fields.values():
        field.resolve = _resolver(field)
    return schema


def _resolver(field: GraphQLField) -> Callable[..., Awaitable[Any]]:
    """The resolver of a mutation: it judges the caller's permission before all else, and hands the
    arguments on as graphql-core has coerced them.

    Strawberry's own would build its input objects of them, item by item, only for the pydantic
    models of ``resolvers.inputs`` to build theirs: half a second for a list of 10,000.
    """
    definition = field.extensions["strawberry-definition"]
    function = definition.base_resolver.wrapped_func
    permission = permission_of(field)
    names = dict(
        zip(field.args, (given.python_name for given in definition.arguments), strict=True)
    )

    async def resolve(source: Any, raw: GraphQLResolveInfo[Any], /, **given: Any) -> Any:
        info = strawberry.Info(raw, definition)
        info.context.viewer.require(permission, raw.field_name)
        return await function(source, info, **{names[name]: given[name] for name in given})

    return resolve
