"""Run further processes that serve the same port. The kernel spreads the connections over them.

A worker is this module run as a program. It reads its settings from standard input, prints a line
once it serves, and ends when its standard input is closed: no worker outlives the process that
started it, however that process ended.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import uvloop
from pydantic import SecretStr

from gateway.postgres.open import open_database
from gateway.serve.listener import serving
from gateway.settings.model import Settings, SettingsError

logger = logging.getLogger(__name__)

_READY_TIMEOUT = 30.0
"""Seconds that the workers may take to start."""
_RESTART_DELAY = 1.0
"""Seconds before a worker that ended is replaced."""
_EXIT_TIME = 0.75
"""Seconds that a worker may take to exit after the grace period."""


@contextlib.asynccontextmanager
async def further_workers(
    settings: Settings, database_url: str, port: int, count: int
) -> AsyncIterator[Callable[[], Awaitable[None]]]:
    """Run ``count`` workers beside this process, all of them serving. Each is replaced if it ends.

    Yield a function that stops them. At the end they are stopped in any case.

    Args:
        settings: The settings of this process.
        database_url: The database that this process uses.
        port: The port that this process listens on, shared.
        count: The number of workers.

    Raises:
        SettingsError: The workers do not start in time.
    """
    worker_settings = _worker_settings(settings, database_url, port)
    events = [asyncio.Event() for _ in range(count)]
    keepers = [
        asyncio.create_task(_keep_worker(worker_settings, event, settings.shutdown_grace))
        for event in events
    ]

    async def stop() -> None:
        for keeper in keepers:
            keeper.cancel()
        await asyncio.gather(*keepers, return_exceptions=True)

    try:
        try:
            async with asyncio.timeout(_READY_TIMEOUT):
                for event in events:
                    await event.wait()
        except TimeoutError as error:
            raise SettingsError(
                f"workers: not all of them serve after {_READY_TIMEOUT:g} s"
            ) from error
        yield stop
    finally:
        await stop()


async def _keep_worker(worker_settings: bytes, ready: asyncio.Event, shutdown_grace: float) -> None:
    """Keep one worker running until this task is canceled."""
    while True:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            __name__,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            # Ctrl-C in a terminal must reach only the first process, which then stops the others.
            start_new_session=True,
        )
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            process.stdin.write(worker_settings)
            if await process.stdout.readline():
                ready.set()
            status = await process.wait()
            logger.error("a worker ended with status %s; starting another", status)
            await asyncio.sleep(_RESTART_DELAY)
        finally:
            if process.returncode is None:
                process.terminate()
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(process.wait(), shutdown_grace + _EXIT_TIME)
                if process.returncode is None:
                    process.kill()


def _worker_settings(settings: Settings, database_url: str, port: int) -> bytes:
    """Return one line of JSON with the settings of a worker, secrets included.

    ``connect_to`` is the address of the database. The setting ``database_url`` stays as it is: it
    determines whether the gateway uses its own PostgreSQL.
    """
    values: dict[str, Any] = {
        name: value.get_secret_value() if isinstance(value, SecretStr) else value
        for name, value in settings
    }
    values |= {"port": port, "demo": False}
    line = {"settings": values, "connect_to": database_url}
    return json.dumps(line, default=str).encode() + b"\n"


async def _work() -> None:
    """Serve until the first process closes the pipe, or until SIGTERM."""
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    assert task is not None
    reader = asyncio.StreamReader(limit=2**20)
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    line = json.loads(await reader.readline())
    settings = Settings.model_validate(line["settings"])
    logging.basicConfig(
        level=settings.log_level.upper(),
        format="%(asctime)s %(levelname)s %(name)s: %(message)s",
        stream=sys.stderr,
    )
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, task.cancel)
    connected = settings.model_copy(update={"database_url": SecretStr(line["connect_to"])})
    async with (
        open_database(connected) as database,
        serving(settings, database, shared=True),
    ):
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        await reader.read()


def main() -> int:
    """Run a worker and return its exit status."""
    with contextlib.suppress(asyncio.CancelledError):
        uvloop.run(_work())
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
