"""A home to change, on a gateway beside which a package with two kinds of source is installed."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from gateway.services import open_services
from storage.database import Database
from tests.conftest import Graph, database_copy, settings_for_tests
from tests.writes.home import Home

_ENTRY_POINTS = """[process_gateway.sources]
lamp = tests.writes.home:LampKind
trouble = tests.writes.home:TroubleKind
"""


@pytest.fixture(autouse=True)
def installed_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What pip leaves of a package that adds kinds of source."""
    info = tmp_path / "lamps-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: lamps\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(_ENTRY_POINTS)
    monkeypatch.syspath_prepend(tmp_path)


@pytest.fixture
def home(graph: Graph) -> Home:
    return Home(graph)


@pytest.fixture(scope="session")
async def still(postgres: str, template: str) -> AsyncIterator[Home]:
    """A home that all tests of refusals share: what is refused changes nothing."""
    async with database_copy(postgres, template) as url:
        database = await Database.connect(url, pool_max=4)
        try:
            async with open_services(settings_for_tests(), database) as services:
                yield Home(Graph(services))
        finally:
            await database.close()


@pytest.fixture
def home_with(database: Database) -> Callable[..., contextlib.AbstractAsyncContextManager[Home]]:
    """Opens homes on gateways with other settings."""

    @contextlib.asynccontextmanager
    async def opened(**settings: object) -> AsyncIterator[Home]:
        async with open_services(settings_for_tests(**settings), database) as services:
            yield Home(Graph(services))

    return opened
