"""Adapt a WebSocket of aiohttp: receive messages, and write frames without waiting.

aiohttp's own writer is a coroutine and joins the parts of a frame. An answer that a thousand
sockets share would be copied for each, and each socket would need a task. Here a frame is written
at once, in parts; whether the client reads is asked before (``is_writable``).
"""

from __future__ import annotations

import asyncio
import logging
import struct
from collections.abc import Callable
from typing import cast

from aiohttp import WSMsgType, hdrs, web

from gateway.http.connection import Connection
from gateway.http.live.protocol import SUBPROTOCOL, CloseCode, SocketClosed
from gateway.http.live.registry import Finish
from resolvers.errors.catalogue import bad_value

# It warns of each client that offers another subprotocol. That client is told (4406).
logging.getLogger("aiohttp.websocket").setLevel(logging.ERROR)

_CLOSE_TIME = 2.0
"""Seconds that a client has to answer a close frame."""
_TEXT, _PING = 0x81, 0x89  # the first bytes of frames that are not fragmented


class Socket:
    """An open WebSocket.

    Args:
        response: Prepared for the request.
        when_writable: Called when the client has read most of what was written.
    """

    def __init__(
        self,
        request: web.BaseRequest,
        response: web.WebSocketResponse[bool],
        when_writable: Callable[[], None],
    ) -> None:
        self.response = response
        self._connection = cast(Connection, request.protocol)
        self._connection.when_writable = when_writable
        self._loop = asyncio.get_running_loop()
        self._task = asyncio.current_task()
        self._closing: SocketClosed | None = None
        self.heard_at = self._loop.time()
        """When something arrived last."""
        self.is_pinged = False
        """Whether the client was pinged since then."""

    @property
    def speaks_graphql(self) -> bool:
        """Whether the client has offered the subprotocol."""
        return self.response.ws_protocol == SUBPROTOCOL

    @property
    def is_writable(self) -> bool:
        """Whether the client reads: little of what was written waits for it."""
        return not self._connection.writing_paused

    async def receive(self) -> bytes | None:
        """Return the payload of the next text frame; None if the socket is closed.

        Raises:
            SocketClosed: 4400, if a binary frame arrives.
        """
        while True:
            message = await self.response.receive()
            self.heard_at, self.is_pinged = self._loop.time(), False
            if message.type is WSMsgType.TEXT:
                return cast(bytes, message.data)
            if message.type is WSMsgType.PING:
                await self.response.pong(message.data)
            elif message.type is WSMsgType.BINARY:
                raise SocketClosed(CloseCode.BAD_MESSAGE, "expected a text frame")
            elif message.type is not WSMsgType.PONG:
                return None

    def send(self, *parts: bytes) -> None:
        """Write a text frame. Nothing is written to a socket that is being closed."""
        size = sum(map(len, parts))
        if size < 126:
            header = struct.pack("!BB", _TEXT, size)
        elif size < 65_536:
            header = struct.pack("!BBH", _TEXT, 126, size)
        else:
            header = struct.pack("!BBQ", _TEXT, 127, size)
        self._write(header, *parts)

    def ping(self) -> None:
        """Write a ping frame."""
        self.is_pinged = True
        self._write(struct.pack("!BB", _PING, 0))

    def _write(self, *parts: bytes) -> None:
        transport = self._connection.transport
        if self._closing is not None or self.response.closed or transport is None:
            return
        if not transport.is_closing():
            transport.writelines(parts)

    def close(self, closed: SocketClosed) -> None:
        """Have the task that holds the conversation end it. Only the first call does anything.

        Only that task can close the socket in order: it reads what the client answers.
        """
        if self._closing is None:
            self._closing = closed
            if self._task is not None:
                self._task.cancel()

    async def end(self, closed: SocketClosed) -> None:
        """Send a close frame, and wait for that of the client."""
        self._closing = closed
        await self.response.close(code=closed.code, message=closed.reason.encode())

    def interrupted(self) -> SocketClosed | None:
        """Return why ``close`` has canceled the task; None if the task was canceled otherwise."""
        if self._closing is None or self._task is None or self._task.uncancel():
            return None
        return self._closing

    def cut(self) -> None:
        """End the connection at once: the client is gone."""
        if (transport := self._connection.transport) is not None:
            transport.abort()


async def open_socket(
    request: web.BaseRequest, finish: Finish, when_writable: Callable[[], None], largest: int
) -> Socket:
    """Answer the handshake of a WebSocket.

    Args:
        finish: Completes the headers of the response.
        when_writable: Called when the client has read most of what was written.
        largest: Bytes of a message at most. A larger one closes the socket with 1009.

    Raises:
        GatewayError: ``BAD_USER_INPUT``: the handshake is malformed.
    """
    # Not compressed: 2,000 sockets would need 0.6 GB for the windows, and each answer that they
    # share would be compressed for each of them.
    response = web.WebSocketResponse(
        timeout=_CLOSE_TIME,
        autoping=False,
        protocols=(SUBPROTOCOL,),
        compress=False,
        max_msg_size=largest,
        decode_text=False,
    )
    if not response.can_prepare(request):
        raise bad_value((), "the handshake of the WebSocket is malformed (RFC 6455 §4.2.1)")
    finish(response)
    await response.prepare(request)
    return Socket(request, response, when_writable)


def wants_socket(request: web.BaseRequest) -> bool:
    """Whether a request asks for a WebSocket."""
    return request.headers.get(hdrs.UPGRADE, "").strip().lower() == "websocket"
