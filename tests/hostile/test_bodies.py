"""Bodies of the greatest size: each is rejected, and nobody else waits for it."""

from __future__ import annotations

import asyncio
import contextlib
import io
import sys
from collections.abc import AsyncIterator

import aiohttp
import pytest

from tests.faults.world import CHAOS
from tests.hostile.attacked import Attacked, check_others_are_served
from tests.hostile.bodies import BODIES, SIZE


@contextlib.asynccontextmanager
async def flood(target: Attacked, name: str) -> AsyncIterator[None]:
    """Send a body from four clients, again and again. Begin when the first one was rejected."""
    arguments = ("-m", "tests.hostile.bodies", target.url, target.admin, name, "4")
    sender = await asyncio.create_subprocess_exec(
        sys.executable, *arguments, stdout=asyncio.subprocess.PIPE
    )
    assert sender.stdout
    try:
        assert await sender.stdout.readline() == b"400\n"
        yield
        assert sender.returncode is None
    finally:
        with contextlib.suppress(ProcessLookupError):
            sender.kill()
        await sender.communicate()


@pytest.mark.parametrize("name", BODIES if CHAOS else ["2,000,000 wrong items", "escapes"])
async def test_others_are_served_meanwhile(target: Attacked, name: str) -> None:
    await check_others_are_served(target, lambda: flood(target, name))


@pytest.mark.parametrize("name", BODIES)
async def test_a_large_body_is_rejected_in_a_short_answer(target: Attacked, name: str) -> None:
    body = BODIES[name]()
    assert 0.9 * SIZE < len(body) <= SIZE
    headers = {"Authorization": target.admin, "Content-Type": "application/json"}
    async with (
        aiohttp.ClientSession(headers=headers) as session,
        session.put(f"{target.url}/processes", data=io.BytesIO(body)) as response,
    ):
        assert response.status == 400
        assert (await response.json())["code"] == 1001
        assert response.content_length
        assert response.content_length < 16_384
