"""What the proofs have in common: how many examples they take, and the random databases that they
ask.

``make prove EXAMPLES=20000`` takes more examples; ``SEED=…`` takes the same again.
"""

from __future__ import annotations

import json
import os
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, TypeVar

import pytest
from hypothesis import HealthCheck, Phase, seed, settings

from resolvers.access.viewer import Viewer
from storage.database.database import Database
from storage.migrations.migrate import migrate
from tests.reference.rows import Rows, insert, select
from tests.reference.worlds import random_rows

if TYPE_CHECKING:
    from tests.conftest import Gateway

EXAMPLES = int(os.environ.get("EXAMPLES", "2000"))
SEED = int(os.environ.get("SEED") or random.SystemRandom().randrange(2**32))
AGAIN = f"make prove EXAMPLES={EXAMPLES} SEED={SEED}"
"""What to type to see a failure again."""
WORLDS = 20

_EMPTY = """
TRUNCATE espace, process, action, input, authorisation, execution, execution_step;
DELETE FROM profile WHERE NOT built_in;
DELETE FROM source WHERE NOT built_in;
-- The rows to come bring ids of their own, all below these.
SELECT setval(pg_get_serial_sequence(t, 'id'), 1000) FROM unnest('{process, action}'::text[]) AS t;
"""

Test = TypeVar("Test", bound=Callable[..., Any])


def proof(*phases: Phase, one_in: int = 1) -> Callable[[Test], Test]:
    """Makes a test a proof, for which ``EXAMPLES`` and ``SEED`` hold.

    Args:
        phases: those that Hypothesis takes.
        one_in: of so many examples it takes one.
    """
    count = max(1, EXAMPLES // one_in)

    def decorate(test: Test) -> Test:
        governed = settings(
            max_examples=count,
            deadline=None,
            database=None,
            report_multiple_bugs=False,
            phases=phases,
            # Operations of the real schema take many choices; none of these is a fault of a test.
            suppress_health_check=[
                HealthCheck.too_slow,
                HealthCheck.data_too_large,
                HealthCheck.large_base_example,
            ],
        )(seed(SEED)(test))
        marked: Test = pytest.mark.timeout(max(300, count))(governed)
        return marked

    return decorate


@dataclass(frozen=True, eq=False)
class World:
    """A random database: in plain rows, and in PostgreSQL behind a gateway."""

    number: int
    rows: Rows
    gateway: Gateway
    viewers: Mapping[str, Viewer]
    tokens: Mapping[str, str]

    @classmethod
    async def of(cls, number: int, gateway: Gateway) -> World:
        """The world that is in the gateway's database."""
        rows = await select(gateway.database)
        names: Sequence[str] = [profile["name"] for profile in rows["profile"]]
        return cls(
            number,
            rows,
            gateway,
            {name: await gateway.viewer(name) for name in names},
            {name: await gateway.token(name, timedelta(days=30)) for name in names},
        )


class Worlds(tuple[World, ...]):
    """All of them."""

    def _repr_pretty_(self, printer: Any, _cycle: bool) -> None:
        """A failure says which one it was in; the rows of all are too many to show."""
        printer.text("Worlds")


def read_json(text: bytes) -> Any:
    """A JSON value, in which no key may stand twice in one object."""

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        read = dict(pairs)
        assert len(read) == len(pairs), f"a key stands twice: {pairs}"
        return read

    return json.loads(text, object_pairs_hook=once)


def written(value: object, *, in_order: bool = True) -> str:
    """A value as canonical JSON.

    Args:
        in_order: whether the order of keys counts.
    """
    return json.dumps(value, ensure_ascii=False, sort_keys=not in_order)


async def random_database(maker: Database, number: int) -> Database:
    """A random database, in a schema of its own, which takes much less time than a database.

    Args:
        maker: connected to where the schemas are made.
    """
    async with maker.transaction() as transaction:
        await transaction.script(f"CREATE SCHEMA world_{number}")
    database = await Database.connect(
        f"{maker.url}&search_path=world_{number}&synchronous_commit=off",
        pool_max=2,
        statement_cache_size=0,  # few statements come a second time
    )
    await migrate(database)
    await fill(database, number)
    return database


async def fill(database: Database, number: int) -> None:
    """Put the rows of a random database in the place of those that are there."""
    async with database.transaction() as transaction:
        await transaction.script(_EMPTY)
    # The first two are what they are; the others are others each time.
    await insert(database, random_rows(number if number < 2 else SEED + number))
