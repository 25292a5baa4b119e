"""Accept connections, bound their number, and end them: those that stall, and all at a shutdown.

``gateway.http.connection`` serves each of them.
"""

from __future__ import annotations

import asyncio
import logging
import resource
from collections.abc import Callable
from dataclasses import dataclass
from operator import itemgetter
from typing import cast

from aiohttp import web

from gateway.http.body_intake import BodyIntake
from gateway.http.connection import Answer, Connection
from gateway.http.malformed import MAX_FIELD, MAX_FIELDS, MAX_LINE
from gateway.settings.model import Settings
from resolvers.errors.catalogue import GatewayError

logger = logging.getLogger(__name__)

Refuse = Callable[[str, int, GatewayError], web.StreamResponse]
"""Returns the response to a request that has no handler: for its path ("" if it is not known), its
status, and the error."""

_SWEEP_INTERVAL = 1.0
"""Seconds between two looks at all connections."""
_STOP_INTERVAL = 0.02
"""Seconds between two looks at the requests in flight while the server stops."""
_CUT_TIME = 0.25
"""Seconds that canceled requests get to end when the server stops."""
_RESERVED_FILES = 64
"""Open files that are not connections to clients or of the pool: logs, sockets that listen, pipes
to workers, LISTEN, Redis, and what libraries open for a moment."""
_FEWEST_CONNECTIONS = 16


@dataclass(frozen=True, slots=True)
class ConnectionLimits:
    """The limits of the connections of one server. Times are in seconds."""

    most: int
    """The number of connections."""
    head_timeout: float
    keepalive_timeout: float
    send_timeout: float

    @classmethod
    def from_settings(cls, settings: Settings) -> ConnectionLimits:
        """Return the limits that the settings ask for and that the limit of open files allows."""
        soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        most = settings.max_connections
        if soft != resource.RLIM_INFINITY:
            room = max(soft - settings.pool_max - _RESERVED_FILES, _FEWEST_CONNECTIONS)
            if most > room:
                logger.warning("max_connections: %d open files allow only %d", soft, room)
            most = min(most or room, room)
        return cls(
            most or 2**31,
            settings.head_timeout,
            settings.keepalive_timeout,
            settings.send_timeout,
        )


class Connections(web.Server):
    """The connections of a server, and its ends: ``web.ServerRunner`` runs it.

    A request whose client has left is canceled.

    Args:
        answer: Answers a request.
        refuse: Renders the response to bytes that are not a request.
        limits: The limits.
        intake: Bounds what is taken in of large bodies.
        stop: Ends what would not end by itself: WebSockets and event streams.
    """

    def __init__(
        self,
        answer: Answer,
        refuse: Refuse,
        limits: ConnectionLimits,
        intake: BodyIntake,
        stop: Callable[[], None],
    ) -> None:
        super().__init__(answer, handler_cancellation=True)
        self._stop = stop
        self.refuse = refuse
        self.limits = limits
        self.intake = intake
        self.stopping = False
        self._waiting: list[tuple[float, Connection]] = []  # idle when last looked, newest first
        self._sweep_handle: asyncio.TimerHandle | None = None

    def __call__(self) -> Connection:
        """Return the protocol of a new connection."""
        return Connection(
            self,
            loop=self._loop,
            access_log=None,
            # Decoding would start before anyone looks at the request, and go on when it is over. A
            # body in zstd can ask for 128 MB of memory, which it takes from any client.
            auto_decompress=False,
            keepalive_timeout=self.limits.keepalive_timeout,
            max_line_size=MAX_LINE,
            max_field_size=MAX_FIELD,
            max_headers=MAX_FIELDS,
        )

    def admit(self, connection: Connection) -> None:
        """Make room for a new connection: close the one that has been idle longest.

        If none is idle, the new one is closed.
        """
        if self._sweep_handle is None:
            self._sweep_handle = self._loop.call_later(_SWEEP_INTERVAL, self._sweep)
        if len(self._connections) > self.limits.most:
            leaving = self._idle_longest() or connection
            leaving.cut(self._connections[leaving])

    def _idle_longest(self) -> Connection | None:
        """Return the connection that has waited longest for a request; None if none waits.

        All connections are looked at only when those that were found idle the last time are used
        up. Those that became idle since then are younger.
        """
        for attempt in range(2):
            while self._waiting:
                since, connection = self._waiting.pop()
                if connection.waits_since == since:
                    return connection
            if attempt == 0:
                idle = ((each.waits_since, each) for each, _ in self._all())
                self._waiting = sorted(
                    (item for item in idle if item[0]), key=itemgetter(0), reverse=True
                )
        return None

    def _all(self) -> list[tuple[Connection, asyncio.Transport]]:
        return cast("list[tuple[Connection, asyncio.Transport]]", list(self._connections.items()))

    def _sweep(self) -> None:
        """Cut the connections whose clients have taken too long."""
        now = self._loop.time()
        for connection, transport in self._all():
            if connection.is_overdue(transport, now):
                connection.cut(transport)
        self._waiting.clear()  # so that closed connections can be freed
        self._sweep_handle = None
        if self._connections:
            self._sweep_handle = self._loop.call_later(_SWEEP_INTERVAL, self._sweep)

    # Stopping ----------------------------------------------------------------------------------

    def pre_shutdown(self) -> None:
        """Make every request in flight the last one of its connection."""
        self.stopping = True
        for connection, _ in self._all():
            connection.closing = True
        self._stop()

    async def shutdown(self, timeout: float | None = None) -> None:  # noqa: ASYNC109 - aiohttp's
        """Wait until the requests in flight are answered, then cut every connection.

        Args:
            timeout: The seconds to wait at the most; None for no limit.
        """
        loop = self._loop
        deadline = None if timeout is None else loop.time() + timeout
        tasks: list[asyncio.Task[None]] = []
        try:
            while self._connections and (deadline is None or loop.time() < deadline):
                for connection, _ in self._all():
                    if connection.waits:
                        connection.force_close()
                await asyncio.sleep(_STOP_INTERVAL)
        finally:
            if self._sweep_handle is not None:
                self._sweep_handle.cancel()
            for connection, transport in self._all():
                if connection._task_handler is not None:
                    tasks.append(connection._task_handler)
                connection.cut(transport)
        if tasks:
            await asyncio.wait(tasks, timeout=_CUT_TIME)
