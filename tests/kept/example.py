"""Examples of reads and writes, in random order, on two gateways that keep answers."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import asyncpg
from graphql import print_ast
from hypothesis import note

from storage.database.database import Database
from tests.conftest import NO_LIMITS, Gateway, Reply, running_gateway
from tests.kept.live import Subscribers, subscribed
from tests.kept.readers import Client, Moment, Query, Read, Route, first_difference, unavailable
from tests.kept.writes import Request, Writer
from tests.proof import AGAIN, fill
from tests.reference.rows import Rows, select
from tests.reference.worlds import PROFILES
from tests.resolvers.operations.arguments import Twists
from tests.resolvers.operations.operations import write
from tests.resolvers.operations.test_proof import SCHEMA, Drawn

VIEWERS = ("admin", "admin", "occupant", "keeper", "keeper", "lodger", "stranger", "janitor")
_READERS = 4
"""Readers that read all the time during a fault."""


_UNSETTLED = """
SELECT id FROM execution WHERE engine <> 'none' AND (status = 'running' OR status = 'queued'
AND NOT EXISTS (
    SELECT FROM execution AS random WHERE random.process_id = execution.process_id
    AND engine = 'none' AND status IN ('queued', 'running')
))"""
"""Executions of the gateways that run, or are about to."""


@dataclass
class Home:
    """A database with two gateways on it, and connections of somebody else."""

    gateways: tuple[Gateway, Gateway]
    own: Database
    other: asyncpg.Connection[asyncpg.Record]
    tokens: dict[str, str]

    async def start(self, number: int) -> None:
        """Fill the database with other rows. The gateways are not told."""
        await fill(self.own, number)

    async def rows(self) -> Rows:
        """Return all rows of now."""
        return await select(self.own)

    async def run(self, sql: str) -> bool:
        """Run statements. Return whether they succeeded."""
        try:
            await self.other.execute(sql)
        except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError):
            if not self.other.is_closed() and self.other.is_in_transaction():
                await self.other.execute("ROLLBACK")
            return False
        return True

    async def settle(self) -> None:
        """Wait until the gateways execute nothing, and will not unless something is written.

        A request stops waiting for an execution that waits at a gate. It begins when a statement
        deletes the one that holds the gate. Random ones hold it without an end.
        """
        for _ in range(3000):
            if not await self.own.fetch(_UNSETTLED):
                return
            await asyncio.sleep(0.01)
        raise AssertionError("an execution does not end")

    async def reconnect(self, url: str) -> None:
        """Open the connections of somebody else anew, perhaps to another server."""
        self.other.terminate()
        await self.own.close()
        self.own, self.other = await _connections(url)

    def _repr_pretty_(self, printer: Any, _cycle: bool) -> None:
        """Print nothing: a failure prints the number of its database."""
        printer.text("Home")


async def _connections(url: str) -> tuple[Database, asyncpg.Connection[asyncpg.Record]]:
    own = await Database.connect(url, pool_max=2, statement_cache_bytes=0)
    return own, await asyncpg.connect(url)


@contextlib.asynccontextmanager
async def home_of(
    url: str, *, direct_url: str | None = None, audit_one_in: int = 10
) -> AsyncIterator[Home]:
    """Open a home on an empty database. Some answers are read as well: they never differ.

    Args:
        url: Where the gateways find the database.
        direct_url: Where the other connections find it, if the way is another one.
    """
    async with contextlib.AsyncExitStack() as stack:
        gateways = []
        for cache_bytes in (0, 1024 * 1024):
            database = await Database.connect(url, pool_max=4, statement_cache_bytes=cache_bytes)
            stack.push_async_callback(database.close)
            started = running_gateway(
                database,
                **NO_LIMITS,
                kept_answers_audit=audit_one_in,
                # Random executions that never end hold gates, at which others wait so long.
                execution_timeout=1,
            )
            gateways.append(await stack.enter_async_context(started))
        own, other = await _connections(direct_url or url)
        home = Home((gateways[0], gateways[1]), own, other, {})
        try:
            await home.start(2)  # with all profiles
            for name in PROFILES:
                home.tokens[name] = await gateways[0].token(name, timedelta(days=30))
            yield home
        finally:
            home.other.terminate()
            await home.own.close()
        for gateway in gateways:
            assert gateway.services.operations.reads.mismatches == 0


@dataclass
class Example:
    """One example: what is read, and by chance when, and what is written between."""

    home: Home
    chance: random.Random
    reads: list[Read]

    def __post_init__(self) -> None:
        self.client = Client(self.home.tokens)
        self.writer = Writer(self.chance)
        self.log: list[str] = []
        self._moments: list[Moment] = []  # the last one is that of now
        self._subscribers = Subscribers([])

    @contextlib.asynccontextmanager
    async def subscribing(self, most: int) -> AsyncIterator[Subscribers]:
        """Subscribe to some of the operations. Each step and fault waits for the last state."""
        await self.observe()
        queries = [read for read in self.reads if isinstance(read, Query)]
        opened = subscribed(
            self.chance.sample(queries, min(most, len(queries))),
            self.home.gateways,
            self.home.tokens,
            self._moments[-1],
            self.chance,
        )
        async with opened as self._subscribers:
            await self._subscribers.compare(self._moments[-1:])
            yield self._subscribers

    async def run(self, steps: int) -> None:
        """Alternate writes and reads, some of them at the same time."""
        await self.observe()
        for _ in range(steps):
            await self._step(self._write())

    async def run_kinds(self, kinds: Sequence[tuple[str, str]]) -> None:
        """Alternate SQL statements of these kinds and reads."""
        await self.observe()
        for kind in kinds:
            await self._step(self.writer.statement(self._moments[-1].rows, kind))

    async def observe(self) -> None:
        """Note the rows of now."""
        self._moments.append(Moment(SCHEMA, await self.home.rows()))

    @contextlib.asynccontextmanager
    async def reading(self, fault: str) -> AsyncIterator[None]:
        """Read all the time during the block, which is a fault, and check all answers at its end.

        The block observes each state of the database, after it has come about and before the next.
        The last one is observed here. What fails because there is no database is left out.
        """
        self.log.append(fault)
        first, over = len(self._moments) - 1, asyncio.Event()
        replies: list[tuple[Read, Reply, int, int]] = []

        async def read_all_the_time() -> None:
            while not over.is_set():
                read, before = self._chosen(), len(self._moments)
                reply = await self._read(read)
                replies.append((read, reply, before, len(self._moments)))

        async with asyncio.TaskGroup() as readers:
            for _ in range(_READERS):
                readers.create_task(read_all_the_time())
            try:
                yield
            finally:
                over.set()
        await self.observe()
        answered = [each for each in replies if not unavailable(each[1])]
        self.log.append(f"{len(answered)} of {len(replies)} answers during {fault}")
        for read, reply, before, after in answered:
            # The last state before the request, and the next one after the answer.
            moments = self._moments[max(before - 1, first) : after + 1]
            self._compare([read], [reply], moments)
        await self._read_now(len(self.reads))
        await self._subscribers.compare(self._moments[first:])

    async def write(self) -> None:
        """Write something. Nobody knows whether it succeeds."""
        written = self._write()
        while "xecute" in str(written):  # that has several transactions
            written = self._write()
        self.log.append(f"{written}: {await self._run(written)}")

    async def _step(self, written: str | Request) -> None:
        atomic = "xecute" not in str(written)  # an execution has several transactions
        most = self.chance.choice((0, 0, 1, 4)) if atomic else 0
        beside = [self._chosen() for _ in range(most)]
        writing = asyncio.create_task(self._run(written))
        try:
            replies = await self._read_all(beside)
        finally:
            self.log.append(f"{len(self.log)}: {written}: {await writing}")
        await self.home.settle()
        await self.observe()
        self._compare(beside, replies, self._moments[-2:])
        await self._read_now(self.chance.choice((1, 2, 6)))
        await self._subscribers.compare(self._moments[-2:], between=atomic)

    async def _read_now(self, count: int) -> None:
        chosen = [self._chosen() for _ in range(count)]
        self._compare(chosen, await self._read_all(chosen), self._moments[-1:])

    async def _read_all(self, reads: Sequence[Read]) -> Sequence[Reply]:
        """Read at the same time. A failure is raised when all have ended."""
        reading = [asyncio.create_task(self._read(read)) for read in reads]
        await asyncio.gather(*reading, return_exceptions=True)
        return [each.result() for each in reading]

    def _compare(
        self, reads: Sequence[Read], replies: Sequence[Reply], moments: Sequence[Moment]
    ) -> None:
        for read, reply in zip(reads, replies, strict=True):
            difference = first_difference(read, reply, moments)
            assert difference is None, f"{read.profile}: {read.request}\n{difference}"

    def _chosen(self) -> Read:
        return self.chance.choice(self.reads)

    async def _read(self, read: Read) -> Reply:
        gateway = self.chance.choice(self.home.gateways)
        return await self.client.get(gateway, read, conditional=self.chance.random() < 0.5)

    def _write(self) -> str | Request:
        rows, kind = self._moments[-1].rows, self.chance.random()
        if kind < 0.2:
            return "SELECT 1"
        return self.writer.sql(rows) if kind < 0.6 else self.writer.request(rows)

    async def _run(self, write: str | Request) -> object:
        if isinstance(write, str):
            return await self.home.run(write)
        gateway = self.chance.choice(self.home.gateways)
        headers = {"Authorization": self.home.tokens["admin"]}
        reply = await gateway.call(
            write.method, write.path, write.body, profile=None, headers=headers
        )
        return reply.status


def routes_of(rows: Rows, chance: random.Random) -> list[Read]:
    """Return every legacy GET, each by a random viewer."""
    profiles = {row["name"]: row["id"] for row in rows["profile"]}
    ids = [row["id"] for row in rows["process"]]
    paths = ["/espaces", "/process", "/processes", *(f"/process/{id_}" for id_ in ids[:4])]
    reads: list[Read] = []
    for path in paths:
        profile = chance.choice(VIEWERS)
        reads.append(Route(path, profile, profiles[profile]))
    return reads


def queries_of(
    drawn: Sequence[Drawn], twists: Twists, rows: Rows, chance: random.Random
) -> list[Read]:
    """Return random operations, each by a random viewer."""
    profiles = {row["name"]: row["id"] for row in rows["profile"]}
    reads: list[Read] = []
    for each in drawn:
        profile = chance.choice(VIEWERS)
        operation = write(SCHEMA, each.document, rows, twists, chance)
        reads.append(Query(operation, profile, profiles[profile], by_get=chance.random() < 0.7))
    return reads


async def example_of(
    home: Home, number: int, drawn: Sequence[Drawn], twists: Twists, start: int
) -> Example:
    """Return the example that Hypothesis drew, on a home that was started with this number.

    The entire example is the seed of everything else, so that small variations of it differ.
    """
    note(f"{AGAIN}\ndatabase {number}")
    texts = [print_ast(each.document) for each in drawn]
    chance = random.Random(f"{start} {twists} {texts}")
    rows = await home.rows()
    reads = routes_of(rows, chance) + queries_of(drawn, twists, rows, chance)
    return Example(home, chance, reads)
