"""Run a command in an event loop, and end whatever sources leave behind.

An action that ignores its cancellation, or that blocks a thread, must not keep the process: whoever
stops a gateway would have to kill it.
"""

from __future__ import annotations

import asyncio
import logging
import os
import sys
import threading
from collections.abc import Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import uvloop

T = TypeVar("T")

logger = logging.getLogger(__name__)

_LEFT_SECONDS = 0.2
"""Seconds that tasks and threads get to end after everything was closed."""


def run_to_end(command: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine in a new event loop, and return its result.

    Unlike ``uvloop.run``, this does not wait for tasks and threads that do not end.
    """
    loop = uvloop.new_event_loop()
    executor = ThreadPoolExecutor(thread_name_prefix="gateway")
    loop.set_default_executor(executor)
    asyncio.set_event_loop(loop)
    try:
        return loop.run_until_complete(command)
    finally:
        try:
            loop.run_until_complete(_end_tasks())
            loop.run_until_complete(loop.shutdown_asyncgens())
        finally:
            executor.shutdown(wait=False, cancel_futures=True)
            asyncio.set_event_loop(None)
            loop.close()


async def _end_tasks() -> None:
    tasks = asyncio.all_tasks() - {asyncio.current_task()}
    for task in tasks:
        task.cancel()
    if tasks:
        _, unfinished = await asyncio.wait(tasks, timeout=_LEFT_SECONDS)
        for task in unfinished:
            logger.error("%s does not end although it was canceled", task.get_name())


def exit_status(status: int) -> int:
    """Return the exit status of this process; end the process at once if threads block it."""
    left = [
        thread
        for thread in threading.enumerate()
        if thread is not threading.main_thread() and not thread.daemon
    ]
    for thread in left:
        thread.join(_LEFT_SECONDS / len(left))
    if any(thread.is_alive() for thread in left):
        logger.error("a thread does not end")
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)
    return status
