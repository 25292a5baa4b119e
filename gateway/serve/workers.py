"""In charge of further processes that serve the same port, which the kernel shares out among them.

A worker is this module run as a program. It is told what to serve on its standard input, says on
its standard output that it does, and ends when its input does: no worker outlives the process that
started it, however that ended.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import signal
import sys
from collections.abc import AsyncIterator
from typing import Any

import uvloop
from pydantic import SecretStr

from gateway.postgres.open import open_database
from gateway.serve.listener import serving
from gateway.settings.model import Settings, SettingsError

logger = logging.getLogger(__name__)

_READY_TIMEOUT = 30.0
"""Seconds that the workers may take from their start until they serve."""
_PAUSE = 1.0
"""Seconds until a worker that ended is replaced."""


@contextlib.asynccontextmanager
async def further_workers(
    settings: Settings, database_url: str, port: int, count: int
) -> AsyncIterator[None]:
    """``count`` workers beside this process, all of them serving; each is replaced if it ends.

    Args:
        database_url: the database that this process uses.
        port: the port that this process listens on, shared.

    Raises:
        SettingsError: they do not come to serve.
    """
    told = _told(settings, database_url, port)
    events = [asyncio.Event() for _ in range(count)]
    keepers = [asyncio.create_task(_keep_one(settings, told, event)) for event in events]
    try:
        try:
            async with asyncio.timeout(_READY_TIMEOUT):
                for event in events:
                    await event.wait()
        except TimeoutError as error:
            wait = f"{_READY_TIMEOUT:.0f} s"
            raise SettingsError(f"workers: not all of them serve after {wait}") from error
        yield
    finally:
        for keeper in keepers:
            keeper.cancel()
        await asyncio.gather(*keepers, return_exceptions=True)


async def _keep_one(settings: Settings, told: bytes, ready: asyncio.Event) -> None:
    """Have a worker run until this is cancelled, another one whenever one has ended."""
    while True:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            __name__,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            # Ctrl-C in a terminal is for the first process, which then ends the others in order.
            start_new_session=True,
        )
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            process.stdin.write(told)
            if await process.stdout.readline():
                ready.set()
            status = await process.wait()
            logger.error("a worker ended with status %s; starting another", status)
            await asyncio.sleep(_PAUSE)
        finally:
            if process.returncode is None:
                process.terminate()
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(process.wait(), settings.shutdown_grace + 5)
                if process.returncode is None:
                    process.kill()


def _told(settings: Settings, database_url: str, port: int) -> bytes:
    """What a worker has to know, in a line: all settings, those that are secret too."""
    values: dict[str, Any] = {
        name: value.get_secret_value() if isinstance(value, SecretStr) else value
        for name, value in settings
    }
    values |= {"database_url": database_url, "port": port, "demo": False}
    return json.dumps(values, default=str).encode() + b"\n"


async def _work() -> None:
    """Serve what the first process told until its end of the pipe closes, or until SIGTERM."""
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    assert task is not None
    reader = asyncio.StreamReader(limit=2**20)
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    settings = Settings.model_validate_json(await reader.readline())
    logging.basicConfig(
        level=settings.log_level.upper(),
        format="%(asctime)s %(levelname)s %(name)s: %(message)s",
        stream=sys.stderr,
    )
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, task.cancel)
    async with (
        open_database(settings) as database,
        serving(settings, database, shared=True),
    ):
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        await reader.read()


def main() -> int:
    """Run a worker; returns the exit status."""
    with contextlib.suppress(asyncio.CancelledError):
        uvloop.run(_work())
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
