"""Implement the source kind ``echo``, which returns its arguments."""

from __future__ import annotations

from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict

from resolvers.execution.sources.protocol import Call


class NoSettings(BaseModel):
    """The settings model of a kind without settings."""

    model_config = ConfigDict(extra="forbid")


class EchoKind:
    """Returns its arguments. Useful for testing processes."""

    name: ClassVar[str] = "echo"
    settings: ClassVar[type[BaseModel]] = NoSettings

    async def run(self, call: Call) -> Any:
        """Return the arguments as an object."""
        return dict(call.arguments)
