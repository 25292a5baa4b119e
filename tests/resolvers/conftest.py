"""Fixtures for tests of writes: a home, on a gateway with two source kinds from a package."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable

import pytest

from gateway.services import open_services
from storage.database.database import Database
from tests.conftest import Graph, database_copy, settings_for_tests
from tests.resolvers.home import Home

_RESET = """
TRUNCATE espace, process, action, input, authorisation, execution, execution_step, revoked_token
    RESTART IDENTITY;
DELETE FROM profile WHERE NOT built_in;
DELETE FROM source WHERE NOT built_in;
"""


@pytest.fixture(scope="session")
async def shared_home(postgres: str, template: str, installed_package: None) -> AsyncIterator[Home]:
    """One gateway for all tests of writes: starting one takes longer than most of the tests."""
    async with database_copy(postgres, template) as url:
        database = await Database.connect(url, pool_max=4)
        try:
            async with open_services(settings_for_tests(), database) as services:
                yield Home(Graph(services))
        finally:
            await database.close()


@pytest.fixture
async def home(shared_home: Home) -> AsyncIterator[Home]:
    """An empty home."""
    yield shared_home
    async with shared_home.graph.database.transaction() as transaction:
        await transaction.script(_RESET)


@pytest.fixture
def home_with(
    database: Database, installed_package: None
) -> Callable[..., contextlib.AbstractAsyncContextManager[Home]]:
    """Return a function that opens a home on a gateway with other settings."""

    @contextlib.asynccontextmanager
    async def opened(**settings: object) -> AsyncIterator[Home]:
        async with open_services(settings_for_tests(**settings), database) as services:
            yield Home(Graph(services))

    return opened
