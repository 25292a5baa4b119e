"""Keep track of the open WebSockets and event streams: whose they are, and whether they may stay.

Twice a second, the token of each is judged again. So a token that expires or is revoked, or whose
profile is deleted, ends its connections within a second, whether or not anything changes meanwhile.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import Protocol, TypeAlias

from aiohttp import web

from gateway.services import Caller
from resolvers.access.directory import AccessDirectory
from resolvers.errors.catalogue import ErrorKind, GatewayError
from storage.database.errors import StorageError

_JUDGE_INTERVAL = 0.5
"""Seconds between two looks at all tokens."""


Finish: TypeAlias = "Callable[[web.StreamResponse], None]"
"""Adds the headers that all responses have, before the head of one is sent."""


class Connected(Protocol):
    """A WebSocket or an event stream."""

    def refuse(self, error: GatewayError) -> None:
        """End: the token is not valid any more."""
        ...

    def stop(self) -> None:
        """End: the gateway stops."""
        ...

    def check_alive(self, now: float) -> None:
        """Ask a silent client for a sign of life; end the connection if none came."""
        ...


class Registry:
    """The connections of one process that stay open, by their tokens.

    Args:
        most: The most of one token; 0 for no limit.
    """

    def __init__(self, directory: AccessDirectory, most: int) -> None:
        self._directory = directory
        self._most = most
        self._by_token: dict[str, dict[Connected, Caller]] = {}
        self._waiting: dict[Connected, None] = {}
        self._judging: asyncio.Task[None] | None = None
        self.stopping = False
        """Whether the gateway stops: no further connection is accepted."""
        self.sockets = 0
        """The number of open WebSockets."""
        self.streams = 0
        """The number of open event streams."""

    def wait(self, connection: Connected) -> None:
        """Add a connection that has not shown its token yet."""
        self._waiting[connection] = None

    def add(self, connection: Connected, caller: Caller) -> None:
        """Add a connection of a token.

        Raises:
            GatewayError: ``RATE_LIMITED``: the token has too many.
        """
        own = self._by_token.get(caller.claims.token_id, {})
        if self._most and len(own) >= self._most:
            raise GatewayError(
                ErrorKind.RATE_LIMITED,
                f"{self._most:,} connections are open with this token, and no more are allowed"
                " (max_sockets_token)",
                retry_after=1,
            )
        self._waiting.pop(connection, None)
        self._by_token[caller.claims.token_id] = own
        own[connection] = caller
        if self._judging is None:
            self._judging = asyncio.create_task(self._judge())

    def remove(self, connection: Connected, caller: Caller | None) -> None:
        """Remove a connection; ``caller`` as it was added, None if it waited for its token."""
        self._waiting.pop(connection, None)
        own = self._by_token.get(caller.claims.token_id, {}) if caller is not None else {}
        if own.pop(connection, None) is not None and not own:
            assert caller is not None
            del self._by_token[caller.claims.token_id]
            if not self._by_token and self._judging is not None:
                self._judging.cancel()
                self._judging = None

    def stop(self) -> None:
        """End all connections: the gateway stops."""
        self.stopping = True
        connected = [each for own in self._by_token.values() for each in own]
        for connection in (*self._waiting, *connected):
            connection.stop()

    async def _judge(self) -> None:
        """Judge all tokens again and again, while any connection is open."""
        loop = asyncio.get_running_loop()
        while True:
            # Without the database nothing new is sent either.
            with contextlib.suppress(StorageError):
                await self._directory.refresh()
            now = loop.time()
            for own in list(self._by_token.values()):
                self._judge_one(dict(own), now)
            await asyncio.sleep(_JUDGE_INTERVAL)

    def _judge_one(self, own: dict[Connected, Caller], now: float) -> None:
        """Judge the token that these connections share."""
        try:
            next(iter(own.values())).viewer()
        except GatewayError as error:
            for connection in own:
                connection.refuse(error)
        else:
            for connection in own:
                connection.check_alive(now)
