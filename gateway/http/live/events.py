"""Serve GraphQL as server-sent events, by the distinct connections mode of ``graphql-sse``.

https://github.com/enisdenjo/graphql-sse/blob/master/PROTOCOL.md defines it: a stream for each
operation, with an event ``next`` for each answer and an event ``complete`` at the end. What a token
or a malformed request has to do with is answered with its HTTP status; what is wrong with the
operation is an answer in the stream.
"""

from __future__ import annotations

import asyncio
import contextlib

from aiohttp import hdrs, web

from gateway.http.etags import NO_STORE
from gateway.http.live.registry import Finish, Registry
from gateway.http.negotiation import qualities
from gateway.services import Caller, Services
from resolvers.errors.catalogue import GatewayError
from resolvers.operations.answers import Answer, error_answer
from resolvers.operations.live import Subscription
from resolvers.operations.run import Prepared

EVENT_STREAM = "text/event-stream"

_JSON_TYPES = ("application/json", "application/graphql-response+json", "application/*", "*/*")
_HEADERS = {
    hdrs.CONTENT_TYPE: f"{EVENT_STREAM}; charset=utf-8",
    hdrs.CACHE_CONTROL: NO_STORE,
    # Proxies such as nginx would collect the events and pass them on together.
    "X-Accel-Buffering": "no",
}
_COMPLETE = b"event: complete\ndata:\n\n"
_ALIVE = b":\n\n"
_ALIVE_INTERVAL = 12.0
"""Seconds after which a comment shows proxies and clients that the stream is alive."""


def wants_events(request: web.BaseRequest, prepared: Prepared) -> bool:
    """Whether an operation is to be answered as a stream of events.

    Clients that can also read JSON get it for queries and mutations, and events for subscriptions.
    """
    accepted = qualities(request.headers.get(hdrs.ACCEPT, ""))
    if not accepted.get(EVENT_STREAM):
        return False
    return prepared.is_subscription or not any(accepted.get(name) for name in _JSON_TYPES)


async def serve_events(
    request: web.BaseRequest,
    services: Services,
    registry: Registry,
    finish: Finish,
    caller: Caller,
    prepared: Prepared,
) -> web.StreamResponse:
    """Answer an operation as a stream of events, to its end.

    Raises:
        GatewayError: ``RATE_LIMITED``, ``UNAUTHENTICATED`` or ``TOKEN_EXPIRED``, before it begins.
    """
    stream = _Stream(services, caller)
    registry.add(stream, caller)
    registry.streams += 1
    response = web.StreamResponse(headers=_HEADERS)
    try:
        answer = await stream.start(prepared)
        if registry.stopping:
            stream.stop()
        response.enable_chunked_encoding()
        finish(response)
        await response.prepare(request)
        if answer is not None:
            await response.write(_next(b"".join(answer.parts)))
        else:
            await stream.send_all(response)
        if not stream.is_stopped:
            await response.write(_COMPLETE)
        await response.write_eof()
    except ConnectionError:
        pass  # the client has left
    finally:
        registry.streams -= 1
        registry.remove(stream, caller)
        stream.end()
    return response


class _Stream:
    """One stream of events, whose answers are taken when the client has read the one before."""

    def __init__(self, services: Services, caller: Caller) -> None:
        self._services = services
        self._caller = caller
        self._subscription: Subscription | None = None
        self._error: GatewayError | None = None
        self._changed = asyncio.Event()
        self.is_stopped = False
        """Whether it ends because the gateway stops: the client then connects again."""

    async def start(self, prepared: Prepared) -> Answer | None:
        """Start the operation. Return its only answer; None for a subscription."""
        if not prepared.is_subscription:
            return await self._services.operations.run(prepared, self._caller.viewer())
        started = await self._services.subscriptions.subscribe(
            prepared, self._caller, lambda _: self._changed.set()
        )
        if isinstance(started, Answer):
            return started
        self._subscription = started
        return None

    async def send_all(self, response: web.StreamResponse) -> None:
        """Write each answer, until the subscription ends."""
        subscription = self._subscription
        assert subscription is not None
        while not self.is_stopped:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_ALIVE_INTERVAL):
                    await self._changed.wait()
            error = self._error or subscription.error
            if error is not None:
                await response.write(_next(b"".join(error_answer(error).parts)))
                return
            if not self._changed.is_set():
                await response.write(_ALIVE)
            self._changed.clear()
            answer = subscription.take()
            if answer is not None:
                await response.write(_next(answer))

    def end(self) -> None:
        """End the subscription, if there is one."""
        if self._subscription is not None:
            self._subscription.close()

    # For the registry --------------------------------------------------------------------------

    def refuse(self, error: GatewayError) -> None:
        """End with an error: the token is not valid any more."""
        self._error = error
        self._changed.set()

    def stop(self) -> None:
        """End: the gateway stops."""
        self.is_stopped = True
        self._changed.set()

    def check_alive(self, now: float) -> None:
        """Do nothing: the comments show whether the client reads."""


def _next(answer: bytes) -> bytes:
    """Return the event of an answer, which has no line breaks."""
    return b"event: next\ndata: %b\n\n" % answer
