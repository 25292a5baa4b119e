"""Define the requests and responses that the gateway and the dialects exchange."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from resolvers.access.viewer import Viewer
from resolvers.operations.kept import Kept
from resolvers.values.json_limits import RawJson
from storage.database.stream import Parts

IDEMPOTENCY_KEY = "Idempotency-Key"
"""The header that identifies a request to execute a process."""

Authenticate = Callable[[], Awaitable[Viewer]]
"""Returns the authenticated caller. Raises ``GatewayError`` if the token is not valid."""


class ReadBody(Protocol):
    """Reads the body of a request, once it is needed."""

    def __call__(self, *, bulk: bool) -> Awaitable[RawJson]:
        """Return the body.

        Args:
            bulk: Whether the limit ``max_bulk_body_bytes`` applies instead of
                ``max_body_bytes``.

        Raises:
            GatewayError: ``BAD_USER_INPUT``, if it is too long.
        """
        ...


@dataclass(frozen=True, slots=True)
class Request:
    """A request to a path of a dialect."""

    method: str
    path: str
    """The path as received: percent-encoded, without the base path and the query string."""
    query: Mapping[str, str]
    read_body: ReadBody
    content_type: str = ""
    """The ``Content-Type`` header. The body is read as JSON regardless of it."""
    known: Collection[str] = ()
    """The tags of the answers that the client of a GET request has."""
    if_match: str | None = None
    """The ``If-Match`` header."""
    idempotency_keys: Sequence[str] = ()
    """The ``Idempotency-Key`` headers."""


@dataclass(frozen=True, slots=True)
class Response:
    """A response. A body is always JSON."""

    status: int
    parts: Parts = ()
    """The parts of the body. JSON from the database is one of them, unchanged."""
    headers: Mapping[str, str] = field(default_factory=dict)
    """The headers besides those of every response (JSON, private)."""
    tag: str | None = None
    """Identifies the answer to a read among all versions of it."""
    kept: Kept | None = None
    """Where the answer to a read is kept. Other forms of the body can be kept there."""


def retry_after(seconds: int | None) -> dict[str, str]:
    """Return the ``Retry-After`` header of an error response, or no header if there is no wait."""
    return {} if seconds is None else {"Retry-After": str(seconds)}
