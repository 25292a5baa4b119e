"""Dispatch HTTP requests to GraphQL, the dialects and the pages, and render their errors.

There is no router and no middleware: the paths here are fixed, the dialects match their own paths,
and aiohttp's application would take a fifth of the time spent on HTTP.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from http import HTTPStatus
from importlib.metadata import version

import orjson
from aiohttp import hdrs, web

from gateway.auth.header import bearer
from gateway.http import graphql
from gateway.http.body_intake import BodyIntake
from gateway.http.client_address import ClientAddresses
from gateway.http.compression import FORMS, Compression, KeptForms
from gateway.http.connections import ConnectionLimits, Connections
from gateway.http.cors import CrossOrigin
from gateway.http.etags import NO_STORE, add_tag, is_known, known_tags
from gateway.http.live.conversation import serve_socket
from gateway.http.live.events import EVENT_STREAM, serve_events, wants_events
from gateway.http.live.protocol import SUBPROTOCOL
from gateway.http.live.registry import Registry
from gateway.http.live.socket import wants_socket
from gateway.http.pages.handlers import Handler, graphiql_page, pages, wants_page
from gateway.http.request_body import read_body
from gateway.http.response_body import body_of, collected
from gateway.http.vary import add_vary
from gateway.postgres.embedded import EmbeddedPostgres
from gateway.services import Services
from gateway.telemetry.metrics import Metrics
from resolvers.access.viewer import Viewer
from resolvers.errors.catalogue import ErrorKind, GatewayError, bad_value, missing_token
from resolvers.errors.translate import as_gateway_error
from resolvers.operations.answers import error_answer
from resolvers.operations.kept import Kept
from resolvers.operations.public import MAX_PUBLIC_BODY
from resolvers.operations.run import Prepared
from resolvers.values.enums import Permission
from resolvers.values.json_limits import RawJson
from rest_compat.handler import CompiledDialect
from rest_compat.http import IDEMPOTENCY_KEY, Request, Response
from rest_compat.openapi.document import openapi_document
from storage.database.errors import StorageError
from storage.database.fairness import borrower

_SERVER = "process-gateway"
_JSON = "application/json; charset=utf-8"
_GRAPHQL = ("/graphql", "/graphql/")
_OPENAPI = "/openapi/"
_READ_METHODS = ("GET", "HEAD")
_HEALTH_TIMEOUT = 2.0
"""Seconds without an answer from the database after which the gateway counts as not ready."""


def create_server(services: Services) -> web.Server:
    """Return the server of GraphQL, both dialects and the pages, ready to listen."""
    intake = BodyIntake()
    endpoint = _Endpoint(services, intake)
    limits = ConnectionLimits.from_settings(services.settings)
    return Connections(endpoint.answer, endpoint.refuse, limits, intake, endpoint.stop)


def _openapi(services: Services) -> dict[str, bytes]:
    """Return the OpenAPI document of each dialect, by name."""
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
    """The handlers and the services that they use."""

    def __init__(self, services: Services, intake: BodyIntake) -> None:
        self._services = services
        self._intake = intake
        self._settings = services.settings
        self._registry = Registry(services.directory, services.settings.max_sockets_token)
        self._metrics = Metrics(services, self._registry)
        self._rates = services.rates
        self._addresses = ClientAddresses.from_settings(self._settings)
        self._compression = Compression(enabled=self._settings.compression)
        self._cross_origin = CrossOrigin.from_settings(self._settings)
        self._graphiql = (
            graphiql_page(self._settings, self._compression) if self._settings.graphiql else None
        )
        self._read_handlers: Mapping[str, Handler] = {
            **pages(self._settings, _openapi(services), self._compression),
            "/health": self.health,
            "/health/ready": self.ready,
            "/metrics": self.metrics,
        }
        """Handlers of the paths that belong to no API, for GET and HEAD."""

    async def answer(self, request: web.BaseRequest) -> web.StreamResponse:
        """Apply the rate limit, dispatch, and render errors in the format of the called API."""
        borrower.set("")  # the requests of a connection share a context
        path = request.rel_url.raw_path
        dialect, below = (None, path) if path in _GRAPHQL else self._dialect(path)
        is_api = dialect is not None or path in _GRAPHQL or path.startswith(_OPENAPI)
        response: web.StreamResponse
        try:
            if self._rates.limits_addresses:
                await self._rates.spend_address(self._addresses.of(request))
            self._cross_origin.check(request)
            preflight = None
            if request.method == hdrs.METH_OPTIONS and is_api:
                preflight = self._cross_origin.preflight(request)
            if preflight is not None:
                response = preflight
            elif path in _GRAPHQL:
                response = await self._graphql(request)
            elif dialect is not None:
                response = await self._legacy(request, dialect, below)
            else:
                response = await self._read(request, path)
        except Exception as error:
            gateway_error = as_gateway_error(error)
            if dialect is None:
                response = graphql.error_response(request, gateway_error)
            else:
                response = _from_dialect(dialect.error_response(gateway_error))
        finally:
            self._intake.release(request)
        if not response.prepared:  # a WebSocket or a stream was sent already
            await self._compression.apply(request, response)
            self._finish(request, response, is_api=is_api)
        return response

    def _finish(
        self, request: web.BaseRequest, response: web.StreamResponse, *, is_api: bool = True
    ) -> None:
        """Add the headers that all responses have."""
        if is_api:
            self._cross_origin.share(request, response)
        # By default, aiohttp sends version numbers, which help only attackers.
        response.headers[hdrs.SERVER] = _SERVER

    def stop(self) -> None:
        """End the WebSockets and event streams: the gateway stops."""
        self._registry.stop()

    def refuse(self, path: str, status: int, error: GatewayError) -> web.Response:
        """Return the response to bytes that are not a request, in the format of the called API.

        Args:
            path: The path as received; "" if it is not known.
            status: The HTTP status, unless the dialect answers everything with 200.
            error: What is wrong.
        """
        dialect, _ = self._dialect(path)
        if path in _GRAPHQL:
            response = graphql.error_response(None, error)
        elif dialect is not None:
            response = _from_dialect(dialect.error_response(error))
        else:
            response = _plain(status, HTTPStatus(status).phrase)
        if response.status != 200:
            response.set_status(status)
        response.headers[hdrs.SERVER] = _SERVER
        return response

    def _dialect(self, raw_path: str) -> tuple[CompiledDialect | None, str]:
        """Return the dialect that a path belongs to, if any, and the path without the base path."""
        base = self._settings.rest_base_path
        below = [raw_path.removeprefix(base)] if base and raw_path.startswith(f"{base}/") else []
        for path in (*below, raw_path):
            for dialect in self._services.dialects:
                if dialect.serves(path):
                    return dialect, path
        return None, raw_path

    async def _graphql(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer a GraphQL request or a WebSocket; show GraphiQL to a browser that opens it."""
        if request.method != hdrs.METH_POST:
            if request.method not in _READ_METHODS:
                return graphql.method_not_allowed(request, (*_READ_METHODS, hdrs.METH_POST))
            if request.method == hdrs.METH_GET and wants_socket(request):
                self._cross_origin.check_socket(request)
                finish = partial(self._finish, request)
                return await serve_socket(
                    request, self._services, self._registry, self._intake, finish
                )
            if self._graphiql is not None and wants_page(request):
                page = await self._graphiql(request)
                add_vary(page, hdrs.ACCEPT)
                return page
        operations = self._services.operations
        if hdrs.AUTHORIZATION in request.headers:
            viewer: Viewer | None = await self._viewer(request)
            largest = self._settings.max_body_bytes
            prepared = await operations.prepare(
                await graphql.read_request(request, largest, self._intake, operations)
            )
        else:
            viewer = None
            prepared = await self._prepare_public(request)
        if request.method != hdrs.METH_POST and prepared.writes:
            return graphql.method_not_allowed(
                request, (hdrs.METH_POST,), "send a mutation with POST, not GET"
            )
        if viewer is not None and wants_events(request, prepared):
            caller = self._services.holder(bearer(request.headers[hdrs.AUTHORIZATION]))
            self._intake.release(request)
            finish = partial(self._finish, request)
            return await serve_events(
                request, self._services, self._registry, finish, caller, prepared
            )
        if prepared.is_subscription:
            needs = f"a WebSocket ({SUBPROTOCOL}) or 'Accept: {EVENT_STREAM}'"
            answer = error_answer(bad_value((), f"a subscription needs {needs}"))
            return graphql.respond(request, answer)
        known = known_tags(request)
        answer = await operations.run(prepared, viewer, known)
        response = graphql.respond(request, answer, known)
        if answer.kept is None:
            return response
        return self._with_forms(request, response, answer.kept, answer.parts)

    async def _prepare_public(self, request: web.BaseRequest) -> Prepared:
        """Prepare an operation without a token. The token is judged before the shape of a request
        (docs/contract.md §2), so a request that has any other error lacks a token.
        """
        operations = self._services.operations
        if not operations.is_public:
            raise missing_token()
        try:
            return await operations.prepare_public(
                await graphql.read_request(request, MAX_PUBLIC_BODY, self._intake, operations)
            )
        except GatewayError as error:
            raise (error if error.kind is ErrorKind.RATE_LIMITED else missing_token()) from None

    async def _read(self, request: web.BaseRequest, path: str) -> web.StreamResponse:
        """Answer a request for a page, a health check or the metrics."""
        handler = self._read_handlers.get(path)
        if handler is None:
            return _plain(404, "Not Found")
        if request.method not in _READ_METHODS:
            return _plain(405, "Method Not Allowed", _READ_METHODS)
        return await handler(request)

    async def _legacy(
        self, request: web.BaseRequest, dialect: CompiledDialect, path: str
    ) -> web.Response:
        """Answer a request to a dialect, at the root or below the base path."""

        def read(*, bulk: bool) -> Awaitable[RawJson]:
            settings = self._settings
            largest = settings.max_bulk_body_bytes if bulk else settings.max_body_bytes
            return read_body(request, largest, self._intake)

        known = known_tags(request)
        if_match = request.headers.getall(hdrs.IF_MATCH, ())
        response = await dialect.respond(
            Request(
                request.method,
                path,
                request.query,
                read,
                request.headers.get(hdrs.CONTENT_TYPE, ""),
                known,
                ", ".join(if_match) if if_match else None,
                request.headers.getall(IDEMPOTENCY_KEY, ()),
            ),
            self._services.operations,
            lambda: self._viewer(request),
        )
        if response.tag is not None:
            headers = {**response.headers}
            add_tag(request, headers, response.tag)
            if response.status == 304 or is_known(request, known, response.tag):
                await collected(response.parts)
                return web.Response(status=304, headers=headers)
            response = replace(response, headers=headers)
        if request.method == hdrs.METH_HEAD and self._compression.coding_for(request) is None:
            # The length of the body is part of the answer.
            response = replace(response, parts=await collected(response.parts))
        rendered = _from_dialect(response)
        if response.kept is None:
            return rendered
        return self._with_forms(request, rendered, response.kept, response.parts)

    def _with_forms(
        self,
        request: web.BaseRequest,
        response: web.Response,
        kept: Kept,
        parts: Sequence[object],
    ) -> web.Response:
        """Return a response, with the compressed forms of the kept answer in its body."""
        if self._compression.coding_for(request) is not None:
            response[FORMS] = KeptForms.of(self._services.operations.reads.kept, kept, parts)
        return response

    async def _viewer(self, request: web.BaseRequest) -> Viewer:
        return await self._services.authenticate(bearer(request.headers.get(hdrs.AUTHORIZATION)))

    async def metrics(self, request: web.BaseRequest) -> web.Response:
        """Return the metrics of this process to admins."""
        viewer = await self._viewer(request)
        viewer.require(Permission.ADMIN, "metrics")
        headers = {hdrs.CONTENT_TYPE: self._metrics.content_type, hdrs.CACHE_CONTROL: "no-store"}
        return web.Response(body=self._metrics.text(), headers=headers)

    async def health(self, request: web.BaseRequest) -> web.Response:
        """Report that the gateway is running."""
        return web.Response(body=b'{"status":"ok"}', headers={hdrs.CONTENT_TYPE: _JSON})

    async def ready(self, request: web.BaseRequest) -> web.Response:
        """Report whether the database can be reached: 200 or 503."""
        try:
            async with asyncio.timeout(_HEALTH_TIMEOUT):
                await self._services.database.ping()
        except (StorageError, TimeoutError):
            state = b"restarting" if self._database_restarts() else b"out of reach"
            body = b'{"status":"unavailable","database":"%s"}' % state
            return web.Response(status=503, body=body, headers={hdrs.CONTENT_TYPE: _JSON})
        body = b'{"status":"ok","database":"ok"}'
        return web.Response(body=body, headers={hdrs.CONTENT_TYPE: _JSON})

    def _database_restarts(self) -> bool:
        """Whether the gateway's own PostgreSQL has ended. It is started again until it runs."""
        settings = self._settings
        return settings.database_url is None and not EmbeddedPostgres.is_ready(settings.data_dir)


def _from_dialect(response: Response) -> web.Response:
    headers = {hdrs.CACHE_CONTROL: NO_STORE, **response.headers}
    if response.parts:
        headers[hdrs.CONTENT_TYPE] = _JSON
    return web.Response(status=response.status, body=body_of(response.parts), headers=headers)


def _plain(status: int, reason: str, allowed: tuple[str, ...] = ()) -> web.Response:
    """Return the error response of a path that belongs to no API."""
    headers = {hdrs.CONTENT_TYPE: _JSON} | ({hdrs.ALLOW: ", ".join(allowed)} if allowed else {})
    return web.Response(status=status, body=orjson.dumps({"error": reason}), headers=headers)
