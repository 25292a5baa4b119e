"""Read request bodies up to a maximum size, within a time that grows with what has arrived.

A body can be compressed with gzip or deflate. It is decompressed once it has arrived, and not
further than its maximum size.
"""

from __future__ import annotations

import asyncio
import contextlib
import zlib
from collections.abc import Sequence

from aiohttp import hdrs, web
from aiohttp.http_exceptions import HttpProcessingError

from gateway.http.body_intake import LARGE, BodyIntake
from resolvers.errors.catalogue import GatewayError, bad_value
from resolvers.values.json_limits import RawJson
from resolvers.values.text import shorten

_BODY_TIMEOUT = 10.0
"""Seconds in which a body arrives, and one more for each ``_BYTES_PER_SECOND`` of it."""
_BYTES_PER_SECOND = 64 * 1024

_GZIP = 16 + zlib.MAX_WBITS
_RAW = -zlib.MAX_WBITS
_FORMATS = {"gzip": (_GZIP,), "x-gzip": (_GZIP,), "deflate": (zlib.MAX_WBITS, _RAW)}
"""The formats of zlib that each content coding may be. Some clients send deflate without the header
that it should have (RFC 9110 §8.4.1.2)."""


async def read_body(request: web.BaseRequest, max_bytes: int, intake: BodyIntake) -> RawJson:
    """Return the body of a request.

    To copy 16 MiB to ``bytes`` would hold the event loop for 4 to 13 ms.

    Args:
        request: The request.
        max_bytes: The maximum size, in bytes.
        intake: Bounds what the worker takes in of large bodies.

    Raises:
        GatewayError: ``BAD_USER_INPUT``: the body is larger, ends early, does not arrive in time,
            or is not encoded as the headers say. ``RATE_LIMITED``: there are too many large bodies.
    """
    coding = request.headers.get(hdrs.CONTENT_ENCODING, "").strip().lower()
    if coding in ("", "identity"):
        return await _received(request, max_bytes, intake)
    if coding not in _FORMATS:
        expected = "expected a Content-Encoding of gzip or deflate"
        raise bad_value((), f"{expected}, got {shorten(coding)}")
    body = await _received(request, max_bytes, intake)
    decoded = await asyncio.to_thread(_decoded, body, _FORMATS[coding], max_bytes)
    if len(decoded) > LARGE:
        await intake.take(request, len(decoded))
    return decoded


def _decoded(body: RawJson, formats: Sequence[int], max_bytes: int) -> bytes:
    """Return a decompressed body. It is not decompressed further than its maximum size."""
    for window in formats:
        decoder = zlib.decompressobj(window)
        with contextlib.suppress(zlib.error):
            decoded = decoder.decompress(body, max_bytes + 1)
            if len(decoded) > max_bytes:
                raise _too_long(max_bytes)
            # Several members of gzip in a row are not accepted: each would copy what is left.
            if decoder.eof and not decoder.unused_data:
                return decoded
    raise bad_value((), "the body is not encoded as its headers say")


async def _received(request: web.BaseRequest, max_bytes: int, intake: BodyIntake) -> RawJson:
    """Return a body as it was sent."""
    try:
        if request.content.is_eof():
            # A short body arrives together with the headers: there is nothing to wait for.
            data = request.content.read_nowait()
            if len(data) > max_bytes:
                raise _too_long(max_bytes, len(data))
            return data
        if request.content_length is not None and request.content_length > max_bytes:
            raise _too_long(max_bytes, request.content_length)
        if request.headers.get(hdrs.EXPECT, "").lower() == "100-continue":
            await _send_continue(request)
        body = bytearray()
        deadline = asyncio.get_running_loop().time() + _BODY_TIMEOUT
        async with asyncio.timeout_at(deadline) as timeout:
            async for chunk in request.content.iter_any():
                body += chunk
                if len(body) > max_bytes:
                    raise _too_long(max_bytes)
                timeout.reschedule(deadline + len(body) / _BYTES_PER_SECOND)
                if len(body) > LARGE:
                    await intake.take(request, len(chunk))
    except TimeoutError as error:
        raise bad_value(
            (),
            f"the body did not arrive in time, which is {_BODY_TIMEOUT:g} s and"
            f" {_BYTES_PER_SECOND // 1024} KiB/s",
        ) from error
    except (web.RequestPayloadError, HttpProcessingError) as error:
        raise bad_value((), "the body is not encoded as its headers say") from error
    except ConnectionError as error:
        raise bad_value(
            (), "the body ended early"
        ) from error  # the client is gone and gets no response
    return body


async def _send_continue(request: web.BaseRequest) -> None:
    """Tell a client that waits for ``100 Continue`` to send its body (RFC 9110 §10.1.1)."""
    await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
    request.writer.output_size = 0  # the size of the response, which follows


def _too_long(max_bytes: int, size: int | None = None) -> GatewayError:
    """Return the error for a body that is too long, with its size if that is known."""
    sent = "" if size is None else f": it has {size:,}"
    return bad_value((), f"the body is longer than {max_bytes:,} bytes{sent}")
