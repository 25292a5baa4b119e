"""Test that responses are compressed as the client accepts, and decoded to the same bytes."""

from __future__ import annotations

import asyncio
import gzip
import json
import sys
import time
from collections.abc import AsyncIterator, Callable
from typing import cast
from urllib.parse import quote

import aiohttp
import brotli
import pytest
from aiohttp import web

from gateway.http.compression import Coding, Compression, encode, negotiate, plain_tag
from storage.database.database import Database
from storage.demo.load import generate
from tests.conftest import Gateway, Reply, StartGateway, database_copy, running_gateway
from tests.gateway.http.wire import body_of_response, head, other_server, raw, sending

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

DECODERS: dict[Coding, Callable[[bytes], bytes]] = {
    "zstd": zstd.decompress,
    "br": brotli.decompress,
    "gzip": gzip.decompress,
}
PAGE = {"query": "{ processes(first: 20) { nodes { name description actions { action } } } }"}


@pytest.fixture(scope="module")
async def large(postgres: str, template: str) -> AsyncIterator[Gateway]:
    """A gateway with so many processes that a list of them has several megabytes."""
    async with database_copy(postgres, template) as url:
        database = await Database.connect(url, pool_max=4)
        await generate(database, 3000)
        # A list that is kept in memory is not streamed.
        async with running_gateway(database, kept_answers_bytes=0) as started:
            await started.call("GET", "/process")  # the next ones are streamed
            yield started
        await database.close()


async def get(
    gateway: Gateway, path: str, accept: str | None, *more: str, method: str = "GET"
) -> Reply:
    """Send a request as it is, and return the response as it is: aiohttp would decode it."""
    lines = [] if accept is None else [f"Accept-Encoding: {accept}"]
    sent = await head(gateway, method, path, *lines, *more, "Connection: close")
    return received(await raw(gateway, sent))


async def post(gateway: Gateway, body: object, accept: str) -> Reply:
    """Send a GraphQL request, and return the response as it is."""
    data = json.dumps(body).encode()
    lines = (f"Accept-Encoding: {accept}", f"Content-Length: {len(data)}", "Connection: close")
    return received(await raw(gateway, await head(gateway, "POST", "/graphql", *lines) + data))


def received(response: bytes) -> Reply:
    lines = response.partition(b"\r\n\r\n")[0].decode().split("\r\n")
    headers = dict(line.split(": ", 1) for line in lines[1:])
    return Reply(int(lines[0].split()[1]), headers, body_of_response(response))


# Negotiation -------------------------------------------------------------------------------------

NEGOTIATED: dict[str, Coding | None] = {
    "": None,
    "identity": None,
    "gzip": "gzip",
    "GZip": "gzip",
    "x-gzip": "gzip",
    "br": "br",
    "zstd": "zstd",
    # Browsers, curl, Python's requests, Node.
    "gzip, deflate, br, zstd": "zstd",
    "gzip, deflate, br": "br",
    "gzip, deflate": "gzip",
    "deflate, gzip, br, zstd": "zstd",
    "br, gzip, deflate": "br",
    # Qualities.
    "gzip;q=1.0, br;q=0.5": "gzip",
    "gzip;q=0.5,br;q=0.500": "br",
    "zstd;q=0, gzip": "gzip",
    "gzip ; q=0.001": "gzip",
    "gzip;q=0": None,
    "gzip;q=0.000, br;q=0": None,
    "identity, gzip": "gzip",
    "identity;q=0.5, gzip;q=0.4": None,
    "identity;q=0.5, gzip;q=0.5": "gzip",
    "identity;q=0, gzip;q=0.1": "gzip",
    "identity;q=0": None,
    "identity;q=0, deflate": None,
    # Wildcards.
    "*": "zstd",
    "*;q=0": None,
    "*;q=0, br": "br",
    "zstd;q=0, br;q=0, *": "gzip",
    "*;q=0.5, gzip;q=0.9": "gzip",
    "gzip;q=0, *;q=0.1": "zstd",
    # What we do not have, and what is malformed.
    "deflate, compress, exi, dcb": None,
    "gzip;q=2": None,
    "gzip;q=-1": None,
    "gzip;q=1.5": None,
    "gzip;q=0.1234": None,
    "gzip;q=abc": None,
    "gzip;q=": None,
    "gzip;q=nan": None,
    ", ,;;=,": None,
    "\u00e9, gzip": "gzip",
    "," * 20 + "gzip": "gzip",
    "," * 8000 + "gzip": None,
}


@pytest.mark.parametrize("header", NEGOTIATED, ids=lambda header: header[:40])
def test_the_coding_that_a_client_prefers_is_selected(header: str) -> None:
    assert negotiate(header) == NEGOTIATED[header]


def test_hostile_headers_take_no_longer_than_those_of_browsers() -> None:
    """Ratios in one run: each of them differs, so none is found in the cache."""

    def seconds(headers: list[str]) -> float:
        start = time.perf_counter()
        for header in headers:
            negotiate(header)
        return time.perf_counter() - start

    usual = [f"gzip, deflate, br, zstd, x{number}" for number in range(1000)]
    unit = min(seconds(usual) for _ in range(3))
    for hostile in (",", ";", "gzip;q=0.1,", "a;q=0.1;", "*,", " ", "q=,", "gzip;" + "q=1;"):
        headers = [f"x{number}{hostile * (8000 // len(hostile))}" for number in range(1000)]
        assert min(seconds(headers) for _ in range(3)) < 40 * unit, hostile


# Responses ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("coding", DECODERS)
@pytest.mark.parametrize("path", ["/process", "/processes", "/openapi/process.json"])
async def test_a_response_is_compressed(large: Gateway, path: str, coding: Coding) -> None:
    plain = await get(large, path, None)
    reply = await get(large, path, coding)
    assert reply.status == 200
    assert reply.headers["Content-Encoding"] == coding
    assert DECODERS[coding](reply.body) == plain.body
    assert len(reply.body) < len(plain.body) / 4
    assert "Content-Encoding" not in plain.headers
    for headers in (plain.headers, reply.headers):
        assert headers["Vary"] == "Accept-Encoding"
    streamed = path in ("/process", "/processes")
    assert ("Content-Length" in reply.headers) is not streamed
    if not streamed:
        assert int(reply.headers["Content-Length"]) == len(reply.body)


@pytest.mark.parametrize("coding", DECODERS)
@pytest.mark.parametrize("repeated", [1, 20, 60])
async def test_graphql_is_compressed(large: Gateway, coding: Coding, repeated: int) -> None:
    """Pages of 10 KB, which the event loop compresses, and of 60 KB and more."""
    fields = " ".join(f"nodes{n}: nodes {{ name description }}" for n in range(repeated))
    body = {"query": f"{{ processes(first: 100) {{ {fields} }} }}"}
    plain = await post(large, body, "identity")
    reply = await post(large, body, coding)
    assert (reply.status, reply.headers["Content-Encoding"]) == (200, coding)
    assert reply.headers["Vary"] == "Accept, Accept-Encoding"
    assert int(reply.headers["Content-Length"]) == len(reply.body) < len(plain.body)
    assert DECODERS[coding](reply.body) == plain.body
    assert len(plain.body) == int(plain.headers["Content-Length"]) > 10_000 * repeated / 2


async def test_small_responses_and_errors_stay_as_they_are(large: Gateway) -> None:
    for path in ("/process/1", "/nonsense", "/process/x", "/health", "/graphql"):
        plain = await get(large, path, None)
        reply = await get(large, path, "gzip, br, zstd")
        assert ("Content-Encoding" in reply.headers) is (len(plain.body) >= 1024)
        assert "Accept-Encoding" in reply.headers["Vary"]
    many = {"query": "{ " + " ".join(f"{'a' * 200}{n}" for n in range(20)) + " }"}
    reply = await post(large, many, "gzip")
    assert reply.headers["Content-Encoding"] == "gzip"
    assert "errors" in json.loads(gzip.decompress(reply.body))


async def test_a_client_that_refuses_identity_gets_small_responses_compressed(
    large: Gateway,
) -> None:
    for accept, coding in (("identity;q=0, gzip", "gzip"), ("*;q=0, br", "br")):
        reply = await get(large, "/health", accept)
        assert reply.headers["Content-Encoding"] == coding
        assert DECODERS[coding](reply.body) == b'{"status":"ok"}'  # type: ignore[index]
    # A header that nothing can satisfy is disregarded.
    for accept in ("identity;q=0", "*;q=0", "identity;q=0, deflate"):
        reply = await get(large, "/health", accept)
        assert (reply.status, reply.body) == (200, b'{"status":"ok"}')
        assert "Content-Encoding" not in reply.headers


async def test_a_response_without_a_body_is_not_compressed(large: Gateway) -> None:
    reply = await large.call(
        "PUT", "/processes", {"processes": []}, headers={"Accept-Encoding": "*;q=0, gzip"}
    )
    assert (reply.status, reply.body) == (200, b"")
    assert "Content-Encoding" not in reply.headers
    assert "Vary" not in reply.headers


async def test_several_headers_are_one_list(large: Gateway) -> None:
    reply = await get(large, "/processes", "deflate", "Accept-Encoding: gzip;q=0.5")
    assert reply.headers["Content-Encoding"] == "gzip"


async def test_compression_can_be_switched_off(start_gateway: StartGateway) -> None:
    async with start_gateway(compression=False) as gateway:
        for path in ("/docs", "/openapi/process.json", "/static/pages/docs.js", "/graphql"):
            reply = await get(gateway, path, "gzip, br, zstd")
            assert "Content-Encoding" not in reply.headers
            assert "Accept-Encoding" not in reply.headers.get("Vary", "")


@pytest.mark.parametrize("accept", ["identity", *DECODERS])
@pytest.mark.parametrize(
    "path",
    [
        "/process",
        "/processes",
        "/process/1",
        "/docs",
        "/openapi/process.json",
        "/static/swagger-ui/swagger-ui-bundle.js",
        f"/graphql?query={quote(PAGE['query'])}",
    ],
)
async def test_head_has_the_headers_of_get(large: Gateway, path: str, accept: str) -> None:
    shown = await get(large, path, accept, method="HEAD")
    reply = await get(large, path, accept)
    assert (shown.status, shown.body) == (reply.status, b"")
    streamed = reply.headers.pop("Transfer-Encoding", None)
    if streamed and accept == "identity":  # HEAD knows the length, and GET does not yet
        assert int(shown.headers.pop("Content-Length")) == len(reply.body)
    for headers in (shown.headers, reply.headers):
        del headers["Date"]
    assert shown.headers == reply.headers


async def test_a_client_of_http_1_0_gets_a_compressed_list_without_chunks(large: Gateway) -> None:
    sent = await head(large, "GET", "/process", "Accept-Encoding: gzip")
    response = await raw(large, sent.replace(b"HTTP/1.1", b"HTTP/1.0"))
    headers, _, body = response.partition(b"\r\n\r\n")
    assert b"Transfer-Encoding" not in headers
    assert len(json.loads(gzip.decompress(body))["data"]) == 3000


# Streams -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("coding", DECODERS)
async def test_a_compressed_list_arrives_while_the_database_still_sends(
    large: Gateway, coding: Coding
) -> None:
    """It comes in many chunks."""
    sent = await head(large, "GET", "/process", f"Accept-Encoding: {coding}")
    async with sending(large, sent) as reader:
        headers = await reader.readuntil(b"\r\n\r\n")
        assert b"Transfer-Encoding: chunked" in headers
        sizes = []
        while size := int(await reader.readline(), 16):
            sizes.append(size)
            await reader.readexactly(size + 2)
    assert len(sizes) > 3
    assert max(sizes) < 256 * 1024


async def test_large_bodies_are_compressed_beside_the_event_loop(large: Gateway) -> None:
    """The event loop is never held for as long as compressing the body takes."""
    longest = 0.0

    async def beat() -> None:
        nonlocal longest
        before = time.thread_time()
        while True:
            await asyncio.sleep(0)
            now = time.thread_time()
            longest = max(longest, now - before)
            before = now

    tree = "name description actions { action arguments { reference value } } inputs { name }"
    body = {"query": f"{{ processes(first: 3000) {{ nodes {{ {tree} }} }} }}"}
    async with running_gateway(large.database, page_size_max=3000, cost_mode="off") as gateway:
        await post(gateway, body, "identity")
        beating = asyncio.create_task(beat())
        reply = await post(gateway, body, "br")
        beating.cancel()
    whole = brotli.decompress(reply.body)
    start = time.thread_time()
    encode(whole, "br")
    compressing = time.thread_time() - start
    assert longest < compressing


# Pages and their files ---------------------------------------------------------------------------

FILES = ["/static/swagger-ui/swagger-ui-bundle.js", "/static/graphiql/graphiql.min.css"]


@pytest.mark.parametrize("path", [*FILES, "/static/pages/graphiql.js", "/openapi/process.json"])
async def test_a_file_is_compressed_once(empty_gateway: Gateway, path: str) -> None:
    plain = await get(empty_gateway, path, None)
    tags = {plain.headers["ETag"]}
    for coding, decode in DECODERS.items():
        for _ in range(2):
            reply = await get(empty_gateway, path, coding)
            assert reply.headers["Content-Encoding"] == coding
            assert reply.headers["Vary"] == "Accept-Encoding"
            assert decode(reply.body) == plain.body
            # Smaller than what is compressed for one response.
            assert len(reply.body) < len(encode(plain.body, coding))
        tags.add(reply.headers["ETag"])
        for name in ("Cache-Control", "Content-Type", "Content-Security-Policy"):
            assert reply.headers[name] == plain.headers[name]
    assert len(tags) == 4  # each form has a tag of its own


@pytest.mark.parametrize("path", ["/", "/docs", *FILES])
async def test_a_file_that_the_client_has_is_not_sent_again(
    empty_gateway: Gateway, path: str
) -> None:
    for accept in ("identity", "gzip"):
        reply = await get(empty_gateway, path, accept)
        tag = reply.headers["ETag"]
        for held in (tag, f"W/{tag}", "*", f'"other", {tag}'):
            for method in ("GET", "HEAD"):
                again = await get(
                    empty_gateway, path, accept, f"If-None-Match: {held}", method=method
                )
                assert (again.status, again.body) == (304, b"")
                for name in ("ETag", "Vary", "Cache-Control"):
                    assert again.headers[name] == reply.headers[name]
        for held in ('"other"', "other", "", '"' * 5000):
            again = await get(empty_gateway, path, accept, f"If-None-Match: {held}")
            assert (again.status, again.body) == (200, reply.body)


async def test_each_coding_has_an_entity_tag_of_its_own() -> None:
    """Entity tags of answers: those of the APIs are strong."""
    compression = Compression(enabled=True)

    async def handle(request: web.BaseRequest) -> web.StreamResponse:
        status = 304 if "If-None-Match" in request.headers else 200
        body = b"a" * 2000 if status == 200 else None
        response = web.Response(status=status, body=body, headers={"ETag": '"v1"'})
        await compression.apply(request, response)
        return response

    for tag in ("v1", "v1-zstd", "v1-br", "v1-gzip"):
        assert plain_tag(tag) == "v1"
    assert plain_tag("v-1") == "v-1"
    async with other_server(handle) as url, aiohttp.ClientSession() as client:
        for headers, tag in (
            ({"Accept-Encoding": "br"}, '"v1-br"'),
            ({"Accept-Encoding": "identity"}, '"v1"'),
            ({"Accept-Encoding": "gzip", "If-None-Match": '"v0", "v1-br"'}, '"v1-br"'),
            ({"Accept-Encoding": "br", "If-None-Match": '"v1"'}, '"v1"'),
            ({"Accept-Encoding": "br", "If-None-Match": "*"}, '"v1"'),
        ):
            async with client.get(url, headers=headers) as response:
                assert response.headers["ETag"] == tag
                assert response.headers["Vary"] == "Accept-Encoding"


# Kept answers ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "path", ["/process", "/processes", "/graphql?query={processes(first:99){nodes{name}}}"]
)
async def test_the_compressed_form_of_a_kept_answer_is_kept(
    start_gateway: StartGateway, path: str
) -> None:
    async with start_gateway() as gateway:
        for number in range(40):
            body = {
                "reference": f"p{number}",
                "name": f"process number {number}",
                "description": "long " * 50,
            }
            assert (await gateway.call("POST", "/process", body)).status == 200
        kept = gateway.services.operations.reads.kept
        plain = await get(gateway, path, None)
        for repetition in range(4):
            for coding in DECODERS:
                reply = await get(gateway, path, coding)
                assert reply.headers["Content-Encoding"] == coding
                assert DECODERS[coding](reply.body) == plain.body
            if repetition == 1:
                size = kept.bytes
        # Each coding of the body was compressed once.
        (entry,) = (kept.get(key) for key in list(kept._entries))
        assert entry is not None
        forms = cast("dict[tuple[Coding, bytes], bytes]", entry.forms)
        assert {DECODERS[coding](body) for (coding, _), body in forms.items()} == {plain.body}
        assert len(forms) == len(DECODERS)
        assert kept.bytes == size
        # Another alias makes another body of the same answer.
        if "graphql" in path:
            renamed = await get(gateway, path.replace("{processes", "{a:processes"), "gzip")
            assert json.loads(DECODERS["gzip"](renamed.body))["data"].keys() == {"a"}
        await gateway.call("POST", "/process", {"reference": "another", "name": "p"})
        changed = await get(gateway, path, "gzip")
        assert DECODERS["gzip"](changed.body) != plain.body
