"""Define the mutations of actions."""

from __future__ import annotations

from typing import Annotated

import strawberry
from strawberry import UNSET

from resolvers.operations.context import Info
from resolvers.rules import parts
from resolvers.rules.models import ActionChangesModel, NewActionModel, accept
from resolvers.rules.processes import require_process
from resolvers.schema.inputs import ActionChanges, NewAction
from resolvers.schema.mutations.common import (
    CHANGES,
    IfVersion,
    NewPosition,
    OfProcess,
    Position,
    ProcessId,
    RemovedPayload,
    mutation,
    new_argument,
    none_if_unset,
    read_id,
    read_optional_id,
    written,
)
from resolvers.schema.types import Action, Process
from resolvers.values.enums import Permission

ActionId = Annotated[strawberry.ID, strawberry.argument(description="Opaque ID of the action.")]


@strawberry.type(description="Result of writing an action.")
class ActionPayload:
    action: Action = strawberry.field(description="The action after the change.")
    process: Process = strawberry.field(description="Its process after the change.")


@strawberry.type
class ActionMutations:
    @mutation(Permission.PROCESS_WRITE, "Add an action to a process.")
    async def add_action(
        self,
        info: Info,
        process: ProcessId,
        action: Annotated[NewAction, new_argument("action")],
        position: Position = UNSET,
        if_version: IfVersion = UNSET,
    ) -> ActionPayload | None:
        new = accept(NewActionModel, action, "action")
        process_id, context = read_id(process, "Process", "process"), info.context
        transaction = await context.begin()
        await require_process(transaction, process_id, context.viewer, none_if_unset(if_version))
        free = await parts.make_room(
            transaction, "action", process_id, none_if_unset(position), ("position",)
        )
        (action_id,) = await parts.add_actions(
            transaction, process_id, free, [new], context.viewer, [("action",)]
        )
        return written(action=action_id, process=process_id)

    @mutation(Permission.PROCESS_WRITE, "Update an action.")
    async def update_action(
        self,
        info: Info,
        id: ActionId,
        changes: Annotated[ActionChanges, CHANGES],
        if_version: IfVersion = UNSET,
    ) -> ActionPayload | None:
        accepted = accept(ActionChangesModel, changes, "changes")
        action_id, context = read_id(id, "Action", "id"), info.context
        transaction = await context.begin()
        process_id = await parts.change_action(
            transaction,
            action_id,
            accepted,
            context.viewer,
            ("changes",),
            none_if_unset(if_version),
        )
        return written(action=action_id, process=process_id)

    @mutation(Permission.PROCESS_WRITE, "Move an action to another position in its process.")
    async def move_action(
        self,
        info: Info,
        id: ActionId,
        position: NewPosition,
        if_version: IfVersion = UNSET,
    ) -> ActionPayload | None:
        action_id, context = read_id(id, "Action", "id"), info.context
        transaction = await context.begin()
        process_id = await parts.move_part(
            transaction,
            "action",
            action_id,
            position,
            context.viewer,
            ("position",),
            none_if_unset(if_version),
        )
        return written(action=action_id, process=process_id)

    @mutation(Permission.PROCESS_WRITE, "Remove an action from its process.")
    async def remove_action(
        self,
        info: Info,
        id: ActionId,
        of_process: OfProcess = UNSET,
        if_version: IfVersion = UNSET,
    ) -> RemovedPayload | None:
        action_id, context = read_id(id, "Action", "id"), info.context
        owner = read_optional_id(of_process or None, "Process", "ofProcess")
        transaction = await context.begin()
        process_id = await parts.remove_part(
            transaction, "action", action_id, context.viewer, owner, none_if_unset(if_version)
        )
        return written(removed_id=id, process=process_id)
