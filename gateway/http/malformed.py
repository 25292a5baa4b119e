"""Tell what is wrong with bytes that are not a request, without repeating any of them."""

from __future__ import annotations

from aiohttp.http_exceptions import BadHttpMessage, LineTooLong

from resolvers.errors.catalogue import GatewayError, bad_value

# Limits of a head, in bytes. They differ, so that the parser's error tells which one it was.
MAX_LINE = 8192
MAX_FIELD = 8190
MAX_HEAD = 65_536
MAX_FIELDS = 100


def problem_of(error: BaseException) -> tuple[int, GatewayError]:
    """Return the status and the error for bytes that the parser refused, repeating none of them."""
    if isinstance(error, LineTooLong):
        limit = error.args[1]
        if limit == MAX_LINE:
            return 414, bad_value((), f"the request line is longer than {limit:,} bytes")
        if limit == MAX_HEAD:
            return 431, bad_value((), f"the headers are longer than {limit:,} bytes")
        return 431, bad_value((), f"a header is longer than {limit:,} bytes")
    if isinstance(error, BadHttpMessage) and error.message == "Too many headers received":
        return 431, bad_value((), f"there are more than {MAX_FIELDS} headers")
    return 400, bad_value((), "the request is not valid HTTP/1.1")


def path_in(head: bytes) -> str:
    """Return the path of a request whose head is malformed; "" if it cannot be told."""
    words = head.lstrip(b"\r\n").split(b"\n", 1)[0].split(b" ")
    target = words[1].split(b"?", 1)[0].strip() if len(words) > 1 else b""
    return target.decode() if target.isascii() else ""
