"""Compute the version of a process from the rows that its whole view shows."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence

from tests.reference.model import Row, Rows, concurrency


def version_of(process: Row, rows: Rows) -> str:
    """Return the version of a process.

    Args:
        process: Its row.
        rows: All rows of all tables, whoever can see them.
    """
    number = process["id"]
    sources = {row["id"]: row["name"] for row in rows["source"]}
    granted = {row["profile_id"] for row in rows["authorisation"] if row["process_id"] == number}
    sections = (
        [
            _row(
                number,
                *_texts(process, "reference", "name", "name_enable", "name_disable"),
                *_texts(process, "description", "icon"),
                process["mode"],
                process["enabled"],
                concurrency(process),
                _number(process["timeout"]),
            )
        ],
        [
            _row(row["id"], *_texts(row, "reference", "name", "description", "icon"))
            for row in rows["espace"]
            if row["id"] == process["espace_id"]
        ],
        [
            _row(
                row["id"],
                _text(sources[row["source_id"]]),
                _text(row["action"]),
                row["enabled"],
                row["arguments_text"],
                _number(row["timeout"]),
                row["retries"],
                row["on_failure"],
                "" if row["idempotent"] is None else str(row["idempotent"]).lower(),
            )
            for row in _parts(rows["action"], number)
        ],
        [
            _row(
                row["id"],
                *_texts(row, "reference", "name", "type"),
                row["enabled"],
                *_texts(row, "label", "help"),
                row["required"],
                *(_number(row[column]) for column in ("min", "max", "step")),
                _text(row["unit"]),
                "" if row["pattern"] is None else _text(row["pattern"]),
                f"[{','.join(map(_text, row['choices']))}]",
                "" if row["default_value"] is None else _text(row["default_value"]),
            )
            for row in _parts(rows["input"], number)
        ],
        [
            _row(row["id"], _text(row["name"]))
            for row in sorted(rows["profile"], key=lambda row: int(row["id"]))
            if row["id"] in granted
        ],
    )
    view = "|".join(map(";".join, sections))
    return hashlib.sha256(view.encode()).hexdigest()[:32]


def _parts(rows: Sequence[Row], process_id: int) -> list[Row]:
    own = (row for row in rows if row["process_id"] == process_id)
    return sorted(own, key=lambda row: row["position"])


def _row(*values: object) -> str:
    return ",".join(map(_written, values))


def _written(value: object) -> str:
    return {True: "t", False: "f"}[value] if isinstance(value, bool) else str(value)


def _number(value: float | None) -> str:
    """Write a number as PostgreSQL does; empty for null."""
    return "" if value is None else str(int(value) if value.is_integer() else value)


def _texts(row: Row, *columns: str) -> Iterable[str]:
    return (_text(row[column]) for column in columns)


def _text(value: str) -> str:
    return json.dumps(value, ensure_ascii=False)
