"""Advisories about Strawberry and graphql-core, each as the attack that it describes."""

from __future__ import annotations

import aiohttp
import pytest

from gateway.services import compiler_of
from tests.conftest import Gateway, settings_for_tests
from tests.hostile.documents import INTROSPECTION, processor_time

COMPILER = compiler_of(settings_for_tests())


@pytest.mark.parametrize("protocol", ["graphql-ws", "graphql-transport-ws"])
@pytest.mark.parametrize("profile", [None, "admin"])
async def test_cve_2026_35523_and_35526(
    gateway: Gateway, protocol: str, profile: str | None
) -> None:
    """A WebSocket took subscriptions without a handshake, and any number of them.

    The gateway has no WebSockets. The older protocol must not come back with them.
    """
    headers = {"Authorization": await gateway.token(profile)} if profile else {}
    async with aiohttp.ClientSession(headers=headers) as session:
        with pytest.raises(aiohttp.WSServerHandshakeError):
            await session.ws_connect(f"{gateway.url}/graphql", protocols=[protocol])


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
