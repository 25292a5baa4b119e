"""In charge of the kinds of source: what each does with an action.

A kind is a class with a ``name``, a pydantic model of its settings and a ``run``. A new kind of
this project is a module beside this one, listed in ``BUILT_IN``; other packages add theirs through
the entry point group ``process_gateway.sources``. What belongs to the run itself (inputs,
interpolation, order, recording) is ``engine``'s.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

from pydantic import BaseModel, SecretStr

PROCESS_KIND = "process"
"""The kind of the one source that runs other processes; the engine does that itself."""


@dataclass(frozen=True, slots=True)
class Call:
    """An action about to be run."""

    action: str
    arguments: Sequence[tuple[str, str]]
    """References and values, inputs filled in, in order."""
    settings: BaseModel
    """The source's settings, an instance of the kind's model."""


class ActionFailedError(Exception):
    """The source could not do it; the message is shown to whoever asked."""


class SourceKind(Protocol):
    """A kind of source."""

    name: ClassVar[str]
    settings: ClassVar[type[BaseModel]]
    """Model of its settings; fields of type ``SecretStr`` are stored apart and never shown."""

    async def run(self, call: Call) -> Any:
        """Do the action; returns a JSON value.

        Raises:
            ActionFailedError: it could not be done.
        """
        ...


def secret_names(settings: type[BaseModel]) -> set[str]:
    """The settings of a kind that no API may show."""
    return {
        name
        for name, info in settings.model_fields.items()
        if info.annotation in (SecretStr, SecretStr | None)
    }
