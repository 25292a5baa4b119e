"""Wait for the ends of executions, whichever worker runs them."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable

from storage.database.database import Database
from storage.database.errors import StorageError
from storage.execution.records import Ended, read_ended

_POLL_SECONDS = 0.1
"""Seconds between two looks at the executions that other workers run."""


class Ends:
    """Tells callers when executions have ended.

    Those of this worker are told at once. For the others, the records are read every tenth of a
    second, with one statement for all, and only while somebody waits.

    Args:
        database: The database.
        is_local: Whether this worker runs an execution.
    """

    def __init__(self, database: Database, is_local: Callable[[int], bool]) -> None:
        self._database = database
        self._is_local = is_local
        self._waiting: dict[int, set[asyncio.Future[Ended]]] = {}
        self._poller: asyncio.Task[None] | None = None

    async def wait(self, execution_id: int, seconds: float) -> Ended | None:
        """Return how an execution has ended; None if it has not, in so many seconds."""
        future: asyncio.Future[Ended] = asyncio.get_running_loop().create_future()
        waiting = self._waiting.setdefault(execution_id, set())
        waiting.add(future)
        if self._poller is None:
            self._poller = asyncio.create_task(self._poll())
        try:
            await asyncio.wait((future,), timeout=seconds)
            return future.result() if future.done() and not future.cancelled() else None
        finally:
            waiting.discard(future)
            if not waiting:
                self._waiting.pop(execution_id, None)

    def ended(self, ended: Ended) -> None:
        """Note that an execution has ended."""
        for future in self._waiting.get(ended.id, ()):
            if not future.done():
                future.set_result(ended)

    def given_up(self, execution_id: int) -> None:
        """Let those that wait for an execution go on without an answer."""
        for future in self._waiting.get(execution_id, ()):
            future.cancel()

    def give_up_others(self) -> None:
        """Let those go on without an answer that wait for executions of other workers."""
        for execution_id in list(self._waiting):
            if not self._is_local(execution_id):
                self.given_up(execution_id)

    async def close(self) -> None:
        """Let all that wait go on without an answer."""
        for execution_id in list(self._waiting):
            self.given_up(execution_id)
        if self._poller is not None:
            self._poller.cancel()
            await asyncio.wait((self._poller,))

    async def _poll(self) -> None:
        try:
            while self._waiting:
                elsewhere = [each for each in self._waiting if not self._is_local(each)]
                # If it fails, it is repeated; those that wait have a limit.
                with contextlib.suppress(StorageError):
                    if elsewhere:
                        for ended in await read_ended(self._database, elsewhere):
                            self.ended(ended)
                await asyncio.sleep(_POLL_SECONDS)
        finally:
            self._poller = None
