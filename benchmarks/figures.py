"""In charge of what no crowd is needed for: whole tables, bulk writes, growth, memory, workers."""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, ParamSpec, cast

import orjson

from contestants import gateway
from gateway.services import dialects_of
from gateway.settings.model import Settings
from load import LoadTool, Target
from resolvers.operations.compile import OperationCompiler
from resolvers.operations.parameters import RunValues
from servers import Server
from storage.database.database import Transaction
from storage.database.pool import Connection, open_pool
from storage.writes import processes as stored
from work import ADMIN, FRAGMENT, compiled, reference

_Parameters = ParamSpec("_Parameters")


@dataclass(frozen=True, slots=True)
class Compared:
    """Two measurements of the same, and how they compare (by the medians of the rounds)."""

    ours: float
    theirs: float
    ratio: float


def compared(pairs: Sequence[tuple[float, float]]) -> Compared:
    """The medians of rounds of (ours, theirs), and of their ratios."""
    ours, theirs = zip(*pairs, strict=True)
    ratio = statistics.median(own / other for own, other in pairs)
    return Compared(statistics.median(ours), statistics.median(theirs), ratio)


async def timed(
    run: Callable[_Parameters, Awaitable[object]],
    *args: _Parameters.args,
    **kwargs: _Parameters.kwargs,
) -> float:
    """How many seconds it takes."""
    start = time.perf_counter()
    await run(*args, **kwargs)
    return time.perf_counter() - start


@asynccontextmanager
async def connected(url: str) -> AsyncIterator[Connection]:
    """A connection as the gateway opens them."""
    async with await open_pool(url, statement_timeout=0) as pool, pool.acquire() as connection:
        yield connection


# Whole tables ----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Whole:
    """A legacy route that answers with all processes, against its SQL through asyncpg alone."""

    route: str
    size: int
    """Bytes of the answer."""
    seconds: Compared


async def whole(server: Server, url: str, compiler: OperationCompiler, rounds: int) -> list[Whole]:
    """GET /process and GET /processes of everything."""
    found = []
    operations = {
        str(route.route): route.operation
        for dialect in dialects_of(Settings(), compiler)
        for route in dialect.routes
    }
    async with connected(url) as connection:
        for path in ("/process", "/processes"):
            read = operations[f"GET {path}"].reads[ADMIN]
            parameters = read.arguments(RunValues({}, profile_id=1))
            answer = await asyncio.to_thread(server.send, "GET", path)
            sql = read.statement.sql
            rows = [row[0] for row in await connection.fetch(sql, *parameters)]
            assert b",".join(rows) in answer, f"GET {path} answers something else than its SQL"
            pairs = [
                (
                    await timed(asyncio.to_thread, server.send, "GET", path),
                    await timed(connection.fetch, sql, *parameters),
                )
                for _ in range(rounds)
            ]
            found.append(Whole(f"GET {path}", len(answer), compared(pairs)))
    return found


# Bulk writes -----------------------------------------------------------------------------------


async def bulk(server: Server, url: str, count: int, rounds: int) -> Compared:
    """PUT /processes of all, in seconds, against the same UPDATE alone."""
    async with connected(url) as connection:

        async def update(sql: str, parameters: Sequence[object]) -> None:
            async with connection.transaction():
                await connection.fetch(sql, *parameters)

        pairs = []
        for number in range(rounds + 1):
            # Both find the table as tidy as the other did, and have as many index entries to write.
            await connection.execute("VACUUM process")
            body = _put_body(_names(count, f"gateway {number}"))
            ours = await timed(asyncio.to_thread, server.send, "PUT", "/processes", body)
            await connection.execute("VACUUM process")
            statement = await _update(_names(count, f"alone {number}"))
            pairs.append((ours, await timed(update, *statement)))
    return compared(pairs[1:])  # the first one warms up


def _names(count: int, suffix: str) -> list[str]:
    return [f"Process {place} {suffix}" for place in range(1, count + 1)]


def _put_body(names: Sequence[str]) -> bytes:
    return orjson.dumps(
        {
            "processes": [
                {"id": place, "name": name, "comment": f"Comment on {name}"}
                for place, name in enumerate(names, 1)
            ]
        }
    )


async def _update(names: Sequence[str]) -> tuple[str, tuple[object, ...]]:
    """The statement that the gateway runs for such a body, with its parameters."""
    changes = [
        {"database_id": place, "name": name, "description": f"Comment on {name}"}
        for place, name in enumerate(names, 1)
    ]
    recorder = _Recorder()
    await stored.update_texts(cast(Transaction, recorder), orjson.dumps(changes), None)
    return recorder.statement


class _Recorder:
    """Takes a transaction's place to see what would be run in it."""

    statement: tuple[str, tuple[object, ...]]

    async def fetch_value(self, sql: str, *parameters: object) -> int:
        self.statement = (sql, parameters)
        return 0


# Growth ----------------------------------------------------------------------------------------

_PLACES = 12
"""Pages of each kind that are asked for, spread over the table, so that all of them stay in
PostgreSQL's memory in the large table as well: growth is about work, not about the disk."""
_TURNS = 21
"""How often each is asked for, in turns with the same page of the other table."""
_PATIENCE = 15.0
"""Seconds after which a kind of page is asked for no more: what grows with the table takes long."""


@dataclass(frozen=True, slots=True)
class Growth:
    """What a page of 50 costs in a small and in a large table, in milliseconds."""

    kind: str
    small: float
    large: float

    @property
    def ratio(self) -> float:
        """Large to small."""
        return self.large / self.small


_ORDERS = {
    f"order by {field.lower()} {direction.lower()}": f"{{field: {field}, direction: {direction}}}"
    for field in ("DATABASE_ID", "REFERENCE", "NAME")
    for direction in ("ASC", "DESC")
}

_BEGINNINGS = ("Dim the", "Switch the", "Adjust the", "Check the", "Schedule the", "Reset the")
"""Of generated names (``storage.demo``)."""

# By what, its condition, the type of its value, and the value for the process with a number.
_FILTERS: Sequence[tuple[str, str, str, Callable[[int], object]]] = (
    ("databaseId gte", "{databaseId: {gte: $x}}", "Int!", lambda k: k),
    ("databaseId in", "{databaseId: {in: $x}}", "[Int!]!", lambda k: list(range(k, k + 50))),
    ("reference eq", "{reference: {eq: $x}}", "String!", reference),
    (
        "reference in",
        "{reference: {in: $x}}",
        "[String!]!",
        lambda k: [reference(k + step) for step in range(50)],
    ),
    (
        "reference startsWith",
        "{reference: {startsWith: $x}}",
        "String!",
        lambda k: reference(k)[:-2],
    ),
    (
        "name startsWith",
        "{name: {startsWith: $x}}",
        "String!",
        lambda k: _BEGINNINGS[k % len(_BEGINNINGS)],
    ),
    (
        "espace",
        "{espace: {reference: {eq: $x}}}",
        "String!",
        lambda k: f"load-room-{1 + k % 20:02}",
    ),
    (
        "actions' source",
        "{actions: {sourceName: {eq: $x}}}",
        "String!",
        lambda k: f"load-device-{1 + k % 10:02}",
    ),
    (
        "profiles",
        "{profiles: {name: {eq: $x}}}",
        "String!",
        lambda k: f"load-profile-{1 + k % 10:02}",
    ),
    (
        "subprocesses",
        "{subprocesses: {reference: {eq: $x}}}",
        "String!",
        lambda k: reference(1 + k // 10),
    ),
    ("usedBy", "{usedBy: {reference: {eq: $x}}}", "String!", lambda k: reference(k - k % 10 + 10)),
)


_Values = Callable[[Connection, int], Awaitable[dict[str, Any]]]
"""The variables of an operation, for the process with a number."""


async def growth(
    small_url: str, large_url: str, compiler: OperationCompiler
) -> AsyncIterator[Growth]:
    """A page of 50 trees from two tables, for each order and filter that has an index."""
    async with connected(small_url) as few, connected(large_url) as many:
        for kind, document, values in _kinds(compiler):
            yield await _grown(kind, document, values, few, many, compiler)


def _kinds(compiler: OperationCompiler) -> Iterator[tuple[str, str, _Values]]:
    """Each kind of page: its name, its operation, and where the operation's variables come from."""
    tree = "{ nodes { ...WholeTree } } } " + FRAGMENT
    for kind, order in _ORDERS.items():
        document = (
            "query ($after: String!) {"
            f" processes(first: 50, after: $after, orderBy: [{order}]) {tree}"
        )
        yield kind, document, partial(_after, compiler, order)
    for kind, condition, type_, value in _FILTERS:
        where = f"query ($x: {type_}) {{ processes(first: 50, where: {condition}"
        values = partial(_filtered, value)
        yield f"where {kind}", f"{where}) {tree}", values
        if kind.startswith("name"):
            by_name = f"{where}, orderBy: [{{field: NAME}}]) {tree}"
            yield f"where {kind}, order by name", by_name, values


async def _after(
    compiler: OperationCompiler, order: str, connection: Connection, number: int
) -> dict[str, Any]:
    document = (
        "query ($id: Int!) { processes(first: 1, where: {databaseId: {eq: $id}},"
        f" orderBy: [{order}]) {{ pageInfo {{ endCursor }} }} }}"
    )
    answer = await connection.fetchval(*_prepared(compiler, document, {"id": number}))
    return {"after": orjson.loads(answer)["pageInfo"]["endCursor"]}


async def _filtered(
    value: Callable[[int], object], connection: Connection, number: int
) -> dict[str, Any]:
    return {"x": value(number)}


def _prepared(
    compiler: OperationCompiler, document: str, variables: dict[str, Any]
) -> tuple[str, *tuple[object, ...]]:
    """The SQL that the gateway runs for an operation, and its parameters."""
    read = compiled(compiler, document, variables)
    return read.statement.sql, *read.arguments(RunValues(variables, profile_id=1))


async def _grown(
    kind: str,
    document: str,
    values: _Values,
    few: Connection,
    many: Connection,
    compiler: OperationCompiler,
) -> Growth:
    costs: dict[bool, list[float]] = {False: [], True: []}
    deadline = time.monotonic() + _PATIENCE
    for place in range(_PLACES):
        if place and time.monotonic() > deadline:
            break
        runs = {}
        for large, connection in ((False, few), (True, many)):
            last = await connection.fetchval("SELECT max(id) - 100 FROM process")
            given = await values(connection, 1 + place * last // _PLACES)
            runs[large] = partial(connection.fetchval, *_prepared(compiler, document, given))
        taken: dict[bool, list[float]] = {False: [], True: []}
        for turn in range(_TURNS + 1):
            if turn > 1 and time.monotonic() > deadline:
                break
            for large, run in runs.items():
                seconds = await timed(run)
                if turn:  # the first one warms up
                    taken[large].append(seconds)
        for large, times in taken.items():
            costs[large].append(statistics.median(times))
    return Growth(kind, *(statistics.fmean(costs[large]) * 1e3 for large in (False, True)))


# Memory and workers ----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Memory:
    """What GET /process of everything costs a worker in memory, in bytes."""

    size: int
    """Of the answer."""
    peak: int
    """Most that the worker held more than before."""
    kept: int
    """What it holds more afterwards."""


async def memory(url: str, folder: Path) -> Memory:
    """The growth of a fresh worker, which has answered a small request before."""
    async with gateway(url, folder) as server:
        await asyncio.to_thread(server.send, "GET", "/process/1")
        server.forget_peak()
        before = server.memory()
        answer = await asyncio.to_thread(server.send, "GET", "/process")
        return Memory(len(answer), server.peak_memory() - before, server.memory() - before)


_INTROSPECTION = (
    "{ __schema { types { name fields { name args { name } } inputFields { name } } } }"
)


async def workers(
    url: str, folder: Path, tool: LoadTool, page: bytes, seconds: float, rounds: int
) -> dict[str, Compared]:
    """Requests per second of two workers against one.

    Introspection keeps the workers busy and PostgreSQL idle; a small page has all of them, and the
    load, share the processors.
    """
    asked = {
        "introspection": orjson.dumps({"query": _INTROSPECTION}),
        "page of 1 tree": page,
    }
    async with (
        gateway(url, folder, "--workers", "2") as two,
        gateway(url, folder, "--workers", "1") as one,
    ):
        found = {}
        for name, body in asked.items():
            pairs = []
            for number in range(-1, rounds):  # one to warm up
                rates = [
                    await tool.run(Target(server.url, [body], server.token), seconds)
                    for server in (two, one)
                ]
                if number >= 0:
                    pairs.append((rates[0].rate, rates[1].rate))
            found[name] = compared(pairs)
    return found
