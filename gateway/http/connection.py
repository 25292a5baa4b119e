"""Serve one connection of a client: answer its requests, and end it if it stalls.

aiohttp limits only how long a connection is idle. Here are the other limits: of a head that does
not arrive, and of an answer that nobody reads. It also answers malformed requests with its versions
and a part of the request; here they are answered in the form of the API that they were meant for.

This module and ``gateway.http.connections`` are the only ones that use the parts of aiohttp's
server that are not documented. The limits take two comparisons for each request; everything else is
done once a second for all connections.

The usual response, whose body is known, is written here at once. That takes less time than
aiohttp's way, which is made for all kinds of responses.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Any, cast

from aiohttp import HttpVersion10, HttpVersion11, hdrs, web
from aiohttp.helpers import rfc822_formatted_time
from aiohttp.http import RawRequestMessage, StreamWriter
from aiohttp.http_exceptions import BadHttpMessage, HttpProcessingError, LineTooLong
from aiohttp.http_writer import _serialize_headers
from aiohttp.streams import EMPTY_PAYLOAD, StreamReader
from aiohttp.web_protocol import ERROR, RequestHandler, _ErrInfo
from multidict import CIMultiDict

from gateway.http.malformed import MAX_HEAD, MAX_LINE, path_in, problem_of
from gateway.http.response_body import LARGE, Parts
from resolvers.errors.catalogue import ErrorKind, GatewayError

if TYPE_CHECKING:
    from gateway.http.connections import Connections

Answer = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]

_WITH_BODY = (hdrs.METH_GET, hdrs.METH_POST)
"""Methods whose responses are sent at once, if their bodies are known."""
_NOT_HTTP = (_ErrInfo(status=400, exc=BadHttpMessage(""), message=""), EMPTY_PAYLOAD)
_UNREAD_PROGRESS = 16 * 1024
"""Bytes that count as progress of a client that reads an answer. A client that reads a byte now and
then would otherwise keep a large answer in memory for days."""
_LINGERING_TIME = 5.0
"""Seconds to read on when a request was answered before all of its body had arrived."""
_EOF_TIME = 0.2
"""Seconds in which a request is answered whose client has closed its side of the connection."""


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

    # Requests ----------------------------------------------------------------------------------

    async def start(self) -> None:
        """Answer the requests of the connection, one after the other, until it ends.

        aiohttp runs each request in a task of its own. Here the task of the connection runs them:
        creating a task, and changing to it and back, takes 8 % of the time of a small read.
        """
        while not self._force_close:
            if self._messages:
                await asyncio.sleep(0)  # others come before the next request of the same client
            else:
                self._waiter = self._loop.create_future()
                try:
                    await self._waiter
                finally:
                    self._waiter = None
            if not await self._serve_next():
                break
            idle_until = self._loop.time() + self._keepalive_timeout
            self._next_keepalive_close_time = idle_until
            if self._keepalive_handle is None:
                self._keepalive_handle = self._loop.call_at(idle_until, self._process_keepalive)
        if not self._force_close:
            self._task_handler = None
            if self.transport is not None:
                self.transport.close()

    async def _serve_next(self) -> bool:
        """Answer the next request. Return whether another one may follow."""
        message, body = self._messages.popleft()
        if self._parser is not None:
            self._parser.message_consumed()
        if self._buffer_paused and len(self._messages) <= self._msg_queue_resume_size:
            self._resume_reading_if_drained()
        answer: Answer = self._server.request_handler
        if isinstance(message, _ErrInfo):
            answer, message = self._make_error_handler(message), ERROR
        task = cast("asyncio.Task[None]", self._task_handler or asyncio.current_task())
        writer = StreamWriter(self, self._loop)
        request = web.BaseRequest(message, body, self, writer, task, self._loop)
        self._current_request = request  # aiohttp tells it when the connection is lost
        try:
            try:
                response = await answer(request)
            except Exception as error:
                response = self.handle_error(request, exc=error)
            finally:
                self._current_request = None
            if not await self._send(request, response):
                return False
        except ConnectionError:  # the client has left
            return False
        except Exception as error:
            self.log_exception("a response could not be sent", exc_info=error)
            self.force_close()
        except BaseException:
            self.force_close()
            raise
        finally:
            request._task = None  # type: ignore[assignment]  # or the traceback keeps the task
        if not body.is_eof() and not self._force_close:
            self.close()
        return self._keepalive and not self._close and not self._force_close

    async def _send(self, request: web.BaseRequest, response: web.StreamResponse) -> bool:
        """Send a response, the last one of this connection if the server stops.

        Returns:
            Whether it was sent to its end.
        """
        if self.closing:
            response.force_close()
        parts = _parts(response)
        if (
            parts is not None
            and response.status == 200
            and request.version is HttpVersion11
            and request.method in _WITH_BODY
            and request.content.is_eof()
            and not self._upgraded
        ):
            self._keepalive = response.keep_alive is None and request.keep_alive
            return await self._send_whole(response.headers, parts)
        sent, incomplete = await self.finish_response(request, response, None)
        self._keepalive = bool(sent.keep_alive)
        if not request.content.is_eof():
            await self._linger(request.content)
        return not incomplete

    async def _send_whole(self, headers: CIMultiDict[str], parts: Sequence[bytes]) -> bool:
        """Send a response whose body is known, with the headers that aiohttp would add."""
        size = sum(map(len, parts))
        headers[hdrs.CONTENT_LENGTH] = str(size)
        headers[hdrs.DATE] = rfc822_formatted_time()
        if not self._keepalive:
            headers[hdrs.CONNECTION] = "close"
        transport = self.transport
        if transport is None or transport.is_closing():
            return False
        head = _serialize_headers("HTTP/1.1 200 OK", headers)
        if size < LARGE:
            transport.write(b"".join((head, *parts)))
        else:
            transport.writelines((head, *parts))
        if self._paused:
            await self._drain_helper()
        return True

    async def _linger(self, body: StreamReader) -> None:
        """Read the rest of a body for some time after its request was answered.

        If the connection were closed at once, the client might not see the response. It is read at
        the pace of all large bodies; aiohttp would read as fast as a client can send.
        """
        if not self._force_close:
            with contextlib.suppress(TimeoutError, web.RequestPayloadError, ConnectionError):
                async with asyncio.timeout(_LINGERING_TIME):
                    await self._server.intake.discard(body)

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
        if len(self._head) < MAX_LINE:
            self._head += data[:MAX_LINE]
        self._head_size += len(data)
        if self._head_size > MAX_HEAD:
            self._target = self._head
            too_long = _ErrInfo(status=431, exc=LineTooLong(b"", MAX_HEAD), message="")
            self._messages.append((too_long, EMPTY_PAYLOAD))
            if self.waits:
                cast("asyncio.Future[None]", self._waiter).set_result(None)

    # Refusals ----------------------------------------------------------------------------------

    def _refused(self, data: bytes) -> None:
        """Prepare the answer to bytes that the parser refused: they are the last message.

        If they belong to the body of a request, that request is told, and it gets the only answer.
        """
        started = self._head if self._head_since else b""
        self._target = self._target or started or data[:MAX_LINE]
        if not self._body.is_eof():
            self._messages.pop()
            self._body.set_exception(web.RequestPayloadError("the body is malformed"))

    def _make_error_handler(self, err_info: _ErrInfo) -> Answer:
        status, problem = problem_of(err_info.exc)
        response = self._server.refuse(path_in(self._target), status, problem)
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


def _parts(response: web.StreamResponse) -> Sequence[bytes] | None:
    """Return the parts of a body that is known; None if there is no such body."""
    if type(response) is not web.Response:
        return None
    body = response.body
    if type(body) is bytes:
        return (body,)
    return body.whole if isinstance(body, Parts) else None


def _ends_with(data: bytes, message: RawRequestMessage) -> bool:
    """Whether a request with a body of known length ends where the data ends."""
    body = data.partition(b"\r\n\r\n")[2]
    return str(len(body)) == message.headers.get(hdrs.CONTENT_LENGTH, "0")
