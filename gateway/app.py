"""In charge of the HTTP application: which path is whose, and what goes for every request."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from importlib.metadata import version

import orjson
from aiohttp import hdrs, web
from aiohttp.http_exceptions import HttpProcessingError

from gateway import graphql_http
from gateway.limits import RateLimiter, read_body
from gateway.metrics import Metrics
from gateway.pages import add_pages, page, wants_page
from gateway.services import Services
from gateway.tokens import bearer
from resolvers.access import Viewer
from resolvers.enums import Permission
from resolvers.errors import GatewayError
from resolvers.failures import as_gateway_error
from rest_compat import CompiledDialect, Request, Response, openapi_document
from storage.database import DatabaseUnavailableError

logger = logging.getLogger(__name__)

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

_JSON = "application/json; charset=utf-8"
_HEALTH_TIMEOUT = 2.0
"""Seconds that the database may take to answer before the gateway counts as not ready."""


def create_app(services: Services) -> web.Application:
    """The application that serves GraphQL, both dialects and the pages about them."""
    endpoint = _Endpoint(services)
    app = web.Application(middlewares=[endpoint.judge])
    app.on_response_prepare.append(_hide_versions)
    logging.getLogger("aiohttp.server").addFilter(_is_our_affair)
    app.router.add_get("/graphql", endpoint.graphql)
    app.router.add_post("/graphql", endpoint.graphql)
    app.router.add_get("/health", endpoint.health)
    app.router.add_get("/health/ready", endpoint.ready)
    app.router.add_get("/metrics", endpoint.metrics)
    add_pages(app, services.settings, _openapi(services))
    return app


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
        self._graphiql = page("graphiql.html")

    @web.middleware
    async def judge(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Judge how much the client asks, and give every failure the form of the API asked."""
        # The dialects decide for themselves which paths and methods they know: no route is theirs.
        dialect, path = self._dialect(request) or (None, "")
        try:
            self._limiter.spend(request.remote or "")
            if dialect is None:
                return await handler(request)
            return _from_dialect(await self._legacy(request, dialect, path))
        except web.HTTPException as error:
            return _plain(error.status, error.reason, error.headers.get(hdrs.ALLOW))
        except Exception as error:
            refused = as_gateway_error(error)
            if dialect is None:
                return graphql_http.refuse(request, refused)
            return _from_dialect(dialect.refuse(refused))

    async def graphql(self, request: web.Request) -> web.StreamResponse:
        """GraphQL over HTTP; to a browser that only looks, GraphiQL."""
        if self._settings.graphiql and request.method == hdrs.METH_GET and wants_page(request):
            return await self._graphiql(request)
        viewer = await self._viewer(request) if hdrs.AUTHORIZATION in request.headers else None
        try:
            asked = await graphql_http.read_request(request, self._settings.max_body_bytes)
        except GatewayError:
            if viewer is None:  # The token is judged before the shape (CONTRACT.md §2).
                await self._services.authenticate(None)
            raise
        answer = await self._services.operations.answer(asked, viewer)
        return graphql_http.respond(request, answer)

    async def _legacy(self, request: web.Request, dialect: CompiledDialect, path: str) -> Response:
        """A route of one of the dialects, at the root or below the base path."""
        largest = dialect.largest_body(
            request.method, path, self._settings.max_body_bytes, self._settings.max_bulk_body_bytes
        )
        return await dialect.respond(
            Request(request.method, path, request.query, lambda: read_body(request, largest)),
            self._services.operations,
            lambda: self._viewer(request),
        )

    def _dialect(self, request: web.Request) -> tuple[CompiledDialect, str] | None:
        """The dialect that a path belongs to, and the path without the base path."""
        raw = request.rel_url.raw_path
        base = self._settings.rest_base_path
        paths = [raw.removeprefix(base), raw] if base and raw.startswith(f"{base}/") else [raw]
        for path in paths:
            for dialect in self._services.dialects:
                if dialect.serves(path):
                    return dialect, path
        return None

    async def _viewer(self, request: web.Request) -> Viewer:
        return await self._services.authenticate(bearer(request.headers.get(hdrs.AUTHORIZATION)))

    async def metrics(self, request: web.Request) -> web.Response:
        """The numbers of this process, for admins."""
        viewer = await self._viewer(request)
        viewer.require(Permission.ADMIN, "metrics")
        headers = {hdrs.CONTENT_TYPE: self._metrics.content_type, hdrs.CACHE_CONTROL: "no-store"}
        return web.Response(body=self._metrics.text(), headers=headers)

    async def health(self, request: web.Request) -> web.Response:
        """Whether the gateway runs."""
        return web.Response(body=b'{"status":"ok"}', headers={hdrs.CONTENT_TYPE: _JSON})

    async def ready(self, request: web.Request) -> web.Response:
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


async def _hide_versions(_: web.Request, response: web.StreamResponse) -> None:
    """Say nothing of the programs that answered: their versions help an attacker alone."""
    response.headers[hdrs.SERVER] = "process-gateway"


def _from_dialect(response: Response) -> web.Response:
    headers = {hdrs.CACHE_CONTROL: "private, no-store", **response.headers}
    if response.body is not None:
        headers[hdrs.CONTENT_TYPE] = _JSON
    return web.Response(status=response.status, body=response.body, headers=headers)


def _plain(status: int, reason: str, allow: str | None) -> web.Response:
    """The answer of a path that belongs to no API."""
    body = orjson.dumps({"error": reason})
    headers = {hdrs.CONTENT_TYPE: _JSON} | ({hdrs.ALLOW: allow} if allow else {})
    return web.Response(status=status, body=body, headers=headers)
