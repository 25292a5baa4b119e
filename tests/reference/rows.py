"""Insert and select plain rows, for the tests and the reference implementation."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from storage.database.database import Database

Row = dict[str, Any]
Rows = Mapping[str, Sequence[Row]]
"""The rows of each table, by table name."""

# Referenced tables come first.
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

_SET_LATER = {"parent_step_id", "root_id", "replay_of"}
"""Columns of executions that refer to steps and to other executions."""
_HASHES = {"definition", "request_hash"}
"""Columns whose values are bytes, but no JSON. No API shows them."""


async def insert(database: Database, rows: Rows, *, after: str = "SELECT") -> None:
    """Insert rows with their ids, in the transaction of a script that comes before.

    Columns that a row omits get their default.
    """
    async with database.transaction() as transaction:
        await transaction.script(after)
        for table in TABLES:
            by_columns: dict[tuple[str, ...], list[Row]] = {}
            for row in rows.get(table, ()):
                by_columns.setdefault(tuple(row.keys() - _SET_LATER), []).append(row)
            for columns, group in by_columns.items():
                names = ", ".join(columns)
                await transaction.fetch(
                    f"INSERT INTO {table} ({names})"
                    f" SELECT {names} FROM json_populate_recordset(NULL::{table}, $1)",
                    json.dumps(group).encode(),
                )
        # Inserting the parts of a process sets its updated_at.
        await transaction.fetch(
            "UPDATE process SET updated_at = new.updated_at"
            " FROM json_populate_recordset(NULL::process, $1) AS new"
            " WHERE new.id = process.id AND new.updated_at <> process.updated_at",
            json.dumps(rows.get("process", [])).encode(),
        )
        await transaction.fetch(
            "UPDATE execution SET parent_step_id = new.parent_step_id, root_id = new.root_id,"
            " replay_of = new.replay_of"
            " FROM json_populate_recordset(NULL::execution, $1) AS new"
            " WHERE new.id = execution.id",
            json.dumps(rows.get("execution", [])).encode(),
        )


async def select(database: Database) -> Rows:
    """Return all rows of all tables, in a deterministic order.

    The arguments of an action are also returned as the text that is stored (``arguments_text``),
    and of a step, whether it has a result, which may be null (``result_is_set``).
    """
    async with database.transaction() as transaction:
        return {
            table: [
                _row(table, row)
                for row in await transaction.fetch(f"SELECT * FROM {table} AS t ORDER BY t::text")
            ]
            for table in TABLES
        }


def _row(table: str, stored: Mapping[str, Any]) -> Row:
    row = {
        column: json.loads(value) if isinstance(value, bytes) else value
        for column, value in stored.items()
        if column not in _HASHES
    }
    if table == "action":
        row["arguments_text"] = stored["arguments"].decode()
    if table == "execution_step":
        row["result_is_set"] = stored["result"] is not None
    return row
