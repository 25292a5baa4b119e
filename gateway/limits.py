"""In charge of how much one client may ask: requests per second, and bytes of a body."""

from __future__ import annotations

import asyncio
import math
import time
from collections import OrderedDict
from collections.abc import Callable

from aiohttp import hdrs, web
from aiohttp.http_exceptions import HttpProcessingError

from resolvers.errors import ErrorKind, GatewayError, bad_value

_BODY_TIMEOUT = 30.0
"""Seconds without a byte after which a body that was announced is given up."""
_REMEMBERED = 10_000
"""Addresses that are kept track of; the one that asked longest ago is forgotten first."""


class RateLimiter:
    """A token bucket for each client address.

    Args:
        rate: requests per second; 0 for no limit.
        burst: requests at once.
        clock: seconds, never going back.
    """

    def __init__(
        self, rate: float, burst: int, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._rate = rate
        self._burst = float(burst)
        self._clock = clock
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def spend(self, address: str) -> None:
        """Count a request; raises ``RATE_LIMITED``, with the seconds to wait."""
        if not self._rate:
            return
        now = self._clock()
        left, since = self._buckets.pop(address, (self._burst, now))
        left = min(self._burst, left + (now - since) * self._rate)
        allowed = left >= 1
        self._buckets[address] = (left - 1 if allowed else left, now)
        if len(self._buckets) > _REMEMBERED:
            self._buckets.popitem(last=False)
        if not allowed:
            wait = math.ceil((1 - left) / self._rate)
            raise GatewayError(
                ErrorKind.RATE_LIMITED,
                f"too many requests; try again in {wait} s",
                retry_after=wait,
            )


async def read_body(request: web.BaseRequest, largest: int) -> bytes:
    """The request's body.

    Raises:
        GatewayError: ``BAD_USER_INPUT``; it has more than ``largest`` bytes, or is not what the
            request's head says.
    """
    try:
        if request.content.is_eof():
            # A short body comes along with the head: there is nothing to wait for.
            whole = request.content.read_nowait()
            if len(whole) > largest:
                raise _too_long(largest)
            return whole
        if request.content_length is not None and request.content_length > largest:
            raise _too_long(largest)
        if request.headers.get(hdrs.EXPECT, "").lower() == "100-continue":
            await _invite(request)
        body = bytearray()
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(_BODY_TIMEOUT) as timeout:
            async for chunk in request.content.iter_any():
                timeout.reschedule(loop.time() + _BODY_TIMEOUT)
                body += chunk
                if len(body) > largest:
                    raise _too_long(largest)
    except TimeoutError as error:
        raise bad_value((), f"nothing of the body came for {_BODY_TIMEOUT:g} s") from error
    except (web.RequestPayloadError, HttpProcessingError) as error:
        raise bad_value((), "the body is not encoded as the request's head says") from error
    except ConnectionError as error:
        raise bad_value((), "the body ended early") from error  # told to nobody: they are gone
    return bytes(body)


async def _invite(request: web.BaseRequest) -> None:
    """Tell a client to send the body that it holds back until it is told to (RFC 9110 §10.1.1)."""
    await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
    request.writer.output_size = 0  # of the response, which is yet to come


def _too_long(largest: int) -> GatewayError:
    return bad_value((), f"the body is longer than {largest:,} bytes")
