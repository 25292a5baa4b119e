"""Define sort orders and cursors."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from tests.reference.messages import not_storable, quoted
from tests.reference.model import LARGEST_ID, Row, time
from tests.reference.times import read_time

Order = tuple[tuple[str, bool], ...]
"""Columns, and whether each is descending."""

ORDER_COLUMNS = {
    "DATABASE_ID": "database_id",
    "REFERENCE": "reference",
    "NAME": "name",
    "CREATED_AT": "created_at",
    "UPDATED_AT": "updated_at",
    "REQUESTED_AT": "requested_at",
    "STARTED_AT": "started_at",
    "FINISHED_AT": "finished_at",
}
NEVER = datetime.max.replace(tzinfo=UTC)
"""Where a time that is null is sorted."""


def order_of(type_name: str, order_by: Sequence[Mapping[str, str]] | None) -> Order:
    """Return the complete sort order: the requested keys, and the id to break ties."""
    keys: dict[str, bool] = {}
    for key in order_by or ():
        column = ORDER_COLUMNS[key["field"]]
        keys.setdefault(column, key["direction"] == "DESC")
        if column in ("database_id", "reference"):
            return tuple(keys.items())
    if not keys:
        return (("database_id", type_name == "Execution"),)
    keys["database_id"] = list(keys.values())[-1]
    return tuple(keys.items())


def sort_key(row: Row, order: Order) -> list[Any]:
    keys = [row["id" if column == "database_id" else column] for column, _ in order]
    return [NEVER if key is None else key for key in keys]


def compare(one: Sequence[Any], other: Sequence[Any], order: Order) -> int:
    """Return -1, 0, or 1 if ``one`` sorts before, with, or after ``other``."""
    for left, right, (_, descending) in zip(one, other, order, strict=True):
        if left != right:
            return -1 if (left < right) is not descending else 1
    return 0


def describe(order: Order) -> str:
    return ",".join(("-" if descending else "") + column for column, descending in order)


def cursor_of(row: Row, order: Order) -> str:
    parts = [describe(order), *map(_in_cursor, sort_key(row, order))]
    text = "[" + ", ".join(json.dumps(part, ensure_ascii=False) for part in parts) + "]"
    return base64.b64encode(text.encode()).decode()


def _in_cursor(key: Any) -> Any:
    if isinstance(key, datetime):
        return None if key == NEVER else time(key)
    return key


def read_cursor(text: str, order: Order) -> list[Any]:
    """Return the sort key that a cursor of this order encodes.

    Raises:
        ValueError: The cursor is invalid, or belongs to another order. The message is the API's.
    """
    invalid = f"expected a cursor of this connection, got {quoted(text)}"
    cursor_order: Any
    key: list[Any]
    try:
        cursor_order, *key = json.loads(base64.b64decode(text, validate=True))
    except (ValueError, TypeError):
        raise ValueError(invalid) from None
    if cursor_order != describe(order):
        raise ValueError("the cursor was made for another orderBy; start again without it")
    if len(key) != len(order):
        raise ValueError(invalid)
    try:
        key = [_read_key(column, part) for (column, _), part in zip(order, key, strict=True)]
    except ValueError:
        raise ValueError(invalid) from None
    if any(abs(part) > LARGEST_ID for part in key if isinstance(part, int)):
        raise ValueError(invalid)
    for part in key:
        if problem := not_storable(part):
            raise ValueError(problem)
    return key


def _read_key(column: str, part: Any) -> Any:
    """Return a value of a cursor; raise ``ValueError`` if the column has no such values."""
    if column.endswith("_at"):
        return NEVER if part is None and column == "finished_at" else read_time(part)
    if type(part) is not (int if column == "database_id" else str):
        raise ValueError(column)
    return part
