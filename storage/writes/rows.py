"""Insert, update, delete and find single rows of any table."""

from __future__ import annotations

from collections.abc import Mapping

from storage.database.rows import Row
from storage.database.transaction import Transaction

# The writable columns. No other name is put into the SQL below.
_COLUMNS: Mapping[str, frozenset[str]] = {
    "espace": frozenset({"reference", "name", "description", "icon"}),
    "process": frozenset(
        {
            "reference",
            "name",
            "name_enable",
            "name_disable",
            "description",
            "espace_id",
            "icon",
            "mode",
            "enabled",
            "concurrency",
            "timeout",
        }
    ),
    "action": frozenset(
        {
            "source_id",
            "action",
            "enabled",
            "arguments",
            "subprocess_id",
            "timeout",
            "retries",
            "on_failure",
            "idempotent",
        }
    ),
    "input": frozenset(
        {
            "reference",
            "name",
            "type",
            "enabled",
            "label",
            "help",
            "required",
            "default_value",
            "choices",
            "min",
            "max",
            "step",
            "unit",
            "pattern",
        }
    ),
    "profile": frozenset({"name", "permissions"}),
    "source": frozenset({"name", "kind", "settings", "secrets", "catalogue"}),
}

TOUCHED = "updated_at = greatest(now(), process.updated_at)"
"""The assignment that every update of a process contains. A trigger makes up for the updates of
other writers (``0004_times.sql``), but would slow down a bulk update."""


def _writable_columns(table: str, values: Mapping[str, object]) -> list[str]:
    """Return the names of the columns.

    Raises:
        ValueError: A column is not writable.
    """
    columns = list(values)
    unknown = set(columns) - _COLUMNS[table]
    if unknown:
        raise ValueError(f"{table} has no writable column {', '.join(sorted(unknown))}")
    return columns


async def insert_row(transaction: Transaction, table: str, values: Mapping[str, object]) -> int:
    """Insert a row and return its ID. Omitted columns get the defaults of the table.

    Raises:
        AlreadyExistsError: A unique value is taken.
    """
    columns = _writable_columns(table, values)
    parameters = ", ".join(f"${number}" for number in range(1, len(columns) + 1))
    row_id = await transaction.fetch_value(
        f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({parameters}) RETURNING id",
        *values.values(),
    )
    assert isinstance(row_id, int)
    return row_id


async def update_row(
    transaction: Transaction, table: str, row_id: int, values: Mapping[str, object]
) -> bool:
    """Update columns of a row. Return whether the row exists.

    Raises:
        AlreadyExistsError: A unique value is taken.
    """
    if not values:
        rows = await transaction.fetch(f"SELECT FROM {table} WHERE id = $1", row_id)
        return bool(rows)
    columns = _writable_columns(table, values)
    changes = ", ".join(f"{column} = ${number}" for number, column in enumerate(columns, start=2))
    if table == "process":
        changes += f", {TOUCHED}"
    rows = await transaction.fetch(
        f"UPDATE {table} SET {changes} WHERE id = $1 RETURNING id", row_id, *values.values()
    )
    return bool(rows)


async def delete_row(transaction: Transaction, table: str, row_id: int) -> bool:
    """Delete a row and the rows that belong to it. Return whether it existed.

    Raises:
        StillInUseError: Other rows refer to it.
    """
    assert table in _COLUMNS
    rows = await transaction.fetch(f"DELETE FROM {table} WHERE id = $1 RETURNING id", row_id)
    return bool(rows)


async def find_row(transaction: Transaction, table: str, column: str, value: object) -> Row | None:
    """Return the row whose unique ``column`` has this value, or None."""
    assert table in _COLUMNS
    assert column == "id" or column in _COLUMNS[table]
    return await transaction.fetch_row(f"SELECT * FROM {table} WHERE {column} = $1", value)


async def find_ids(transaction: Transaction, table: str, column: str, value: object) -> list[int]:
    """Return the IDs of the first two rows whose ``column`` has this value."""
    assert table in _COLUMNS
    assert column == "id" or column in _COLUMNS[table]
    rows = await transaction.fetch(
        f"SELECT id FROM {table} WHERE {column} = $1 ORDER BY id LIMIT 2", value
    )
    return [row["id"] for row in rows]
