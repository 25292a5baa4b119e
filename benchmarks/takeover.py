"""Kill gateways and workers under load, and measure until others have ended what they ran."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import os
import signal
import time
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path

from connections import Connection
from servers import Server, ServerError

Start = Callable[..., AbstractAsyncContextManager[Server]]
"""Starts a gateway with further arguments."""

_CALLERS = 8
_LIMIT = 30.0
"""Seconds that anything may take."""
_POLL = 0.02
"""Seconds between two looks at the records."""
_NEW_WORKERS = """SELECT count(*) FROM worker
    WHERE lease_until > clock_timestamp() AND id <> ALL ($1)"""


async def takeover(start: Start, body: bytes, connection: Connection) -> float:
    """Kill one of two gateways under load; return the seconds until the other has ended all.

    Args:
        start: Starts a gateway.
        body: A request that executes a process, the same for all callers.
        connection: A connection to the database.
    """
    async with start(), start() as killed:
        seconds = await _killed(connection, killed, body, killed.pid)
    if seconds is None:
        raise ServerError("nothing ran in the gateway that was killed")
    return seconds


async def takeover_of_worker(start: Start, body: bytes, connection: Connection) -> float | None:
    """Kill one of two workers of a gateway. As ``takeover``.

    Returns:
        None on a system without /proc, or if nothing ran in the worker that was killed.
    """
    if not Path("/proc/self/stat").exists():  # noqa: ASYNC240 - it does not block
        return None
    earlier = await connection.fetch("SELECT id FROM worker")
    ids = [row["id"] for row in earlier]
    async with start("--workers", "2") as server:
        started = 0
        async with asyncio.timeout(_LIMIT):
            while started < 2:
                await asyncio.sleep(_POLL)
                started = await connection.fetchval(_NEW_WORKERS, ids)
        await asyncio.sleep(1)  # they listen soon after they have a lease
        return await _killed(connection, server, body, _children(server.pid)[0])


async def _killed(connection: Connection, server: Server, body: bytes, pid: int) -> float | None:
    """Kill a process under load; return the seconds until all that ran then has ended.

    None if others ran all of it.
    """

    async def call() -> None:
        with contextlib.suppress(OSError, http.client.HTTPException, ServerError):
            while not stopped.is_set():
                await asyncio.to_thread(server.post, body)

    stopped = asyncio.Event()
    callers = [asyncio.create_task(call()) for _ in range(_CALLERS)]
    await asyncio.sleep(1)
    os.kill(pid, signal.SIGKILL)
    start = time.monotonic()
    stopped.set()
    ids = await connection.fetchval("SELECT array_agg(id) FROM execution WHERE status = 'running'")
    if not ids:
        await asyncio.gather(*callers)
        return None
    running = "SELECT count(*) FROM execution WHERE id = ANY ($1) AND status = 'running'"
    left = len(ids)
    async with asyncio.timeout(_LIMIT):
        while left:
            await asyncio.sleep(_POLL)
            left = await connection.fetchval(running, ids)
        seconds = time.monotonic() - start
        await asyncio.gather(*callers)
    lost = await connection.fetchval(
        "SELECT count(*) FROM execution WHERE id = ANY ($1) AND status <> 'succeeded'", ids
    )
    if lost:
        raise ServerError(f"{lost} executions did not succeed after a takeover")
    taken_over = await connection.fetchval(
        "SELECT count(*) FROM execution WHERE id = ANY ($1) AND takeovers > 0", ids
    )
    return seconds if taken_over else None


def _children(pid: int) -> list[int]:
    """Return the child processes of a process; none on a system without /proc."""
    children = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):  # it has ended
            _, parent = path.read_text().rpartition(")")[2].split()[:2]
            if int(parent) == pid:
                children.append(int(path.parent.name))
    return children
