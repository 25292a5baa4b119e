"""In charge of tokens: signing one for a profile, and telling who sent one.

A token is a JWT, signed with HS256, that names a profile and ends at a set time. Nothing here asks
the database: whether a good token was revoked, and what its profile may do, is looked up later.
"""

from __future__ import annotations

import re
import secrets
import time
from dataclasses import dataclass
from datetime import timedelta
from functools import lru_cache
from math import ceil
from typing import Annotated, Literal

import jwt
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from gateway.auth.secret import read_or_make_secret
from gateway.settings.model import Settings, SettingsError
from resolvers.errors.catalogue import ErrorKind, GatewayError

MAX_TOKEN_LENGTH = 4096
"""Characters; the gateway's own tokens have about 300."""

_ALGORITHM = "HS256"
_SHORTEST_SECRET = 32  # characters: a shorter key would be weaker than the hash it feeds
_CACHED_TOKENS = 1024
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
_YEAR_9999 = 253_402_300_799  # its last second: what a datetime can still hold
_LONGEST_TTL = timedelta(days=3650)


@dataclass(frozen=True, slots=True)
class Claims:
    """What a good token says."""

    profile_id: int
    token_id: str
    """What revocation goes by (``jti``)."""
    expires_at: int
    """The first second, since 1970 UTC, in which the token is no longer good."""


class _Payload(BaseModel):
    """A token's payload: exactly what ``issue`` writes, by RFC 7519's names.

    Strict, so that true is not profile 1; and a claim that is not known is refused, because it may
    be one that narrows what the token is good for (``nbf``, say).
    """

    model_config = ConfigDict(strict=True, extra="forbid")

    iss: Literal["process-gateway"]
    aud: Literal["process-gateway"]
    jti: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,64}$")]
    iat: Annotated[int, Field(ge=0)]
    exp: Annotated[int, Field(ge=0, le=_YEAR_9999)]
    profile: Annotated[int, Field(ge=1, le=2**31 - 1)]
    name: str


class TokenKeys:
    """Issues and verifies the tokens of one secret."""

    def __init__(self, secret: str) -> None:
        """``secret`` is used as its UTF-8 bytes; it has 32 characters or more."""
        if len(secret) < _SHORTEST_SECRET:
            raise ValueError(f"a token secret has at least {_SHORTEST_SECRET} characters")
        self._key = secret.encode()
        self._jws = jwt.PyJWS(algorithms=[_ALGORITHM])
        # A client sends the same token again and again, and a signature takes 30 µs to check. Only
        # the time moves on, so that is checked outside. Refused tokens are not kept.
        self._read_cached = lru_cache(maxsize=_CACHED_TOKENS)(self._read)

    @classmethod
    def from_settings(cls, settings: Settings) -> TokenKeys:
        """The keys of the setting ``token_secret``, or else of the secret in the data folder.

        The first process that needs the secret makes it, in a file that only its user can read.

        Raises:
            SettingsError: The file cannot be made or read, or does not hold a secret.
        """
        if settings.token_secret is not None:
            return cls(settings.token_secret.get_secret_value())
        path = settings.data_dir / "token-secret"
        try:
            return cls(read_or_make_secret(path))
        except OSError as error:
            raise SettingsError(f"data_dir: cannot use {path}: {error.strerror}") from error
        except ValueError as error:
            raise SettingsError(f"data_dir: {path} holds no secret: {error}") from error

    def issue(self, profile_id: int, profile_name: str, ttl: timedelta) -> str:
        """A new token for a profile, good from now for ``ttl`` (rounded up to whole seconds).

        The name is for people who look into the token; only the id counts.
        """
        now = int(time.time())
        payload = _Payload(
            iss="process-gateway",
            aud="process-gateway",
            jti=secrets.token_urlsafe(16),
            iat=now,
            exp=now + ceil(ttl.total_seconds()),
            profile=profile_id,
            name=profile_name,
        )
        return self._jws.encode(payload.model_dump_json().encode(), self._key, _ALGORITHM)

    def verify(self, token: str) -> Claims:
        """What ``token`` says, if it is one of ours and still good.

        Raises:
            GatewayError: ``TOKEN_EXPIRED`` for a token of ours that has ended, ``UNAUTHENTICATED``
                for anything else.
        """
        if len(token) > MAX_TOKEN_LENGTH or not token.isascii():
            raise unauthenticated("this is not a token of this gateway")
        claims = self._read_cached(token)
        if claims.expires_at <= time.time():
            raise GatewayError(ErrorKind.TOKEN_EXPIRED, "the token has expired; ask for a new one")
        return claims

    def _read(self, token: str) -> Claims:
        try:
            payload = _Payload.model_validate_json(self._jws.decode(token, self._key, [_ALGORITHM]))
        except jwt.InvalidSignatureError:
            raise unauthenticated("the token was not signed by this gateway") from None
        # The header is the sender's own JSON, read before the signature: it may nest too deep.
        except (jwt.InvalidTokenError, RecursionError):
            raise unauthenticated("this is not a token of this gateway") from None
        except ValidationError:
            raise unauthenticated("the token's claims are not those of this gateway") from None
        return Claims(payload.profile, payload.jti, payload.exp)


def parse_ttl(text: str) -> timedelta:
    """Read how long a token shall be good: ``90s``, ``30m``, ``12h`` or ``7d``.

    Raises:
        ValueError: ``text`` is not of that form, is zero, or is more than 3650 days.
    """
    match = re.fullmatch(r"([0-9]{1,9})([smhd])", text)
    ttl = timedelta(**{_UNITS[match[2]]: int(match[1])}) if match else timedelta()
    if not timedelta() < ttl <= _LONGEST_TTL:
        raise ValueError(
            f"expected a time such as 90s, 30m, 12h or 7d, at most {_LONGEST_TTL.days}d, "
            f"got {text!r}"
        )
    return ttl


def unauthenticated(message: str) -> GatewayError:
    """Return the error for a token that is not valid."""
    return GatewayError(ErrorKind.UNAUTHENTICATED, message)
