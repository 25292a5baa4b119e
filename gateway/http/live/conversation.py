"""Hold the conversation of one WebSocket by the rules of ``graphql-transport-ws``.

Queries and mutations run in tasks. A subscription needs none: its answers are written when they
change, if the client reads, and otherwise when it has read what was written before. It then gets
the newest one.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from functools import partial

from aiohttp import hdrs, web

from gateway.auth.header import bearer
from gateway.http.body_intake import LARGE, BodyIntake
from gateway.http.live.protocol import (
    ACK,
    PONG,
    CloseCode,
    Complete,
    Init,
    Message,
    Ping,
    SocketClosed,
    Subscribe,
    complete_message,
    error_message,
    next_message,
    read_message,
)
from gateway.http.live.registry import Finish, Registry
from gateway.http.live.socket import Socket, open_socket
from gateway.services import Caller, Services
from resolvers.errors.catalogue import ErrorKind, GatewayError
from resolvers.errors.translate import as_gateway_error
from resolvers.operations.answers import Answer, error_answer, errors_of
from resolvers.operations.live import Subscription
from resolvers.operations.run import Prepared

logger = logging.getLogger(__name__)

_INIT_TIME = 5.0
"""Seconds in which ``connection_init`` must arrive."""
_AT_ONCE = 16
"""Messages of one socket that are handled before others get a turn."""
_REFUSED = (ErrorKind.UNAUTHENTICATED, ErrorKind.TOKEN_EXPIRED)
"""The errors of a token that is not valid, or not any more."""


async def serve_socket(
    request: web.BaseRequest,
    services: Services,
    registry: Registry,
    intake: BodyIntake,
    finish: Finish,
) -> web.StreamResponse:
    """Hold the conversation of a WebSocket to its end, and return the response that it was.

    Raises:
        GatewayError: The handshake is malformed.
    """
    header = request.headers.get(hdrs.AUTHORIZATION)
    conversation = Conversation(services, registry, intake, header)
    largest = services.settings.max_body_bytes
    socket = await open_socket(request, finish, conversation.flush, largest)
    await conversation.hold(socket)
    return socket.response


class Conversation:
    """The state of one conversation.

    Args:
        header: The header ``Authorization`` of the handshake.
    """

    _socket: Socket

    def __init__(
        self, services: Services, registry: Registry, intake: BodyIntake, header: str | None
    ) -> None:
        self._services = services
        self._registry = registry
        self._intake = intake
        self._header = header
        self._loop = asyncio.get_running_loop()
        self._caller: Caller | None = None
        self._init: Init | None = None
        self._stopping = False
        # By the IDs of their operations: subscriptions, tasks, and None for what is being prepared.
        self._operations: dict[str, Subscription | asyncio.Task[None] | None] = {}
        self._ids: dict[Subscription, str] = {}
        self._ready: dict[Subscription, None] = {}  # those with an answer that waits for the client
        self._writers: list[asyncio.Future[None]] = []  # what else waits for the client

    async def hold(self, socket: Socket) -> None:
        """Read and answer messages until either side closes the socket."""
        self._socket = socket
        self._registry.sockets += 1
        self._registry.wait(self)
        late = self._loop.call_later(_INIT_TIME, self._init_is_late)
        closed: SocketClosed | None = None
        try:
            if not socket.speaks_graphql:
                raise SocketClosed(CloseCode.BAD_SUBPROTOCOL)
            if self._registry.stopping:
                raise SocketClosed(CloseCode.GOING_AWAY)
            await self._converse()
        except SocketClosed as reason:
            closed = reason
        except asyncio.CancelledError:
            closed = socket.interrupted()
            if closed is None:
                raise  # the client has left
        except ConnectionError:
            pass  # as well
        except Exception:
            logger.exception("the conversation of a WebSocket failed")
            closed = SocketClosed(CloseCode.INTERNAL)
        finally:
            late.cancel()
            self._registry.sockets -= 1
            self._registry.remove(self, self._caller)
            self._end_operations()
        if closed is not None:
            await socket.end(closed)

    async def _converse(self) -> None:
        number = 0
        while (text := await self._socket.receive()) is not None:
            # Who does not read is not read from: what it is told would pile up.
            await self._writable()
            number += 1
            if number % _AT_ONCE == 0:
                await asyncio.sleep(0)
            if len(text) <= LARGE:
                await self._receive(text)
                continue
            try:
                await self._intake.take(self, len(text))
                await self._receive(text)
            except GatewayError as error:
                raise _closed_for(error) from error
            finally:
                self._intake.release(self)

    async def _receive(self, text: bytes) -> None:
        parse = partial(read_message, text, self._services.settings.max_items)
        await self._handle(await self._services.operations.worker.run(len(text), parse))

    async def _handle(self, message: Message) -> None:
        match message:
            case Init():
                if self._init is not None:
                    raise SocketClosed(CloseCode.TOO_MANY_INITS)
                self._init = message
                await self._open(message.payload)
            case Ping():
                self._socket.send(PONG)
            case Subscribe():
                if self._caller is None:
                    raise SocketClosed(CloseCode.UNAUTHORIZED)
                if message.id in self._operations:
                    raise SocketClosed(
                        CloseCode.DUPLICATE, f"Subscriber for {message.id} already exists"
                    )
                await self._start(message, self._caller)
            case Complete():
                self._forget(message.id)

    # Opening -----------------------------------------------------------------------------------

    async def _open(self, payload: Mapping[str, object]) -> None:
        """Judge the token, and acknowledge the conversation."""
        named = (value for key, value in payload.items() if key.lower() == "authorization")
        header = next(named, self._header)
        if header is None or header == "":
            raise SocketClosed(CloseCode.UNAUTHORIZED, "there is no token in connection_init")
        try:
            if not isinstance(header, str):
                raise SocketClosed(CloseCode.FORBIDDEN, "Authorization: expected a text")
            caller = await self._services.caller(bearer(header))
            self._registry.add(self, caller)
        except Exception as error:
            raise _closed_for(error) from error
        self._caller = caller
        self._socket.send(ACK)

    def _init_is_late(self) -> None:
        if self._caller is None:
            self._socket.close(SocketClosed(CloseCode.INIT_TIMEOUT))

    # Operations --------------------------------------------------------------------------------

    async def _start(self, message: Subscribe, caller: Caller) -> None:
        """Start an operation."""
        most = self._services.settings.max_socket_subscriptions
        if len(self._operations) >= most:
            too_many = GatewayError(
                ErrorKind.BAD_USER_INPUT,
                f"the socket has {most:,} operations, and no more are allowed at a time"
                " (max_socket_subscriptions)",
                details={"limit": {"name": "max_socket_subscriptions", "maximum": most}},
            )
            self._reject(message.id, error_answer(too_many))
            return
        self._operations[message.id] = None
        try:
            await self._services.admit(caller)
            if isinstance(message.request, GatewayError):
                raise message.request
            prepared = await self._services.operations.prepare(message.request)
            if not prepared.is_subscription:
                running = self._run(message.id, prepared, caller)
                self._operations[message.id] = asyncio.create_task(running)
                return
            started = await self._services.subscriptions.subscribe(prepared, caller, self._notified)
        except Exception as error:
            failure = as_gateway_error(error)
            if failure.kind in _REFUSED:
                raise _closed_for(failure) from error
            started = error_answer(failure)
        if isinstance(started, Answer):
            self._reject(message.id, started)
        else:
            self._operations[message.id] = started
            self._ids[started] = message.id

    def _reject(self, id_: str, answer: Answer) -> None:
        self._operations.pop(id_, None)
        self._socket.send(*error_message(id_, errors_of(answer)))

    async def _run(self, id_: str, prepared: Prepared, caller: Caller) -> None:
        """Run a query or a mutation, and write its answer."""
        try:
            answer = await self._services.operations.run(prepared, caller.viewer())
        except Exception as error:
            answer = error_answer(as_gateway_error(error))
        await self._writable()
        if answer.rejected is not None:
            self._reject(id_, answer)
        else:
            self._operations.pop(id_, None)
            self._socket.send(*next_message(id_, b"".join(answer.parts)))
            self._socket.send(*complete_message(id_))
        self._stop_if_idle()

    def _forget(self, id_: str) -> None:
        """End an operation, if there is one with this ID."""
        operation = self._operations.pop(id_, None)
        if isinstance(operation, Subscription):
            operation.close()
            self._ready.pop(operation, None)
            del self._ids[operation]
        elif operation is not None:
            operation.cancel()

    def _end_operations(self) -> None:
        for id_ in list(self._operations):
            self._forget(id_)

    # Writing -----------------------------------------------------------------------------------

    def _notified(self, subscription: Subscription) -> None:
        """Write the newest answer of a subscription, now or when the client reads."""
        if self._socket.is_writable:
            self._write(subscription)
        else:
            self._ready[subscription] = None

    def _write(self, subscription: Subscription) -> None:
        id_ = self._ids[subscription]
        if subscription.error is not None:
            if subscription.error.kind in _REFUSED:
                self.refuse(subscription.error)
            else:
                self._forget(id_)
                self._reject(id_, error_answer(subscription.error))
        elif (answer := subscription.take()) is not None:
            self._socket.send(*next_message(id_, answer))

    def flush(self) -> None:
        """Write what waits: the client has read most of what was written before."""
        while self._ready and self._socket.is_writable:
            subscription = next(iter(self._ready))
            del self._ready[subscription]
            self._write(subscription)
        writers, self._writers = self._writers, []
        for writer in writers:
            if not writer.done():
                writer.set_result(None)

    async def _writable(self) -> None:
        """Wait until the client reads."""
        while not self._socket.is_writable:
            writer = self._loop.create_future()
            self._writers.append(writer)
            await writer

    # For the registry --------------------------------------------------------------------------

    def refuse(self, error: GatewayError) -> None:
        """Close the socket: the token is not valid any more."""
        self._end_operations()
        self._socket.close(_closed_for(error))

    def stop(self) -> None:
        """Close the socket once its queries and mutations are answered: the gateway stops."""
        self._stopping = True
        self._stop_if_idle()

    def _stop_if_idle(self) -> None:
        running = any(isinstance(each, asyncio.Task) for each in self._operations.values())
        if self._stopping and not running:
            self._socket.close(SocketClosed(CloseCode.GOING_AWAY))

    def check_alive(self, now: float) -> None:
        """Ping a silent client; end the connection if it does not answer."""
        silent = now - self._socket.heard_at
        interval = self._services.settings.socket_ping_interval
        if silent > 2 * interval:
            self._socket.cut()
        elif silent > interval and not self._socket.is_pinged:
            self._socket.ping()


def _closed_for(error: Exception) -> SocketClosed:
    """Return why the socket is closed if the caller gets this error."""
    if isinstance(error, SocketClosed):
        return error
    failure = as_gateway_error(error)
    if failure.kind in _REFUSED:
        return SocketClosed(CloseCode.FORBIDDEN, failure.message)
    return SocketClosed(CloseCode.TRY_AGAIN, failure.message)
