"""Prove by random examples that answers from memory are those of the database, whoever writes.

Two gateways on one database keep answers. Random writers use SQL, mutations and legacy routes of
either. Each answer equals that of the reference at a moment between its request and its arrival,
and 304 is only sent where the bytes are the same. Subscriptions arrive at the last state.
"""

from __future__ import annotations

import random
from collections.abc import AsyncIterator

import pytest
from graphql import parse
from hypothesis import Phase, given, note
from hypothesis import strategies as st

from tests.conftest import database_copy
from tests.kept.example import Example, Home, example_of, home_of, routes_of
from tests.kept.readers import Client, Moment, Query, first_difference
from tests.kept.writes import SQL, Writer
from tests.proof import proof
from tests.resolvers.operations.arguments import Twists
from tests.resolvers.operations.operations import Operation
from tests.resolvers.operations.test_proof import DRAWN, SCHEMA, TWISTS, Drawn

STEPS = 25
"""Writes and groups of reads in an example."""


@pytest.fixture(scope="session")
async def home(postgres: str, template: str) -> AsyncIterator[Home]:
    """One home for all examples: each starts with what the one before has left in memory."""
    async with database_copy(postgres, template) as url, home_of(url) as opened:
        yield opened


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
    await home.start(number)
    example = await example_of(home, number, drawn, twists, start)
    try:
        async with example.subscribing(4):
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
    executions { nodes { error processName sequence steps { result error inDoubt } } }
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
