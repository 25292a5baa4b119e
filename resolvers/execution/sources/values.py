"""Read the values of arguments as JSON, by the type that an action declares for them."""

from __future__ import annotations

import re
from typing import Any

import orjson

from resolvers.values.numbers import is_number
from resolvers.values.text import shorten

_INTEGER = re.compile(r"[+-]?[0-9]{1,18}")
_BOOLEANS = {"true": True, "1": True, "false": False, "0": False}


def read_value(type_name: str, text: str) -> Any:
    """Return the JSON value of an argument.

    Args:
        type_name: ``number``, ``integer``, ``boolean`` or ``json``. The value of any other type is
            its text.
        text: The value, with input values filled in.

    Raises:
        ValueError: The text is not of the type. The message can be shown to callers.
    """
    match type_name:
        case "integer":
            if _INTEGER.fullmatch(text):
                return int(text)
            expected = "a whole number of up to 18 digits"
        case "number":
            if _INTEGER.fullmatch(text):
                return int(text)
            if is_number(text):
                return float(text)
            expected = "a number such as 21.5"
        case "boolean":
            if text in _BOOLEANS:
                return _BOOLEANS[text]
            expected = "true or false"
        case "json":
            try:
                return orjson.loads(text)
            except orjson.JSONDecodeError:
                expected = "JSON"
        case _:
            return text
    raise ValueError(f"expected {expected}, got {shorten(text)}")
