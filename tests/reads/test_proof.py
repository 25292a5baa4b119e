"""The proof: whatever is asked, of whatever database, by whomever, the SQL answers as plain Python
does (``tests.reference``).

``make prove EXAMPLES=20000`` asks more; ``SEED=…`` asks the same again.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
from collections.abc import AsyncIterator
from dataclasses import dataclass, fields
from typing import Any

import pytest
from graphql import DocumentNode, build_schema, parse, print_ast
from hypothesis import HealthCheck, Phase, given, note, seed, settings
from hypothesis import strategies as st
from hypothesis_graphql import nodes, queries
from hypothesis_graphql.types import CustomScalarStrategies

from gateway.services import compiler_of
from resolvers.access import Viewer
from resolvers.enums import Permission
from resolvers.execution.engine import ExecutionEngine, ExecutionLimits
from resolvers.execution.sources import installed_kinds
from resolvers.operations import GraphQLRequest, Operations
from storage.database import Database
from storage.migrations import migrate
from tests.conftest import database_copy, settings_for_tests
from tests.reads.operations import Twists, write
from tests.reads.rows import Rows, insert, select
from tests.reads.worlds import NAMES, PROFILES, random_rows
from tests.reference import TABLES, Expected, Reference, global_id

EXAMPLES = int(os.environ.get("EXAMPLES", "2000"))
"""How many answers are compared."""
SEED = int(os.environ.get("SEED") or random.SystemRandom().randrange(2**32))
VARIANTS = 5
"""How many operations are made of one that hypothesis-graphql drew: drawing costs the most."""
WORLDS = 20

# Those who see most give the most to compare.
VIEWERS = (*PROFILES, "admin", "occupant", "keeper", "keeper")

COMPILER = compiler_of(settings_for_tests(max_query_tokens=100_000))
SCHEMA = build_schema(COMPILER.sdl())


@dataclass(frozen=True, repr=False)
class World:
    """A random database, in PostgreSQL and in plain rows."""

    rows: Rows
    operations: Operations
    viewers: dict[str, Viewer]
    references: dict[str, Reference]

    def _repr_pretty_(self, printer: Any, _cycle: bool) -> None:
        """Shown by its number in a failure; its rows are too many."""
        printer.text("World")


@pytest.fixture(scope="session")
async def worlds(postgres: str, template: str) -> AsyncIterator[list[World]]:
    """The databases that are asked; the first one is empty."""
    async with database_copy(postgres, template) as url, contextlib.AsyncExitStack() as stack:
        found = []
        maker = await Database.connect(url)
        stack.push_async_callback(maker.close)
        for number in range(WORLDS):
            # Each in a schema of its own, which takes much less time than a database.
            async with maker.transaction() as transaction:
                await transaction.script(f"CREATE SCHEMA world_{number}")
            # No statement comes a second time, so there is no use in keeping them.
            database = await Database.connect(
                f"{url}&search_path=world_{number}&synchronous_commit=off",
                pool_max=2,
                statement_cache_size=0,
            )
            stack.push_async_callback(database.close)
            await migrate(database)
            # The first two are what they are; the others are others each time.
            await insert(database, random_rows(number if number < 2 else SEED + number))
            found.append(_world(database, await select(database)))
        yield found


def _world(database: Database, rows: Rows) -> World:
    engine = ExecutionEngine(database, installed_kinds(), ExecutionLimits())
    viewers = {
        row["name"]: Viewer(
            row["id"],
            row["name"],
            frozenset(map(Permission, row["permissions"])),
            row["built_in"],
        )
        for row in rows["profile"]
    }
    return World(
        rows,
        Operations(COMPILER, database, engine),
        viewers,
        {name: Reference(SCHEMA, rows, viewer.profile_id) for name, viewer in viewers.items()},
    )


@dataclass(frozen=True, repr=False)
class Drawn:
    """What hypothesis-graphql drew."""

    document: DocumentNode

    def _repr_pretty_(self, printer: Any, _cycle: bool) -> None:
        """A failure shows what was made of it instead."""
        printer.text("Drawn")


# Few enough values that they are often those of rows, which the databases share.
_TEXTS = st.sampled_from([*NAMES[:-1], *(f"{name}{n}" for name in NAMES[:10] for n in range(4))])
_IDS = st.sampled_from([global_id(name, n) for name in TABLES for n in range(1, 13)])
_WRONG_IDS = st.sampled_from(["", "x", global_id("Viewer", 1), global_id("Process", 2**31)])
_SCALARS: CustomScalarStrategies = {
    "String": _TEXTS.map(nodes.String),
    "ID": st.one_of(*[_IDS] * 20, _WRONG_IDS).map(nodes.String),
    "Int": st.integers(-1, 12).map(nodes.Int),
}
# Left to itself, hypothesis-graphql asks for nodes most of the time, and for little of the rest.
DRAWN = st.one_of(
    *(
        queries(SCHEMA, fields=root_fields, custom_scalars=_SCALARS, print_ast=Drawn)
        for root_fields in (
            None,
            *([name] for name in ("processes", "process", "espaces", "executions", "execution")),
        )
    )
)
# Mostly on, and off in the simplest example.
TWISTS = st.builds(Twists, *[st.integers(0, 7).map(bool)] * len(fields(Twists)))


@pytest.mark.timeout(max(300, EXAMPLES))
@seed(SEED)
@settings(
    max_examples=max(1, EXAMPLES // VARIANTS),
    deadline=None,
    database=None,
    print_blob=True,
    phases=[Phase.generate, Phase.shrink],
    # Operations of the real schema take many choices, and none of these is a fault of the test.
    suppress_health_check=[
        HealthCheck.too_slow,
        HealthCheck.data_too_large,
        HealthCheck.large_base_example,
    ],
)
@given(drawn=DRAWN, twists=TWISTS, start=st.integers(0, 2**64 - 1))
async def test_sql_answers_as_plain_python_does(
    worlds: list[World], drawn: Drawn, twists: Twists, start: int
) -> None:
    # Not drawn one by one: Hypothesis would try the simplest of each again and again.
    chance = random.Random(start)
    for _ in range(VARIANTS):
        number, profile = chance.randrange(WORLDS), chance.choice(VIEWERS)
        world = worlds[number]
        operation = write(SCHEMA, drawn.document, world.rows, twists.some(chance), chance)
        text = print_ast(operation.document)
        assert COMPILER.document(text).errors == ()
        document = parse(text)
        expected = world.references[profile].answer(document, operation.variables)
        answer = await world.operations.answer(
            GraphQLRequest(text, variables=operation.variables), world.viewers[profile]
        )
        difference = differs(json.loads(answer.body), expected)
        if difference:
            note(f"make prove SEED={SEED}; database {number}, asked by {profile}")
            note(text)
            note(json.dumps(operation.variables))
            pytest.fail(difference)


def differs(answer: dict[str, Any], expected: Expected) -> str | None:
    """What is not as it should be, to the byte once blanks are left out; None where all is."""
    errors = answer.pop("errors", [])
    if answer.keys() != {"data"}:
        return f"not answered: {errors}"
    found, wanted = _written(answer["data"]), _written(expected.data)
    if found != wanted:
        return f"expected the data\n{wanted}\nbut got\n{found}"
    refused = [
        {
            "path": [wrong.key],
            "locations": [{"line": wrong.line, "column": wrong.column}],
            "code": wrong.code,
        }
        for wrong in expected.errors
    ]
    for error, wrong in zip(errors, expected.errors, strict=False):
        # One wrong value is named, whichever is found first.
        paths = {tuple(problem["path"]) for problem in error["extensions"].get("problems", ())}
        if not paths <= wrong.paths or bool(paths) is not bool(wrong.paths):
            return f"expected a problem at one of {set(wrong.paths)}, but got {error}"
    shown = [
        {"path": e["path"], "locations": e["locations"], "code": e["extensions"]["code"]}
        for e in errors
    ]
    return None if shown == refused else f"expected the errors {refused}, but got {errors}"


def _written(value: object) -> str:
    """JSON in one form, with the keys of objects in their order: that is the selection's."""
    return json.dumps(value, ensure_ascii=False)
