"""Define the mutation that executes a process."""

from __future__ import annotations

from typing import Annotated

import strawberry
from strawberry import UNSET

from resolvers.execution.admission import ExecuteRequest
from resolvers.operations.context import Info
from resolvers.rules.models import InputValueModel, accept_all, accept_texts
from resolvers.schema.inputs import InputValue
from resolvers.schema.mutations.common import ProcessId, mutation, read_id, written
from resolvers.schema.types import Execution, Process
from resolvers.values.enums import Permission


@strawberry.type(description="Result of executing a process.")
class ExecutionPayload:
    execution: Execution = strawberry.field(description="The record of the execution.")
    process: Process = strawberry.field(description="The process after the execution.")


@strawberry.type
class ExecutionMutations:
    @mutation(
        Permission.PROCESS_EXECUTE,
        "Execute a process and wait until it ends. If an action fails, extensions.execution of the"
        " error is the ID of the execution.",
    )
    async def execute_process(
        self,
        info: Info,
        id: ProcessId,
        inputs: Annotated[
            list[InputValue] | None,
            strawberry.argument(description="Values of its inputs, in any order."),
        ] = UNSET,
        values: Annotated[
            list[str] | None,
            strawberry.argument(
                description="Values of its inputs without references, in the order of the inputs"
                " that it requires in its current state."
            ),
        ] = UNSET,
    ) -> ExecutionPayload | None:
        accepted_inputs = accept_all(InputValueModel, inputs or [], "inputs")
        accepted_values = accept_texts(values or [], "values")
        process_id, context = read_id(id, "Process", "id"), info.context
        request = ExecuteRequest(
            process_id,
            [(item.reference, item.value) for item in accepted_inputs],
            accepted_values,
        )
        context.executed = await context.executions.execute(request, context.viewer)
        return written(execution=context.executed, process=process_id)
