"""Test HTTP: headers of all responses, GraphQL over HTTP, and the base path."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import quote

import pytest

from tests.conftest import Gateway, StartGateway
from tests.gateway.http.wire import COUNT, JSON, NEW, code


@pytest.fixture(scope="module")
async def gateway(empty_gateway: Gateway) -> Gateway:
    """A gateway that the tests of this module share, because they change nothing."""
    return empty_gateway


# Headers -----------------------------------------------------------------------------------------

REQUESTS: list[tuple[str, str, Any, str | None, int]] = [
    ("POST", "/graphql", COUNT, "admin", 200),
    ("POST", "/graphql", COUNT, None, 401),
    ("POST", "/graphql", b"{", "admin", 400),
    ("POST", "/graphql", {"query": "{ nonsense }"}, "admin", 200),
    ("GET", "/process", None, "admin", 200),
    ("GET", "/process", None, None, 401),
    ("GET", "/process/1", None, "admin", 404),
    ("POST", "/process", NEW, "guest", 403),
    ("PATCH", "/process", None, "admin", 405),
    ("GET", "/process/1/nonsense", None, "admin", 404),
    ("GET", "/processes", None, "admin", 200),
    ("GET", "/processes", None, None, 401),
    ("PUT", "/processes", [], "admin", 400),
    ("DELETE", "/processes/1", None, "admin", 405),
]


@pytest.mark.parametrize(("method", "path", "body", "profile", "status"), REQUESTS)
async def test_responses_of_the_apis_share_their_headers(
    gateway: Gateway, method: str, path: str, body: Any, profile: str | None, status: int
) -> None:
    reply = await gateway.call(method, path, body, profile=profile)
    assert reply.status == status
    headers = dict(reply.headers)
    assert headers.pop("Content-Type") == JSON
    assert headers.pop("Content-Length") == str(len(reply.body))
    is_read = method == "GET" and status == 200
    assert headers.pop("Cache-Control") == f"private, {'no-cache' if is_read else 'no-store'}"
    assert headers.pop("Server") == "process-gateway"
    assert headers.pop("Date")
    varies = "Accept, Accept-Encoding" if path == "/graphql" else "Accept-Encoding"
    assert headers.pop("Vary") == varies
    expected = {405: {"Allow"}, 401: {"WWW-Authenticate"}}.get(status, set())
    if status == 200 and "errors" not in reply.json:
        expected = {"Etag"}
    assert headers.keys() == expected
    assert reply.json is not None


async def test_a_response_without_a_body_has_no_content_type(gateway: Gateway) -> None:
    reply = await gateway.call("PUT", "/processes", {"processes": []})
    assert (reply.status, reply.body) == (200, b"")
    assert reply.headers["Content-Length"] == "0"
    assert "Content-Type" not in reply.headers


@pytest.mark.parametrize(
    ("path", "content_type"),
    [
        ("/", "text/html; charset=utf-8"),
        ("/docs", "text/html; charset=utf-8"),
        ("/openapi/process.json", JSON),
        ("/openapi/processes.json", JSON),
        ("/static/pages/index.css", "text/css; charset=utf-8"),
        ("/static/pages/docs.js", "text/javascript; charset=utf-8"),
        ("/static/swagger-ui/swagger-ui-bundle.js", "text/javascript; charset=utf-8"),
        ("/static/graphiql/graphiql.min.css", "text/css; charset=utf-8"),
        ("/health", JSON),
        ("/health/ready", JSON),
    ],
)
async def test_public_paths_require_no_token(
    gateway: Gateway, path: str, content_type: str
) -> None:
    reply = await gateway.call("GET", path, profile=None)
    assert (reply.status, reply.headers["Content-Type"]) == (200, content_type)
    assert reply.headers["Server"] == "process-gateway"
    assert reply.body


@pytest.mark.parametrize(
    "path",
    [
        "/nonsense",
        "/processs",
        "/PROCESS",
        "//process",
        "/graphql/x",
        "/openapi/graphql.json",
        "/static/swagger-ui/..%2f__init__.py",
    ],
)
async def test_unknown_paths_are_not_found(gateway: Gateway, path: str) -> None:
    reply = await gateway.call("GET", path)
    assert (reply.status, reply.headers["Content-Type"]) == (404, JSON)
    assert reply.json == {"error": "Not Found"}


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("PUT", "/graphql", {"GET", "HEAD", "POST"}),
        ("DELETE", "/graphql", {"GET", "HEAD", "POST"}),
        ("OPTIONS", "/graphql", {"GET", "HEAD", "POST"}),
        ("POST", "/health", {"GET", "HEAD"}),
        ("POST", "/docs", {"GET", "HEAD"}),
        ("POST", "/process/1", {"GET", "HEAD", "DELETE"}),
        ("POST", "/processes", {"GET", "HEAD", "PUT"}),
    ],
)
async def test_a_rejected_method_lists_the_allowed_ones(
    gateway: Gateway, method: str, path: str, allowed: set[str]
) -> None:
    reply = await gateway.call(method, path)
    assert (reply.status, reply.headers["Content-Type"]) == (405, JSON)
    assert set(reply.headers["Allow"].replace(" ", "").split(",")) == allowed


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "OPTIONS", "PROPFIND"])
async def test_a_rejected_method_of_graphql_returns_a_graphql_error(
    gateway: Gateway, method: str
) -> None:
    for path in ("/graphql", "/graphql/"):
        reply = await gateway.call(method, path, COUNT)
        message = f'this path does not take "{method}", only GET, HEAD, POST'
        assert reply.json == {
            "errors": [{"message": message, "extensions": {"code": "BAD_USER_INPUT"}}]
        }
        assert (reply.status, reply.headers["Allow"]) == (405, "GET, HEAD, POST")
        assert reply.headers["Cache-Control"] == "private, no-store"


@pytest.mark.parametrize(
    "path",
    "/ /docs /health /health/ready /openapi/process.json /process /processes /process/1 /espaces"
    f" /nonsense /graphql?query={quote(COUNT['query'])}".split(),
)
async def test_head_returns_the_headers_of_get(gateway: Gateway, path: str) -> None:
    get, head = [await gateway.call(method, path) for method in ("GET", "HEAD")]
    assert head.body == b""
    assert head.status == get.status
    for headers in (get.headers, head.headers):
        del headers["Date"]
    assert head.headers == get.headers


# GraphQL -----------------------------------------------------------------------------------------


async def test_queries_are_accepted_by_get(gateway: Gateway) -> None:
    query = quote(
        "query A($n: Int!) { processes(first: $n) { totalCount } } query B { __typename }"
    )
    path = f"/graphql?query={query}&operationName=A&variables={quote(json.dumps({'n': 1}))}"
    reply = await gateway.call("GET", path)
    assert reply.json == {"data": {"processes": {"totalCount": 0}}}

    invalid = {
        "/graphql": (400, "query"),
        "/graphql?query=": (200, "Syntax Error"),
        f"/graphql?query={query}": (200, "operationName"),
        f"/graphql?query={query}&operationName=A&variables=%7B": (400, ""),
        f"/graphql?query={query}&operationName=A&variables=1": (400, "variables"),
        f"/graphql?query={query}&operationName=A&variables=%FF": (400, ""),
    }
    for path, (status, named) in invalid.items():
        reply = await gateway.call("GET", path)
        assert (reply.status, code(reply)) == (status, "BAD_USER_INPUT"), path
        assert named in reply.json["errors"][0]["message"]


async def test_graphql_accepts_a_trailing_slash(gateway: Gateway) -> None:
    expected = {"data": {"processes": {"totalCount": 0}}}
    assert (await gateway.call("POST", "/graphql/", COUNT)).json == expected
    query = f"/graphql/?query={quote(COUNT['query'])}"
    assert (await gateway.call("GET", query)).json == expected
    assert (await gateway.call("HEAD", query)).headers["Content-Length"] == "39"
    rejected = await gateway.call("POST", "/graphql/", COUNT, profile=None)
    assert (rejected.status, code(rejected)) == (401, "UNAUTHENTICATED")
    look = {"Accept": "text/html"}
    pages = [
        await gateway.call("GET", path, headers=look, profile=None)
        for path in ("/graphql", "/graphql/")
    ]
    assert pages[0].body == pages[1].body
    assert b"GraphiQL" in pages[1].body


async def test_every_api_reports_a_missing_token_alike(gateway: Gateway) -> None:
    bodies = [
        (await gateway.call(method, path, body, profile=None)).body.decode()
        for method, path, body in (
            ("POST", "/graphql", COUNT),
            ("POST", "/graphql", b"{"),
            ("GET", "/process", None),
            ("GET", "/processes", None),
            ("GET", "/metrics", None),
            ("GET", "/openapi/process.json", None),
        )
    ]
    for body in bodies:
        assert "there is no token; send it as 'Authorization: Bearer <token>'" in body


async def test_a_mutation_by_get_is_rejected(gateway: Gateway) -> None:
    mutation = 'mutation { deleteProcess(id: "x") { __typename } }'
    reply = await gateway.call("GET", f"/graphql?query={quote(mutation)}")
    assert (reply.status, reply.headers["Allow"]) == (405, "POST")
    assert code(reply) == "BAD_USER_INPUT"


async def test_a_browser_gets_graphiql_without_a_query(
    gateway: Gateway, start_gateway: StartGateway
) -> None:
    look = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}
    page = await gateway.call("GET", "/graphql", headers=look, profile=None)
    assert page.headers["Content-Type"] == "text/html; charset=utf-8"
    path = f"/graphql?query={quote(COUNT['query'])}"
    reply = await gateway.call("GET", path, headers=look)
    assert reply.json == {"data": {"processes": {"totalCount": 0}}}
    async with start_gateway(graphiql=False) as bare:
        assert code(await bare.call("GET", "/graphql", headers=look)) == "BAD_USER_INPUT"
        assert (await bare.call("GET", "/static/graphiql/graphiql.min.js")).status == 404


# Base path, always-200 ---------------------------------------------------------------------------


async def test_the_base_path_prefixes_the_dialects(start_gateway: StartGateway) -> None:
    async with start_gateway(rest_base_path="/api/v1") as gateway:
        for base in ("", "/api/v1"):
            assert (await gateway.call("GET", f"{base}/process")).json["code"] == "ok"
            assert (await gateway.call("GET", f"{base}/processes/")).json == {"processes": []}
            assert (await gateway.call("GET", f"{base}/espaces")).json["data"] == []
            assert code(await gateway.call("GET", f"{base}/process/1")) == "not_found"
            assert code(await gateway.call("GET", f"{base}/processes/1/x")) == 1005
            assert code(await gateway.call("PATCH", f"{base}/process")) == "invalid"
        for path in ("/api/v1", "/api/v1/", "/api/v1/graphql", "/api/v1x/process", "/api/process"):
            assert (await gateway.call("GET", path)).json == {"error": "Not Found"}
        document = (await gateway.call("GET", "/openapi/process.json")).json
        assert {server["url"] for server in document["servers"]} >= {"/api/v1"}


async def test_errors_can_have_status_200(start_gateway: StartGateway) -> None:
    async with start_gateway(process_dialect_status="always-200") as gateway:
        for method, path, body, profile, _ in REQUESTS:
            reply = await gateway.call(method, path, body, profile=profile)
            if path.split("/")[1] == "process":
                assert reply.status == 200
                assert reply.json["error"] is (reply.json["code"] != "ok")
        assert (await gateway.call("PATCH", "/process")).headers["Allow"]
