"""What the tests of reads share: one home for all of them, since none of them changes it."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator

import pytest

from gateway.services import open_services
from storage.database.database import Database
from tests.conftest import Graph, database_copy, settings_for_tests
from tests.reference.rows import insert
from tests.resolvers.operations.home import ROWS


@contextlib.asynccontextmanager
async def graph_on_copy(postgres: str, template: str) -> AsyncIterator[Graph]:
    """The pipeline on a database of its own."""
    async with database_copy(postgres, template) as url:
        database = await Database.connect(url, pool_max=4)
        try:
            async with open_services(settings_for_tests(), database) as services:
                yield Graph(services)
        finally:
            await database.close()


@pytest.fixture(scope="session")
async def home(postgres: str, template: str) -> AsyncIterator[Graph]:
    """The pipeline on the home of ``tests.resolvers.operations.home``; to be read only."""
    async with graph_on_copy(postgres, template) as graph:
        await insert(graph.database, ROWS)
        yield graph
