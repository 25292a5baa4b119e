"""Write the transitions of one execution, whatever happens to the database meanwhile.

A statement that failed is repeated for as long as the worker has its lease. If it was not answered,
the fence says whether it was applied (``storage.execution.journal``).
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Sequence
from functools import partial

from resolvers.execution.leases import Lease
from resolvers.execution.patience import FIRST_PAUSE, LONGEST_PAUSE, until_read
from storage.database.database import Database
from storage.database.errors import StorageError
from storage.database.rows import Row
from storage.database.transaction import Transaction
from storage.execution.gates import lock_gate
from storage.execution.journal import Fence, transition
from storage.execution.records import read_fence
from storage.execution.writes import Ending, InterruptNested, InterruptSteps, Write

_MOST_TRIES = 60
"""Tries of a statement that fails although the database answers others."""


class FencedOffError(Exception):
    """The worker has lost the execution. It must not do anything more for it."""


class UnacknowledgedError(Exception):
    """A transition was applied, but what it returned is lost: read the records again."""


class CancelRequestedError(Exception):
    """A transition was not written, because it starts a step of a canceled execution."""


Prepare = Callable[[Transaction, "bool | None"], Awaitable["Sequence[Write] | None"]]
"""Returns what is written, given the state of a locked process; None for nothing."""


class Journal:
    """Writes the transitions of one tree of executions.

    Args:
        database: The database.
        lease: The lease of the worker.
        root_id: The root of the tree.
        seq: Its ``seq`` as the worker knows it.
    """

    def __init__(self, database: Database, lease: Lease, root_id: int, seq: int) -> None:
        self._database = database
        self._lease = lease
        self._fence = Fence(root_id, seq, lease.worker)

    @property
    def root_id(self) -> int:
        """The root of the tree."""
        return self._fence.root_id

    @property
    def holds(self) -> bool:
        """Whether the worker may act: its lease has not ended."""
        return self._lease.is_valid

    async def write(
        self,
        writes: Sequence[Write],
        *,
        starts: bool = False,
        end: Ending | None = None,
        releases: bool = False,
    ) -> Row:
        """Write a transition. ``storage.execution.journal.transition`` describes it and its row.

        Raises:
            FencedOffError: The execution belongs to another worker, or has ended.
            CancelRequestedError: It starts a step, and the execution was canceled.
            UnacknowledgedError: It was written, but its row is not known.
        """

        async def send() -> Row | None:
            sql, values = transition(self._fence, writes, starts=starts, end=end, releases=releases)
            return await self._database.write(sql, *values)

        return await self._settled(send, starts=starts)

    async def write_at_gate(self, process_id: int, prepare: Prepare) -> Row | None:
        """Write a transition that starts a nested execution, under the lock of its process.

        Returns:
            Its row; None if ``prepare`` returned nothing to write.

        Raises:
            Exception: As ``write``, and whatever ``prepare`` raises.
        """
        nothing = False

        async def send() -> Row | None:
            nonlocal nothing
            async with self._database.transaction() as transaction:
                state = await lock_gate(transaction, process_id)
                writes = await prepare(transaction, state)
                if writes is None:
                    nothing = True
                    return {}
                nothing = False
                sql, values = transition(self._fence, writes, starts=True)
                return await transaction.fetch_row(sql, *values)

        row = await self._settled(send, starts=True, is_void=lambda: nothing)
        return None if nothing else row

    async def _settled(
        self,
        send: Callable[[], Awaitable[Row | None]],
        *,
        starts: bool,
        is_void: Callable[[], bool] = lambda: False,
    ) -> Row:
        """Send a transition until it is known whether it was applied.

        Args:
            send: Sends it; returns its row, or None if the fence did not hold.
            starts: Whether it starts a step.
            is_void: Whether nothing was sent, and the row is meaningless.
        """
        pause = FIRST_PAUSE
        tries = 0
        while True:
            self._require_lease()
            try:
                row = await send()
            except StorageError:
                tries += 1
                if tries == _MOST_TRIES:
                    raise
                await asyncio.sleep(pause)
                pause = min(2 * pause, LONGEST_PAUSE)
            else:
                if row is not None:
                    if not is_void():
                        self._fence = self._fence.at(row["seq"])
                    return row
            await self._judge(starts=starts)

    async def _judge(self, *, starts: bool) -> None:
        """Return if a transition was not applied and can be sent again.

        Raises:
            FencedOffError, CancelRequestedError, UnacknowledgedError: See ``write``.
        """
        fence = self._fence
        read = partial(read_fence, self._database, fence.root_id)
        state = await until_read(read, self._require_lease)
        if state is not None and state.seq == fence.seq + 1 and state.owner in (fence.owner, None):
            # Nobody else increments it by one and leaves the owner as it is.
            self._fence = fence.at(state.seq)
            raise UnacknowledgedError
        if state is None or state.seq != fence.seq or state.owner != fence.owner:
            raise FencedOffError
        if state.status != "running":
            raise FencedOffError
        if starts and state.cancel_requested:
            raise CancelRequestedError

    def _require_lease(self) -> None:
        if not self.holds:
            raise FencedOffError


async def interrupt_unreadable(journal: Journal) -> None:
    """End an execution whose records cannot be read, and all that is nested in it."""
    error = "its records cannot be read"
    writes: list[Write] = [
        InterruptSteps(journal.root_id, error),
        InterruptNested(journal.root_id, error),
    ]
    with contextlib.suppress(FencedOffError, UnacknowledgedError):
        await journal.write(writes, end=Ending("interrupted", error, "interrupted"))
