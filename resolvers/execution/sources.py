"""In charge of the kinds of source: what each does with an action.

A kind is a class with a ``name``, a pydantic model of its settings and a ``run``. A new kind of
this project is a module beside this one, listed in ``BUILT_IN``; other packages add theirs through
the entry point group ``process_gateway.sources``. What belongs to the run itself (inputs,
interpolation, order, recording) is ``engine``'s.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import entry_points
from typing import Any, ClassVar, Protocol

from pydantic import BaseModel, ConfigDict, SecretStr

ENTRY_POINTS = "process_gateway.sources"

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


class NoSettings(BaseModel):
    """The settings of a kind that needs none."""

    model_config = ConfigDict(extra="forbid")


class EchoKind:
    """Answers with its arguments, for trying things out."""

    name: ClassVar[str] = "echo"
    settings: ClassVar[type[BaseModel]] = NoSettings

    async def run(self, call: Call) -> Any:
        """The arguments as an object."""
        return dict(call.arguments)


BUILT_IN: tuple[type[SourceKind], ...] = (EchoKind,)


def installed_kinds() -> dict[str, SourceKind]:
    """The kinds of this gateway and of the packages installed beside it, by name."""
    kinds: dict[str, SourceKind] = {kind.name: kind() for kind in BUILT_IN}
    for point in entry_points(group=ENTRY_POINTS):
        kind = point.load()()
        kinds.setdefault(kind.name, kind)
    return kinds


def secret_names(settings: type[BaseModel]) -> set[str]:
    """The settings of a kind that no API may show."""
    return {
        name
        for name, info in settings.model_fields.items()
        if info.annotation in (SecretStr, SecretStr | None)
    }


def known_kinds(kinds: Mapping[str, SourceKind]) -> str:
    """The kinds that a source can be created of, for messages."""
    return ", ".join(sorted(kinds))
