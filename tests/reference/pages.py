"""Orders, and the cursors that stand for a place in one."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from typing import Any

from tests.reference.messages import not_storable, quoted
from tests.reference.model import LARGEST_ID, Row

Order = tuple[tuple[str, bool], ...]
"""Columns, and whether each goes downward."""

ORDER_COLUMNS = {"DATABASE_ID": "database_id", "REFERENCE": "reference", "NAME": "name"}


def order_of(type_name: str, order_by: Sequence[Mapping[str, str]] | None) -> Order:
    """The whole order: what is asked for, and the id where that leaves ties."""
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


def place_of(row: Row, order: Order) -> list[Any]:
    return [row["id" if column == "database_id" else column] for column, _ in order]


def compare(one: Sequence[Any], other: Sequence[Any], order: Order) -> int:
    """Less than, equal to or greater than 0, as ``one`` comes before, at or after ``other``."""
    for left, right, (_, downward) in zip(one, other, order, strict=True):
        if left != right:
            return -1 if (left < right) is not downward else 1
    return 0


def described(order: Order) -> str:
    return ",".join(("-" if downward else "") + column for column, downward in order)


def cursor_of(row: Row, order: Order) -> str:
    parts = [described(order), *place_of(row, order)]
    text = "[" + ", ".join(json.dumps(part, ensure_ascii=False) for part in parts) + "]"
    return base64.b64encode(text.encode()).decode()


def read_cursor(text: str, order: Order) -> list[Any]:
    """The place that a cursor of this order stands for; ``ValueError`` says why there is none."""
    unknown = f"expected a cursor of this connection, got {quoted(text)}"
    made_for: Any
    place: list[Any]
    try:
        made_for, *place = json.loads(base64.b64decode(text, validate=True))
    except (ValueError, TypeError):
        raise ValueError(unknown) from None
    if made_for != described(order):
        raise ValueError("the cursor was made for another orderBy; start again without it")
    if [type(part) for part in place] != [
        int if column == "database_id" else str for column, _ in order
    ]:
        raise ValueError(unknown)
    if any(abs(part) > LARGEST_ID for part in place if isinstance(part, int)):
        raise ValueError(unknown)
    for part in place:
        if problem := not_storable(part):
            raise ValueError(problem)
    return place
