"""Build the GraphQL schema."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Any

import strawberry
from graphql import GraphQLField, GraphQLResolveInfo

from resolvers.graphql_adapter import (
    MutationResolver,
    Payload,
    mark_one_of,
    permission_of,
    replace_mutation_resolvers,
    strawberry_info,
)
from resolvers.operations.context import MutationContext, RequestContext, run_mutation
from resolvers.schema.mutations.root import Mutation
from resolvers.schema.parts import BigInt
from resolvers.schema.queries import Query, Subscription
from resolvers.schema.types import NODE_TYPES
from resolvers.values.times import read_time


def _parse_time(value: object) -> datetime:
    if not isinstance(value, str):
        raise ValueError("not a text")  # noqa: TRY004 (graphql-core expects it)
    return read_time(value)


_DATE_TIME = strawberry.scalar(
    name="DateTime",
    description="A date and time of RFC 3339. Answers are in UTC, with 6 digits after the point."
    " Input needs an offset, `Z` or `+02:00`, and has at most 6 digits.",
    specified_by_url="https://www.rfc-editor.org/rfc/rfc3339#section-5.6",
    parse_value=_parse_time,
)

_BIG_INT = strawberry.scalar(
    name="BigInt", description="An integer of up to 64 bits, as a number.", serialize=int
)


def build_schema() -> strawberry.Schema:
    """Return the schema that the gateway serves; ``schema.graphql`` is its printed form."""
    schema = strawberry.Schema(
        Query,
        Mutation,
        Subscription,
        types=NODE_TYPES,
        scalar_overrides={datetime: _DATE_TIME, BigInt: _BIG_INT},
    )
    mark_one_of(schema)
    replace_mutation_resolvers(schema, _resolver)
    return schema


def _resolver(field: GraphQLField, function: MutationResolver) -> Callable[..., Awaitable[Payload]]:
    """Return the resolver of a mutation.

    It checks the caller's permission and compiles what is selected of the payload before it calls
    the function, so that a request that is rejected for either has changed nothing.
    """
    permission = permission_of(field)

    async def resolve(info: GraphQLResolveInfo[RequestContext], **arguments: Any) -> Payload:
        if not info.context.permitted:
            info.context.viewer.require(permission, info.field_name)

        def write(context: MutationContext) -> Awaitable[Any]:
            any_info: GraphQLResolveInfo[Any] = info
            own_info = strawberry_info(any_info._replace(context=context), field)
            return function(None, own_info, **arguments)

        return await run_mutation(info, write)

    return resolve
