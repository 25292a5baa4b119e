"""Gateways for the tests of the dialects: a shared empty one, and one with the demo home."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from storage.database.database import Database
from storage.demo.home import load_home
from tests.conftest import Gateway, database_copy, running_gateway
from tests.rest_compat.api import Api

_EMPTY = """
TRUNCATE espace, process, action, input, authorisation, execution, execution_step, revoked_token
    RESTART IDENTITY;
DELETE FROM profile WHERE NOT built_in;
"""


@pytest.fixture(scope="session")
async def shared(postgres: str, template: str) -> AsyncIterator[Gateway]:
    async with database_copy(postgres, template) as url:
        database = await Database.connect(url, pool_max=4)
        try:
            async with running_gateway(database) as started:
                yield started
        finally:
            await database.close()


@pytest.fixture
async def api(shared: Gateway) -> Api:
    async with shared.database.transaction() as transaction:
        await transaction.script(_EMPTY)
    return Api(shared)


@pytest.fixture
async def home(database: Database) -> AsyncIterator[Gateway]:
    """A gateway on a database of the test's own that holds only the demo home."""
    assert await load_home(database)
    async with running_gateway(database) as started:
        yield started
