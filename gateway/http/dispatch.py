"""In charge of HTTP: which path is whose, and what goes for every request.

There is no router and no middleware in between. Every path here is a fixed text, the dialects match
their own, and aiohttp's application would take a fifth of all the time that HTTP takes.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Mapping
from importlib.metadata import version

import orjson
from aiohttp import hdrs, web
from aiohttp.http_exceptions import HttpProcessingError

from gateway.auth.header import bearer
from gateway.http import graphql
from gateway.http.pages.handlers import Handler, graphiql_page, pages, wants_page
from gateway.http.rate_limit import RateLimiter
from gateway.http.request_body import read_body
from gateway.http.response_body import body_of
from gateway.services import Services
from gateway.telemetry.metrics import Metrics
from resolvers.access.viewer import Viewer
from resolvers.errors.catalogue import GatewayError
from resolvers.errors.translate import as_gateway_error
from resolvers.values.enums import Permission
from rest_compat.handler import CompiledDialect
from rest_compat.http import Request, Response
from rest_compat.openapi import openapi_document
from storage.database.errors import DatabaseUnavailableError

logger = logging.getLogger(__name__)

_JSON = "application/json; charset=utf-8"
_GRAPHQL = ("/graphql", "/graphql/")
_READING = ("GET", "HEAD")
_HEALTH_TIMEOUT = 2.0
"""Seconds that the database may take to answer before the gateway counts as not ready."""


def create_server(services: Services) -> web.Server:
    """The server of GraphQL, both dialects and the pages about them, ready to listen."""
    logging.getLogger("aiohttp.server").addFilter(_is_our_affair)
    return web.Server(_Endpoint(services).answer, access_log=None)


def _openapi(services: Services) -> dict[str, bytes]:
    """The OpenAPI document of each dialect, by its name."""
    return {
        dialect.name: orjson.dumps(
            openapi_document(
                dialect,
                version=version("process-gateway"),
                base_path=services.settings.rest_base_path,
            )
        )
        for dialect in services.dialects
    }


class _Endpoint:
    """The handlers, with the services that they work with."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._settings = services.settings
        self._metrics = Metrics(services)
        self._limiter = RateLimiter(self._settings.rate_limit, self._settings.rate_burst)
        self._graphiql = graphiql_page(self._settings) if self._settings.graphiql else None
        self._readings: Mapping[str, Handler] = {
            **pages(self._settings, _openapi(services)),
            "/health": self.health,
            "/health/ready": self.ready,
            "/metrics": self.metrics,
        }
        """What can be read at the paths that are no API's."""

    async def answer(self, request: web.BaseRequest) -> web.StreamResponse:
        """Judge how much the client asks, and give every failure the form of the API asked."""
        path = request.rel_url.raw_path
        dialect, below = (None, path) if path in _GRAPHQL else self._dialect(path)
        response: web.StreamResponse
        try:
            self._limiter.spend(request.remote or "")
            if path in _GRAPHQL:
                response = await self._graphql(request)
            elif dialect is not None:
                response = _from_dialect(await self._legacy(request, dialect, below))
            else:
                response = await self._reading(request, path)
        except Exception as error:
            refused = as_gateway_error(error)
            if dialect is None:
                response = graphql.refuse(request, refused)
            else:
                response = _from_dialect(dialect.error_response(refused))
        # Not the programs that answered: their versions help an attacker alone.
        response.headers[hdrs.SERVER] = "process-gateway"
        return response

    def _dialect(self, raw_path: str) -> tuple[CompiledDialect | None, str]:
        """The dialect that a path belongs to, if any, and the path without the base path."""
        base = self._settings.rest_base_path
        below = [raw_path.removeprefix(base)] if base and raw_path.startswith(f"{base}/") else []
        for path in (*below, raw_path):
            for dialect in self._services.dialects:
                if dialect.serves(path):
                    return dialect, path
        return None, raw_path

    async def _graphql(self, request: web.BaseRequest) -> web.StreamResponse:
        """GraphQL over HTTP; to a browser that only looks, GraphiQL."""
        if request.method != hdrs.METH_POST:
            if request.method not in _READING:
                return graphql.method_not_allowed(request, (*_READING, hdrs.METH_POST))
            if self._graphiql is not None and wants_page(request):
                return await self._graphiql(request)
        viewer = await self._viewer(request) if hdrs.AUTHORIZATION in request.headers else None
        try:
            asked = await graphql.read_request(request, self._settings.max_body_bytes)
        except GatewayError:
            if viewer is None:  # The token is judged before the shape (CONTRACT.md §2).
                await self._services.authenticate(None)
            raise
        operations = self._services.operations
        prepared = operations.prepare(asked)
        if request.method != hdrs.METH_POST and viewer is not None and prepared.writes:
            return graphql.method_not_allowed(
                request, (hdrs.METH_POST,), "send a mutation with POST, not GET"
            )
        return graphql.respond(request, await operations.run(prepared, viewer))

    async def _reading(self, request: web.BaseRequest, path: str) -> web.StreamResponse:
        """A page, or a number that operators watch."""
        handler = self._readings.get(path)
        if handler is None:
            return _plain(404, "Not Found")
        if request.method not in _READING:
            return _plain(405, "Method Not Allowed", _READING)
        return await handler(request)

    async def _legacy(
        self, request: web.BaseRequest, dialect: CompiledDialect, path: str
    ) -> Response:
        """A route of one of the dialects, at the root or below the base path."""

        def read(*, bulk: bool) -> Awaitable[bytes]:
            settings = self._settings
            return read_body(
                request, settings.max_bulk_body_bytes if bulk else settings.max_body_bytes
            )

        return await dialect.respond(
            Request(
                request.method,
                path,
                request.query,
                read,
                request.headers.get(hdrs.CONTENT_TYPE, ""),
            ),
            self._services.operations,
            lambda: self._viewer(request),
        )

    async def _viewer(self, request: web.BaseRequest) -> Viewer:
        return await self._services.authenticate(bearer(request.headers.get(hdrs.AUTHORIZATION)))

    async def metrics(self, request: web.BaseRequest) -> web.Response:
        """The numbers of this process, for admins."""
        viewer = await self._viewer(request)
        viewer.require(Permission.ADMIN, "metrics")
        headers = {hdrs.CONTENT_TYPE: self._metrics.content_type, hdrs.CACHE_CONTROL: "no-store"}
        return web.Response(body=self._metrics.text(), headers=headers)

    async def health(self, request: web.BaseRequest) -> web.Response:
        """Whether the gateway runs."""
        return web.Response(body=b'{"status":"ok"}', headers={hdrs.CONTENT_TYPE: _JSON})

    async def ready(self, request: web.BaseRequest) -> web.Response:
        """Whether requests can be answered: 200, or 503 while the database is out of reach."""
        try:
            async with asyncio.timeout(_HEALTH_TIMEOUT):
                await self._services.database.ping()
        except (DatabaseUnavailableError, TimeoutError):
            body = b'{"status":"unavailable","database":"out of reach"}'
            return web.Response(status=503, body=body, headers={hdrs.CONTENT_TYPE: _JSON})
        body = b'{"status":"ok","database":"ok"}'
        return web.Response(body=body, headers={hdrs.CONTENT_TYPE: _JSON})


def _is_our_affair(record: logging.LogRecord) -> bool:
    """Whether a log record is more than that somebody sent what is not HTTP."""
    of_client = (HttpProcessingError, web.RequestPayloadError)
    return not (record.exc_info and isinstance(record.exc_info[1], of_client))


def _from_dialect(response: Response) -> web.Response:
    headers = {hdrs.CACHE_CONTROL: "private, no-store", **response.headers}
    if response.parts:
        headers[hdrs.CONTENT_TYPE] = _JSON
    return web.Response(status=response.status, body=body_of(response.parts), headers=headers)


def _plain(status: int, reason: str, allowed: tuple[str, ...] = ()) -> web.Response:
    """The answer of a path that belongs to no API."""
    headers = {hdrs.CONTENT_TYPE: _JSON} | ({hdrs.ALLOW: ", ".join(allowed)} if allowed else {})
    return web.Response(status=status, body=orjson.dumps({"error": reason}), headers=headers)
