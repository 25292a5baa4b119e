"""Run further processes that serve the same port. The kernel spreads the connections over them.

A worker is this module run as a program. It reads its settings from standard input, prints the line
``ready`` once it serves, and ends when its standard input is closed: no worker outlives the process
that started it, however that process ended.

It also prints ``lease ID`` whenever it gets a new lease for executions. If it ends without having
stopped, the first process ends that lease, so that its executions go on at once.
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
from uuid import UUID

from pydantic import SecretStr

from gateway.loop import exit_status, run_to_end
from gateway.postgres.open import open_database
from gateway.serve.listener import serving
from gateway.settings.model import Settings, SettingsError
from storage.database.database import Database
from storage.database.errors import StorageError
from storage.execution.leases import end_lease

logger = logging.getLogger(__name__)

_READY_TIMEOUT = 30.0
"""Seconds that the workers may take to start."""
_RESTART_DELAY = 1.0
"""Seconds before a worker that ended is replaced."""
_EXIT_TIME = 0.75
"""Seconds that a worker may take to exit after the grace period."""
_LAST_TIME = 0.15
"""Seconds that the lease of a worker may take to end after that."""
_LEASE_TIMEOUT = 2.0
"""Seconds for which the first process tries to end a lease. It also ends by itself."""


@contextlib.asynccontextmanager
async def further_workers(
    settings: Settings,
    database: Database,
    port: int,
    count: int,
    on_orphans: Callable[[], None],
) -> AsyncIterator[Callable[[], Awaitable[None]]]:
    """Run ``count`` workers beside this process, all of them serving. Each is replaced if it ends.

    Yield a function that stops them. At the end they are stopped in any case.

    Args:
        settings: The settings of this process.
        database: The database that this process uses.
        port: The port that this process listens on, shared.
        count: The number of workers.
        on_orphans: Called when nobody runs the executions of a worker any more.

    Raises:
        SettingsError: The workers do not start in time.
    """
    worker_settings = _worker_settings(settings, database.url, port)

    async def end(lease: UUID) -> None:
        with contextlib.suppress(StorageError, TimeoutError):
            async with asyncio.timeout(_LEASE_TIMEOUT):
                await end_lease(database, lease)
        on_orphans()

    events = [asyncio.Event() for _ in range(count)]
    keepers = [
        asyncio.create_task(_keep_worker(worker_settings, event, settings.shutdown_grace, end))
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


async def _keep_worker(
    worker_settings: bytes,
    ready: asyncio.Event,
    shutdown_grace: float,
    end: Callable[[UUID], Awaitable[None]],
) -> None:
    """Keep one worker running until this task is canceled.

    Args:
        worker_settings: What it reads.
        ready: Set once it serves.
        shutdown_grace: Seconds in which it stops.
        end: Ends its lease if it has not stopped in order.
    """
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
        lease: UUID | None = None
        try:
            process.stdin.write(worker_settings)
            async for line in process.stdout:
                match line.split():
                    case [b"ready"]:
                        ready.set()
                    case [b"lease", worker]:
                        lease = UUID(worker.decode())
            status = await process.wait()
            if lease is not None:
                await end(lease)
            logger.error("a worker ended with status %s; starting another", status)
            await asyncio.sleep(_RESTART_DELAY)
        finally:
            if process.returncode is None:
                process.terminate()
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(process.wait(), shutdown_grace + _EXIT_TIME)
                if process.returncode is None:
                    process.kill()
                    if lease is not None:
                        with contextlib.suppress(TimeoutError):
                            await asyncio.wait_for(end(lease), _LAST_TIME)


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
        serving(settings, database, shared=True, on_lease=lambda worker: _tell(f"lease {worker}")),
    ):
        _tell("ready")
        await reader.read()


def _tell(line: str) -> None:
    """Print a line that the first process reads."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def main() -> int:
    """Run a worker and return its exit status."""
    with contextlib.suppress(asyncio.CancelledError):
        run_to_end(_work())
    return exit_status(0)


if __name__ == "__main__":
    raise SystemExit(main())
