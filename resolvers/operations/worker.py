"""Run long computations in a thread, so that the event loop stays free."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

Result = TypeVar("Result")

_LARGE = 16 * 1024
"""Bytes from which on a computation may take long. The usual ones for fewer bytes take less than
the change of threads, 0.1 ms; the longest that a client can ask for, 20 ms."""
_SWITCH = 0.0001
"""Seconds after which the thread lets the event loop run, if it waits. The loop waits for each of
the ten or so events of a request. With Python's default of 0.005, a small request beside hostile
documents took 35 ms; with 0.0005, one beside bodies of 16 MiB took 7 ms instead of 2."""


class Worker:
    """A thread for computations.

    There is one for everything that holds Python's lock: the event loop would wait for each of
    several in turn.

    Args:
        name: The name of the thread.
    """

    def __init__(self, name: str) -> None:
        self._executor = ThreadPoolExecutor(1, thread_name_prefix=name)

    async def run(self, size: int, compute: Callable[[], Result]) -> Result:
        """Return what ``compute`` returns, or raise what it raises.

        Args:
            size: The bytes of the request that the computation is about.
            compute: As for ``compute``.
        """
        return compute() if size < _LARGE else await self.compute(compute)

    async def compute(self, compute: Callable[[], Result]) -> Result:
        """Return what ``compute`` returns, or raise what it raises, after running it in the thread.

        Args:
            compute: It has no access to the event loop. Each step of it in C is short.
        """
        sys.setswitchinterval(_SWITCH)
        return await asyncio.get_running_loop().run_in_executor(self._executor, compute)
