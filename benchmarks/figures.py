"""Measure single requests: whole tables, bulk writes, growth with the table, memory, workers."""

from __future__ import annotations

import asyncio
import statistics
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, ParamSpec, cast

import orjson

from connections import Connection, connected
from contestants import gateway
from gateway.services import dialects_of
from gateway.settings.model import Settings
from load import LoadTool, Target
from resolvers.operations.compile import OperationCompiler
from resolvers.operations.parameters import RunValues
from servers import Server, ServerError
from storage.database.transaction import Transaction
from storage.writes import processes as stored
from work import ADMIN, FRAGMENT, compiled, reference

_Parameters = ParamSpec("_Parameters")


@dataclass(frozen=True, slots=True)
class Comparison:
    """The medians of two measurements over the rounds, and of their ratio."""

    ours: float
    theirs: float
    ratio: float


def compare(pairs: Sequence[tuple[float, float]]) -> Comparison:
    """Compare the rounds of two measurements, each a pair (ours, theirs)."""
    ours, theirs = zip(*pairs, strict=True)
    ratio = statistics.median(own / other for own, other in pairs)
    return Comparison(statistics.median(ours), statistics.median(theirs), ratio)


async def timed(
    run: Callable[_Parameters, Awaitable[object]],
    *args: _Parameters.args,
    **kwargs: _Parameters.kwargs,
) -> float:
    """Return the seconds that a call takes."""
    start = time.perf_counter()
    await run(*args, **kwargs)
    return time.perf_counter() - start


# The most expensive query ----------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class WorstRead:
    """What the most expensive queries took that the default limits allow."""

    tried: int
    """The number of queries that were tried."""
    seconds: float
    """Processor time of PostgreSQL."""
    backend: int
    """Bytes by which the memory of a backend grew."""
    gateway: int
    """Bytes by which the memory of the gateway grew."""
    answer: int
    """Bytes of the largest answer."""
    query: str
    """The one that took the most time."""


async def worst_read(url: str, seconds: float) -> WorstRead:
    """Search for the most expensive queries (``tests/hostile/worst_read.py``)."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.hostile.worst_read", url, str(seconds)),
        cwd=Path(__file__).parent.parent,
        stdout=asyncio.subprocess.PIPE,
    )
    output, _ = await process.communicate()
    if process.returncode:
        raise ServerError("the search for the most expensive query failed")
    return WorstRead(**orjson.loads(output))


# Whole tables ----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class WholeTable:
    """A legacy route that returns all processes, compared with its SQL run by asyncpg alone."""

    route: str
    size: int
    """The bytes of the response."""
    seconds: Comparison


async def whole_tables(
    server: Server, url: str, compiler: OperationCompiler, rounds: int
) -> list[WholeTable]:
    """Measure GET /process and GET /processes with all processes."""
    tables = []
    operations = {
        str(route.route): route.operation
        for dialect in dialects_of(Settings(), compiler)
        for route in dialect.routes
    }
    async with connected(url) as connection:
        for path in ("/process", "/processes"):
            read = operations[f"GET {path}"].reads[ADMIN]
            parameters = read.arguments(RunValues({}, profile_id=1))
            response = await asyncio.to_thread(server.request, "GET", path)
            sql = read.statement.sql
            rows = [row[0] for row in await connection.fetch(sql, *parameters)]
            assert b",".join(rows) in response, f"GET {path} differs from the result of its SQL"
            pairs = [
                (
                    await timed(asyncio.to_thread, server.drain, path),
                    await timed(connection.fetch, sql, *parameters),
                )
                for _ in range(rounds)
            ]
            tables.append(WholeTable(f"GET {path}", len(response), compare(pairs)))
    return tables


# Bulk writes -----------------------------------------------------------------------------------


async def bulk(server: Server, url: str, count: int, rounds: int) -> Comparison:
    """Measure PUT /processes with all processes, in seconds, compared with its UPDATE alone."""
    async with connected(url) as connection:

        async def update(sql: str, parameters: Sequence[object]) -> None:
            async with connection.transaction():
                await connection.fetch(sql, *parameters)

        pairs = []
        for number in range(rounds + 1):
            # Give both an equally clean table, and the same number of index entries to write.
            await connection.execute("VACUUM process")
            body = _put_body(_names(count, f"gateway {number}"))
            ours = await timed(asyncio.to_thread, server.request, "PUT", "/processes", body)
            await connection.execute("VACUUM process")
            statement = await _update(_names(count, f"alone {number}"))
            pairs.append((ours, await timed(update, *statement)))
    return compare(pairs[1:])  # the first round is a warm-up


def _names(count: int, suffix: str) -> list[str]:
    return [f"Process {number} {suffix}" for number in range(1, count + 1)]


def _put_body(names: Sequence[str]) -> bytes:
    return orjson.dumps(
        {
            "processes": [
                {"id": number, "name": name, "comment": f"Comment on {name}"}
                for number, name in enumerate(names, 1)
            ]
        }
    )


async def _update(names: Sequence[str]) -> tuple[str, tuple[object, ...]]:
    """Return the statement that the gateway runs for such a body, with its parameters."""
    changes = [
        {"database_id": number, "name": name, "description": f"Comment on {name}"}
        for number, name in enumerate(names, 1)
    ]
    recorder = _Recorder()
    await stored.update_texts(cast(Transaction, recorder), orjson.dumps(changes), None)
    return recorder.statement


class _Recorder:
    """Stands in for a transaction, and records the statement instead of running it."""

    statement: tuple[str, tuple[object, ...]]

    async def fetch_value(self, sql: str, *parameters: object) -> int:
        self.statement = (sql, parameters)
        return 0


# Growth ----------------------------------------------------------------------------------------

_PAGES = 12
"""The number of pages of each kind, spread over the table. All of them fit into PostgreSQL's memory
in the large table as well, because growth is about the work and not about the disk."""
_REPEATS = 21
"""How often each page is requested, alternating with the same page of the other table."""
_TIME_LIMIT = 15.0
"""The seconds after which no more pages of a kind are requested. Kinds that grow with the table are
slow."""


@dataclass(frozen=True, slots=True)
class Growth:
    """The milliseconds that a page of 50 takes in a small and in a large table."""

    kind: str
    small: float
    large: float

    @property
    def ratio(self) -> float:
        """The time in the large table divided by the time in the small one."""
        return self.large / self.small


_ORDERS = {
    f"order by {field.lower()} {direction.lower()}": f"{{field: {field}, direction: {direction}}}"
    for field in ("DATABASE_ID", "REFERENCE", "NAME")
    for direction in ("ASC", "DESC")
}

_NAME_PREFIXES = ("Dim the", "Switch the", "Adjust the", "Check the", "Schedule the", "Reset the")
"""Prefixes of generated names (``storage.demo.load``)."""

# Each filter: its title, its condition, the type of its value, and the value for process number k.
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
        lambda k: _NAME_PREFIXES[k % len(_NAME_PREFIXES)],
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
"""Returns the variables of an operation for the process with a number."""


async def growth(
    small_url: str, large_url: str, compiler: OperationCompiler
) -> AsyncIterator[Growth]:
    """Measure a page of 50 trees in two tables, for each order and filter that has an index."""
    async with connected(small_url) as small, connected(large_url) as large:
        for kind, document, values in _kinds(compiler):
            yield await _measure_growth(kind, document, values, small, large, compiler)


def _kinds(compiler: OperationCompiler) -> Iterator[tuple[str, str, _Values]]:
    """Yield each kind of page: its title, its operation, and a function for the variables."""
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
    page = await connection.fetchval(*_prepared(compiler, document, {"id": number}))
    return {"after": orjson.loads(page)["pageInfo"]["endCursor"]}


async def _filtered(
    value: Callable[[int], object], connection: Connection, number: int
) -> dict[str, Any]:
    return {"x": value(number)}


def _prepared(
    compiler: OperationCompiler, document: str, variables: dict[str, Any]
) -> tuple[str, *tuple[object, ...]]:
    """Return the SQL that the gateway runs for an operation, and its parameters."""
    read = compiled(compiler, document, variables)
    return read.statement.sql, *read.arguments(RunValues(variables, profile_id=1))


async def _measure_growth(
    kind: str,
    document: str,
    values: _Values,
    small: Connection,
    large: Connection,
    compiler: OperationCompiler,
) -> Growth:
    medians: dict[Connection, list[float]] = {small: [], large: []}
    deadline = time.monotonic() + _TIME_LIMIT
    for page in range(_PAGES):
        if page and time.monotonic() > deadline:
            break
        runs = {}
        for connection in (small, large):
            last = await connection.fetchval("SELECT max(id) - 100 FROM process")
            variables = await values(connection, 1 + page * last // _PAGES)
            runs[connection] = partial(
                connection.fetchval, *_prepared(compiler, document, variables)
            )
        times: dict[Connection, list[float]] = {small: [], large: []}
        for repeat in range(_REPEATS + 1):
            if repeat > 1 and time.monotonic() > deadline:
                break
            for connection, run in runs.items():
                seconds = await timed(run)
                if repeat:  # the first one is a warm-up
                    times[connection].append(seconds)
        for connection, page_times in times.items():
            medians[connection].append(statistics.median(page_times))
    return Growth(kind, *(statistics.fmean(medians[table]) * 1e3 for table in (small, large)))


# Memory and workers ----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Memory:
    """The memory that a worker needs for GET /process with all processes, in bytes."""

    size: int
    """The size of the response."""
    peak: int
    """The maximum increase of the worker's memory during the request."""
    kept: int
    """The increase after the request."""


async def memory(url: str, folder: Path) -> Memory:
    """Measure the memory of a fresh worker that has handled one small request before."""
    async with gateway(url, folder) as server:
        await asyncio.to_thread(server.request, "GET", "/process/1")
        server.reset_peak_memory()
        before = server.memory()
        response = await asyncio.to_thread(server.request, "GET", "/process")
        return Memory(len(response), server.peak_memory() - before, server.memory() - before)


# The gateway keeps the answer to introspection without variables.
_INTROSPECTION = (
    "query ($on: Boolean = true) { __schema @include(if: $on)"
    " { types { name fields { name args { name } } inputFields { name } } } }"
)


async def workers(
    url: str, folder: Path, tool: LoadTool, page: bytes, seconds: float, rounds: int
) -> dict[str, Comparison]:
    """Measure the requests per second of two workers, compared with one.

    Introspection keeps the workers busy and PostgreSQL idle. With a small page, the workers,
    PostgreSQL and the load tool share the processors.
    """
    requests = {
        "introspection": orjson.dumps({"query": _INTROSPECTION}),
        "page of 1 tree": page,
    }
    async with (
        gateway(url, folder, "--workers", "2") as two,
        gateway(url, folder, "--workers", "1") as one,
    ):
        comparisons = {}
        for name, body in requests.items():
            pairs = []
            for number in range(-1, rounds):  # the first round is a warm-up
                rates = [
                    await tool.run(Target(server.url, [body], server.token), seconds)
                    for server in (two, one)
                ]
                if number >= 0:
                    pairs.append((rates[0].rate, rates[1].rate))
            comparisons[name] = compare(pairs)
    return comparisons
