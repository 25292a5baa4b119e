"""Test that large bodies are taken in slowly, in turns, and up to a total size."""

from __future__ import annotations

import asyncio
import io
import time

import aiohttp
import pytest

from gateway.http.body_intake import BodyIntake
from resolvers.errors.catalogue import ErrorKind, GatewayError
from tests.conftest import Gateway


async def test_large_bodies_share_a_rate_in_turns() -> None:
    intake = BodyIntake(rate=1000, burst=100)
    turns: list[str] = []

    async def body(name: str) -> None:
        for _ in range(4):
            await intake.take(name, 50)
            turns.append(name)

    started = time.monotonic()
    await asyncio.gather(body("a"), body("b"))
    assert time.monotonic() - started >= (400 - 100) / 1000
    assert turns[:6].count("b") >= 2  # a has not been served before b


async def test_bytes_are_held_until_the_request_is_answered() -> None:
    intake = BodyIntake(max_held=100)
    await intake.take("a", 60)
    await intake.take("b", 40)
    with pytest.raises(GatewayError) as caught:
        await intake.take("c", 1)
    assert (caught.value.kind, caught.value.retry_after) == (ErrorKind.RATE_LIMITED, 1)
    intake.release("c")
    intake.release("a")
    await intake.take("d", 60)
    with pytest.raises(GatewayError):
        await intake.take("b", 1)


@pytest.mark.parametrize("path", ["/graphql", "/processes"])
async def test_the_rest_of_a_refused_body_is_read(hostile: Gateway, path: str) -> None:
    """Otherwise the connection would be reset, and the client would not see the response."""
    headers = {"Authorization": await hostile.token()}
    async with aiohttp.ClientSession(headers=headers) as client:
        body = b"x" * 17_000_000
        for _ in range(3):
            async with client.put(hostile.url + path, data=io.BytesIO(body)) as response:
                assert response.status in (400, 405)
                assert await response.json()
