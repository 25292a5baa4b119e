"""In charge of what passes between the gateway and a dialect: a request, and the response to it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from resolvers.access.viewer import Viewer

Authenticate = Callable[[], Awaitable[Viewer]]
"""Tells who asks; raises ``GatewayError`` where the token does not."""


class ReadBody(Protocol):
    """Reads the body of a request, once it is needed."""

    def __call__(self, *, bulk: bool) -> Awaitable[bytes]:
        """Return the body.

        Args:
            bulk: whether it may be as long as ``max_bulk_body_bytes`` allows.

        Raises:
            GatewayError: ``BAD_USER_INPUT``, if it is too long.
        """
        ...


@dataclass(frozen=True, slots=True)
class Request:
    """A request below a dialect's mount."""

    method: str
    path: str
    """As it came, percent-encoded, without the base path and the query."""
    query: Mapping[str, str]
    read_body: ReadBody
    content_type: str = ""
    """The ``Content-Type`` header; the body is read as JSON whatever it says."""


@dataclass(frozen=True, slots=True)
class Response:
    """What to answer; a body is always JSON."""

    status: int
    parts: tuple[bytes, ...] = ()
    """The body; none for an empty one. What the database answered is one of them as it came."""
    headers: Mapping[str, str] = field(default_factory=dict)
    """Those that say more than that it is JSON for this caller alone."""


def retry_after(seconds: int | None) -> dict[str, str]:
    """Return the ``Retry-After`` header of an error response, or no header if there is no wait."""
    return {} if seconds is None else {"Retry-After": str(seconds)}
