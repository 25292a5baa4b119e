"""Test which addresses ``http`` sources connect to. No test connects to any but this machine."""

from __future__ import annotations

import socket
from ipaddress import ip_network

import pytest
from aiohttp.abc import AbstractResolver, ResolveResult

from resolvers.execution.sources.http.addresses import is_allowed
from resolvers.execution.sources.http.kind import HttpKind
from resolvers.execution.sources.http.settings import HttpSettings
from resolvers.execution.sources.protocol import Call, Repeat
from tests.resolvers.execution.sources.conftest import Act, failure
from tests.resolvers.execution.sources.device import LOOPBACK, Device

REFUSED = (
    "the source leads to an address that is not public, and its setting allow_networks does not"
    " list it"
)
NOT_VALID = "the address of the source is not valid"
NOT_RESOLVED = "the source cannot be reached: its name cannot be resolved"

NOT_PUBLIC = [
    "0.0.0.0",
    "10.0.0.1",
    "100.64.0.1",
    "127.0.0.1",
    "127.255.255.254",
    "169.254.169.254",
    "172.16.0.1",
    "192.0.0.8",
    "192.0.0.9",
    "192.0.0.170",
    "192.0.2.1",
    "192.88.99.1",
    "192.168.1.1",
    "198.18.0.1",
    "198.51.100.1",
    "203.0.113.1",
    "224.0.0.1",
    "239.255.255.250",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "::127.0.0.1",
    "::ffff:127.0.0.1",
    "::ffff:10.0.0.1",
    "::ffff:0:127.0.0.1",
    "64:ff9b::7f00:1",
    "64:ff9b::127.0.0.1",
    "64:ff9b::8.8.8.8",
    "64:ff9b:1::7f00:1",
    "100::1",
    "2001::1",
    "2001:db8::1",
    "2002:7f00:1::",
    "2002:a00:1::1",
    "2002:808:808::1",
    "3fff::1",
    "5f00::1",
    "fc00::1",
    "fd12:3456:789a::1",
    "fe80::1",
    "fe80::1%eth0",
    "fec0::1",
    "ff02::1",
    "ff0e::1",
]
PUBLIC = ["8.8.8.8", "93.184.216.34", "::ffff:8.8.8.8", "2606:4700::1111", "2a00:1450:4001::1"]


@pytest.mark.parametrize("address", NOT_PUBLIC)
def test_addresses_that_are_not_public_are_refused(address: str) -> None:
    assert not is_allowed(address, [])


@pytest.mark.parametrize("address", PUBLIC)
def test_public_addresses_are_allowed(address: str) -> None:
    assert is_allowed(address, [])


@pytest.mark.parametrize(
    ("address", "network", "allowed"),
    [
        ("192.168.1.7", "192.168.1.0/24", True),
        ("192.168.2.7", "192.168.1.0/24", False),
        ("::ffff:192.168.1.7", "192.168.1.0/24", True),
        ("::ffff:192.168.1.7", "::ffff:0:0/96", False),
        ("fe80::1%eth0", "fe80::/10", True),
        ("fd00::1", "fd00::/8", True),
        ("::1", "127.0.0.0/8", False),
        ("64:ff9b::7f00:1", "127.0.0.0/8", False),
        ("2002:7f00:1::", "127.0.0.0/8", False),
        ("64:ff9b::7f00:1", "64:ff9b::/96", True),
    ],
)
def test_a_source_allows_networks(address: str, network: str, allowed: bool) -> None:
    assert is_allowed(address, [ip_network(network)]) is allowed


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("127.0.0.1", REFUSED),
        ("localhost", REFUSED),
        ("localhost.", (REFUSED, NOT_RESOLVED)),  # as the system's resolver decides
        ("LOCALHOST", REFUSED),
        ("127.0.0.1.", (NOT_VALID, NOT_RESOLVED)),
        ("127.1", NOT_VALID),
        ("2130706433", NOT_VALID),
        ("0177.0.0.1", NOT_VALID),
        ("017700000001", NOT_VALID),
        ("0x7f000001", REFUSED),
        ("0x7f.0.0.1", REFUSED),
        ("0", NOT_VALID),
        ("0.0.0.0", REFUSED),
        ("[::]", REFUSED),
        ("[::1]", REFUSED),
        ("[0:0:0:0:0:0:0:1]", REFUSED),
        ("[::127.0.0.1]", REFUSED),
        ("[::ffff:127.0.0.1]", REFUSED),
        ("[::ffff:7f00:1]", REFUSED),
        ("[64:ff9b::7f00:1]", REFUSED),
        ("[2002:7f00:1::]", REFUSED),
    ],
)
async def test_no_spelling_of_this_machine_gets_through(
    device: Device, act: Act, host: str, expected: str | tuple[str, ...]
) -> None:
    base_url = device.base_url.replace("127.0.0.1", host)
    failed = await failure(act("GET /lamp", {}, {"base_url": base_url, "allow_networks": []}))
    assert str(failed) in ((expected,) if isinstance(expected, str) else expected)
    assert not failed.in_doubt
    assert device.received == []


class Answers(AbstractResolver):
    """A resolver that answers with one list of addresses after the other."""

    def __init__(self, *answers: list[str]) -> None:
        self.answers = list(answers)

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        return [
            ResolveResult(
                hostname=host,
                host=address,
                port=port,
                family=socket.AF_INET6 if ":" in address else socket.AF_INET,
                proto=0,
                flags=socket.AI_NUMERICHOST,
            )
            for address in self.answers.pop(0)
        ]

    async def close(self) -> None:
        pass


async def test_each_answer_of_a_name_server_is_judged(device: Device) -> None:
    resolver = Answers(
        ["127.0.0.1"], ["10.0.0.1"], ["10.0.0.1", "fd00::1"], ["10.0.0.1", "127.0.0.1"]
    )
    kind = HttpKind(resolver)
    base_url = device.base_url.replace("127.0.0.1", "lamps.example")
    settings = HttpSettings.model_validate({"base_url": base_url, "allow_networks": LOOPBACK})
    call = Call("POST /lamp", [], settings)
    try:
        assert (await kind.act(call))["status"] == 200
        for _ in range(2):
            failed = await failure(kind.act(call))
            assert str(failed) == REFUSED
            assert (failed.repeat, failed.in_doubt) == (Repeat.NEVER, False)
            assert len(device.received) == 1
        # One of its addresses is allowed, and only that one is connected to.
        assert (await kind.act(call))["status"] == 200
        assert resolver.answers == []
    finally:
        await kind.close()


async def test_a_connection_is_not_lent_to_a_source_that_may_not_open_it(
    device: Device, act: Act
) -> None:
    await act("GET /lamp")
    failed = await failure(act("GET /lamp", {}, {"allow_networks": ["10.0.0.0/8"]}))
    assert str(failed) == REFUSED
    assert len(device.received) == 1
