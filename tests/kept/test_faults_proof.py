"""Prove that answers are right although the server under the gateways is replaced or restored.

The examples are those of ``test_proof.py``. Between their steps the server is killed, restored from
a dump or a copy of its files, or replaced by a standby, which may lack the last commits. Where data
go back in time, other writes of the same kinds follow: a version that was only counted would occur
again, with other data. Readers read all the time. Each answer is that of a moment between its
request and its arrival, or says that the database is unavailable. Subscriptions outlast all of it.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import Phase, given, note
from hypothesis import strategies as st

from tests.conftest import database_copy
from tests.kept.example import Example, Home, example_of, home_of, routes_of
from tests.kept.site import Site, disconnect, dump, pause_replay, restore, site_in
from tests.kept.writes import SQL
from tests.proof import proof
from tests.resolvers.operations.arguments import Twists
from tests.resolvers.operations.test_proof import DRAWN, TWISTS, Drawn

STEPS = 6
"""Writes and groups of reads before and after a fault."""


@dataclass
class Place:
    """A home, and the servers that its database can be on."""

    home: Home
    site: Site

    async def start(self, number: int) -> None:
        """Fill the database with other rows. A fault that failed may have left no server."""
        await self.site.start()
        await self.home.reconnect(self.site.direct_url)
        await self.home.start(number)

    async def observe(self, example: Example) -> None:
        """Connect to the server of now, and note what rows it has."""
        await self.home.reconnect(self.site.direct_url)
        await example.observe()

    def _repr_pretty_(self, printer: Any, _cycle: bool) -> None:
        printer.text("Place")


@pytest.fixture(scope="session")
async def place(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Place]:
    """One place for all examples: each starts with what the one before has left in memory."""
    async with (
        site_in(tmp_path_factory.mktemp("site")) as site,
        home_of(site.url, direct_url=site.direct_url) as home,
    ):
        yield Place(home, site)


# Faults ------------------------------------------------------------------------------------------


async def kill(place: Place, example: Example) -> None:
    """Kill the server while somebody writes."""
    await example.run(STEPS)
    async with example.reading("a kill"):
        writing = asyncio.create_task(example.write())
        await asyncio.sleep(example.chance.choice((0, 0.001, 0.01)))
        await place.site.kill()
        await writing
        await place.home.reconnect(place.site.direct_url)
    await example.run(STEPS)


async def restore_in_place(place: Place, example: Example) -> None:
    """Restore a dump in the database that the gateways use: their connections stay."""
    kinds = some_kinds(example)
    dumped = await place.site.dump()
    await example.run_kinds(kinds)
    async with example.reading("a restore in place"):
        await restore(place.site.direct_url, dumped)
        await place.home.reconnect(place.site.direct_url)
    await example.run_kinds(kinds)


async def restore_and_rename(place: Place, example: Example) -> None:
    """Restore a dump as a database that takes the place of the other, on the same server."""
    kinds = some_kinds(example)
    dumped = await place.site.dump()
    await example.run_kinds(kinds)
    async with example.reading("a restore"):
        await place.site.restore_and_rename(dumped)
        await place.home.reconnect(place.site.direct_url)
    await example.run_kinds(kinds)


async def restore_copy(place: Place, example: Example) -> None:
    """Start the server with files that were copied before."""
    kinds = some_kinds(example)
    copied = await place.site.copy()
    await example.run_kinds(kinds)
    async with example.reading("a restore of files"):
        await place.site.restore_copy(copied)
        await place.home.reconnect(place.site.direct_url)
    await example.run_kinds(kinds)


async def fail_over(place: Place, example: Example) -> None:
    """Replace the server by a standby that has everything."""
    standby = await place.site.standby()
    await example.run(STEPS)
    await place.site.replayed(standby)
    async with example.reading("a failover"):
        await place.site.use(standby)
        await place.site.promote()
        await place.home.reconnect(place.site.direct_url)
    await example.run(STEPS)


async def fail_over_and_lose(place: Place, example: Example) -> None:
    """Replace the server by a standby that lacks the last commits, and shows others late."""
    kinds = some_kinds(example)
    standby = await place.site.standby()
    await pause_replay(standby)
    await example.run_kinds(kinds[:1])  # one transaction, which is replayed when it is promoted
    await place.site.received(standby)
    await disconnect(standby)
    await example.run_kinds(kinds)
    async with example.reading("a failover that loses commits"):
        await place.site.use(standby)
        await place.observe(example)
        await asyncio.sleep(0.2)  # they read what the standby shows
        await place.site.promote()
        await place.home.reconnect(place.site.direct_url)
    await example.run_kinds(kinds)


FAULTS: tuple[Callable[[Place, Example], Awaitable[None]], ...] = (
    kill,
    restore_in_place,
    restore_and_rename,
    restore_copy,
    fail_over,
    fail_over_and_lose,
)


def some_kinds(example: Example) -> list[tuple[str, str]]:
    """Return kinds of SQL statements, for writes before and after data go back in time."""
    return [example.chance.choice(list(SQL)) for _ in range(STEPS)]


# Proofs ------------------------------------------------------------------------------------------


@proof(Phase.generate, one_in=1000, seconds=60)
@given(
    number=st.integers(1, 2**32),
    drawn=st.lists(DRAWN, min_size=6, max_size=6),
    twists=TWISTS,
    start=st.integers(0, 2**64 - 1),
)
async def test_answers_are_right_whatever_happens_to_the_server(
    place: Place, number: int, drawn: list[Drawn], twists: Twists, start: int
) -> None:
    await place.start(number)
    example = await example_of(place.home, number, drawn, twists, start)
    try:
        async with example.subscribing(4):
            for fault in example.chance.sample(FAULTS, len(FAULTS)):
                await fault(place, example)
    finally:
        note("\n".join(example.log))


async def test_the_proof_fails_if_versions_are_counted(
    postgres: str, template: str, tmp_path: Path
) -> None:
    """Counters occur again after a restore, with other data."""
    chance, differences = random.Random(5), 0
    async with database_copy(postgres, template) as url, home_of(url, audit_one_in=0) as home:
        await home.run("CREATE SEQUENCE counter")
        await home.run("ALTER TABLE change ALTER token SET DEFAULT nextval('counter')")
        for attempt in range(30):
            await home.start(7 + attempt)
            example = Example(home, chance, routes_of(await home.rows(), chance))
            kinds = some_kinds(example)
            dumped = await dump(url, tmp_path / str(attempt))
            try:
                await example.run_kinds(kinds)
                await restore(url, dumped)
                await home.reconnect(url)
                await example.run_kinds(kinds)
            except AssertionError:
                differences += 1
                break
    assert differences
