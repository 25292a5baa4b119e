"""Build response bodies from parts. Large bodies are written without joining their parts."""

from __future__ import annotations

from collections.abc import Sequence

from aiohttp.abc import AbstractStreamWriter
from aiohttp.payload import Payload

_LARGE = 64 * 1024
"""Size in bytes from which joining the parts costs more than writing each of them."""


def body_of(parts: Sequence[bytes]) -> bytes | Payload | None:
    """Return the body of a response; None if there are no parts."""
    if not parts:
        return None
    size = sum(map(len, parts))
    return b"".join(parts) if size < _LARGE else _Parts(parts, size)


class _Parts(Payload):
    """A body that is written part by part, without copying it.

    The connection accepts the next part when the client has read most of the previous ones.
    """

    def __init__(self, parts: Sequence[bytes], size: int) -> None:
        super().__init__(parts)
        self._size = size

    async def write(self, writer: AbstractStreamWriter) -> None:
        """Write all parts."""
        for part in self._value:
            await writer.write(part)

    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        """Return the body as text."""
        return b"".join(self._value).decode(encoding, errors)
