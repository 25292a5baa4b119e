"""Define the root query fields."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Annotated, Any

import strawberry
from strawberry import UNSET

from resolvers.operations.context import Info
from resolvers.schema.pages import Connection, Node, answered_by_sql
from resolvers.schema.sources import AvailableSource, SourceKind
from resolvers.schema.types import (
    Espace,
    Execution,
    Process,
    Profile,
    Source,
    Viewer,
    read_espaces,
    read_executions,
    read_processes,
    read_profiles,
    read_sources,
)
from resolvers.values.enums import Permission

_READ = {"permission": Permission.PROCESS_READ}
_ADMIN = {"permission": Permission.ADMIN}

ById = Annotated[strawberry.ID | None, strawberry.argument(description="Opaque ID.")]
ByDatabaseId = Annotated[
    int | None, strawberry.argument(description="Numeric ID in the legacy dialects.")
]
ByReference = Annotated[str | None, strawberry.argument(description="Reference.")]
ByName = Annotated[str | None, strawberry.argument(description="Name.")]


def _field(
    description: str, permission: Permission | None = None
) -> Callable[[Callable[..., Awaitable[Any]]], Any]:
    """Define a root field that requires a permission; with None, any valid token may read it."""
    metadata = {"permission": permission}
    decorate: Callable[..., Any] = strawberry.field(description=description, metadata=metadata)
    return decorate


@strawberry.type(description="Root query type.")
class Query:
    @_field(description="The authenticated caller.")
    async def viewer(self, info: Info) -> Viewer:
        return answered_by_sql()

    @_field(
        description="Look up an object by its opaque ID. Null if it does not exist or if the viewer"
        " cannot see it."
    )
    async def node(
        self,
        info: Info,
        id: Annotated[strawberry.ID, strawberry.argument(description="Opaque ID.")],
    ) -> Node | None:
        return answered_by_sql()

    @_field(
        description="Look up objects by their opaque IDs, in the order of `ids`. An item is null if"
        " the object does not exist or if the viewer cannot see it."
    )
    async def nodes(
        self,
        info: Info,
        ids: Annotated[
            list[strawberry.ID],
            strawberry.argument(
                description="Opaque IDs, at most as many as the maximum page size."
            ),
        ],
    ) -> list[Node | None]:
        return answered_by_sql()

    espaces: Connection[Espace] = strawberry.field(
        resolver=read_espaces, description="List espaces."
    )
    processes: Connection[Process] | None = strawberry.field(
        resolver=read_processes,
        description="List the processes that the viewer can see. Requires PROCESS_READ.",
        metadata=_READ,
    )
    profiles: Connection[Profile] = strawberry.field(
        resolver=read_profiles, description="List profiles."
    )
    sources: Connection[Source] | None = strawberry.field(
        resolver=read_sources,
        description="List sources. Requires ADMIN.",
        metadata=_ADMIN,
    )
    executions: Connection[Execution] | None = strawberry.field(
        resolver=read_executions,
        description="List executions, newest first by default. Requires PROCESS_READ.",
        metadata=_READ,
    )

    @_field(description="Look up an espace by exactly one argument. Null if it does not exist.")
    async def espace(
        self,
        info: Info,
        id: ById = UNSET,
        database_id: ByDatabaseId = UNSET,
        reference: ByReference = UNSET,
    ) -> Espace | None:
        return answered_by_sql()

    @_field(
        description="Look up a process by exactly one argument. Null if it does not exist or if the"
        " viewer cannot see it. Requires PROCESS_READ.",
        permission=Permission.PROCESS_READ,
    )
    async def process(
        self,
        info: Info,
        id: ById = UNSET,
        database_id: ByDatabaseId = UNSET,
        reference: ByReference = UNSET,
    ) -> Process | None:
        return answered_by_sql()

    @_field(description="Look up a profile by exactly one argument. Null if it does not exist.")
    async def profile(
        self,
        info: Info,
        id: ById = UNSET,
        database_id: ByDatabaseId = UNSET,
        name: ByName = UNSET,
    ) -> Profile | None:
        return answered_by_sql()

    @_field(
        description="Look up a source by exactly one argument. Null if it does not exist."
        " Requires ADMIN.",
        permission=Permission.ADMIN,
    )
    async def source(
        self,
        info: Info,
        id: ById = UNSET,
        database_id: ByDatabaseId = UNSET,
        name: ByName = UNSET,
    ) -> Source | None:
        return answered_by_sql()

    @_field(
        description="The source kinds of this gateway, except `process`, by name. Requires"
        " PROCESS_WRITE.",
        permission=Permission.PROCESS_WRITE,
    )
    async def source_kinds(self, info: Info) -> list[SourceKind] | None:
        return answered_by_sql()

    @_field(
        description="What the sources offer to actions, by name. Requires PROCESS_WRITE.",
        permission=Permission.PROCESS_WRITE,
    )
    async def available_sources(self, info: Info) -> list[AvailableSource] | None:
        return answered_by_sql()

    @_field(
        description="Look up an execution by exactly one argument. Null if it does not exist or if"
        " the viewer cannot see it. Requires PROCESS_READ.",
        permission=Permission.PROCESS_READ,
    )
    async def execution(
        self, info: Info, id: ById = UNSET, database_id: ByDatabaseId = UNSET
    ) -> Execution | None:
        return answered_by_sql()


@strawberry.type(
    description="Root subscription type: the fields of `Query`. A subscription selects one of them,"
    " and is answered at once and again whenever the answer has changed."
)
class Subscription(Query):
    pass
