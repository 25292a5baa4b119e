"""Build JSON in SQL: pieces of text that ``concat`` joins.

Statements build text instead of ``json`` values because ``row_to_json`` and ``json_agg`` are slower
and add whitespace, and because PostgreSQL truncates column names, unlike response keys, to 63
bytes.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

_MAX_ARGUMENTS = 90
"""PostgreSQL functions take at most 100 arguments."""


@dataclass(frozen=True, slots=True)
class Sql:
    """An SQL expression whose value is part of a JSON text. Null is the same as an empty text."""

    expression: str


Pieces: TypeAlias = "tuple[str | Sql, ...]"
"""A JSON text: literal parts, and SQL expressions that are evaluated for each row."""


def quoted(value: str) -> str:
    """Return a text as an SQL literal."""
    return "'" + value.replace("'", "''") + "'"


def string(value: str) -> Pieces:
    """Return a JSON string that is the same in every row."""
    return (json.dumps(value),)


def members(entries: Iterable[tuple[str, Pieces]]) -> Pieces:
    """Return a JSON object with these keys and values."""
    pieces: list[str | Sql] = []
    for key, value in entries:
        pieces += ["," if pieces else "{", json.dumps(key), ":", *value]
    return (*pieces, "}") if pieces else ("{}",)


def elements(rows: str, alias: str) -> Pieces:
    """Return a JSON array with an element for each of ``rows``, a SELECT of one column ``o``."""
    return "[", Sql(f"(SELECT string_agg({alias}.o, ',') FROM ({rows}) AS {alias})"), "]"


def or_null(expression: str) -> Pieces:
    """Return a JSON text that is ``null`` if the expression is null."""
    return (Sql(f"coalesce({expression}, 'null')"),)


def text_of(pieces: Pieces) -> str:
    """Return the pieces as one SQL expression of type text, never null."""
    arguments = _arguments(pieces)
    while len(arguments) > _MAX_ARGUMENTS:
        arguments = [
            f"concat({', '.join(arguments[start : start + _MAX_ARGUMENTS])})"
            for start in range(0, len(arguments), _MAX_ARGUMENTS)
        ]
    return f"concat({', '.join(arguments)})"


def _arguments(pieces: Sequence[str | Sql]) -> list[str]:
    """Return the pieces as arguments of ``concat``, with adjacent literals joined."""
    arguments: list[str] = []
    literal = ""
    for piece in pieces:
        if isinstance(piece, str):
            literal += piece
            continue
        if literal:
            arguments.append(quoted(literal))
            literal = ""
        arguments.append(piece.expression)
    if literal:
        arguments.append(quoted(literal))
    return arguments
