"""Run the MQTT lamps of the demo home, and the broker that they listen to: mosquitto.

Both programs of mosquitto have to be installed, the broker and ``mosquitto_sub``.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import tempfile
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any
from urllib.parse import urlsplit

import orjson

HOST = "127.0.0.1"
DEVICE = "lanterns"
"""The device that listens: its topics are ``lanterns/on`` and ``lanterns/off``."""

_START_SECONDS = 5.0
"""The time that the broker gets to listen."""

Act = Callable[[str, str, Mapping[str, Any]], object]
"""Performs an action of a device with arguments."""


def broker_url(devices: str) -> str:
    """Return the address of the broker of the simulated devices; empty if there is none.

    It listens on the port after that of the devices.

    Args:
        devices: The address of the devices; empty if they are not simulated.
    """
    port = urlsplit(devices).port
    return f"mqtt://{HOST}:{port + 1}" if port and _programs() else ""


def _programs() -> tuple[str, str] | None:
    """Return the paths of the broker and of the subscriber, if both are installed."""
    # Debian installs the broker in a folder that the path of most users does not contain.
    path = os.pathsep.join((os.environ.get("PATH", os.defpath), "/usr/sbin", "/usr/local/sbin"))
    broker, subscriber = shutil.which("mosquitto", path=path), shutil.which("mosquitto_sub")
    return None if broker is None or subscriber is None else (broker, subscriber)


@contextlib.asynccontextmanager
async def listening_lamps(port: int, act: Act) -> AsyncIterator[bool]:
    """Run the broker and the lamps for the duration of the block.

    Yields:
        Whether they run: not without mosquitto, or if the port is taken.
    """
    programs = _programs()
    if programs is None:
        yield False
        return
    with tempfile.NamedTemporaryFile("w", suffix=".conf") as settings:
        settings.write(f"listener {port} {HOST}\nallow_anonymous true\n")
        settings.flush()
        async with _running(programs[0], "-c", settings.name) as broker:
            if not await _listens(broker, port):
                yield False
                return
            at = ("-h", HOST, "-p", str(port), "-q", "1")
            topics = ("-t", f"{DEVICE}/+", "-F", "%t %p")
            async with _running(programs[1], *at, *topics, output=asyncio.subprocess.PIPE) as lamps:
                following = asyncio.create_task(_follow(lamps, act))
                try:
                    yield True
                finally:
                    following.cancel()


@contextlib.asynccontextmanager
async def _running(
    *command: str, output: int = asyncio.subprocess.DEVNULL
) -> AsyncIterator[asyncio.subprocess.Process]:
    process = await asyncio.create_subprocess_exec(
        *command,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=output,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        await process.wait()


async def _listens(broker: asyncio.subprocess.Process, port: int) -> bool:
    """Wait until the broker accepts connections. Return False if it ends instead."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_START_SECONDS):
            while broker.returncode is None:
                await asyncio.sleep(0.05)
                with contextlib.suppress(OSError):
                    _, writer = await asyncio.open_connection(HOST, port)
                    writer.transport.abort()
                    await asyncio.sleep(0.05)  # it ends at once if another program has the port
                    return broker.returncode is None
    return False


async def _follow(lamps: asyncio.subprocess.Process, act: Act) -> None:
    """Perform each message: a topic and a JSON object in a line."""
    assert lamps.stdout is not None
    async for line in lamps.stdout:
        topic, _, payload = line.decode(errors="replace").strip().partition(" ")
        with contextlib.suppress(orjson.JSONDecodeError):
            arguments = orjson.loads(payload or "{}")
            if isinstance(arguments, dict):
                act(DEVICE, topic.rpartition("/")[2], arguments)
