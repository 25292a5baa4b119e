"""Measure the requests of ``http`` sources, compared with those of aiohttp's client alone."""

from __future__ import annotations

import asyncio
import sys
import time
import uuid
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from itertools import count

import aiohttp
import orjson

from figures import Comparison, compare
from resolvers.execution.sources.http.kind import HttpKind
from resolvers.execution.sources.http.settings import HttpSettings
from resolvers.execution.sources.protocol import Call
from servers import Server, ServerError, running
from work import HERE

CALLERS = 16
ACTION = "set"
_ARGUMENTS = (("channel", "7"), ("level", "40"))
_ANSWER = {"on": True, "level": 40}


def device() -> AbstractAsyncContextManager[Server]:
    """Run a device (``device.py``) for the duration of the block."""
    return running([sys.executable, HERE / "device.py", "{port}"])


def settings_for(server: Server) -> bytes:
    """Return the settings of a source that acts on a device. Its action may be repeated."""
    operation = {
        "name": ACTION,
        "method": "PUT",
        "path": "/lamps/{channel}",
        "body": {"level": "{level}"},
        "arguments": [{"reference": "channel"}, {"reference": "level", "type": "number"}],
    }
    return orjson.dumps(
        {
            "base_url": server.url.rstrip("/"),
            "allow_networks": ["127.0.0.1/32"],
            "operations": [operation],
        }
    )


async def requests(server: Server, rounds: int, seconds: float) -> Comparison:
    """Compare the requests per second of the source kind with those of aiohttp's client.

    Both send the same requests from this process with 16 callers, and take turns.
    """
    settings = HttpSettings.model_validate_json(settings_for(server))
    address = f"{settings.base_url}/lamps/7"
    kind = HttpKind()

    steps = count(1)

    async def ours() -> object:
        call = Call(ACTION, _ARGUMENTS, settings, step_key=f"1/{next(steps)}")
        return (await kind.act(call))["body"]

    async with aiohttp.ClientSession() as session:

        async def theirs() -> object:
            headers = {
                "Accept": "application/json",
                "Content-Type": "application/json",
                "Idempotency-Key": str(uuid.uuid4()),
            }
            body = orjson.dumps({"level": 40})
            async with session.put(address, data=body, headers=headers) as response:
                return orjson.loads(await response.read())

        pairs = []
        for number in range(-1, rounds):  # the first round is a warm-up
            rates = [0.0, 0.0]
            for which in (0, 1) if number % 2 else (1, 0):
                rates[which] = await _rate((ours, theirs)[which], seconds)
            if number >= 0:
                pairs.append((rates[0], rates[1]))
    await kind.close()
    return compare(pairs)


async def _rate(send: Callable[[], Awaitable[object]], seconds: float) -> float:
    """Return the requests per second of 16 callers."""
    start = time.monotonic()

    async def call() -> int:
        count = 0
        while time.monotonic() < start + seconds:
            answer = await send()
            if answer != _ANSWER:
                raise ServerError(f"the device answered {answer!r}")
            count += 1
        return count

    counts = await asyncio.gather(*(call() for _ in range(CALLERS)))
    return sum(counts) / (time.monotonic() - start)
