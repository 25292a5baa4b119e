"""Combine the mutations of all nouns into the root mutation type."""

from __future__ import annotations

import strawberry

from resolvers.schema.mutations.actions import ActionMutations
from resolvers.schema.mutations.authorizations import AuthorizationMutations
from resolvers.schema.mutations.espaces import EspaceMutations
from resolvers.schema.mutations.executions import ExecutionMutations
from resolvers.schema.mutations.inputs import InputMutations
from resolvers.schema.mutations.processes import ProcessMutations
from resolvers.schema.mutations.profiles import ProfileMutations
from resolvers.schema.mutations.sources import SourceMutations


# The schema lists the fields in the order of these classes.
@strawberry.type(
    description="Root mutation type. Every mutation is atomic: one that fails changes nothing."
)
class Mutation(
    ProcessMutations,
    ActionMutations,
    InputMutations,
    AuthorizationMutations,
    EspaceMutations,
    ProfileMutations,
    SourceMutations,
    ExecutionMutations,
):
    pass
