"""In charge of how much one client may ask: requests per second, and bytes of a body."""

from __future__ import annotations

import asyncio

from aiohttp import hdrs, web
from aiohttp.http_exceptions import HttpProcessingError

from resolvers.errors.catalogue import GatewayError, bad_value

_BODY_TIMEOUT = 30.0
"""Seconds without a byte after which a body that was announced is given up."""


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
