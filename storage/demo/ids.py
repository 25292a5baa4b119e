"""Look up the IDs of rows that the demo data refers to."""

from __future__ import annotations

from storage.database.transaction import Transaction

PROCESS_SOURCE = "process"
"""The name of the built-in source that runs other processes."""


async def fetch_ids(transaction: Transaction, sql: str, *args: object) -> list[int]:
    """Return the ``id`` column of the rows that a statement returns."""
    return [row["id"] for row in await transaction.fetch(sql, *args)]


async def process_source_id(transaction: Transaction) -> int:
    """Return the ID of the built-in source that runs other processes."""
    (source_id,) = await fetch_ids(
        transaction, "SELECT id FROM source WHERE name = $1", PROCESS_SOURCE
    )
    return source_id
