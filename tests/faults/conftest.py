"""Fixtures of the fault tests: a server of their own, and gateways in front of it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

import pytest

from tests.faults.proxies import haproxy, link
from tests.faults.world import CHAOS, SETTINGS, Fault, World, world_of
from tests.gateway.own_postgres import Postgres, own_postgres
from tests.gateway.programs import serving

# The database package tests a standby more quickly.
collect_ignore = [] if CHAOS else ["test_standby.py"]

Endure = Callable[[World, Fault], Awaitable[None]]
Report = Callable[[str], None]

POSTGRES_SETTINGS = {
    # A killed process loses nothing that it has handed to the kernel.
    "fsync": "off",
    "max_connections": "32",
}


_SUMMARIES = pytest.StashKey[list[str]]()


@pytest.fixture
def report(pytestconfig: pytest.Config) -> Report:
    """Return a function that takes a line about what was sent, and what came of it."""
    return pytestconfig.stash.setdefault(_SUMMARIES, []).append


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    """Print the reports of the long form."""
    if CHAOS:
        terminalreporter.section("requests under faults")
        for summary in config.stash.get(_SUMMARIES, []):
            terminalreporter.write_line(summary)


@pytest.fixture
def endure(report: Report) -> Endure:
    """Return a function that causes a fault in a world, and checks all answers."""

    async def run(world: World, fault: Fault) -> None:
        report(await world.endure(fault))

    return run


@pytest.fixture(scope="package")
def fragile(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Postgres]:
    """A PostgreSQL that only the tests of this package use."""
    with own_postgres(tmp_path_factory.mktemp("postgres"), **POSTGRES_SETTINGS) as server:
        yield server


@pytest.fixture(scope="module")
async def direct(fragile: Postgres) -> AsyncIterator[World]:
    """A gateway that connects to PostgreSQL directly."""
    with serving("--demo", "--database-url", fragile.url, **SETTINGS) as server:
        yield await world_of(server, fragile.url, fragile)
        await asyncio.to_thread(server.stop)


@pytest.fixture(scope="module")
async def behind(
    fragile: Postgres, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[World]:
    """A gateway that connects to PostgreSQL through HAProxy and a proxy that can be slow."""
    async with link(fragile.port) as slow:
        with haproxy(tmp_path_factory.mktemp("haproxy"), slow.port) as proxy:
            url = fragile.url.replace(str(fragile.port), str(proxy.port))
            with serving("--demo", "--database-url", url, **SETTINGS) as server:
                yield await world_of(server, fragile.url, fragile, proxy, slow)
                # In a thread: its connections end through the proxy of this process.
                await asyncio.to_thread(server.stop)
