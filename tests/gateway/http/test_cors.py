"""Test which pages of other origins may call the gateway: raw requests, and a real browser."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from playwright.async_api import Browser, Page

from gateway.http.cors import CrossOrigin
from tests.conftest import Gateway, StartGateway, settings_for_tests
from tests.gateway.http.wire import COUNT, NEW, code, first, head, other_server

APP = "https://app.example"
OTHER = "https://other.example"
APIS = ["/graphql", "/graphql/", "/process", "/process/1", "/processes", "/openapi/process.json"]
PREFLIGHT = {"Origin": APP, "Access-Control-Request-Method": "POST"}


def cors_headers(headers: dict[str, str]) -> dict[str, str]:
    """Return the headers that concern other origins."""
    return {
        name: value
        for name, value in headers.items()
        if name.startswith("Access-Control-") or (name == "Vary" and "Origin" in value)
    }


# Closed ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", APIS)
async def test_no_page_of_another_origin_may_read_by_default(
    empty_gateway: Gateway, path: str
) -> None:
    query = f"{path}?query={{__typename}}" if "graphql" in path else path
    for origin in (APP, "null"):
        reply = await empty_gateway.call("GET", query, headers={"Origin": origin})
        assert cors_headers(reply.headers) == {}
        refused = await empty_gateway.call(
            "OPTIONS", path, headers={**PREFLIGHT, "Origin": origin}, profile=None
        )
        assert refused.status == 403
        assert cors_headers(refused.headers) == {}
        assert origin in refused.body.decode()


@pytest.mark.parametrize("path", APIS)
async def test_options_that_is_no_preflight_is_a_wrong_method(
    empty_gateway: Gateway, path: str
) -> None:
    for headers in ({}, {"Origin": APP}, {"Access-Control-Request-Method": "GET"}):
        reply = await empty_gateway.call("OPTIONS", path, headers=headers)
        assert reply.status == 405
        assert "OPTIONS" not in reply.headers["Allow"]


# What a page sends without a preflight -----------------------------------------------------------

SIMPLE = [
    "text/plain",
    "text/plain;charset=UTF-8",
    "application/x-www-form-urlencoded",
    "multipart/form-data; boundary=x",
]
WRITES: list[tuple[str, str, Any]] = [
    ("POST", "/graphql", {"query": 'mutation { deleteProcess(id: "x") { __typename } }'}),
    ("POST", "/graphql", COUNT),
    ("POST", "/process", NEW),
    ("POST", "/process/1/execute", None),
    ("PUT", "/processes", {"processes": []}),
    ("DELETE", "/process/1", None),
]


@pytest.mark.parametrize("content_type", [*SIMPLE, "application/json"])
@pytest.mark.parametrize(("method", "path", "body"), WRITES)
async def test_pages_of_other_origins_execute_nothing(
    hostile: Gateway, method: str, path: str, body: Any, content_type: str
) -> None:
    """Even if something in front of the gateway adds the token."""
    for page in (
        {"Origin": APP},
        {"Origin": "null"},
        {"Origin": APP, "Sec-Fetch-Site": "cross-site"},
        {"Origin": hostile.url.replace("http", "https"), "Sec-Fetch-Site": "same-site"},
        {"Origin": "http://[", "Sec-Fetch-Site": "x"},
        {"Origin": ""},
        {"Sec-Fetch-Site": "cross-site"},
    ):
        headers = {**page, "Content-Type": content_type}
        reply = await hostile.call(method, path, body, headers=headers)
        expected = 3001 if path == "/processes" else "FORBIDDEN" if "g" in path else "forbidden"
        assert (reply.status, code(reply)) == (403, expected)
        assert cors_headers(reply.headers) == {}


@pytest.mark.parametrize(
    "page",
    [
        {},
        {"Sec-Fetch-Site": "same-origin"},
        {"Sec-Fetch-Site": "none"},
        {"Origin": "own"},
        {"Origin": "own", "Sec-Fetch-Site": "same-origin"},
        # A proxy in front has replaced the name of the host.
        {"Origin": APP, "Sec-Fetch-Site": "same-origin"},
    ],
)
async def test_other_clients_and_own_pages_may_write(
    gateway: Gateway, page: dict[str, str]
) -> None:
    headers = {name: gateway.url if value == "own" else value for name, value in page.items()}
    reply = await gateway.call("POST", "/process", NEW, headers=headers)
    assert (reply.status, code(reply)) == (200, "ok")
    assert cors_headers(reply.headers) == {}


@pytest.mark.parametrize("origin", [APP, "*"])
async def test_a_listed_origin_may_write_and_all_origins_only_after_a_preflight(
    start_gateway: StartGateway, origin: str
) -> None:
    async with start_gateway(cors_origins=origin) as gateway:
        for number, content_type in enumerate([*SIMPLE, "application/json"]):
            headers = {"Origin": APP, "Content-Type": content_type}
            body = {**NEW, "reference": f"lamp{number}"}
            reply = await gateway.call("POST", "/process", body, headers=headers)
            is_refused = origin == "*" and content_type in SIMPLE
            assert code(reply) == ("forbidden" if is_refused else "ok")
            own = {**headers, "Origin": gateway.url}
            body = {**NEW, "reference": f"own{number}"}
            assert code(await gateway.call("POST", "/process", body, headers=own)) == "ok"


# Open --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", APIS)
async def test_an_allowed_origin_gets_its_preflight_and_may_read(
    start_gateway: StartGateway, path: str
) -> None:
    async with start_gateway(
        cors_origins=f"http://localhost:5173, {APP}",
        cors_headers="Authorization, X-Trace",
        cors_max_age=60,
        rest_base_path="/api/v1",
    ) as gateway:
        for called in (path, f"/api/v1{path}" if path.startswith("/process") else path):
            reply = await gateway.call("OPTIONS", called, headers=PREFLIGHT, profile=None)
            assert (reply.status, reply.body) == (204, b"")
            assert cors_headers(reply.headers) == {
                "Access-Control-Allow-Origin": APP,
                "Access-Control-Allow-Methods": "GET, HEAD, POST, PUT, DELETE",
                "Access-Control-Allow-Headers": "Authorization, X-Trace",
                "Access-Control-Max-Age": "60",
                "Vary": "Origin",
            }
            # Errors can be read as well, with and without a token.
            for profile in ("admin", None):
                reply = await gateway.call("GET", called, headers={"Origin": APP}, profile=profile)
                shared = cors_headers(reply.headers)
                assert shared.pop("Vary")
                assert shared == {
                    "Access-Control-Allow-Origin": APP,
                    "Access-Control-Expose-Headers": "ETag, Retry-After, WWW-Authenticate",
                }


async def test_responses_to_other_origins_vary_too(start_gateway: StartGateway) -> None:
    async with start_gateway(cors_origins=APP) as gateway:
        for headers in ({}, {"Origin": OTHER}, {"Origin": f"{APP}:444"}, {"Origin": "null"}):
            for path in ("/process", "/processes", "/graphql?query={__typename}"):
                reply = await gateway.call("GET", path, headers=headers)
                assert cors_headers(reply.headers).keys() == {"Vary"}
            refused = await gateway.call("OPTIONS", "/process", headers={**PREFLIGHT, **headers})
            assert refused.status == (204 if not headers else 403)
        assert cors_headers((await gateway.call("GET", "/health")).headers) == {}


async def test_all_origins_can_be_allowed(start_gateway: StartGateway) -> None:
    async with start_gateway(cors_origins="*") as gateway:
        for headers in ({}, {"Origin": APP}, {"Origin": "null"}):
            reply = await gateway.call("GET", "/processes", headers=headers)
            assert cors_headers(reply.headers) == {
                "Access-Control-Allow-Origin": "*",
                "Access-Control-Expose-Headers": "ETag, Retry-After, WWW-Authenticate",
            }
        assert (await gateway.call("OPTIONS", "/graphql", headers=PREFLIGHT)).status == 204


async def test_credentials_are_allowed_only_to_listed_origins(start_gateway: StartGateway) -> None:
    async with start_gateway(cors_origins=APP, cors_credentials=True) as gateway:
        allow = "Access-Control-Allow-Credentials"
        reply = await gateway.call("GET", "/process", headers={"Origin": APP})
        assert reply.headers[allow] == "true"
        assert reply.headers["Access-Control-Allow-Origin"] == APP
        preflight = await gateway.call("OPTIONS", "/process", headers=PREFLIGHT)
        assert preflight.headers[allow] == "true"
        other = await gateway.call("GET", "/process", headers={"Origin": OTHER})
        assert allow not in other.headers


async def test_errors_with_status_200_can_be_read_and_refusals_still_refuse(
    start_gateway: StartGateway,
) -> None:
    async with start_gateway(cors_origins=APP, process_dialect_status="always-200") as gateway:
        refused = await gateway.call(
            "OPTIONS", "/process", headers={**PREFLIGHT, "Origin": OTHER}, profile=None
        )
        assert cors_headers(refused.headers) == {"Vary": "Accept-Encoding, Origin"}
        reply = await gateway.call("POST", "/process", NEW, headers={"Origin": OTHER})
        assert (reply.status, code(reply)) == (200, "forbidden")
        assert await gateway.run("SELECT 1 FROM process") == []


async def test_preflights_count_for_the_rate_limit(start_gateway: StartGateway) -> None:
    async with start_gateway(cors_origins=APP, rate_limit_address="2/hour") as gateway:
        statuses = [
            (await gateway.call("OPTIONS", "/process", headers=PREFLIGHT, profile=None)).status
            for _ in range(3)
        ]
        assert statuses == [204, 204, 429]
        reply = await gateway.call("GET", "/process", headers={"Origin": APP})
        assert reply.headers["Access-Control-Allow-Origin"] == APP


async def test_the_host_of_the_own_page_is_compared_without_case(gateway: Gateway) -> None:
    start = (await head(gateway, "GET", "/processes")).replace(b"Host: gateway", b"Host: GateWay")
    for origin, status in (("http://gateway", 400), ("http://gateway.example", 403)):
        request = start.replace(b"GET", b"POST", 1).replace(b"/processes", b"/process")
        request = request.replace(b"\r\n\r\n", f"\r\nOrigin: {origin}\r\n\r\n".encode())
        assert (await first(gateway, request)).status == status


# WebSockets --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "page", "allowed"),
    [
        ({}, {}, True),
        ({}, {"Origin": "http://127.0.0.1:9"}, False),
        ({}, {"Origin": "own"}, True),
        ({}, {"Origin": APP}, False),
        ({"cors_origins": APP}, {"Origin": APP}, True),
        ({"cors_origins": APP}, {"Origin": OTHER}, False),
        ({"cors_origins": "*"}, {"Origin": OTHER}, True),
    ],
)
async def test_a_websocket_is_opened_only_for_allowed_origins(
    settings: dict[str, Any], page: dict[str, str], allowed: bool
) -> None:
    cross_origin = CrossOrigin.from_settings(settings_for_tests(**settings))
    answers = []

    async def handle(request: web.BaseRequest) -> web.Response:
        answers.append(cross_origin.is_allowed_origin(request))
        return web.Response()

    async with other_server(handle) as url, aiohttp.ClientSession() as client:
        headers = {name: url if value == "own" else value for name, value in page.items()}
        async with client.get(url, headers=headers):
            pass
    assert answers == [allowed]


# A browser ---------------------------------------------------------------------------------------

CALL = """async ([url, options]) => {
    try {
        const response = await fetch(url, options);
        return [response.type, response.status, await response.text()];
    } catch (error) {
        return [String(error)];
    }
}"""
"""Calls a URL from a page, and returns what the page can see of the response."""
NO_RESPONSE = ["TypeError: Failed to fetch"]


@contextlib.asynccontextmanager
async def page_of_another_origin(browser: Browser) -> AsyncIterator[tuple[str, Page]]:
    """Open an empty page of another origin, and yield its origin and the page."""

    async def handle(request: web.BaseRequest) -> web.Response:
        return web.Response(text="<!doctype html><title>App</title>", content_type="text/html")

    async with other_server(handle) as origin:
        page = await browser.new_page()
        try:
            await page.goto(origin)
            yield origin, page
        finally:
            await page.close()


def calls(gateway: Gateway, token: str) -> list[tuple[str, dict[str, Any]]]:
    """Return a call of each API that a page would make, with a token."""
    headers = {"Authorization": token, "Content-Type": "application/json"}
    return [
        (f"{gateway.url}{path}", {"method": method, "headers": headers, "body": body})
        for method, path, body in (
            ("POST", "/graphql", '{"query":"{processes{totalCount}}"}'),
            ("GET", "/process", None),
            ("GET", "/processes", None),
            ("PUT", "/processes", '{"processes":[]}'),
        )
    ]


async def test_a_browser_lets_pages_of_other_origins_do_nothing(
    browser: Browser, hostile: Gateway
) -> None:
    async with page_of_another_origin(browser) as (_, page):
        for call in calls(hostile, await hostile.token()):
            assert await page.evaluate(CALL, call) == NO_RESPONSE
        body = '{"reference":"lamp","name":"Lamp"}'
        simple: dict[str, Any] = {"method": "POST", "mode": "no-cors", "body": body}
        sent = await page.evaluate(CALL, (f"{hostile.url}/process", simple))
        assert sent == ["opaque", 0, ""]


async def test_a_browser_lets_pages_of_allowed_origins_call_everything(
    browser: Browser, start_gateway: StartGateway
) -> None:
    async with page_of_another_origin(browser) as (origin, page):
        for settings in ({"cors_origins": origin}, {"cors_origins": "*"}):
            async with start_gateway(**settings) as gateway:
                for call in calls(gateway, await gateway.token()):
                    assert (await page.evaluate(CALL, call))[:2] == ["cors", 200]
                document = [f"{gateway.url}/openapi/process.json"]
                assert (await page.evaluate(CALL, document))[:2] == ["cors", 200]
                refused = (f"{gateway.url}/process", {"headers": {"Authorization": "wrong"}})
                assert (await page.evaluate(CALL, refused))[:2] == ["cors", 401]
                # Only the APIs are shared.
                health = [f"{gateway.url}/health"]
                assert await page.evaluate(CALL, health) == NO_RESPONSE
