"""Read the answers of HTTP servers, and classify those that are failures."""

from __future__ import annotations

import time
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Any

import aiohttp
import orjson

from resolvers.execution.sources.protocol import ActionFailedError, Repeat

MAX_BODY = 1024 * 1024
"""Bytes of an answer at the most, after decompression."""

_REFUSED_FOR_NOW = frozenset((429, 503))
"""The request was not carried out, and may be at another time."""
_MAY_PASS = frozenset((408, 500, 502, 504))
"""Another attempt may succeed; the first one may have been carried out."""
_NOT_CARRIED_OUT = frozenset((501, 505))
_CHARSETS = {"utf-8": "utf-8", "utf8": "utf-8", "us-ascii": "utf-8", "iso-8859-1": "iso-8859-1"}


def refusal(response: aiohttp.ClientResponse) -> ActionFailedError | None:
    """Return the failure that a status means, or None if it is a success (2xx)."""
    status = response.status
    if 200 <= status < 300:
        return None
    if 300 <= status < 400:
        return ActionFailedError(
            f"the source answered with the status {_named(status)}, and redirects are not followed"
        )
    message = f"the source answered with the status {_named(status)}"
    if status in _REFUSED_FOR_NOW:
        after = _seconds(response.headers.get("Retry-After", ""))
        return ActionFailedError(message, repeat=Repeat.ALWAYS, retry_after=after)
    if status in _MAY_PASS:
        return ActionFailedError(message, repeat=Repeat.IF_IDEMPOTENT, in_doubt=True)
    return ActionFailedError(message, in_doubt=status >= 500 and status not in _NOT_CARRIED_OUT)


def _named(status: int) -> str:
    """Return a status with its standard name; the server's own words are not repeated."""
    try:
        return f"{status} ({HTTPStatus(status).phrase})"
    except ValueError:
        return str(status)


def _seconds(retry_after: str) -> float | None:
    """Read the header ``Retry-After``: seconds, or a date."""
    text = retry_after.strip()
    if text.isascii() and text.isdecimal() and len(text) < 10:
        return float(text)
    try:
        date = parsedate_to_datetime(text)
        return max(0.0, date.timestamp() - time.time())
    except (ValueError, OverflowError, OSError):
        return None


async def read_answer(response: aiohttp.ClientResponse) -> Any:
    """Return the body of a successful answer: a JSON value, a text, or None if it is empty.

    Raises:
        ActionFailedError: It is too long, or neither JSON nor text. The request was answered, so it
            may have had its effect.
    """
    body = await _read_body(response)
    if not body:
        return None
    media_type = response.content_type
    if media_type == "application/json" or media_type.endswith("+json"):
        try:
            return orjson.loads(body.removeprefix(b"\xef\xbb\xbf"))
        except orjson.JSONDecodeError:
            raise _unreadable(response, "says that it is JSON and is not") from None
    charset = _CHARSETS.get((response.charset or "utf-8").lower())
    try:
        if charset is not None:
            return body.decode(charset)
    except UnicodeDecodeError:
        pass
    raise _unreadable(response, "is neither JSON nor text in UTF-8")


async def _read_body(response: aiohttp.ClientResponse) -> bytes:
    """Read the body in pieces, so that an endless one, or one that unpacks to much, ends here."""
    pieces: list[bytes] = []
    length = 0
    async for piece in response.content.iter_any():
        length += len(piece)
        if length > MAX_BODY:
            response.close()
            raise _unreadable(response, f"is longer than {MAX_BODY:,} bytes")
        pieces.append(piece)
    return b"".join(pieces)


def _unreadable(response: aiohttp.ClientResponse, problem: str) -> ActionFailedError:
    return ActionFailedError(
        f"the source answered with the status {_named(response.status)}, but the answer {problem}",
        in_doubt=True,
    )
