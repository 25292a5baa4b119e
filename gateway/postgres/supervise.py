"""Start the embedded PostgreSQL again when it has ended.

Every process that started or joined the server does this; ``EmbeddedPostgres.restart`` decides
between them. Workers only connect to the server, and rely on the process that started them.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator

from gateway.postgres.embedded import EmbeddedPostgres, EmbeddedPostgresError

_INTERVAL = 0.3
"""Seconds between two checks, and before the second attempt to start the server."""
_MAX_DELAY = 5.0
"""Seconds between two attempts at the most. The delay doubles until then."""
_SETTLED = 1.0
"""Seconds that a server must run for its end not to count as one more failed attempt."""

_logger = logging.getLogger(__name__)


@contextlib.asynccontextmanager
async def supervised(server: EmbeddedPostgres) -> AsyncIterator[None]:
    """Keep the server running during the block."""
    task = asyncio.create_task(_keep_running(server))
    try:
        yield
    finally:
        # A restart under way goes on in its thread, until ``server.stop`` ends it.
        task.cancel()


async def _keep_running(server: EmbeddedPostgres) -> None:
    delay = 0.0
    ready_at = time.monotonic()
    while True:
        await asyncio.sleep(_INTERVAL)
        if server.runs():
            continue
        _logger.error("the embedded PostgreSQL has ended; starting it again")
        ended_at = time.monotonic()
        if ended_at - ready_at > _SETTLED:
            delay = 0.0
        failures = 0
        while True:
            await asyncio.sleep(delay)
            delay = min(max(2 * delay, _INTERVAL), _MAX_DELAY)
            if (failure := await _restart(server)) is None:
                break
            failures += 1
            if failures == 1:
                _logger.error("%s; trying again", failure)
        ready_at = time.monotonic()
        _logger.warning(
            "the embedded PostgreSQL runs again after %.1f s and %d failed attempts",
            *(ready_at - ended_at, failures),
        )


async def _restart(server: EmbeddedPostgres) -> str | None:
    """Start the server again. Returns an error message, or None."""
    try:
        await asyncio.to_thread(server.restart)
    except (EmbeddedPostgresError, OSError) as error:
        return str(error)
    return None
