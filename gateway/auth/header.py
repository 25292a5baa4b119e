"""Read the access token from an ``Authorization`` header."""

from __future__ import annotations

from gateway.auth.tokens import unauthenticated
from resolvers.errors.catalogue import missing_token


def bearer(header: str | None) -> str:
    """Return the token in an ``Authorization`` header, bare or after the word Bearer.

    Raises:
        GatewayError: ``UNAUTHENTICATED``: there is no header, no token in it, or another scheme
            than Bearer.
    """
    words = (header or "").split()
    if words and words[0].lower() == "bearer":
        del words[0]
    if not words:
        raise missing_token()
    if len(words) > 1:
        raise unauthenticated("expected the header as 'Authorization: Bearer <token>'")
    return words[0]
