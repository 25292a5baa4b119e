"""In charge of JSON as a statement writes it: pieces of text that SQL's ``concat`` puts together.

Text is built instead of ``json`` values because ``row_to_json`` and ``json_agg`` take longer and
leave blanks, and because a column's name, unlike a response key, ends after 63 bytes.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

_MAX_ARGUMENTS = 90
"""PostgreSQL takes at most 100 arguments of a function."""


@dataclass(frozen=True, slots=True)
class Sql:
    """An SQL expression whose text is part of a JSON text. Null counts as no text at all."""

    expression: str


Pieces: TypeAlias = "tuple[str | Sql, ...]"
"""A JSON text: literal parts, and those that the row decides."""


def quoted(value: str) -> str:
    """A text as an SQL literal."""
    return "'" + value.replace("'", "''") + "'"


def string(value: str) -> Pieces:
    """A JSON string that is the same in every row."""
    return (json.dumps(value),)


def members(entries: Iterable[tuple[str, Pieces]]) -> Pieces:
    """A JSON object with these keys and values."""
    pieces: list[str | Sql] = []
    for key, value in entries:
        pieces += ["," if pieces else "{", json.dumps(key), ":", *value]
    return (*pieces, "}") if pieces else ("{}",)


def elements(rows: str, alias: str) -> Pieces:
    """A JSON array with an element for each of ``rows``, a SELECT of one column ``o``."""
    return "[", Sql(f"(SELECT string_agg({alias}.o, ',') FROM ({rows}) AS {alias})"), "]"


def or_null(expression: str) -> Pieces:
    """A JSON text that is ``null`` where the expression is."""
    return (Sql(f"coalesce({expression}, 'null')"),)


def text_of(pieces: Pieces) -> str:
    """The pieces as one SQL expression of type text, never null."""
    arguments = _arguments(pieces)
    while len(arguments) > _MAX_ARGUMENTS:
        arguments = [
            f"concat({', '.join(arguments[start : start + _MAX_ARGUMENTS])})"
            for start in range(0, len(arguments), _MAX_ARGUMENTS)
        ]
    return f"concat({', '.join(arguments)})"


def _arguments(pieces: Sequence[str | Sql]) -> list[str]:
    """The pieces as arguments of ``concat``, neighbouring literals made one."""
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
