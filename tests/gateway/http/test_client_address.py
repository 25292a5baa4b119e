"""Test how clients are told apart: their addresses, and the headers of trusted proxies."""

from __future__ import annotations

from typing import cast

import pytest
from aiohttp import web
from multidict import CIMultiDict

from gateway.http.client_address import ClientAddresses
from tests.conftest import StartGateway, settings_for_tests

PROXIES = "10.0.0.0/8, 192.168.1.7, fd00::/8"


class Request:
    """As much of a request as is read."""

    def __init__(self, remote: str | None, *headers: tuple[str, str]) -> None:
        self.remote = remote
        self.headers = CIMultiDict(headers)


def address(
    remote: str | None, *headers: tuple[str, str], proxies: str = PROXIES, header: str = ""
) -> str:
    settings = settings_for_tests(
        trusted_proxies=proxies, forwarded_header=header or "X-Forwarded-For"
    )
    request = cast("web.BaseRequest", Request(remote, *headers))
    return ClientAddresses.from_settings(settings).of(request)


@pytest.mark.parametrize(
    ("remote", "expected"),
    [
        ("203.0.113.9", "203.0.113.9"),
        ("::ffff:203.0.113.9", "203.0.113.9"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::9", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        (None, ""),
        ("", ""),
        ("/run/gateway.sock", ""),
    ],
)
def test_a_client_is_known_by_its_address(remote: str | None, expected: str) -> None:
    assert address(remote) == expected


def test_the_header_of_a_stranger_is_not_read() -> None:
    for header in ("X-Forwarded-For", "Forwarded"):
        sent = (header, "198.51.100.1" if header[0] == "X" else "for=198.51.100.1")
        assert address("203.0.113.9", sent, header=header) == "203.0.113.9"
        assert address("10.0.0.1", sent, proxies="", header=header) == "10.0.0.1"
        assert address("10.0.0.1", sent, header=header) == "198.51.100.1"


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (["198.51.100.1"], "198.51.100.1"),
        (["198.51.100.1:4711"], "198.51.100.1"),
        (["2001:db8::1"], "2001:db8::/64"),
        (["[2001:db8::1]:4711"], "2001:db8::/64"),
        # A client wrote the first one.
        (["1.2.3.4, 198.51.100.1"], "198.51.100.1"),
        (["1.2.3.4", "198.51.100.1"], "198.51.100.1"),
        (["1.2.3.4 , 198.51.100.1 , 10.1.1.1, 192.168.1.7"], "198.51.100.1"),
        # Only proxies.
        (["10.1.1.1"], "10.1.1.1"),
        # What cannot be read counts as the end: it is as near to the client as can be trusted.
        (["198.51.100.1, unknown"], "10.0.0.1"),
        (["198.51.100.1, unknown, 10.1.1.1"], "10.1.1.1"),
        ([""], "10.0.0.1"),
        ([","], "10.0.0.1"),
        (["1.2.3.4.5"], "10.0.0.1"),
        (["9" * 8000], "10.0.0.1"),
        (["\u0661.2.3.4"], "10.0.0.1"),  # another digit one
        (["1.2.3.4\0"], "10.0.0.1"),
        (["10.1.1.1," * 800], "10.0.0.1"),
        (["1.2.3.4" + ",10.1.1.1" * 800], "10.1.1.1"),
        ([], "10.0.0.1"),
    ],
)
def test_the_last_address_that_is_not_a_proxy_counts(values: list[str], expected: str) -> None:
    headers = [("X-Forwarded-For", value) for value in values]
    assert address("10.0.0.1", *headers, ("Forwarded", "for=1.2.3.4")) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("for=198.51.100.1", "198.51.100.1"),
        ("For=198.51.100.1;proto=https;by=203.0.113.43", "198.51.100.1"),
        ('proto=http; for="198.51.100.1:4711"', "198.51.100.1"),
        ('for="[2001:db8::1]:4711"', "2001:db8::/64"),
        ("for=1.2.3.4, for=198.51.100.1, for=10.1.1.1", "198.51.100.1"),
        ('for="1.2.3.4, for=198.51.100.1', "198.51.100.1"),  # a client left a quote open
        ("for=unknown", "10.0.0.1"),
        ("for=_hidden", "10.0.0.1"),
        ("by=198.51.100.1", "10.0.0.1"),
        ("for=1.2.3.4;for=198.51.100.1", "10.0.0.1"),
        ("", "10.0.0.1"),
    ],
)
def test_forwarded_is_read_if_the_setting_says_so(value: str, expected: str) -> None:
    headers = (("Forwarded", value), ("X-Forwarded-For", "5.6.7.8"))
    assert address("10.0.0.1", *headers, header="Forwarded") == expected


async def test_clients_behind_a_proxy_are_limited_one_by_one(start_gateway: StartGateway) -> None:
    async with start_gateway(rate_limit_address="2/minute", trusted_proxies="127.0.0.1") as gateway:

        async def statuses(client: str) -> list[int]:
            headers = {"X-Forwarded-For": f"5.6.7.8, {client}"}
            calls = [await gateway.call("GET", "/health", headers=headers) for _ in range(3)]
            return [reply.status for reply in calls]

        assert await statuses("198.51.100.1") == [200, 200, 429]
        assert await statuses("198.51.100.2") == [200, 200, 429]
        assert await statuses("2001:db8::1") == [200, 200, 429]
        assert await statuses("2001:db8::2") == [429, 429, 429]
    async with start_gateway(rate_limit_address="2/minute") as gateway:
        assert await statuses("198.51.100.1") == [200, 200, 429]
        assert await statuses("198.51.100.2") == [429, 429, 429]
