"""Build the expected errors, with the messages of ``docs/errors.md`` and of the product's tests."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from graphql import GraphQLError

Path = tuple[str | int, ...]
Problem = tuple[Path, str]
"""The path of an invalid value, and the message."""

Error = dict[str, Any]
"""An item of ``errors``."""

LONGEST_MESSAGE = 1000
LONGEST_QUOTE = 40
MOST_LISTED = 20


def quoted(text: str) -> str:
    """Quote a string as messages do: escape non-printable characters, and truncate it."""
    shown = repr(text) if text.isprintable() else ascii(text)
    shown = f'"{shown[1:-1]}"'
    return shown if len(shown) <= LONGEST_QUOTE else shown[: LONGEST_QUOTE - 1] + "…"


def not_storable(value: object) -> str | None:
    """Return why PostgreSQL cannot store a value, or None if it can."""
    if not isinstance(value, str):
        return None
    if "\0" in value:
        return "must not contain the NUL character"
    if any("\ud800" <= character <= "\udfff" for character in value):
        return "must not contain a lone surrogate"
    return None


def formatted(path: Path) -> str:
    """Format a path for people: ``nodes.ids[2]``."""
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path)
    return text.removeprefix(".")


def of_problems(problems: Sequence[Problem]) -> Error:
    """Return one error for several problems. It lists at most 20 of them."""
    listed = list(problems[:MOST_LISTED])
    if len(problems) > MOST_LISTED:
        listed.append(((), f"and {len(problems) - MOST_LISTED:,} more"))
    return of_listed(listed)


def of_listed(problems: Sequence[Problem]) -> Error:
    """Return the error that lists these problems."""
    return {
        "message": "; ".join(
            f"{formatted(path)}: {message}" if path else message for path, message in problems
        ),
        "extensions": {
            "code": "BAD_USER_INPUT",
            "problems": [{"path": list(path), "message": message} for path, message in problems],
        },
    }


def not_allowed(what: str, permission: str, profile: str) -> str:
    return f"{what} needs the permission {permission}, which the profile {profile} does not have"


def of_missing_permission(field: str, permission: str, profile: str) -> Error:
    message = (
        f"{field} needs the permission {permission}, which the profile {profile} does not have"
    )
    return {"message": message, "extensions": {"code": "FORBIDDEN"}}


def of_graphql(error: GraphQLError) -> Error:
    """Return the error for one that graphql-core reported. Its message quotes the client's text."""
    message = error.message
    if len(message) > LONGEST_MESSAGE:
        message = message[:LONGEST_MESSAGE] + "…"
    entry: Error = {"message": message, "extensions": {"code": "BAD_USER_INPUT"}}
    if error.locations:
        entry["locations"] = [
            {"line": location.line, "column": location.column} for location in error.locations
        ]
    return entry


def of_operation_name(known: Sequence[str]) -> Error:
    message = "there is no such operation in the document"
    if known:
        message = f"expected one of the document's operations: {', '.join(known)}"
    return of_problems([(("operationName",), message)])
