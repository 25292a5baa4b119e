"""Keep the lease of this worker, without which it may not run executions.

A worker that cannot renew its lease stops its executions before the lease ends, by its own clock;
others take them over after it has ended, by PostgreSQL's clock. A worker whose lease has ended
starts again as a new one.
"""

from __future__ import annotations

import asyncio
import logging
import time
import uuid
from collections.abc import Callable

from storage.database.database import Database
from storage.database.errors import StorageError
from storage.execution.leases import LEASE_SECONDS, end_lease, renew_lease, take_lease

logger = logging.getLogger(__name__)

_RENEW_SECONDS = 2.0
"""Seconds between two renewals."""
_RETRY_SECONDS = 0.25
"""Seconds before a renewal that failed is repeated."""
_MARGIN = 1.0
"""Seconds by which this worker considers its lease ended before PostgreSQL does."""


class Lease:
    """A lease of one worker."""

    def __init__(self) -> None:
        self.worker = uuid.uuid4()
        self._valid_until = 0.0

    @property
    def is_valid(self) -> bool:
        """Whether the worker may act."""
        return time.monotonic() < self._valid_until

    @property
    def seconds_left(self) -> float:
        """Seconds for which it is valid, unless it is renewed."""
        return max(0.0, self._valid_until - time.monotonic())

    def renewed(self, sent: float) -> None:
        """Note a renewal that was sent at this time of the monotonic clock."""
        self._valid_until = sent + LEASE_SECONDS - _MARGIN

    def ended(self) -> None:
        """Note that it has ended."""
        self._valid_until = 0.0


class LeaseKeeper:
    """Takes a lease, renews it, and takes another one when it has ended.

    Args:
        database: The database, with connections that nothing else waits for.
        on_taken: Called with each new lease.
        on_lost: Called with a lease that has ended. Its executions must not go on.
    """

    def __init__(
        self,
        database: Database,
        on_taken: Callable[[Lease], None],
        on_lost: Callable[[Lease], None],
    ) -> None:
        self._database = database
        self._on_taken = on_taken
        self._on_lost = on_lost
        self.lease = Lease()
        self._taken = asyncio.Event()
        self._task = asyncio.create_task(self._keep())

    async def held(self, seconds: float) -> Lease:
        """Return the lease, once there is one.

        Raises:
            TimeoutError: The database did not give one in time.
        """
        if not self.lease.is_valid:
            async with asyncio.timeout(seconds):
                await self._taken.wait()
        return self.lease

    async def close(self) -> None:
        """End the lease, so that others take over at once what was not finished."""
        self._task.cancel()
        await asyncio.wait((self._task,))
        if self.lease.is_valid:
            try:
                await end_lease(self._database, self.lease.worker)
            except StorageError:
                logger.warning("the lease could not be ended; it ends by itself")
            self.lease.ended()

    async def _keep(self) -> None:
        while True:
            try:
                await self._take()
                await self._renew()
            except StorageError:
                await asyncio.sleep(_RETRY_SECONDS)

    async def _take(self) -> None:
        lease = Lease()
        sent = time.monotonic()
        await take_lease(self._database, lease.worker)
        lease.renewed(sent)
        self.lease = lease
        self._taken.set()
        self._on_taken(lease)

    async def _renew(self) -> None:
        """Renew the lease until it has ended."""
        lease = self.lease
        try:
            while lease.is_valid:
                await asyncio.sleep(min(_RENEW_SECONDS, lease.seconds_left))
                sent = time.monotonic()
                # A renewal that comes back too late is of no use any more.
                async with asyncio.timeout(max(lease.seconds_left, 0.01)):
                    while not await self._renewed(lease, sent):
                        await asyncio.sleep(_RETRY_SECONDS)
                        sent = time.monotonic()
        except TimeoutError:
            pass
        finally:
            self._taken.clear()
            lease.ended()
        logger.error("the lease of this worker has ended; its executions go on elsewhere")
        self._on_lost(lease)

    async def _renewed(self, lease: Lease, sent: float) -> bool:
        """Try to renew a lease. Raises ``TimeoutError`` if it has ended."""
        try:
            if not await renew_lease(self._database, lease.worker):
                raise TimeoutError
        except StorageError:
            return False
        lease.renewed(sent)
        return True
