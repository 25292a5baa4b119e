"""Put a network between the gateway and PostgreSQL that tests can cut, delay and silence."""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.gateway.programs import free_port, require_program, until

_HAPROXY = """
global
    stats socket {folder}/admin mode 600 level admin
defaults
    mode tcp
    timeout connect 2s
    timeout client 1h
    timeout server 1h
listen postgres
    bind 127.0.0.1:{port}
    server only 127.0.0.1:{target}
"""


class HAProxy:
    """Debian's HAProxy with one server behind it, and its admin socket."""

    def __init__(self, folder: Path, target: int) -> None:
        self.port = free_port()
        self._folder = folder
        config = folder / "haproxy.cfg"
        config.write_text(_HAPROXY.format(folder=folder, port=self.port, target=target))
        self._process = subprocess.Popen(
            [require_program("haproxy"), "-db", "-f", config],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        until((folder / "admin").exists, "HAProxy")

    async def command(self, text: str) -> None:
        """Send a command to the admin socket."""
        reader, writer = await asyncio.open_unix_connection(str(self._folder / "admin"))
        writer.write(f"{text}\n".encode())
        answer = (await reader.read()).strip()
        writer.close()
        assert not answer, answer

    async def cut(self) -> None:
        """Close all connections."""
        await self.command("shutdown sessions server postgres/only")

    def stop(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.wait(30)


@contextmanager
def haproxy(folder: Path, target: int) -> Iterator[HAProxy]:
    """Run HAProxy in front of a port until the test ends."""
    started = HAProxy(folder, target)
    try:
        yield started
    finally:
        started.stop()


class Link:
    """A TCP proxy in this process."""

    def __init__(self, target: int) -> None:
        self.target = target
        """The port that new connections lead to."""
        self.delay = 0.0
        """Seconds by which each piece of data is delayed."""
        self.port = 0
        self._open = asyncio.Event()
        self._open.set()
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    @contextmanager
    def silent(self) -> Iterator[None]:
        """Deliver nothing during the block, without a sign of it to either side."""
        self._open.clear()
        try:
            yield
        finally:
            self._open.set()

    def cut(self) -> None:
        """Close all connections."""
        for writer in self._writers:
            writer.transport.abort()

    async def connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection."""
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        await self._open.wait()
        try:
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self.target)
        except OSError:
            writer.close()
            return
        self._writers |= {writer, far_writer}
        try:
            await asyncio.gather(self._pump(reader, far_writer), self._pump(far_reader, writer))
        finally:
            self._writers -= {writer, far_writer}

    async def close(self) -> None:
        """Close all connections, and wait for their end."""
        self.cut()
        await asyncio.gather(*self._tasks)

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(65536):
                await asyncio.sleep(self.delay)
                await self._open.wait()
                writer.write(data)
                await writer.drain()
        writer.close()


@contextlib.asynccontextmanager
async def link(target: int) -> AsyncIterator[Link]:
    """Run a ``Link`` to a port until the test ends."""
    opened = Link(target)
    server = await asyncio.start_server(opened.connect, "127.0.0.1", 0)
    opened.port = server.sockets[0].getsockname()[1]
    try:
        yield opened
    finally:
        server.close()
        await opened.close()
