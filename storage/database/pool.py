"""Lend connections: the most recently used one first, and fairly where borrowers have to wait.

A returned connection is kept ready, and the next borrower gets it without a task, a timer or a
future. Only where none is ready does a borrower queue, for a limited time, while connections are
opened in the background up to the maximum.
"""

from __future__ import annotations

import asyncio
import math
from functools import partial

from storage.database.errors import DatabaseBusyError, DatabaseUnavailableError, reason
from storage.database.fairness import FairQueue, borrower
from storage.database.outage import FailureLog
from storage.database.server import Identity
from storage.database.session import Session, SessionOptions, open_session

_IDLE_SECONDS = 300.0
"""Seconds after which unused connections are closed."""

_OVERDUE_INTERVAL = 1.0
"""Seconds between two searches for statements that take too long."""

_CLOSE_SECONDS = 5.0
"""Seconds to wait for borrowers when the pool is closed."""

_LONGEST_RETRY = 30
"""Seconds that a borrower is told to wait at most."""


class ConnectionPool:
    """Lend connections to one database.

    Args:
        options: How connections are opened.
        failures: Told about failures to open one, and about successes after an outage.
        minimum: The number of connections that stay open when they are not used.
        maximum: The maximum number of connections.
        timeout: The seconds that a borrower waits for a connection.
    """

    def __init__(
        self,
        options: SessionOptions,
        failures: FailureLog,
        *,
        minimum: int,
        maximum: int,
        timeout: float,
    ) -> None:
        self._options = options
        self._failures = failures
        self._outage = failures.unreachable
        self._minimum = minimum
        self._maximum = maximum
        self.timeout = timeout
        self._ready: list[Session] = []  # the most recently used one is last
        self._unused = 0  # this many of the first in _ready were not lent since the last check
        self._open: set[Session] = set()  # ready or lent
        self._opening: set[asyncio.Task[Session]] = set()
        self._replacing = 0
        self._queue: FairQueue[Session] = FairQueue()
        self._handed_over = 0  # to borrowers that waited
        self._closing = False
        self._returned = asyncio.Event()
        self._checks = [
            asyncio.create_task(self._close_unused()),
            asyncio.create_task(self._end_overdue()),
        ]
        self._server: Identity | None = None  # of the connection that was opened last
        self.server_changes = 0
        """The number of connections that were opened to another server than the one before, or to
        the same after a restart."""

    async def fill(self) -> None:
        """Open the minimum of connections. Raises whatever the driver raises."""
        opening = (open_session(self._options) for _ in range(self._minimum))
        results = await asyncio.gather(*opening, return_exceptions=True)
        self._ready += [result for result in results if isinstance(result, Session)]
        for session in self._ready:
            self._add(session)
        for result in results:
            if isinstance(result, BaseException):
                raise result

    async def take(self) -> Session:
        """Borrow a connection for exclusive use. Return it with ``give_back``.

        Raises:
            DatabaseBusyError: No connection became free in time.
            DatabaseUnavailableError: No connection can be opened.
        """
        ready = self._ready
        while ready:
            session = ready.pop()
            if len(ready) < self._unused:
                self._unused = len(ready)
            if not session.is_closed():
                return session
            self._discard(session)
        return await self._wait()

    def give_back(self, session: Session, failure: BaseException | None = None) -> None:
        """Return a borrowed connection.

        Args:
            session: The connection.
            failure: What its last statement raised, if it failed.
        """
        if failure is not None and not session.reusable(failure):
            self._discard(session)
            return
        if self._outage.ongoing and failure is None:
            self._outage.succeeded()
        if self._queue.waiting or self._closing:
            self._hand_over(session)
        else:
            self._ready.append(session)

    async def replace(self, session: Session) -> Session:
        """Exchange a lost connection for a new one: others that are ready may be lost as well.

        Raises:
            DatabaseUnavailableError: No connection can be opened, or not in time.
        """
        session.terminate()
        self._open.discard(session)
        self._replacing += 1
        try:
            async with asyncio.timeout(self.timeout):
                opened = await open_session(self._options)
            self._add(opened)
        except Exception as failure:
            raise self._failures.translated(failure, lost=True) from failure
        finally:
            self._replacing -= 1
            self._open_more()  # for another borrower, if this one failed
        return opened

    async def close(self) -> None:
        """Wait up to 5 s until all connections are returned, then close them."""
        self._closing = True
        for task in (*self._checks, *self._opening):
            task.cancel()
        try:
            async with asyncio.timeout(_CLOSE_SECONDS):
                await self._close_ready(len(self._ready))
                while self._open:
                    self._returned.clear()
                    await self._returned.wait()
        except TimeoutError:
            for session in self._open:
                session.terminate()
        while (place := self._queue.next()) is not None:
            place.set_exception(DatabaseUnavailableError("the pool is closed"))

    # Waiting -------------------------------------------------------------------------------------

    async def _wait(self) -> Session:
        """Queue for a connection."""
        if self._closing:
            raise DatabaseUnavailableError("the pool is closed")
        owner = borrower.get()
        place = self._queue.join(owner)
        self._open_more()
        expire = partial(self._expire, place, self._handed_over)
        expiry = asyncio.get_running_loop().call_later(self.timeout, expire)
        try:
            return await place
        except asyncio.CancelledError:
            if place.done() and not place.cancelled() and place.exception() is None:
                self.give_back(place.result())  # it was handed over at the same moment
            raise
        finally:
            expiry.cancel()
            self._queue.leave(owner, place)

    def _expire(self, place: asyncio.Future[Session], handed_over: int) -> None:
        """End the wait of a borrower.

        Args:
            place: Its place.
            handed_over: The value of ``_handed_over`` when it began to wait.
        """
        if place.done():
            return
        if not self._open or self._outage.ongoing:  # those that are lent do not come back
            place.set_exception(self._failures.translated(TimeoutError("no connection")))
            return
        served = max(self._handed_over - handed_over, 1)
        estimate = math.ceil(self.timeout * self._queue.waiting / served)
        place.set_exception(DatabaseBusyError(min(max(estimate, 1), _LONGEST_RETRY)))

    def _hand_over(self, session: Session) -> None:
        """Give a connection to the borrower whose turn it is, or keep it ready."""
        place = self._queue.next()
        if place is not None:
            self._handed_over += 1
            place.set_result(session)
        elif self._closing:
            self._discard(session)
        else:
            self._ready.append(session)

    # Opening and closing -------------------------------------------------------------------------

    def _open_more(self) -> None:
        """Open connections for those that wait."""
        while (
            len(self._opening) < self._queue.waiting
            and len(self._open) + len(self._opening) + self._replacing < self._maximum
            and not self._closing
        ):
            task = asyncio.create_task(open_session(self._options))
            self._opening.add(task)
            task.add_done_callback(self._opened)

    def _opened(self, task: asyncio.Task[Session]) -> None:
        self._opening.discard(task)
        if task.cancelled():
            return
        failure = task.exception()
        if failure is None:
            session = task.result()
            self._add(session)
            self._hand_over(session)
            self._open_more()
            if self._failures.growth.ongoing:
                self._failures.growth.succeeded()
        elif self._open:  # one of them will be returned
            self._failures.growth.failed(reason(failure))
        else:
            self._refuse_all(failure)

    def _add(self, session: Session) -> None:
        """Count a connection that was opened, and note what server it leads to."""
        self._open.add(session)
        if session.server != self._server:
            self.server_changes += self._server is not None
            self._server = session.server

    def _refuse_all(self, failure: BaseException) -> None:
        """End all waits. Each of them would end in the same way, a little later."""
        while (place := self._queue.next()) is not None:
            error = self._failures.translated(failure, lost=True)
            error.__cause__ = failure
            place.set_exception(error)

    def _discard(self, session: Session) -> None:
        session.terminate()
        self._open.discard(session)
        if self._closing:
            self._returned.set()
        self._open_more()

    async def _end_overdue(self) -> None:
        """End statements that take too long, all by one timer."""
        now = asyncio.get_running_loop().time
        while True:
            await asyncio.sleep(_OVERDUE_INTERVAL)
            for session in self._open:
                session.end_overdue(now())

    async def _close_unused(self) -> None:
        while True:
            self._unused = len(self._ready)
            await asyncio.sleep(_IDLE_SECONDS)
            for session in [session for session in self._ready if session.is_closed()]:
                self._ready.remove(session)
                self._discard(session)
            spare = max(len(self._open) - self._minimum, 0)
            await self._close_ready(min(self._unused, spare, len(self._ready)))

    async def _close_ready(self, count: int) -> None:
        """Close the least recently used of the connections that are ready."""
        unused, self._ready[:] = self._ready[:count], self._ready[count:]
        self._open.difference_update(unused)
        await asyncio.gather(*(session.close() for session in unused))
