"""In charge of writes that are the same for every table: one row in, changed or gone."""

from __future__ import annotations

from collections.abc import Mapping

from storage.database.database import Row, Transaction

# What may be written, and so the only names that get into the SQL below.
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
        }
    ),
    "action": frozenset({"source_id", "action", "enabled", "arguments", "subprocess_id"}),
    "input": frozenset({"reference", "name", "type", "enabled"}),
    "profile": frozenset({"name", "permissions"}),
    "source": frozenset({"name", "kind", "settings", "secrets"}),
}


def _checked(table: str, values: Mapping[str, object]) -> list[str]:
    columns = list(values)
    unknown = set(columns) - _COLUMNS[table]
    if unknown:
        raise ValueError(f"{table} has no writable column {', '.join(sorted(unknown))}")
    return columns


async def insert_row(transaction: Transaction, table: str, values: Mapping[str, object]) -> int:
    """Insert a row; returns its id. Columns left out have the table's defaults.

    Raises:
        AlreadyExistsError: a unique value is taken.
    """
    columns = _checked(table, values)
    slots = ", ".join(f"${place}" for place in range(1, len(columns) + 1))
    found = await transaction.fetch_value(
        f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({slots}) RETURNING id",
        *values.values(),
    )
    assert isinstance(found, int)
    return found


async def update_row(
    transaction: Transaction, table: str, row_id: int, values: Mapping[str, object]
) -> bool:
    """Change these columns of a row; returns whether the row exists.

    Raises:
        AlreadyExistsError: a unique value is taken.
    """
    if not values:
        found = await transaction.fetch(f"SELECT FROM {table} WHERE id = $1", row_id)
        return bool(found)
    columns = _checked(table, values)
    changes = ", ".join(f"{column} = ${place}" for place, column in enumerate(columns, start=2))
    rows = await transaction.fetch(
        f"UPDATE {table} SET {changes} WHERE id = $1 RETURNING id", row_id, *values.values()
    )
    return bool(rows)


async def delete_row(transaction: Transaction, table: str, row_id: int) -> bool:
    """Delete a row and what belongs to it; returns whether it existed.

    Raises:
        StillInUseError: other rows refer to it.
    """
    assert table in _COLUMNS
    rows = await transaction.fetch(f"DELETE FROM {table} WHERE id = $1 RETURNING id", row_id)
    return bool(rows)


async def find_row(transaction: Transaction, table: str, column: str, value: object) -> Row | None:
    """The row whose unique ``column`` has this value, with all its columns."""
    assert table in _COLUMNS
    assert column == "id" or column in _COLUMNS[table]
    return await transaction.fetch_row(f"SELECT * FROM {table} WHERE {column} = $1", value)


async def find_ids(transaction: Transaction, table: str, column: str, value: object) -> list[int]:
    """The ids of the rows in which ``column`` has this value, two of them at most."""
    assert table in _COLUMNS
    assert column == "id" or column in _COLUMNS[table]
    rows = await transaction.fetch(
        f"SELECT id FROM {table} WHERE {column} = $1 ORDER BY id LIMIT 2", value
    )
    return [row["id"] for row in rows]
