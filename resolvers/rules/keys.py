"""In charge of what writes mean: the rules of the model, one function for each thing to do.

Every function runs inside the caller's transaction; a ``GatewayError`` rolls all of it back. The
path that an error is located at is that of the mutation's arguments (``at``).
"""

from __future__ import annotations

from resolvers.errors.catalogue import bad_value
from resolvers.rules.models import (
    EspaceKey,
    ProfileKey,
)
from storage.database.database import Transaction
from storage.writes.rows import find_ids

Path = tuple[str | int, ...]


# Keys ------------------------------------------------------------------------------------------


async def espace_id(transaction: Transaction, key: EspaceKey, at: Path) -> int:
    """The id of the espace with this key; raises ``BAD_USER_INPUT`` where there is none."""
    return await _key_id(transaction, "espace", key, at)


async def profile_id(transaction: Transaction, key: ProfileKey, at: Path) -> int:
    """The id of the profile with this key; raises ``BAD_USER_INPUT`` where there is none."""
    return await _key_id(transaction, "profile", key, at)


async def _key_id(
    transaction: Transaction, table: str, key: EspaceKey | ProfileKey, at: Path
) -> int:
    ((name, value),) = ((n, v) for n, v in key if v is not None)
    column = "id" if name == "database_id" else name
    found = await find_ids(transaction, table, column, value)
    if not found:
        raise bad_value(at, f"there is no such {table}")
    if len(found) > 1:
        raise bad_value(at, f"more than one {table} has this {name}")
    return found[0]
