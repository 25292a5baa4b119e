"""Advisories about Strawberry and graphql-core, each as the attack that it describes."""

from __future__ import annotations

import contextlib

import aiohttp
import pytest

from gateway.services import compiler_of
from tests.conftest import Gateway, StartGateway, settings_for_tests
from tests.hostile.documents import INTROSPECTION, processor_time

COMPILER = compiler_of(settings_for_tests())


@pytest.mark.parametrize("profile", [None, "admin"])
async def test_cve_2026_35523(gateway: Gateway, profile: str | None) -> None:
    """A WebSocket of the older protocol took subscriptions without a handshake."""
    headers = {"Authorization": await gateway.token(profile)} if profile else {}
    subscribe = {"id": "1", "payload": {"query": "subscription { viewer { seesAll } }"}}
    async with aiohttp.ClientSession(headers=headers) as session:
        for protocol, type_, code in (
            ("graphql-ws", "start", 4406),
            ("graphql-transport-ws", "subscribe", 4401),
        ):
            async with session.ws_connect(f"{gateway.url}/graphql", protocols=[protocol]) as socket:
                with contextlib.suppress(ConnectionError):
                    await socket.send_json({"type": type_, **subscribe})
                assert (await socket.receive()).type is aiohttp.WSMsgType.CLOSE
                assert socket.close_code == code


async def test_cve_2026_35526(start_gateway: StartGateway) -> None:
    """A WebSocket took any number of subscriptions."""
    async with (
        start_gateway(max_socket_subscriptions=3) as gateway,
        aiohttp.ClientSession(headers={"Authorization": await gateway.token("admin")}) as session,
        session.ws_connect(f"{gateway.url}/graphql", protocols=["graphql-transport-ws"]) as socket,
    ):
        await socket.send_json({"type": "connection_init"})
        assert (await socket.receive_json())["type"] == "connection_ack"
        query = {"query": "subscription { processes { totalCount } }"}
        for number in range(10):
            await socket.send_json({"id": str(number), "type": "subscribe", "payload": query})
        answers = [await socket.receive_json() for _ in range(10)]
        assert sorted(answer["type"] for answer in answers) == ["error"] * 7 + ["next"] * 3


async def test_cve_2026_47706(gateway: Gateway) -> None:
    """Fragments that spread each other made a depth limiter recurse without end."""
    circle = "{ viewer { ...a } } fragment a on Viewer { ...b } fragment b on Viewer { ...a }"
    reply = await gateway.call("POST", "/graphql", {"query": circle})
    assert reply.status == 200
    assert "Cannot spread fragment" in reply.json["errors"][0]["message"]


async def test_cve_2026_47707(gateway: Gateway) -> None:
    """Aliases in a fragment counted once, however often it was spread."""
    aliases = " ".join(f"a{number}: name" for number in range(20))
    spreads = " ".join(f"b{number}: espace {{ ...f }}" for number in range(20))
    query = f"{{ processes {{ nodes {{ {spreads} }} }} }} fragment f on Espace {{ {aliases} }}"
    reply = await gateway.call("POST", "/graphql", {"query": query})
    assert reply.json["errors"][0]["extensions"]["limit"] == {
        "name": "max_query_aliases",
        "maximum": 200,
        "received": 420,
    }


def test_cve_2026_75507() -> None:
    """Inline fragments that overlap were compared in quadratic time."""
    query = "{ processes { nodes {" + "... { ... { name espace { name } } } " * 115 + "} } }"
    assert processor_time(COMPILER, query) < 8 * processor_time(COMPILER, INTROSPECTION)


def test_cve_2026_75508() -> None:
    """Comments did not count as tokens, but each was kept in memory."""
    document = COMPILER.read("{ viewer { seesAll } }" + "#\n" * 3000)
    assert "more than 1,500 tokens" in document.errors[0].message
