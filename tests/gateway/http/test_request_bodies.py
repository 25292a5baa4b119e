"""Test request bodies: type, size, encoding, and transfer."""

from __future__ import annotations

import gzip
import json
import logging
from typing import Any

import pytest

from gateway.http import request_body
from tests.conftest import Gateway, StartGateway
from tests.gateway.http.wire import COUNT, NEW, code, first, head, raw


@pytest.fixture(scope="module")
async def gateway(empty_gateway: Gateway) -> Gateway:
    """A gateway that the tests of this module share, because they change nothing."""
    return empty_gateway


# Bodies ------------------------------------------------------------------------------------------


async def test_the_dialects_read_a_body_of_any_type_as_json(gateway: Gateway) -> None:
    for content_type in ("text/plain", "application/x-www-form-urlencoded", "image/png; a=b"):
        headers = {"Content-Type": content_type}
        reply = await gateway.call("PUT", "/processes", {"processes": []}, headers=headers)
        assert reply.status == 200
        assert (await gateway.call("POST", "/graphql", COUNT, headers=headers)).status == 415


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
async def test_a_form_is_rejected_with_a_request_for_json(
    gateway: Gateway, content_type: str, body: bytes, message: str
) -> None:
    for method, path, expected in (
        ("POST", "/process", "invalid"),
        ("PUT", "/processes", 1001),
        ("PUT", "/processes/1", 1001),
    ):
        reply = await gateway.call(method, path, body, headers={"Content-Type": content_type})
        assert (reply.status, code(reply)) == (400, expected)
        assert message in reply.body.decode()
        # Without the header, the body is not recognized as a form.
        reply = await gateway.call(method, path, body)
        assert (reply.status, "send JSON" in reply.body.decode()) == (400, False)


async def test_invalid_json_with_the_type_of_a_form_is_located(gateway: Gateway) -> None:
    headers = {"Content-Type": "application/x-www-form-urlencoded"}  # the default of curl -d
    reply = await gateway.call("POST", "/process", b' {"query": x}', headers=headers)
    assert reply.status == 400
    assert "the body is not valid JSON at line 1, column 12" in reply.body.decode()
    reply = await gateway.call("POST", "/process", b" ", headers=headers)
    assert "send JSON" not in reply.body.decode()


def padded(body: Any, length: int) -> bytes:
    text = json.dumps(body).encode()
    return text + b" " * (length - len(text))


async def test_each_path_limits_the_size_of_the_body(start_gateway: StartGateway) -> None:
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


async def test_a_body_over_the_limit_is_rejected_before_it_arrives(gateway: Gateway) -> None:
    announced = await head(gateway, "POST", "/graphql", "Content-Length: 10000000000")
    answer = await first(gateway, announced)
    assert (answer.status, code(answer)) == (400, "BAD_USER_INPUT")
    assert b"1,048,576 bytes" in answer.body
    chunked = await head(gateway, "POST", "/graphql", "Transfer-Encoding: chunked")
    chunk = b"80000\r\n" + b" " * 0x80000 + b"\r\n"
    answer = await first(gateway, chunked, 3 * chunk)
    assert (answer.status, code(answer)) == (400, "BAD_USER_INPUT")
    assert b"1,048,576 bytes" in answer.body


async def test_a_chunked_body_is_accepted(gateway: Gateway) -> None:
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
async def test_a_body_that_does_not_match_its_encoding_is_rejected(
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


async def test_a_body_that_does_not_arrive_is_rejected(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(request_body, "_BODY_TIMEOUT", 0.1)
    announced = await head(gateway, "POST", "/graphql", "Content-Length: 100")
    reply = await first(gateway, announced, b'{"query":', b'"{')
    assert (reply.status, code(reply)) == (400, "BAD_USER_INPUT")
    assert "the body did not arrive in time, which is 0.1 s" in reply.body.decode()


async def test_a_compressed_body_is_limited_while_it_is_decompressed(gateway: Gateway) -> None:
    headers = {"Content-Encoding": "gzip"}
    small = gzip.compress(json.dumps(COUNT).encode())
    assert (await gateway.call("POST", "/graphql", small, headers=headers)).status == 200
    bomb = gzip.compress(b" " * 50_000_000)
    rejected = await gateway.call("POST", "/graphql", bomb, headers=headers)
    assert (rejected.status, code(rejected)) == (400, "BAD_USER_INPUT")


async def test_expect_100_continue_is_answered(gateway: Gateway) -> None:
    body = json.dumps({"query": COUNT["query"]}).encode()
    more = ["Expect: 100-continue", f"Content-Length: {len(body)}", "Connection: close"]
    sent = await head(gateway, "POST", "/graphql", *more)
    answers = await raw(gateway, sent, body)
    assert answers.startswith(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n")


async def test_expect_100_continue_is_rejected_if_the_body_would_be(gateway: Gateway) -> None:
    more = ["Expect: 100-continue", f"Content-Length: {2**30}"]
    for method, path, status in (
        ("POST", "/graphql", 400),
        ("PUT", "/processes", 400),
        ("POST", "/process/1", 405),
    ):
        reply = await first(gateway, await head(gateway, method, path, *more))
        assert reply.status == status
