"""Issue and verify access tokens.

A token is a JWT, signed with HS256, that names a profile and has an expiration time. This module
does not use the database: whether a token was revoked, and what its profile may do, is checked
later (``resolvers.access.directory``).
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

from gateway.auth.secret import create_secret
from gateway.settings.model import Settings, SettingsError, no_gateway_in
from resolvers.errors.catalogue import ErrorKind, GatewayError

MAX_TOKEN_LENGTH = 4096
"""In characters; the gateway's own tokens have about 300."""

_ALGORITHM = "HS256"
_SHORTEST_SECRET = 32  # characters: a shorter key is weaker than the hash
_CACHED_TOKENS = 1024
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
_YEAR_9999 = 253_402_300_799  # its last second, the latest that a datetime can hold
_LONGEST_TTL = timedelta(days=3650)


@dataclass(frozen=True, slots=True)
class Claims:
    """The claims of a token. Times are in seconds since 1970 UTC."""

    profile_id: int
    profile_name: str
    """The name when the token was issued, for display only."""
    token_id: str
    """The claim ``jti``, by which a token is revoked."""
    issued_at: int
    expires_at: int
    """The first second in which the token is no longer valid."""


class _Payload(BaseModel):
    """The payload of a token: what ``issue`` writes, with the names of RFC 7519.

    Strict, so that ``true`` is not profile 1. Unknown claims are rejected because they may restrict
    the use of the token (``nbf``, for example).
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
        """Use the UTF-8 bytes of ``secret``.

        Raises:
            ValueError: It has fewer than 32 characters, or is a key of another kind, which may be
                public: a PEM file or a JWK.
        """
        if len(secret) < _SHORTEST_SECRET:
            raise ValueError(f"a token secret has at least {_SHORTEST_SECRET} characters")
        try:
            self._key = jwt.get_algorithm_by_name(_ALGORITHM).prepare_key(secret.encode())
        except jwt.InvalidKeyError as error:
            raise ValueError("a token secret is text, and not a key of another kind") from error
        self._jws = jwt.PyJWS(algorithms=[_ALGORITHM])
        # A client sends the same token many times, and checking a signature takes 30 µs. Expiration
        # depends on the time, so it is checked outside the cache. Rejected tokens are not cached.
        self._read_cached = lru_cache(maxsize=_CACHED_TOKENS)(self._read)

    @classmethod
    def from_settings(cls, settings: Settings, *, create: bool = False) -> TokenKeys:
        """Return the keys of the setting ``token_secret``, or of the secret in the data folder.

        Args:
            settings: The settings in force.
            create: Whether to create a missing secret, in a file that only its user can read.

        Raises:
            SettingsError: The file does not exist, cannot be created or read, or does not contain a
                secret; or the setting is no secret.
        """
        if settings.token_secret is not None:
            try:
                return cls(settings.token_secret.get_secret_value())
            except ValueError as error:
                raise SettingsError(f"token_secret: {error}") from None
        path = settings.data_dir / "token-secret"
        try:
            if create:
                create_secret(path)
            return cls(path.read_text(encoding="utf-8").strip())
        except (FileNotFoundError, NotADirectoryError) as error:
            if create:
                raise SettingsError(f"data_dir: cannot use {path}: {error.strerror}") from error
            raise no_gateway_in(settings.data_dir, "token secret") from error
        except OSError as error:
            raise SettingsError(f"data_dir: cannot use {path}: {error.strerror}") from error
        except ValueError as error:
            raise SettingsError(f"data_dir: {path} contains no secret: {error}") from error

    def issue(self, profile_id: int, profile_name: str, ttl: timedelta) -> str:
        """Return a new token for a profile, valid for ``ttl`` (rounded up to whole seconds).

        The name is for people who inspect the token; only the ID is used.
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
        """Return the claims of a token that this gateway signed and that has not expired.

        Raises:
            GatewayError: ``TOKEN_EXPIRED`` for a token of this gateway that has expired,
                ``UNAUTHENTICATED`` for anything else.
        """
        if len(token) > MAX_TOKEN_LENGTH or not token.isascii():
            raise unauthenticated("this is not a token of this gateway")
        claims = self._read_cached(token)
        require_unexpired(claims)
        return claims

    def decode(self, token: str) -> Claims | None:
        """Return the claims of a token without verifying it; None if it has not these claims.

        For display only: anyone can write such a token.
        """
        try:
            return _claims(self._jws.decode(token, options={"verify_signature": False}))
        except (jwt.InvalidTokenError, RecursionError, ValidationError):
            return None

    def _read(self, token: str) -> Claims:
        try:
            return _claims(self._jws.decode(token, self._key, [_ALGORITHM]))
        except jwt.InvalidSignatureError:
            raise unauthenticated("the token was not signed by this gateway") from None
        # The header is the client's JSON, read before the signature is checked. It may be nested
        # too deeply.
        except (jwt.InvalidTokenError, RecursionError):
            raise unauthenticated("this is not a token of this gateway") from None
        except ValidationError:
            raise unauthenticated("the token's claims are not those of this gateway") from None


def require_unexpired(claims: Claims) -> None:
    """Check that a token has not expired. Raises ``TOKEN_EXPIRED``."""
    if claims.expires_at <= time.time():
        raise GatewayError(ErrorKind.TOKEN_EXPIRED, "the token has expired; ask for a new one")


def _claims(payload: bytes) -> Claims:
    claims = _Payload.model_validate_json(payload)
    return Claims(claims.profile, claims.name, claims.jti, claims.iat, claims.exp)


def parse_ttl(text: str) -> timedelta:
    """Parse the lifetime of a token: ``90s``, ``30m``, ``12h`` or ``7d``.

    Raises:
        ValueError: ``text`` does not have that form, is zero, or is more than 3650 days.
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
