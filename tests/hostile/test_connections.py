"""Hold connections open, send requests byte by byte, and do not read the answers."""

from __future__ import annotations

import asyncio
import contextlib
import json
import resource
import socket
import time
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import urlsplit

import pytest

from gateway.http import connections, request_body
from storage.database.database import Database
from storage.demo.load import generate
from tests.conftest import (
    Gateway,
    StartGateway,
    database_copy,
    running_gateway,
    settings_for_tests,
)
from tests.gateway.http.wire import COUNT, code, first, head
from tests.hostile.attacked import (
    Attacked,
    attacked_on_copy,
    check_others_are_served,
    eventually,
)


@pytest.fixture(scope="module")
async def target(postgres: str, template: str) -> AsyncIterator[Attacked]:
    """A gateway with a list of several megabytes, which waits only 2 s for a head."""
    async with attacked_on_copy(postgres, template, head_timeout=2) as started:
        yield started


@pytest.fixture
def quick_sweeps(monkeypatch: pytest.MonkeyPatch) -> None:
    """Look at the connections more often, so that the tests need not wait."""
    monkeypatch.setattr(connections, "_SWEEP_INTERVAL", 0.05)


Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def connect(gateway: Gateway | Attacked, **options: Any) -> Streams:
    url = urlsplit(gateway.url)
    return await asyncio.open_connection(url.hostname, url.port, **options)


async def closed_after(reader: asyncio.StreamReader, patience: float = 10) -> float:
    """Wait until the gateway closes a connection without a response; return the seconds."""
    started_at = time.monotonic()
    async with asyncio.timeout(patience):
        with contextlib.suppress(ConnectionError):
            assert await reader.read() == b""
    return time.monotonic() - started_at


async def trickle(writer: asyncio.StreamWriter, data: bytes, pause: float) -> None:
    """Send a byte at a time until the gateway closes the connection."""
    with contextlib.suppress(ConnectionError):
        for byte in data:
            writer.write(bytes([byte]))
            await writer.drain()
            await asyncio.sleep(pause)


# Time limits -------------------------------------------------------------------------------------


@pytest.mark.usefixtures("quick_sweeps")
@pytest.mark.parametrize(
    "sent", [b"", b"GET /process HTTP/1.1\r\nX: " + b"x" * 1000, b"\r\n" * 1000]
)
async def test_a_head_must_arrive_in_time(start_gateway: StartGateway, sent: bytes) -> None:
    async with start_gateway(head_timeout=0.3) as gateway:
        reader, writer = await connect(gateway)
        trickling = asyncio.create_task(trickle(writer, sent, 0.01))
        assert await closed_after(reader) < 5
        await trickling
        writer.close()
        assert (await gateway.call("GET", "/processes")).status == 200


@pytest.mark.usefixtures("quick_sweeps")
async def test_an_idle_connection_is_closed_later_than_one_with_a_part_of_a_head(
    start_gateway: StartGateway,
) -> None:
    request = b"GET /health HTTP/1.1\r\nHost: gateway\r\n\r\n"
    async with start_gateway(head_timeout=0.3, keepalive_timeout=2) as gateway:
        idle, partial = await connect(gateway), await connect(gateway)
        for reader, writer in (idle, partial):
            writer.write(request)
            await reader.readuntil(b'{"status":"ok"}')
        trickling = asyncio.create_task(trickle(partial[1], request[:-1] * 10, 0.05))
        quick = await closed_after(partial[0])
        slow = quick + await closed_after(idle[0])
        await trickling
        assert quick < slow
        assert slow > 1.5
        for _, writer in (idle, partial):
            writer.close()


@pytest.mark.parametrize("chunked", [False, True])
async def test_a_body_must_arrive_in_time(
    start_gateway: StartGateway, monkeypatch: pytest.MonkeyPatch, chunked: bool
) -> None:
    """However steadily it comes: 20 bytes a second are fewer than 64 KiB/s."""
    monkeypatch.setattr(request_body, "_BODY_TIMEOUT", 0.3)
    async with start_gateway() as gateway:
        for path, expected in (("/graphql", "BAD_USER_INPUT"), ("/process", "invalid")):
            line = "Transfer-Encoding: chunked" if chunked else "Content-Length: 1000"
            body = b"1\r\n{\r\n" * 100 if chunked else b"{" * 1000
            reader, writer = await connect(gateway)
            writer.write(await head(gateway, "POST", path, line))
            trickling = asyncio.create_task(trickle(writer, body, 0.05))
            async with asyncio.timeout(5):
                answer = await reader.readuntil(b'"}')
            writer.close()
            trickling.cancel()
            assert answer.startswith(b"HTTP/1.1 400 ")
            assert expected.encode() in answer
            assert b"in time" in answer


async def test_a_large_body_may_take_longer(
    start_gateway: StartGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(request_body, "_BODY_TIMEOUT", 0.2)
    monkeypatch.setattr(request_body, "_BYTES_PER_SECOND", 100_000)
    text = json.dumps(COUNT).encode().ljust(200_000)
    async with start_gateway() as gateway:
        sent = await head(gateway, "POST", "/graphql", f"Content-Length: {len(text)}")
        reader, writer = await connect(gateway)
        writer.write(sent)
        for start in range(0, len(text), 20_000):  # 10 pieces, in at least 0.6 s
            writer.write(text[start : start + 20_000])
            await asyncio.sleep(0.06)
        assert (await reader.readline()).startswith(b"HTTP/1.1 200 ")
        writer.close()


@pytest.fixture(scope="module")
async def large(postgres: str, template: str) -> AsyncIterator[Database]:
    """A database with a list of several megabytes."""
    async with database_copy(postgres, template) as url:
        database = await Database.connect(url, pool_max=4)
        await generate(database, 5000)
        yield database
        await database.close()


@pytest.mark.usefixtures("quick_sweeps")
async def test_an_answer_must_be_read(large: Database) -> None:
    async with running_gateway(large, send_timeout=0.5) as gateway:
        list_ = await head(gateway, "GET", "/process")
        document = await head(gateway, "GET", "/openapi/process.json")
        cases = {"a list": list_, "many documents": document * 200}
        for name, sent in cases.items():
            for _ in range(2):  # the second list is streamed
                with socket.socket() as client:
                    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
                    client.setblocking(False)
                    loop = asyncio.get_running_loop()
                    url = urlsplit(gateway.url)
                    await loop.sock_connect(client, (url.hostname, url.port))
                    await loop.sock_sendall(client, sent)
                    assert await _was_cut(client), name


async def _was_cut(client: socket.socket, patience: float = 10) -> bool:
    """Whether the gateway ends a connection from which nothing is read.

    The client's kernel learns that from the reset, which a connection with unread data gets.
    """
    deadline = time.monotonic() + patience
    while time.monotonic() < deadline:
        await asyncio.sleep(0.05)
        with contextlib.suppress(BlockingIOError):
            try:
                client.send(b"x")
            except ConnectionError:
                return True
    return False


@pytest.mark.usefixtures("quick_sweeps")
async def test_a_client_that_reads_slowly_gets_its_answer(large: Database) -> None:
    async with running_gateway(large, send_timeout=0.5) as gateway:
        for _ in range(2):
            reader, writer = await connect(gateway, limit=1024)
            writer.write(await head(gateway, "GET", "/process", "Connection: close"))
            received = 0
            async with asyncio.timeout(30):
                while chunk := await reader.read(200_000):
                    received += len(chunk)
                    await asyncio.sleep(0.02)
            writer.close()
            assert received > 3_000_000


# The number of connections -----------------------------------------------------------------------


async def _serves(streams: Streams) -> bool:
    """Whether a connection still answers."""
    reader, writer = streams
    try:
        writer.write(b"GET /health HTTP/1.1\r\nHost: gateway\r\n\r\n")
        async with asyncio.timeout(5):
            return (await reader.readuntil(b'"ok"}')).startswith(b"HTTP/1.1 200 ")
    except (ConnectionError, asyncio.IncompleteReadError):
        return False


async def test_the_connection_that_is_idle_longest_makes_room(start_gateway: StartGateway) -> None:
    async with start_gateway(max_connections=4) as gateway:
        clients = [await connect(gateway) for _ in range(4)]
        for client in clients:
            assert await _serves(client)
        assert await _serves(clients[0])  # so the second one is idle longest
        newer = [await connect(gateway), await connect(gateway)]
        for client in newer:
            assert await _serves(client)
        assert [await _serves(client) for client in clients] == [True, False, False, True]
        for _, writer in (*clients, *newer):
            writer.close()


async def test_a_connection_with_a_request_is_not_closed_for_another(
    start_gateway: StartGateway,
) -> None:
    async with start_gateway(max_connections=2) as gateway:
        sent = await head(gateway, "POST", "/graphql", "Content-Length: 1000")
        busy = [await connect(gateway) for _ in range(2)]
        for _, writer in busy:
            writer.write(sent + b"{")
        await asyncio.sleep(0.1)
        refused = await connect(gateway)
        assert not await _serves(refused)
        body = json.dumps(COUNT).encode().ljust(1000)
        for reader, writer in busy:
            writer.write(body[1:])
            assert (await reader.readline()).startswith(b"HTTP/1.1 200 ")
        accepted = await connect(gateway)
        assert await _serves(accepted)
        for _, writer in (*busy, refused, accepted):
            writer.close()


async def test_the_limit_of_open_files_limits_the_connections(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def most(files: int, **values: int) -> int:
        monkeypatch.setattr(resource, "getrlimit", lambda _: (files, files))
        return connections.ConnectionLimits.from_settings(settings_for_tests(**values)).most

    assert most(1024) == 1024 - 16 - 64
    assert most(1024, pool_max=100) == 1024 - 100 - 64
    assert most(1024, max_connections=500) == 500
    assert most(20) == 16
    assert most(resource.RLIM_INFINITY) > 10**9
    assert most(resource.RLIM_INFINITY, max_connections=7) == 7
    assert caplog.messages == []
    assert most(256, max_connections=500) == 256 - 16 - 64
    assert caplog.messages == ["max_connections: 256 open files allow only 176"]


# Other clients -----------------------------------------------------------------------------------


@contextlib.asynccontextmanager
async def silent(target: Attacked, count: int) -> AsyncIterator[list[socket.socket]]:
    """Connections that send nothing."""
    clients: list[socket.socket] = []
    try:
        for number in range(count):
            clients.append(socket.create_connection(target.address, timeout=10))
            if number % 50 == 0:
                await asyncio.sleep(0)
        yield clients
    finally:
        for client in clients:
            client.close()


@pytest.mark.parametrize("count", [256, 1200])
async def test_silent_connections_do_not_shut_others_out(target: Attacked, count: int) -> None:
    await check_others_are_served(target, lambda: silent(target, count))


async def test_silent_connections_are_closed(target: Attacked) -> None:
    before = await _settled(target)
    async with silent(target, 300):

        async def are_accepted() -> bool:
            return target.open_files() > before + 250

        async def are_closed() -> bool:
            return target.open_files() < before + 5

        assert await eventually(are_accepted, 5)
        assert await eventually(are_closed, 10)


async def _settled(target: Attacked) -> int:
    """Wait until the connections of the tests before are closed; return the open files."""
    deadline = time.monotonic() + 10
    while (files := target.open_files()) > 100:
        assert time.monotonic() < deadline
        await asyncio.sleep(0.1)
    return files


@contextlib.asynccontextmanager
async def trickling(target: Attacked, count: int, sent: bytes) -> AsyncIterator[None]:
    """Connections that send a byte now and then, and come back when they are closed."""

    async def client() -> None:
        while True:
            with contextlib.suppress(OSError):
                _, writer = await asyncio.open_connection(*target.address)
                try:
                    await trickle(writer, sent, 0.25)
                finally:
                    writer.transport.abort()

    clients = [asyncio.create_task(client()) for _ in range(count)]
    await asyncio.sleep(0.3)
    try:
        yield
    finally:
        for task in clients:
            task.cancel()
        await asyncio.gather(*clients, return_exceptions=True)


async def test_heads_that_trickle_do_not_delay_others(target: Attacked) -> None:
    sent = target.head("GET", "/process")
    await check_others_are_served(target, lambda: trickling(target, 100, sent))


async def test_bodies_that_trickle_do_not_delay_others(target: Attacked) -> None:
    sent = target.head("PUT", "/processes", "Content-Length: 10000") + b" " * 1000

    @contextlib.asynccontextmanager
    async def attack() -> AsyncIterator[None]:
        clients = []
        for _ in range(100):
            _, writer = await asyncio.open_connection(*target.address)
            writer.write(sent)
            clients.append(writer)
        pulses = asyncio.create_task(_pulse(clients))
        try:
            yield
        finally:
            pulses.cancel()
            for writer in clients:
                writer.transport.abort()

    await check_others_are_served(target, attack)


async def _pulse(clients: list[asyncio.StreamWriter]) -> None:
    while True:
        await asyncio.sleep(0.1)
        for writer in clients:
            writer.write(b" ")


async def test_unread_answers_do_not_delay_others(target: Attacked) -> None:
    sent = target.head("GET", "/process")

    @contextlib.asynccontextmanager
    async def attack() -> AsyncIterator[None]:
        clients = []
        for _ in range(8):
            client = socket.socket()
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            client.connect(target.address)
            client.sendall(sent)
            clients.append(client)
        await asyncio.sleep(1)  # the lists are computed once; what is left is that nobody reads
        try:
            yield
        finally:
            for client in clients:
                client.close()

    await check_others_are_served(target, attack)


async def test_a_flood_on_one_connection_does_not_starve_others(target: Attacked) -> None:
    """A connection has one request at a time, however many it sends ahead."""
    ahead = target.post() * 200

    @contextlib.asynccontextmanager
    async def attack() -> AsyncIterator[None]:
        reader, writer = await asyncio.open_connection(*target.address)

        async def flood() -> None:
            while True:
                writer.write(ahead)
                await writer.drain()

        async def read() -> None:
            while await reader.read(65_536):
                pass

        tasks = [asyncio.create_task(flood()), asyncio.create_task(read())]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            writer.transport.abort()

    await check_others_are_served(target, attack)


async def test_answers_keep_their_form_when_the_head_comes_in_pieces(
    start_gateway: StartGateway,
) -> None:
    async with start_gateway() as gateway:
        for path, expected in (("/graphql", "BAD_USER_INPUT"), ("/processes", 1001)):
            parts = (f"GET {path} HTTP/1.1\r\n".encode(), b"Host: gateway\r\nno colon\r\n\r\n")
            reply = await first(gateway, *parts)
            assert (reply.status, code(reply)) == (400, expected)
