"""Accept connections, and end those that wait, stall, or carry something that is not HTTP.

aiohttp limits only how long a connection is idle. Here are the other limits: of a head that does
not arrive, of an answer that nobody reads, of the number of connections, and of the time that a
shutdown takes. It also answers malformed requests with its versions and a part of the request;
here they are answered in the form of the API that they were meant for.

This is the only module that uses the parts of aiohttp's server that are not documented. The limits
take two comparisons for each request; everything else is done once a second for all connections.

The usual response, whose body is known, is written here in one piece. That takes less time than
aiohttp's way, which is made for all kinds of responses.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import resource
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from operator import itemgetter
from typing import Any, cast

from aiohttp import HttpVersion10, HttpVersion11, hdrs, web
from aiohttp.helpers import rfc822_formatted_time
from aiohttp.http import RawRequestMessage
from aiohttp.http_exceptions import BadHttpMessage, HttpProcessingError, LineTooLong
from aiohttp.streams import EMPTY_PAYLOAD, StreamReader
from aiohttp.web_protocol import RequestHandler, _ErrInfo

from gateway.http.body_intake import BodyIntake
from gateway.settings.model import Settings
from resolvers.errors.catalogue import ErrorKind, GatewayError, bad_value

logger = logging.getLogger(__name__)

Answer = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]
Refuse = Callable[[str, int, GatewayError], web.StreamResponse]
"""Returns the response to a request that has no handler: for its path ("" if it is not known), its
status, and the error."""

# Limits of a head, in bytes. They differ, so that the parser's error tells which one it was.
_MAX_LINE = 8192
_MAX_FIELD = 8190
_MAX_HEAD = 65_536
_MAX_FIELDS = 100

_WITH_BODY = (hdrs.METH_GET, hdrs.METH_POST)
"""Methods whose responses are sent in one piece, if their bodies are known."""
_NOT_HTTP = (_ErrInfo(status=400, exc=BadHttpMessage(""), message=""), EMPTY_PAYLOAD)

_SWEEP_INTERVAL = 1.0
"""Seconds between two looks at all connections."""
_UNREAD_PROGRESS = 16 * 1024
"""Bytes that count as progress of a client that reads an answer. A client that reads a byte now and
then would otherwise keep a large answer in memory for days."""
_LINGERING_TIME = 5.0
"""Seconds to read on when a request was answered before all of its body had arrived."""
_EOF_TIME = 0.2
"""Seconds in which a request is answered whose client has closed its side of the connection."""
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


class Connection(RequestHandler):
    """One connection of a client."""

    __slots__ = (
        "_body",
        "_head",
        "_head_since",
        "_head_size",
        "_server",
        "_target",
        "_unread",
        "_unread_since",
        "closing",
        "when_writable",
    )

    def __init__(self, server: Connections, **options: Any) -> None:
        super().__init__(server, **options)
        self._server = server
        self.closing = server.stopping
        """Whether the request in flight is the last one."""
        self._body: StreamReader = EMPTY_PAYLOAD  # of the request that arrived last
        self._head_since = 0.0  # when a head began to arrive; 0 if none does
        self._head = b""  # the first bytes of a head that does not arrive in one piece
        self._head_size = 0
        self._target = b""  # the first bytes of a malformed request
        self._unread = 0  # bytes of an answer that wait for the client
        self._unread_since = 0.0  # when the client last took some of them
        self.when_writable: Callable[[], None] | None = None
        """Called when the client has taken most of what was sent; for WebSockets."""

    # Events ------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Wait for the first request, if there is room for the connection."""
        self._head_since = self._loop.time()
        super().connection_made(transport)
        self._server.admit(self)

    def data_received(self, data: bytes) -> None:
        """Parse bytes. Remember when a head began, and refuse what is not HTTP."""
        super().data_received(data)
        messages = self._messages
        if messages:
            message, body = messages[-1]
            if isinstance(message, _ErrInfo):
                self._refused(data)
            elif message.version is HttpVersion11 or message.version is HttpVersion10:
                self._body = body
                if message.upgrade and not _ends_with(data, message):
                    # The parser drops what follows a request for a protocol that it does not know.
                    self.closing = True
            else:  # the parser accepts HTTP/0.9 and HTTP/2.0
                messages[-1] = _NOT_HTTP
                self._refused(data)
            self._head_since = 0.0
        elif data and (self.waits or not self._request_count):
            self._continue_head(data)

    def eof_received(self) -> bool:  # type: ignore[override]  # as asyncio defines it
        """Keep the connection open for an answer that comes at once.

        The client sends nothing more. It may have left, or still read: only writing would tell.
        """
        transport = self.transport
        if transport is None or self.waits:
            return False
        self.closing = True
        self._loop.call_later(_EOF_TIME, self.cut, transport)
        return True

    def resume_reading(self, resume_parser: bool = True) -> None:
        """Read on, if reading was paused: aiohttp would run its parser after each body."""
        if self._reading_paused:
            super().resume_reading(resume_parser)

    def resume_writing(self) -> None:
        """Let the answer go on: the client has taken most of what was sent."""
        self._unread = 0
        super().resume_writing()
        if self.when_writable is not None:
            self.when_writable()

    def finish_response(
        self, request: web.BaseRequest, resp: web.StreamResponse, start_time: float | None
    ) -> Coroutine[Any, Any, tuple[web.StreamResponse, bool]]:
        """Send a response; the last one of this connection if the server stops."""
        if self.closing:
            resp.force_close()
        if not request.content.is_eof():
            sending = super().finish_response(request, resp, start_time)
            return self._linger(sending, request.content)
        if (
            type(resp) is web.Response
            and type(resp.body) is bytes
            and resp.status == 200
            and request.version is HttpVersion11
            and request.method in _WITH_BODY
            and not self._upgraded
        ):
            return self._send_whole(request, resp, resp.body)
        return super().finish_response(request, resp, start_time)

    async def _send_whole(
        self, request: web.BaseRequest, resp: web.Response, body: bytes
    ) -> tuple[web.StreamResponse, bool]:
        """Send a response whose body is known, with the headers that aiohttp would add."""
        resp._keep_alive = resp.keep_alive is None and request.keep_alive
        headers = resp.headers
        headers[hdrs.CONTENT_LENGTH] = str(len(body))
        headers[hdrs.DATE] = rfc822_formatted_time()
        if not resp._keep_alive:
            headers[hdrs.CONNECTION] = "close"
        writer = request.writer
        try:
            await writer.write_headers(f"HTTP/1.1 {resp.status} {resp.reason}", headers)
            await writer.write_eof(body)
        except ConnectionError:
            return resp, True
        return resp, False

    async def _linger(
        self,
        sending: Coroutine[Any, Any, tuple[web.StreamResponse, bool]],
        body: StreamReader,
    ) -> tuple[web.StreamResponse, bool]:
        """Send a response before all of the body has arrived, and read the rest for some time.

        If the connection were closed at once, the client might not see the response.
        """
        sent = await sending
        if not self._force_close:
            with contextlib.suppress(TimeoutError, web.RequestPayloadError, ConnectionError):
                async with asyncio.timeout(_LINGERING_TIME):
                    await self._server.intake.discard(body)
        return sent

    # Heads -------------------------------------------------------------------------------------

    @property
    def waits(self) -> bool:
        """Whether the connection waits for a request."""
        waiter = self._waiter
        return waiter is not None and not waiter.done() and not self._force_close

    @property
    def waits_since(self) -> float:
        """When it began to wait for a request, plus a constant; 0 if it does not wait."""
        return self._next_keepalive_close_time if self.waits else 0.0

    def _continue_head(self, data: bytes) -> None:
        """Note bytes that do not complete a head."""
        if not self._head_since:
            self._head_since = self._loop.time()
            self._head = b""
            self._head_size = 0
        if len(self._head) < _MAX_LINE:
            self._head += data[:_MAX_LINE]
        self._head_size += len(data)
        if self._head_size > _MAX_HEAD:
            self._target = self._head
            too_long = _ErrInfo(status=431, exc=LineTooLong(b"", _MAX_HEAD), message="")
            self._messages.append((too_long, EMPTY_PAYLOAD))
            if self.waits:
                cast("asyncio.Future[None]", self._waiter).set_result(None)

    # Refusals ----------------------------------------------------------------------------------

    def _refused(self, data: bytes) -> None:
        """Prepare the answer to bytes that the parser refused: they are the last message.

        If they belong to the body of a request, that request is told, and it gets the only answer.
        """
        started = self._head if self._head_since else b""
        self._target = self._target or started or data[:_MAX_LINE]
        if not self._body.is_eof():
            self._messages.pop()
            self._body.set_exception(web.RequestPayloadError("the body is malformed"))

    def _make_error_handler(self, err_info: _ErrInfo) -> Answer:
        status, problem = _problem(err_info.exc)
        response = self._server.refuse(_path_in(self._target), status, problem)
        response.force_close()

        async def handler(request: web.BaseRequest) -> web.StreamResponse:
            request._version = HttpVersion11  # aiohttp does not know what the client speaks
            return response

        return handler

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Return the response to a request whose handler failed, which is a fault of ours."""
        self.log_exception("the handler of a request failed", exc_info=exc)
        if request.writer.output_size > 0:
            raise ConnectionError("a part of another response was sent already")
        error = GatewayError(ErrorKind.INTERNAL, "something went wrong in the gateway")
        response = self._server.refuse(request.rel_url.raw_path, 500, error)
        response.force_close()
        return response

    def log_exception(self, *args: Any, **kw: Any) -> None:
        """Log an error, unless it is about what a client sent."""
        if not isinstance(kw.get("exc_info"), (HttpProcessingError, web.RequestPayloadError)):
            super().log_exception(*args, **kw)

    # Time limits -------------------------------------------------------------------------------

    def is_overdue(self, transport: asyncio.Transport, now: float) -> bool:
        """Whether the client has taken too long to send a head or to read an answer.

        Args:
            transport: The transport of the connection, even if it is being closed: it closes only
                when the client has read everything.
            now: The time of the event loop.
        """
        limits = self._server.limits
        if self._head_since and self.waits and now - self._head_since > limits.head_timeout:
            return True
        size = transport.get_write_buffer_size()
        if not size or not self._unread or self._unread - size >= _UNREAD_PROGRESS:
            self._unread = size
            self._unread_since = now
            return False
        self._unread = max(self._unread, size)
        return now - self._unread_since > limits.send_timeout

    def cut(self, transport: asyncio.Transport) -> None:
        """End the connection and its request at once, whatever the client has not read."""
        self.force_close()
        if self._task_handler is not None:
            self._task_handler.cancel()
        transport.abort()


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
            lingering_time=0,  # see ``_linger``: aiohttp would read as fast as a client can send
            max_line_size=_MAX_LINE,
            max_field_size=_MAX_FIELD,
            max_headers=_MAX_FIELDS,
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


def _ends_with(data: bytes, message: RawRequestMessage) -> bool:
    """Whether a request with a body of known length ends where the data ends."""
    body = data.partition(b"\r\n\r\n")[2]
    return str(len(body)) == message.headers.get(hdrs.CONTENT_LENGTH, "0")


def _problem(error: BaseException) -> tuple[int, GatewayError]:
    """Return the status and the error for bytes that the parser refused, repeating none of them."""
    if isinstance(error, LineTooLong):
        limit = error.args[1]
        if limit == _MAX_LINE:
            return 414, bad_value((), f"the request line is longer than {limit:,} bytes")
        if limit == _MAX_HEAD:
            return 431, bad_value((), f"the headers are longer than {limit:,} bytes")
        return 431, bad_value((), f"a header is longer than {limit:,} bytes")
    if isinstance(error, BadHttpMessage) and error.message == "Too many headers received":
        return 431, bad_value((), f"there are more than {_MAX_FIELDS} headers")
    return 400, bad_value((), "the request is not valid HTTP/1.1")


def _path_in(head: bytes) -> str:
    """Return the path of a request whose head is malformed; "" if it cannot be told."""
    words = head.lstrip(b"\r\n").split(b"\n", 1)[0].split(b" ")
    target = words[1].split(b"?", 1)[0].strip() if len(words) > 1 else b""
    return target.decode() if target.isascii() else ""
