"""Implement the source kind ``echo``, which returns its arguments."""

from __future__ import annotations

from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict

from resolvers.execution.sources.protocol import Call, SourceKind


class NoSettings(BaseModel):
    """The settings model of a kind without settings."""

    model_config = ConfigDict(extra="forbid")


class EchoKind(SourceKind):
    """Returns its arguments. Useful for testing processes."""

    name: ClassVar[str] = "echo"
    settings: ClassVar[type[BaseModel]] = NoSettings

    async def act(self, call: Call) -> Any:
        """Return the arguments as an object."""
        return dict(call.arguments)

    def is_idempotent(self, action: str, settings: BaseModel) -> bool:
        """Return true: nothing changes."""
        return True
