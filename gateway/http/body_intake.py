"""Bound what a worker takes in of large request bodies: bytes per second, and bytes in memory.

The event loop copies everything that arrives. Without a bound, a few clients that send large bodies
as fast as they can would keep it from serving anybody else.
"""

from __future__ import annotations

import asyncio

from aiohttp.streams import StreamReader

from resolvers.errors.catalogue import ErrorKind, GatewayError

LARGE = 64 * 1024
"""Bytes of a body that are not counted."""
_MIB = 1024 * 1024


class BodyIntake:
    """What the requests of a worker send in large bodies.

    Args:
        rate: Bytes per second of all large bodies together.
        burst: Bytes that are taken in at once after a pause.
        max_held: Bytes of the large bodies of requests that are not yet answered.
    """

    def __init__(
        self,
        rate: float = 32 * _MIB,
        burst: float = 4 * _MIB,
        max_held: int = 256 * _MIB,
    ) -> None:
        self._rate = rate
        self._burst_seconds = burst / rate
        self._max_held = max_held
        self._paid_until = 0.0
        self._held: dict[int, int] = {}
        """By the identity of a request."""
        self._total = 0

    async def take(self, request: object, size: int) -> None:
        """Count bytes that have arrived, and wait until the next ones may be read.

        Raises:
            GatewayError: ``RATE_LIMITED``: too many bytes are held.
        """
        self._held[id(request)] = self._held.get(id(request), 0) + size
        self._total += size
        if self._total > self._max_held:
            raise GatewayError(
                ErrorKind.RATE_LIMITED,
                "the gateway is working on too many large requests; try again in 1 s",
                retry_after=1,
            )
        await self._pace(size)

    def release(self, request: object) -> None:
        """Forget the body of a request that was answered."""
        if self._held:
            self._total -= self._held.pop(id(request), 0)

    async def discard(self, body: StreamReader) -> None:
        """Read the rest of a body that nobody needs. Raises whatever reading it raises."""
        async for chunk in body.iter_any():
            await self._pace(len(chunk))

    async def _pace(self, size: int) -> None:
        now = asyncio.get_running_loop().time()
        self._paid_until = max(self._paid_until, now - self._burst_seconds) + size / self._rate
        if self._paid_until > now:
            await asyncio.sleep(self._paid_until - now)
