"""Perform one attempt of an action, within its time, and decide whether another one follows."""

from __future__ import annotations

import asyncio
import logging
import random
import re
from collections.abc import Coroutine
from typing import Any, NamedTuple

import orjson

from resolvers.execution.sources.protocol import ActionFailedError, Repeat

logger = logging.getLogger(__name__)

_NOT_STORABLE = re.compile("[\0\ud800-\udfff]")
"""Characters that a source may return and PostgreSQL cannot store."""

_END_SECONDS = 5.0
"""Seconds that an action gets to end after it was canceled."""
_SHORTEST_DELAY = 1.0
_LONGEST_DELAY = 60.0
"""Seconds between two attempts."""


class Outcome(NamedTuple):
    """How an attempt ended."""

    result: bytes | None = None
    """JSON; None if it failed."""
    error: str | None = None
    error_code: str | None = None
    in_doubt: bool = False
    """Whether its effect may or may not have happened."""
    repeat: Repeat = Repeat.NEVER
    retry_after: float | None = None
    """Seconds that the source asks to wait."""
    timed_out: bool = False
    canceled: bool = False
    """Whether it was ended from outside, before its time was over."""


_CANCELED = Outcome(error="it was canceled", error_code="cancelled", in_doubt=True, canceled=True)
# Nobody knows how far it came.
_UNEXPECTED = Outcome(
    error="the source raised an unexpected error", error_code="source_failed", in_doubt=True
)


class Attempt:
    """One attempt of an action, which can be ended from outside.

    Args:
        act: Performs it.
    """

    def __init__(self, act: Coroutine[Any, Any, Any]) -> None:
        self._task = asyncio.create_task(act)
        self._expiry: asyncio.TimerHandle | None = None
        self._canceled = False
        self._stopped: asyncio.Future[None] | None = None

    def cancel(self, grace: float = 0.0) -> None:
        """End it after a grace period, in seconds."""
        if self._expiry is None:
            loop = asyncio.get_running_loop()
            self._expiry = loop.call_later(grace, self._cancel)
        elif not grace:
            self._cancel()

    def _cancel(self) -> None:
        self._task.cancel()
        self._canceled = True
        if self._stopped is not None and not self._stopped.done():
            self._stopped.set_result(None)

    async def outcome(self, seconds: float) -> Outcome:
        """Return how it ended. If it takes longer than ``seconds``, it is canceled.

        The error of one that took too long is for the caller to say, and is continued by that of
        the outcome. If the caller is canceled, the attempt is too.
        """
        timed_out = False
        try:
            # Most of what does not wait for anything has ended after this. A timer costs more.
            await asyncio.sleep(0)
            if not self._task.done() and not self._canceled:
                self._stopped = asyncio.get_running_loop().create_future()
                await asyncio.wait(
                    (self._task, self._stopped),
                    timeout=seconds,
                    return_when=asyncio.FIRST_COMPLETED,
                )
            if not self._task.done():
                timed_out = not self._canceled
                self._task.cancel()
                # The next attempt must not overlap with this one.
                await asyncio.wait((self._task,), timeout=_END_SECONDS)
        except asyncio.CancelledError:
            self._task.cancel()
            raise
        finally:
            if self._expiry is not None:
                self._expiry.cancel()
        if not self._task.done():
            logger.error("an action does not end although it was canceled")
            if not timed_out:
                return _CANCELED
            error = ", and could not be stopped"
            return Outcome(error=error, error_code="timed_out", in_doubt=True, timed_out=True)
        if self._task.cancelled():
            if timed_out:
                return Outcome(
                    error_code="timed_out",
                    in_doubt=True,
                    repeat=Repeat.IF_IDEMPOTENT,
                    timed_out=True,
                )
            if self._canceled:
                return _CANCELED
            # The source has canceled itself.
            return _UNEXPECTED
        return _outcome_of(self._task)


def _outcome_of(task: asyncio.Task[Any]) -> Outcome:
    """Return the outcome of an action that has returned or raised."""
    failure = task.exception()
    if failure is None:
        try:
            return Outcome(result=orjson.dumps(task.result()))
        except TypeError:
            error = "the source returned a value that is not JSON"
            return Outcome(error=error, error_code="source_failed")
    if isinstance(failure, ActionFailedError):
        return Outcome(
            error=_NOT_STORABLE.sub("\ufffd", str(failure)),
            error_code="timed_out" if failure.timed_out else "source_failed",
            in_doubt=failure.in_doubt,
            repeat=failure.repeat,
            retry_after=failure.retry_after,
        )
    logger.error("a source kind failed", exc_info=failure)
    return _UNEXPECTED


def delay_before_next(
    outcome: Outcome, attempt: int, retries: int, *, idempotent: bool
) -> float | None:
    """Return the seconds to wait before another attempt, or None if there is none.

    The delay is random, so that many executions that failed together do not repeat together.

    Args:
        outcome: How the attempt failed.
        attempt: Its number, from 1.
        retries: The number of attempts that may follow the first.
        idempotent: Whether the action may be repeated although it may have had its effect.
    """
    repeatable = outcome.repeat is Repeat.ALWAYS or (
        outcome.repeat is Repeat.IF_IDEMPOTENT and idempotent
    )
    if not repeatable or attempt > retries:
        return None
    longest = min(_LONGEST_DELAY, _SHORTEST_DELAY * 2**attempt)
    delay = random.uniform(_SHORTEST_DELAY, longest)  # noqa: S311 - not a secret
    return max(delay, min(outcome.retry_after or 0.0, _LONGEST_DELAY))
