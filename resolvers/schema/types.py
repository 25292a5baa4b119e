"""In charge of the object types of the GraphQL schema.

Every field of an object has the name of a column or relation of ``storage.model``, and is answered
by the statement of the root field above it; no field is resolved in Python. The functions below
declare the arguments of connections, at the root and below it alike.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Generic, TypeVar

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
from resolvers.values.enums import ExecutionStatus, InputKind, Permission, ProcessMode, ProcessState

_ID = "Opaque id, unique among all objects of this API."
_DATABASE_ID = "The id in the legacy dialects, unique among objects of this type."
_WHERE = "Which ones; all of them where it is left out."
_ORDER_BY = "In which order; by id where it is left out. Equal ones are ordered by id."
_LATEST_FIRST = "In which order; the latest first where it is left out."


@strawberry.interface(description="An object that can be looked up by its opaque id.")
class Node:
    id: strawberry.ID = strawberry.field(description=_ID)


def answered_by_sql() -> Any:
    """Stand in for a resolver: the statement of the root field answers the field."""
    raise AssertionError("no field of a query is resolved")


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


@strawberry.type(description="Where a page of a connection stands in its whole range.")
class PageInfo:
    has_next_page: bool = strawberry.field(description="Whether anything follows after this page.")
    has_previous_page: bool = strawberry.field(
        description="Whether anything comes before this page."
    )
    start_cursor: str | None = strawberry.field(
        description="Cursor of the first item; null on an empty page."
    )
    end_cursor: str | None = strawberry.field(
        description="Cursor of the last item; null on an empty page."
    )


NodeType = TypeVar("NodeType", bound=Node)


@strawberry.type(description="An item of a page, and its place.")
class Edge(Generic[NodeType]):
    cursor: str = strawberry.field(description="The item's place, for after and before.")
    node: NodeType = strawberry.field(description="The item.")


@strawberry.type(description="A page of items: one range of them, in one order.")
class Connection(Generic[NodeType]):
    edges: list[Edge[NodeType]] = strawberry.field(
        description="The items of this page, each with its cursor."
    )
    nodes: list[NodeType] = strawberry.field(description="The items of this page.")
    page_info: PageInfo = strawberry.field(description="Where this page stands in the whole range.")
    total_count: int = strawberry.field(
        description="How many items there are on all pages; counted only when it is selected."
    )


# Objects ---------------------------------------------------------------------------------------


@strawberry.type(description="A room or a topic that groups processes.")
class Espace(Node):
    database_id: int = strawberry.field(description=_DATABASE_ID)
    reference: str = strawberry.field(
        description="Short unique name that never depends on a language."
    )
    name: str = strawberry.field(description="The name that people see.")
    description: str = strawberry.field(description="What it is for; may be empty.")
    icon: str = strawberry.field(description="Name of its icon; may be empty.")
    processes: Connection[Process] = strawberry.field(
        resolver=read_processes, description="The processes in this espace."
    )


@strawberry.type(
    description="Something that the home can do: an ordered list of actions, run together."
)
class Process(Node):
    database_id: int = strawberry.field(description=_DATABASE_ID)
    reference: str = strawberry.field(
        description="Short unique name; other processes call it by this."
    )
    name: str = strawberry.field(description="The name that people see.")
    name_enable: str = strawberry.field(
        description="The name to show while a switch is enabled; may be empty."
    )
    name_disable: str = strawberry.field(
        description="The name to show while a switch is disabled; may be empty."
    )
    display_name: str = strawberry.field(
        description="The name to show now: a switch's name for its state if it has one, else name."
    )
    description: str = strawberry.field(
        description="What it does; may be empty. The /processes dialect calls it comment."
    )
    icon: str = strawberry.field(description="Name of its icon; may be empty.")
    mode: ProcessMode = strawberry.field(description="How its actions depend on its state.")
    state: ProcessState = strawberry.field(description="The state that it is in.")
    espace: Espace | None = strawberry.field(description="The espace that it is in.")
    actions: list[Action] = strawberry.field(description="What it does, in order.")
    inputs: list[Input] = strawberry.field(
        description="What a caller has to supply to execute it, in order."
    )
    profiles: list[Profile] = strawberry.field(
        description="The profiles that are authorised on it."
    )
    subprocesses: list[Process] = strawberry.field(
        description="The processes that its actions run, each once, in order of the first call."
    )
    used_by: list[Process] = strawberry.field(
        description="The processes with an action that runs this one, by id."
    )
    executions: Connection[Execution] = strawberry.field(
        resolver=read_executions,
        description="What happened when it was executed, the latest first.",
    )


@strawberry.type(description="One step of a process: something to do with a source.")
class Action(Node):
    database_id: int = strawberry.field(description=_DATABASE_ID)
    position: int = strawberry.field(
        description="Its place among the actions of its process, from 1."
    )
    source_name: str = strawberry.field(description="The name of the source that it acts on.")
    source: Source | None = strawberry.field(
        description="The source that it acts on; null to all but admins."
    )
    action: str = strawberry.field(
        description="What to do there; with the source process, the process's reference."
    )
    runs_when: ProcessState = strawberry.field(
        description="The state in which a switch runs it; a simple process always does."
    )
    arguments: list[Argument] = strawberry.field(description="What it is done with, in order.")
    process: Process = strawberry.field(description="The process that it is a step of.")
    subprocess: Process | None = strawberry.field(
        description="The process that it runs, where it runs one that the viewer may see."
    )


@strawberry.type(description="A value that an action, an execution or a step was given.")
class Argument:
    reference: str = strawberry.field(description="What the value is for.")
    value: str = strawberry.field(
        description="The value; in an action's, {input} stands for the value of that input."
    )


@strawberry.type(description="A value that a caller has to supply to execute a process.")
class Input(Node):
    database_id: int = strawberry.field(description=_DATABASE_ID)
    position: int = strawberry.field(
        description="Its place among the inputs of its process, from 1."
    )
    reference: str = strawberry.field(description="Short name, unique in its process.")
    name: str = strawberry.field(description="The name that people see.")
    type: str = strawberry.field(description="The word for its type, as it was given.")
    kind: InputKind = strawberry.field(description="What the type means.")
    asked_when: ProcessState = strawberry.field(
        description="The state in which a switch asks for it; a simple process always does."
    )
    process: Process = strawberry.field(description="The process that asks for it.")


@strawberry.type(description="A group of callers who may do the same.")
class Profile(Node):
    database_id: int = strawberry.field(description=_DATABASE_ID)
    name: str = strawberry.field(description="Unique name.")
    permissions: list[Permission] = strawberry.field(description="What it allows.")
    sees_all: bool = strawberry.field(
        description="Whether it sees every process, or only those that it is authorised on."
    )
    processes: Connection[Process] = strawberry.field(
        resolver=read_processes, description="The processes that it is authorised on by name."
    )


@strawberry.type(description="Something that actions act on. Only admins see sources.")
class Source(Node):
    database_id: int = strawberry.field(description=_DATABASE_ID)
    name: str = strawberry.field(description="Unique name.")
    kind: str = strawberry.field(
        description="What it is: process, echo, or a kind that an installed package adds."
    )
    settings: JSON = strawberry.field(description="How to reach it, without what is secret.")
    secret_settings: list[str] = strawberry.field(
        description="Names of the settings that are set but never shown."
    )
    built_in: bool = strawberry.field(
        description="Whether it is part of the gateway and cannot go."
    )
    processes: Connection[Process] = strawberry.field(
        resolver=read_processes, description="The processes with an action on this source."
    )


@strawberry.type(description="The record of one run of a process.")
class Execution(Node):
    database_id: int = strawberry.field(description=_DATABASE_ID)
    process: Process | None = strawberry.field(
        description="The process; null once it was deleted, or where the viewer may not see it."
    )
    process_reference: str = strawberry.field(description="The reference that the process had.")
    process_name: str = strawberry.field(description="The name that the process had.")
    status: ExecutionStatus = strawberry.field(description="How far it has come.")
    state: ProcessState = strawberry.field(
        description="The state of the process after it; while it runs, the one it started in."
    )
    inputs: list[Argument] = strawberry.field(description="The values that were supplied.")
    steps: list[ExecutionStep] = strawberry.field(description="What was done, in order.")
    error: str | None = strawberry.field(description="What went wrong.")
    asked_by: str = strawberry.field(description="Name of the profile that asked for it.")
    nested: bool = strawberry.field(description="Whether it ran as a step of another execution.")
    parent_step: ExecutionStep | None = strawberry.field(
        description="The step that it ran as, where it was nested."
    )
    started_at: datetime = strawberry.field(description="When it started.")
    finished_at: datetime | None = strawberry.field(description="When it ended.")


@strawberry.type(description="The record of one action of a run.")
class ExecutionStep(Node):
    database_id: int = strawberry.field(description=_DATABASE_ID)
    position: int = strawberry.field(description="Its place among the steps, from 1.")
    execution: Execution = strawberry.field(description="The run that it is a step of.")
    source_name: str = strawberry.field(description="The name of the source that was acted on.")
    action: str = strawberry.field(description="What was done there.")
    arguments: list[Argument] = strawberry.field(
        description="What it was done with, inputs filled in."
    )
    status: ExecutionStatus = strawberry.field(description="How far it has come.")
    result: JSON | None = strawberry.field(description="What the source answered.")
    error: str | None = strawberry.field(description="What went wrong.")
    subprocess: Process | None = strawberry.field(
        description="The process that it ran, where it ran one that the viewer may see."
    )
    subexecution: Execution | None = strawberry.field(description="The run of that process.")
    started_at: datetime = strawberry.field(description="When it started.")
    finished_at: datetime | None = strawberry.field(description="When it ended.")


@strawberry.type(description="Whoever asks.")
class Viewer:
    profile: Profile = strawberry.field(description="The profile that the token was made for.")
    permissions: list[Permission] = strawberry.field(description="What the viewer may do.")
    sees_all: bool = strawberry.field(
        description="Whether the viewer sees every process, or only those it is authorised on."
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
"""Everything that ``node`` and ``nodes`` can find."""
