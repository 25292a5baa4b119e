"""Test that the embedded PostgreSQL is running again within 3 s after it was killed."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from pathlib import Path

from tests.faults.conftest import Endure
from tests.faults.world import CHAOS, SETTINGS, Fault, World, world_of
from tests.gateway.programs import children, postmaster, serving

_TIMES = 10 if CHAOS else 1
_RESTARTING = (503, {"status": "unavailable", "database": "restarting"})
_READY = (200, {"status": "ok", "database": "ok"})


async def test_the_embedded_postgresql_is_killed(tmp_path: Path, endure: Endure) -> None:
    data_dir = tmp_path / "data"

    async def kill(world: World) -> None:
        for number in range(_TIMES):
            if number:
                await asyncio.sleep(1.2)
            killed = postmaster(data_dir)
            for process in (killed, *children(killed)):
                os.kill(process, signal.SIGKILL)
            killed_at = time.monotonic()
            told: list[tuple[int, object]] = []
            while not told or told[-1] != _READY:
                told.append(await asyncio.to_thread(world.server.get, "/health/ready"))
                assert time.monotonic() - killed_at < 3 * _busy(), told[-1]
            assert _RESTARTING in told

    with serving("--demo", "--data-dir", data_dir, **SETTINGS) as server:
        world = await world_of(server, f"postgresql://postgres@/postgres?host={data_dir}/postgres")
        await endure(world, Fault("the embedded PostgreSQL is killed", kill, outages=_TIMES))


def _busy() -> float:
    """Return a factor by which a busy machine is slower."""
    return max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1))
