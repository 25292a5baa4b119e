"""Define the mutations of a process's inputs."""

from __future__ import annotations

from typing import Annotated

import strawberry
from strawberry import UNSET

from resolvers.errors.catalogue import bad_value, not_found
from resolvers.operations.context import Info
from resolvers.rules import parts
from resolvers.rules.models import InputChangesModel, NewInputModel, accept, accept_text
from resolvers.rules.processes import require_process
from resolvers.rules.settings import require_sound, rule_of
from resolvers.schema.inputs import InputChanges, NewInput
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
from resolvers.schema.types import Input, Process
from resolvers.values.enums import Permission
from resolvers.values.ids import global_id
from storage.writes.parts import find_input

_INPUT_ID = strawberry.argument(description="Opaque ID of the input.")
InputId = Annotated[strawberry.ID, _INPUT_ID]
OptionalInputId = Annotated[strawberry.ID | None, _INPUT_ID]


@strawberry.type(description="Result of writing an input.")
class InputPayload:
    input: Input = strawberry.field(description="The input after the change.")
    process: Process = strawberry.field(description="Its process after the change.")


@strawberry.type
class InputMutations:
    @mutation(Permission.PROCESS_WRITE, "Add an input to a process.")
    async def add_input(
        self,
        info: Info,
        process: ProcessId,
        input: Annotated[NewInput, new_argument("input")],
        position: Position = UNSET,
        if_version: IfVersion = UNSET,
    ) -> InputPayload | None:
        new = accept(NewInputModel, input, "input")
        require_sound(rule_of(new), ("input",))
        process_id, context = read_id(process, "Process", "process"), info.context
        transaction = await context.begin()
        await require_process(transaction, process_id, context.viewer, none_if_unset(if_version))
        free = await parts.make_room(
            transaction, "input", process_id, none_if_unset(position), ("position",)
        )
        (input_id,) = await parts.add_inputs(transaction, process_id, free, [new])
        return written(input=input_id, process=process_id)

    @mutation(Permission.PROCESS_WRITE, "Update an input.")
    async def update_input(
        self,
        info: Info,
        id: InputId,
        changes: Annotated[InputChanges, CHANGES],
        if_version: IfVersion = UNSET,
    ) -> InputPayload | None:
        accepted = accept(InputChangesModel, changes, "changes")
        input_id, context = read_id(id, "Input", "id"), info.context
        transaction = await context.begin()
        process_id = await parts.change_input(
            transaction,
            input_id,
            accepted,
            context.viewer,
            ("changes",),
            none_if_unset(if_version),
        )
        return written(input=input_id, process=process_id)

    @mutation(Permission.PROCESS_WRITE, "Move an input to another position in its process.")
    async def move_input(
        self,
        info: Info,
        id: InputId,
        position: NewPosition,
        if_version: IfVersion = UNSET,
    ) -> InputPayload | None:
        input_id, context = read_id(id, "Input", "id"), info.context
        transaction = await context.begin()
        process_id = await parts.move_part(
            transaction,
            "input",
            input_id,
            position,
            context.viewer,
            ("position",),
            none_if_unset(if_version),
        )
        return written(input=input_id, process=process_id)

    @mutation(
        Permission.PROCESS_WRITE,
        "Remove an input from its process. Identify it by its ID, or by its process and reference.",
    )
    async def remove_input(
        self,
        info: Info,
        id: OptionalInputId = UNSET,
        of_process: OfProcess = UNSET,
        reference: Annotated[
            str | None,
            strawberry.argument(description="Reference of the input. Requires ofProcess."),
        ] = UNSET,
        if_version: IfVersion = UNSET,
    ) -> RemovedPayload | None:
        context = info.context
        input_id = read_optional_id(id or None, "Input", "id")
        owner = read_optional_id(of_process or None, "Process", "ofProcess")
        if (input_id is None) is (not reference):
            raise bad_value(("id",), "expected either id or reference")
        accepted = accept_text(reference or "", "reference")
        transaction = await context.begin()
        if input_id is None:
            if owner is None:
                raise bad_value(("ofProcess",), "is required along with reference")
            await require_process(transaction, owner, context.viewer)
            input_id = await find_input(transaction, owner, accepted)
            if input_id is None:
                raise not_found("there is no such input")
        process_id = await parts.remove_part(
            transaction, "input", input_id, context.viewer, owner, none_if_unset(if_version)
        )
        removed = global_id("Input", input_id)
        return written(removed_id=removed, process=process_id)
