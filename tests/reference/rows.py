"""Databases written as plain rows: what the tests of reads put in, and what they compare with."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from storage.database.database import Database

Row = dict[str, Any]
Rows = Mapping[str, Sequence[Row]]
"""The rows of each table, by its name."""

# Parents first.
TABLES = (
    "espace",
    "process",
    "source",
    "action",
    "input",
    "profile",
    "authorisation",
    "execution",
    "execution_step",
)


async def insert(database: Database, rows: Rows) -> None:
    """Insert the rows, ids included; a column that a row leaves out has its default."""
    async with database.transaction() as transaction:
        for table in TABLES:
            alike: dict[tuple[str, ...], list[Row]] = {}
            for row in rows.get(table, ()):
                # An execution and the step that it ran as refer to each other: that comes below.
                alike.setdefault(tuple(row.keys() - {"parent_step_id"}), []).append(row)
            for columns, found in alike.items():
                names = ", ".join(columns)
                await transaction.fetch(
                    f"INSERT INTO {table} ({names})"
                    f" SELECT {names} FROM json_populate_recordset(NULL::{table}, $1)",
                    json.dumps(found).encode(),
                )
        await transaction.fetch(
            "UPDATE execution SET parent_step_id = given.parent_step_id"
            " FROM json_populate_recordset(NULL::execution, $1) AS given"
            " WHERE given.id = execution.id",
            json.dumps(rows.get("execution", [])).encode(),
        )


async def select(database: Database) -> Rows:
    """Every row of every table, each table in one order."""
    async with database.transaction() as transaction:
        return {
            table: [
                {
                    column: json.loads(value) if isinstance(value, bytes) else value
                    for column, value in row.items()
                }
                for row in await transaction.fetch(f"SELECT * FROM {table} AS t ORDER BY t::text")
            ]
            for table in TABLES
        }
