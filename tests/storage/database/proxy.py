"""A proxy in front of PostgreSQL that cuts its connections, or swallows what they carry."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from urllib.parse import parse_qs, urlsplit


@dataclass(eq=False)
class Link:
    """A connection of a client through the proxy."""

    client: asyncio.StreamWriter
    server: asyncio.StreamWriter
    sent: bytearray = field(default_factory=bytearray)
    """What the client has sent."""

    def cut(self) -> None:
        """Close both connections at once."""
        self.client.transport.abort()
        self.server.transport.abort()


Filter = Callable[[Link, bytes], bytes]


def pass_on(link: Link, data: bytes) -> bytes:
    """Pass on everything."""
    return data


def swallow(link: Link, data: bytes) -> bytes:
    """Pass on nothing: a network that is dead without a sign."""
    return b""


class Proxy:
    """Passes bytes on between clients on TCP and a server on a Unix socket."""

    def __init__(self, server: str) -> None:
        self._server = server
        self.links: set[Link] = set()
        self.requests: Filter = pass_on
        """Called with what a client sent. Returns what is passed on."""
        self.answers: Filter = pass_on
        """Called with what the server sent. Returns what is passed on."""

    def cut(self) -> None:
        """Close all connections at once."""
        for link in tuple(self.links):
            link.cut()

    async def serve(
        self, client_reader: asyncio.StreamReader, client: asyncio.StreamWriter
    ) -> None:
        """Pass on the bytes of one client until one side closes its connection."""
        server_reader, server = await asyncio.open_unix_connection(self._server)
        link = Link(client, server)
        self.links.add(link)

        async def requests() -> None:
            while data := await client_reader.read(65536):
                link.sent += data
                server.write(self.requests(link, data))
                await server.drain()

        async def answers() -> None:
            while data := await server_reader.read(65536):
                client.write(self.answers(link, data))
                await client.drain()

        directions = (asyncio.create_task(requests()), asyncio.create_task(answers()))
        try:
            await asyncio.wait(directions, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for direction in directions:
                direction.cancel()
            await asyncio.gather(*directions, return_exceptions=True)
            self.links.discard(link)
            link.cut()


@asynccontextmanager
async def proxied(url: str) -> AsyncIterator[tuple[Proxy, str]]:
    """Start a proxy in front of the server of ``url``. Yield it, and the URL that leads to it."""
    parts = urlsplit(url)
    parameters = parse_qs(parts.query)
    proxy = Proxy(f"{parameters['host'][0]}/.s.PGSQL.{parameters['port'][0]}")
    listener = await asyncio.start_server(proxy.serve, "127.0.0.1", 0)
    port = listener.sockets[0].getsockname()[1]
    try:
        yield proxy, f"postgresql://postgres@127.0.0.1:{port}{parts.path}"
    finally:
        listener.close()
        proxy.cut()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(2):
                while proxy.links:  # noqa: ASYNC110 - only this loop waits for it
                    await asyncio.sleep(0.01)
