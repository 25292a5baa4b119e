"""Find espaces and profiles by the keys that clients identify them with."""

from __future__ import annotations

from resolvers.errors.catalogue import bad_value
from resolvers.rules.models import EspaceKey, ProfileKey
from storage.database.transaction import Transaction
from storage.writes.rows import find_ids

Path = tuple[str | int, ...]
"""Path of a value in the arguments of a mutation, in the names of the schema."""


async def find_espace_id(transaction: Transaction, key: EspaceKey, path: Path) -> int:
    """Return the ID of the espace with this key; raise ``BAD_USER_INPUT`` if there is none."""
    return await _find_id(transaction, "espace", key, path)


async def find_profile_id(transaction: Transaction, key: ProfileKey, path: Path) -> int:
    """Return the ID of the profile with this key; raise ``BAD_USER_INPUT`` if there is none."""
    return await _find_id(transaction, "profile", key, path)


async def _find_id(
    transaction: Transaction, table: str, key: EspaceKey | ProfileKey, path: Path
) -> int:
    ((name, value),) = ((name, value) for name, value in key if value is not None)
    column = "id" if name == "database_id" else name
    ids = await find_ids(transaction, table, column, value)
    if not ids:
        raise bad_value(path, f"there is no such {table}")
    if len(ids) > 1:
        raise bad_value(path, f"more than one {table} has this {name}")
    return ids[0]
