"""Read and write what the gateway itself stores with sources: encrypted secrets, and catalogues."""

from __future__ import annotations

from dataclasses import dataclass

from storage.database.database import Transaction


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


async def read_sources(transaction: Transaction, *, lock: bool = False) -> list[StoredSource]:
    """Return all sources.

    Args:
        lock: Whether nobody else may change them before the transaction ends.
    """
    rows = await transaction.fetch(
        "SELECT id, name, kind, settings, secrets, catalogue FROM source ORDER BY id"
        + (" FOR NO KEY UPDATE" if lock else "")
    )
    return [StoredSource(**row) for row in rows]


async def store_secrets(transaction: Transaction, source_id: int, secrets: bytes) -> None:
    """Replace the secrets of a source."""
    await transaction.fetch("UPDATE source SET secrets = $2 WHERE id = $1", source_id, secrets)


async def store_catalogue(transaction: Transaction, source_id: int, catalogue: bytes) -> None:
    """Replace the catalogue of a source."""
    await transaction.fetch("UPDATE source SET catalogue = $2 WHERE id = $1", source_id, catalogue)
