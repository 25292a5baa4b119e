"""The most expensive queries that the limits allow, known ones and those that a search finds."""

from __future__ import annotations

import os

from gateway.services import open_services
from storage.database.database import Database
from storage.demo.load import generate
from tests.conftest import database_copy, settings_for_tests
from tests.hostile.worst_read import open_search, worst

_SECONDS = 30.0 if os.environ.get("CHAOS") else 3.0
"""How long each search takes."""
_MB = 1_000_000


async def test_no_query_takes_much(postgres: str, template: str) -> None:
    async with database_copy(postgres, template) as url:
        database = await Database.connect(url, pool_max=4)
        await generate(database, 10_000)
        async with open_services(settings_for_tests(), database) as services:
            tried, measured = await worst(services, _SECONDS)
            # About 0.25 s where the bound of a second was measured.
            unit = await (await open_search(services, seed=0)).reference_seconds()
        await database.close()
    assert tried > 50
    assert len([each for each in measured if each.cost > 500_000]) > 12
    for each in measured:
        assert each.cost <= 1_000_000
        assert each.seconds <= 4 * unit, each
        assert each.backend <= 150 * _MB, each
        assert each.gateway <= 100 * _MB, each
