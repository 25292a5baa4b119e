"""Define the mutations of sources."""

from __future__ import annotations

from typing import Annotated

import strawberry

from resolvers.operations.context import Info
from resolvers.rules.columns import columns_of
from resolvers.rules.models import NewSourceModel, SourceChangesModel, accept
from resolvers.rules.sources import check_settings, opened_secrets, require_own
from resolvers.schema.inputs import NewSource, SourceChanges
from resolvers.schema.mutations.common import (
    CHANGES,
    DeletedPayload,
    mutation,
    new_argument,
    read_id,
    written,
)
from resolvers.schema.types import Source
from resolvers.values.enums import Permission
from storage.writes.rows import delete_row, insert_row, update_row

SourceId = Annotated[strawberry.ID, strawberry.argument(description="Opaque ID of the source.")]


@strawberry.type(description="Result of writing a source.")
class SourcePayload:
    source: Source = strawberry.field(description="The source after the change.")


@strawberry.type
class SourceMutations:
    @mutation(Permission.ADMIN, "Create a source.")
    async def create_source(
        self, info: Info, source: Annotated[NewSource, new_argument("source")]
    ) -> SourcePayload | None:
        new = accept(NewSourceModel, source, "source")
        context = info.context
        engine = context.executions
        settings = check_settings(new.kind, new.settings, engine.kinds, {}, ("source",))
        transaction = await context.begin()
        source_id = await insert_row(transaction, "source", columns_of(new))
        await update_row(
            transaction, "source", source_id, settings.columns(source_id, engine.secrets)
        )
        return written(source=source_id)

    @mutation(Permission.ADMIN, "Update a source. Built-in sources cannot be changed.")
    async def update_source(
        self, info: Info, id: SourceId, changes: Annotated[SourceChanges, CHANGES]
    ) -> SourcePayload | None:
        accepted = accept(SourceChangesModel, changes, "changes")
        source_id, context = read_id(id, "Source", "id"), info.context
        columns = columns_of(accepted)
        transaction = await context.begin()
        source = await require_own(transaction, "source", source_id)
        if accepted.settings is not None:
            engine = context.executions
            checked = check_settings(
                source["kind"],
                accepted.settings,
                engine.kinds,
                opened_secrets(source, engine.secrets),
                ("changes",),
            )
            columns |= checked.columns(source_id, engine.secrets)
        await update_row(transaction, "source", source_id, columns)
        return written(source=source_id)

    @mutation(
        Permission.ADMIN,
        "Delete a source. Fails while actions use it. Built-in sources cannot be deleted.",
    )
    async def delete_source(self, info: Info, id: SourceId) -> DeletedPayload | None:
        source_id = read_id(id, "Source", "id")
        transaction = await info.context.begin()
        await require_own(transaction, "source", source_id)
        await delete_row(transaction, "source", source_id)
        return written(deleted_id=id)
