"""Send what is not HTTP, and requests that a proxy may understand in another way."""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import AsyncIterator

import pytest

from storage.database.database import Database
from tests.conftest import Gateway, Reply, StartGateway, database_copy, running_gateway
from tests.gateway.http.wire import JSON, code, first, head, raw
from tests.hostile.attacked import talk

SECRET_WORDS = "sesame-open-42"

MALFORMED: dict[str, bytes] = {
    "no colon": b"PATH HTTP/1.1\r\nHost: gateway\r\nno colon\r\n\r\n",
    "no host": b"PATH HTTP/1.1\r\nAccept: */*\r\n\r\n",
    "an unknown version": b"PATH HTTP/9.9\r\nHost: gateway\r\n\r\n",
    "HTTP/2": b"PATH HTTP/2.0\r\nHost: gateway\r\n\r\n",
    "no version": b"PATH\r\nHost: gateway\r\n\r\n",
    "a NUL in a header": b"PATH HTTP/1.1\r\nHost: gateway\r\nX: a\0b\r\n\r\n",
    "a blank before the colon": b"PATH HTTP/1.1\r\nHost: gateway\r\nX : y\r\n\r\n",
    "a header without a name": b"PATH HTTP/1.1\r\nHost: gateway\r\n: y\r\n\r\n",
    "a folded header": b"PATH HTTP/1.1\r\nHost: gateway\r\nX: a\r\n b\r\n\r\n",
    "a bare CR": b"PATH HTTP/1.1\r\nHost: gateway\r\nX: a\rY: b\r\n\r\n",
    "a length that is none": b"PATH HTTP/1.1\r\nHost: gateway\r\nContent-Length: many\r\n\r\n",
}
FORMS = {
    "POST /graphql": "BAD_USER_INPUT",
    "GET /graphql/": "BAD_USER_INPUT",
    "GET /graphql?query=x": "BAD_USER_INPUT",
    "POST /process": "invalid",
    "GET /espaces?a=b": "invalid",
    "PUT /processes/1": 1001,
    "GET /nothing": "Bad Request",
    "GET /health": "Bad Request",
}


def form(reply: Reply) -> object:
    """Return the code of an error, or the error of a path that belongs to no API."""
    return reply.json["error"] if "error" in reply.json and len(reply.json) == 1 else code(reply)


@pytest.fixture(scope="module")
async def gateway(postgres: str, template: str) -> AsyncIterator[Gateway]:
    """A gateway that the tests of this module share, because they change nothing."""
    async with database_copy(postgres, template) as url:
        database = await Database.connect(url, pool_max=4)
        async with running_gateway(database) as started:
            yield started
        await database.close()


@pytest.mark.parametrize("path", FORMS)
@pytest.mark.parametrize("sent", MALFORMED.values(), ids=MALFORMED)
async def test_malformed_requests_are_answered_in_the_form_of_the_api(
    gateway: Gateway, caplog: pytest.LogCaptureFixture, sent: bytes, path: str
) -> None:
    caplog.set_level(logging.WARNING)
    secret = f"Authorization: {SECRET_WORDS}\r\n".encode()
    start, _, rest = sent.replace(b"PATH", path.encode()).partition(b"\r\n")
    reply = await first(gateway, start + b"\r\n" + secret + rest)
    assert (reply.status, form(reply)) == (400, FORMS[path])
    assert reply.headers["Server"] == "process-gateway"
    assert reply.headers["Content-Type"] == JSON
    assert reply.headers["Connection"] == "close"
    assert SECRET_WORDS not in str(reply)
    assert not re.search(r"aiohttp|python|llhttp|\d\.\d+\.\d|Traceback", str(reply), re.IGNORECASE)
    assert caplog.messages == []


@pytest.mark.parametrize(
    "sent",
    [
        b"nonsense\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",  # a TLS handshake
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"\0\0\0\0\r\n\r\n",
        b"GET\r\n\r\n",
        b"GET  \r\n\r\n",
        b"GET /\xff\xfe HTTP/1.1\r\nno colon\r\n\r\n",
        b"GET http://[::1 HTTP/1.1\r\nHost: gateway\r\n\r\n",
        b"SSH-2.0-OpenSSH_9.6\r\n",
    ],
)
async def test_what_is_not_http_is_rejected(gateway: Gateway, sent: bytes) -> None:
    reply = await first(gateway, sent)
    assert (reply.status, reply.json) == (400, {"error": "Bad Request"})
    assert reply.headers["Server"] == "process-gateway"


async def test_all_errors_of_the_process_dialect_can_have_status_200(
    start_gateway: StartGateway,
) -> None:
    async with start_gateway(process_dialect_status="always-200") as gateway:
        reply = await first(gateway, b"GET /process HTTP/1.1\r\nno colon\r\n\r\n")
        assert (reply.status, code(reply)) == (200, "invalid")
        reply = await first(gateway, b"GET /processes HTTP/1.1\r\nno colon\r\n\r\n")
        assert (reply.status, code(reply)) == (400, 1001)


async def answer(gateway: Gateway, *parts: bytes) -> Reply:
    """Send the parts, even if the gateway closes the connection meanwhile; return the response."""
    start, _, body = (await talk(gateway, *parts)).partition(b"\r\n\r\n")
    return Reply(int(start.split()[1]), {}, body)


@pytest.mark.parametrize("pieces", [False, True])
@pytest.mark.parametrize(
    ("start", "end", "status", "message"),
    [
        (b"GET /graphql?query=", b"", 414, "the request line is longer than 8,192 bytes"),
        (b"GET /graphql HTTP/1.1\r\nX: ", b"", 431, "a header is longer than 8,190 bytes"),
        (b"GET /graphql HTTP/1.1\r\n", b": x", 431, "a header is longer than 8,190 bytes"),
    ],
)
async def test_long_lines_are_rejected(
    gateway: Gateway, start: bytes, end: bytes, status: int, message: str, pieces: bool
) -> None:
    long = [b"a" * 1000] * 20 if pieces else [b"a" * 20_000]
    reply = await answer(gateway, start, *long, end)
    assert (reply.status, code(reply)) == (status, "BAD_USER_INPUT")
    assert reply.json["errors"][0]["message"] == message


@pytest.mark.parametrize("pieces", [False, True])
async def test_many_headers_are_rejected(gateway: Gateway, pieces: bool) -> None:
    start = b"GET /process HTTP/1.1\r\nHost: gateway\r\n"
    lines = [b"X: y\r\n" * 50] * 5
    reply = await answer(gateway, start, *(lines if pieces else [b"".join(lines)]), b"\r\n")
    assert (reply.status, code(reply)) == (431, "invalid")
    assert reply.json["message"] == "there are more than 100 headers"


async def test_large_heads_are_rejected(gateway: Gateway) -> None:
    """Each header is short enough, and there are not too many."""
    lines = [b"X: %b\r\n" % (b"y" * 4000)] * 90
    reply = await answer(gateway, b"GET /processes HTTP/1.1\r\nHost: gateway\r\n", *lines)
    assert (reply.status, code(reply)) == (431, 1001)
    assert reply.json["details"][0]["message"] == "the headers are longer than 65,536 bytes"


# Requests that two parsers may read in two ways ---------------------------------------------------

_INNER = b"GET /espaces HTTP/1.1\r\nHost: gateway\r\n\r\n"

SMUGGLING: dict[str, bytes] = {
    "a length and chunks": b"Content-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "chunks and a length": b"Transfer-Encoding: chunked\r\nContent-Length: 6\r\n\r\n0\r\n\r\n",
    "two lengths": b"Content-Length: 0\r\nContent-Length: 44\r\n\r\n",
    "the same length twice": b"Content-Length: 44\r\nContent-Length: 44\r\n\r\n",
    "two lengths in one": b"Content-Length: 0, 44\r\n\r\n",
    "a signed length": b"Content-Length: +44\r\n\r\n",
    "a negative length": b"Content-Length: -1\r\n\r\n",
    "a hexadecimal length": b"Content-Length: 0x2C\r\n\r\n",
    "a fraction": b"Content-Length: 44.0\r\n\r\n",
    "a length with a blank in it": b"Content-Length: 4 4\r\n\r\n",
    "a length with a grouping": b"Content-Length: 4_4\r\n\r\n",
    "a length with other digits": "Content-Length: \uff14\uff14\r\n\r\n".encode(),
    "an empty length": b"Content-Length:\r\n\r\n",
    "a huge length": b"Content-Length: 99999999999999999999999999\r\n\r\n",
    "a blank before the colon": b"Content-Length : 44\r\n\r\n",
    "chunks with a blank before the colon": b"Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
    "a folded length": b"Content-Length:\r\n 44\r\n\r\n",
    "folded chunks": b"Transfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n",
    "an unknown coding": b"Transfer-Encoding: cow\r\n\r\n0\r\n\r\n",
    "identity": b"Transfer-Encoding: identity\r\n\r\n0\r\n\r\n",
    "chunked, but not last": b"Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
    "chunked twice": b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "chunked with a vertical tab": b"Transfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n",
    "chunked in quotes": b'Transfer-Encoding: "chunked"\r\n\r\n0\r\n\r\n',
    "xchunked": b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
    "a header hidden by a CR": b"X: y\rTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "a header hidden by a LF": b"X: y\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "a header hidden by a NUL": b"X: y\0\r\nContent-Length: 44\r\n\r\n",
    "lines that end with LF": b"Content-Length: 44\n\n",
    "a chunk size with a sign": b"Transfer-Encoding: chunked\r\n\r\n+2\r\n{}\r\n0\r\n\r\n",
    "a chunk size with 0x": b"Transfer-Encoding: chunked\r\n\r\n0x2\r\n{}\r\n0\r\n\r\n",
    "a chunk size with a blank": b"Transfer-Encoding: chunked\r\n\r\n2 \r\n{}\r\n0\r\n\r\n",
    "a chunk size with a grouping": b"Transfer-Encoding: chunked\r\n\r\n0_2\r\n{}\r\n0\r\n\r\n",
    "an empty chunk size": b"Transfer-Encoding: chunked\r\n\r\n\r\n{}\r\n0\r\n\r\n",
    "a huge chunk size": b"Transfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\n{}\r\n0\r\n\r\n",
    "a chunk that is longer": b"Transfer-Encoding: chunked\r\n\r\n1\r\n{}\r\n0\r\n\r\n",
    "a chunk that ends with LF": b"Transfer-Encoding: chunked\r\n\r\n2\n{}\r\n0\r\n\r\n",
    "chunk data that ends with LF": b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\n0\r\n\r\n",
    "a chunk extension with a CR": b"Transfer-Encoding: chunked\r\n\r\n2;a\rb\r\n{}\r\n0\r\n\r\n",
    "a chunk extension with a LF": b"Transfer-Encoding: chunked\r\n\r\n2;a\nb\r\n{}\r\n0\r\n\r\n",
}


@pytest.mark.parametrize("path", ["/graphql", "/process", "/processes", "/health"])
@pytest.mark.parametrize("rest", SMUGGLING.values(), ids=SMUGGLING)
async def test_ambiguous_requests_are_rejected_and_the_connection_closed(
    gateway: Gateway, caplog: pytest.LogCaptureFixture, rest: bytes, path: str
) -> None:
    caplog.set_level(logging.WARNING)
    method = "PUT" if path == "/processes" else "POST"
    start = (await head(gateway, method, path))[:-2]
    # What is smuggled arrives together with the request, or after it.
    for parts in ([start + rest + _INNER], [start, rest, _INNER]):
        async with asyncio.timeout(10):
            received = await raw(gateway, *parts)
        statuses = re.findall(rb"HTTP/1\.[01] (\d{3}) ", received)
        assert statuses in ([b"400"], [b"405"]), received
        assert b"Server: process-gateway\r\n" in received
        assert b'"data":[]' not in received, "the espaces were listed"
    assert caplog.messages == []
