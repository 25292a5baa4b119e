"""Test what ``http`` sources make of the answers, and of connections that fail."""

from __future__ import annotations

import asyncio
import datetime
import email.utils
import socket
import tracemalloc
from pathlib import Path
from typing import Any

import pytest

from resolvers.execution.sources.protocol import Repeat
from tests.resolvers.execution.sources.conftest import Act, failure
from tests.resolvers.execution.sources.device import (
    LOOPBACK,
    Behaviour,
    Device,
    answers,
    certificate,
    gzip_bomb,
    hangs,
    hangs_in_the_middle,
    raw,
    running_device,
    sends_100_megabytes,
)

JSON = "application/json"


@pytest.mark.parametrize(
    ("behave", "body"),
    [
        (answers(200, b'{"on": true}', Content_Type=JSON), {"on": True}),
        (answers(200, b'\xef\xbb\xbf{"on": 1}', Content_Type=f"{JSON}; charset=utf-8"), {"on": 1}),
        (answers(201, b"[1]", Content_Type="application/problem+json"), [1]),
        (answers(200, b"", Content_Type=JSON), None),
        (answers(204), None),
        (answers(200, b'{"on": true}', Content_Type="text/plain"), '{"on": true}'),
        (answers(200, "é".encode(), Content_Type="text/plain"), "é"),
        (answers(200, b"\xe9", Content_Type="text/plain; charset=ISO-8859-1"), "é"),
        (answers(200, b"x" * 1024 * 1024, Content_Type="text/plain"), "x" * 1024 * 1024),
    ],
)
async def test_the_result_is_the_status_and_the_body(
    device: Device, act: Act, behave: Behaviour, body: Any
) -> None:
    device.behave = behave
    result = await act("GET /lamp")
    assert result["body"] == body
    assert list(result) == ["status", "body"]


UNREADABLE = "the source answered with the status 200 (OK), but the answer "


@pytest.mark.parametrize(
    ("behave", "expected"),
    [
        (answers(200, b"{", Content_Type=JSON), "says that it is JSON and is not"),
        (answers(200, b'"\xff"', Content_Type=JSON), "says that it is JSON and is not"),
        (answers(200, b"[" * 100_000, Content_Type=JSON), "says that it is JSON and is not"),
        (answers(200, b"\xff", Content_Type="text/plain"), "is neither JSON nor text in UTF-8"),
        (answers(200, b"\0\xff", Content_Type="image/png"), "is neither JSON nor text in UTF-8"),
        (
            answers(200, b"+AGE-", Content_Type="text/plain; charset=utf-7"),
            "is neither JSON nor text in UTF-8",
        ),
        (
            answers(200, b"x" * (1024 * 1024 + 1), Content_Type="text/plain"),
            "is longer than 1,048,576 bytes",
        ),
        (sends_100_megabytes, "is longer than 1,048,576 bytes"),
    ],
)
async def test_an_answer_that_cannot_be_read_is_in_doubt(
    device: Device, act: Act, behave: Behaviour, expected: str
) -> None:
    device.behave = behave
    failed = await failure(act("GET /lamp"))
    assert str(failed) == UNREADABLE + expected
    assert (failed.repeat, failed.in_doubt) == (Repeat.NEVER, True)
    assert len(device.received) == 1


async def test_an_answer_that_unpacks_to_much_takes_little_memory(device: Device, act: Act) -> None:
    device.behave = gzip_bomb()
    tracemalloc.start()
    try:
        failed = await failure(act("GET /lamp"))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert str(failed) == UNREADABLE + "is longer than 1,048,576 bytes"
    assert peak < 20_000_000


@pytest.mark.parametrize(
    ("status", "named", "repeat", "in_doubt"),
    [
        (301, "301 (Moved Permanently), and redirects are not followed", Repeat.NEVER, False),
        (307, "307 (Temporary Redirect), and redirects are not followed", Repeat.NEVER, False),
        (400, "400 (Bad Request)", Repeat.NEVER, False),
        (404, "404 (Not Found)", Repeat.NEVER, False),
        (408, "408 (Request Timeout)", Repeat.IF_IDEMPOTENT, True),
        (429, "429 (Too Many Requests)", Repeat.ALWAYS, False),
        (500, "500 (Internal Server Error)", Repeat.IF_IDEMPOTENT, True),
        (501, "501 (Not Implemented)", Repeat.NEVER, False),
        (502, "502 (Bad Gateway)", Repeat.IF_IDEMPOTENT, True),
        (503, "503 (Service Unavailable)", Repeat.ALWAYS, False),
        (504, "504 (Gateway Timeout)", Repeat.IF_IDEMPOTENT, True),
        (507, "507 (Insufficient Storage)", Repeat.NEVER, True),
        (599, "599", Repeat.NEVER, True),
    ],
)
async def test_statuses_are_classified(
    device: Device, act: Act, status: int, named: str, repeat: Repeat, in_doubt: bool
) -> None:
    device.behave = answers(status, b"the host is db1", Location=f"{device.base_url}/elsewhere")
    failed = await failure(act("PUT /lamp"))
    assert str(failed) == f"the source answered with the status {named}"
    assert (failed.repeat, failed.in_doubt, failed.retry_after) == (repeat, in_doubt, None)
    assert [request.path for request in device.received] == ["/lamp"]


@pytest.mark.parametrize(
    ("header", "seconds"),
    [("7", 7.0), (" 120 ", 120.0), ("0", 0.0), ("soon", None), ("-1", None), ("9" * 20, None)],
)
async def test_retry_after_is_read(
    device: Device, act: Act, header: str, seconds: float | None
) -> None:
    device.behave = answers(429, Retry_After=header)
    assert (await failure(act("POST /lamp"))).retry_after == seconds


async def test_retry_after_may_be_a_date(device: Device, act: Act) -> None:
    date = datetime.datetime.now(datetime.UTC) + datetime.timedelta(seconds=100)
    device.behave = answers(503, Retry_After=email.utils.format_datetime(date, usegmt=True))
    after = (await failure(act("POST /lamp"))).retry_after
    assert after is not None
    assert 60 < after <= 100
    device.behave = answers(503, Retry_After="Wed, 21 Oct 2015 07:28:00 GMT")
    assert (await failure(act("POST /lamp"))).retry_after == 0.0


# Connections ------------------------------------------------------------------------------------


@pytest.mark.parametrize("action", ["GET /lamp", "PUT /lamp", "POST /lamp"])
@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"HTTP/1.1 200 OK\r\nContent-Le",
        b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nabc",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabc",
        b"SSH-2.0-OpenSSH_9.2\r\n",
    ],
)
async def test_an_answer_that_ends_early_is_in_doubt(
    device: Device, act: Act, action: str, data: bytes
) -> None:
    device.behave = raw(data)
    failed = await failure(act(action))
    assert str(failed) == "the connection was lost before the answer was complete"
    assert (failed.repeat, failed.in_doubt) == (Repeat.IF_IDEMPOTENT, True)
    assert len(device.received) == 1


@pytest.mark.parametrize("behave", [hangs, hangs_in_the_middle])
@pytest.mark.parametrize(("limit", "seconds"), [(1.0, 10.0), (None, 1.0)])
async def test_a_source_that_hangs_is_in_doubt(
    device: Device, act: Act, behave: Behaviour, limit: float | None, seconds: float
) -> None:
    device.behave = behave
    failed = await failure(act("POST /lamp", {}, {"timeout": limit}, seconds))
    given = limit or seconds * 0.95
    assert str(failed) == f"the source did not answer within {given:.3g} s"
    assert (failed.repeat, failed.in_doubt) == (Repeat.IF_IDEMPOTENT, True)
    assert failed.timed_out
    assert len(device.received) == 1


async def test_a_request_without_a_connection_is_not_in_doubt(act: Act) -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        port = listener.getsockname()[1]
        address = {"base_url": f"http://127.0.0.1:{port}"}
        blockers = [socket.socket() for _ in range(4)]
        for blocker in blockers:  # fill the queue of connections that nobody accepts
            blocker.setblocking(False)
            blocker.connect_ex(("127.0.0.1", port))
        try:
            failed = await failure(act("POST /lamp", {}, address, 0.2))
        finally:
            for blocker in blockers:
                blocker.close()
    assert str(failed) == "the source could not be reached within 0.19 s"
    assert (failed.repeat, failed.in_doubt) == (Repeat.ALWAYS, False)
    assert failed.timed_out
    failed = await failure(act("POST /lamp", {}, address))
    assert str(failed) == "the source cannot be reached: it refuses connections"
    assert (failed.repeat, failed.in_doubt, failed.timed_out) == (Repeat.ALWAYS, False, False)


async def test_an_attempt_that_is_cancelled_ends_its_connection(device: Device, act: Act) -> None:
    device.behave = hangs
    attempt = asyncio.ensure_future(act("POST /lamp"))
    await device.asked.wait()
    attempt.cancel()
    with pytest.raises(asyncio.CancelledError):
        await attempt


async def test_nothing_is_sent_twice_on_a_connection_that_was_closed(
    device: Device, act: Act
) -> None:
    """aiohttp would send it again by itself, on a connection that was used before."""
    await act("GET /lamp")
    device.behave = raw(b"")
    failed = await failure(act("GET /lamp"))
    assert failed.repeat is Repeat.IF_IDEMPOTENT
    first, second = device.received  # and not three
    assert first.peer == second.peer


async def test_requests_that_must_not_be_repeated_get_a_fresh_connection(
    device: Device, act: Act
) -> None:
    for action in (
        "GET /lamp",
        "PUT /lamp",
        "POST /lamp",
        "POST /lamp",
        "PATCH /lamp",
        "GET /lamp",
    ):
        await act(action)
    peers = [request.peer for request in device.received]
    assert peers[0] == peers[1] == peers[5]
    assert len(set(peers)) == 4
    toggle = {"name": "toggle", "method": "GET", "path": "/toggle", "idempotent": False}
    await act("toggle", {}, {"operations": [toggle]})
    assert device.last.peer not in peers


async def test_cookies_are_not_kept(device: Device, act: Act) -> None:
    device.behave = answers(200, Set_Cookie="a=b")
    await act("GET /lamp")
    await act("GET /lamp")
    assert "Cookie" not in device.last.headers


async def test_proxies_of_the_environment_are_not_used(
    device: Device, act: Act, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    assert (await act("GET /lamp"))["status"] == 200


# TLS ---------------------------------------------------------------------------------------------


async def test_certificates_are_verified(act: Act, tmp_path: Path) -> None:
    pem, context = certificate(tmp_path, "127.0.0.1")
    async with running_device(context) as device:
        address = {"base_url": device.base_url}
        trusted = await act("GET /lamp", {}, address | {"ca_certificate": pem})
        assert trusted["status"] == 200
        failed = await failure(act("POST /lamp", {}, address))
        assert str(failed) == "the source cannot be reached: its certificate is not valid"
        assert (failed.repeat, failed.in_doubt) == (Repeat.ALWAYS, False)
        assert len(device.received) == 1


async def test_the_name_in_a_certificate_is_verified(act: Act, tmp_path: Path) -> None:
    pem, context = certificate(tmp_path, "lamps.example")
    async with running_device(context) as device:
        settings = {"base_url": device.base_url, "ca_certificate": pem}
        failed = await failure(act("GET /lamp", {}, settings))
        assert str(failed) == "the source cannot be reached: its certificate is not valid"
        assert device.received == []


async def test_a_server_without_tls_is_not_reached(device: Device, act: Act) -> None:
    address = {"base_url": device.base_url.replace("http:", "https:")}
    failed = await failure(act("POST /lamp", {}, address))
    assert str(failed) == "the source cannot be reached: TLS failed"
    assert (failed.repeat, failed.in_doubt) == (Repeat.ALWAYS, False)
    failed = await failure(act("GET /", {}, {"ca_certificate": "no", "allow_networks": LOOPBACK}))
    assert str(failed) == "the setting ca_certificate holds no certificate"
