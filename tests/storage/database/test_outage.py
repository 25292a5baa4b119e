"""Test what is logged: an outage has two lines, and other failures one each."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path

import pytest

from storage.database.errors import DatabaseUnavailableError, ReadOnlyDatabaseError
from tests.gateway.own_postgres import own_postgres
from tests.storage.database.conftest import beside, connected

_READ = "SELECT ''::bytea"
_INSERT = "INSERT INTO espace (reference, name) VALUES ($1, 'x')"


def lines(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [
        record.getMessage()
        for record in caplog.records
        if record.name == "storage.database.outage" and record.levelno >= logging.WARNING
    ]


async def test_an_outage_is_logged_at_its_start_and_at_its_end(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with own_postgres(tmp_path / "data") as server:
        async with connected(server.url, pool_min=2) as database:
            await database.ping()
            server.stop()
            for _ in range(20):
                with pytest.raises(DatabaseUnavailableError):
                    await database.fetch_json(_READ, [])
            with pytest.raises(DatabaseUnavailableError):
                async with database.transaction():
                    pass
            (start,) = lines(caplog)
            assert start.startswith("the database cannot be used: ")
            server.start()
            async with asyncio.timeout(30):
                while len(lines(caplog)) < 2:
                    await database.ping()
                    await asyncio.sleep(0.05)
            _, end = lines(caplog)
            assert end.startswith("the database answers again after ")
            assert end.endswith("; 21 statements failed")
            assert not any(record.exc_info for record in caplog.records)


async def test_a_database_that_refuses_writes_is_logged_like_an_outage(
    database_url: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("storage.database.outage._SETTLED", 0.05)
    name = database_url.partition("?")[0].rpartition("/")[2]
    async with beside(database_url) as other:
        await other.run(f"ALTER DATABASE {name} SET default_transaction_read_only = on")
        async with connected(database_url) as database:
            for _ in range(5):
                with pytest.raises(ReadOnlyDatabaseError):
                    async with database.transaction() as transaction:
                        await transaction.fetch(_INSERT, "a")
                assert await database.fetch_json(_READ, []) == b""
            assert lines(caplog) == [
                "the database refuses statements: ReadOnlySQLTransactionError, SQLSTATE 25006"
            ]
            async with database.transaction() as transaction:
                await transaction.script("SET SESSION default_transaction_read_only = off")
            for reference in "ab":
                async with database.transaction() as transaction:
                    await transaction.fetch(_INSERT, reference)
                await asyncio.sleep(0.1)
            assert lines(caplog)[1].startswith("the database writes again after ")


async def test_the_failure_of_a_statement_is_logged_without_its_values(
    database_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with connected(database_url, statement_timeout=0.1) as database:
        with pytest.raises(DatabaseUnavailableError):
            await database.fetch_json("SELECT 'secret'::bytea FROM pg_sleep(9)", [])
    assert lines(caplog) == ["a statement failed: QueryCanceledError, SQLSTATE 57014"]
