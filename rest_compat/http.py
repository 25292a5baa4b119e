"""In charge of what passes between the gateway and a dialect: a request, and the response to it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

from resolvers.access.viewer import Viewer

Authenticate = Callable[[], Awaitable[Viewer]]
"""Tells who asks; raises ``GatewayError`` where the token does not."""


@dataclass(frozen=True, slots=True)
class Request:
    """A request below a dialect's mount."""

    method: str
    path: str
    """As it came, percent-encoded, without the base path and the query."""
    query: Mapping[str, str]
    read_body: Callable[[], Awaitable[bytes]]
    """Reads the body, no sooner than it is wanted; raises ``GatewayError`` where it is too long."""


@dataclass(frozen=True, slots=True)
class Response:
    """What to answer; a body is always JSON."""

    status: int
    parts: tuple[bytes, ...] = ()
    """The body; none for an empty one. What the database answered is one of them as it came."""
    headers: Mapping[str, str] = field(default_factory=dict)
    """Those that say more than that it is JSON for this caller alone."""

    @property
    def body(self) -> bytes:
        """The body in one piece."""
        return b"".join(self.parts)
