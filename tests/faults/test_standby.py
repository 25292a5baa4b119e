"""Test a failover: the gateway gets to a hot standby, which accepts writes once it is promoted."""

from __future__ import annotations

import asyncio
from pathlib import Path

from tests.faults.conftest import POSTGRES_SETTINGS, Endure
from tests.faults.faults import administrator
from tests.faults.proxies import link
from tests.faults.world import SETTINGS, Fault, World, world_of
from tests.gateway.own_postgres import Postgres, own_postgres
from tests.gateway.programs import serving


async def test_a_standby_is_read_until_it_is_promoted(tmp_path: Path, endure: Endure) -> None:
    with own_postgres(tmp_path / "primary", **POSTGRES_SETTINGS) as primary:
        async with link(primary.port) as network:
            url = primary.url.replace(str(primary.port), str(network.port))
            with serving("--demo", "--database-url", url, **SETTINGS) as server:
                world = await world_of(server, primary.url, primary, link=network)
                with own_postgres(tmp_path / "standby", primary, **POSTGRES_SETTINGS) as standby:
                    await _replicate_synchronously(primary)
                    await endure(world, _failover(standby))


async def _replicate_synchronously(primary: Postgres) -> None:
    """Acknowledge a write when the standby has it: otherwise a failover may lose it."""
    async with administrator(primary) as connection:
        await connection.execute("ALTER SYSTEM SET synchronous_standby_names = '*'")
        await connection.execute("SELECT pg_reload_conf()")


def _failover(standby: Postgres) -> Fault:
    async def fail_over(world: World) -> None:
        assert world.link
        world.url = standby.url
        world.link.target = standby.port
        world.link.cut()
        await asyncio.sleep(1)
        async with administrator(standby) as connection:
            await connection.execute("SELECT pg_promote()")

    return Fault("failover to a standby", fail_over, reads_fail=False, unready=False)
