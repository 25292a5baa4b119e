"""Run subscriptions: answer a query at once, and again whenever something that it read has changed.

A subscription is planned, authorized, checked and compiled as the query with the same selection
(``prepare`` and ``compile``). Subscriptions of the same statement and values share one read and one
answer. After each tick of the watcher, the answers whose dependencies have changed are read again,
and those whose bytes differ are offered to their subscriptions. Nothing is queued: whoever is slow
takes the newest answer.

The viewer is judged again before each answer. What a profile that has changed may see is another
read, so its subscriptions move to that.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Hashable

from resolvers.access.directory import AccessDirectory
from resolvers.access.viewer import Viewer
from resolvers.errors.catalogue import ErrorKind, GatewayError, bad_input
from resolvers.errors.translate import as_gateway_error
from resolvers.operations.answers import Answer, error_answer
from resolvers.operations.holdings import Holdings
from resolvers.operations.live import Caller, LiveAnswer, LiveRead, Subscription
from resolvers.operations.parameters import RunValues, problems
from resolvers.operations.run import Operations, Prepared, PreparedOperation, RejectedOperation
from resolvers.operations.watch import Watcher
from storage.database.database import Database
from storage.database.errors import StorageError
from storage.database.fairness import FairQueue, borrower
from storage.reads.dependencies import Dependency, Domain

_PROFILES = Dependency(Domain.PROFILE)
"""Watched whatever is subscribed: it decides what the viewers may see."""

_MAX_READS = 4
"""Connections to the database that the answers are read on. Requests find others."""
_MAX_HELD = 64 * 1024 * 1024
"""Bytes of memory for the documents and variables of one token's subscriptions, as estimated."""
_AT_ONCE = 64
"""Subscriptions that are served before other work gets a turn."""
_FIRST_RETRY = 0.1
_LONGEST_RETRY = 2.0
"""Seconds between two attempts to read an answer whose statement fails."""


class Subscriptions:
    """All subscriptions of one process.

    Args:
        interval: Seconds between two looks at what has changed.
    """

    def __init__(
        self,
        operations: Operations,
        database: Database,
        directory: AccessDirectory,
        interval: float,
    ) -> None:
        self._operations = operations
        self._database = database
        self._directory = directory
        self._generation = directory.generation
        self._server_changes = database.server_changes
        self.watcher = Watcher(database, interval, self)
        self._live: dict[Hashable, LiveAnswer] = {}
        self._by_dependency: dict[Dependency, dict[LiveAnswer, None]] = {}
        self._open: dict[Subscription, None] = {}
        self._joined: dict[Subscription, None] = {}  # those that wait for the next tick
        self._joining: dict[Subscription, None] = {}  # those that wait for the end of this one
        self._holdings = Holdings(_MAX_HELD)
        self._tick = 0
        self._readers: set[asyncio.Task[None]] = set()
        self._reading = 0
        self._queue: FairQueue[None] = FairQueue()
        self.events = 0
        """The number of answers that were offered to subscriptions."""
        self.reads = 0
        """The number of statements that were run for them."""

    @property
    def count(self) -> int:
        """The number of subscriptions."""
        return len(self._open)

    @property
    def distinct(self) -> int:
        """The number of answers that they share."""
        return len(self._live)

    async def close(self) -> None:
        """End everything that runs."""
        await self.watcher.close()
        readers = list(self._readers)
        for reader in readers:
            reader.cancel()
        await asyncio.gather(*readers, return_exceptions=True)

    # Subscribing -------------------------------------------------------------------------------

    async def subscribe(
        self,
        prepared: Prepared,
        caller: Caller,
        notify: Callable[[Subscription], None],
    ) -> Subscription | Answer:
        """Start a prepared subscription. The first answer comes with the next tick, at once.

        Args:
            prepared: What ``Operations.prepare`` returned for a subscription.
            caller: Whom it is for.
            notify: Called when there is an answer to take, or an error.

        Returns:
            The subscription, or the answer to one that cannot be executed.

        Raises:
            GatewayError: ``UNAUTHENTICATED`` or ``TOKEN_EXPIRED``.
        """
        viewer = caller.viewer()
        if isinstance(prepared, RejectedOperation) or prepared.variables is None:
            return await self._operations.run(prepared, viewer)
        owner = borrower.get()
        try:
            read = self._read_for(prepared, viewer)
            self._holdings.hold(owner, prepared)
        except GatewayError as error:
            return error_answer(error)
        live = self._shared(read, owner)
        subscription = Subscription(prepared, caller, viewer, owner, live, notify, self._end)
        self._open[subscription] = None
        self._join(subscription, live)
        return subscription

    def _read_for(self, prepared: PreparedOperation, viewer: Viewer) -> LiveRead:
        """Return what a subscription reads for a viewer.

        Raises:
            GatewayError: ``BAD_USER_INPUT``.
        """
        assert prepared.variables is not None
        query = self._operations.compiler.query(
            prepared.operation, prepared.variables, viewer.reading
        )
        cost = self._operations.queries.check_cost(
            query, prepared.variables, viewer, shown=prepared.shows_cost
        )
        (field,) = query.fields  # a rule of validation
        extensions = None
        if prepared.shows_cost and cost is not None:
            maximum = self._operations.compiler.limits.max_query_cost
            extensions = {"cost": {"requested": cost, "maximum": maximum}}
        try:
            viewer.require(field.permission, field.node.name.value)
        except GatewayError as refused:
            return LiveRead(field, (), frozenset(), extensions, refused)
        if field.error is not None:
            raise field.error
        assert field.read is not None
        values = RunValues(prepared.variables, viewer.profile_id)
        if field.problems:
            raise bad_input(*dict.fromkeys((*field.problems, *problems(field.slots, values))))
        arguments = tuple(field.read.arguments(values))
        depends = field.read.statement.dependencies(arguments)
        return LiveRead(field, arguments, depends, extensions)

    def _shared(self, read: LiveRead, owner: str) -> LiveAnswer:
        """Return the live answer of a read, which others may share.

        Args:
            owner: Whom a new one is read for.
        """
        live = self._live.get(read.key)
        if live is None:
            live = self._live[read.key] = LiveAnswer(read, owner)
            for dependency in read.dependencies:
                self._by_dependency.setdefault(dependency, {})[live] = None
            self.watcher.add((_PROFILES, *read.dependencies))
        return live

    def _join(self, subscription: Subscription, live: LiveAnswer) -> None:
        subscription.live = live
        live.subscriptions[subscription] = None
        self._joined[subscription] = None
        self.watcher.wake()

    def _leave(self, subscription: Subscription) -> None:
        live = subscription.live
        assert live is not None
        subscription.live = None
        self._joined.pop(subscription, None)
        self._joining.pop(subscription, None)
        del live.subscriptions[subscription]
        if not live.subscriptions:
            del self._live[live.read.key]
            for dependency in live.read.dependencies:
                answers = self._by_dependency[dependency]
                del answers[live]
                if not answers:
                    del self._by_dependency[dependency]
            self.watcher.remove((_PROFILES, *live.read.dependencies))

    def _end(self, subscription: Subscription) -> None:
        if subscription.live is not None:
            self._leave(subscription)
            del self._open[subscription]
            self._holdings.release(subscription.owner, subscription.prepared)

    # Ticks -------------------------------------------------------------------------------------

    def tick_begins(self) -> None:
        """Note who has joined: for those who join now, its versions may be too old."""
        self._joining, self._joined = self._joined, {}

    async def tick_ends(self, changed: frozenset[Dependency]) -> None:
        """Start to read what has changed, and serve those that have joined."""
        if _PROFILES in changed:
            self._directory.changed()
        await self._directory.refresh()
        self._tick += 1
        joined, self._joining = self._joining, {}
        for subscription in joined:
            subscription.admitted = self._tick
        if self._directory.generation != self._generation:
            self._generation = self._directory.generation
            for subscription in tuple(self._open):
                self._judge(subscription)
        if self._database.server_changes != self._server_changes:
            # Another server, or an earlier state of this one: as kept answers, none is trusted.
            self._server_changes = self._database.server_changes
            changed = frozenset(self._by_dependency)
        for dependency in changed:
            for live in self._by_dependency.get(dependency, ()):
                live.dirty = True
                self._start(live)
        for subscription in joined:
            own = subscription.live
            if own is None or subscription.admitted != self._tick:
                continue  # it has ended, or moved to another answer
            if own.answer is None:
                self._start(own)
            elif own.is_current:
                self._give(subscription)

    def tick_failed(self, error: StorageError) -> None:
        """Tell those that have had no answer yet. The others keep the one that they have."""
        self._joined = {**self._joining, **self._joined}
        self._joining = {}
        failure = as_gateway_error(error)
        for subscription in tuple(self._joined):
            self._report(subscription, failure)

    def _report(self, subscription: Subscription, failure: GatewayError) -> None:
        # A busy database is asked again in a moment.
        if failure.kind is not ErrorKind.RATE_LIMITED and subscription.waits:
            assert subscription.live is not None
            self._offer(subscription, subscription.live.read.answer(failure))

    def _judge(self, subscription: Subscription) -> bool:
        """Judge the viewer again. Return whether its answer is still that of ``live``."""
        if subscription.live is None:
            return False
        try:
            viewer = subscription.caller.viewer()
            if viewer is subscription.viewer:
                return True
            subscription.viewer = viewer
            subscription.withdraw()
            subscription.admitted = math.inf
            read = self._read_for(subscription.prepared, viewer)
            live = self._shared(read, subscription.owner)
            if live is not subscription.live:
                self._leave(subscription)
            self._join(subscription, live)
        except GatewayError as error:
            self._end(subscription)
            subscription.end(error)
        return False

    def _give(self, subscription: Subscription) -> None:
        """Offer the newest answer to a subscription, if its viewer may still see it."""
        if self._judge(subscription):
            live = subscription.live
            assert live is not None
            assert live.answer is not None
            self._offer(subscription, live.answer)

    def _offer(self, subscription: Subscription, answer: bytes) -> None:
        self.events += subscription.offer(answer)

    # Reading -----------------------------------------------------------------------------------

    def _start(self, live: LiveAnswer) -> None:
        """Start to read an answer, unless it is being read."""
        if live.reader is None and live.read.refused is None:
            live.reader = reader = asyncio.create_task(self._read(live))
            self._readers.add(reader)
            reader.add_done_callback(self._readers.discard)

    async def _read(self, live: LiveAnswer) -> None:
        """Read an answer until nothing has changed meanwhile."""
        borrower.set(live.owner)
        loop = asyncio.get_running_loop()
        try:
            while live.subscriptions:
                if (pause := live.not_before - loop.time()) > 0:
                    await asyncio.sleep(pause)
                await self._fetch(live)
                if not live.dirty:
                    break
        finally:
            live.reader = None

    async def _fetch(self, live: LiveAnswer) -> None:
        read = live.read.field.read
        assert read is not None
        loop = asyncio.get_running_loop()
        await self._turn(live.owner)
        live.dirty, live.fetching, live.fetched = False, True, self._tick
        began = loop.time()
        self.reads += 1
        try:
            result = await self._database.fetch_json(read.statement.sql, live.read.arguments)
        except Exception as error:
            self._read_failed(live, as_gateway_error(error))
            return
        finally:
            self._pass_turn()
            live.fetching = False
        live.failures = 0
        now = loop.time()
        # So that one answer that is expensive and changes all the time leaves time for others.
        live.not_before = now + (now - began)
        answer = live.read.answer(b"null" if result is None else result)
        if answer != live.answer:
            live.answer = answer
        await self._deliver(live)

    def _read_failed(self, live: LiveAnswer, failure: GatewayError) -> None:
        retry = min(_FIRST_RETRY * 2.0 ** min(live.failures, 10), _LONGEST_RETRY)
        live.failures += 1
        live.not_before = asyncio.get_running_loop().time() + retry
        live.dirty = True
        for subscription in tuple(live.subscriptions):
            self._report(subscription, failure)

    async def _deliver(self, live: LiveAnswer) -> None:
        """Offer the newest answer to all subscriptions that it is new enough for."""
        for number, subscription in enumerate(tuple(live.subscriptions), 1):
            newest = self._tick if not live.dirty else live.fetched
            if subscription.live is live and subscription.admitted <= newest:
                self._give(subscription)
            if number % _AT_ONCE == 0:
                await asyncio.sleep(0)

    async def _turn(self, owner: str) -> None:
        """Wait for one of the connections that answers are read on; owners take turns."""
        if self._reading < _MAX_READS:
            self._reading += 1
            return
        place = self._queue.join(owner)
        try:
            await place
        except asyncio.CancelledError:
            if place.done() and not place.cancelled():
                self._pass_turn()
            raise
        finally:
            self._queue.leave(owner, place)

    def _pass_turn(self) -> None:
        place = self._queue.next()
        if place is None:
            self._reading -= 1
        else:
            place.set_result(None)
