"""Limit the requests per second of each client address."""

from __future__ import annotations

import math
import time
from collections import OrderedDict
from collections.abc import Callable

from resolvers.errors.catalogue import ErrorKind, GatewayError

_MAX_ADDRESSES = 10_000
"""Number of addresses to track. The least recently seen address is dropped first."""


class RateLimiter:
    """A token bucket for each client address.

    Args:
        rate: Requests per second; 0 for no limit.
        burst: Requests at once.
        clock: A monotonic clock, in seconds.
    """

    def __init__(
        self, rate: float, burst: int, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._rate = rate
        self._burst = float(burst)
        self._clock = clock
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def spend(self, address: str) -> None:
        """Count a request. Raises ``RATE_LIMITED`` with the seconds to wait."""
        if not self._rate:
            return
        now = self._clock()
        left, since = self._buckets.pop(address, (self._burst, now))
        left = min(self._burst, left + (now - since) * self._rate)
        allowed = left >= 1
        self._buckets[address] = (left - 1 if allowed else left, now)
        if len(self._buckets) > _MAX_ADDRESSES:
            self._buckets.popitem(last=False)
        if not allowed:
            wait = math.ceil((1 - left) / self._rate)
            raise GatewayError(
                ErrorKind.RATE_LIMITED,
                f"too many requests; try again in {wait} s",
                retry_after=wait,
            )
