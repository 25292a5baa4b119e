"""Implement the source kind ``http``: send the request of an action, and say how it failed."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import ip_network
from typing import Any, ClassVar

import aiohttp
from aiohttp.abc import AbstractResolver
from pydantic import BaseModel
from yarl import URL

from resolvers.execution.sources.http.addresses import (
    AddressRefusedError,
    GuardedSockets,
)
from resolvers.execution.sources.http.answers import read_answer, refusal
from resolvers.execution.sources.http.requests import Request, build_request
from resolvers.execution.sources.http.settings import HttpSettings
from resolvers.execution.sources.operations import catalogue_of, find_operation
from resolvers.execution.sources.protocol import (
    ActionFailedError,
    Call,
    Catalogue,
    Repeat,
    SourceKind,
)

_SHARE = 0.95
"""The part of an action's time after which a request is given up.

The engine, which cancels the action at the end of its time, cannot tell whether the request was
sent.
"""
_KEEP = 2.0
"""Seconds that an unused connection is kept. Servers keep them longer, so that hardly one is closed
by the server in the moment in which it is used again."""

_STAGES = {False: "could not be reached", True: "did not answer"}


@dataclass(slots=True)
class _Progress:
    """How far a request has come."""

    connected: bool = False
    """Whether it has a connection: from then on, it may have been sent."""


_PROGRESS: ContextVar[_Progress] = ContextVar("progress")
"""That of the request which the current task sends."""


class _NotingConnector(aiohttp.TCPConnector):
    """Notes when a request gets a connection. Tracing would cost a tenth of all requests."""

    async def connect(
        self,
        req: aiohttp.ClientRequest,
        traces: list[Any],
        timeout: aiohttp.ClientTimeout,  # noqa: ASYNC109 - that of aiohttp
    ) -> aiohttp.connector.Connection:
        connection = await super().connect(req, traces, timeout)
        _PROGRESS.get().connected = True
        return connection


class _LostError(Exception):
    """The connection was lost while a request used it."""


async def _send_once(
    request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
) -> aiohttp.ClientResponse:
    """Send a request once.

    aiohttp sends GET, HEAD, PUT and DELETE again, without a word, if the connection is lost before
    the answer. It does so for its own exceptions only.
    """
    try:
        return await handler(request)
    except aiohttp.ClientConnectorError:
        raise
    except (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError) as error:
        raise _LostError from error


class HttpKind(SourceKind):
    """Sends requests to an HTTP API.

    The result of an action is ``{"status": 200, "body": …}``. The body is JSON if the answer says
    so, otherwise text, and null if there is none.

    Args:
        resolver: Resolves names instead of the system.
    """

    name: ClassVar[str] = "http"
    settings: ClassVar[type[BaseModel]] = HttpSettings

    def __init__(self, resolver: AbstractResolver | None = None) -> None:
        self._resolver = resolver
        self._sessions: dict[tuple[Sequence[str], bool], aiohttp.ClientSession] = {}

    async def act(self, call: Call) -> Any:
        """Send one request, and return the status and the body of the answer."""
        settings = call.settings
        assert isinstance(settings, HttpSettings)
        operation, request = build_request(call.action, call.arguments, settings)
        trust = _trust(settings.ca_certificate)
        session = self._session(settings, reuse=operation.may_be_repeated)
        seconds = min(settings.timeout or call.seconds, call.seconds * _SHARE)
        progress = _Progress()
        _PROGRESS.set(progress)
        try:
            async with asyncio.timeout(seconds):
                return await self._send(session, request, call.idempotency_key, trust)
        except TimeoutError:
            raise _failed(
                f"the source {_STAGES[progress.connected]} within {seconds:.3g} s",
                sent=progress.connected,
                timed_out=True,
            ) from None
        except aiohttp.InvalidURL:
            raise ActionFailedError("the address of the source is not valid") from None
        except aiohttp.ClientConnectorError as error:
            raise _not_reached(error) from None
        except (_LostError, aiohttp.ClientError, OSError):
            raise _failed(
                "the connection was lost before the answer was complete"
                if progress.connected
                else "the source cannot be reached",
                sent=progress.connected,
            ) from None

    async def _send(
        self,
        session: aiohttp.ClientSession,
        request: Request,
        idempotency_key: str,
        trust: ssl.SSLContext | bool,
    ) -> dict[str, Any]:
        if idempotency_key:
            request.headers["Idempotency-Key"] = idempotency_key
        async with session.request(
            request.method,
            URL(request.url, encoded=True),
            headers=request.headers,
            data=request.body,
            allow_redirects=False,
            ssl=trust,
        ) as response:
            failure = refusal(response)
            if failure is not None:
                raise failure
            return {"status": response.status, "body": await read_answer(response)}

    def _session(self, settings: HttpSettings, *, reuse: bool) -> aiohttp.ClientSession:
        """Return the session of all sources that may connect to the same networks.

        A connection is never lent to a source that may not open it itself.

        Args:
            reuse: Whether connections are used again. A request that must not be repeated gets a
                fresh one: it would be in doubt if the server had closed the connection meanwhile.
        """
        networks = tuple(sorted(settings.allow_networks))
        session = self._sessions.get((networks, reuse))
        if session is None:
            options: dict[str, Any] = {"keepalive_timeout": _KEEP} if reuse else {}
            connector = _NotingConnector(
                resolver=self._resolver,
                use_dns_cache=False,
                socket_factory=GuardedSockets(map(ip_network, networks)),
                force_close=not reuse,
                **options,
            )
            session = self._sessions[networks, reuse] = aiohttp.ClientSession(
                connector=connector,
                cookie_jar=aiohttp.DummyCookieJar(),
                headers={"User-Agent": "process-gateway"},
                middlewares=(_send_once,),
                timeout=aiohttp.ClientTimeout(total=None),
                trust_env=False,
            )
        return session

    def is_idempotent(self, action: str, settings: BaseModel) -> bool:
        """Whether the operation says so, or else its method."""
        assert isinstance(settings, HttpSettings)
        operation = find_operation(settings.operations, action)
        if operation is not None:
            return operation.may_be_repeated
        return action.partition(" ")[0] in ("GET", "HEAD", "PUT", "DELETE")

    def catalogue(self, settings: BaseModel | None) -> Catalogue:
        """Return the operations of a source."""
        if settings is None:
            return Catalogue()
        assert isinstance(settings, HttpSettings)
        return catalogue_of(
            settings.operations,
            lambda operation: f"{operation.method} {operation.path}",
            lambda operation: operation.may_be_repeated,
            only_operations=settings.only_operations,
        )

    async def close(self) -> None:
        """Close all connections."""
        sessions = list(self._sessions.values())
        self._sessions.clear()
        for session in sessions:
            await session.close()


@lru_cache(maxsize=64)
def _trust(certificate: str | None) -> ssl.SSLContext | bool:
    """Return what verifies the certificates of servers. Connections are shared by this object."""
    if certificate is None:
        return True
    try:
        return ssl.create_default_context(cadata=certificate)
    except (ssl.SSLError, ValueError):
        raise ActionFailedError("the setting ca_certificate holds no certificate") from None


def _failed(message: str, *, sent: bool, timed_out: bool = False) -> ActionFailedError:
    """Return the failure of a request without a whole answer."""
    return ActionFailedError(
        message,
        repeat=Repeat.IF_IDEMPOTENT if sent else Repeat.ALWAYS,
        in_doubt=sent,
        timed_out=timed_out,
    )


def _not_reached(error: aiohttp.ClientConnectorError) -> ActionFailedError:
    """Return the failure of a request that was never sent."""
    if isinstance(error.os_error, AddressRefusedError):
        return ActionFailedError(
            "the source leads to an address that is not public, and its setting allow_networks"
            " does not list it"
        )
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        reason = "its name cannot be resolved"
    elif isinstance(error, aiohttp.ClientConnectorCertificateError):
        reason = "its certificate is not valid"
    elif isinstance(error, aiohttp.ClientConnectorSSLError):
        reason = "TLS failed"
    elif isinstance(error.os_error, ConnectionRefusedError):
        reason = "it refuses connections"
    else:
        reason = "there is no connection"
    return _failed(f"the source cannot be reached: {reason}", sent=False)
