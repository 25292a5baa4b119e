"""Define the mutations of espaces."""

from __future__ import annotations

from typing import Annotated

import strawberry

from resolvers.errors.catalogue import not_found
from resolvers.operations.context import Info
from resolvers.rules.columns import columns_of
from resolvers.rules.models import EspaceChangesModel, NewEspaceModel, accept
from resolvers.schema.inputs import EspaceChanges, NewEspace
from resolvers.schema.mutations.common import (
    CHANGES,
    DeletedPayload,
    mutation,
    new_argument,
    read_id,
    written,
)
from resolvers.schema.types import Espace
from resolvers.values.enums import Permission
from storage.writes.rows import delete_row, insert_row, update_row

EspaceId = Annotated[strawberry.ID, strawberry.argument(description="Opaque ID of the espace.")]


@strawberry.type(description="Result of writing an espace.")
class EspacePayload:
    espace: Espace = strawberry.field(description="The espace after the change.")


@strawberry.type
class EspaceMutations:
    @mutation(Permission.PROCESS_WRITE, "Create an espace.")
    async def create_espace(
        self, info: Info, espace: Annotated[NewEspace, new_argument("espace")]
    ) -> EspacePayload | None:
        new = accept(NewEspaceModel, espace, "espace")
        transaction = await info.context.begin()
        espace_id = await insert_row(transaction, "espace", columns_of(new))
        return written(espace=espace_id)

    @mutation(Permission.PROCESS_WRITE, "Update an espace.")
    async def update_espace(
        self, info: Info, id: EspaceId, changes: Annotated[EspaceChanges, CHANGES]
    ) -> EspacePayload | None:
        accepted = accept(EspaceChangesModel, changes, "changes")
        espace_id = read_id(id, "Espace", "id")
        transaction = await info.context.begin()
        if not await update_row(transaction, "espace", espace_id, columns_of(accepted)):
            raise not_found("there is no such espace")
        return written(espace=espace_id)

    @mutation(Permission.PROCESS_WRITE, "Delete an espace. Fails while there are processes in it.")
    async def delete_espace(self, info: Info, id: EspaceId) -> DeletedPayload | None:
        espace_id = read_id(id, "Espace", "id")
        transaction = await info.context.begin()
        if not await delete_row(transaction, "espace", espace_id):
            raise not_found("there is no such espace")
        return written(deleted_id=id)
