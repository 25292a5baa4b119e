"""Read and write what the gateway itself stores with sources: encrypted secrets, and catalogues."""

from __future__ import annotations

from dataclasses import dataclass

from storage.database.rows import Reader
from storage.database.transaction import Transaction


@dataclass(frozen=True, slots=True)
class StoredSource:
    """A source as it is stored."""

    id: int
    name: str
    kind: str
    settings: bytes
    """JSON."""
    secrets: bytes
    """JSON: by the name of the setting."""
    catalogue: bytes
    """JSON."""


_SELECT = "SELECT id, name, kind, settings, secrets, catalogue FROM source"


async def read_sources(transaction: Transaction, *, lock: bool = False) -> list[StoredSource]:
    """Return all sources.

    Args:
        lock: Whether nobody else may change them before the transaction ends.
    """
    rows = await transaction.fetch(f"{_SELECT} ORDER BY id{' FOR NO KEY UPDATE' if lock else ''}")
    return [StoredSource(**row) for row in rows]


async def find_source(database: Reader, source_id: int) -> StoredSource | None:
    """Return a source, or None if it does not exist."""
    rows = await database.fetch(f"{_SELECT} WHERE id = $1", source_id)
    return StoredSource(**rows[0]) if rows else None


async def store_secrets(transaction: Transaction, source_id: int, secrets: bytes) -> None:
    """Replace the secrets of a source."""
    await transaction.fetch("UPDATE source SET secrets = $2 WHERE id = $1", source_id, secrets)


async def store_catalogue(transaction: Transaction, source_id: int, catalogue: bytes) -> None:
    """Replace the catalogue of a source."""
    await transaction.fetch("UPDATE source SET catalogue = $2 WHERE id = $1", source_id, catalogue)
