"""Define the arguments of connections: filters (``where``), sort orders, and page positions.

The fields of a filter have the names of the columns and relations in ``storage.reads.model``;
``resolvers.operations.plan`` defines their meaning. A null filter or operand is the same as an
omitted one.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

import strawberry
from strawberry import UNSET

from resolvers.values.enums import (
    EspaceOrderField,
    ExecutionErrorCode,
    ExecutionOrderField,
    ExecutionStatus,
    ExecutionTrigger,
    OrderDirection,
    ProcessConcurrency,
    ProcessMode,
    ProcessOrderField,
    ProcessState,
    ProfileOrderField,
    SourceOrderField,
)

# Comparisons -----------------------------------------------------------------------------------


@strawberry.input(description="Conditions on a string. All conditions must match.")
class TextFilter:
    eq: str | None = strawberry.field(
        default=UNSET, description="Equals this string. Case-sensitive."
    )
    in_: list[str] | None = strawberry.field(
        name="in", default=UNSET, description="Equals one of these strings."
    )
    contains: str | None = strawberry.field(
        default=UNSET, description="Contains this string. Case-sensitive, without wildcards."
    )
    starts_with: str | None = strawberry.field(
        default=UNSET, description="Starts with this string. Case-sensitive, without wildcards."
    )


@strawberry.input(description="Conditions on an integer. All conditions must match.")
class IntFilter:
    eq: int | None = strawberry.field(default=UNSET, description="Equals this number.")
    in_: list[int] | None = strawberry.field(
        name="in", default=UNSET, description="Equals one of these numbers."
    )
    lt: int | None = strawberry.field(default=UNSET, description="Is less than this number.")
    lte: int | None = strawberry.field(
        default=UNSET, description="Is less than or equal to this number."
    )
    gt: int | None = strawberry.field(default=UNSET, description="Is greater than this number.")
    gte: int | None = strawberry.field(
        default=UNSET, description="Is greater than or equal to this number."
    )


@strawberry.input(description="Conditions on a time. All conditions must match.")
class TimeFilter:
    eq: datetime | None = strawberry.field(default=UNSET, description="Is this time.")
    lt: datetime | None = strawberry.field(default=UNSET, description="Is before this time.")
    lte: datetime | None = strawberry.field(default=UNSET, description="Is this time or before it.")
    gt: datetime | None = strawberry.field(default=UNSET, description="Is after this time.")
    gte: datetime | None = strawberry.field(default=UNSET, description="Is this time or after it.")


@strawberry.input(description="Conditions on a process mode. All conditions must match.")
class ProcessModeFilter:
    eq: ProcessMode | None = strawberry.field(default=UNSET, description="Equals this mode.")
    in_: list[ProcessMode] | None = strawberry.field(
        name="in", default=UNSET, description="Equals one of these modes."
    )


@strawberry.input(description="Conditions on a process state. All conditions must match.")
class ProcessStateFilter:
    eq: ProcessState | None = strawberry.field(default=UNSET, description="Equals this state.")
    in_: list[ProcessState] | None = strawberry.field(
        name="in", default=UNSET, description="Equals one of these states."
    )


@strawberry.input(description="Conditions on a concurrency. All conditions must match.")
class ProcessConcurrencyFilter:
    eq: ProcessConcurrency | None = strawberry.field(
        default=UNSET, description="Equals this concurrency."
    )
    in_: list[ProcessConcurrency] | None = strawberry.field(
        name="in", default=UNSET, description="Equals one of these."
    )


@strawberry.input(description="Conditions on an execution status. All conditions must match.")
class ExecutionStatusFilter:
    eq: ExecutionStatus | None = strawberry.field(default=UNSET, description="Equals this status.")
    in_: list[ExecutionStatus] | None = strawberry.field(
        name="in", default=UNSET, description="Equals one of these statuses."
    )


@strawberry.input(description="Conditions on an error code. All conditions must match.")
class ExecutionErrorCodeFilter:
    eq: ExecutionErrorCode | None = strawberry.field(default=UNSET, description="Equals this code.")
    in_: list[ExecutionErrorCode] | None = strawberry.field(
        name="in", default=UNSET, description="Equals one of these codes."
    )


@strawberry.input(
    description="Conditions on what an execution was started by. All conditions must match."
)
class ExecutionTriggerFilter:
    eq: ExecutionTrigger | None = strawberry.field(default=UNSET, description="Equals this.")
    in_: list[ExecutionTrigger] | None = strawberry.field(
        name="in", default=UNSET, description="Equals one of these."
    )


# Filters of each type --------------------------------------------------------------------------

_AND = "All of these filters must match."
_OR = "At least one of these filters must match."
_NOT = "This filter must not match."


@strawberry.input(description="Filter for espaces. All conditions must match.")
class EspaceWhere:
    and_: list[EspaceWhere] | None = strawberry.field(name="and", default=UNSET, description=_AND)
    or_: list[EspaceWhere] | None = strawberry.field(name="or", default=UNSET, description=_OR)
    not_: EspaceWhere | None = strawberry.field(name="not", default=UNSET, description=_NOT)
    database_id: IntFilter | None = strawberry.field(default=UNSET, description="Numeric ID.")
    reference: TextFilter | None = strawberry.field(default=UNSET, description="Reference.")
    name: TextFilter | None = strawberry.field(default=UNSET, description="Name.")
    description: TextFilter | None = strawberry.field(default=UNSET, description="Description.")
    processes: ProcessWhere | None = strawberry.field(
        default=UNSET, description="At least one process in the espace matches."
    )


@strawberry.input(description="Filter for processes. All conditions must match.")
class ProcessWhere:
    and_: list[ProcessWhere] | None = strawberry.field(name="and", default=UNSET, description=_AND)
    or_: list[ProcessWhere] | None = strawberry.field(name="or", default=UNSET, description=_OR)
    not_: ProcessWhere | None = strawberry.field(name="not", default=UNSET, description=_NOT)
    database_id: IntFilter | None = strawberry.field(default=UNSET, description="Numeric ID.")
    reference: TextFilter | None = strawberry.field(default=UNSET, description="Reference.")
    name: TextFilter | None = strawberry.field(default=UNSET, description="Name.")
    description: TextFilter | None = strawberry.field(default=UNSET, description="Description.")
    mode: ProcessModeFilter | None = strawberry.field(default=UNSET, description="Mode.")
    state: ProcessStateFilter | None = strawberry.field(default=UNSET, description="Current state.")
    concurrency: ProcessConcurrencyFilter | None = strawberry.field(
        default=UNSET, description="Concurrency."
    )
    created_at: TimeFilter | None = strawberry.field(default=UNSET, description="Time of creation.")
    updated_at: TimeFilter | None = strawberry.field(
        default=UNSET, description="Time of the last write to the process or one of its parts."
    )
    espace: EspaceWhere | None = strawberry.field(
        default=UNSET, description="The espace of the process matches."
    )
    actions: ActionWhere | None = strawberry.field(
        default=UNSET, description="At least one action matches."
    )
    inputs: InputWhere | None = strawberry.field(
        default=UNSET, description="At least one input matches."
    )
    profiles: ProfileWhere | None = strawberry.field(
        default=UNSET, description="At least one authorized profile matches."
    )
    subprocesses: ProcessWhere | None = strawberry.field(
        default=UNSET, description="At least one process that it runs matches."
    )
    used_by: ProcessWhere | None = strawberry.field(
        default=UNSET, description="At least one process that runs it matches."
    )


@strawberry.input(description="Filter for actions. All conditions must match.")
class ActionWhere:
    and_: list[ActionWhere] | None = strawberry.field(name="and", default=UNSET, description=_AND)
    or_: list[ActionWhere] | None = strawberry.field(name="or", default=UNSET, description=_OR)
    not_: ActionWhere | None = strawberry.field(name="not", default=UNSET, description=_NOT)
    source_name: TextFilter | None = strawberry.field(
        default=UNSET, description="Name of the source that the action uses."
    )
    action: TextFilter | None = strawberry.field(default=UNSET, description="Operation to perform.")
    runs_when: ProcessStateFilter | None = strawberry.field(
        default=UNSET, description="State in which a switch runs the action."
    )


@strawberry.input(description="Filter for inputs. All conditions must match.")
class InputWhere:
    and_: list[InputWhere] | None = strawberry.field(name="and", default=UNSET, description=_AND)
    or_: list[InputWhere] | None = strawberry.field(name="or", default=UNSET, description=_OR)
    not_: InputWhere | None = strawberry.field(name="not", default=UNSET, description=_NOT)
    reference: TextFilter | None = strawberry.field(default=UNSET, description="Reference.")
    name: TextFilter | None = strawberry.field(default=UNSET, description="Name.")
    type: TextFilter | None = strawberry.field(
        default=UNSET, description="Name of the type, as it was entered."
    )
    asked_when: ProcessStateFilter | None = strawberry.field(
        default=UNSET, description="State in which a switch requires the input."
    )


@strawberry.input(description="Filter for profiles. All conditions must match.")
class ProfileWhere:
    and_: list[ProfileWhere] | None = strawberry.field(name="and", default=UNSET, description=_AND)
    or_: list[ProfileWhere] | None = strawberry.field(name="or", default=UNSET, description=_OR)
    not_: ProfileWhere | None = strawberry.field(name="not", default=UNSET, description=_NOT)
    database_id: IntFilter | None = strawberry.field(default=UNSET, description="Numeric ID.")
    name: TextFilter | None = strawberry.field(default=UNSET, description="Name.")
    processes: ProcessWhere | None = strawberry.field(
        default=UNSET, description="At least one process that the profile is authorized on matches."
    )


@strawberry.input(description="Filter for sources. All conditions must match.")
class SourceWhere:
    and_: list[SourceWhere] | None = strawberry.field(name="and", default=UNSET, description=_AND)
    or_: list[SourceWhere] | None = strawberry.field(name="or", default=UNSET, description=_OR)
    not_: SourceWhere | None = strawberry.field(name="not", default=UNSET, description=_NOT)
    database_id: IntFilter | None = strawberry.field(default=UNSET, description="Numeric ID.")
    name: TextFilter | None = strawberry.field(default=UNSET, description="Name.")
    kind: TextFilter | None = strawberry.field(default=UNSET, description="Kind of source.")
    processes: ProcessWhere | None = strawberry.field(
        default=UNSET, description="At least one process that uses the source matches."
    )


@strawberry.input(description="Filter for executions. All conditions must match.")
class ExecutionWhere:
    and_: list[ExecutionWhere] | None = strawberry.field(
        name="and", default=UNSET, description=_AND
    )
    or_: list[ExecutionWhere] | None = strawberry.field(name="or", default=UNSET, description=_OR)
    not_: ExecutionWhere | None = strawberry.field(name="not", default=UNSET, description=_NOT)
    database_id: IntFilter | None = strawberry.field(default=UNSET, description="Numeric ID.")
    process_reference: TextFilter | None = strawberry.field(
        default=UNSET, description="Reference of the process at the time."
    )
    status: ExecutionStatusFilter | None = strawberry.field(default=UNSET, description="Status.")
    error_code: ExecutionErrorCodeFilter | None = strawberry.field(
        default=UNSET,
        description="Why it did not succeed. Executions without a code match no condition.",
    )
    in_doubt: bool | None = strawberry.field(
        default=UNSET,
        description="True for executions with a step in doubt, their own or a nested one, false for"
        " all others.",
    )
    trigger: ExecutionTriggerFilter | None = strawberry.field(
        default=UNSET, description="What it was started by."
    )
    dry_run: bool | None = strawberry.field(
        default=UNSET, description="True for dry runs, false for all others."
    )
    asked_by: TextFilter | None = strawberry.field(
        default=UNSET, description="Name of the profile that requested the execution."
    )
    nested: bool | None = strawberry.field(
        default=UNSET,
        description="True for executions that ran as a step of another execution, false for all"
        " others.",
    )
    requested_at: TimeFilter | None = strawberry.field(
        default=UNSET, description="Time of the request."
    )
    started_at: TimeFilter | None = strawberry.field(default=UNSET, description="Start time.")
    finished_at: TimeFilter | None = strawberry.field(
        default=UNSET, description="End time. Running executions have none and match no condition."
    )
    process: ProcessWhere | None = strawberry.field(
        default=UNSET, description="The executed process matches."
    )


# Sort orders ---------------------------------------------------------------------------------


_ORDER = "Field to sort by."
_DIRECTION = "Sort direction."


@strawberry.input(description="Sort key for espaces.")
class EspaceOrder:
    field: EspaceOrderField = strawberry.field(description=_ORDER)
    direction: OrderDirection = strawberry.field(default=OrderDirection.ASC, description=_DIRECTION)


@strawberry.input(description="Sort key for processes.")
class ProcessOrder:
    field: ProcessOrderField = strawberry.field(description=_ORDER)
    direction: OrderDirection = strawberry.field(default=OrderDirection.ASC, description=_DIRECTION)


@strawberry.input(description="Sort key for profiles.")
class ProfileOrder:
    field: ProfileOrderField = strawberry.field(description=_ORDER)
    direction: OrderDirection = strawberry.field(default=OrderDirection.ASC, description=_DIRECTION)


@strawberry.input(description="Sort key for sources.")
class SourceOrder:
    field: SourceOrderField = strawberry.field(description=_ORDER)
    direction: OrderDirection = strawberry.field(default=OrderDirection.ASC, description=_DIRECTION)


@strawberry.input(description="Sort key for executions.")
class ExecutionOrder:
    field: ExecutionOrderField = strawberry.field(description=_ORDER)
    direction: OrderDirection = strawberry.field(default=OrderDirection.ASC, description=_DIRECTION)


# Page positions --------------------------------------------------------------------------------

First = Annotated[
    int | None,
    strawberry.argument(
        description="Number of items to return from the start of the range. Defaults to 20 if"
        " `last`"
        " is omitted too; the maximum is 100. The server's settings can change both values."
    ),
]
After = Annotated[
    str | None, strawberry.argument(description="Return only items after this cursor.")
]
Last = Annotated[
    int | None,
    strawberry.argument(
        description="Number of items to return from the end of the range. Cannot be combined with"
        " `first`."
    ),
]
Before = Annotated[
    str | None, strawberry.argument(description="Return only items before this cursor.")
]
