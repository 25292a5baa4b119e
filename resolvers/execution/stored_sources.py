"""Keep what is stored with sources up to date: encrypted secrets, and what each source offers."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

import orjson
from pydantic import ValidationError

from resolvers.execution.secrets import SecretBox, SecretError, is_sealed
from resolvers.execution.sources.catalogue import catalogue_json
from resolvers.execution.sources.protocol import SourceKind
from storage.database.database import Database
from storage.database.errors import ReadOnlyDatabaseError
from storage.writes.sources import (
    StoredSource,
    read_sources,
    store_catalogue,
    store_secrets,
)

logger = logging.getLogger(__name__)


async def prepare_sources(
    database: Database, kinds: Mapping[str, SourceKind], box: SecretBox
) -> None:
    """Check that all secrets can be decrypted, and bring what is stored up to date.

    Secrets that an earlier version has stored are encrypted. Catalogues change when a package is
    installed, upgraded or removed. A database that accepts no writes is left as it is.

    Raises:
        SecretError: A secret cannot be decrypted or encrypted. The message names the source.
        StorageError: The database failed.
    """
    async with database.transaction() as transaction:
        sources = await read_sources(transaction)
    for source in sources:
        _opened(box, source)
    changed = [source for source in sources if _changes(box, kinds, source)]
    if not changed:
        return
    try:
        async with database.transaction() as transaction:
            for source in await read_sources(transaction, lock=True):
                changes = _changes(box, kinds, source)
                if "secrets" in changes:
                    await store_secrets(transaction, source.id, changes["secrets"])
                if "catalogue" in changes:
                    await store_catalogue(transaction, source.id, changes["catalogue"])
    except ReadOnlyDatabaseError:
        logger.warning(
            "the database accepts no writes, so %d sources stay as they are", len(changed)
        )


async def encrypt_anew(database: Database, box: SecretBox) -> int:
    """Encrypt all secrets with the newest key. Return how many sources have any.

    Raises:
        SecretError: A secret cannot be decrypted, and nothing was changed.
        StorageError: The database failed.
    """
    count = 0
    async with database.transaction() as transaction:
        for source in await read_sources(transaction, lock=True):
            secrets = _opened(box, source)
            if secrets:
                sealed = box.seal(source.id, secrets)
                await store_secrets(transaction, source.id, orjson.dumps(sealed))
                count += 1
    return count


def _opened(box: SecretBox, source: StoredSource) -> dict[str, str]:
    try:
        return box.open(source.id, orjson.loads(source.secrets))
    except SecretError as error:
        raise SecretError(f'source "{source.name}": {error}') from None


def _changes(
    box: SecretBox, kinds: Mapping[str, SourceKind], source: StoredSource
) -> dict[str, bytes]:
    """Return the columns of a source that are out of date, and their new values."""
    changes: dict[str, bytes] = {}
    stored = orjson.loads(source.secrets)
    if not is_sealed(stored):
        try:
            changes["secrets"] = orjson.dumps(box.seal(source.id, _opened(box, source)))
        except SecretError as error:
            raise SecretError(f'source "{source.name}": {error}') from None
    kind = kinds.get(source.kind)
    if kind is not None:
        catalogue = catalogue_of(kind, orjson.loads(source.settings), stored)
        if catalogue is not None and catalogue != source.catalogue:
            changes["catalogue"] = catalogue
    return changes


def catalogue_of(
    kind: SourceKind, settings: Mapping[str, Any], secrets: Mapping[str, object]
) -> bytes | None:
    """Return the catalogue of a source as JSON, or None if its settings do not fit its kind.

    Args:
        settings: Without the secrets.
        secrets: By the names of the secrets that are set. The values do not matter.
    """
    try:
        checked = kind.settings.model_validate({**settings, **dict.fromkeys(secrets, "secret")})
    except ValidationError:
        return None
    return catalogue_json(kind.catalogue(checked))
