"""Test that a revoked token is refused within 10 s, whatever the network does."""

from __future__ import annotations

import re
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from resolvers.access import directory
from tests.conftest import Gateway, running_gateway
from tests.resolvers.home import until
from tests.storage.database.conftest import Beside, beside, connected
from tests.storage.database.proxy import Link, proxied, swallow

_NOTIFICATION = re.compile(rb"A.{8}gateway_access\x00\x00", re.DOTALL)


@asynccontextmanager
async def behind_a_proxy(database_url: str, url: str) -> AsyncIterator[tuple[Gateway, Beside]]:
    """Start a gateway that reaches its database by another URL, through a proxy."""
    async with (
        beside(database_url) as other,
        connected(url, pool_max=4) as database,
        running_gateway(database) as gateway,
    ):
        yield gateway, other


async def status(gateway: Gateway, token: str) -> int:
    headers = {"Authorization": token}
    body = {"query": "{ __typename }"}
    return (await gateway.call("POST", "/graphql", body, profile=None, headers=headers)).status


async def revoke(gateway: Gateway, other: Beside, token: str) -> None:
    """Revoke a token in another process, which does not go through the proxy."""
    await other.run(
        "INSERT INTO revoked_token VALUES ($1, now() + interval '1 hour')",
        gateway.services.keys.verify(token).token_id,
    )


async def seconds_until_refused(gateway: Gateway, token: str, expected: int) -> float:
    start = time.monotonic()

    async def refused() -> bool:
        return await status(gateway, token) != 200

    await until(refused, 30)
    assert await status(gateway, token) == expected
    return time.monotonic() - start


async def test_a_listening_connection_that_is_dead_without_a_sign_is_replaced(
    database_url: str,
) -> None:
    async with (
        proxied(database_url) as (proxy, url),
        behind_a_proxy(database_url, url) as (gateway, other),
    ):
        token = await gateway.token("guest")
        assert await status(gateway, token) == 200
        dead = [link for link in proxy.links if b"LISTEN" in link.sent]
        assert dead

        def swallow_the_dead(link: Link, data: bytes) -> bytes:
            return b"" if link in dead else data

        proxy.requests = proxy.answers = swallow_the_dead
        await revoke(gateway, other, token)
        assert await seconds_until_refused(gateway, token, 401) < 10


async def test_revocations_are_noticed_where_notifications_do_not_arrive(
    database_url: str,
) -> None:
    async with proxied(database_url) as (proxy, url):
        proxy.answers = lambda link, data: _NOTIFICATION.sub(b"", data)
        async with behind_a_proxy(database_url, url) as (gateway, other):
            token = await gateway.token("guest")
            assert await status(gateway, token) == 200
            (listening,) = [link for link in proxy.links if b"LISTEN" in link.sent]
            before = len(listening.sent)
            for _ in range(50):
                assert await status(gateway, token) == 200
            assert len(listening.sent) - before < 50 * 50  # the copy is not read for each request
            await revoke(gateway, other, token)
            assert await seconds_until_refused(gateway, token, 401) < 10


async def test_a_copy_that_is_too_old_is_not_used(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, seconds in (("_CHECK", 0.2), ("_RELOAD", 0.6), ("_TOO_OLD", 1.0)):
        monkeypatch.setattr(directory, name, seconds)
    async with (
        proxied(database_url) as (proxy, url),
        behind_a_proxy(database_url, url) as (gateway, other),
    ):
        token = await gateway.token("guest")
        assert await status(gateway, token) == 200
        proxy.requests = proxy.answers = swallow
        await revoke(gateway, other, token)
        # It may take until the attempts to reach the database have failed.
        assert await seconds_until_refused(gateway, token, 503) < 10
        proxy.cut()
