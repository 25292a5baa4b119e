"""In charge of the root fields of queries."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Annotated, Any

import strawberry
from strawberry import UNSET

from resolvers.operations.context import Info
from resolvers.schema.types import (
    Connection,
    Espace,
    Execution,
    Node,
    Process,
    Profile,
    Source,
    Viewer,
    answered_by_sql,
    read_espaces,
    read_executions,
    read_processes,
    read_profiles,
    read_sources,
)
from resolvers.values.enums import Permission

_READ = {"permission": Permission.PROCESS_READ}
_ADMIN = {"permission": Permission.ADMIN}

ById = Annotated[strawberry.ID | None, strawberry.argument(description="Its opaque id.")]
ByDatabaseId = Annotated[
    int | None, strawberry.argument(description="Its id in the legacy dialects.")
]
ByReference = Annotated[str | None, strawberry.argument(description="Its reference.")]
ByName = Annotated[str | None, strawberry.argument(description="Its name.")]


def _field(
    description: str, permission: Permission | None = None
) -> Callable[[Callable[..., Awaitable[Any]]], Any]:
    """A root field that is open to this permission; to every valid token where it is None."""
    metadata = {"permission": permission}
    decorate: Callable[..., Any] = strawberry.field(description=description, metadata=metadata)
    return decorate


@strawberry.type(description="What can be read.")
class Query:
    @_field(description="Whoever asks.")
    async def viewer(self, info: Info) -> Viewer:
        return answered_by_sql()

    @_field(
        description="The object with this id; null where there is none that the viewer may see."
    )
    async def node(
        self,
        info: Info,
        id: Annotated[strawberry.ID, strawberry.argument(description="Its opaque id.")],
    ) -> Node | None:
        return answered_by_sql()

    @_field(
        description="The objects with these ids, in this order; null in the place of each that does"
        " not exist or that the viewer may not see."
    )
    async def nodes(
        self,
        info: Info,
        ids: Annotated[
            list[strawberry.ID],
            strawberry.argument(description="Opaque ids, no more than a page may have items."),
        ],
    ) -> list[Node | None]:
        return answered_by_sql()

    espaces: Connection[Espace] = strawberry.field(
        resolver=read_espaces, description="The espaces of the home."
    )
    processes: Connection[Process] | None = strawberry.field(
        resolver=read_processes,
        description="The processes that the viewer may see. Needs PROCESS_READ.",
        metadata=_READ,
    )
    profiles: Connection[Profile] = strawberry.field(
        resolver=read_profiles, description="The profiles."
    )
    sources: Connection[Source] | None = strawberry.field(
        resolver=read_sources, description="The sources. Needs ADMIN.", metadata=_ADMIN
    )
    executions: Connection[Execution] | None = strawberry.field(
        resolver=read_executions,
        description="What happened when processes were executed, the latest first."
        " Needs PROCESS_READ.",
        metadata=_READ,
    )

    @_field(description="One espace, by exactly one of the arguments; null if unknown.")
    async def espace(
        self,
        info: Info,
        id: ById = UNSET,
        database_id: ByDatabaseId = UNSET,
        reference: ByReference = UNSET,
    ) -> Espace | None:
        return answered_by_sql()

    @_field(
        description="One process, by exactly one of the arguments; null if unknown."
        " Needs PROCESS_READ.",
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

    @_field(description="One profile, by exactly one of the arguments; null if unknown.")
    async def profile(
        self,
        info: Info,
        id: ById = UNSET,
        database_id: ByDatabaseId = UNSET,
        name: ByName = UNSET,
    ) -> Profile | None:
        return answered_by_sql()

    @_field(
        description="One source, by exactly one of the arguments; null if unknown. Needs ADMIN.",
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
        description="One execution, by exactly one of the arguments; null if unknown."
        " Needs PROCESS_READ.",
        permission=Permission.PROCESS_READ,
    )
    async def execution(
        self, info: Info, id: ById = UNSET, database_id: ByDatabaseId = UNSET
    ) -> Execution | None:
        return answered_by_sql()
