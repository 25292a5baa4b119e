"""Look around once a second: for executions that nobody runs, that wait, or that are to end."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import time
from typing import Protocol

from resolvers.execution.leases import Lease, LeaseKeeper
from storage.database.database import Database
from storage.database.errors import StorageError
from storage.execution.leases import expire_queued, look_around, take_over
from storage.execution.records import delete_old

logger = logging.getLogger(__name__)

_SWEEP_SECONDS = 1.0
_TAKEN_AT_ONCE = 100
"""Executions that a worker takes over in one sweep, so that others take their share."""
_RETENTION_SECONDS = 3600.0
"""Seconds between two deletions of old executions."""


class Runs(Protocol):
    """What the sweeper does with what it finds: ``resolvers.execution.engine``."""

    def runs(self, execution_id: int) -> bool: ...  # noqa: D102

    def begin(  # noqa: D102
        self, execution_id: int, seq: int, lease: Lease, *, taken_over: bool = False
    ) -> None: ...

    def start_waiting(self, process_id: int) -> None: ...  # noqa: D102

    def cancel_own(self, execution_id: int) -> None: ...  # noqa: D102


class Sweeper:
    """Looks around for work as long as this worker has a lease: once a second, and when woken.

    Args:
        database: The database, with connections that nothing else waits for.
        keeper: Keeps the lease.
        runs: Takes up what is found.
    """

    def __init__(self, database: Database, keeper: LeaseKeeper, runs: Runs) -> None:
        self._database = database
        self._keeper = keeper
        self._runs = runs
        self._missing: set[int] = set()
        """Executions of this worker that it did not run at the last sweep."""
        self._next_retention = time.monotonic() + random.uniform(60, _RETENTION_SECONDS)  # noqa: S311 - not a secret
        self._woken = asyncio.Event()
        self._task = asyncio.create_task(self._sweep_forever())

    def wake(self) -> None:
        """Look around now."""
        self._woken.set()

    async def close(self) -> None:
        """Stop."""
        self._task.cancel()
        await asyncio.wait((self._task,))

    async def _sweep_forever(self) -> None:
        woken = False
        while True:
            lease = self._keeper.lease
            if lease.is_valid:
                try:
                    await self._sweep(lease, woken=woken)
                except StorageError:
                    pass  # the next sweep repeats it
                except Exception:
                    logger.exception("looking for executions failed")
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_SWEEP_SECONDS):
                    await self._woken.wait()
            woken = self._woken.is_set()
            self._woken.clear()

    async def _sweep(self, lease: Lease, *, woken: bool) -> None:
        due = await look_around(self._database, lease.worker)
        for execution_id in due.cancelled:
            self._runs.cancel_own(execution_id)
        # A transaction that started one may have been committed without an answer. One that is
        # missing only once is about to be run, and so may be one that is missing twice at once.
        lost: set[int] = set()
        if not woken:
            missing = {each for each in due.own if not self._runs.runs(each)}
            lost = missing & self._missing
            self._missing = missing - lost
        if due.orphans or lost:
            taken = await take_over(self._database, lease.worker, _TAKEN_AT_ONCE, list(lost))
            for each in taken:
                if lease.is_valid and not self._runs.runs(each.id):
                    self._runs.begin(each.id, each.seq, lease, taken_over=each.failed)
        if due.expired:
            await expire_queued(self._database)
        for process_id in due.waiting:
            self._runs.start_waiting(process_id)
        if time.monotonic() >= self._next_retention:
            self._next_retention = time.monotonic() + _RETENTION_SECONDS
            with contextlib.suppress(StorageError):
                deleted = 1
                while deleted:
                    deleted = await delete_old(self._database)
