"""Define the mutations of sources."""

from __future__ import annotations

from typing import Annotated

import strawberry
from strawberry import UNSET
from strawberry.scalars import JSON

from resolvers.errors.catalogue import conflict, not_found
from resolvers.execution.sources.trial import try_source
from resolvers.operations.context import Info
from resolvers.rules.columns import columns_of
from resolvers.rules.models import (
    ArgumentModel,
    NewSourceModel,
    SourceChangesModel,
    accept,
    accept_all,
    accept_text,
)
from resolvers.rules.sources import check_settings, opened_secrets, require_own
from resolvers.schema.inputs import ArgumentInput, NewSource, SourceChanges
from resolvers.schema.mutations.common import (
    CHANGES,
    DeletedPayload,
    mutation,
    new_argument,
    none_if_unset,
    read_id,
    written,
)
from resolvers.schema.types import Source
from resolvers.values.enums import Permission
from storage.writes.rows import delete_row, insert_row, update_row
from storage.writes.sources import find_source

SourceId = Annotated[strawberry.ID, strawberry.argument(description="Opaque ID of the source.")]


@strawberry.type(description="Result of writing a source.")
class SourcePayload:
    source: Source = strawberry.field(description="The source after the change.")


@strawberry.type(description="Result of trying a source.")
class TestSourcePayload:
    result: JSON | None = strawberry.field(
        description="What the action returned. Null if it failed or returned null."
    )
    error: str | None = strawberry.field(description="Why it failed; null if it did not.")
    in_doubt: bool = strawberry.field(
        description="Whether the effect may or may not have happened."
    )
    milliseconds: int = strawberry.field(description="How long the action took.")


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

    @mutation(
        Permission.ADMIN,
        "Perform an action of a source once, outside of any process, and report what happened. It"
        " has its effect, and is not recorded.",
    )
    async def test_source(
        self,
        info: Info,
        id: SourceId,
        action: Annotated[str, strawberry.argument(description="What the source does.")],
        arguments: Annotated[
            list[ArgumentInput] | None,
            strawberry.argument(description="Arguments of the action, in order."),
        ] = UNSET,
    ) -> TestSourcePayload | None:
        source_id, context = read_id(id, "Source", "id"), info.context
        accept_text(action, "action")
        accepted = accept_all(ArgumentModel, none_if_unset(arguments) or [], "arguments")
        engine = context.executions
        source = await find_source(context.reader, source_id)
        if source is None:
            raise not_found("there is no such source")
        kind = engine.kinds.get(source.kind)
        if kind is None:
            raise conflict(f'this gateway cannot act on sources of the kind "{source.kind}"')
        trial = await try_source(
            kind,
            source.id,
            (source.settings, source.secrets),
            engine.secrets,
            action,
            [(argument.reference, argument.value) for argument in accepted],
            engine.limits.action_seconds,
        )
        return written(
            result=trial.result,
            error=trial.error,
            in_doubt=trial.in_doubt,
            milliseconds=trial.milliseconds,
        )
