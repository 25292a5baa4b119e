"""In charge of the kinds of source: what each does with an action.

A kind is a class with a ``name``, a pydantic model of its settings and a ``run``. A new kind of
this project is a module beside this one, listed in ``BUILT_IN``; other packages add theirs through
the entry point group ``process_gateway.sources``. What belongs to the run itself (inputs,
interpolation, order, recording) is ``engine``'s.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import entry_points

from resolvers.execution.sources.echo import EchoKind
from resolvers.execution.sources.protocol import SourceKind

ENTRY_POINTS = "process_gateway.sources"


BUILT_IN: tuple[type[SourceKind], ...] = (EchoKind,)


def installed_kinds() -> dict[str, SourceKind]:
    """The kinds of this gateway and of the packages installed beside it, by name."""
    kinds: dict[str, SourceKind] = {kind.name: kind() for kind in BUILT_IN}
    for point in entry_points(group=ENTRY_POINTS):
        kind = point.load()()
        kinds.setdefault(kind.name, kind)
    return kinds


def known_kinds(kinds: Mapping[str, SourceKind]) -> str:
    """The kinds that a source can be created of, for messages."""
    return ", ".join(sorted(kinds))
