"""In charge of the GraphQL schema as a whole."""

from __future__ import annotations

import strawberry

from resolvers.mutations import Mutation
from resolvers.queries import Query
from resolvers.types import NODE_TYPES


def build_schema() -> strawberry.Schema:
    """The schema that everything runs on; printed, it is ``schema.graphql``."""
    return strawberry.Schema(Query, Mutation, types=NODE_TYPES)
