"""Test a server that accepts no writes: the gateway starts, reads, and says why it cannot write."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from storage.database.database import Database
from storage.database.errors import ReadOnlyDatabaseError
from storage.migrations.migrate import migrate
from tests.conftest import Gateway, running_gateway
from tests.gateway.own_postgres import own_postgres
from tests.storage.database.conftest import beside, connected

_CREATE = (
    'mutation { createEspace(espace: {reference: "cellar", name: "Cellar"}) { espace { id } } }'
)
_REASON = "the database is read-only at the moment; reads work, writes do not"


async def check_reads_and_writes(gateway: Gateway) -> None:
    data = await gateway.data("{ espaces { totalCount } processes { totalCount } }")
    assert data == {"espaces": {"totalCount": 0}, "processes": {"totalCount": 0}}
    error = await gateway.error(_CREATE)
    assert (error["message"], error["extensions"]["code"]) == (_REASON, "DATABASE_UNAVAILABLE")
    body = {"reference": "a", "name": "A"}
    reply = await gateway.call("POST", "/process", body)
    assert (reply.status, reply.json["message"]) == (503, _REASON)
    reply = await gateway.call("GET", "/process")
    assert (reply.status, reply.json["data"]) == (200, [])


async def test_a_read_only_database_is_read(database_url: str) -> None:
    name = database_url.partition("?")[0].rpartition("/")[2]
    async with beside(database_url) as other:
        await other.run(f"ALTER DATABASE {name} SET default_transaction_read_only = on")
    async with connected(database_url) as database:
        assert await migrate(database) == []
        async with running_gateway(database) as gateway:
            await check_reads_and_writes(gateway)


async def test_a_read_only_database_cannot_be_migrated(postgres: str) -> None:
    async with connected(f"{postgres}&default_transaction_read_only=on") as database:
        with pytest.raises(ReadOnlyDatabaseError):
            await migrate(database)


async def test_a_gateway_on_a_standby_reads_and_follows_revocations(tmp_path: Path) -> None:
    with own_postgres(tmp_path / "primary") as primary:
        database = await Database.connect(primary.url)
        await migrate(database)
        await database.close()
        with own_postgres(tmp_path / "standby", primary) as standby:
            async with connected(standby.url) as database:
                assert await migrate(database) == []
                async with running_gateway(database) as gateway, beside(primary.url) as other:
                    await check_reads_and_writes(gateway)
                    token = await gateway.token("guest")
                    headers = {"Authorization": token}
                    path = "/processes"
                    reply = await gateway.call("GET", path, profile=None, headers=headers)
                    assert reply.status == 200
                    claims = gateway.services.keys.verify(token)
                    await other.run(
                        "INSERT INTO revoked_token VALUES ($1, now() + interval '1 hour')",
                        claims.token_id,
                    )
                    async with asyncio.timeout(10):
                        while reply.status == 200:
                            reply = await gateway.call("GET", path, profile=None, headers=headers)
                            await asyncio.sleep(0.05)
                    assert reply.status == 401
