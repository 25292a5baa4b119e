"""Test that the prepared statements of a connection take no more memory than they may."""

from __future__ import annotations

import pytest

from storage.database.database import Database
from tests.storage.database.conftest import connected

_KEPT = (
    "SELECT convert_to(coalesce(sum(total_bytes), 0)::bigint::text, 'UTF8')"
    " FROM pg_backend_memory_contexts WHERE name LIKE 'CachedPlan%'"
)
"""What the backend keeps for statements, the one that asks included."""

_NAMES = "SELECT convert_to(count(*)::text, 'UTF8') FROM pg_prepared_statements"


def branches(count: int, number: int = 0) -> str:
    """Return a read with so many branches across relations, different for each number."""
    exists = " OR ".join(
        "EXISTS (SELECT FROM action JOIN source ON source.id = action.source_id WHERE"
        f" action.process_id = process.id AND source.name = 'source {number} {branch}')"
        for branch in range(count)
    )
    return f"SELECT convert_to(count(*)::text, 'UTF8') FROM process WHERE {exists}"


async def number(database: Database, sql: str) -> int:
    value = await database.fetch_json(sql, [])
    assert value is not None
    return int(value)


@pytest.mark.parametrize("budget", [1_000_000, 4_000_000])
async def test_the_memory_for_statements_is_bounded(database_url: str, budget: int) -> None:
    async with connected(database_url, pool_max=1, statement_cache_bytes=budget) as database:
        for repeat in range(60):
            await database.fetch_json(branches(1 + repeat % 12, repeat), [])
        assert await number(database, _KEPT) < budget
        assert await number(database, _NAMES) > 3


async def test_a_statement_that_is_larger_than_the_budget_is_not_kept(database_url: str) -> None:
    async with connected(database_url, pool_max=1, statement_cache_bytes=500_000) as database:
        before = await number(database, _KEPT)
        assert await database.fetch_json(branches(400), []) == b"0"
        assert await number(database, _KEPT) - before < 100_000
        assert await number(database, _NAMES) == 2


async def test_the_statements_that_are_used_stay_prepared(database_url: str) -> None:
    async with connected(database_url, pool_max=1, statement_cache_bytes=500_000) as database:
        used = "SELECT convert_to(count(*)::text, 'UTF8') FROM espace"
        count = (
            "SELECT convert_to(count(*)::text, 'UTF8') FROM pg_prepared_statements"
            " WHERE statement LIKE '%FROM espace' AND generic_plans > 50"
        )
        for repeat in range(60):
            await database.fetch_json(used, [])
            await database.fetch_json(branches(2, repeat), [])
        assert await number(database, count) == 1


async def test_nothing_is_prepared_for_a_pooler(database_url: str) -> None:
    async with connected(database_url, pool_max=1, statement_cache_bytes=0) as database:
        for _ in range(3):
            assert await database.fetch_json(branches(2), []) == b"0"
            async with database.transaction() as transaction:
                rows = await transaction.fetch("SELECT $1::integer[] AS numbers", [1, 2])
                assert rows[0]["numbers"] == [1, 2]
        assert await number(database, _NAMES) == 0


async def test_a_statement_whose_columns_changed_is_prepared_again(database_url: str) -> None:
    async with connected(database_url, pool_max=1) as database:
        async with database.transaction() as transaction:
            await transaction.script("CREATE TABLE changing (value integer)")
            await transaction.fetch("INSERT INTO changing VALUES (1)")
        assert [row["value"] for row in await database.fetch("SELECT * FROM changing")] == [1]
        async with database.transaction() as transaction:
            await transaction.script("ALTER TABLE changing ALTER value TYPE text")
        assert [row["value"] for row in await database.fetch("SELECT * FROM changing")] == ["1"]
