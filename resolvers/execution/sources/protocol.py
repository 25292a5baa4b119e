"""Define what source kinds implement.

A source kind is a subclass of ``SourceKind``. To add one to this project, write a module in this
folder and list the class in ``registry.BUILT_IN``. Other packages add kinds through the entry point
group ``process_gateway.sources``. The engine handles input values, order, records, time limits and
repetition; a kind only performs one attempt of an action, and says how it failed.
"""

from __future__ import annotations

import uuid
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum
from functools import cache
from typing import Any, ClassVar

from pydantic import BaseModel, SecretStr

_KEYS = uuid.UUID("5f0b8b8e-6f5c-4b0e-9d53-0d1d6a8f7a55")
"""The namespace of idempotency keys."""
PROCESS_KIND = "process"
"""The kind of the built-in source that runs other processes. The engine implements it."""


@dataclass(frozen=True, slots=True)
class Call:
    """One attempt of an action."""

    action: str
    arguments: Sequence[tuple[str, str]]
    """References and values in order, with input values substituted."""
    settings: BaseModel
    """The settings of the source, as an instance of the kind's model. Calls share it."""
    step_key: str = ""
    """Identifies the step among those of all gateways; empty if there is none."""
    attempt: int = 1
    """The number of the attempt, from 1."""
    seconds: float = 10.0
    """After so many seconds the engine cancels the attempt."""

    @property
    def idempotency_key(self) -> str:
        """A UUID, the same for all attempts of a step; empty if there is no step."""
        return str(uuid.uuid5(_KEYS, self.step_key)) if self.step_key else ""


class Repeat(Enum):
    """Whether an action that failed may succeed if it is repeated."""

    NEVER = "never"
    """It would fail again, or must not be repeated."""
    IF_IDEMPOTENT = "if idempotent"
    """It may have had its effect, or a part of it."""
    ALWAYS = "always"
    """It had no effect, and the cause passes: it was not sent, or refused because of the load."""


class ActionFailedError(Exception):
    """An attempt failed.

    Args:
        message: What happened. Callers see it, so it contains no secret, host or path.
        repeat: Whether another attempt may succeed.
        in_doubt: Whether the effect may or may not have happened.
        retry_after: Seconds that the source asks to wait before another attempt.
        timed_out: Whether the cause is that the attempt took too long.
    """

    def __init__(
        self,
        message: str,
        *,
        repeat: Repeat = Repeat.NEVER,
        in_doubt: bool = False,
        retry_after: float | None = None,
        timed_out: bool = False,
    ) -> None:
        super().__init__(message)
        self.repeat = repeat
        self.in_doubt = in_doubt
        self.retry_after = retry_after
        self.timed_out = timed_out


@dataclass(frozen=True, slots=True)
class CatalogueArgument:
    """An argument that an action takes."""

    reference: str
    type: str = "text"
    """A known type of inputs, such as ``number``."""
    required: bool = True
    description: str = ""


@dataclass(frozen=True, slots=True)
class CatalogueAction:
    """An action that a source offers."""

    name: str
    description: str = ""
    arguments: tuple[CatalogueArgument, ...] = ()
    idempotent: bool = False


@dataclass(frozen=True, slots=True)
class Catalogue:
    """The actions that a source offers."""

    actions: tuple[CatalogueAction, ...] = field(default=())
    takes_any_action: bool = True
    """Whether it takes other actions than those listed."""
    takes_any_argument: bool = True
    """Whether its listed actions take other arguments than those listed with them."""


class SourceKind(ABC):
    """A source kind. There is one instance of each in a gateway."""

    name: ClassVar[str]
    """The kind, as sources name it."""
    settings: ClassVar[type[BaseModel]]
    """Model of the settings. ``SecretStr`` fields are stored separately and never returned."""

    @abstractmethod
    async def act(self, call: Call) -> Any:
        """Perform one attempt of an action, and return its result, a JSON value.

        It is cancelled when its time is over, and when the execution is cancelled. It must not
        repeat anything itself, and must end soon after it was cancelled.

        Raises:
            ActionFailedError: The attempt failed.
        """

    def is_idempotent(self, action: str, settings: BaseModel) -> bool:
        """Whether an action has the same effect if it is repeated with the same arguments."""
        return False

    def catalogue(self, settings: BaseModel | None) -> Catalogue:
        """Return the actions that the kind offers, or a source with these settings."""
        return Catalogue()

    async def close(self) -> None:  # noqa: B027 - most kinds have nothing to close
        """Close what the kind keeps open. Called when the gateway stops."""


@cache
def secret_names(settings: type[BaseModel]) -> frozenset[str]:
    """Return the names of the secret settings, which no API may return."""
    return frozenset(
        name
        for name, info in settings.model_fields.items()
        if info.annotation in (SecretStr, SecretStr | None)
    )
