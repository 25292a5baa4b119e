"""In charge of the arguments of connections: filters (``where``), orders and page positions.

A filter's fields have the names of the columns and relations of ``storage.model``; what they mean
there is decided in ``resolvers.planning``. A null filter or operand is the same as none.
"""

from __future__ import annotations

from typing import Annotated

import strawberry
from strawberry import UNSET

from resolvers.values.enums import (
    EspaceOrderField,
    ExecutionOrderField,
    ExecutionStatus,
    OrderDirection,
    ProcessMode,
    ProcessOrderField,
    ProcessState,
    ProfileOrderField,
    SourceOrderField,
)

# Comparisons -----------------------------------------------------------------------------------


@strawberry.input(description="A condition on a text; all that is given has to hold.")
class TextFilter:
    eq: str | None = strawberry.field(default=UNSET, description="Is this text, to the letter.")
    in_: list[str] | None = strawberry.field(
        name="in", default=UNSET, description="Is one of these texts."
    )
    contains: str | None = strawberry.field(
        default=UNSET, description="Contains this text, to the letter."
    )
    starts_with: str | None = strawberry.field(
        default=UNSET, description="Starts with this text, to the letter."
    )


@strawberry.input(description="A condition on a whole number; all that is given has to hold.")
class IntFilter:
    eq: int | None = strawberry.field(default=UNSET, description="Is this number.")
    in_: list[int] | None = strawberry.field(
        name="in", default=UNSET, description="Is one of these numbers."
    )
    lt: int | None = strawberry.field(default=UNSET, description="Is less than this number.")
    lte: int | None = strawberry.field(default=UNSET, description="Is this number or less.")
    gt: int | None = strawberry.field(default=UNSET, description="Is greater than this number.")
    gte: int | None = strawberry.field(default=UNSET, description="Is this number or greater.")


@strawberry.input(
    description="A condition on the mode of a process; all that is given has to hold."
)
class ProcessModeFilter:
    eq: ProcessMode | None = strawberry.field(default=UNSET, description="Is this mode.")
    in_: list[ProcessMode] | None = strawberry.field(
        name="in", default=UNSET, description="Is one of these modes."
    )


@strawberry.input(description="A condition on a state; all that is given has to hold.")
class ProcessStateFilter:
    eq: ProcessState | None = strawberry.field(default=UNSET, description="Is this state.")
    in_: list[ProcessState] | None = strawberry.field(
        name="in", default=UNSET, description="Is one of these states."
    )


@strawberry.input(description="A condition on a status; all that is given has to hold.")
class ExecutionStatusFilter:
    eq: ExecutionStatus | None = strawberry.field(default=UNSET, description="Is this status.")
    in_: list[ExecutionStatus] | None = strawberry.field(
        name="in", default=UNSET, description="Is one of these statuses."
    )


# Filters of each type --------------------------------------------------------------------------

_AND = "All of these conditions hold."
_OR = "At least one of these conditions holds."
_NOT = "This condition does not hold."


@strawberry.input(description="Which espaces; all that is given has to hold.")
class EspaceWhere:
    and_: list[EspaceWhere] | None = strawberry.field(name="and", default=UNSET, description=_AND)
    or_: list[EspaceWhere] | None = strawberry.field(name="or", default=UNSET, description=_OR)
    not_: EspaceWhere | None = strawberry.field(name="not", default=UNSET, description=_NOT)
    database_id: IntFilter | None = strawberry.field(default=UNSET, description="By its id.")
    reference: TextFilter | None = strawberry.field(default=UNSET, description="By its reference.")
    name: TextFilter | None = strawberry.field(default=UNSET, description="By its name.")
    description: TextFilter | None = strawberry.field(
        default=UNSET, description="By its description."
    )
    processes: ProcessWhere | None = strawberry.field(
        default=UNSET, description="It has a process of this kind."
    )


@strawberry.input(description="Which processes; all that is given has to hold.")
class ProcessWhere:
    and_: list[ProcessWhere] | None = strawberry.field(name="and", default=UNSET, description=_AND)
    or_: list[ProcessWhere] | None = strawberry.field(name="or", default=UNSET, description=_OR)
    not_: ProcessWhere | None = strawberry.field(name="not", default=UNSET, description=_NOT)
    database_id: IntFilter | None = strawberry.field(default=UNSET, description="By its id.")
    reference: TextFilter | None = strawberry.field(default=UNSET, description="By its reference.")
    name: TextFilter | None = strawberry.field(default=UNSET, description="By its name.")
    description: TextFilter | None = strawberry.field(
        default=UNSET, description="By its description."
    )
    mode: ProcessModeFilter | None = strawberry.field(default=UNSET, description="By its mode.")
    state: ProcessStateFilter | None = strawberry.field(default=UNSET, description="By its state.")
    espace: EspaceWhere | None = strawberry.field(
        default=UNSET, description="It is in an espace of this kind."
    )
    actions: ActionWhere | None = strawberry.field(
        default=UNSET, description="It has an action of this kind."
    )
    inputs: InputWhere | None = strawberry.field(
        default=UNSET, description="It has an input of this kind."
    )
    profiles: ProfileWhere | None = strawberry.field(
        default=UNSET, description="A profile of this kind is authorised on it."
    )
    subprocesses: ProcessWhere | None = strawberry.field(
        default=UNSET, description="It runs a process of this kind."
    )
    used_by: ProcessWhere | None = strawberry.field(
        default=UNSET, description="A process of this kind runs it."
    )


@strawberry.input(description="Which actions; all that is given has to hold.")
class ActionWhere:
    and_: list[ActionWhere] | None = strawberry.field(name="and", default=UNSET, description=_AND)
    or_: list[ActionWhere] | None = strawberry.field(name="or", default=UNSET, description=_OR)
    not_: ActionWhere | None = strawberry.field(name="not", default=UNSET, description=_NOT)
    source_name: TextFilter | None = strawberry.field(
        default=UNSET, description="By the name of the source that it acts on."
    )
    action: TextFilter | None = strawberry.field(
        default=UNSET, description="By what it does there."
    )
    runs_when: ProcessStateFilter | None = strawberry.field(
        default=UNSET, description="By the state in which it takes part."
    )


@strawberry.input(description="Which inputs; all that is given has to hold.")
class InputWhere:
    and_: list[InputWhere] | None = strawberry.field(name="and", default=UNSET, description=_AND)
    or_: list[InputWhere] | None = strawberry.field(name="or", default=UNSET, description=_OR)
    not_: InputWhere | None = strawberry.field(name="not", default=UNSET, description=_NOT)
    reference: TextFilter | None = strawberry.field(default=UNSET, description="By its reference.")
    name: TextFilter | None = strawberry.field(default=UNSET, description="By its name.")
    type: TextFilter | None = strawberry.field(default=UNSET, description="By its type.")
    asked_when: ProcessStateFilter | None = strawberry.field(
        default=UNSET, description="By the state in which it is asked for."
    )


@strawberry.input(description="Which profiles; all that is given has to hold.")
class ProfileWhere:
    and_: list[ProfileWhere] | None = strawberry.field(name="and", default=UNSET, description=_AND)
    or_: list[ProfileWhere] | None = strawberry.field(name="or", default=UNSET, description=_OR)
    not_: ProfileWhere | None = strawberry.field(name="not", default=UNSET, description=_NOT)
    database_id: IntFilter | None = strawberry.field(default=UNSET, description="By its id.")
    name: TextFilter | None = strawberry.field(default=UNSET, description="By its name.")
    processes: ProcessWhere | None = strawberry.field(
        default=UNSET, description="It is authorised on a process of this kind."
    )


@strawberry.input(description="Which sources; all that is given has to hold.")
class SourceWhere:
    and_: list[SourceWhere] | None = strawberry.field(name="and", default=UNSET, description=_AND)
    or_: list[SourceWhere] | None = strawberry.field(name="or", default=UNSET, description=_OR)
    not_: SourceWhere | None = strawberry.field(name="not", default=UNSET, description=_NOT)
    database_id: IntFilter | None = strawberry.field(default=UNSET, description="By its id.")
    name: TextFilter | None = strawberry.field(default=UNSET, description="By its name.")
    kind: TextFilter | None = strawberry.field(default=UNSET, description="By its kind.")
    processes: ProcessWhere | None = strawberry.field(
        default=UNSET, description="A process of this kind acts on it."
    )


@strawberry.input(description="Which executions; all that is given has to hold.")
class ExecutionWhere:
    and_: list[ExecutionWhere] | None = strawberry.field(
        name="and", default=UNSET, description=_AND
    )
    or_: list[ExecutionWhere] | None = strawberry.field(name="or", default=UNSET, description=_OR)
    not_: ExecutionWhere | None = strawberry.field(name="not", default=UNSET, description=_NOT)
    database_id: IntFilter | None = strawberry.field(default=UNSET, description="By its id.")
    process_reference: TextFilter | None = strawberry.field(
        default=UNSET, description="By the reference that the process had."
    )
    status: ExecutionStatusFilter | None = strawberry.field(
        default=UNSET, description="By its status."
    )
    asked_by: TextFilter | None = strawberry.field(
        default=UNSET, description="By the name of the profile that asked for it."
    )
    nested: bool | None = strawberry.field(
        default=UNSET,
        description="Whether it ran as a step of another execution (true) or by itself (false).",
    )
    process: ProcessWhere | None = strawberry.field(
        default=UNSET, description="It is of a process of this kind."
    )


# Orders: only what has an index ----------------------------------------------------------------


_ORDER = "What to order by."
_DIRECTION = "In which direction."


@strawberry.input(description="One key of the order of espaces.")
class EspaceOrder:
    field: EspaceOrderField = strawberry.field(description=_ORDER)
    direction: OrderDirection = strawberry.field(default=OrderDirection.ASC, description=_DIRECTION)


@strawberry.input(description="One key of the order of processes.")
class ProcessOrder:
    field: ProcessOrderField = strawberry.field(description=_ORDER)
    direction: OrderDirection = strawberry.field(default=OrderDirection.ASC, description=_DIRECTION)


@strawberry.input(description="One key of the order of profiles.")
class ProfileOrder:
    field: ProfileOrderField = strawberry.field(description=_ORDER)
    direction: OrderDirection = strawberry.field(default=OrderDirection.ASC, description=_DIRECTION)


@strawberry.input(description="One key of the order of sources.")
class SourceOrder:
    field: SourceOrderField = strawberry.field(description=_ORDER)
    direction: OrderDirection = strawberry.field(default=OrderDirection.ASC, description=_DIRECTION)


@strawberry.input(description="One key of the order of executions.")
class ExecutionOrder:
    field: ExecutionOrderField = strawberry.field(description=_ORDER)
    direction: OrderDirection = strawberry.field(default=OrderDirection.ASC, description=_DIRECTION)


# Page positions --------------------------------------------------------------------------------

First = Annotated[
    int | None,
    strawberry.argument(
        description="How many, from the start of the range. 20 where neither first nor last is"
        " given; at most 100 (both are settings of the server)."
    ),
]
After = Annotated[str | None, strawberry.argument(description="Only what comes after this cursor.")]
Last = Annotated[
    int | None,
    strawberry.argument(description="How many, from the end of the range; not along with first."),
]
Before = Annotated[
    str | None, strawberry.argument(description="Only what comes before this cursor.")
]
