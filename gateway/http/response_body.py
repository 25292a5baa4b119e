"""In charge of the bodies of responses: large ones go out part by part, not put together before."""

from __future__ import annotations

from collections.abc import Sequence

from aiohttp.abc import AbstractStreamWriter
from aiohttp.payload import Payload

_LARGE = 64 * 1024
"""Bytes from which on joining the parts costs more than writing each of them."""


def body_of(parts: Sequence[bytes]) -> bytes | Payload | None:
    """What to give a response as its body; None where there are no parts."""
    if not parts:
        return None
    size = sum(map(len, parts))
    return b"".join(parts) if size < _LARGE else _Parts(parts, size)


class _Parts(Payload):
    """A body that is written part by part, without a copy of it. The connection takes the next one
    when the client has taken most of what was written before.
    """

    def __init__(self, parts: Sequence[bytes], size: int) -> None:
        super().__init__(parts)
        self._size = size

    async def write(self, writer: AbstractStreamWriter) -> None:
        """Write all parts."""
        for part in self._value:
            await writer.write(part)

    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        """The body as text."""
        return b"".join(self._value).decode(encoding, errors)
