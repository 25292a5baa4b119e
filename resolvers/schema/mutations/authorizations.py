"""Define the mutations that authorize profiles on processes."""

from __future__ import annotations

from typing import Annotated

import strawberry
from strawberry import UNSET

from resolvers.operations.context import Info
from resolvers.rules.keys import find_profile_id
from resolvers.rules.models import ProfileKey, accept
from resolvers.rules.processes import require_process
from resolvers.schema.inputs import ProfileKeyInput
from resolvers.schema.mutations.common import (
    IfVersion,
    ProcessId,
    mutation,
    none_if_unset,
    read_id,
    written,
)
from resolvers.schema.mutations.processes import ProcessPayload
from resolvers.values.enums import Permission
from storage.writes.processes import authorize, unauthorize


@strawberry.type
class AuthorizationMutations:
    @mutation(
        Permission.PROCESS_WRITE,
        "Authorize a profile on a process. Has no effect if it is authorized already.",
    )
    async def authorise_profile(
        self,
        info: Info,
        process: ProcessId,
        profile: Annotated[
            ProfileKeyInput, strawberry.argument(description="The profile to authorize.")
        ],
        if_version: IfVersion = UNSET,
    ) -> ProcessPayload | None:
        key = accept(ProfileKey, profile, "profile")
        process_id, context = read_id(process, "Process", "process"), info.context
        transaction = await context.begin()
        await require_process(transaction, process_id, context.viewer, none_if_unset(if_version))
        profile_id = await find_profile_id(transaction, key, ("profile",))
        await authorize(transaction, process_id, [profile_id])
        return written(process=process_id)

    @mutation(
        Permission.PROCESS_WRITE,
        "Withdraw the authorization of one profile, or of all profiles, on a process.",
    )
    async def unauthorise_profile(
        self,
        info: Info,
        process: ProcessId,
        profile: Annotated[
            ProfileKeyInput | None,
            strawberry.argument(description="The profile. Defaults to all profiles."),
        ] = UNSET,
        if_version: IfVersion = UNSET,
    ) -> ProcessPayload | None:
        key = accept(ProfileKey, profile, "profile") if profile else None
        process_id, context = read_id(process, "Process", "process"), info.context
        transaction = await context.begin()
        await require_process(transaction, process_id, context.viewer, none_if_unset(if_version))
        profile_id = (
            await find_profile_id(transaction, key, ("profile",)) if key is not None else None
        )
        await unauthorize(transaction, process_id, profile_id)
        return written(process=process_id)
