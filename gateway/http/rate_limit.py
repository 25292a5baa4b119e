"""Limit the requests of each client address and of each token."""

from __future__ import annotations

import math
from collections.abc import Sequence

from limits import RateLimitItem, parse_many
from limits.strategies import SlidingWindowCounterRateLimiter

from gateway.http.rate_storage import BoundedMemory, RedisCounters, seconds_to_wait
from gateway.settings.model import Settings
from resolvers.errors.catalogue import ErrorKind, GatewayError


class RateLimits:
    """Counts requests, and rejects those above a rate.

    The algorithm is the sliding window counter of the library ``limits``: besides the requests of
    the current window it counts those of the window before, in proportion to how much of that is
    less than one window ago.

    Args:
        address: The limits of an address.
        token: The limits of a token.
        redis: Counts for several processes. Without it, and while it is out of reach, each process
            counts for itself.
    """

    def __init__(
        self,
        address: Sequence[RateLimitItem] = (),
        token: Sequence[RateLimitItem] = (),
        redis: RedisCounters | None = None,
    ) -> None:
        self._address = tuple(address)
        self._token = tuple(token)
        self.limits_addresses = bool(address)
        self.limits_tokens = bool(token)
        self._redis = redis
        self._memory = BoundedMemory()
        self._strategy = SlidingWindowCounterRateLimiter(self._memory)

    @classmethod
    def from_settings(cls, settings: Settings) -> RateLimits:
        """Return the limits that the settings ask for.

        Raises:
            SettingsError: Redis is asked for, but its client is not installed.
        """
        url = settings.redis_url
        return cls(
            parse_many(settings.rate_limit_address) if settings.rate_limit_address else (),
            parse_many(settings.rate_limit_token) if settings.rate_limit_token else (),
            RedisCounters.open(url.get_secret_value()) if url is not None else None,
        )

    async def spend_address(self, address: str) -> None:
        """Count a request of an address. Raises ``RATE_LIMITED`` with the seconds to wait."""
        await self._spend(self._address, "address", address)

    async def spend_token(self, token_id: str) -> None:
        """Count a request with a valid token. Raises ``RATE_LIMITED`` with the seconds to wait."""
        await self._spend(self._token, "token", token_id)

    async def close(self) -> None:
        """Close the connections to Redis."""
        if self._redis is not None:
            await self._redis.close()

    async def _spend(self, limits: Sequence[RateLimitItem], *key: str) -> None:
        for limit in limits:
            wait = await self._redis.hit(limit, *key) if self._redis is not None else None
            if wait is None:
                wait = self._hit_memory(limit, *key)
            if wait:
                seconds = math.floor(wait) + 1  # the first whole second at which there is room
                raise GatewayError(
                    ErrorKind.RATE_LIMITED,
                    f"too many requests; try again in {seconds} s",
                    retry_after=seconds,
                )

    def _hit_memory(self, limit: RateLimitItem, *key: str) -> float:
        """Count a request. Return 0, or the seconds to wait if it is rejected."""
        if self._strategy.hit(limit, *key):
            return 0.0
        window = self._memory.get_sliding_window(limit.key_for(*key), limit.get_expiry())
        return seconds_to_wait(limit, *window)
