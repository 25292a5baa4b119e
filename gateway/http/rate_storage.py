"""Keep the counters of the rate limits: in this process, or in Redis for several processes."""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import TYPE_CHECKING

from limits import RateLimitItem
from limits.aio.storage import RedisStorage
from limits.aio.strategies import SlidingWindowCounterRateLimiter
from limits.errors import StorageError
from limits.storage import SlidingWindowCounterSupport, Storage

from gateway.settings.model import SettingsError

if TYPE_CHECKING:
    from redis.asyncio import BlockingConnectionPool

logger = logging.getLogger(__name__)

_MOST_KEYS = 50_000
_REDIS_TIMEOUT = 0.25
"""Seconds that a request waits for Redis."""
_REDIS_RETRY = 5.0
"""Seconds without a question to Redis after it did not answer."""
_REDIS_CONNECTIONS = 32
_LEAST_WAIT = 0.001  # seconds


def seconds_to_wait(
    limit: RateLimitItem,
    previous: int,
    previous_left: float,
    current: int,
    current_left: float,
) -> float:
    """Return the seconds until a request is accepted if there are no others until then.

    Args:
        limit: The limit.
        previous: The requests of the previous window.
        previous_left: The seconds for which a part of that window counts.
        current: The requests of the current window.
        current_left: The seconds for which a part of the current window counts.
    """
    window = limit.get_expiry()
    if current < limit.amount:
        # previous * left / window must become less than what the current window leaves over
        left = (limit.amount - current) * window / previous if previous else window
        wait = previous_left - left
    else:
        # The same, when the current window has become the previous one.
        wait = current_left - limit.amount * window / current
    return max(wait, _LEAST_WAIT)


class BoundedMemory(Storage, SlidingWindowCounterSupport):
    """Counters in this process, of a bounded number of keys.

    The storage of ``limits`` has no bound, and a thread that walks over all keys every 10 ms.

    Args:
        most: The number of keys. The least recently used one is forgotten first.
        clock: A monotonic clock, in seconds.
    """

    STORAGE_SCHEME = None

    def __init__(self, most: int = _MOST_KEYS, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._most = most
        self._clock = clock
        self._counters: OrderedDict[str, tuple[int, int, int]] = OrderedDict()
        """For each key: the number of its last window, and the requests before and in it."""

    def acquire_sliding_window_entry(
        self, key: str, limit: int, expiry: int, amount: int = 1
    ) -> bool:
        """Count requests of a key, unless there would be more than ``limit``."""
        now = self._clock() / expiry
        number = math.floor(now)
        previous, current = self._counted(key, number)
        accepted = math.floor(previous * (1 - now + number)) + current + amount <= limit
        self._counters[key] = (number, previous, current + amount if accepted else current)
        self._counters.move_to_end(key)
        if len(self._counters) > self._most:
            self._counters.popitem(last=False)
        return accepted

    def get_sliding_window(self, key: str, expiry: int) -> tuple[int, float, int, float]:
        """Return the requests of the previous window and of this one, and how long each counts."""
        now = self._clock() / expiry
        number = math.floor(now)
        previous, current = self._counted(key, number)
        left = (1 - now + number) * expiry
        return previous, left, current, left + expiry

    def _counted(self, key: str, number: int) -> tuple[int, int]:
        """Return the requests of the window before window ``number``, and of that one."""
        last, previous, current = self._counters.get(key, (number, 0, 0))
        if last == number:
            return previous, current
        return (current if last == number - 1 else 0), 0

    def clear_sliding_window(self, key: str, expiry: int) -> None:
        """Forget a key."""
        self._counters.pop(key, None)

    def clear(self, key: str) -> None:
        """Forget a key."""
        self._counters.pop(key, None)

    def reset(self) -> int:
        """Forget all keys, and return their number."""
        count = len(self._counters)
        self._counters.clear()
        return count

    def check(self) -> bool:
        """Whether the storage works."""
        return True

    @property
    def base_exceptions(self) -> type[Exception]:
        """The exceptions of this storage."""
        return ValueError

    # Only the strategies that are not used here need these.

    def incr(self, key: str, expiry: int, amount: int = 1) -> int:
        """Not supported."""
        raise NotImplementedError

    def get(self, key: str) -> int:
        """Not supported."""
        raise NotImplementedError

    def get_expiry(self, key: str) -> float:
        """Not supported."""
        raise NotImplementedError


class RedisCounters:
    """Counters in Redis, which several processes share.

    When Redis does not answer in time, it is not asked for a few seconds: requests neither fail nor
    wait because of it. The log has one line at the beginning of that, and one at its end.
    """

    def __init__(self, url: str, pool: BlockingConnectionPool) -> None:
        self._pool = pool
        self._storage = RedisStorage(
            f"async+{url}",
            wrap_exceptions=True,
            implementation="redispy",
            key_prefix="process-gateway",
            connection_pool=pool,  # type: ignore[arg-type]  # documented, but not annotated
        )
        self._strategy = SlidingWindowCounterRateLimiter(self._storage)
        self._lost = False
        self._ask_again_at = 0.0

    @classmethod
    def open(cls, url: str) -> RedisCounters:
        """Return the counters at an address such as ``redis://host:6379/0``. Nothing connects yet.

        Raises:
            SettingsError: The client of Redis is not installed.
        """
        try:
            from redis.asyncio import BlockingConnectionPool
            from redis.asyncio.retry import Retry
            from redis.backoff import NoBackoff
        except ImportError as error:
            raise SettingsError(
                "redis_url: the client of Redis is not installed; it comes with"
                " 'process-gateway[redis]'"
            ) from error
        pool = BlockingConnectionPool.from_url(
            url,
            max_connections=_REDIS_CONNECTIONS,
            timeout=_REDIS_TIMEOUT,
            socket_timeout=_REDIS_TIMEOUT,
            socket_connect_timeout=_REDIS_TIMEOUT,
            retry=Retry(NoBackoff(), 0),
            client_name="process-gateway",
        )
        return cls(url, pool)

    async def hit(self, limit: RateLimitItem, *key: str) -> float | None:
        """Count a request.

        Return 0, the seconds to wait if the request is rejected, or None if Redis is out of reach.
        """
        now = time.monotonic()
        if now < self._ask_again_at:
            return None
        if self._lost:
            self._ask_again_at = now + _REDIS_RETRY  # this request alone asks
        try:
            async with asyncio.timeout(_REDIS_TIMEOUT):
                wait = await self._hit(limit, *key)
        except (StorageError, OSError) as error:  # TimeoutError is one, too
            self._ask_again_at = time.monotonic() + _REDIS_RETRY
            if not self._lost:
                self._lost = True
                reason = str(error) or type(error).__name__
                logger.warning("Redis is out of reach, rates are counted here: %s", reason)
            return None
        if self._lost:
            self._lost = False
            self._ask_again_at = 0.0
            logger.warning("Redis is in reach again")
        return wait

    async def _hit(self, limit: RateLimitItem, *key: str) -> float:
        if await self._strategy.hit(limit, *key):
            return 0.0
        window = await self._storage.get_sliding_window(limit.key_for(*key), limit.get_expiry())
        return seconds_to_wait(limit, *window)

    async def close(self) -> None:
        """Close the connections."""
        await self._pool.aclose()
