"""Prove by random examples that answers from memory are those of the database, whoever writes.

Two gateways on one database keep answers. Random writers use SQL, mutations and legacy routes of
either. Each answer equals that of the reference at a moment between its request and its arrival,
and 304 is only sent where the bytes are the same.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import asyncpg
import pytest
from graphql import parse, print_ast
from hypothesis import Phase, given, note
from hypothesis import strategies as st

from storage.database.database import Database
from tests.conftest import NO_LIMITS, Gateway, Reply, database_copy, running_gateway
from tests.kept.readers import Client, Moment, Query, Read, Route, first_difference
from tests.kept.writes import SQL, Request, Writer
from tests.proof import AGAIN, fill, proof
from tests.reference.rows import Rows, select
from tests.reference.worlds import PROFILES
from tests.resolvers.operations.arguments import Twists
from tests.resolvers.operations.operations import Operation, write
from tests.resolvers.operations.test_proof import DRAWN, SCHEMA, TWISTS, Drawn

STEPS = 25
"""Writes and groups of reads in an example."""
VIEWERS = ("admin", "admin", "occupant", "keeper", "keeper", "lodger", "stranger", "janitor")


@dataclass(repr=False)
class Home:
    """A database with two gateways on it, and a connection of somebody else."""

    gateways: tuple[Gateway, Gateway]
    other: asyncpg.Connection[asyncpg.Record]
    tokens: dict[str, str]

    def _repr_pretty_(self, printer: Any, _cycle: bool) -> None:
        """Print nothing of the gateways and their settings."""
        printer.text("Home")

    async def start(self, number: int) -> None:
        """Fill the database with other rows. The gateways are not told."""
        await fill(self.gateways[0].database, number)

    async def rows(self) -> Rows:
        """Return all rows of now."""
        return await select(self.gateways[0].database)

    async def run(self, sql: str) -> bool:
        """Run statements. Return whether they succeeded."""
        try:
            await self.other.execute(sql)
        except asyncpg.PostgresError:
            if self.other.is_in_transaction():
                await self.other.execute("ROLLBACK")
            return False
        return True


@contextlib.asynccontextmanager
async def home_of(url: str, *, audit_one_in: int = 10) -> AsyncIterator[Home]:
    """Open a home on an empty database. Some answers are read as well: they never differ."""
    async with contextlib.AsyncExitStack() as stack:
        gateways = []
        for _ in range(2):
            database = await Database.connect(url, pool_max=4, statement_cache_bytes=0)
            stack.push_async_callback(database.close)
            started = running_gateway(database, **NO_LIMITS, kept_answers_audit=audit_one_in)
            gateways.append(await stack.enter_async_context(started))
        await fill(gateways[0].database, 2)  # with all profiles
        tokens = {name: await gateways[0].token(name, timedelta(days=30)) for name in PROFILES}
        other = await asyncpg.connect(url)
        stack.push_async_callback(other.close)
        yield Home((gateways[0], gateways[1]), other, tokens)
        for gateway in gateways:
            assert gateway.services.operations.reads.mismatches == 0


@pytest.fixture(scope="session")
async def home(postgres: str, template: str) -> AsyncIterator[Home]:
    """One home for all examples: each starts with what the one before has left in memory."""
    async with database_copy(postgres, template) as url, home_of(url) as opened:
        yield opened


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

    async def run(self, steps: int) -> None:
        """Alternate writes and reads, some of them at the same time."""
        before = after = Moment(SCHEMA, await self.home.rows())
        for step in range(steps):
            written = self._write(before.rows)
            # An execution has several transactions.
            most = 0 if "xecute" in str(written) else self.chance.choice((0, 0, 1, 4))
            beside = [self._chosen() for _ in range(most)]
            writing = asyncio.create_task(self._run(written))
            replies = await asyncio.gather(*map(self._read, beside))
            self.log.append(f"{step}: {written}: {await writing}")
            after = Moment(SCHEMA, await self.home.rows())
            self._compare(beside, replies, [before, after])
            chosen = [self._chosen() for _ in range(self.chance.choice((1, 2, 6)))]
            self._compare(chosen, await asyncio.gather(*map(self._read, chosen)), [after])
            before = after

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

    def _write(self, rows: Rows) -> str | Request:
        kind = self.chance.random()
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


@proof(Phase.generate, one_in=50, seconds=6)
@given(
    number=st.integers(1, 2**32),
    drawn=st.lists(DRAWN, min_size=6, max_size=6),
    twists=TWISTS,
    start=st.integers(0, 2**64 - 1),
)
async def test_answers_are_those_of_a_moment_between_request_and_answer(
    home: Home, number: int, drawn: list[Drawn], twists: Twists, start: int
) -> None:
    texts = [print_ast(each.document) for each in drawn]
    chance = random.Random(f"{start} {twists} {texts}")
    note(f"{AGAIN}\ndatabase {number}")
    await home.start(number)
    rows = await home.rows()
    reads = routes_of(rows, chance) + queries_of(drawn, twists, rows, chance)
    example = Example(home, chance, reads)
    try:
        await example.run(STEPS)
    finally:
        note("\n".join(example.log))


async def test_memory_and_304_are_used(home: Home) -> None:
    """The proof is of use only if answers come from memory and are not sent again."""
    await home.start(3)
    chance = random.Random(1)
    example = Example(home, chance, routes_of(await home.rows(), chance))
    before = [gateway.services.operations.reads.hits for gateway in home.gateways]
    await example.run(40)
    for gateway, hits in zip(home.gateways, before, strict=True):
        assert gateway.services.operations.reads.hits - hits > 10
    assert example.client.not_modified > 10


_EVERYTHING = """{
    espaces { nodes { name description } } sources { nodes { name settings secretSettings } }
    profiles { nodes { name } }
    executions { nodes { error processName steps { result error } } }
    processes { nodes { name state reference espace { name } profiles { name }
        actions { sourceName action runsWhen } inputs { name } } } }"""


# The rows of these two tables refer to each other, so one is never truncated without the other.
_TOGETHER = {("execution", "truncate"), ("execution_step", "truncate")}


@pytest.mark.parametrize(("table", "event"), SQL.keys() - _TOGETHER)
async def test_the_proof_fails_without_a_trigger(
    postgres: str, template: str, table: str, event: str
) -> None:
    """Whatever trigger is missing, an answer from memory soon differs from the reference."""
    chance = random.Random(5)
    writer, differences = Writer(chance), 0
    read = Query(Operation(parse(_EVERYTHING), None, {}), "admin", 1, by_get=False)
    async with database_copy(postgres, template) as url, home_of(url, audit_one_in=0) as home:
        await home.run(f"ALTER TABLE {table} DISABLE TRIGGER log_{event}")
        if table in ("action", "input", "authorisation") and event != "truncate":
            # It updates the process, and that would log the change as well.
            await home.run(f"ALTER TABLE {table} DISABLE TRIGGER process_touched_by_{event}")
        for attempt in range(100):
            if attempt % 10 == 0:
                await home.start(7 + attempt)
                for name in ("espace", "process", "source", "profile", "profile", "execution"):
                    # Rows without parts, whose triggers would log the change as well.
                    await home.run(writer.statement(await home.rows(), (name, "insert")))
            for _ in range(3):
                await Client(home.tokens).get(home.gateways[0], read, conditional=False)
            await home.run(writer.statement(await home.rows(), (table, event)))
            reply = await Client(home.tokens).get(home.gateways[0], read, conditional=False)
            moment = Moment(SCHEMA, await home.rows())
            differences += first_difference(read, reply, [moment]) is not None
            if differences:
                break
    assert differences
