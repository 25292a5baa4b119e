"""List the source kinds that are available: the built-in ones and those of installed packages.

``resolvers.execution.sources.protocol`` describes how to add a kind.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import entry_points

from resolvers.execution.sources.echo import EchoKind
from resolvers.execution.sources.http.kind import HttpKind
from resolvers.execution.sources.mqtt.kind import MqttKind
from resolvers.execution.sources.protocol import SourceKind

ENTRY_POINTS = "process_gateway.sources"
"""The entry point group through which other packages add source kinds."""

BUILT_IN: tuple[type[SourceKind], ...] = (EchoKind, HttpKind, MqttKind)
"""The source kinds of this project, except ``process``, which the engine implements."""


def installed_kinds() -> dict[str, SourceKind]:
    """Return the built-in kinds and those of installed packages, by name.

    A built-in kind takes precedence over a kind of the same name from a package.
    """
    kinds: dict[str, SourceKind] = {kind.name: kind() for kind in BUILT_IN}
    for point in entry_points(group=ENTRY_POINTS):
        kind = point.load()()
        kinds.setdefault(kind.name, kind)
    return kinds


def known_kinds(kinds: Mapping[str, SourceKind]) -> str:
    """Format the names of the kinds for error messages."""
    return ", ".join(sorted(kinds))
