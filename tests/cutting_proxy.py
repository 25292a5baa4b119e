"""Stand between a gateway and PostgreSQL, and cut or hold the connection at a chosen message."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from enum import Enum

_WAITED_FOR = b"QS"
"""The types of messages after which a client waits for an answer: Query and Sync."""
_PARTS = b"PBDEC"
"""The types of messages that precede a Sync: Parse, Bind, Describe, Execute and Close."""
_REGULAR = (b"compact_changes", b"VACUUM", b"gateway_access")
"""Parts of statements that are sent every few seconds, whatever a test does: the log of changes is
compacted and cleared, and a notification shows that the listening connection is alive."""
_READY = (b"Z\0\0\0\x05I", b"Z\0\0\0\x05T", b"Z\0\0\0\x05E")
"""The end of an answer."""


class Cut(Enum):
    """When the connection is cut."""

    UNSENT = "before the server has the message"
    UNANSWERED = "after the server has processed the message, before its answer has passed"


class Hold(Enum):
    """What is late."""

    MESSAGE = "the message"
    ANSWER = "the answer, after the server has processed the message"
    MESSAGE_AFTER_CUT = "the message, after the client has lost the connection"


Decide = Callable[[int, bytes], Cut | Hold | None]
"""Called with the number of a message, from 1, and the message with those that precede it. Returns
whether to cut there."""


async def _nothing() -> None:
    """Do nothing meanwhile."""


class CuttingProxy:
    """A TCP proxy that knows where PostgreSQL's messages end.

    Only messages are counted that the client waits for, because the server answers nothing before.

    Args:
        server: The local port of the server, or the path of its Unix socket.
    """

    def __init__(self, server: int | str) -> None:
        self._server = server
        self._decide: Decide | None = None
        self._again = False
        self.messages = 0
        """The number of messages since it was armed."""
        self.cuts = 0
        """The number of connections that it has cut or held since it was armed."""
        self.meanwhile: Callable[[], Awaitable[None]] = _nothing
        """Called when a connection is cut or held. What is late is passed on after that."""
        self.passed = asyncio.Event()
        """Set when what was late has passed."""

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
        if isinstance(self._server, int):
            server, to_server = await asyncio.open_connection("127.0.0.1", self._server)
        else:
            server, to_server = await asyncio.open_unix_connection(self._server)
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
            regular = any(each in pending for each in _REGULAR)
            if counts and message[:1] in _WAITED_FOR and not regular:
                self.messages += 1
                cut = self._decide(self.messages, pending) if self._decide else None
            if cut is not None:
                self._decide = self._decide if self._again else None
                self.cuts += 1
                await self._hold(cut, pending, to_server, answers)
                self.passed.set()
                if isinstance(cut, Cut) or cut is Hold.MESSAGE_AFTER_CUT:
                    return
            else:
                to_server.write(pending)
            pending = b""

    async def _hold(
        self, cut: Cut | Hold, message: bytes, to_server: asyncio.StreamWriter, answers: _Answers
    ) -> None:
        """Do what is to happen at a message."""
        if cut in (Cut.UNANSWERED, Hold.ANSWER):
            answers.hold()
            to_server.write(message)
            await answers.complete.wait()
        if cut is Hold.MESSAGE_AFTER_CUT:
            answers.to_client.transport.abort()
        await self.meanwhile()
        if cut is Hold.ANSWER:
            answers.release()
        elif cut is Hold.MESSAGE:
            to_server.write(message)
        elif cut is Hold.MESSAGE_AFTER_CUT:
            answers.hold()
            to_server.write(message)
            await answers.complete.wait()


class _Answers:
    """What the server sends on one connection."""

    def __init__(self, server: asyncio.StreamReader, to_client: asyncio.StreamWriter) -> None:
        self._server = server
        self.to_client = to_client
        self._held: bytearray | None = None
        self.complete = asyncio.Event()
        """Set when a whole answer is held."""

    def hold(self) -> None:
        self._held = bytearray()

    def release(self) -> None:
        assert self._held is not None
        self.to_client.write(bytes(self._held))
        self._held = None

    async def pass_on(self) -> None:
        while data := await self._server.read(1 << 16):
            if self._held is None:
                self.to_client.write(data)
                continue
            self._held += data
            if self._held.endswith(_READY):
                self.complete.set()
        self.complete.set()
        self.to_client.close()


async def _read_message(reader: asyncio.StreamReader, kind: bytes) -> bytes:
    length = await reader.readexactly(4)
    return kind + length + await reader.readexactly(int.from_bytes(length) - 4)


@contextlib.asynccontextmanager
async def cutting_proxy(server_at: int | str) -> AsyncIterator[tuple[CuttingProxy, int]]:
    """Run a proxy to a local port or a Unix socket, and yield it and its own port."""
    proxy = CuttingProxy(server_at)
    server = await asyncio.start_server(proxy.serve, "127.0.0.1", 0)
    try:
        yield proxy, server.sockets[0].getsockname()[1]
    finally:
        server.close()
