"""Test readers that are slow or leave: nothing is queued for them, and nothing of them is left."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
import socket
from typing import Any
from urllib.parse import urlsplit

from gateway.http.live.conversation import Conversation
from tests.conftest import Gateway, StartGateway
from tests.gateway.http.live.sockets import COUNT, SocketClient, connected, metrics, talking
from tests.resolvers.home import Home, until

LONG = "subscription { processes(first: 100) { nodes { name description } } }"
OTHER = "subscription { process(databaseId: %d) { id } }"
UPGRADE = (
    "GET /graphql HTTP/1.1\r\nHost: gateway\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
    "Sec-WebSocket-Protocol: graphql-transport-ws\r\n\r\n"
)


def frame(message: object) -> bytes:
    """Return a text frame of a client, masked with zeros."""
    text = json.dumps(message).encode()
    return b"\x81\xfe" + len(text).to_bytes(2) + b"\0\0\0\0" + text


async def fill(gateway: Gateway) -> None:
    """Add processes whose page has 400 KB."""
    await gateway.run(
        "INSERT INTO process (reference, name, description)"
        " SELECT 'p' || n, '0', repeat('x', 4000) FROM generate_series(1, 100) AS n"
    )


async def rename(gateway: Gateway, name: str) -> None:
    await gateway.run("UPDATE process SET name = $1", name)


class SlowClient:
    """A client of a socket that reads only when it is told to, with a small buffer."""

    def __init__(self, gateway: Gateway, buffer: int = 4096) -> None:
        url = urlsplit(gateway.url)
        self.socket = socket.socket()
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
        self.socket.connect((url.hostname, url.port))
        self.socket.setblocking(False)

    async def subscribe(self, token: str, query: str) -> None:
        loop = asyncio.get_running_loop()
        await loop.sock_sendall(self.socket, UPGRADE.encode())
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            head += await loop.sock_recv(self.socket, 1)
        for message in (
            {"type": "connection_init", "payload": {"Authorization": token}},
            {"type": "subscribe", "id": "1", "payload": {"query": query}},
        ):
            await loop.sock_sendall(self.socket, frame(message))

    async def message(self) -> Any:
        """Read one message."""
        size = (await self._read(2))[1]
        if size > 125:
            size = int.from_bytes(await self._read(2 if size == 126 else 8))
        return json.loads(await self._read(size))

    async def _read(self, size: int) -> bytes:
        data = b""
        while len(data) < size:
            async with asyncio.timeout(20):
                more = await asyncio.get_running_loop().sock_recv(self.socket, size - len(data))
            if not more:
                raise EOFError
            data += more
        return data


async def test_a_slow_reader_gets_the_newest_answer_and_not_each(gateway: Gateway) -> None:
    await fill(gateway)
    slow = SlowClient(gateway)
    async with talking(gateway) as fast:
        await fast.subscribe(LONG)
        await fast.data()
        await slow.subscribe(await gateway.token(), LONG)
        changes = 30
        for number in range(1, changes + 1):
            await rename(gateway, str(number))
            assert (await fast.data())["processes"]["nodes"][0]["name"] == str(number)
        assert await slow.message() == {"type": "connection_ack"}
        names: list[str] = []
        while not names or names[-1] != str(changes):
            nodes = (await slow.message())["payload"]["data"]["processes"]["nodes"]
            assert len({node["name"] for node in nodes}) == 1
            names.append(nodes[0]["name"])
        assert names == sorted(names, key=int)
        assert len(names) < changes / 2
    slow.socket.close()


async def test_one_that_takes_nothing_is_cut_off(start_gateway: StartGateway) -> None:
    async with start_gateway(send_timeout=1) as gateway:
        await fill(gateway)
        slow = SlowClient(gateway)
        await slow.subscribe(await gateway.token(), LONG)
        subscriptions = gateway.services.subscriptions

        async def subscribed() -> bool:
            return subscriptions.count == 1

        async def ended() -> bool:
            await rename(gateway, str(asyncio.get_running_loop().time()))
            return subscriptions.count == 0

        await until(subscribed)
        await until(ended)
        slow.socket.close()


async def test_who_does_not_read_is_not_read_from(start_gateway: StartGateway) -> None:
    async with start_gateway(send_timeout=100, max_socket_subscriptions=10) as gateway:
        await fill(gateway)
        slow = SlowClient(gateway)
        await slow.subscribe(await gateway.token(), LONG)
        loop = asyncio.get_running_loop()
        try:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(3):
                    for number in range(200_000):
                        # A few are answered with 400 KB, the others with errors.
                        payload = {"query": LONG.removeprefix("subscription")}
                        message = {"type": "subscribe", "id": f"q{number}", "payload": payload}
                        await loop.sock_sendall(slow.socket, frame(message))
            # Those of earlier tests may not have been collected yet.
            conversations = [each for each in gc.get_objects() if isinstance(each, Conversation)]
            transports = [each._socket._connection.transport for each in conversations]
            ((held, transport),) = (
                (each, transport)
                for each, transport in zip(conversations, transports, strict=True)
                if transport is not None and not transport.is_closing()
            )
            assert not held._socket.is_writable
            assert transport.get_write_buffer_size() < 1_500_000
        finally:
            slow.socket.close()


async def end_abruptly(clients: list[SocketClient]) -> None:
    for client in clients:
        connection = client.socket._response.connection
        assert connection is not None
        assert connection.transport is not None
        connection.transport.abort()


async def test_a_thousand_abrupt_ends_leave_nothing(start_gateway: StartGateway) -> None:
    """Each with subscriptions, some of them also with a query in flight."""
    async with start_gateway() as gateway:
        await Home(gateway).process("hall")
        token = await gateway.token()
        subscriptions = gateway.services.subscriptions
        tasks = len(asyncio.all_tasks())
        for _ in range(20):
            async with contextlib.AsyncExitStack() as stack:
                clients = [await stack.enter_async_context(connected(gateway)) for _ in range(50)]
                for number, client in enumerate(clients):
                    await client.init(token)
                    await client.subscribe(COUNT, "a")
                    if number % 2:
                        await client.data("a")
                    await client.subscribe(
                        f"subscription {{ process(databaseId: {number}) {{ id }} }}", "b"
                    )
                    if number % 3 == 0:
                        await client.subscribe("{ processes { nodes { name } } }", "c")
                await end_abruptly(clients)

        async def gone() -> bool:
            gc.collect()
            return len(asyncio.all_tasks()) <= tasks

        await until(gone)
        assert subscriptions.count == subscriptions.distinct == 0
        assert not subscriptions._by_dependency
        assert not subscriptions._joined
        assert not subscriptions._readers
        assert not subscriptions.watcher._counts
        values = await metrics(gateway)
        assert values["gateway_sockets"] == values["gateway_subscriptions"] == 0
        assert values["gateway_live_answers"] == 0
        # The watcher has stopped: it asks nothing while nobody subscribes.
        statements = gateway.database.statements
        await asyncio.sleep(0.3)
        assert gateway.database.statements == statements
