"""What tests run against: a real PostgreSQL for the session, a database of its own for each test,
and on it the pipeline (``graph``) or a whole gateway behind a real port (``gateway``). The proofs
share random databases (``worlds``).
"""

from __future__ import annotations

import contextlib
import itertools
import json
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import aiohttp
import asyncpg
import pytest
from aiohttp import web
from yarl import URL

from gateway.http.dispatch import create_server
from gateway.postgres.embedded import EmbeddedPostgres
from gateway.services import Services, open_services
from gateway.settings.model import Settings
from resolvers.access.viewer import Viewer
from resolvers.operations.answers import Answer
from resolvers.operations.run import GraphQLRequest
from rest_compat.http import Response
from storage.database.database import Database
from storage.migrations.migrate import migrate
from tests.proof import WORLDS, World, Worlds, random_database

SECRET = "a secret that is only good for tests, and long enough"
_TEMPLATE = "template_of_tests"
_numbers = itertools.count()


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """The address of a PostgreSQL server, without a database's name."""
    with tempfile.TemporaryDirectory(prefix="gateway-tests-") as folder:
        server = EmbeddedPostgres.start(Path(folder))
        try:
            yield server.url
        finally:
            server.stop()


def in_database(url: str, name: str) -> str:
    """The address of another database of the same server."""
    address, _, parameters = url.partition("?")
    return f"{address.rpartition('/')[0]}/{name}?{parameters}"


async def _run(url: str, statement: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(statement)
    finally:
        await connection.close()


@pytest.fixture(scope="session")
async def template(postgres: str) -> str:
    """A migrated, otherwise empty database that every test gets a copy of."""
    # Nothing here has to survive a power cut, and every test makes and drops a database.
    for setting in ("fsync", "synchronous_commit", "full_page_writes"):
        await _run(postgres, f"ALTER SYSTEM SET {setting} = off")
    await _run(postgres, "SELECT pg_reload_conf()")
    await _run(postgres, f"CREATE DATABASE {_TEMPLATE}")
    database = await Database.connect(in_database(postgres, _TEMPLATE))
    await migrate(database)
    await database.close()
    return _TEMPLATE


@contextlib.asynccontextmanager
async def database_copy(postgres: str, template: str) -> AsyncIterator[str]:
    """The address of a new database, gone at the end."""
    name = f"test_{next(_numbers)}"
    await _run(postgres, f"CREATE DATABASE {name} TEMPLATE {template}")
    try:
        yield in_database(postgres, name)
    finally:
        await _run(postgres, f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
async def database_url(postgres: str, template: str) -> AsyncIterator[str]:
    """The address of a migrated database of the test's own."""
    async with database_copy(postgres, template) as url:
        yield url


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    """A connection pool to the test's own database."""
    opened = await Database.connect(database_url, pool_max=4)
    yield opened
    await opened.close()


def body_of(answer: Answer | Response) -> bytes:
    """The body of an answer, in one piece."""
    return b"".join(answer.parts)


@dataclass
class Graph:
    """The pipeline, without HTTP."""

    services: Services

    @property
    def database(self) -> Database:
        return self.services.database

    async def viewer(self, profile: str) -> Viewer:
        """The viewer that a token for this profile would speak for."""
        async with self.database.transaction() as transaction:
            profile_id = await transaction.fetch_value(
                "SELECT id FROM profile WHERE name = $1", profile
            )
        assert isinstance(profile_id, int), f"there is no profile {profile}"
        return await self.services.directory.viewer(profile_id, "none")

    async def answer(
        self,
        query: str,
        variables: dict[str, Any] | None = None,
        *,
        profile: str | None = "admin",
        operation: str | None = None,
    ) -> Answer:
        """The answer to an operation as it would go out."""
        viewer = await self.viewer(profile) if profile is not None else None
        request = GraphQLRequest(query, operation, variables or {})
        return await self.services.operations.answer(request, viewer)

    async def ask(
        self, query: str, variables: dict[str, Any] | None = None, *, profile: str | None = "admin"
    ) -> dict[str, Any]:
        """The whole response, parsed."""
        parsed: dict[str, Any] = json.loads(
            body_of(await self.answer(query, variables, profile=profile))
        )
        return parsed

    async def data(
        self, query: str, variables: dict[str, Any] | None = None, *, profile: str = "admin"
    ) -> dict[str, Any]:
        """The data of a response that has no errors."""
        response = await self.ask(query, variables, profile=profile)
        assert "errors" not in response, response["errors"]
        data: dict[str, Any] = response["data"]
        return data

    async def error(
        self,
        query: str,
        variables: dict[str, Any] | None = None,
        *,
        profile: str | None = "admin",
    ) -> dict[str, Any]:
        """The one error of a response."""
        response = await self.ask(query, variables, profile=profile)
        (error,) = response["errors"]
        found: dict[str, Any] = error
        return found

    async def run(self, statement: str, *args: object) -> Any:
        """Rows straight from the database, as dicts."""
        async with self.database.transaction() as transaction:
            return [dict(row) for row in await transaction.fetch(statement, *args)]


def settings_for_tests(**values: Any) -> Settings:
    """Settings that read nothing from outside, with these values."""
    return Settings.model_validate({"token_secret": SECRET, "port": 0, **values})


@pytest.fixture
async def graph(database: Database) -> AsyncIterator[Graph]:
    """The pipeline on the test's own, empty database."""
    async with open_services(settings_for_tests(), database) as services:
        yield Graph(services)


@dataclass(frozen=True)
class Reply:
    """What came back over HTTP."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Gateway(Graph):
    """A gateway behind a real port."""

    def __init__(self, services: Services, url: str, client: aiohttp.ClientSession) -> None:
        super().__init__(services)
        self.url = url
        self._client = client

    async def token(self, profile: str = "admin", ttl: timedelta = timedelta(hours=1)) -> str:
        """A token for a profile."""
        viewer = await self.viewer(profile)
        return self.services.keys.issue(viewer.profile_id, profile, ttl)

    async def call(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        profile: str | None = "admin",
        headers: dict[str, str] | None = None,
        encoded: bool = False,
    ) -> Reply:
        """Send a request.

        Args:
            body: sent as it is where it is bytes, else as JSON.
            encoded: whether the path is as it is to be sent.
        """
        sent = dict(headers or {})
        if profile is not None:
            sent.setdefault("Authorization", await self.token(profile))
        data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        url = URL(f"{self.url}{path}", encoded=encoded)
        async with self._client.request(
            method, url, data=data, headers=sent, allow_redirects=False
        ) as response:
            return Reply(response.status, dict(response.headers), await response.read())


StartGateway = Callable[..., contextlib.AbstractAsyncContextManager[Gateway]]


@contextlib.asynccontextmanager
async def running_gateway(database: Database, **values: Any) -> AsyncIterator[Gateway]:
    """A gateway with these settings on a free port of this machine."""
    async with open_services(settings_for_tests(**values), database) as services:
        runner = web.ServerRunner(create_server(services))
        await runner.setup()
        try:
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            url = f"http://127.0.0.1:{runner.addresses[0][1]}"
            async with aiohttp.ClientSession() as client:
                yield Gateway(services, url, client)
        finally:
            await runner.cleanup()


@pytest.fixture(scope="session")
async def worlds(postgres: str, template: str) -> AsyncIterator[Worlds]:
    """The random databases of the proofs, which leave them as they are; the first is empty."""
    async with database_copy(postgres, template) as url, contextlib.AsyncExitStack() as stack:
        maker = await Database.connect(url)
        stack.push_async_callback(maker.close)
        found = []
        for number in range(WORLDS):
            database = await random_database(maker, number)
            stack.push_async_callback(database.close)
            started = running_gateway(database, max_query_tokens=100_000, operation_cache_size=10)
            found.append(await World.of(number, await stack.enter_async_context(started)))
        yield Worlds(found)


@pytest.fixture
async def gateway(database: Database) -> AsyncIterator[Gateway]:
    """A gateway on the test's own, empty database."""
    async with running_gateway(database) as started:
        yield started


@pytest.fixture
def start_gateway(database: Database) -> StartGateway:
    """Starts gateways with other settings on the test's own database."""
    return lambda **values: running_gateway(database, **values)
