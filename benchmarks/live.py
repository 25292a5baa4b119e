"""Measure subscriptions: the memory of idle WebSockets, and the time until a change is seen.

The subscribers are minimal clients in this process: they find the ends of messages in the bytes
that arrive, and parse nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import struct
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from itertools import cycle, islice
from pathlib import Path
from typing import cast

import orjson

from connections import connected
from contestants import gateway
from servers import Server, ServerError
from work import FRAGMENT, reference

_IDLE_SOCKETS = 2_000
_SUBSCRIBERS, _DOCUMENTS = 5_000, 500
_OF_ONE_PAGE, _TREES = 1_000, 50
_OPENING = 50
"""Sockets that are opened at a time."""
_TIMEOUT = 60.0
"""Seconds that anything may take."""
_TEXT = 0x81
_MASK = b"\0\0\0\0"


@dataclass(frozen=True, slots=True)
class Latency:
    """The milliseconds until a change is seen, over several changes."""

    changes: int
    median: float
    p99: float


@dataclass(frozen=True, slots=True)
class Live:
    """What subscriptions cost one worker, and how fast they are."""

    socket_bytes: int
    """The memory of all idle sockets."""
    idle_share: float
    """The share of a processor that the subscribers of many documents take, with no changes."""
    documents: Latency
    """Until each subscriber of a document sees that it has changed."""
    page: Latency
    """Until all subscribers of one page see that it has changed."""


async def live(url: str, folder: Path, rounds: int) -> Live:
    """Measure all of it, each part with a new worker."""
    seconds = min(rounds, 5) + 1.0
    async with _worker(url, folder) as server:
        sockets = await _idle_memory(server)
    async with _worker(url, folder) as server:
        documents = [
            f'subscription {{ process(reference: "{reference(number)}") {{ ...WholeTree }} }}'
            f" {FRAGMENT}"
            for number in range(1, _DOCUMENTS + 1)
        ]
        async with subscribed(server, documents, _SUBSCRIBERS) as subscribers:
            await server.wait_until_idle()
            before = server.processor_time()
            await asyncio.sleep(seconds)
            idle = (server.processor_time() - before) / seconds
            seen = await _changes_of_documents(url, subscribers, 10 * rounds)
    async with _worker(url, folder) as server:
        page = f"subscription {{ processes(first: {_TREES}) {{ nodes {{ ...WholeTree }} }} }} "
        page += FRAGMENT
        async with subscribed(server, [page], _OF_ONE_PAGE) as subscribers:
            await server.wait_until_idle()
            seen_by_all = await _changes_of_page(url, subscribers, 10 * rounds)
    return Live(sockets, idle, latency(seen, 10 * rounds), latency(seen_by_all, len(seen_by_all)))


@contextlib.asynccontextmanager
async def _worker(url: str, folder: Path) -> AsyncIterator[Server]:
    async with gateway(url, folder, "--max-sockets-token", "0", keeps_answers=True) as server:
        await asyncio.to_thread(server.post, b'{"query":"{ processes { totalCount } }"}')
        yield server


async def _idle_memory(server: Server) -> int:
    async with _open(server, [None] * 20):
        pass  # what is only allocated once
    before = server.memory()
    async with _open(server, [None] * _IDLE_SOCKETS):
        await asyncio.sleep(1)
        return server.memory() - before


async def _changes_of_documents(
    url: str, subscribers: Sequence[Subscriber], changes: int
) -> list[float]:
    """Change one document after the other; return the seconds until each subscriber saw it."""
    seen = []
    async with connected(url) as connection:
        for number in range(changes):
            document = number * 37 % _DOCUMENTS
            readers = subscribers[document::_DOCUMENTS]
            changed = await _change(connection, document + 1, number)
            seen += [at - changed for at in await _all_see(readers)]
    return seen


async def _changes_of_page(
    url: str, subscribers: Sequence[Subscriber], changes: int
) -> list[float]:
    """Change the page again and again; return the seconds until all subscribers saw it."""
    seen = []
    async with connected(url) as connection:
        for number in range(changes):
            changed = await _change(connection, 1 + number % _TREES, number)
            seen.append(max(await _all_see(subscribers)) - changed)
    return seen


async def _change(connection: object, process: int, number: int) -> float:
    """Rename a process; return when."""
    await asyncio.sleep(0.05 + 0.013 * (number % 7))  # at any moment between two ticks
    await connection.execute(  # type: ignore[attr-defined]
        "UPDATE process SET name = $2 WHERE reference = $1",
        reference(process),
        f"Changed {time.monotonic()}",
    )
    return time.monotonic()


async def _all_see(subscribers: Sequence[Subscriber]) -> list[float]:
    """Wait until each has received one more message; return when it had."""
    async with asyncio.timeout(_TIMEOUT):
        return [await subscriber.next() for subscriber in subscribers]


def latency(seconds: Sequence[float], changes: int) -> Latency:
    """Return the latency over the subscribers of so many changes."""
    ordered = sorted(seconds)
    p99 = ordered[math.ceil(0.99 * len(ordered)) - 1]
    return Latency(changes, 1e3 * ordered[len(ordered) // 2], 1e3 * p99)


# Clients ---------------------------------------------------------------------------------------


@contextlib.asynccontextmanager
async def subscribed(
    server: Server, documents: Sequence[str], count: int
) -> AsyncIterator[Sequence[Subscriber]]:
    """Open sockets that subscribe to the documents in turn, and wait for the first answers."""
    async with _open(server, list(islice(cycle(documents), count))) as subscribers:
        await _all_see(subscribers)
        yield subscribers


@contextlib.asynccontextmanager
async def _open(
    server: Server, documents: Sequence[str | None]
) -> AsyncIterator[Sequence[Subscriber]]:
    """Open a socket for each document, which subscribes to it unless it is None."""
    loop = asyncio.get_running_loop()
    subscribers = []
    try:
        for start in range(0, len(documents), _OPENING):
            opening = [
                loop.create_connection(
                    lambda document=document: Subscriber(server, document),  # type: ignore[misc]
                    "127.0.0.1",
                    server.port,
                )
                for document in documents[start : start + _OPENING]
            ]
            opened = [each for _, each in await asyncio.gather(*opening)]
            subscribers += opened
            async with asyncio.timeout(_TIMEOUT):
                for subscriber in opened:
                    await subscriber.opened
        yield subscribers
    finally:
        for subscriber in subscribers:
            subscriber.transport.abort()


class Subscriber(asyncio.Protocol):
    """A client of one socket, with at most one subscription."""

    transport: asyncio.Transport

    def __init__(self, server: Server, document: str | None) -> None:
        self._server = server
        self._document = document
        self._loop = asyncio.get_running_loop()
        self.opened: asyncio.Future[None] = self._loop.create_future()
        self._received: list[float] = []  # when the messages arrived that nobody has asked for
        self._next: asyncio.Future[float] | None = None
        self._head = b""  # the beginning of a frame that is not complete
        self._missing = 0  # bytes of the current frame that have not arrived
        self._upgraded = False

    async def next(self) -> float:
        """Return when the next message has arrived."""
        if self._received:
            return self._received.pop(0)
        self._next = self._loop.create_future()
        return await self._next

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Ask for a WebSocket."""
        self.transport = cast(asyncio.Transport, transport)
        self.transport.write(
            b"GET /graphql HTTP/1.1\r\nHost: bench\r\nUpgrade: websocket\r\n"
            b"Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
            b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
            b"Sec-WebSocket-Protocol: graphql-transport-ws\r\n\r\n"
        )

    def data_received(self, data: bytes) -> None:
        """Find the ends of messages."""
        if not self._upgraded:
            head, _, data = data.partition(b"\r\n\r\n")
            if not head.startswith(b"HTTP/1.1 101"):
                raise ServerError(f"no WebSocket: {head[:80]!r}")
            self._upgraded = True
            self._send("connection_init", {"Authorization": self._server.token})
        while data:
            if not self._missing:
                data, self._head = self._head + data, b""
                size = _frame_size(data)
                if size is None:
                    self._head = data
                    return
                self._missing = size
            taken = min(self._missing, len(data))
            self._missing -= taken
            data = data[taken:]
            if not self._missing:
                self._message()

    def _message(self) -> None:
        if not self.opened.done():  # the acknowledgment
            if self._document is not None:
                self._send("subscribe", {"query": self._document}, id="1")
            self.opened.set_result(None)
        elif self._next is not None and not self._next.done():
            self._next.set_result(time.monotonic())
        else:
            self._received.append(time.monotonic())

    def _send(self, kind: str, payload: object, **members: str) -> None:
        message = orjson.dumps({"type": kind, "payload": payload, **members})
        # Masked with zeros, which changes nothing.
        self.transport.write(struct.pack("!BBH", _TEXT, 0x80 | 126, len(message)) + _MASK + message)


def _frame_size(data: bytes) -> int | None:
    """Return the bytes of the frame that begins here; None if its head is not complete."""
    if len(data) < 2:
        return None
    size = data[1]
    if size < 126:
        return 2 + size
    if size == 126:
        return 4 + int.from_bytes(data[2:4]) if len(data) >= 4 else None
    return 10 + int.from_bytes(data[2:10]) if len(data) >= 10 else None
