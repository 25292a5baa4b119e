"""HTTP itself: what all answers have in common, what a request may look like, bad connections."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import json
import logging
import socket
import struct
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import quote, urlsplit

import pytest

from gateway.http import request_body
from gateway.http.rate_limit import RateLimiter
from resolvers.errors.catalogue import GatewayError
from storage.database.database import Database
from storage.demo.load import generate
from tests.conftest import Gateway, Reply, StartGateway, database_copy, running_gateway

JSON = "application/json; charset=utf-8"
GRAPHQL_JSON = "application/graphql-response+json; charset=utf-8"
COUNT = {"query": "{ processes { totalCount } }"}
NEW = {"reference": "lamp", "name": "Lamp"}


@pytest.fixture(scope="module")
async def gateway(postgres: str, template: str) -> AsyncIterator[Gateway]:
    """One gateway, on an empty database, for all the tests here that change nothing."""
    async with database_copy(postgres, template) as url:
        database = await Database.connect(url, pool_max=4)
        async with running_gateway(database) as started:
            yield started
        await database.close()


def code(reply: Reply) -> Any:
    """The code of an error in whichever API's form it is."""
    body = reply.json
    return body["errors"][0]["extensions"]["code"] if "errors" in body else body["code"]


async def raw(gateway: Gateway, *parts: bytes) -> bytes:
    """All that comes back for these bytes, until the gateway closes the connection."""
    async with sending(gateway, *parts) as reader:
        return await reader.read()


async def first(gateway: Gateway, *parts: bytes) -> Reply:
    """The first answer to these bytes."""
    async with sending(gateway, *parts) as reader:
        lines = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        headers = dict(line.split(": ", 1) for line in lines[1:-2])
        body = await reader.readexactly(int(headers["Content-Length"]))
        return Reply(int(lines[0].split()[1]), headers, body)


@contextlib.asynccontextmanager
async def sending(gateway: Gateway, *parts: bytes) -> AsyncIterator[asyncio.StreamReader]:
    """What comes back for these bytes, sent so that the parts arrive one by one."""
    at = urlsplit(gateway.url)
    reader, writer = await asyncio.open_connection(at.hostname, at.port)
    try:
        for part in parts:
            writer.write(part)
            await asyncio.sleep(0.02)
        async with asyncio.timeout(10):
            yield reader
    finally:
        writer.close()


async def head(gateway: Gateway, method: str, path: str, *more: str) -> bytes:
    """The head of a request by an admin."""
    token = await gateway.token()
    lines = [f"{method} {path} HTTP/1.1", "Host: gateway", f"Authorization: {token}", *more]
    return "\r\n".join([*lines, "", ""]).encode()


# What answers have in common ---------------------------------------------------------------------

ASKED: list[tuple[str, str, Any, str | None, int]] = [
    ("POST", "/graphql", COUNT, "admin", 200),
    ("POST", "/graphql", COUNT, None, 401),
    ("POST", "/graphql", b"{", "admin", 400),
    ("POST", "/graphql", {"query": "{ nonsense }"}, "admin", 400),
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


@pytest.mark.parametrize(("method", "path", "body", "profile", "status"), ASKED)
async def test_answers_of_the_apis(
    gateway: Gateway, method: str, path: str, body: Any, profile: str | None, status: int
) -> None:
    reply = await gateway.call(method, path, body, profile=profile)
    assert reply.status == status
    kept = dict(reply.headers)
    assert kept.pop("Content-Type") == JSON
    assert kept.pop("Content-Length") == str(len(reply.body))
    assert kept.pop("Cache-Control") == "private, no-store"
    assert kept.pop("Server") == "process-gateway"
    assert kept.pop("Date")
    expected = {405: {"Allow"}, 401: {"WWW-Authenticate"}}.get(status, set())
    assert kept.keys() == expected
    assert reply.json is not None


async def test_an_answer_without_a_body(gateway: Gateway) -> None:
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
async def test_what_needs_no_token(gateway: Gateway, path: str, content_type: str) -> None:
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
async def test_unknown_paths(gateway: Gateway, path: str) -> None:
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
async def test_methods_that_a_path_does_not_take(
    gateway: Gateway, method: str, path: str, allowed: set[str]
) -> None:
    reply = await gateway.call(method, path)
    assert (reply.status, reply.headers["Content-Type"]) == (405, JSON)
    assert set(reply.headers["Allow"].replace(" ", "").split(",")) == allowed


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "OPTIONS", "PROPFIND"])
async def test_a_wrong_method_is_answered_in_the_form_of_graphql(
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
async def test_head_is_get_without_the_body(gateway: Gateway, path: str) -> None:
    get, head = [await gateway.call(method, path) for method in ("GET", "HEAD")]
    assert head.body == b""
    assert head.status == get.status
    for headers in (get.headers, head.headers):
        del headers["Date"]
    assert head.headers == get.headers


# GraphQL -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("accept", "content_type"),
    [
        (None, JSON),
        ("*/*", JSON),
        ("application/json", JSON),
        ("application/graphql-response+json", GRAPHQL_JSON),
        ("application/graphql-response+json, application/json;q=0.9", GRAPHQL_JSON),
    ],
)
async def test_media_types_of_graphql(
    gateway: Gateway, accept: str | None, content_type: str
) -> None:
    headers = {} if accept is None else {"Accept": accept}
    for body, status in ((COUNT, 200), ({"query": "{"}, 400), (b"\xff", 400)):
        reply = await gateway.call("POST", "/graphql", body, headers=headers)
        assert (reply.status, reply.headers["Content-Type"]) == (status, content_type)
    refused = await gateway.call("POST", "/graphql", COUNT, headers=headers, profile=None)
    assert (refused.status, refused.headers["Content-Type"]) == (401, content_type)


async def test_graphql_by_get(gateway: Gateway) -> None:
    query = quote(
        "query A($n: Int!) { processes(first: $n) { totalCount } } query B { __typename }"
    )
    path = f"/graphql?query={query}&operationName=A&variables={quote(json.dumps({'n': 1}))}"
    reply = await gateway.call("GET", path)
    assert reply.json == {"data": {"processes": {"totalCount": 0}}}

    wrong = {
        "/graphql": "query",
        "/graphql?query=": "Syntax Error",
        f"/graphql?query={query}": "operationName",
        f"/graphql?query={query}&operationName=A&variables=%7B": "",
        f"/graphql?query={query}&operationName=A&variables=1": "variables",
        f"/graphql?query={query}&operationName=A&variables=%FF": "",
    }
    for path, named in wrong.items():
        reply = await gateway.call("GET", path)
        assert (reply.status, code(reply)) == (400, "BAD_USER_INPUT"), path
        assert named in reply.json["errors"][0]["message"]


async def test_graphql_with_a_slash_at_the_end(gateway: Gateway) -> None:
    expected = {"data": {"processes": {"totalCount": 0}}}
    assert (await gateway.call("POST", "/graphql/", COUNT)).json == expected
    query = f"/graphql/?query={quote(COUNT['query'])}"
    assert (await gateway.call("GET", query)).json == expected
    assert (await gateway.call("HEAD", query)).headers["Content-Length"] == "39"
    refused = await gateway.call("POST", "/graphql/", COUNT, profile=None)
    assert (refused.status, code(refused)) == (401, "UNAUTHENTICATED")
    look = {"Accept": "text/html"}
    pages = [
        await gateway.call("GET", path, headers=look, profile=None)
        for path in ("/graphql", "/graphql/")
    ]
    assert pages[0].body == pages[1].body
    assert b"GraphiQL" in pages[1].body


async def test_a_missing_token_is_called_the_same_everywhere(gateway: Gateway) -> None:
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


async def test_a_mutation_is_not_for_get(gateway: Gateway) -> None:
    mutation = 'mutation { deleteProcess(id: "x") { __typename } }'
    reply = await gateway.call("GET", f"/graphql?query={quote(mutation)}")
    assert (reply.status, reply.headers["Allow"]) == (405, "POST")
    assert code(reply) == "BAD_USER_INPUT"


async def test_a_browser_gets_graphiql_only_to_look_at(
    gateway: Gateway, start_gateway: StartGateway
) -> None:
    look = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}
    page = await gateway.call("GET", "/graphql", headers=look, profile=None)
    assert page.headers["Content-Type"] == "text/html; charset=utf-8"
    asked = f"/graphql?query={quote(COUNT['query'])}"
    reply = await gateway.call("GET", asked, headers=look)
    assert reply.json == {"data": {"processes": {"totalCount": 0}}}
    async with start_gateway(graphiql=False) as bare:
        assert code(await bare.call("GET", "/graphql", headers=look)) == "BAD_USER_INPUT"
        assert (await bare.call("GET", "/static/graphiql/graphiql.min.js")).status == 404


# Bodies ------------------------------------------------------------------------------------------


async def test_a_body_is_json_whatever_its_type(gateway: Gateway) -> None:
    for content_type in ("text/plain", "application/x-www-form-urlencoded", "image/png; a=b"):
        headers = {"Content-Type": content_type}
        for method, path, body in (
            ("POST", "/graphql", COUNT),
            ("PUT", "/processes", {"processes": []}),
        ):
            reply = await gateway.call(method, path, body, headers=headers)
            assert reply.status == 200


FORMS = [
    (
        "application/x-www-form-urlencoded",
        b"reference=lamp&name=Lamp",
        "the body is form-encoded (application/x-www-form-urlencoded); send JSON",
    ),
    (
        'Multipart/Form-Data; boundary="b"',
        b'--b\r\nContent-Disposition: form-data; name="name"\r\n\r\n\xff\r\n--b--\r\n',
        "the body is multipart (multipart/form-data); send JSON",
    ),
]


@pytest.mark.parametrize(("content_type", "body", "message"), FORMS)
async def test_a_form_is_told_to_send_json(
    gateway: Gateway, content_type: str, body: bytes, message: str
) -> None:
    for method, path, expected in (
        ("POST", "/graphql", "BAD_USER_INPUT"),
        ("POST", "/process", "invalid"),
        ("PUT", "/processes", 1001),
        ("PUT", "/processes/1", 1001),
    ):
        reply = await gateway.call(method, path, body, headers={"Content-Type": content_type})
        assert (reply.status, code(reply)) == (400, expected)
        assert message in reply.body.decode()
        # Without the header nothing says that it is a form.
        reply = await gateway.call(method, path, body)
        assert (reply.status, "send JSON" in reply.body.decode()) == (400, False)


async def test_broken_json_that_is_called_a_form_is_told_where_it_breaks(gateway: Gateway) -> None:
    headers = {"Content-Type": "application/x-www-form-urlencoded"}  # as curl -d has it
    for path in ("/graphql", "/process"):
        reply = await gateway.call("POST", path, b' {"query": x}', headers=headers)
        assert reply.status == 400
        assert "the body is not valid JSON at line 1, column 12" in reply.body.decode()
        reply = await gateway.call("POST", path, b" ", headers=headers)
        assert "send JSON" not in reply.body.decode()


def padded(body: Any, length: int) -> bytes:
    text = json.dumps(body).encode()
    return text + b" " * (length - len(text))


async def test_how_long_a_body_may_be(start_gateway: StartGateway) -> None:
    async with start_gateway(max_body_bytes=1000, max_bulk_body_bytes=3000) as gateway:
        longest = {"/graphql": 1000, "/process": 1000, "/processes/1": 1000, "/processes": 3000}
        bodies = {"/graphql": COUNT, "/process": NEW, "/processes": {"processes": []}}
        for path, most in longest.items():
            method = "PUT" if path.startswith("/processes") else "POST"
            body = bodies.get(path, {"name": "Lamp"})
            fits = await gateway.call(method, path, padded(body, most))
            assert fits.status in (200, 404), fits.body
            long = await gateway.call(method, path, padded(body, most + 1))
            assert (long.status, code(long)) in (
                (400, "BAD_USER_INPUT"),
                (400, "invalid"),
                (400, 1001),
            )
            assert f"{most:,} bytes" in long.body.decode()


async def test_a_body_that_is_too_long_is_not_waited_for(gateway: Gateway) -> None:
    announced = await head(gateway, "POST", "/graphql", "Content-Length: 10000000000")
    answer = await first(gateway, announced)
    assert (answer.status, code(answer)) == (400, "BAD_USER_INPUT")
    assert b"1,048,576 bytes" in answer.body
    chunked = await head(gateway, "POST", "/graphql", "Transfer-Encoding: chunked")
    chunk = b"80000\r\n" + b" " * 0x80000 + b"\r\n"
    answer = await first(gateway, chunked, 3 * chunk)
    assert (answer.status, code(answer)) == (400, "BAD_USER_INPUT")
    assert b"1,048,576 bytes" in answer.body


async def test_a_chunked_body(gateway: Gateway) -> None:
    text = json.dumps(COUNT).encode()
    chunks = b"".join(b"1\r\n%c\r\n" % byte for byte in text) + b"0\r\n\r\n"
    lines = ("Transfer-Encoding: chunked", "Connection: close")
    answer = await raw(gateway, await head(gateway, "POST", "/graphql", *lines) + chunks)
    assert answer.endswith(b'{"data":{"processes":{"totalCount":0}}}')


@pytest.mark.parametrize(
    ("path", "expected"),
    [("/graphql", "BAD_USER_INPUT"), ("/process", "invalid"), ("/processes", 1001)],
)
@pytest.mark.parametrize(
    ("header", "sent"),
    [
        ("Content-Encoding: gzip\r\nContent-Length: 8", b"nonsense"),
        ("Content-Encoding: deflate\r\nContent-Length: 8", b"nonsense"),
    ],
)
async def test_a_body_that_is_not_what_its_header_says(
    gateway: Gateway,
    caplog: pytest.LogCaptureFixture,
    path: str,
    expected: object,
    header: str,
    sent: bytes,
) -> None:
    method = "PUT" if path == "/processes" else "POST"
    caplog.set_level(logging.WARNING)
    reply = await first(gateway, await head(gateway, method, path, header), sent)
    assert (reply.status, code(reply)) == (400, expected)
    assert "headers say" in reply.body.decode()
    assert caplog.messages == []


async def test_a_body_that_does_not_come_is_given_up(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(request_body, "_BODY_TIMEOUT", 0.1)
    announced = await head(gateway, "POST", "/graphql", "Content-Length: 100")
    reply = await first(gateway, announced, b'{"query":', b'"{')
    assert (reply.status, code(reply)) == (400, "BAD_USER_INPUT")
    assert "no data for 0.1 s" in reply.body.decode()


async def test_a_compressed_body_is_limited_as_it_unfolds(gateway: Gateway) -> None:
    headers = {"Content-Encoding": "gzip"}
    small = gzip.compress(json.dumps(COUNT).encode())
    assert (await gateway.call("POST", "/graphql", small, headers=headers)).status == 200
    bomb = gzip.compress(b" " * 50_000_000)
    refused = await gateway.call("POST", "/graphql", bomb, headers=headers)
    assert (refused.status, code(refused)) == (400, "BAD_USER_INPUT")


# Base path, always-200 ---------------------------------------------------------------------------


async def test_the_base_path(start_gateway: StartGateway) -> None:
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


async def test_always_200(start_gateway: StartGateway) -> None:
    async with start_gateway(process_dialect_status="always-200") as gateway:
        for method, path, body, profile, _ in ASKED:
            reply = await gateway.call(method, path, body, profile=profile)
            if path.split("/")[1] == "process":
                assert reply.status == 200
                assert reply.json["error"] is (reply.json["code"] != "ok")
            elif reply.status == 200:
                assert "errors" not in reply.json
        assert (await gateway.call("PATCH", "/process")).headers["Allow"]


# Rate limit --------------------------------------------------------------------------------------


async def test_the_rate_limit_in_each_form(start_gateway: StartGateway) -> None:
    async with start_gateway(rate_limit=0.1, rate_burst=2) as gateway:
        for _ in range(2):
            assert (await gateway.call("GET", "/health", profile=None)).status == 200
        # Nobody is asked for a token: the limit is judged first.
        for path, expected in {
            "/process": "rate_limited",
            "/processes": 6001,
            "/graphql": "RATE_LIMITED",
        }.items():
            reply = await gateway.call("GET", path, profile=None)
            assert (reply.status, code(reply)) == (429, expected)
            assert 0 < int(reply.headers["Retry-After"]) <= 10
            assert reply.headers["Content-Type"] == JSON
        assert reply.json["errors"][0]["extensions"]["retryAfter"] <= 10


async def test_the_rate_limit_lets_go_again(start_gateway: StartGateway) -> None:
    async with start_gateway(rate_limit=5, rate_burst=1) as gateway:
        statuses = [(await gateway.call("GET", "/processes")).status for _ in range(3)]
        assert statuses == [200, 429, 429]
        await asyncio.sleep(0.25)
        assert (await gateway.call("GET", "/processes")).status == 200


def test_the_bucket() -> None:
    now = 0.0
    limiter = RateLimiter(rate=2, burst=3, clock=lambda: now)

    def refused(address: str) -> float | None:
        try:
            limiter.spend(address)
        except GatewayError as error:
            return error.retry_after
        return None

    assert [refused("a") for _ in range(5)] == [None, None, None, 1, 1]
    assert refused("b") is None, "each address has a bucket of its own"
    now = 0.5
    assert [refused("a") for _ in range(2)] == [None, 1]
    now = 100.0
    assert [refused("a") for _ in range(4)] == [None, None, None, 1], "a bucket does not overflow"
    assert all(RateLimiter(0, 1).spend("a") is None for _ in range(100))  # type: ignore[func-returns-value]


def test_the_limiter_forgets_who_asked_longest_ago() -> None:
    limiter = RateLimiter(rate=0.001, burst=1, clock=lambda: 0)
    for number in range(10_001):
        limiter.spend(str(number))
    limiter.spend("0")
    with pytest.raises(GatewayError):
        limiter.spend("10000")


# Connections -------------------------------------------------------------------------------------


async def test_requests_on_one_connection_are_answered_in_order(gateway: Gateway) -> None:
    paths = ["/processes", "/process/7", "/espaces", "/nonsense", "/health"]
    # All at once, before any answer.
    sent = b"".join([await head(gateway, "GET", path) for path in paths])
    sent += await head(gateway, "HEAD", "/process", "Connection: close")
    answers = (await raw(gateway, sent)).split(b"HTTP/1.1 ")[1:]
    assert [answer[:3] for answer in answers] == [b"200", b"404", b"200", b"404", b"200", b"200"]
    bodies = [answer.partition(b"\r\n\r\n")[2] for answer in answers]
    assert bodies[0] == b'{"processes":[]}'
    assert b"not_found" in bodies[1]
    assert bodies[5] == b""


@pytest.fixture(scope="module")
async def large(postgres: str, template: str) -> AsyncIterator[Gateway]:
    """A gateway with so many processes that a list of them is some megabytes long."""
    async with database_copy(postgres, template) as url:
        database = await Database.connect(url, pool_max=4)
        await generate(database, 3000)
        async with running_gateway(database) as started:
            yield started
        await database.close()


async def test_a_client_that_goes_away_in_the_middle(
    large: Gateway, caplog: pytest.LogCaptureFixture
) -> None:
    gateway = large
    at = urlsplit(gateway.url)
    address = (at.hostname, at.port)
    caplog.set_level(logging.WARNING)
    reset = struct.pack("ii", 1, 0)  # do not say goodbye
    for sent, read in (
        (await head(gateway, "GET", "/process"), 10_000),
        (await head(gateway, "GET", "/process"), 0),
        (await head(gateway, "POST", "/graphql", "Content-Length: 1000") + b'{"query":', 0),
        (await head(gateway, "PUT", "/processes", "Content-Length: 1000") + b'{"processes":', 0),
        (await head(gateway, "POST", "/graphql", "Transfer-Encoding: chunked") + b"5\r\n{", 0),
    ):
        with socket.create_connection(address) as client:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, reset)
            client.setblocking(False)
            loop = asyncio.get_running_loop()
            await loop.sock_sendall(client, sent)
            while read > 0:
                read -= len(await loop.sock_recv(client, read))
            await asyncio.sleep(0.05)
    await asyncio.sleep(0.3)
    assert caplog.messages == []
    assert (await gateway.call("GET", "/processes")).status == 200


async def test_slow_clients_keep_nobody_waiting(large: Gateway) -> None:
    gateway = large
    at = urlsplit(gateway.url)
    body = json.dumps(COUNT).encode()
    request = await head(
        gateway, "POST", "/graphql", f"Content-Length: {len(body)}", "Connection: close"
    )
    asked = await head(gateway, "GET", "/process", "Connection: close")

    async def writes_slowly() -> bytes:
        reader, writer = await asyncio.open_connection(at.hostname, at.port)
        for byte in request + body:
            writer.write(bytes([byte]))
            await asyncio.sleep(0.001)
        answer = await reader.read()
        writer.close()
        return answer

    async def reads_slowly() -> bytes:
        reader, writer = await asyncio.open_connection(at.hostname, at.port, limit=4096)
        writer.write(asked)
        answer = b""
        while chunk := await reader.read(100_000):
            answer += chunk
            await asyncio.sleep(0.005)
        writer.close()
        return answer

    slow = [asyncio.create_task(work) for work in (writes_slowly(), reads_slowly())]
    quick = 0
    while not all(task.done() for task in slow):
        reply = await asyncio.wait_for(gateway.call("GET", "/health", profile=None), 1)
        assert reply.status == 200
        quick += 1
    assert quick > 20
    written, read = [task.result() for task in slow]
    assert written.endswith(b'{"data":{"processes":{"totalCount":3000}}}')
    whole = read.partition(b"\r\n\r\n")[2]
    assert len(json.loads(whole)["data"]) == 3000


@pytest.mark.parametrize(
    "sent",
    [
        b"nonsense\r\n\r\n",
        b"GET /process HTTP/9.9\r\nHost: gateway\r\n\r\n",
        b"GET /process HTTP/1.1\r\nno colon\r\n\r\n",
        b"POST /graphql HTTP/1.1\r\nHost: gateway\r\nContent-Length: many\r\n\r\n",
        b"GET /process HTTP/1.1\r\nX: " + b"x" * 100_000 + b"\r\n\r\n",
        b"POST /process HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nnonsense\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",  # somebody speaks TLS
    ],
)
async def test_what_is_not_http(
    gateway: Gateway, caplog: pytest.LogCaptureFixture, sent: bytes
) -> None:
    caplog.set_level(logging.WARNING)
    answer = await raw(gateway, sent)
    assert answer.startswith((b"HTTP/1.1 400 Bad Request\r\n", b"HTTP/1.0 400 Bad Request\r\n"))
    assert b"Traceback" not in answer
    assert caplog.messages == []


async def test_a_large_answer_arrives_whole(gateway: Gateway) -> None:
    await generate(gateway.database, 2000)
    query = {
        "query": "{ processes(first: 100) { %s } }"
        % " ".join(
            f"nodes{n}: nodes {{ name description actions {{ action }} }}" for n in range(10)
        )
    }
    for method, path, sent in (("GET", "/process", None), ("POST", "/graphql", query)):
        reply = await gateway.call(method, path, sent)
        assert reply.status == 200
        assert len(reply.body) == int(reply.headers["Content-Length"]) > 200_000
        assert reply.json["data"]
    shown = await gateway.call("HEAD", "/process")
    assert shown.body == b""
    assert int(shown.headers["Content-Length"]) > 1_000_000


async def test_a_body_that_is_held_back_is_asked_for(gateway: Gateway) -> None:
    body = json.dumps({"query": COUNT["query"]}).encode()
    more = ["Expect: 100-continue", f"Content-Length: {len(body)}", "Connection: close"]
    sent = await head(gateway, "POST", "/graphql", *more)
    answers = await raw(gateway, sent, body)
    assert answers.startswith(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n")


async def test_a_body_that_nobody_would_read_is_not_asked_for(gateway: Gateway) -> None:
    more = ["Expect: 100-continue", f"Content-Length: {2**30}"]
    for method, path, status in (
        ("POST", "/graphql", 400),
        ("PUT", "/processes", 400),
        ("POST", "/process/1", 405),
    ):
        reply = await first(gateway, await head(gateway, method, path, *more))
        assert reply.status == status


@pytest.mark.parametrize(
    "path",
    "/process/%00 /process/%FF /process/%zz /process/1%2F2 /processes/%00 /%00 /processes/-1"
    f" /process/{'9' * 5000} /process/?{'a=' * 1000} /process/../process".split(),
)
async def test_odd_paths(gateway: Gateway, path: str) -> None:
    sent = await head(gateway, "GET", path, "Connection: close")
    answer = await raw(gateway, sent)
    assert answer[:12] in (b"HTTP/1.1 404", b"HTTP/1.1 200", b"HTTP/1.1 405")
