"""Gateways that several tests share because the tests change nothing, and a browser."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from playwright.async_api import Browser, async_playwright

from storage.database.database import Database
from tests.conftest import Gateway, database_copy, running_gateway
from tests.gateway.programs import require_program
from tests.resolvers.home import Home


@pytest.fixture(scope="module")
async def shared(postgres: str, template: str) -> AsyncIterator[Gateway]:
    """A gateway with two processes, shared because rejected requests change nothing."""
    async with database_copy(postgres, template) as url:
        database = await Database.connect(url, pool_max=4)
        try:
            async with running_gateway(database) as gateway:
                home = Home(gateway)
                await home.process("hall", actions=[{"source": "echo", "action": "say"}])
                await home.process("attic", inputs=[{"name": "n"}])
                yield gateway
        finally:
            await database.close()


@pytest.fixture
async def hostile(shared: Gateway) -> AsyncIterator[Gateway]:
    """The shared gateway; fails the test if its data changed."""
    before = await Home(shared).dump()
    yield shared
    assert await Home(shared).dump() == before


@pytest.fixture(scope="module")
async def empty_gateway(postgres: str, template: str) -> AsyncIterator[Gateway]:
    """A gateway on an empty database."""
    async with database_copy(postgres, template) as url:
        database = await Database.connect(url, pool_max=4)
        async with running_gateway(database) as started:
            yield started
        await database.close()


@pytest.fixture(scope="module")
async def browser() -> AsyncIterator[Browser]:
    """Chromium, without background requests."""
    path = require_program("chromium")
    quiet = "no-sandbox disable-gpu disable-quic no-first-run disable-background-networking"
    async with async_playwright() as playwright:
        started = await playwright.chromium.launch(
            executable_path=path,
            args=[f"--{name}" for name in f"{quiet} disable-component-update disable-sync".split()],
        )
        yield started
        await started.close()
