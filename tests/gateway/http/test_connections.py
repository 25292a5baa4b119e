"""Test connections: pipelining, slow clients, lost clients, and HTTP/1.0."""

from __future__ import annotations

import asyncio
import json
import logging
import socket
import struct
from collections.abc import AsyncIterator
from urllib.parse import urlsplit

import pytest

from gateway.http.connection import Connection
from storage.database.database import Database
from storage.database.fairness import borrower
from storage.demo.load import generate
from tests.conftest import Gateway, database_copy, running_gateway
from tests.gateway.http.wire import COUNT, body_of_response, head, raw


@pytest.fixture(scope="module")
async def gateway(empty_gateway: Gateway) -> Gateway:
    """A gateway that the tests of this module share, because they change nothing."""
    return empty_gateway


# Connections -------------------------------------------------------------------------------------


async def test_requests_on_one_connection_are_answered_in_order(gateway: Gateway) -> None:
    paths = ["/processes", "/process/7", "/espaces", "/nonsense", "/health"]
    # All requests are sent before the first response.
    sent = b"".join([await head(gateway, "GET", path) for path in paths])
    sent += await head(gateway, "HEAD", "/process", "Connection: close")
    answers = (await raw(gateway, sent)).split(b"HTTP/1.1 ")[1:]
    assert [answer[:3] for answer in answers] == [b"200", b"404", b"200", b"404", b"200", b"200"]
    bodies = [answer.partition(b"\r\n\r\n")[2] for answer in answers]
    assert bodies[0] == b'{"processes":[]}'
    assert b"not_found" in bodies[1]
    assert bodies[5] == b""


async def test_others_are_served_between_the_requests_of_a_client_that_sends_many_at_once(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    turn = 0
    served: list[int] = []
    serve_next = Connection._serve_next

    async def noting_the_turn(connection: Connection) -> bool:
        served.append(turn)
        return await serve_next(connection)

    async def take_turns() -> None:
        nonlocal turn
        while True:
            turn += 1
            await asyncio.sleep(0)

    monkeypatch.setattr(Connection, "_serve_next", noting_the_turn)
    sent = await head(gateway, "GET", "/health") * 50
    sent += await head(gateway, "GET", "/health", "Connection: close")
    other = asyncio.create_task(take_turns())
    try:
        answer = await raw(gateway, sent)
    finally:
        other.cancel()
    assert answer.count(b"HTTP/1.1 200") == 51
    assert len(set(served)) == 51


async def test_a_request_does_not_wait_in_the_name_of_the_caller_before_it(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    callers: list[str] = []
    ping = gateway.services.database.ping

    async def noting_the_caller() -> None:
        callers.append(borrower.get())
        await ping()

    monkeypatch.setattr(gateway.services.database, "ping", noting_the_caller)
    sent = await head(gateway, "GET", "/processes")
    sent += await head(gateway, "GET", "/health/ready", "Connection: close")
    assert (await raw(gateway, sent)).count(b"HTTP/1.1 200") == 2
    assert callers == [""]


@pytest.fixture(scope="module")
async def large(postgres: str, template: str) -> AsyncIterator[Gateway]:
    """A gateway with so many processes that a list of them has several megabytes."""
    async with database_copy(postgres, template) as url:
        database = await Database.connect(url, pool_max=4)
        await generate(database, 3000)
        async with running_gateway(database) as started:
            yield started
        await database.close()


async def test_a_client_that_disconnects_is_not_logged(
    large: Gateway, caplog: pytest.LogCaptureFixture
) -> None:
    gateway = large
    url = urlsplit(gateway.url)
    address = (url.hostname, url.port)
    caplog.set_level(logging.WARNING)
    reset = struct.pack("ii", 1, 0)  # close the connection with a reset
    for sent, read in (
        (await head(gateway, "GET", "/process"), 10_000),
        (await head(gateway, "GET", "/process"), 0),
        (await head(gateway, "POST", "/graphql", "Content-Length: 1000") + b'{"query":', 0),
        (await head(gateway, "PUT", "/processes", "Content-Length: 1000") + b'{"processes":', 0),
        (await head(gateway, "POST", "/graphql", "Transfer-Encoding: chunked") + b"5\r\n{", 0),
    ):
        with socket.create_connection(address) as client:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, reset)
            client.setblocking(False)
            loop = asyncio.get_running_loop()
            await loop.sock_sendall(client, sent)
            while read > 0:
                read -= len(await loop.sock_recv(client, read))
            await asyncio.sleep(0.05)
    await asyncio.sleep(0.3)
    assert caplog.messages == []
    assert (await gateway.call("GET", "/processes")).status == 200


async def test_slow_clients_do_not_delay_others(large: Gateway) -> None:
    gateway = large
    url = urlsplit(gateway.url)
    body = json.dumps(COUNT).encode()
    request = await head(
        gateway, "POST", "/graphql", f"Content-Length: {len(body)}", "Connection: close"
    )
    list_request = await head(gateway, "GET", "/process", "Connection: close")

    async def writes_slowly() -> bytes:
        reader, writer = await asyncio.open_connection(url.hostname, url.port)
        for byte in request + body:
            writer.write(bytes([byte]))
            await asyncio.sleep(0.001)
        answer = await reader.read()
        writer.close()
        return answer

    async def reads_slowly() -> bytes:
        reader, writer = await asyncio.open_connection(url.hostname, url.port, limit=4096)
        writer.write(list_request)
        answer = b""
        while chunk := await reader.read(100_000):
            answer += chunk
            await asyncio.sleep(0.005)
        writer.close()
        return answer

    slow = [asyncio.create_task(work) for work in (writes_slowly(), reads_slowly())]
    quick = 0
    while not all(task.done() for task in slow):
        reply = await asyncio.wait_for(gateway.call("GET", "/health", profile=None), 1)
        assert reply.status == 200
        quick += 1
    assert quick > 20
    written, read = [task.result() for task in slow]
    assert written.endswith(b'{"data":{"processes":{"totalCount":3000}}}')
    assert len(json.loads(body_of_response(read))["data"]) == 3000


async def test_a_client_of_http_1_0_gets_a_long_list_without_chunks(large: Gateway) -> None:
    request = (await head(large, "GET", "/process")).replace(b"HTTP/1.1", b"HTTP/1.0")
    for _ in range(2):  # the second one is streamed
        response = await raw(large, request)
        assert b"Transfer-Encoding" not in response.partition(b"\r\n\r\n")[0]
        assert len(json.loads(body_of_response(response))["data"]) == 3000


async def test_a_large_response_is_complete(gateway: Gateway) -> None:
    await generate(gateway.database, 2000)
    query = {
        "query": "{ processes(first: 100) { %s } }"
        % " ".join(
            f"nodes{n}: nodes {{ name description actions {{ action }} }}" for n in range(10)
        )
    }
    plain = {"Accept-Encoding": "identity"}
    for method, path, sent in (("GET", "/process", None), ("POST", "/graphql", query)):
        reply = await gateway.call(method, path, sent, headers=plain)
        assert reply.status == 200
        assert len(reply.body) == int(reply.headers["Content-Length"]) > 200_000
        assert reply.json["data"]
    shown = await gateway.call("HEAD", "/process", headers=plain)
    assert shown.body == b""
    assert int(shown.headers["Content-Length"]) > 1_000_000


@pytest.mark.parametrize(
    "path",
    "/process/%00 /process/%FF /process/%zz /process/1%2F2 /processes/%00 /%00 /processes/-1"
    f" /process/{'9' * 5000} /process/?{'a=' * 1000} /process/../process".split(),
)
async def test_unusual_paths_cause_no_server_error(gateway: Gateway, path: str) -> None:
    sent = await head(gateway, "GET", path, "Connection: close")
    answer = await raw(gateway, sent)
    assert answer[:12] in (b"HTTP/1.1 404", b"HTTP/1.1 200", b"HTTP/1.1 405")
