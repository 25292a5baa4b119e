"""Define the protocol that source kinds implement.

A source kind is a class with a ``name``, a pydantic model of its ``settings``, and a ``run``
method. To add a kind to this project, write a module in this folder and list the class in
``registry.BUILT_IN``. Other packages add kinds through the entry point group
``process_gateway.sources``. ``resolvers.execution.engine`` handles input values, interpolation,
order, and recording; a kind only runs the action.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

from pydantic import BaseModel, SecretStr

PROCESS_KIND = "process"
"""The kind of the built-in source that runs other processes. The engine implements it."""


@dataclass(frozen=True, slots=True)
class Call:
    """An action to run."""

    action: str
    arguments: Sequence[tuple[str, str]]
    """References and values in order, with input values substituted."""
    settings: BaseModel
    """The settings of the source, as an instance of the kind's model."""


class ActionFailedError(Exception):
    """The source could not run the action. The message is shown to the caller."""


class SourceKind(Protocol):
    """A source kind."""

    name: ClassVar[str]
    settings: ClassVar[type[BaseModel]]
    """Model of the settings. ``SecretStr`` fields are stored separately and never returned."""

    async def run(self, call: Call) -> Any:
        """Run an action, and return its result, a JSON value.

        Raises:
            ActionFailedError: The action failed.
        """
        ...


def secret_names(settings: type[BaseModel]) -> set[str]:
    """Return the names of the secret settings, which no API may return."""
    return {
        name
        for name, info in settings.model_fields.items()
        if info.annotation in (SecretStr, SecretStr | None)
    }
