"""Fixtures for all tests: a real PostgreSQL server per session, and a database per test.

On the database of the test, ``graph`` opens the pipeline without HTTP, and ``gateway`` starts a
gateway on a real port. The property tests share random databases (``worlds``).
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, cast

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
from resolvers.errors.catalogue import GatewayError
from resolvers.operations.answers import Answer, error_answer
from resolvers.operations.run import GraphQLRequest, Prepared
from rest_compat.http import Response
from storage.database.database import Database
from storage.migrations.migrate import migrate
from tests.proof import WORLDS, World, Worlds, fill, random_database

SECRET = "a secret that is only good for tests, and long enough"
SECRET_KEY = "a2V5IHRoYXQgaXMgb25seSBnb29kIGZvciB0ZXN0cyE="
_TEMPLATE = "template_of_tests"
_numbers = itertools.count()


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """Start a PostgreSQL server for the session, and yield its URL."""
    with tempfile.TemporaryDirectory(prefix="gateway-tests-") as folder:
        EmbeddedPostgres.start(Path(folder)).stop()
        # Many gateways live as long as the session, and each keeps connections.
        with (Path(folder) / "postgres" / "postgresql.auto.conf").open("a") as settings:
            settings.write("max_connections = 300\n")
        server = EmbeddedPostgres.start(Path(folder))
        try:
            yield server.url
        finally:
            server.stop()


def in_database(url: str, name: str) -> str:
    """Return the URL of another database on the same server."""
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
    """Create a migrated, otherwise empty database that is copied for each test."""
    # Durability does not matter here, and each test creates and drops a database.
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
    """Create a copy of the template, yield its URL, and drop it at the end."""
    name = f"test_{next(_numbers)}"
    await _run(postgres, f"CREATE DATABASE {name} TEMPLATE {template}")
    try:
        yield in_database(postgres, name)
    finally:
        await _run(postgres, f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
async def database_url(postgres: str, template: str) -> AsyncIterator[str]:
    """Create a migrated database for the test, and yield its URL."""
    async with database_copy(postgres, template) as url:
        yield url


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    """Open a connection pool to the database of the test."""
    opened = await Database.connect(database_url, pool_max=4)
    yield opened
    await opened.close()


def body_of(answer: Answer | Response) -> bytes:
    """Return the body of an answer in one piece."""
    return b"".join(cast("tuple[bytes, ...]", answer.parts))


@dataclass(frozen=True)
class KnownCaller:
    """The holder of a token that does not expire."""

    services: Services
    profile_id: int
    token_id: str = "none"

    def viewer(self) -> Viewer:
        return self.services.directory.known(self.profile_id, self.token_id)


@dataclass
class Graph:
    """Runs GraphQL operations in the pipeline, without HTTP."""

    services: Services

    @property
    def database(self) -> Database:
        return self.services.database

    async def viewer(self, profile: str) -> Viewer:
        """Return the viewer that a token for this profile would identify."""
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
        extensions: dict[str, Any] | None = None,
    ) -> Answer:
        """Run an operation, and return the answer; of a subscription, the first one."""
        operations = self.services.operations
        request = GraphQLRequest(query, operation, variables or {}, extensions or {})
        if profile is not None:
            viewer = await self.viewer(profile)
            prepared = await operations.prepare(request)
            if prepared.is_subscription:
                async with self.following(prepared, viewer.profile_id) as answers:
                    return await anext(answers)
            return await operations.run(prepared, viewer)
        try:
            return await operations.run(await operations.prepare_public(request), None)
        except GatewayError as error:
            return error_answer(error)

    @contextlib.asynccontextmanager
    async def following(
        self, prepared: Prepared, profile_id: int
    ) -> AsyncIterator[AsyncIterator[Answer]]:
        """Start a prepared subscription, and yield its answers."""
        changed = asyncio.Event()
        started = await self.services.subscriptions.subscribe(
            prepared, KnownCaller(self.services, profile_id), lambda _: changed.set()
        )

        async def answers() -> AsyncIterator[Answer]:
            if isinstance(started, Answer):
                yield started
                return
            while True:
                await changed.wait()
                changed.clear()
                if started.error is not None:
                    raise started.error
                if (answer := started.take()) is not None:
                    yield Answer((answer,))

        try:
            yield answers()
        finally:
            if not isinstance(started, Answer):
                started.close()

    async def ask(
        self,
        query: str,
        variables: dict[str, Any] | None = None,
        *,
        profile: str | None = "admin",
        extensions: dict[str, Any] | None = None,
    ) -> dict[str, Any]:
        """Run an operation, and return the parsed response."""
        answer = await self.answer(query, variables, profile=profile, extensions=extensions)
        response: dict[str, Any] = json.loads(body_of(answer))
        return response

    async def data(
        self, query: str, variables: dict[str, Any] | None = None, *, profile: str = "admin"
    ) -> dict[str, Any]:
        """Run an operation that succeeds, and return its ``data``."""
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
        """Run an operation that fails with one error, and return the error."""
        response = await self.ask(query, variables, profile=profile)
        error: dict[str, Any]
        (error,) = response["errors"]
        return error

    async def run(self, statement: str, *args: object) -> Any:
        """Run an SQL statement, and return its rows as dicts."""
        async with self.database.transaction() as transaction:
            return [dict(row) for row in await transaction.fetch(statement, *args)]


NO_LIMITS: dict[str, Any] = {
    "max_query_tokens": 100_000,
    "max_query_aliases": 100_000,
    "max_query_directives": 100_000,
    "max_query_root_fields": 100_000,
    "max_query_fields": 100_000,
    "cost_mode": "off",
    # So small that documents are dropped all the time.
    "operation_cache_bytes": 2 * 1024 * 1024,
}
"""Settings for property tests, whose random operations can be of any size."""


def settings_for_tests(**values: Any) -> Settings:
    """Return settings with these values, independent of the environment."""
    return Settings.model_validate(
        {"token_secret": SECRET, "secret_keys": SECRET_KEY, "port": 0, **values}
    )


_ENTRY_POINTS = """[process_gateway.sources]
lamp = tests.resolvers.home:LampKind
trouble = tests.resolvers.home:TroubleKind
"""


@pytest.fixture(scope="session")
def installed_package(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Install the metadata of a package that adds source kinds, as pip does."""
    folder = tmp_path_factory.mktemp("packages")
    info = folder / "lamps-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: lamps\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(_ENTRY_POINTS)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(folder)
        yield


@pytest.fixture
async def graph(database: Database) -> AsyncIterator[Graph]:
    """Open the pipeline on the empty database of the test."""
    async with open_services(settings_for_tests(), database) as services:
        yield Graph(services)


@dataclass(frozen=True)
class Reply:
    """An HTTP response."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Gateway(Graph):
    """A gateway that listens on a real port."""

    def __init__(self, services: Services, url: str, client: aiohttp.ClientSession) -> None:
        super().__init__(services)
        self.url = url
        self._client = client

    async def token(self, profile: str = "admin", ttl: timedelta = timedelta(hours=1)) -> str:
        """Issue a token for a profile."""
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
        """Send an HTTP request.

        Args:
            body: Sent unchanged if it is bytes, otherwise as JSON. Declared as JSON, unless
                ``headers`` has another ``Content-Type``.
            profile: The profile to issue a token for, or None to send no token.
            encoded: Whether ``path`` is already percent-encoded.
        """
        headers = dict(headers or {})
        if profile is not None:
            headers.setdefault("Authorization", await self.token(profile))
        if body is not None:
            headers.setdefault("Content-Type", "application/json")
        data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        url = URL(f"{self.url}{path}", encoded=encoded)
        async with self._client.request(
            method, url, data=data, headers=headers, allow_redirects=False
        ) as response:
            return Reply(response.status, dict(response.headers), await response.read())


StartGateway = Callable[..., contextlib.AbstractAsyncContextManager[Gateway]]


@contextlib.asynccontextmanager
async def running_gateway(database: Database, **values: Any) -> AsyncIterator[Gateway]:
    """Start a gateway with these settings on a free local port."""
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
    """Create the random databases that property tests read. The first one is empty."""
    async with database_copy(postgres, template) as url, contextlib.AsyncExitStack() as stack:
        connection = await Database.connect(url)
        stack.push_async_callback(connection.close)
        opened = []
        for number in range(WORLDS):
            database = await random_database(connection, number)
            stack.push_async_callback(database.close)
            started = running_gateway(database, **NO_LIMITS)
            gateway = await stack.enter_async_context(started)
            await fill(database, number)  # a gateway that starts writes what sources offer
            opened.append(await World.of(number, gateway))
        yield Worlds(opened)


@pytest.fixture
async def gateway(database: Database) -> AsyncIterator[Gateway]:
    """Start a gateway on the empty database of the test."""
    async with running_gateway(database) as started:
        yield started


@pytest.fixture
def start_gateway(database: Database) -> StartGateway:
    """Return a function that starts a gateway with other settings on the database of the test."""
    return lambda **values: running_gateway(database, **values)
