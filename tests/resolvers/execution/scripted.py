"""A source kind that does what a test tells it to."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, ClassVar, Self

from pydantic import BaseModel, model_validator

from resolvers.execution.sources.protocol import Call, SourceKind

Act = Callable[[Call], Awaitable[Any]]


class ScriptedSettings(BaseModel):
    """Settings that are read between the record of an attempt and its action."""

    when_read: ClassVar[Callable[[], None]] = lambda: None

    @model_validator(mode="after")
    def _read(self) -> Self:
        type(self).when_read()
        return self


class ScriptedKind(SourceKind):
    """Runs a function of the test for each action. Those that begin with ``again`` are idempotent.

    An action without a function returns the number of the call.
    """

    name: ClassVar[str] = "scripted"
    settings: ClassVar[type[BaseModel]] = ScriptedSettings
    script: ClassVar[dict[str, Act]] = {}
    calls: ClassVar[list[Call]] = []

    async def act(self, call: Call) -> Any:
        self.calls.append(call)
        if act := self.script.get(call.action):
            return await act(call)
        return len(self.calls)

    def is_idempotent(self, action: str, settings: BaseModel) -> bool:
        return action.startswith("again")


def called() -> list[str]:
    """Return the actions that were performed, in their order."""
    return [call.action for call in ScriptedKind.calls]


class Latch:
    """An action that waits until the test lets it go on."""

    def __init__(self, action: str) -> None:
        self.open = asyncio.Event()
        self.running = 0
        self.most = 0
        """How many have waited at the same time."""
        ScriptedKind.script[action] = self._act

    async def _act(self, call: Call) -> str:
        self.running += 1
        self.most = max(self.most, self.running)
        try:
            await self.open.wait()
        finally:
            self.running -= 1
        return "done"


async def hang(call: Call) -> None:
    """Do nothing until it is canceled."""
    await asyncio.Event().wait()
