"""Serve the data with Strawberry and DataLoaders, written as its documentation recommends.

Each relation has a resolver and a DataLoader. ``get_context`` creates the loaders for each request.
The view is Strawberry's own for aiohttp, and asyncpg's pool has its defaults.

Usage: ``python dataloaders.py PORT DATABASE_URL``
"""

from __future__ import annotations

import base64
import json
import sys
from collections import defaultdict
from collections.abc import Callable, Sequence
from enum import Enum
from typing import Any

import asyncpg
import strawberry
import uvloop
from aiohttp import web
from strawberry.aiohttp.views import GraphQLView
from strawberry.dataloader import DataLoader

_PROCESSES = "SELECT * FROM process WHERE id > $1 ORDER BY id LIMIT $2"
_PROCESS = "SELECT * FROM process WHERE reference = $1"
_ESPACES = "SELECT * FROM espace WHERE id = ANY ($1::integer[])"
_ACTIONS = """SELECT action.*, source.name AS source_name
    FROM action JOIN source ON source.id = action.source_id
    WHERE process_id = ANY ($1::integer[]) ORDER BY process_id, position"""
_INPUTS = "SELECT * FROM input WHERE process_id = ANY ($1::integer[]) ORDER BY process_id, position"
_PROFILES = """SELECT process_id, profile.id, profile.name
    FROM authorisation JOIN profile ON profile.id = authorisation.profile_id
    WHERE process_id = ANY ($1::integer[]) ORDER BY process_id, profile.id"""

Info = strawberry.Info[dict[str, Any], None]


@strawberry.enum
class Mode(Enum):
    """The type of the gateway's schema."""

    SIMPLE = "simple"
    SWITCH = "switch"


@strawberry.enum
class State(Enum):
    """The type of the gateway's schema."""

    ENABLED = True
    DISABLED = False


@strawberry.type
class Espace:
    """The type of the gateway's schema."""

    database_id: int
    reference: str
    name: str
    description: str
    icon: str


@strawberry.type
class Argument:
    """The type of the gateway's schema."""

    reference: str
    value: str


@strawberry.type
class Action:
    """The type of the gateway's schema."""

    database_id: int
    source_name: str
    action: str
    runs_when: State
    arguments: list[Argument]


@strawberry.type
class Input:
    """The type of the gateway's schema."""

    database_id: int
    reference: str
    name: str
    type: str
    asked_when: State


@strawberry.type
class Profile:
    """The type of the gateway's schema."""

    database_id: int
    name: str


@strawberry.type
class Process:
    """The type of the gateway's schema."""

    database_id: int
    espace_id: strawberry.Private[int | None]
    reference: str
    name: str
    name_enable: str
    name_disable: str
    description: str
    icon: str
    mode: Mode
    state: State

    @strawberry.field
    async def espace(self, info: Info) -> Espace | None:
        """Load the espaces of all processes of the request in one batch."""
        if self.espace_id is None:
            return None
        return await info.context["espaces"].load(self.espace_id)  # type: ignore[no-any-return]

    @strawberry.field
    async def actions(self, info: Info) -> list[Action]:
        """Load the actions in order."""
        return await info.context["actions"].load(self.database_id)  # type: ignore[no-any-return]

    @strawberry.field
    async def inputs(self, info: Info) -> list[Input]:
        """Load the inputs in order."""
        return await info.context["inputs"].load(self.database_id)  # type: ignore[no-any-return]

    @strawberry.field
    async def profiles(self, info: Info) -> list[Profile]:
        """Load the profiles, ordered by id."""
        return await info.context["profiles"].load(self.database_id)  # type: ignore[no-any-return]


@strawberry.type
class PageInfo:
    """The type of the gateway's schema."""

    has_next_page: bool
    end_cursor: str | None


@strawberry.type
class ProcessConnection:
    """The type of the gateway's schema."""

    nodes: list[Process]
    page_info: PageInfo


@strawberry.type
class Query:
    """The part of the gateway's schema that the benchmark uses."""

    @strawberry.field
    async def processes(
        self, info: Info, first: int, after: str | None = None
    ) -> ProcessConnection:
        """Return a page by keyset."""
        start = json.loads(base64.b64decode(after))[1] if after else 0
        rows = await info.context["pool"].fetch(_PROCESSES, start, first + 1)
        nodes = [_process(row) for row in rows[:first]]
        end = None
        if nodes:
            position = json.dumps(["database_id", nodes[-1].database_id])
            end = base64.b64encode(position.encode()).decode()
        return ProcessConnection(
            nodes=nodes, page_info=PageInfo(has_next_page=len(rows) > first, end_cursor=end)
        )

    @strawberry.field
    async def process(self, info: Info, reference: str) -> Process | None:
        """Return the process with a reference."""
        row = await info.context["pool"].fetchrow(_PROCESS, reference)
        return None if row is None else _process(row)


def _process(row: asyncpg.Record) -> Process:
    return Process(
        database_id=row["id"],
        espace_id=row["espace_id"],
        reference=row["reference"],
        name=row["name"],
        name_enable=row["name_enable"],
        name_disable=row["name_disable"],
        description=row["description"],
        icon=row["icon"],
        mode=Mode(row["mode"]),
        state=State(row["enabled"]),
    )


def _espace(row: asyncpg.Record) -> Espace:
    return Espace(
        database_id=row["id"],
        reference=row["reference"],
        name=row["name"],
        description=row["description"],
        icon=row["icon"],
    )


def _action(row: asyncpg.Record) -> Action:
    return Action(
        database_id=row["id"],
        source_name=row["source_name"],
        action=row["action"],
        runs_when=State(row["enabled"]),
        arguments=[Argument(**argument) for argument in json.loads(row["arguments"])],
    )


def _input(row: asyncpg.Record) -> Input:
    return Input(
        database_id=row["id"],
        reference=row["reference"],
        name=row["name"],
        type=row["type"],
        asked_when=State(row["enabled"]),
    )


def _profile(row: asyncpg.Record) -> Profile:
    return Profile(database_id=row["id"], name=row["name"])


class View(GraphQLView[dict[str, Any], None]):
    """The view. Its loaders live as long as a request."""

    async def get_context(
        self, request: web.Request, response: web.StreamResponse
    ) -> dict[str, Any]:
        """Return the pool and new loaders."""
        pool = request.app[_POOL]

        async def load_espaces(ids: list[int]) -> Sequence[Espace | None]:
            by_id = {row["id"]: _espace(row) for row in await pool.fetch(_ESPACES, ids)}
            return [by_id.get(id_) for id_ in ids]

        return {
            "pool": pool,
            "espaces": DataLoader(load_fn=load_espaces),
            "actions": _parts_loader(pool, _ACTIONS, _action),
            "inputs": _parts_loader(pool, _INPUTS, _input),
            "profiles": _parts_loader(pool, _PROFILES, _profile),
        }


def _parts_loader(
    pool: asyncpg.Pool[asyncpg.Record], sql: str, read: Callable[[asyncpg.Record], Any]
) -> DataLoader[int, Any]:
    """Return a loader of the rows that belong to processes."""

    async def load(ids: list[int]) -> list[list[Any]]:
        by_process = defaultdict(list)
        for row in await pool.fetch(sql, ids):
            by_process[row["process_id"]].append(read(row))
        return [by_process[id_] for id_ in ids]

    return DataLoader(load_fn=load)


_POOL = web.AppKey("pool", asyncpg.Pool)


async def application(url: str) -> web.Application:
    """Return the application, connected to the database."""
    app = web.Application()
    app[_POOL] = await asyncpg.create_pool(url, min_size=1, max_size=16)
    app.router.add_route("*", "/", View(schema=strawberry.Schema(query=Query)))
    return app


if __name__ == "__main__":
    web.run_app(
        application(sys.argv[2]),
        host="127.0.0.1",
        port=int(sys.argv[1]),
        access_log=None,
        print=None,
        loop=uvloop.new_event_loop(),
    )
