"""Encrypt the secrets of sources at rest, and hide them in everything that is recorded or shown.

A secret is stored as ``{"sealed": token}``. The token is that of Fernet: AES-128 in CBC mode and an
HMAC. Its plaintext holds the source and the name of the setting, which are checked when it is
opened: a token that somebody copies to another place in the database is of no use there.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any
from urllib.parse import quote

import orjson
from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from pydantic import BaseModel

from resolvers.execution.sources.protocol import (
    ActionFailedError,
    Call,
    SourceKind,
    secret_names,
)

MASK = "•••"
"""Stands for a secret in results and errors."""
_SEALED = "sealed"


class SecretError(Exception):
    """A secret cannot be encrypted or decrypted. The message contains no part of it."""


def new_key() -> str:
    """Return a new key: 32 random bytes in URL-safe Base64."""
    return Fernet.generate_key().decode()


class SecretBox:
    """Encrypts secrets with the newest key, and decrypts what any of the keys has encrypted.

    Args:
        load: Returns the keys, newest first. It is called again where none of them fits, because
            another process may have added one meanwhile.
    """

    def __init__(self, load: Callable[[], Sequence[str]]) -> None:
        self._load = load
        self._keys: tuple[str, ...] = ()
        self._fernet: MultiFernet | None = None
        self._reload()

    def _reload(self) -> bool:
        """Read the keys, and return whether they have changed."""
        keys = tuple(self._load())
        if keys == self._keys:
            return False
        self._keys = keys
        self._fernet = MultiFernet([Fernet(key) for key in keys]) if keys else None
        return True

    def seal(self, source_id: int, secrets: Mapping[str, str]) -> dict[str, Any]:
        """Return secrets as they are stored, by the names of their settings.

        Raises:
            SecretError: There is no key.
        """
        if not secrets:
            return {}
        if self._fernet is None:
            raise SecretError("this gateway has no key for the secrets of sources: set secret_keys")
        sealed = {}
        for name, value in secrets.items():
            plain = orjson.dumps([source_id, name, value])
            sealed[name] = {_SEALED: self._fernet.encrypt(plain).decode()}
        return sealed

    def open(self, source_id: int, stored: Mapping[str, Any]) -> dict[str, str]:
        """Return the secrets of a source. What an earlier version has stored is not encrypted.

        Raises:
            SecretError: One was encrypted with another key, or belongs to another source.
        """
        return {
            name: value if isinstance(value, str) else self._open(source_id, name, value)
            for name, value in stored.items()
        }

    def _open(self, source_id: int, name: str, value: Any) -> str:
        token = value.get(_SEALED) if isinstance(value, dict) else None
        if not isinstance(token, str):
            raise SecretError(f"the secret {name} is not stored as secrets are")
        plain = self._decrypt(token)
        if plain is None and self._reload():
            plain = self._decrypt(token)
        if plain is None:
            raise SecretError(f"the secret {name} was encrypted with a key that is not known here")
        found = orjson.loads(plain)
        if found[:2] != [source_id, name]:
            raise SecretError(f"the secret {name} was encrypted for another place")
        secret: str = found[2]
        return secret

    def _decrypt(self, token: str) -> bytes | None:
        if self._fernet is None:
            return None
        try:
            return self._fernet.decrypt(token)
        except InvalidToken:
            return None


def is_sealed(stored: Mapping[str, Any]) -> bool:
    """Whether all of the secrets of a source are encrypted."""
    return not any(isinstance(value, str) for value in stored.values())


# Masking -----------------------------------------------------------------------------------------


def secrets_in(settings: BaseModel) -> list[str]:
    """Return the values of the secret settings that are set."""
    values = (getattr(settings, name, None) for name in secret_names(type(settings)))
    return [value.get_secret_value() for value in values if value is not None]


def mask(value: Any, secrets: Iterable[str]) -> Any:
    """Return a JSON value or a text without the secrets, also as a URL or JSON writes them.

    Members are renamed where a secret is in their names. A number that contains a secret is
    replaced. What is nested too deeply to be looked at is replaced as a whole.
    """
    forms = {
        form
        for secret in secrets
        if secret
        for form in (secret, quote(secret, safe=""), quote(secret), _in_json(secret))
    }
    if not forms:
        return value
    try:
        return _masked(value, sorted(forms, key=len, reverse=True))
    except RecursionError:
        return MASK


def _in_json(secret: str) -> str:
    return orjson.dumps(secret).decode()[1:-1]


def _masked(value: Any, forms: Sequence[str]) -> Any:
    match value:
        case str():
            for form in forms:
                value = value.replace(form, MASK)
            return value
        case bool() | None:
            return value
        case int() | float():
            return MASK if any(form in str(value) for form in forms) else value
        case dict():
            return {_masked(key, forms): _masked(member, forms) for key, member in value.items()}
        case list() | tuple():
            return [_masked(item, forms) for item in value]
    return value


async def perform(kind: SourceKind, call: Call) -> Any:
    """Perform an attempt of an action, without the secrets of its source in what comes of it.

    Raises:
        ActionFailedError: The attempt failed.
        RuntimeError: The kind raised anything else. The message is its traceback.
    """
    secrets = secrets_in(call.settings)
    try:
        result = await kind.act(call)
    except ActionFailedError as error:
        raise ActionFailedError(
            mask(str(error), secrets),
            repeat=error.repeat,
            in_doubt=error.in_doubt,
            retry_after=error.retry_after,
            timed_out=error.timed_out,
        ) from None
    except Exception as error:
        text = "".join(traceback.format_exception(error))
        raise RuntimeError(mask(text, secrets)) from None
    return mask(result, secrets)
