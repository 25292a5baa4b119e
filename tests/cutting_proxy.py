"""Stand between a gateway and PostgreSQL, and cut the connection at a chosen message."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from enum import Enum

_WAITED_FOR = b"QS"
"""The types of messages after which a client waits for an answer: Query and Sync."""
_PARTS = b"PBDEC"
"""The types of messages that precede a Sync: Parse, Bind, Describe, Execute and Close."""
_READY = (b"Z\0\0\0\x05I", b"Z\0\0\0\x05T", b"Z\0\0\0\x05E")
"""The end of an answer."""


class Cut(Enum):
    """When the connection is cut."""

    UNSENT = "before the server has the message"
    UNANSWERED = "after the server has processed the message, before its answer has passed"


Decide = Callable[[int, bytes], Cut | None]
"""Called with the number of a message, from 1, and the message. Returns whether to cut there."""


class CuttingProxy:
    """A TCP proxy that knows where PostgreSQL's messages end.

    Only messages are counted that the client waits for, because the server answers nothing before.
    """

    def __init__(self, port: int) -> None:
        self._server_port = port
        self._decide: Decide | None = None
        self._again = False
        self.messages = 0
        """The number of messages since it was armed."""
        self.cuts = 0
        """The number of connections that it has cut since it was armed."""

    def arm(self, decide: Decide, *, again: bool = False) -> None:
        """Count messages from now on, and cut where ``decide`` says.

        Args:
            again: Whether to go on after the first cut, on the connections that follow.
        """
        self._decide = decide
        self._again = again
        self.messages = self.cuts = 0

    def disarm(self) -> None:
        """Cut no connection any more."""
        self._decide = None

    async def serve(self, client: asyncio.StreamReader, to_client: asyncio.StreamWriter) -> None:
        """Pass on the messages of one connection, until an end closes it or it is cut."""
        server, to_server = await asyncio.open_connection("127.0.0.1", self._server_port)
        answers = _Answers(server, to_client)
        passing = asyncio.create_task(answers.pass_on())
        try:
            with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
                await self._pass_on(client, to_server, answers)
        finally:
            passing.cancel()
            for writer in (to_client, to_server):
                writer.transport.abort()

    async def _pass_on(
        self, client: asyncio.StreamReader, to_server: asyncio.StreamWriter, answers: _Answers
    ) -> None:
        start = await _read_message(client, b"")  # the only one without a type
        to_server.write(start)
        # Leases are renewed and work is looked for, whatever a test does.
        counts = b"process-gateway leases" not in start
        pending = b""
        while True:
            message = await _read_message(client, await client.readexactly(1))
            pending += message
            if message[:1] in _PARTS:
                continue
            cut = None
            # The log of changes is compacted about once a second, whatever a test does.
            if counts and message[:1] in _WAITED_FOR and b"compact_changes" not in message:
                self.messages += 1
                cut = self._decide(self.messages, message) if self._decide else None
            if cut is not None:
                self._decide = self._decide if self._again else None
                self.cuts += 1
            if cut is Cut.UNSENT:
                return
            if cut is Cut.UNANSWERED:
                answers.drop()
            to_server.write(pending)
            pending = b""
            if cut is Cut.UNANSWERED:
                await answers.dropped.wait()
                return


class _Answers:
    """What the server sends on one connection."""

    def __init__(self, server: asyncio.StreamReader, to_client: asyncio.StreamWriter) -> None:
        self._server = server
        self._to_client = to_client
        self._dropping = False
        self.dropped = asyncio.Event()
        """Set when a whole answer was dropped."""

    def drop(self) -> None:
        self._dropping = True

    async def pass_on(self) -> None:
        while data := await self._server.read(1 << 16):
            if self._dropping:
                if data.endswith(_READY):
                    self.dropped.set()
            else:
                self._to_client.write(data)
        self.dropped.set()
        self._to_client.close()


async def _read_message(reader: asyncio.StreamReader, kind: bytes) -> bytes:
    length = await reader.readexactly(4)
    return kind + length + await reader.readexactly(int.from_bytes(length) - 4)


@contextlib.asynccontextmanager
async def cutting_proxy(port: int) -> AsyncIterator[tuple[CuttingProxy, int]]:
    """Run a proxy to a local port, and yield it and its own port."""
    proxy = CuttingProxy(port)
    server = await asyncio.start_server(proxy.serve, "127.0.0.1", 0)
    try:
        yield proxy, server.sockets[0].getsockname()[1]
    finally:
        server.close()
