"""In charge of tokens: signing one for a profile, and telling who sent one.

A token is a JWT, signed with HS256, that names a profile and ends at a set time. Nothing here asks
the database: whether a good token was revoked, and what its profile may do, is looked up later.
"""

from __future__ import annotations

from gateway.auth.tokens import unauthenticated
from resolvers.errors.catalogue import missing_token


def bearer(header: str | None) -> str:
    """The token in the value of an ``Authorization`` header, bare or after the word Bearer.

    Raises:
        GatewayError: ``UNAUTHENTICATED`` where there is no header, no token in it, or another
            scheme than Bearer.
    """
    words = (header or "").split()
    if words and words[0].lower() == "bearer":
        del words[0]
    if not words:
        raise missing_token()
    if len(words) > 1:
        raise unauthenticated("expected the header as 'Authorization: Bearer <token>'")
    return words[0]
