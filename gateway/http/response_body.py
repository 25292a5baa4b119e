"""Build response bodies from parts. Large bodies are written without joining their parts."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Protocol

from aiohttp.abc import AbstractStreamWriter
from aiohttp.payload import Payload

from storage.database.errors import StorageError
from storage.database.stream import JsonStream

LARGE = 16 * 1024
"""Size in bytes from which joining the parts costs more than passing each of them on."""


class Encoder(Protocol):
    """Changes the bytes of a body on their way out."""

    async def feed(self, data: bytes) -> bytes:
        """Return what can be sent after these bytes, which can be nothing."""
        ...

    async def finish(self) -> bytes:
        """Return the rest."""
        ...


def body_of(parts: Sequence[bytes | JsonStream]) -> bytes | Parts | None:
    """Return the body of a response; None if there are no parts."""
    if not parts:
        return None
    whole: list[bytes] = []
    size = 0
    for part in parts:
        if isinstance(part, JsonStream):
            return Parts(parts, None)
        whole.append(part)
        size += len(part)
    return b"".join(whole) if size < LARGE else Parts(parts, size)


async def collected(parts: Sequence[bytes | JsonStream]) -> tuple[bytes, ...]:
    """Return parts of which none is a stream any more."""
    try:
        return tuple([chunk async for chunk in _chunks(parts)])
    finally:
        _end(parts)


async def _chunks(parts: Sequence[bytes | JsonStream]) -> AsyncIterator[bytes]:
    for part in parts:
        if isinstance(part, JsonStream):
            async for chunk in part:
                yield chunk
        else:
            yield part


def _end(parts: Sequence[bytes | JsonStream]) -> None:
    for part in parts:
        if isinstance(part, JsonStream):
            part.close()


class Parts(Payload):
    """A body that is written part by part, without copying it.

    The connection accepts the next part when the client has read most of the previous ones. A body
    with a stream has no known size and is sent in chunks. If the stream fails, the connection is
    closed before the last chunk, which tells the client that the body is not complete.
    """

    def __init__(self, parts: Sequence[bytes | JsonStream], size: int | None) -> None:
        super().__init__(parts)
        self._size = size
        self._encoder: Encoder | None = None

    def encode(self, encoder: Encoder) -> None:
        """Write the body through an encoder."""
        self._encoder = encoder
        self._size = None

    @property
    def whole(self) -> Sequence[bytes] | None:
        """The parts, if they are all there, and sent as they are."""
        return None if self._size is None else self._value

    async def write(self, writer: AbstractStreamWriter) -> None:
        """Write all parts. If the client leaves meanwhile, the statements of the rest are ended."""
        encoder = self._encoder
        try:
            async for chunk in _chunks(self._value):
                if encoder is None:
                    await writer.write(chunk)
                elif encoded := await encoder.feed(chunk):
                    await writer.write(encoded)
            if encoder is not None:
                await writer.write(await encoder.finish())
        except StorageError as error:  # logged where it was translated
            raise ConnectionError("the stream of the body failed") from error
        finally:
            self.end()

    def end(self) -> None:
        """End the statements of the streams: nobody reads the rest."""
        _end(self._value)

    def join(self) -> bytes:
        """Return the whole body; not for a body with a stream."""
        return b"".join(self._value)

    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        """Return the body as text; not for a body with a stream."""
        return self.join().decode(encoding, errors)
