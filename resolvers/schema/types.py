"""Define the types of the GraphQL schema that have relations: each refers to the others.

Each field of an object has the name of a column or a relation in ``storage.reads.model``. The SQL
statement of the root field returns the values of all fields below it; no field is resolved in
Python. The ``read_*`` functions declare the arguments of connections, for root fields and nested
fields alike.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

import strawberry
from strawberry import UNSET
from strawberry.scalars import JSON

from resolvers.operations.context import Info
from resolvers.schema.filters import (
    After,
    Before,
    EspaceOrder,
    EspaceWhere,
    ExecutionOrder,
    ExecutionWhere,
    First,
    Last,
    ProcessOrder,
    ProcessWhere,
    ProfileOrder,
    ProfileWhere,
    SourceOrder,
    SourceWhere,
)
from resolvers.schema.pages import Connection, Node, answered_by_sql
from resolvers.schema.parts import Argument, BigInt, ProcessProblem, StepAttempt
from resolvers.values.enums import (
    ExecutionErrorCode,
    ExecutionStatus,
    ExecutionTrigger,
    InputKind,
    OnFailure,
    Permission,
    ProcessConcurrency,
    ProcessMode,
    ProcessState,
)

_DATABASE_ID = "Numeric ID in the legacy dialects, unique within this type."
_WHERE = "Conditions that items must match. Omit it to return all items."
_ORDER_BY = "Sort order. Defaults to ascending ID. Ties are broken by ID."
_LATEST_FIRST = "Sort order. Defaults to newest first. Ties are broken by ID."


# Connections -----------------------------------------------------------------------------------


async def read_espaces(
    info: Info,
    where: Annotated[EspaceWhere | None, strawberry.argument(description=_WHERE)] = UNSET,
    order_by: Annotated[
        list[EspaceOrder] | None, strawberry.argument(description=_ORDER_BY)
    ] = UNSET,
    first: First = UNSET,
    after: After = UNSET,
    last: Last = UNSET,
    before: Before = UNSET,
) -> Connection[Espace]:
    return answered_by_sql()


async def read_processes(
    info: Info,
    where: Annotated[ProcessWhere | None, strawberry.argument(description=_WHERE)] = UNSET,
    order_by: Annotated[
        list[ProcessOrder] | None, strawberry.argument(description=_ORDER_BY)
    ] = UNSET,
    first: First = UNSET,
    after: After = UNSET,
    last: Last = UNSET,
    before: Before = UNSET,
) -> Connection[Process]:
    return answered_by_sql()


async def read_profiles(
    info: Info,
    where: Annotated[ProfileWhere | None, strawberry.argument(description=_WHERE)] = UNSET,
    order_by: Annotated[
        list[ProfileOrder] | None, strawberry.argument(description=_ORDER_BY)
    ] = UNSET,
    first: First = UNSET,
    after: After = UNSET,
    last: Last = UNSET,
    before: Before = UNSET,
) -> Connection[Profile]:
    return answered_by_sql()


async def read_sources(
    info: Info,
    where: Annotated[SourceWhere | None, strawberry.argument(description=_WHERE)] = UNSET,
    order_by: Annotated[
        list[SourceOrder] | None, strawberry.argument(description=_ORDER_BY)
    ] = UNSET,
    first: First = UNSET,
    after: After = UNSET,
    last: Last = UNSET,
    before: Before = UNSET,
) -> Connection[Source]:
    return answered_by_sql()


async def read_executions(
    info: Info,
    where: Annotated[ExecutionWhere | None, strawberry.argument(description=_WHERE)] = UNSET,
    order_by: Annotated[
        list[ExecutionOrder] | None, strawberry.argument(description=_LATEST_FIRST)
    ] = UNSET,
    first: First = UNSET,
    after: After = UNSET,
    last: Last = UNSET,
    before: Before = UNSET,
) -> Connection[Execution]:
    return answered_by_sql()


# Objects ---------------------------------------------------------------------------------------


@strawberry.type(description="A room or topic that groups processes.")
class Espace(Node):
    database_id: int = strawberry.field(description=_DATABASE_ID)
    reference: str = strawberry.field(
        description="Short unique name, independent of the display language."
    )
    name: str = strawberry.field(description="Display name.")
    description: str = strawberry.field(description="Purpose of the espace. May be empty.")
    icon: str = strawberry.field(description="Name of the icon. May be empty.")
    processes: Connection[Process] = strawberry.field(
        resolver=read_processes, description="Processes in this espace."
    )


@strawberry.type(description="An ordered list of actions that are executed together.")
class Process(Node):
    database_id: int = strawberry.field(description=_DATABASE_ID)
    reference: str = strawberry.field(
        description="Short unique name. Other processes refer to the process by it."
    )
    name: str = strawberry.field(description="Display name.")
    name_enable: str = strawberry.field(
        description="Display name of a switch while it is enabled. May be empty."
    )
    name_disable: str = strawberry.field(
        description="Display name of a switch while it is disabled. May be empty."
    )
    display_name: str = strawberry.field(
        description="Name to display now: a switch's name for its current state if set, otherwise"
        " `name`."
    )
    description: str = strawberry.field(
        description="What the process does. May be empty. Called `comment` in the /processes"
        " dialect."
    )
    icon: str = strawberry.field(description="Name of the icon. May be empty.")
    mode: ProcessMode = strawberry.field(description="How the actions depend on the state.")
    state: ProcessState = strawberry.field(description="Current state.")
    concurrency: ProcessConcurrency = strawberry.field(
        description="What happens to an execution while another one runs. A switch never runs in"
        " parallel."
    )
    timeout: float | None = strawberry.field(
        description="Seconds that an execution may take, from 1 to 86,400. Null for the default of"
        " the gateway."
    )
    version: str = strawberry.field(
        description="Opaque text that changes with anything that the process shows: its own"
        " fields, its actions and the names of their sources, its inputs, its espace and its"
        " profiles. Mutations accept it as `ifVersion`. The same for every viewer. A process that"
        " is changed back has its earlier version again."
    )
    created_at: datetime = strawberry.field(description="Time of creation.")
    updated_at: datetime = strawberry.field(
        description="Time of the last write to the process, its actions, its inputs or its"
        " authorizations. A write to its espace, to a source or to a profile does not count."
    )
    espace: Espace | None = strawberry.field(description="Espace that the process belongs to.")
    actions: list[Action] = strawberry.field(description="Actions, in order of execution.")
    inputs: list[Input] = strawberry.field(
        description="Inputs that a caller supplies to execute the process, in order."
    )
    profiles: list[Profile] = strawberry.field(description="Profiles authorized on this process.")
    subprocesses: list[Process] = strawberry.field(
        description="Processes that the actions run, without duplicates, in order of the first"
        " call."
    )
    used_by: list[Process] = strawberry.field(
        description="Processes with an action that runs this process, ordered by ID."
    )
    executions: Connection[Execution] = strawberry.field(
        resolver=read_executions,
        description="Executions of this process, newest first by default.",
    )
    problems: list[ProcessProblem] = strawberry.field(
        description="What cannot work as it is written, in order of the actions, at most 100."
        " Nothing is refused because of it. It is not part of `version`."
    )


@strawberry.type(description="A step of a process: an operation on a source.")
class Action(Node):
    database_id: int = strawberry.field(description=_DATABASE_ID)
    position: int = strawberry.field(
        description="Position among the actions of the process, starting at 1."
    )
    source_name: str = strawberry.field(description="Name of the source that the action uses.")
    source: Source | None = strawberry.field(
        description="Source that the action uses. Null unless the viewer has the ADMIN permission."
    )
    action: str = strawberry.field(
        description="Operation to perform on the source. For the source `process`, the reference"
        " of the process to run."
    )
    runs_when: ProcessState = strawberry.field(
        description="State in which a switch runs the action. Simple processes always run it."
    )
    timeout: float | None = strawberry.field(
        description="Seconds that one attempt may take, from 0.1 to 3,600. Null for the default of"
        " the gateway."
    )
    retries: int = strawberry.field(
        description="How often the action is repeated at the most, from 0 to 5, if it fails in a"
        " way that repeating it may mend."
    )
    on_failure: OnFailure = strawberry.field(
        description="What happens to the execution if the action fails."
    )
    idempotent: bool | None = strawberry.field(
        description="Whether the action has the same effect if it is repeated. Null if its source"
        " decides."
    )
    arguments: list[Argument] = strawberry.field(description="Arguments, in order.")
    process: Process = strawberry.field(description="Process that the action belongs to.")
    subprocess: Process | None = strawberry.field(
        description="Process that the action runs. Null if it runs none or if the viewer cannot"
        " see it."
    )


@strawberry.type(description="A value that a caller supplies to execute a process.")
class Input(Node):
    database_id: int = strawberry.field(description=_DATABASE_ID)
    position: int = strawberry.field(
        description="Position among the inputs of the process, starting at 1."
    )
    reference: str = strawberry.field(description="Short name, unique within the process.")
    name: str = strawberry.field(description="Display name.")
    type: str = strawberry.field(description="Name of the type, as it was entered.")
    kind: InputKind = strawberry.field(
        description="Kind that the type resolves to. Determines how values are validated."
    )
    asked_when: ProcessState = strawberry.field(
        description="State in which a switch asks for the input. Simple processes always ask for"
        " it."
    )
    label: str = strawberry.field(description="Label in a form. Empty for the name of the input.")
    help: str = strawberry.field(description="Explanation in a form. May be empty.")
    required: bool = strawberry.field(
        description="Whether an execution needs a value: the caller's, or else `default`. Without"
        " either, an input that is not required is the empty text."
    )
    min: float | None = strawberry.field(
        description="Least value of a number or an integer; of a time, in seconds since midnight."
    )
    max: float | None = strawberry.field(
        description="Greatest value of a number or an integer; of a time, in seconds since"
        " midnight."
    )
    step: float | None = strawberry.field(
        description="A value is `min`, or else 0, and a multiple of this more or less. In seconds"
        " for a time."
    )
    unit: str = strawberry.field(description="Unit of the value to show, such as °C. May be empty.")
    pattern: str | None = strawberry.field(
        description="Regular expression (RE2) that the whole value has to match."
    )
    choices: list[str] = strawberry.field(
        description="The only values that are accepted, in order. Empty if there are others."
    )
    default: str | None = strawberry.field(description="Value if the caller supplies none.")
    process: Process = strawberry.field(description="Process that the input belongs to.")


@strawberry.type(description="A named set of permissions shared by a group of callers.")
class Profile(Node):
    database_id: int = strawberry.field(description=_DATABASE_ID)
    name: str = strawberry.field(description="Unique name.")
    permissions: list[Permission] = strawberry.field(description="Permissions granted to callers.")
    sees_all: bool = strawberry.field(
        description="Whether callers see every process, or only those the profile is authorized on."
    )
    processes: Connection[Process] = strawberry.field(
        resolver=read_processes,
        description="Processes that this profile is explicitly authorized on.",
    )


@strawberry.type(description="A device or service that actions use. Visible to admins only.")
class Source(Node):
    database_id: int = strawberry.field(description=_DATABASE_ID)
    name: str = strawberry.field(description="Unique name.")
    kind: str = strawberry.field(
        description="Kind of source: `process`, `echo`, or a kind that an installed package adds."
    )
    settings: JSON = strawberry.field(description="Connection settings, without secrets.")
    secret_settings: list[str] = strawberry.field(
        description="Names of the secret settings that are set. Their values are never returned."
    )
    built_in: bool = strawberry.field(
        description="Whether the source is part of the gateway and cannot be deleted."
    )
    processes: Connection[Process] = strawberry.field(
        resolver=read_processes, description="Processes with an action that uses this source."
    )


@strawberry.type(description="A record of one run of a process.")
class Execution(Node):
    database_id: int = strawberry.field(description=_DATABASE_ID)
    process: Process | None = strawberry.field(
        description="Process that was executed. Null if it was deleted or if the viewer cannot see"
        " it."
    )
    process_reference: str = strawberry.field(description="Reference of the process at the time.")
    process_name: str = strawberry.field(description="Name of the process at the time.")
    trigger: ExecutionTrigger = strawberry.field(description="What it was started by.")
    dry_run: bool = strawberry.field(
        description="Whether it only shows what would run: no action acts, and no state changes."
    )
    status: ExecutionStatus = strawberry.field(description="Current status.")
    state: ProcessState = strawberry.field(
        description="State of the process after the execution. While it is running, the initial"
        " state."
    )
    inputs: list[Argument] = strawberry.field(description="Input values supplied by the caller.")
    steps: list[ExecutionStep] = strawberry.field(description="Steps, in order of execution.")
    failed_steps: int = strawberry.field(
        description="Number of its steps that failed. They are more than none in an execution that"
        " succeeded if their actions let it continue."
    )
    in_doubt: bool = strawberry.field(
        description="Whether a step is in doubt, of the execution or of one nested in it, even if"
        " the viewer cannot see that one."
    )
    in_doubt_steps: list[ExecutionStep] = strawberry.field(
        description="Steps that are in doubt, of the execution and of all nested in it that the"
        " viewer can see, in order of start."
    )
    error: str | None = strawberry.field(description="Error message. Null if it did not fail.")
    error_code: ExecutionErrorCode | None = strawberry.field(
        description="Why it did not succeed. Null if it succeeded or has not ended."
    )
    sequence: int = strawberry.field(
        description="Number of changes of the outermost execution and of all nested in it. Grows"
        " with each."
    )
    takeovers: int = strawberry.field(
        description="How often another gateway continued the outermost execution because the one"
        " that ran it had ended."
    )
    asked_by: str = strawberry.field(description="Name of the profile that requested it.")
    nested: bool = strawberry.field(description="Whether it ran as a step of another execution.")
    parent_step: ExecutionStep | None = strawberry.field(
        description="Step that started this execution. Null if it is not nested."
    )
    root: Execution | None = strawberry.field(
        description="Outermost execution that this one is nested in. Null if it is not nested or if"
        " the viewer cannot see it."
    )
    replay_of: Execution | None = strawberry.field(
        description="Execution that this one repeats. Null if it repeats none, if that one is gone,"
        " or if the viewer cannot see it."
    )
    requested_at: datetime = strawberry.field(description="Time of the request.")
    started_at: datetime = strawberry.field(
        description="Start time. While it is queued, the time of the request."
    )
    cancel_requested_at: datetime | None = strawberry.field(
        description="When the outermost execution was told to end. Null if it was not."
    )
    deadline: datetime | None = strawberry.field(
        description="When the outermost execution ends at the latest. Null while it is queued."
    )
    finished_at: datetime | None = strawberry.field(
        description="End time. Null while it is queued or running."
    )


@strawberry.type(description="A record of one action of an execution.")
class ExecutionStep(Node):
    database_id: BigInt = strawberry.field(description="Numeric ID, unique within this type.")
    position: int = strawberry.field(description="Position among the steps, starting at 1.")
    execution: Execution = strawberry.field(description="Execution that the step belongs to.")
    source_name: str = strawberry.field(description="Name of the source that was used.")
    action: str = strawberry.field(description="Operation that was performed on the source.")
    arguments: list[Argument] = strawberry.field(
        description="Arguments, with input values substituted."
    )
    status: ExecutionStatus = strawberry.field(description="Current status.")
    result: JSON | None = strawberry.field(
        description="Value returned by the source. For the source `process`, the ID of the nested"
        " execution and the results of its steps."
    )
    error: str | None = strawberry.field(description="Error message. Null if it did not fail.")
    error_code: ExecutionErrorCode | None = strawberry.field(
        description="Why it did not succeed. Null if it succeeded or has not ended."
    )
    in_doubt: bool = strawberry.field(
        description="Whether its effect may or may not have happened."
    )
    attempt: int = strawberry.field(description="Number of the current attempt, starting at 1.")
    attempts: list[StepAttempt] = strawberry.field(
        description="All attempts in order, the current one included. Empty if the step was"
        " skipped."
    )
    retry_at: datetime | None = strawberry.field(
        description="When the next attempt starts. Null unless the step waits for it."
    )
    subprocess: Process | None = strawberry.field(
        description="Process that the step ran. Null if it ran none or if the viewer cannot see it."
    )
    subexecution: Execution | None = strawberry.field(description="Execution of that process.")
    started_at: datetime = strawberry.field(description="Start time.")
    finished_at: datetime | None = strawberry.field(
        description="End time. Null while it is running."
    )


@strawberry.type(description="The authenticated caller.")
class Viewer:
    profile: Profile = strawberry.field(description="Profile that the token was issued for.")
    permissions: list[Permission] = strawberry.field(description="Permissions of the caller.")
    sees_all: bool = strawberry.field(
        description="Whether the caller sees every process, or only those its profile is"
        " authorized on."
    )


NODE_TYPES: tuple[type[Any], ...] = (
    Espace,
    Process,
    Action,
    Input,
    Profile,
    Source,
    Execution,
    ExecutionStep,
)
"""The types that ``node`` and ``nodes`` can return."""
