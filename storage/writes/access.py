"""Load and store the rows that authenticate a token: profiles and revoked tokens."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from storage.database.rows import Reader
from storage.database.transaction import Transaction

ACCESS_CHANNEL = "gateway_access"
"""The channel on which triggers report every change of these rows."""


@dataclass(frozen=True, slots=True)
class ProfileRow:
    """A stored profile."""

    id: int
    name: str
    permissions: tuple[str, ...]
    built_in: bool


async def load_profiles(reader: Reader) -> list[ProfileRow]:
    """Return all profiles, ordered by ID."""
    rows = await reader.fetch("SELECT id, name, permissions, built_in FROM profile ORDER BY id")
    return [
        ProfileRow(row["id"], row["name"], tuple(row["permissions"]), row["built_in"])
        for row in rows
    ]


async def load_revocations(reader: Reader) -> frozenset[str]:
    """Return the IDs of all revoked tokens that have not expired yet."""
    rows = await reader.fetch("SELECT token_id FROM revoked_token WHERE expires_at > now()")
    return frozenset(row["token_id"] for row in rows)


async def revoke_token(transaction: Transaction, token_id: str, expires_at: datetime) -> None:
    """Revoke a token, and delete the revocations of tokens that have expired."""
    await transaction.fetch("DELETE FROM revoked_token WHERE expires_at <= now()")
    await transaction.fetch(
        "INSERT INTO revoked_token (token_id, expires_at) VALUES ($1, $2) ON CONFLICT DO NOTHING",
        token_id,
        expires_at,
    )
