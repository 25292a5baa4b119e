"""Test invalid request bodies: the error explains the problem, and nothing changes."""

from __future__ import annotations

import asyncio
import gzip
import io
import json
import zlib
from collections.abc import AsyncIterator

import aiohttp
import pytest

from gateway.http.compression import Coding, encode
from tests.conftest import Gateway, Reply
from tests.gateway.http.hostile import (
    BODIES,
    LEAKS,
    LIMIT,
    VIEWER,
    bad,
    post,
    send,
)


@pytest.mark.parametrize(("body", "message"), BODIES.values(), ids=BODIES)
async def test_an_invalid_body_is_rejected(hostile: Gateway, body: bytes, message: str) -> None:
    (error,) = bad(await post(hostile, body))
    assert message in error["message"]


@pytest.mark.parametrize(
    "content_type",
    [
        "",
        "?",
        "text/plain",
        "text/plain;charset=UTF-8",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "application/graphql",
        "application/jsonp",
        "application/json, text/plain",
        "text/plain; application/json",
        "application/json; charset=latin1",
        "application/json; charset=utf-8; charset=utf-16",
    ],
)
async def test_a_body_that_is_not_declared_as_json_is_rejected(
    hostile: Gateway, content_type: str
) -> None:
    body = json.dumps({"query": VIEWER}).encode()
    reply = await hostile.call("POST", "/graphql", body, headers={"Content-Type": content_type})
    (error,) = bad(reply, 415)
    got = f', got "{content_type}'[:30] if content_type else ""
    assert error["message"].startswith(f"expected the header 'Content-Type: application/json'{got}")


async def test_the_declaration_as_json_is_read_as_its_rules_say(hostile: Gateway) -> None:
    body = json.dumps({"query": VIEWER}).encode()
    for content_type in ("Application/JSON", 'application/json ; Charset="UTF-8"; x=y'):
        reply = await hostile.call("POST", "/graphql", body, headers={"Content-Type": content_type})
        assert reply.json == {"data": {"viewer": {"seesAll": True}}}


# Sizes -------------------------------------------------------------------------------------------


async def in_chunks(body: bytes) -> AsyncIterator[bytes]:
    for start in range(0, len(body), 2**16):
        yield body[start : start + 2**16]


async def test_a_body_over_the_limit_is_rejected(hostile: Gateway) -> None:
    token = await hostile.token()
    fits = b'{"query": "{ viewer { seesAll } }", "extensions": {"a": "'
    fits += b"x" * (LIMIT - len(fits) - 3) + b'"}}'
    assert len(fits) == LIMIT
    headers = {"Authorization": token, "Content-Type": "application/json"}
    async with aiohttp.ClientSession(headers=headers) as client:
        for body, status in ((fits, 200), (fits + b" ", 400), (b"x" * (5 * LIMIT), 400)):
            for data in (io.BytesIO(body), in_chunks(body)):
                async with client.post(f"{hostile.url}/graphql", data=data) as response:
                    reply = Reply(response.status, dict(response.headers), await response.read())
                assert reply.status == status
                if status == 400:
                    (error,) = bad(reply)
                    known = f": it has {len(body):,}" if isinstance(data, io.BytesIO) else ""
                    assert error["message"] == f"the body is longer than 1,048,576 bytes{known}"


async def test_compressed_bodies_are_limited(hostile: Gateway) -> None:
    body = json.dumps({"query": VIEWER}).encode()
    bomb = b'{"query": "' + b"a" * (30 * LIMIT) + b'"}'
    codings: list[Coding] = ["br", "zstd"]
    for encoding, packed, statuses in [
        *((coding, encode(body, coding), (400,)) for coding in codings),
        ("gzip", gzip.compress(body), (200,)),
        ("X-Gzip", gzip.compress(body), (200,)),
        ("deflate", zlib.compress(body), (200,)),
        ("deflate", zlib.compress(body, wbits=-15), (200,)),
        ("identity", body, (200,)),
        ("gzip", gzip.compress(body) * 2, (400,)),
        ("gzip", gzip.compress(body) + b"x", (400,)),
        ("gzip, gzip", gzip.compress(gzip.compress(body)), (400,)),
        ("gzip", b"", (400,)),
        ("gzip", b"not packed at all", (400,)),
        ("deflate", b"\xff" * 100, (400,)),
        ("gzip", gzip.compress(body)[:20], (400,)),
        ("gzip", gzip.compress(bomb), (400,)),
        ("deflate", zlib.compress(bomb), (400,)),
    ]:
        reply = await hostile.call(
            "POST", "/graphql", packed, headers={"Content-Encoding": encoding}
        )
        assert reply.status in statuses, (encoding, packed[:20], reply)
        if reply.status == 400:
            bad(reply)


async def test_an_incomplete_request_does_not_affect_the_next(hostile: Gateway) -> None:
    """The gateway responds or closes the connection, and serves the next request."""
    port = int(hostile.url.rpartition(":")[2])
    token = await hostile.token()
    start = f"POST /graphql HTTP/1.1\r\nHost: x\r\nAuthorization: {token}\r\n".encode()
    for end in [
        b"Content-Length: 100\r\n\r\n{",
        b"Content-Length: -1\r\n\r\n",
        b"Transfer-Encoding: chunked\r\n\r\n5\r\n{",
        b"Transfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n0\r\n\r\n",
        b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n{}",
        b"Content-Encoding: gzip\r\nContent-Length: 2\r\n\r\n{}",
    ]:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(start + end)
        writer.write_eof()
        async with asyncio.timeout(2):
            answer = await reader.read()
        assert b" 500 " not in answer.split(b"\r\n", 1)[0]
        assert LEAKS.search(answer) is None
        writer.close()
        assert (await send(hostile, VIEWER)).status == 200
