"""Fixtures for the read tests: one database for all of them, because none of them changes it."""

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
    """Open the pipeline on a new database."""
    async with database_copy(postgres, template) as url:
        database = await Database.connect(url, pool_max=4)
        try:
            async with open_services(settings_for_tests(), database) as services:
                yield Graph(services)
        finally:
            await database.close()


@pytest.fixture(scope="session")
async def home(postgres: str, template: str) -> AsyncIterator[Graph]:
    """Open the pipeline on the rows of ``tests.resolvers.operations.home``. Read-only."""
    async with graph_on_copy(postgres, template) as graph:
        await insert(graph.database, ROWS)
        yield graph
