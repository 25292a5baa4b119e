"""In charge of the kinds of source: what each does with an action.

A kind is a class with a ``name``, a pydantic model of its settings and a ``run``. A new kind of
this project is a module beside this one, listed in ``BUILT_IN``; other packages add theirs through
the entry point group ``process_gateway.sources``. What belongs to the run itself (inputs,
interpolation, order, recording) is ``engine``'s.
"""

from __future__ import annotations

from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict

from resolvers.execution.sources.protocol import Call


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
