"""Run Debian's mosquitto, and read what was published to it."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path

from tests.gateway.programs import free_port, require_program

USER, PASSWORD = "gateway", "the password of the broker"


@dataclass
class Broker:
    """A broker on a port of its own. ``settings`` are further lines of its configuration."""

    folder: Path
    settings: list[str] = field(default_factory=list)
    port: int = field(default_factory=free_port)
    process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        configuration = self.folder / "mosquitto.conf"
        lines = [
            "user root",  # it gives up root, and could not read the folder of the test
            f"listener {self.port} 127.0.0.1",
            *(self.settings or ["allow_anonymous true"]),
        ]
        configuration.write_text("\n".join(lines) + "\n")
        self.process = await asyncio.create_subprocess_exec(
            require_program("mosquitto"),
            "-c",
            str(configuration),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        async with asyncio.timeout(10):
            while True:
                with contextlib.suppress(OSError):
                    _, writer = await asyncio.open_connection("127.0.0.1", self.port)
                    writer.transport.abort()
                    return
                await asyncio.sleep(0.02)

    async def stop(self, how: signal.Signals = signal.SIGKILL) -> None:
        # A test may start it again before this has returned.
        process, self.process = self.process, None
        if process is not None:
            process.send_signal(how)
            await process.wait()

    @property
    def url(self) -> str:
        return f"mqtt://127.0.0.1:{self.port}"

    async def published(self, topic: str, count: int = 1) -> list[str]:
        """Return the next messages of a topic, or those that it has kept: topic and payload."""
        async with self.subscribed(topic, count) as messages:
            return await messages()

    @contextlib.asynccontextmanager
    async def subscribed(
        self, topic: str, count: int
    ) -> AsyncIterator[Callable[[], Awaitable[list[str]]]]:
        """Subscribe to a topic, and yield a function that waits for messages."""
        subscriber = await asyncio.create_subprocess_exec(
            *(require_program("stdbuf"), "-oL", require_program("mosquitto_sub")),
            *("-h", "127.0.0.1", "-p", str(self.port), "-V", "mqttv5", "-q", "2"),
            *("-t", topic, "-C", str(count), "-W", "10", "-F", "%t|%q|%r|%p", "-d"),
            stdout=subprocess.PIPE,
        )
        assert subscriber.stdout is not None
        lines: list[str] = []
        try:
            async for line in subscriber.stdout:
                lines.append(line.decode().rstrip("\n"))
                if "SUBACK" in lines[-1] or lines[-1].startswith("Subscribed"):
                    break

            async def messages() -> list[str]:
                assert subscriber.stdout is not None
                rest = (await subscriber.stdout.read()).decode().splitlines()
                await subscriber.wait()
                return [line for line in [*lines, *rest] if line.count("|") >= 3]

            yield messages
        finally:
            if subscriber.returncode is None:
                subscriber.kill()
            await subscriber.wait()


@contextlib.asynccontextmanager
async def running_broker(folder: Path, *settings: str) -> AsyncIterator[Broker]:
    broker = Broker(folder, list(settings))
    await broker.start()
    try:
        yield broker
    finally:
        await broker.stop()


def password_file(folder: Path) -> Path:
    path = folder / "passwords"
    program = require_program("mosquitto_passwd")
    subprocess.run([program, "-b", "-c", str(path), USER, PASSWORD], check=True)
    return path


class Relay:
    """Stands between a client and a broker.

    ``on_publish`` is called when the client has sent a message, before the broker gets it. If it
    returns false, the message is not passed on. ``mute`` keeps answers of the broker back after
    that.
    """

    def __init__(self, port: int) -> None:
        self._port = port
        self.url = ""
        self.on_publish: Callable[[], Awaitable[bool]] | None = None
        self.mute = False

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            answers, server = await asyncio.open_connection("127.0.0.1", self._port)
        except OSError:
            writer.transport.abort()
            return
        silent = asyncio.Event()

        async def up() -> None:
            while data := await reader.read(65536):
                if data[0] >> 4 == 3 and self.on_publish is not None:
                    if self.mute:
                        silent.set()
                    if not await self.on_publish():
                        continue
                server.write(data)
            server.close()

        async def down() -> None:
            while data := await answers.read(65536):
                if not silent.is_set():
                    writer.write(data)
            writer.close()

        with contextlib.suppress(OSError):
            await asyncio.gather(up(), down())
        server.transport.abort()
        writer.transport.abort()


@contextlib.asynccontextmanager
async def relay_to(port: int) -> AsyncIterator[Relay]:
    relay = Relay(port)
    server = await asyncio.start_server(relay._serve, "127.0.0.1", 0)
    relay.url = f"mqtt://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield relay
    finally:
        server.close()
