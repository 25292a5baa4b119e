"""Configure the property tests ("proofs"): the number of examples, the seed, and random databases.

``make prove EXAMPLES=20000`` runs more examples. ``SEED=…`` repeats the examples of an earlier run.
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
"""The command that reproduces a failure."""
WORLDS = 20

_EMPTY = """
TRUNCATE espace, process, action, input, authorisation, execution, execution_step;
DELETE FROM profile WHERE NOT built_in;
DELETE FROM source WHERE NOT built_in;
-- The inserted rows have explicit ids, all below these.
SELECT setval(pg_get_serial_sequence(t, 'id'), 1000) FROM unnest('{process, action}'::text[]) AS t;
"""

Test = TypeVar("Test", bound=Callable[..., Any])


def proof(*phases: Phase, one_in: int = 1, seconds: int = 1) -> Callable[[Test], Test]:
    """Turn a Hypothesis test into a proof that honors ``EXAMPLES`` and ``SEED``.

    Args:
        phases: The phases that Hypothesis runs.
        one_in: Divide the number of examples by this.
        seconds: The most time that an example takes on average.
    """
    count = max(1, EXAMPLES // one_in)

    def decorate(test: Test) -> Test:
        configured = settings(
            max_examples=count,
            deadline=None,
            database=None,
            report_multiple_bugs=False,
            phases=phases,
            # Operations of the real schema need many choices, which trips these checks.
            suppress_health_check=[
                HealthCheck.too_slow,
                HealthCheck.data_too_large,
                HealthCheck.large_base_example,
            ],
        )(seed(SEED)(test))
        marked: Test = pytest.mark.timeout(max(300, count * seconds))(configured)
        return marked

    return decorate


@dataclass(frozen=True, eq=False)
class World:
    """A random database: its plain rows, and a gateway that serves it from PostgreSQL."""

    number: int
    rows: Rows
    gateway: Gateway
    viewers: Mapping[str, Viewer]
    tokens: Mapping[str, str]

    @classmethod
    async def of(cls, number: int, gateway: Gateway) -> World:
        """Read the database of the gateway, and issue a token for each profile."""
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
    """All random databases."""

    def _repr_pretty_(self, printer: Any, _cycle: bool) -> None:
        """Print no rows: there are too many, and a failure names its database."""
        printer.text("Worlds")


def read_json(text: bytes) -> Any:
    """Parse a JSON value, and assert that it has no duplicate keys."""

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        members = dict(pairs)
        assert len(members) == len(pairs), f"duplicate key: {pairs}"
        return members

    return json.loads(text, object_pairs_hook=unique)


def written(value: object, *, in_order: bool = True) -> str:
    """Serialize a value as canonical JSON.

    Args:
        in_order: Whether to keep the order of keys. Otherwise they are sorted.
    """
    return json.dumps(_plain(value), ensure_ascii=False, sort_keys=not in_order)


def _plain(value: object) -> object:
    """Return a JSON value with integers for floats without a fraction: 1 and 1.0 are the same."""
    match value:
        case dict():
            return {key: _plain(member) for key, member in value.items()}
        case list():
            return [_plain(item) for item in value]
        case float() if value.is_integer():
            return int(value)
    return value


async def random_database(connection: Database, number: int) -> Database:
    """Create a random database in an SQL schema, which is much faster than in a separate database.

    Args:
        connection: A connection pool to the database that contains the schemas.
        number: The number of the random database.
    """
    async with connection.transaction() as transaction:
        await transaction.script(f"CREATE SCHEMA world_{number}")
    database = await Database.connect(
        f"{connection.url}&search_path=world_{number}&synchronous_commit=off",
        pool_max=2,
        statement_cache_bytes=0,  # few statements are run twice
    )
    await migrate(database)
    await fill(database, number)
    return database


async def fill(database: Database, number: int) -> None:
    """Replace all rows with those of a random database."""
    # The first two databases are the same in every run. The others depend on the seed. A gateway
    # that reads the profiles meanwhile finds those of before or of after, and never none.
    rows = random_rows(number if number < 2 else SEED + number)
    await insert(database, rows, after=_EMPTY)
