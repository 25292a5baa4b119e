"""Notice a network that has gone silent: a dead connection looks like a slow statement.

The kernel can tell them apart. The server's kernel acknowledges what arrives, however long its
statement takes, even while PostgreSQL is stopped. Where nothing is acknowledged, the connection is
closed after ``SECONDS``, and its statement fails as after a cut. A proxy in between acknowledges in
place of the server; then ``statement_timeout`` ends the statement.
"""

from __future__ import annotations

import asyncio
import socket
from typing import TYPE_CHECKING, Any

import asyncpg

if TYPE_CHECKING:
    _Connection = asyncpg.Connection[asyncpg.Record]
else:
    _Connection = asyncpg.Connection

SECONDS = 6
"""Seconds without a sign of the server after which its connection is closed."""

_OPTIONS = {
    # Ask for a sign after 3 s, and each second from then on.
    "TCP_KEEPIDLE": 3,
    "TCP_KEEPINTVL": 1,
    "TCP_KEEPCNT": SECONDS - 3,
    # In milliseconds: what was sent has to be acknowledged in this time.
    "TCP_USER_TIMEOUT": SECONDS * 1000,
}
"""Options of a TCP socket. An operating system that lacks one of them has its own default."""


class WatchedConnection(_Connection):
    """A connection of the driver that is closed when the network has gone silent."""

    def __init__(self, protocol: Any, transport: asyncio.Transport, *more: Any) -> None:
        super().__init__(protocol, transport, *more)
        opened = transport.get_extra_info("socket")
        if opened is None or opened.family not in (socket.AF_INET, socket.AF_INET6):
            return
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for name, value in _OPTIONS.items():
            option = getattr(socket, name, None)
            if option is not None:
                opened.setsockopt(socket.IPPROTO_TCP, option, value)
