"""Read the opaque texts that clients send back: global ids and page cursors.

PostgreSQL writes them (``storage.reads.model``, ``storage.reads.connections``).
"""

from __future__ import annotations

import base64
import binascii

import orjson

from resolvers.values.text import shorten

MAX_DATABASE_ID = 2**31 - 1
"""Ids are positive 32-bit integers (docs/contract.md §1)."""


def global_id(type_name: str, database_id: int) -> str:
    """Return Relay's ``id`` of an object, in the form that PostgreSQL writes too."""
    return base64.b64encode(f"{type_name}:{database_id}".encode()).decode()


def read_global_id(text: str) -> tuple[str, int]:
    """Return the type and the database id in a global id.

    Raises:
        ValueError: it is not an id that this gateway gave out; the message can be shown.
    """
    try:
        type_name, number = base64.b64decode(text, validate=True).decode("ascii").split(":")
        database_id = int(number) if number.isdecimal() and len(number) <= 10 else 0
    except (ValueError, binascii.Error):
        database_id = 0
    if not 0 < database_id <= MAX_DATABASE_ID:
        raise ValueError(f"expected an id that this API gave out, got {shorten(text)}")
    return type_name, database_id


def read_id_of(text: str, type_name: str) -> int:
    """Return the database id in a global id of one type.

    Raises:
        ValueError: it is not an id of this type; the message can be shown.
    """
    actual_type, database_id = read_global_id(text)
    if actual_type != type_name:
        raise ValueError(f"expected the id of a {type_name}, got the id of a {actual_type}")
    return database_id


def read_cursor(text: str, order: str, types: tuple[type, ...]) -> list[object]:
    """The values of the order's columns in a cursor.

    Args:
        text: what the client sent.
        order: the order of the page that it was sent for (``storage.pages.describe_order``).
        types: the Python types of the order's columns.

    Raises:
        ValueError: it is no cursor of this order; the message can be shown.
    """
    try:
        read = orjson.loads(base64.b64decode(text, validate=True))
        made_for, *values = read
    except (ValueError, TypeError, binascii.Error):
        raise ValueError(f"expected a cursor of this connection, got {shorten(text)}") from None
    if made_for != order:
        raise ValueError("the cursor was made for another orderBy; start again without it")
    if [type(value) for value in values] != list(types) or any(
        isinstance(value, int) and abs(value) > MAX_DATABASE_ID for value in values
    ):
        raise ValueError(f"expected a cursor of this connection, got {shorten(text)}")
    return list(values)
