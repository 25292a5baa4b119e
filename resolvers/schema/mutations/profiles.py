"""Define the mutations of profiles."""

from __future__ import annotations

from typing import Annotated

import strawberry

from resolvers.operations.context import Info
from resolvers.rules.columns import columns_of
from resolvers.rules.models import NewProfileModel, ProfileChangesModel, accept
from resolvers.rules.sources import require_own
from resolvers.schema.inputs import NewProfile, ProfileChanges
from resolvers.schema.mutations.common import (
    CHANGES,
    DeletedPayload,
    mutation,
    new_argument,
    read_id,
    written,
)
from resolvers.schema.types import Profile
from resolvers.values.enums import Permission
from storage.writes.rows import delete_row, insert_row, update_row

ProfileId = Annotated[strawberry.ID, strawberry.argument(description="Opaque ID of the profile.")]


@strawberry.type(description="Result of writing a profile.")
class ProfilePayload:
    profile: Profile = strawberry.field(description="The profile after the change.")


@strawberry.type
class ProfileMutations:
    @mutation(Permission.ADMIN, "Create a profile.")
    async def create_profile(
        self, info: Info, profile: Annotated[NewProfile, new_argument("profile")]
    ) -> ProfilePayload | None:
        new = accept(NewProfileModel, profile, "profile")
        transaction = await info.context.begin(changes_access=True)
        profile_id = await insert_row(transaction, "profile", columns_of(new))
        return written(profile=profile_id)

    @mutation(Permission.ADMIN, "Update a profile. Built-in profiles cannot be changed.")
    async def update_profile(
        self, info: Info, id: ProfileId, changes: Annotated[ProfileChanges, CHANGES]
    ) -> ProfilePayload | None:
        accepted = accept(ProfileChangesModel, changes, "changes")
        profile_id, context = read_id(id, "Profile", "id"), info.context
        transaction = await context.begin(changes_access=True)
        await require_own(transaction, "profile", profile_id)
        await update_row(transaction, "profile", profile_id, columns_of(accepted))
        return written(profile=profile_id)

    @mutation(Permission.ADMIN, "Delete a profile. Built-in profiles cannot be deleted.")
    async def delete_profile(self, info: Info, id: ProfileId) -> DeletedPayload | None:
        profile_id = read_id(id, "Profile", "id")
        transaction = await info.context.begin(changes_access=True)
        await require_own(transaction, "profile", profile_id)
        await delete_row(transaction, "profile", profile_id)
        return written(deleted_id=id)
