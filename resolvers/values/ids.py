"""Decode the opaque strings that clients send back: global IDs and page cursors.

PostgreSQL encodes them (``storage.reads.model``, ``storage.reads.connections``).
"""

from __future__ import annotations

import base64
import binascii
from datetime import datetime

import orjson

from resolvers.values.text import shorten
from resolvers.values.times import read_time

MAX_DATABASE_ID = 2**31 - 1
"""Ids are positive 32-bit integers (docs/contract.md §1)."""

_MAX_STEP_ID = 2**63 - 1
"""Steps of executions are too many for 32 bits."""


def global_id(type_name: str, database_id: int) -> str:
    """Return the Relay ``id`` of an object, encoded as PostgreSQL encodes it."""
    return base64.b64encode(f"{type_name}:{database_id}".encode()).decode()


def read_global_id(text: str) -> tuple[str, int]:
    """Return the type name and the database ID that a global ID encodes.

    Raises:
        ValueError: The gateway never issued this ID. The message is safe to show to clients.
    """
    try:
        type_name, number = base64.b64decode(text, validate=True).decode("ascii").split(":")
        largest = _MAX_STEP_ID if type_name == "ExecutionStep" else MAX_DATABASE_ID
        fits = number.isdecimal() and len(number) <= len(str(largest))
        database_id = int(number) if fits else 0
    except (ValueError, binascii.Error):
        largest = database_id = 0
    if not 0 < database_id <= largest:
        raise ValueError(f"expected an id that this API gave out, got {shorten(text)}")
    return type_name, database_id


def read_id_of(text: str, type_name: str) -> int:
    """Return the database ID in a global ID of one type.

    Raises:
        ValueError: It is not an ID of this type. The message is safe to show to clients.
    """
    actual_type, database_id = read_global_id(text)
    if actual_type != type_name:
        raise ValueError(f"expected the id of a {type_name}, got the id of a {actual_type}")
    return database_id


def read_cursor(text: str, order: str, types: tuple[tuple[type, ...], ...]) -> list[object]:
    """Return the column values that a cursor encodes.

    Args:
        text: The cursor that the client sent.
        order: The sort order of the requested page, from
            ``storage.reads.plan.describe_order``.
        types: The Python types that the value of each column of the sort order may have. A time
            is returned as a ``datetime``.

    Raises:
        ValueError: The cursor does not belong to this sort order. The message is safe to show to
            clients.
    """
    try:
        cursor_order, *values = orjson.loads(binascii.a2b_base64(text, strict_mode=True))
    except (ValueError, TypeError):
        raise _foreign_cursor(text) from None
    if cursor_order != order:
        raise ValueError("the cursor was made for another orderBy; start again without it")
    if len(values) != len(types):
        raise _foreign_cursor(text)
    try:
        return [_cursor_value(value, kinds) for value, kinds in zip(values, types, strict=True)]
    except ValueError:
        raise _foreign_cursor(text) from None


def _foreign_cursor(text: str) -> ValueError:
    """Return the error for a cursor that is not one of the requested page."""
    return ValueError(f"expected a cursor of this connection, got {shorten(text)}")


def _cursor_value(value: object, types: tuple[type, ...]) -> object:
    """Return a value of a cursor; raise ``ValueError`` if it has none of the types."""
    if isinstance(value, str) and datetime in types:
        return read_time(value)
    if type(value) not in types or (isinstance(value, int) and abs(value) > MAX_DATABASE_ID):
        raise ValueError("not a value of the column")
    return value
