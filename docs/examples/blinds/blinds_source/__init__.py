"""A source kind for blinds that a controller moves over TCP.

The controller takes one line, such as ``move 3 50 key=…``, and answers ``ok`` or ``error`` and the
reason.
"""

from __future__ import annotations

import asyncio
from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict, Field, SecretStr

from resolvers.execution.sources.protocol import (
    ActionFailedError,
    Call,
    Catalogue,
    CatalogueAction,
    CatalogueArgument,
    Repeat,
    SourceKind,
)


class BlindsSettings(BaseModel):
    """The settings of a source. Administrators see the descriptions in ``sourceKinds``."""

    model_config = ConfigDict(extra="forbid")

    host: str = Field(description="Host of the controller.")
    port: int = Field(9760, ge=1, le=65535, description="Port of the controller.")
    key: SecretStr | None = Field(None, description="Key of the controller.")


class BlindsKind(SourceKind):
    """Moves blinds. The result is the position that the controller reports."""

    name: ClassVar[str] = "blinds"
    settings: ClassVar[type[BaseModel]] = BlindsSettings

    def catalogue(self, settings: BaseModel | None) -> Catalogue:
        """Return the one action, which every source of the kind offers."""
        blind = CatalogueArgument("blind", "integer", description="Number of the blind.")
        position = CatalogueArgument("position", "integer", description="0 is open, 100 closed.")
        move = CatalogueAction("move", "Moves a blind.", (blind, position), idempotent=True)
        return Catalogue((move,), takes_any_action=False, takes_any_argument=False)

    def is_idempotent(self, action: str, settings: BaseModel) -> bool:
        """Return true: a blind that is moved to the same position twice is there."""
        return True

    async def act(self, call: Call) -> Any:
        """Send one command, and wait for its answer. The engine limits the time, and repeats."""
        settings = call.settings
        assert isinstance(settings, BlindsSettings)
        arguments = dict(call.arguments)
        if call.action != "move" or arguments.keys() != {"blind", "position"}:
            raise ActionFailedError("expected the action move with the arguments blind, position")
        if not all(value.isascii() and value.isdecimal() for value in arguments.values()):
            raise ActionFailedError("expected whole numbers")  # and nothing that adds a line
        try:
            reader, writer = await asyncio.open_connection(settings.host, settings.port)
        except OSError:
            raise ActionFailedError(
                "the controller cannot be reached", repeat=Repeat.ALWAYS
            ) from None
        try:
            key = settings.key.get_secret_value() if settings.key else ""
            command = f"move {arguments['blind']} {arguments['position']} key={key}\n"
            writer.write(command.encode())
            answer = (await reader.readline()).decode(errors="replace").split()
        except OSError:
            answer = []
        finally:
            writer.close()
        if not answer:
            # It was sent and not answered: nobody knows whether the blind moves.
            raise ActionFailedError(
                "the controller did not answer", repeat=Repeat.IF_IDEMPOTENT, in_doubt=True
            )
        if answer[0] != "ok":
            raise ActionFailedError(f"the controller refused: {' '.join(answer[1:])}")
        return {"position": int(arguments["position"])}
