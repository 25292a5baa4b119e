"""Test what clients get while the disk of PostgreSQL is full, and after that."""

from __future__ import annotations

import asyncio
import os
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from pathlib import Path

import asyncpg
import pytest

from tests.faults.conftest import POSTGRES_SETTINGS, Endure
from tests.faults.faults import accepts_connections, administrator
from tests.faults.world import SETTINGS, Fault, World, world_of
from tests.gateway.own_postgres import own_postgres
from tests.gateway.programs import serving

_MEGABYTES = 160
"""The size of the file system: a cluster and some room."""


@pytest.fixture(scope="module")
def disk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A small file system of its own."""
    if os.geteuid() != 0:
        pytest.skip("only root can mount a small file system")
    folder = tmp_path_factory.mktemp("disk")
    options = ["-t", "tmpfs", "-o", f"size={_MEGABYTES}m"]
    command = ["mount", *options, "tmpfs", str(folder)]
    mounted = subprocess.run(command, capture_output=True, text=True, check=False)
    if mounted.returncode:
        pytest.skip(f"a small file system cannot be mounted: {mounted.stderr}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)


@pytest.fixture(scope="module")
async def cramped(disk: Path) -> AsyncIterator[World]:
    """A gateway whose PostgreSQL is on the small file system."""
    with (
        own_postgres(disk / "data", **POSTGRES_SETTINGS) as postgres,
        serving("--demo", "--database-url", postgres.url, **SETTINGS) as server,
    ):
        yield await world_of(server, postgres.url, postgres)


def _fill(file: Path) -> None:
    with file.open("wb", buffering=0) as ballast:
        for size in (2**20, 2**12):
            with suppress(OSError):
                while True:
                    ballast.write(bytes(size))


async def test_tables_cannot_grow(disk: Path, cramped: World, endure: Endure) -> None:
    async def fill(world: World) -> None:
        await asyncio.to_thread(_fill, disk / "ballast")
        await asyncio.sleep(1)
        (disk / "ballast").unlink()

    await endure(cramped, Fault("the disk is full", fill, reads_fail=False, unready=False))


async def test_the_log_cannot_grow(disk: Path, cramped: World, endure: Endure) -> None:
    """PostgreSQL stops with a panic then, and does not start before there is room."""

    async def fill(world: World) -> None:
        await asyncio.to_thread(_fill, disk / "ballast")
        with suppress(asyncpg.PostgresError, OSError):
            async with administrator(world.postgres) as connection:
                for _ in range(20):
                    await connection.execute("SELECT pg_logical_emit_message(true, '', 'filler')")
                    await connection.execute("SELECT pg_switch_wal()")
        await asyncio.sleep(0.7)
        (disk / "ballast").unlink()
        if not world.postgres.runs:
            await asyncio.to_thread(world.postgres.start)
        await accepts_connections(world.postgres)

    await endure(cramped, Fault("the disk is full for the log", fill))
