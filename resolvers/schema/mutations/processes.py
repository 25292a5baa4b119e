"""Define the mutations of processes."""

from __future__ import annotations

from typing import Annotated, Any

import strawberry
from strawberry import UNSET

from resolvers.operations.context import Info
from resolvers.rules import processes
from resolvers.rules.items import accept_items, items_validator
from resolvers.rules.models import (
    ProcessChangesModel,
    ProcessTextsModel,
    accept,
)
from resolvers.rules.settings import accept_process
from resolvers.schema.inputs import NewProcess, ProcessChanges, ProcessTexts
from resolvers.schema.mutations.common import (
    CHANGES,
    DeletedPayload,
    IfVersion,
    ProcessId,
    mutation,
    new_argument,
    none_if_unset,
    read_id,
    written,
)
from resolvers.schema.types import Process
from resolvers.values.enums import Permission

_TEXTS = items_validator(ProcessTextsModel, {name: name for name in ProcessTextsModel.model_fields})


_ITEM = 16
"""Bytes of an action, an argument or an input in a request at the least."""


def _length(process: Any) -> int:
    """Estimate the bytes of a new process in its request."""
    actions = process.get("actions") or ()
    arguments = sum(len(action.get("arguments") or ()) for action in actions)
    inputs = process.get("inputs") or ()
    choices = sum(len(each.get("choices") or ()) for each in inputs)
    return _ITEM * (len(actions) + arguments + len(inputs) + choices)


@strawberry.type(description="Result of writing a process.")
class ProcessPayload:
    process: Process = strawberry.field(description="The process after the change.")


@strawberry.type(description="Result of writing several processes.")
class ProcessesPayload:
    updated_count: int = strawberry.field(description="Number of processes updated.")


@strawberry.type
class ProcessMutations:
    @mutation(
        Permission.PROCESS_WRITE,
        "Create a process with its actions, inputs and authorizations.",
    )
    async def create_process(
        self, info: Info, process: Annotated[NewProcess, new_argument("process")]
    ) -> ProcessPayload | None:
        context = info.context
        new = await context.worker.run(_length(process), lambda: accept_process(process, "process"))
        transaction = await context.begin()
        process_id = await processes.create_process(transaction, new, context.viewer, ("process",))
        return written(process=process_id)

    @mutation(Permission.PROCESS_WRITE, "Update a process.")
    async def update_process(
        self,
        info: Info,
        id: ProcessId,
        changes: Annotated[ProcessChanges, CHANGES],
        if_version: IfVersion = UNSET,
    ) -> ProcessPayload | None:
        accepted = accept(ProcessChangesModel, changes, "changes")
        process_id, context = read_id(id, "Process", "id"), info.context
        transaction = await context.begin()
        await processes.change_process(
            transaction,
            process_id,
            accepted,
            context.viewer,
            ("changes",),
            none_if_unset(if_version),
        )
        return written(process=process_id)

    @mutation(
        Permission.PROCESS_WRITE,
        "Update texts of several processes. Either all of them are updated or none is.",
    )
    async def update_processes(
        self,
        info: Info,
        changes: Annotated[
            list[ProcessTexts],
            strawberry.argument(description="Changes, at most one item per process."),
        ],
    ) -> ProcessesPayload | None:
        accepted = accept_items(_TEXTS, changes, "changes")
        context = info.context
        transaction = await context.begin()
        count = await processes.change_texts(transaction, accepted, context.viewer, ("changes",))
        return written(updated_count=count)

    @mutation(
        Permission.PROCESS_WRITE,
        "Delete a process with its actions, inputs and authorizations. Fails while another process"
        " runs it.",
    )
    async def delete_process(
        self, info: Info, id: ProcessId, if_version: IfVersion = UNSET
    ) -> DeletedPayload | None:
        process_id, context = read_id(id, "Process", "id"), info.context
        transaction = await context.begin()
        await processes.remove_process(
            transaction, process_id, context.viewer, none_if_unset(if_version)
        )
        return written(deleted_id=id)
