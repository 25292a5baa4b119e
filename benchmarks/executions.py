"""Measure executions through GraphQL, compared with the engine's own statements and with DBOS."""

from __future__ import annotations

import asyncio
import contextlib
import statistics
import time
import uuid
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from itertools import count, cycle
from pathlib import Path

import orjson

from bare import BareProcess, bare_process, bare_rate, bare_worker
from connections import Connection, connected
from contestants import gateway
from figures import Comparison, compare, timed
from http_steps import ACTION, CALLERS, device, requests, settings_for
from live import Latency, Subscriber, latency, subscribed
from load import LoadError, LoadTool, Target
from resolvers.values.ids import global_id
from servers import Caller, Server, ServerError
from takeover import takeover, takeover_of_worker
from work import HERE

_LONG, _SHORT = 20, 3
"""Steps of the executions."""
_WATCHED = 500
_EVENTS = 0.25
"""Changes of watched executions for each execution of 3 steps, so that they fit the machine."""
_FEWEST_EVENTS = 10
"""Changes in a second, at least."""
_LIMIT = 30.0
"""Seconds that anything else may take."""
_EXECUTE = (
    "mutation ($id: ID!) { executeProcess(id: $id)"
    " { execution { id status finishedAt } process { id } } }"
)
_WATCH = (
    'subscription {{ execution(id: "{}") {{ status steps {{ position status finishedAt }} }} }}'
)
_DURABLE = HERE.parent / ".venv-bench" / "bin" / "python"
_SOURCE = "INSERT INTO source (name, kind, settings) VALUES ($1, $2, $3) RETURNING id"
_PROCESS = """WITH new AS (
        INSERT INTO process (reference, name) VALUES ($1, $1) RETURNING id
    )
    INSERT INTO action (process_id, position, source_id, action, arguments)
    SELECT id, position, $2, $4,
        '[{"reference":"channel","value":"7"},{"reference":"level","value":"40"}]'
    FROM new, generate_series(1, $3) AS position RETURNING process_id"""

_EARLIER = """WITH earlier AS (
        INSERT INTO execution (process_id, process_reference, process_name, profile_id,
            profile_name, inputs, enabled, status, finished_at)
        SELECT process.id, reference, name, 1, 'admin', '[]', false, 'succeeded', now()
        FROM process, generate_series(1, 20) WHERE process.id <= 500 RETURNING id
    )
    INSERT INTO execution_step (execution_id, position, source_name, action, arguments, status,
        finished_at)
    SELECT id, position, 'bench', 'set', '[]', 'succeeded', now()
    FROM earlier, generate_series(1, 3) AS position"""
"""PostgreSQL plans a statement once for each connection, and one for empty tables scans them."""


@dataclass(frozen=True, slots=True)
class Durable:
    """The same steps as workflows of DBOS, without HTTP."""

    version: str
    seconds: float
    """The time of 20 steps with one caller."""
    rate: float
    """The executions of 3 steps per second, with 16 callers."""


@dataclass(frozen=True, slots=True)
class HttpSteps:
    """Actions that are requests to a local HTTP server, with 16 callers."""

    steps: float
    """Steps per second, of executions of 20 steps."""
    requests: Comparison
    """Requests per second of the source kind alone, compared with aiohttp's client alone."""


@dataclass(slots=True)
class Executions:
    """What executions take. ``Comparison`` is with the bare loop, unless it says otherwise."""

    long: Comparison
    """The seconds of 20 steps, with one caller."""
    short: Comparison
    """The executions of 3 steps per second, with 16 callers."""
    watched: Comparison
    """The same rate while others are watched, compared with the rate while nobody watches."""
    events: Latency
    """Until each watcher sees that its execution has changed."""
    frequency: float
    """How often one of the watched executions changes in a second."""
    takeover: list[float]
    """Seconds until the executions of a gateway that was killed have ended."""
    takeover_of_worker: list[float]
    """The same for a worker whose parent process lives on. Empty on a system without /proc."""
    http: HttpSteps
    durable: Durable | None = None


class Measures:
    """Measures one part after the other, on a database that it changes.

    Args:
        url: The database.
        folder: The data folder of the gateways.
        tool: The load tool.
        rounds: The number of rounds.
        seconds: The length of a round.
    """

    def __init__(
        self, url: str, folder: Path, tool: LoadTool, *, rounds: int, seconds: float
    ) -> None:
        self._url = url
        self._folder = folder
        self._tool = tool
        self._rounds = rounds
        self._seconds = seconds
        self._long = 0
        self._short: list[int] = []

    async def measure(self) -> Executions:
        """Return all measurements but those of DBOS."""
        async with connected(self._url) as connection:
            await connection.execute(_EARLIER)
            await connection.execute("VACUUM ANALYZE execution, execution_step")
            source = await connection.fetchval(_SOURCE, "bench", "echo", b"{}")
            self._long = await connection.fetchval(_PROCESS, "bench-long", source, _LONG, ACTION)
            self._short = await _processes(connection, "bench", source, _SHORT)
            async with bare_worker(connection) as worker, self._gateway() as server:
                long = await self._one_caller(server, connection, worker)
                short = await self._many_callers(server, connection, worker)
                frequency = max(_FEWEST_EVENTS, _EVENTS * short.ours)
                watched, events = await self._watched(server, connection, worker, frequency)
            http = await self._http(connection)
            repeats = min(self._rounds, 3)
            body = execute_body(self._long)
            gateways = [await takeover(self._gateway, body, connection) for _ in range(repeats)]
            workers = [
                await takeover_of_worker(self._gateway, body, connection) for _ in range(repeats)
            ]
        known = [seconds for seconds in workers if seconds is not None]
        return Executions(long, short, watched, events, frequency, gateways, known, http)

    def _gateway(self, *arguments: str) -> contextlib.AbstractAsyncContextManager[Server]:
        return gateway(
            self._url, self._folder, *arguments, "--max-sockets-token", "0", keeps_answers=True
        )

    # Time and rate -------------------------------------------------------------------------------

    async def _one_caller(
        self, server: Server, connection: Connection, worker: uuid.UUID
    ) -> Comparison:
        """Compare the seconds of 20 steps with those of the bare loop, which take turns."""
        bare = await bare_process(connection, self._long, worker)
        pairs = []
        body = execute_body(self._long)
        with Caller(server) as caller:
            for number in range(-3, 10 * self._rounds):
                start = time.perf_counter()
                answer = caller.request("POST", "/graphql", body)
                ours = time.perf_counter() - start
                if b'"SUCCEEDED"' not in answer:
                    raise ServerError(f"an execution failed: {answer[:500]!r}")
                theirs = await timed(bare.execute, connection)
                if number >= 0:
                    pairs.append((ours, theirs))
        return compare(pairs)

    async def _many_callers(
        self, server: Server, connection: Connection, worker: uuid.UUID
    ) -> Comparison:
        """Compare the rates of 16 callers and of 16 connections, which take turns."""
        bare = [await bare_process(connection, each, worker) for each in self._short]
        pairs = []
        for number in range(-1, self._rounds):  # the first round is a warm-up
            rates = [0.0, 0.0]
            for which in (0, 1) if number % 2 else (1, 0):
                rates[which] = (
                    await bare_rate(self._url, bare, self._seconds)
                    if which
                    else await self._rate(server, connection, self._short)
                )
            if number >= 0:
                pairs.append((rates[0], rates[1]))
        return compare(pairs)

    async def _rate(
        self, server: Server, connection: Connection, processes: Sequence[int]
    ) -> float:
        """Return the executions per second, each of which must have succeeded."""
        count_sql = """SELECT count(*) FROM execution
            WHERE process_id = ANY ($1) AND status = 'succeeded'"""
        before = await connection.fetchval(count_sql, processes)
        target = Target(server.url, [execute_body(each) for each in processes], server.token)
        start = time.monotonic()
        rate = (await self._tool.run(target, self._seconds)).rate
        seconds = time.monotonic() - start
        succeeded = await connection.fetchval(count_sql, processes) - before
        if succeeded < 0.8 * rate * seconds:
            raise LoadError(f"{succeeded} executions succeeded in {seconds:.1f} s, of {rate:.0f}/s")
        return rate

    # Requests of http sources --------------------------------------------------------------------

    async def _http(self, connection: Connection) -> HttpSteps:
        """Measure actions on a local HTTP server, and the requests alone."""
        async with device() as target:
            settings = settings_for(target)
            source = await connection.fetchval(_SOURCE, "bench-http", "http", settings)
            processes = await _processes(connection, "bench-http", source, _LONG)
            async with self._gateway() as server:
                await self._rate(server, connection, processes)  # a warm-up
                rates = [
                    await self._rate(server, connection, processes) for _ in range(self._rounds)
                ]
            sent = await requests(target, self._rounds, self._seconds)
        return HttpSteps(_LONG * statistics.median(rates), sent)

    # Watched executions --------------------------------------------------------------------------

    async def _watched(
        self, server: Server, connection: Connection, worker: uuid.UUID, frequency: float
    ) -> tuple[Comparison, Latency]:
        """Measure the rate while 500 other executions run, with and without their watchers.

        The watched executions belong to another worker, which goes on with them in either case.
        """
        bare = await bare_process(connection, self._long, worker, "open")
        async with connected(self._url) as another:
            ids = [await bare.admit(another) for _ in range(_WATCHED)]
            running = Running(bare, ids, frequency)
            documents = [_WATCH.format(global_id("Execution", each)) for each in running.ids]
            pairs, seen = [], list[float]()
            for number in range(-1, self._rounds):
                rates = [0.0, 0.0]
                for which in (0, 1) if number % 2 else (1, 0):
                    async with contextlib.AsyncExitStack() as stack:
                        watchers: Sequence[Subscriber] = ()
                        if not which:
                            opening = subscribed(server, documents, _WATCHED)
                            watchers = await stack.enter_async_context(opening)
                        async with running.going_on(another, watchers) as latencies:
                            rates[which] = await self._rate(server, connection, self._short)
                    if number >= 0:
                        seen += latencies
                if number >= 0:
                    pairs.append((rates[0], rates[1]))
            await connection.execute(
                "UPDATE execution SET status = 'cancelled' WHERE id = ANY ($1)", running.ids
            )
        return compare(pairs), latency(seen, len(seen))


async def _processes(connection: Connection, name: str, source: int, steps: int) -> list[int]:
    """Create a process for each caller, and return their IDs."""
    return [
        await connection.fetchval(_PROCESS, f"{name}-{number}", source, steps, ACTION)
        for number in range(CALLERS)
    ]


class Running:
    """Executions of another worker that go on step by step.

    Args:
        process: What they execute.
        ids: Their IDs.
        frequency: The steps in a second, of all together.
    """

    def __init__(self, process: BareProcess, ids: Sequence[int], frequency: float) -> None:
        self._process = process
        self._frequency = frequency
        self.ids = ids
        self._seq = dict.fromkeys(ids, 0)
        self._turns = cycle(range(len(ids)))

    @contextlib.asynccontextmanager
    async def going_on(
        self, connection: Connection, watchers: Sequence[Subscriber]
    ) -> AsyncIterator[list[float]]:
        """Change one after the other for the duration of the block.

        Yields:
            A list that gets the seconds between each change and its message to the watcher, if
            there are watchers.
        """
        seen: list[float] = []
        waiting: set[asyncio.Task[None]] = set()

        async def watch(watcher: Subscriber, changed: float) -> None:
            seen.append(await watcher.next() - changed)

        async def change() -> None:
            start = time.monotonic()
            for number in count(1):
                if ended.is_set():
                    return
                turn = next(self._turns)
                root_id = self.ids[turn]
                if self._seq[root_id] < self._process.transitions - 1:
                    await self._process.advance(connection, root_id, self._seq[root_id])
                    self._seq[root_id] += 1
                    if watchers:
                        waiting.add(asyncio.create_task(watch(watchers[turn], time.monotonic())))
                await asyncio.sleep(start + number / self._frequency - time.monotonic())

        ended = asyncio.Event()
        changing = asyncio.create_task(change())
        try:
            yield seen
        finally:
            ended.set()
            await changing
        if waiting:
            async with asyncio.timeout(_LIMIT):
                await asyncio.gather(*waiting)


def execute_body(process_id: int) -> bytes:
    """Return the body of a request that executes a process."""
    variables = {"id": global_id("Process", process_id)}
    return orjson.dumps({"query": _EXECUTE, "variables": variables})


async def durable(url: str, rounds: int, seconds: float) -> Durable:
    """Measure the same steps as workflows of DBOS, in an empty database.

    Raises:
        ServerError: It is not installed, or failed.
    """
    if not _DURABLE.exists():
        raise ServerError("DBOS is not installed")
    process = await asyncio.create_subprocess_exec(
        *(_DURABLE, HERE / "durable.py", url, str(rounds), str(seconds)),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(10 * _LIMIT):
            output, errors = await process.communicate()
    except TimeoutError:
        process.kill()
        raise
    if process.returncode:
        raise ServerError(f"DBOS: {errors.decode(errors='replace')[-300:]}")
    result = orjson.loads(output.splitlines()[-1])
    return Durable(
        result["version"],
        statistics.median(result["times"]),
        statistics.median(result["rates"]),
    )
