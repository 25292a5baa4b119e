"""Run a gateway in a process of its own, attack it, and watch what another client notices."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Protocol
from urllib.parse import urlsplit

import asyncpg

from gateway.auth.tokens import TokenKeys
from storage.database.database import Database
from storage.demo.load import generate
from tests.conftest import SECRET, database_copy
from tests.faults.world import CHAOS
from tests.gateway.programs import Server, serving
from tests.hostile import honest_client

COUNT = {"query": "{ processes { totalCount } }"}

# The short form takes the 9th of 10 requests, which is less sensitive to a busy machine.
_ROUNDS = 4
_REQUESTS = 1000 if CHAOS else 120
_QUANTILES = 100 if CHAOS else 10
_NOISE = 0.004
"""Seconds that a busy machine may add to a request at any time."""


class HasUrl(Protocol):
    """A gateway, in this process or in another one."""

    @property
    def url(self) -> str: ...


@dataclass(frozen=True)
class Attacked:
    """A gateway that runs in another process."""

    server: Server
    database_url: str
    admin: str
    """A token with all permissions."""

    @property
    def url(self) -> str:
        return self.server.url

    @property
    def address(self) -> tuple[str, int]:
        url = urlsplit(self.url)
        assert url.hostname
        assert url.port
        return url.hostname, url.port

    async def token(self) -> str:
        return self.admin

    def head(self, method: str, path: str, *more: str) -> bytes:
        """Return the request line and the headers of a request of the admin."""
        lines = [f"{method} {path} HTTP/1.1", "Host: gateway", f"Authorization: {self.admin}"]
        return "\r\n".join([*lines, *more, "", ""]).encode()

    def post(self, body: object = COUNT, *more: str) -> bytes:
        """Return a GraphQL request of the admin."""
        data = json.dumps(body).encode()
        length = f"Content-Length: {len(data)}"
        return self.head("POST", "/graphql", "Content-Type: application/json", length, *more) + data

    def peak_memory(self) -> int:
        """Return the most memory that the process has used so far, in bytes."""
        status = Path(f"/proc/{self.server.process.pid}/status").read_text()
        return int(status.partition("VmHWM:")[2].split()[0]) * 1024

    def open_files(self) -> int:
        """Return the number of open files of the process."""
        return len(list(Path(f"/proc/{self.server.process.pid}/fd").iterdir()))

    async def active(self, part: str) -> int:
        """Return how many connections run a statement that contains ``part``."""
        connection = await asyncpg.connect(self.database_url)
        try:
            count: int = await connection.fetchval(
                "SELECT count(*) FROM pg_stat_activity WHERE state = 'active'"
                " AND datname = current_database() AND pid <> pg_backend_pid()"
                " AND position($1 IN query) > 0",
                part,
            )
            return count
        finally:
            await connection.close()


@contextlib.asynccontextmanager
async def attacked(database_url: str, **settings: object) -> AsyncIterator[Attacked]:
    """Run a gateway with these settings on a migrated database."""
    variables = {f"GATEWAY_{name.upper()}": str(value) for name, value in settings.items()}
    connection = await asyncpg.connect(database_url)
    try:
        admin = await connection.fetchval("SELECT id FROM profile WHERE name = 'admin'")
    finally:
        await connection.close()
    token = TokenKeys(SECRET).issue(admin, "admin", timedelta(hours=1))
    with serving(
        *("--database-url", database_url), GATEWAY_TOKEN_SECRET=SECRET, **variables
    ) as server:
        await asyncio.to_thread(server.ready)
        yield Attacked(server, database_url, token)


@contextlib.asynccontextmanager
async def attacked_on_copy(
    postgres: str, template: str, **settings: object
) -> AsyncIterator[Attacked]:
    """Run a gateway with these settings on a database of 3,000 processes."""
    async with database_copy(postgres, template) as url:
        database = await Database.connect(url)
        await generate(database, 3000)
        await database.close()
        async with attacked(url, **settings) as started:
            yield started


async def talk(target: HasUrl, *parts: bytes, seconds: float = 15) -> bytes:
    """Send the parts one by one, and return what arrives until the gateway closes."""
    url = urlsplit(target.url)
    reader, writer = await asyncio.open_connection(url.hostname, url.port)
    received = b""

    async def read() -> None:
        nonlocal received
        with contextlib.suppress(ConnectionError):
            while chunk := await reader.read(65_536):
                received += chunk

    reading = asyncio.create_task(read())
    try:
        async with asyncio.timeout(seconds):
            with contextlib.suppress(ConnectionError):  # the gateway has closed it already
                for part in parts:
                    writer.write(part)
                    await writer.drain()
                    await asyncio.sleep(0.01)
            await reading
    finally:
        reading.cancel()
        writer.close()
    return received


async def exchange(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, sent: bytes
) -> bytes:
    """Send a request, and return the status line and the headers of the response."""
    writer.write(sent)
    head = await reader.readuntil(b"\r\n\r\n")
    length = head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0]
    await reader.readexactly(int(length))
    return head


async def _request_time(target: Attacked) -> float:
    """Return the time that few requests of an honest client exceed, in seconds."""
    client = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", honest_client.__name__),
        *map(str, (*target.address, _REQUESTS, _QUANTILES)),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    printed, errors = await client.communicate(target.post())
    assert client.returncode == 0, errors.decode()
    return float(printed)


async def check_others_are_served(
    target: Attacked, attack: Callable[[], AbstractAsyncContextManager[object]]
) -> None:
    """Check that another client waits at most twice as long while an attack goes on.

    A busy machine can only make it worse, so one good round of several is enough.
    """
    await _request_time(target)  # compiles the operation
    rounds = []
    for _ in range(_ROUNDS):
        undisturbed = await _request_time(target)
        async with attack():
            disturbed = await _request_time(target)
        rounds.append((undisturbed, disturbed))
        if disturbed <= 2 * undisturbed + _NOISE:
            return
    raise AssertionError(f"another client waits too long: {rounds}")


async def eventually(condition: Callable[[], Awaitable[bool]], seconds: float) -> bool:
    """Whether a condition becomes true within some seconds."""
    deadline = time.monotonic() + seconds
    while not await condition():
        if time.monotonic() > deadline:
            return False
        await asyncio.sleep(0.02)
    return True
