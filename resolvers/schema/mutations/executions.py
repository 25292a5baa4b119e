"""Define the mutations that execute processes, and cancel and replay executions."""

from __future__ import annotations

from typing import Annotated

import strawberry
from strawberry import UNSET

from resolvers.execution.admission import ExecuteRequest
from resolvers.operations.context import Info
from resolvers.rules.executions import MOST_SECONDS, accept_first, accept_key, accept_wait
from resolvers.rules.models import InputValueModel, accept_all, accept_texts
from resolvers.schema.inputs import InputValue
from resolvers.schema.mutations.common import ProcessId, mutation, none_if_unset, read_id, written
from resolvers.schema.types import Execution, Process
from resolvers.values.enums import Permission, ReplayDefinition

ExecutionId = Annotated[
    strawberry.ID, strawberry.argument(description="Opaque ID of the execution.")
]
Wait = Annotated[
    float | None,
    strawberry.argument(
        description=f"Seconds to wait until it ends, from 0 to {MOST_SECONDS}. If it has not ended"
        " then, the payload shows it as it is: it runs on. Defaults to the gateway's time limit of"
        " executions."
    ),
]
IdempotencyKey = Annotated[
    str | None,
    strawberry.argument(
        description="1 to 255 printable ASCII characters that identify the request. If it is sent"
        " again within 24 hours, it is answered with the execution that it started, however that"
        " ended. The key of another request is a CONFLICT. Each profile has keys of its own."
    ),
]
_FAILED = (
    "If it ends in any other way than succeeded, the error EXECUTION_FAILED has its opaque ID, its"
    " status, and whether a step is in doubt in extensions.execution, extensions.status and"
    " extensions.inDoubt."
)


@strawberry.type(description="Result of executing a process.")
class ExecutionPayload:
    execution: Execution = strawberry.field(description="The record of the execution.")
    process: Process | None = strawberry.field(
        description="The process after the execution. Null if it was deleted meanwhile."
    )


@strawberry.type(description="Result of canceling or replaying an execution.")
class ExecutionRecordPayload:
    execution: Execution = strawberry.field(description="The record of the execution.")


@strawberry.type
class ExecutionMutations:
    @mutation(Permission.PROCESS_EXECUTE, f"Execute a process and wait until it ends. {_FAILED}")
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
        wait: Wait = UNSET,
        idempotency_key: IdempotencyKey = UNSET,
        dry_run: Annotated[
            bool | None,
            strawberry.argument(
                description="Whether only to record what would run: no action acts, and no state"
                " changes. Defaults to false."
            ),
        ] = UNSET,
    ) -> ExecutionPayload | None:
        accepted_inputs = accept_all(InputValueModel, inputs or [], "inputs")
        accepted_values = accept_texts(values or [], "values")
        seconds = accept_wait(none_if_unset(wait), "wait")
        key = accept_key(none_if_unset(idempotency_key), "idempotencyKey")
        process_id, context = read_id(id, "Process", "id"), info.context
        request = ExecuteRequest(
            process_id,
            [(item.reference, item.value) for item in accepted_inputs],
            accepted_values,
            idempotency_key=key,
            dry_run=bool(none_if_unset(dry_run)),
        )
        context.executed = await context.executions.execute(request, context.viewer, seconds)
        return written(execution=context.executed, process=process_id)

    @mutation(
        Permission.PROCESS_EXECUTE,
        "Cancel an execution that has not ended: no further step starts, and the action in flight"
        " has 5 seconds to end. The payload shows the execution as it is then. If it has ended, the"
        " error is CONFLICT.",
    )
    async def cancel_execution(self, info: Info, id: ExecutionId) -> ExecutionRecordPayload | None:
        execution_id, context = read_id(id, "Execution", "id"), info.context
        await context.executions.cancel(execution_id, context.viewer)
        return written(execution=execution_id)

    @mutation(
        Permission.PROCESS_EXECUTE,
        "Execute a process again with the inputs of an execution, from one of its steps on, and"
        " wait until it ends. The steps before are skipped. To repeat a step that is in doubt,"
        f" start from it; if it had its effect, start after it. {_FAILED}",
    )
    async def replay_execution(
        self,
        info: Info,
        id: ExecutionId,
        from_: Annotated[
            int,
            strawberry.argument(
                name="from", description="Position of the first step that runs, starting at 1."
            ),
        ],
        definition: Annotated[
            ReplayDefinition,
            strawberry.argument(description="What runs: the processes as recorded, or as now."),
        ] = ReplayDefinition.RECORDED,
        wait: Wait = UNSET,
        idempotency_key: IdempotencyKey = UNSET,
    ) -> ExecutionRecordPayload | None:
        first = accept_first(from_, "from")
        seconds = accept_wait(none_if_unset(wait), "wait")
        key = accept_key(none_if_unset(idempotency_key), "idempotencyKey")
        execution_id, context = read_id(id, "Execution", "id"), info.context
        engine = context.executions
        context.executed = await engine.replay(
            execution_id,
            first,
            context.viewer,
            current=definition is ReplayDefinition.CURRENT,
            idempotency_key=key,
        )
        await engine.require_success(context.executed, seconds)
        return written(execution=context.executed)
