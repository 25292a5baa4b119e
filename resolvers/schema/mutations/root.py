"""In charge of the root fields of mutations: each checks its input, writes in one transaction, and
answers with what was selected of the rows that it wrote.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Annotated, Any

import orjson
import strawberry
from strawberry import UNSET

from resolvers.errors.catalogue import bad_value, not_found
from resolvers.operations.context import Info
from resolvers.rules.keys import profile_id as find_profile
from resolvers.rules.models import (
    ActionChangesModel,
    EspaceChangesModel,
    InputChangesModel,
    InputValueModel,
    NewActionModel,
    NewEspaceModel,
    NewInputModel,
    NewProcessModel,
    NewProfileModel,
    NewSourceModel,
    ProcessChangesModel,
    ProcessTextsModel,
    ProfileChangesModel,
    ProfileKey,
    SourceChangesModel,
    accept,
    accept_all,
    accept_text,
    accept_texts,
)
from resolvers.rules.parts import (
    add_actions,
    add_inputs,
    change_action,
    change_input,
    make_room,
    move_part,
    remove_part,
)
from resolvers.rules.processes import (
    change_process,
    change_texts,
    create_process,
    remove_process,
    require_process,
)
from resolvers.rules.profiles import permission_words
from resolvers.rules.sources import check_settings, require_own
from resolvers.schema.inputs import (
    ActionChanges,
    EspaceChanges,
    InputChanges,
    InputValue,
    NewAction,
    NewEspace,
    NewInput,
    NewProcess,
    NewProfile,
    NewSource,
    ProcessChanges,
    ProcessTexts,
    ProfileChanges,
    ProfileKeyInput,
    SourceChanges,
)
from resolvers.schema.types import Action, Espace, Execution, Input, Process, Profile, Source
from resolvers.values.enums import Permission
from resolvers.values.ids import global_id, read_global_id
from storage.writes.parts import find_input
from storage.writes.processes import authorise, unauthorise
from storage.writes.rows import delete_row, insert_row, update_row

ProcessId = Annotated[strawberry.ID, strawberry.argument(description="The process's opaque id.")]
ActionId = Annotated[strawberry.ID, strawberry.argument(description="The action's opaque id.")]
InputId = Annotated[strawberry.ID, strawberry.argument(description="The input's opaque id.")]
EspaceId = Annotated[strawberry.ID, strawberry.argument(description="The espace's opaque id.")]
ProfileId = Annotated[strawberry.ID, strawberry.argument(description="The profile's opaque id.")]
SourceId = Annotated[strawberry.ID, strawberry.argument(description="The source's opaque id.")]
Position = Annotated[
    int | None,
    strawberry.argument(description="Its place, from 1; at the end where it is left out."),
]
OfProcess = Annotated[
    strawberry.ID | None,
    strawberry.argument(description="The process that it has to belong to, if that matters."),
]


def _new(what: str) -> Any:
    return strawberry.argument(description=f"The {what} to create.")


_CHANGES = strawberry.argument(description="What to change; the rest stays as it is.")


# Payloads --------------------------------------------------------------------------------------


@strawberry.type(description="A process that was written.")
class ProcessPayload:
    process: Process = strawberry.field(description="The process as it is now.")


@strawberry.type(description="Processes that were written.")
class ProcessesPayload:
    updated_count: int = strawberry.field(description="How many there are.")


@strawberry.type(description="An action that was written.")
class ActionPayload:
    action: Action = strawberry.field(description="The action as it is now.")
    process: Process = strawberry.field(description="Its process as it is now.")


@strawberry.type(description="An input that was written.")
class InputPayload:
    input: Input = strawberry.field(description="The input as it is now.")
    process: Process = strawberry.field(description="Its process as it is now.")


@strawberry.type(description="A part of a process that was removed.")
class RemovedPayload:
    removed_id: strawberry.ID = strawberry.field(description="The opaque id that it had.")
    process: Process = strawberry.field(description="The process as it is now.")


@strawberry.type(description="Something that was deleted.")
class DeletedPayload:
    deleted_id: strawberry.ID = strawberry.field(description="The opaque id that it had.")


@strawberry.type(description="An espace that was written.")
class EspacePayload:
    espace: Espace = strawberry.field(description="The espace as it is now.")


@strawberry.type(description="A profile that was written.")
class ProfilePayload:
    profile: Profile = strawberry.field(description="The profile as it is now.")


@strawberry.type(description="A source that was written.")
class SourcePayload:
    source: Source = strawberry.field(description="The source as it is now.")


@strawberry.type(description="A process that was executed.")
class ExecutionPayload:
    execution: Execution = strawberry.field(description="The record of the run.")
    process: Process = strawberry.field(description="The process as it is now.")


# What all mutations have in common -------------------------------------------------------------


def _mutation(
    permission: Permission, description: str
) -> Callable[[Callable[..., Awaitable[Any]]], Any]:
    """A mutation that needs this permission (``resolvers.schema`` judges it); null where it fails,
    so that others still answer.
    """
    decorate: Callable[[Callable[..., Awaitable[Any]]], Any] = strawberry.mutation(
        description=f"{description} Needs {permission.name}.",
        metadata={"permission": permission},
    )
    return decorate


_write = Permission.PROCESS_WRITE
_admin = Permission.ADMIN


def _id(text: str, type_name: str, argument: str) -> int:
    """The database id in an argument; raises ``BAD_USER_INPUT``."""
    try:
        found, database_id = read_global_id(text)
    except ValueError as error:
        raise bad_value((argument,), str(error)) from None
    if found != type_name:
        raise bad_value((argument,), f"expected the id of a {type_name}, got the id of a {found}")
    return database_id


def _optional(value: int | None) -> int | None:
    """An argument that may be left out or null, which is the same."""
    return None if value is UNSET else value


def _optional_id(text: str | None, type_name: str, argument: str) -> int | None:
    return _id(text, type_name, argument) if text else None


@strawberry.type(description="What can be written. Every mutation is done whole or not at all.")
class Mutation:
    # Processes ---------------------------------------------------------------------------------

    @_mutation(_write, "Creates a process with all that it consists of.")
    async def create_process(
        self, info: Info, process: Annotated[NewProcess, _new("process")]
    ) -> ProcessPayload | None:
        new = accept(NewProcessModel, process, "process")
        context = info.context
        async with context.database.transaction() as transaction:
            created = await create_process(transaction, new, context.viewer, ("process",))
        return await context.payload(info, {"process": created})

    @_mutation(_write, "Changes a process.")
    async def update_process(
        self, info: Info, id: ProcessId, changes: Annotated[ProcessChanges, _CHANGES]
    ) -> ProcessPayload | None:
        accepted = accept(ProcessChangesModel, changes, "changes")
        process_id, context = _id(id, "Process", "id"), info.context
        async with context.database.transaction() as transaction:
            await change_process(transaction, process_id, accepted, context.viewer, ("changes",))
        return await context.payload(info, {"process": process_id})

    @_mutation(_write, "Changes texts of many processes, all or none.")
    async def update_processes(
        self,
        info: Info,
        changes: Annotated[
            list[ProcessTexts],
            strawberry.argument(description="What to change, each process once."),
        ],
    ) -> ProcessesPayload | None:
        accepted = accept_all(ProcessTextsModel, changes, "changes")
        async with info.context.database.transaction() as transaction:
            count = await change_texts(transaction, accepted, info.context.viewer, ("changes",))
        return await info.context.payload(info, {"updated_count": count})

    @_mutation(_write, "Deletes a process with all that it consists of.")
    async def delete_process(self, info: Info, id: ProcessId) -> DeletedPayload | None:
        process_id = _id(id, "Process", "id")
        async with info.context.database.transaction() as transaction:
            await remove_process(transaction, process_id, info.context.viewer)
        return await info.context.payload(info, {"deleted_id": id})

    # Actions -----------------------------------------------------------------------------------

    @_mutation(_write, "Adds an action to a process.")
    async def add_action(
        self,
        info: Info,
        process: ProcessId,
        action: Annotated[NewAction, _new("action")],
        position: Position = UNSET,
    ) -> ActionPayload | None:
        new = accept(NewActionModel, action, "action")
        process_id, context = _id(process, "Process", "process"), info.context
        async with context.database.transaction() as transaction:
            await require_process(transaction, process_id, context.viewer)
            place = await make_room(
                transaction, "action", process_id, _optional(position), ("position",)
            )
            (created,) = await add_actions(
                transaction, process_id, place, [new], context.viewer, [("action",)]
            )
        return await context.payload(info, {"action": created, "process": process_id})

    @_mutation(_write, "Changes an action.")
    async def update_action(
        self, info: Info, id: ActionId, changes: Annotated[ActionChanges, _CHANGES]
    ) -> ActionPayload | None:
        accepted = accept(ActionChangesModel, changes, "changes")
        action_id, context = _id(id, "Action", "id"), info.context
        async with context.database.transaction() as transaction:
            process_id = await change_action(
                transaction, action_id, accepted, context.viewer, ("changes",)
            )
        return await context.payload(info, {"action": action_id, "process": process_id})

    @_mutation(_write, "Puts an action at another place in its process.")
    async def move_action(
        self,
        info: Info,
        id: ActionId,
        position: Annotated[int, strawberry.argument(description="Its new place, from 1.")],
    ) -> ActionPayload | None:
        action_id, context = _id(id, "Action", "id"), info.context
        async with context.database.transaction() as transaction:
            process_id = await move_part(
                transaction, "action", action_id, position, context.viewer, ("position",)
            )
        return await context.payload(info, {"action": action_id, "process": process_id})

    @_mutation(_write, "Removes an action from its process.")
    async def remove_action(
        self, info: Info, id: ActionId, of_process: OfProcess = UNSET
    ) -> RemovedPayload | None:
        action_id, context = _id(id, "Action", "id"), info.context
        owner = _optional_id(of_process or None, "Process", "ofProcess")
        async with context.database.transaction() as transaction:
            process_id = await remove_part(transaction, "action", action_id, context.viewer, owner)
        return await context.payload(info, {"removed_id": id, "process": process_id})

    # Inputs ------------------------------------------------------------------------------------

    @_mutation(_write, "Adds an input to a process.")
    async def add_input(
        self,
        info: Info,
        process: ProcessId,
        input: Annotated[NewInput, _new("input")],
        position: Position = UNSET,
    ) -> InputPayload | None:
        new = accept(NewInputModel, input, "input")
        process_id, context = _id(process, "Process", "process"), info.context
        async with context.database.transaction() as transaction:
            await require_process(transaction, process_id, context.viewer)
            place = await make_room(
                transaction, "input", process_id, _optional(position), ("position",)
            )
            (created,) = await add_inputs(transaction, process_id, place, [new])
        return await context.payload(info, {"input": created, "process": process_id})

    @_mutation(_write, "Changes an input.")
    async def update_input(
        self, info: Info, id: InputId, changes: Annotated[InputChanges, _CHANGES]
    ) -> InputPayload | None:
        accepted = accept(InputChangesModel, changes, "changes")
        input_id, context = _id(id, "Input", "id"), info.context
        async with context.database.transaction() as transaction:
            process_id = await change_input(transaction, input_id, accepted, context.viewer)
        return await context.payload(info, {"input": input_id, "process": process_id})

    @_mutation(_write, "Puts an input at another place in its process.")
    async def move_input(
        self,
        info: Info,
        id: InputId,
        position: Annotated[int, strawberry.argument(description="Its new place, from 1.")],
    ) -> InputPayload | None:
        input_id, context = _id(id, "Input", "id"), info.context
        async with context.database.transaction() as transaction:
            process_id = await move_part(
                transaction, "input", input_id, position, context.viewer, ("position",)
            )
        return await context.payload(info, {"input": input_id, "process": process_id})

    @_mutation(
        _write, "Removes an input from its process: by its id, or by the process and its reference."
    )
    async def remove_input(
        self,
        info: Info,
        id: Annotated[
            strawberry.ID | None, strawberry.argument(description="The input's opaque id.")
        ] = UNSET,
        of_process: OfProcess = UNSET,
        reference: Annotated[
            str | None,
            strawberry.argument(description="The input's reference, along with ofProcess."),
        ] = UNSET,
    ) -> RemovedPayload | None:
        context = info.context
        input_id = _optional_id(id or None, "Input", "id")
        owner = _optional_id(of_process or None, "Process", "ofProcess")
        if (input_id is None) is (not reference):
            raise bad_value(("id",), "expected either id or reference")
        named = accept_text(reference or "", "reference")
        async with context.database.transaction() as transaction:
            if input_id is None:
                if owner is None:
                    raise bad_value(("ofProcess",), "is required along with reference")
                await require_process(transaction, owner, context.viewer)
                input_id = await find_input(transaction, owner, named)
                if input_id is None:
                    raise not_found("there is no such input")
            process_id = await remove_part(transaction, "input", input_id, context.viewer, owner)
        removed = global_id("Input", input_id)
        return await context.payload(info, {"removed_id": removed, "process": process_id})

    # Authorisations ----------------------------------------------------------------------------

    @_mutation(_write, "Authorises a profile on a process; doing so twice is fine.")
    async def authorise_profile(
        self,
        info: Info,
        process: ProcessId,
        profile: Annotated[
            ProfileKeyInput, strawberry.argument(description="The profile to authorise.")
        ],
    ) -> ProcessPayload | None:
        key = accept(ProfileKey, profile, "profile")
        process_id, context = _id(process, "Process", "process"), info.context
        async with context.database.transaction() as transaction:
            await require_process(transaction, process_id, context.viewer)
            profile_id = await find_profile(transaction, key, ("profile",))
            await authorise(transaction, process_id, [profile_id])
        return await context.payload(info, {"process": process_id})

    @_mutation(
        _write, "Takes back the authorisation of a profile on a process, or of all profiles."
    )
    async def unauthorise_profile(
        self,
        info: Info,
        process: ProcessId,
        profile: Annotated[
            ProfileKeyInput | None,
            strawberry.argument(description="The profile; all of them where it is left out."),
        ] = UNSET,
    ) -> ProcessPayload | None:
        key = accept(ProfileKey, profile, "profile") if profile else None
        process_id, context = _id(process, "Process", "process"), info.context
        async with context.database.transaction() as transaction:
            await require_process(transaction, process_id, context.viewer)
            profile_id = (
                await find_profile(transaction, key, ("profile",)) if key is not None else None
            )
            await unauthorise(transaction, process_id, profile_id)
        return await context.payload(info, {"process": process_id})

    # Espaces -----------------------------------------------------------------------------------

    @_mutation(_write, "Creates an espace.")
    async def create_espace(
        self, info: Info, espace: Annotated[NewEspace, _new("espace")]
    ) -> EspacePayload | None:
        new = accept(NewEspaceModel, espace, "espace")
        async with info.context.database.transaction() as transaction:
            created = await insert_row(transaction, "espace", new.model_dump())
        return await info.context.payload(info, {"espace": created})

    @_mutation(_write, "Changes an espace.")
    async def update_espace(
        self, info: Info, id: EspaceId, changes: Annotated[EspaceChanges, _CHANGES]
    ) -> EspacePayload | None:
        accepted = accept(EspaceChangesModel, changes, "changes")
        espace_id = _id(id, "Espace", "id")
        async with info.context.database.transaction() as transaction:
            values = accepted.model_dump(exclude_none=True)
            if not await update_row(transaction, "espace", espace_id, values):
                raise not_found("there is no such espace")
        return await info.context.payload(info, {"espace": espace_id})

    @_mutation(_write, "Deletes an espace that has no processes.")
    async def delete_espace(self, info: Info, id: EspaceId) -> DeletedPayload | None:
        espace_id = _id(id, "Espace", "id")
        async with info.context.database.transaction() as transaction:
            if not await delete_row(transaction, "espace", espace_id):
                raise not_found("there is no such espace")
        return await info.context.payload(info, {"deleted_id": id})

    # Profiles ----------------------------------------------------------------------------------

    @_mutation(_admin, "Creates a profile.")
    async def create_profile(
        self, info: Info, profile: Annotated[NewProfile, _new("profile")]
    ) -> ProfilePayload | None:
        new = accept(NewProfileModel, profile, "profile")
        values = {"name": new.name, "permissions": permission_words(new.permissions)}
        async with info.context.database.transaction() as transaction:
            created = await insert_row(transaction, "profile", values)
        info.context.access_changed()
        return await info.context.payload(info, {"profile": created})

    @_mutation(_admin, "Changes a profile that is not one of those there from the start.")
    async def update_profile(
        self, info: Info, id: ProfileId, changes: Annotated[ProfileChanges, _CHANGES]
    ) -> ProfilePayload | None:
        accepted = accept(ProfileChangesModel, changes, "changes")
        profile_id, context = _id(id, "Profile", "id"), info.context
        values: dict[str, object] = accepted.model_dump(include={"name"}, exclude_none=True)
        if accepted.permissions is not None:
            values["permissions"] = permission_words(accepted.permissions)
        async with context.database.transaction() as transaction:
            await require_own(transaction, "profile", profile_id)
            await update_row(transaction, "profile", profile_id, values)
        context.access_changed()
        return await context.payload(info, {"profile": profile_id})

    @_mutation(_admin, "Deletes a profile that is not one of those there from the start.")
    async def delete_profile(self, info: Info, id: ProfileId) -> DeletedPayload | None:
        profile_id = _id(id, "Profile", "id")
        async with info.context.database.transaction() as transaction:
            await require_own(transaction, "profile", profile_id)
            await delete_row(transaction, "profile", profile_id)
        info.context.access_changed()
        return await info.context.payload(info, {"deleted_id": id})

    # Sources -----------------------------------------------------------------------------------

    @_mutation(_admin, "Creates a source.")
    async def create_source(
        self, info: Info, source: Annotated[NewSource, _new("source")]
    ) -> SourcePayload | None:
        new = accept(NewSourceModel, source, "source")
        context = info.context
        settings = check_settings(new.kind, new.settings, context.executions.kinds, {}, ("source",))
        async with context.database.transaction() as transaction:
            created = await insert_row(
                transaction, "source", {"name": new.name, "kind": new.kind, **settings}
            )
        return await context.payload(info, {"source": created})

    @_mutation(_admin, "Changes a source that is not part of the gateway.")
    async def update_source(
        self, info: Info, id: SourceId, changes: Annotated[SourceChanges, _CHANGES]
    ) -> SourcePayload | None:
        accepted = accept(SourceChangesModel, changes, "changes")
        source_id, context = _id(id, "Source", "id"), info.context
        values: dict[str, object] = accepted.model_dump(include={"name"}, exclude_none=True)
        async with context.database.transaction() as transaction:
            source = await require_own(transaction, "source", source_id)
            if accepted.settings is not None:
                values |= check_settings(
                    source["kind"],
                    accepted.settings,
                    context.executions.kinds,
                    orjson.loads(source["secrets"]),
                    ("changes",),
                )
            await update_row(transaction, "source", source_id, values)
        return await context.payload(info, {"source": source_id})

    @_mutation(_admin, "Deletes a source that nothing acts on and that is not part of the gateway.")
    async def delete_source(self, info: Info, id: SourceId) -> DeletedPayload | None:
        source_id = _id(id, "Source", "id")
        async with info.context.database.transaction() as transaction:
            await require_own(transaction, "source", source_id)
            await delete_row(transaction, "source", source_id)
        return await info.context.payload(info, {"deleted_id": id})

    # Execution ---------------------------------------------------------------------------------

    @_mutation(
        Permission.PROCESS_EXECUTE,
        "Executes a process and waits for its end; where an action fails, the error's extensions"
        " name the execution.",
    )
    async def execute_process(
        self,
        info: Info,
        id: ProcessId,
        inputs: Annotated[
            list[InputValue] | None,
            strawberry.argument(description="The values of its inputs, in any order."),
        ] = UNSET,
        values: Annotated[
            list[str] | None,
            strawberry.argument(
                description="The values of its inputs instead, in the order of those that it asks"
                " for in its state."
            ),
        ] = UNSET,
    ) -> ExecutionPayload | None:
        named = accept_all(InputValueModel, inputs or [], "inputs")
        in_order = accept_texts(values or [], "values")
        process_id, context = _id(id, "Process", "id"), info.context
        execution_id = await context.executions.execute(
            process_id,
            [(value.reference, value.value) for value in named],
            context.viewer,
            in_order=in_order,
        )
        return await context.payload(info, {"execution": execution_id, "process": process_id})
