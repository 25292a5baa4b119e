"""Run one gateway for all tests. Each test starts with an empty database."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from storage.database.database import Database
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
