"""Build response bodies from parts. Large bodies are written without joining their parts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

from aiohttp.abc import AbstractStreamWriter
from aiohttp.payload import Payload

from storage.database.errors import StorageError
from storage.database.stream import JsonStream

_LARGE = 128 * 1024
"""Size in bytes from which joining the parts costs more than writing each of them."""


def body_of(parts: Sequence[bytes | JsonStream]) -> bytes | Payload | None:
    """Return the body of a response; None if there are no parts."""
    if not parts:
        return None
    if any(isinstance(part, JsonStream) for part in parts):
        return _Parts(parts, None)
    whole = cast("Sequence[bytes]", parts)
    size = sum(map(len, whole))
    return b"".join(whole) if size < _LARGE else _Parts(parts, size)


async def collected(parts: Sequence[bytes | JsonStream]) -> tuple[bytes, ...]:
    """Return parts of which none is a stream any more."""
    collected: list[bytes] = []
    for part in parts:
        if isinstance(part, JsonStream):
            try:
                collected += [chunk async for chunk in part]
            finally:
                part.close()
        else:
            collected.append(part)
    return tuple(collected)


class _Parts(Payload):
    """A body that is written part by part, without copying it.

    The connection accepts the next part when the client has read most of the previous ones. A body
    with a stream has no known size and is sent in chunks. If the stream fails, the connection is
    closed before the last chunk, which tells the client that the body is not complete.
    """

    def __init__(self, parts: Sequence[bytes | JsonStream], size: int | None) -> None:
        super().__init__(parts)
        self._size = size

    async def write(self, writer: AbstractStreamWriter) -> None:
        """Write all parts. If the client leaves meanwhile, the statements of the rest are ended."""
        try:
            for part in self._value:
                if isinstance(part, JsonStream):
                    await _write_stream(part, writer)
                else:
                    await writer.write(part)
        finally:
            for part in self._value:
                if isinstance(part, JsonStream):
                    part.close()

    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        """Return the body as text; not for a body with a stream."""
        return b"".join(self._value).decode(encoding, errors)


async def _write_stream(stream: JsonStream, writer: AbstractStreamWriter) -> None:
    try:
        async for chunk in stream:
            await writer.write(chunk)
    except StorageError as error:  # logged where it was translated
        raise ConnectionError("the stream of the body failed") from error
