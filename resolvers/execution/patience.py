"""Repeat what the engine reads while the database fails."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from storage.database.errors import StorageError

T = TypeVar("T")

FIRST_PAUSE = 0.02
LONGEST_PAUSE = 1.0
"""Seconds between two tries. Each pause is twice as long as the one before."""


async def until_read(
    read: Callable[[], Awaitable[T]], check: Callable[[], None] = lambda: None
) -> T:
    """Return what a read returns, as soon as it succeeds.

    Args:
        read: Reads once.
        check: Called before each try; raises whatever ends the repetition.
    """
    pause = FIRST_PAUSE
    while True:
        check()
        try:
            return await read()
        except StorageError:
            await asyncio.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE)
