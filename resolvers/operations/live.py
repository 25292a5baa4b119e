"""Define a live answer: what all subscriptions of one statement with the same values share."""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from resolvers.access.viewer import Viewer
from resolvers.errors.catalogue import GatewayError
from resolvers.operations.answers import data_answer
from resolvers.operations.compile import CompiledField
from resolvers.operations.run import PreparedOperation
from storage.reads.dependencies import Dependency


class Caller(Protocol):
    """Whom a subscription is for."""

    def viewer(self) -> Viewer:
        """Return the viewer as of now.

        Raises:
            GatewayError: ``UNAUTHENTICATED`` or ``TOKEN_EXPIRED``.
        """
        ...


@dataclass(frozen=True, slots=True)
class LiveRead:
    """What a subscription reads for a viewer. All subscriptions of one ``key`` share it."""

    field: CompiledField
    arguments: tuple[object, ...]
    """The parameters of its statement."""
    dependencies: frozenset[Dependency]
    extensions: Mapping[str, Any] | None
    refused: GatewayError | None = None
    """The error that it answers with instead: the viewer lacks the permission."""

    @property
    def key(self) -> Hashable:
        """Identifies the answer: two reads of one key have the same bytes at any moment."""
        if self.refused is not None:
            return self.answer(self.refused)
        assert self.field.read is not None
        statement = self.field.read.statement
        return statement.key(self.arguments), self.field.opening, str(self.extensions)

    def answer(self, result: bytes | GatewayError) -> bytes:
        """Return the answer with this result of the statement."""
        return b"".join(data_answer((self.field,), [result], self.extensions).parts)


class LiveAnswer:
    """The newest answer to a read, and the subscriptions that it is for.

    Args:
        owner: Whom the connections are borrowed for, as ``storage.database.fairness`` has it.
    """

    __slots__ = (
        "answer",
        "dirty",
        "failures",
        "fetched",
        "fetching",
        "not_before",
        "owner",
        "read",
        "reader",
        "subscriptions",
    )

    def __init__(self, read: LiveRead, owner: str) -> None:
        self.read = read
        self.owner = owner
        self.subscriptions: dict[Subscription, None] = {}
        self.answer = None if read.refused is None else read.answer(read.refused)
        """The newest answer; None before the first one."""
        self.dirty = False
        """Whether something that it depends on has changed since it was read."""
        self.fetching = False
        """Whether its statement is running."""
        self.fetched = 0
        """The tick after which its statement began last."""
        self.failures = 0
        """How often in a row its statement has failed."""
        self.not_before = 0.0
        """When it may be read again."""
        self.reader: object | None = None
        """The task that reads it, if any."""

    @property
    def is_current(self) -> bool:
        """Whether the answer is as new as the last tick."""
        return self.answer is not None and not self.dirty and not self.fetching


class Subscription:
    """One subscription: its newest answer, until it is taken.

    Args:
        notify: Called in the event loop when there is a newer answer to take, or an ``error``.
        close: Ends it.
    """

    __slots__ = (
        "_close",
        "_newest",
        "_notify",
        "_taken",
        "admitted",
        "caller",
        "error",
        "live",
        "owner",
        "prepared",
        "viewer",
    )

    def __init__(
        self,
        prepared: PreparedOperation,
        caller: Caller,
        viewer: Viewer,
        owner: str,
        live: LiveAnswer,
        notify: Callable[[Subscription], None],
        close: Callable[[Subscription], None],
    ) -> None:
        self.prepared = prepared
        self.caller = caller
        self.viewer = viewer
        """The viewer that ``live`` is for."""
        self.owner = owner
        """The token that it is for, as ``storage.database.fairness`` has it."""
        self.live: LiveAnswer | None = live
        """None after it has ended."""
        self.admitted = math.inf
        """The first tick after it joined ``live``. An older answer may be older than that."""
        self.error: GatewayError | None = None
        """Why it ended, if not because it was closed."""
        self._newest: bytes | None = None
        self._taken: bytes | None = None
        self._notify = notify
        self._close = close

    @property
    def waits(self) -> bool:
        """Whether it has had no answer yet."""
        return self._newest is None

    def take(self) -> bytes | None:
        """Return the newest answer; None if it is the same as the one that was taken last."""
        if self._newest is None or self._newest == self._taken:
            return None
        self._taken = self._newest
        return self._newest

    def close(self) -> None:
        """End it. Nothing happens if it has ended."""
        self._close(self)

    # For the module `subscribe` ----------------------------------------------------------------

    def offer(self, answer: bytes) -> bool:
        """Replace the newest answer. Return whether the bytes differ."""
        if answer == self._newest:
            return False
        self._newest = answer
        self._notify(self)
        return True

    def withdraw(self) -> None:
        """Forget an answer that was not taken: the viewer may not see it any more."""
        self._newest = self._taken

    def end(self, error: GatewayError) -> None:
        """Report the error that ended it."""
        self.error = error
        self._notify(self)
