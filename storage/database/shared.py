"""Share one run of a coroutine between callers."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, Generic, TypeVar

_Value = TypeVar("_Value")


class SharedRun(Generic[_Value]):
    """A run that several callers wait for. It is canceled when all of them were canceled.

    The coroutine starts in a task of its own when the event loop gets to it, after the callers that
    are ready before.
    """

    def __init__(self, run: Coroutine[Any, Any, _Value]) -> None:
        self.task = asyncio.create_task(run)
        self.abandoned = False
        """Whether it was canceled, so that nobody may join it any more."""
        self._waiting = 0

    async def result(self) -> _Value:
        """Wait for the result, or raise what the run raises."""
        self._waiting += 1
        try:
            return await asyncio.shield(self.task)
        except asyncio.CancelledError:
            if self._waiting == 1:
                self.abandoned = True
                self.task.cancel()
            raise
        finally:
            self._waiting -= 1
