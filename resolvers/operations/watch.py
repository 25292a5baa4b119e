"""Watch what is subscribed: ask the database what has changed, in one small statement a tick.

There is one watcher for all subscriptions of a process, and it runs only while there are any. A
write of this process wakes it at once; those of others are seen at the next tick.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping
from contextvars import Context
from typing import Protocol

from storage.database.database import Database
from storage.database.errors import DatabaseUnavailableError, StorageError
from storage.database.versions import read_tree_versions, read_versions
from storage.reads.dependencies import Dependency, Domain

logger = logging.getLogger(__name__)

_Versions = Awaitable[Mapping[Dependency, int]]

_DOMAINS = tuple(map(Dependency, Domain))
_SHORTEST_PAUSE = 0.01
"""Seconds between two ticks at least, however often it is woken."""
_REST = 4.0
"""The pause after a tick, relative to its duration, up to the interval. While this process writes
all the time, watching takes a fifth of a connection and not all of it."""
_SECONDS = 4.0
"""Seconds that reading versions may take."""
_LONGEST_RETRY = 1.0
"""Seconds between two attempts while the database fails."""


class Audience(Protocol):
    """Who is told what has changed."""

    def tick_begins(self) -> None:
        """Note that the database is being asked."""
        ...

    async def tick_ends(self, changed: frozenset[Dependency]) -> None:
        """React to the dependencies that have changed since the last tick.

        Raises:
            StorageError: They are reported again at the next tick.
        """
        ...

    def tick_failed(self, error: StorageError) -> None:
        """Note that the database failed. It is asked again."""
        ...


class Watcher:
    """Reports what has changed among the dependencies that were added.

    Args:
        interval: Seconds between two ticks.
    """

    def __init__(self, database: Database, interval: float, audience: Audience) -> None:
        self._database = database
        self._interval = interval
        self._audience = audience
        self._counts: Counter[Dependency] = Counter()
        self._domains: Mapping[Dependency, int] = {}  # the versions of whole domains
        self._asked: tuple[Dependency, ...] = ()
        self._versions: Mapping[Dependency, int] = {}
        self._trees: dict[Dependency, int] = {}  # the versions of trees of executions
        self._wake = asyncio.Event()
        self._failures = 0  # ticks in a row that failed
        self._running: asyncio.Task[None] | None = None
        self.ticks = 0
        """The number of ticks."""
        self.seconds = 0.0
        """The time that they took."""

    def add(self, dependencies: Iterable[Dependency]) -> None:
        """Watch dependencies, which may be watched already."""
        added = tuple(dependencies)
        if not all(dependency in self._counts for dependency in added):
            self._asked = ()
        self._counts.update(added)
        if self._running is None:
            # A context of its own: it does not work for the token of the first subscription.
            self._running = asyncio.create_task(self._run(), context=Context())

    def remove(self, dependencies: Iterable[Dependency]) -> None:
        """Undo one ``add``."""
        for dependency in dependencies:
            self._counts[dependency] -= 1
            if not self._counts[dependency]:
                del self._counts[dependency]
                self._trees.pop(dependency, None)
                self._asked = ()
        if not self._counts:
            self.wake()

    def wake(self) -> None:
        """Look at once."""
        self._wake.set()

    async def close(self) -> None:
        """Stop watching."""
        if self._running is not None:
            self._running.cancel()
            await asyncio.gather(self._running, return_exceptions=True)

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        while self._counts:
            began = loop.time()
            self._wake.clear()
            try:
                await self._tick()
                self._failures = 0
            except StorageError as error:
                self._failures += 1
                self._audience.tick_failed(error)
            except Exception:
                self._failures += 1
                logger.exception("cannot watch for changes")
            self.ticks += 1
            self.seconds += loop.time() - began
            await self._pause(began)
        self._running = None
        self._versions = {}
        self._trees = {}

    async def _tick(self) -> None:
        """Ask what has changed: of whole domains, then of shards, and then of trees in them."""
        self._audience.tick_begins()
        domains = await self._read(read_versions, _DOMAINS)
        if self._asked and domains == self._domains:
            await self._audience.tick_ends(frozenset())
            return
        asked = self._asked or tuple(self._counts)
        versions = await self._read(read_versions, asked)
        before = self._versions
        changed = {each for each, version in versions.items() if before.get(each) != version}
        # Many executions run at a time, and each changes with every step. Most of the trees that
        # share a shard with one that has changed have not changed.
        suspects = [each for each in changed if each.in_tree is not None]
        trees = await self._read(read_tree_versions, suspects) if suspects else {}
        changed -= {each for each, version in trees.items() if self._trees.get(each) == version}
        await self._audience.tick_ends(frozenset(changed))
        if not self._asked and self._counts.keys() == set(asked):
            self._asked = asked
        self._domains, self._versions = domains, versions
        self._trees.update((each, trees[each]) for each in trees if each in self._counts)

    async def _read(
        self,
        read: Callable[[Database, Collection[Dependency]], _Versions],
        of: Collection[Dependency],
    ) -> Mapping[Dependency, int]:
        try:
            async with asyncio.timeout(_SECONDS):
                return await read(self._database, of)
        except TimeoutError as error:  # the connection may be dead without a sign
            raise DatabaseUnavailableError("versions cannot be read") from error

    async def _pause(self, began: float) -> None:
        """Wait for the next tick, or until it is woken."""
        loop = asyncio.get_running_loop()
        doubled = self._interval * 2.0 ** min(self._failures, 10)
        pause = min(doubled, _LONGEST_RETRY + self._interval)
        rest = max(_SHORTEST_PAUSE, min(self._interval, _REST * (loop.time() - began)))
        earliest = loop.time() + (pause if self._failures else rest)
        handle = loop.call_at(began + pause, self._wake.set)
        try:
            await self._wake.wait()
        finally:
            handle.cancel()
        if self._counts and loop.time() < earliest:
            await asyncio.sleep(earliest - loop.time())
