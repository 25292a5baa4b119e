"""Judge an answer: a success, or an error that the gateway may give while its database fails."""

from __future__ import annotations

import json
from collections.abc import Mapping
from enum import Enum
from typing import Any


class Outcome(Enum):
    """What came of a request. The last two never may."""

    RIGHT = "right"
    UNAVAILABLE = "unavailable"
    """The database is unavailable: nothing was written."""
    BUSY = "busy"
    """No connection was free in time: nothing was written."""
    UNKNOWN = "outcome unknown"
    """The database is unavailable: the write may have been stored."""
    WRONG = "wrong"
    STUCK = "stuck"


UNKNOWN_WORDS = "may or may not have been"
"""What the message of a dialect contains if the outcome of a write is unknown."""

_UNAVAILABLE = {"graphql": "DATABASE_UNAVAILABLE", "process": "unavailable", "processes": 1006}
_BUSY = {"graphql": "RATE_LIMITED", "process": "rate_limited", "processes": 6001}


def outcome_of(path: str, status: int, headers: Mapping[str, str], body: bytes) -> Outcome:
    """Judge an answer by its status, its code and its form.

    A success counts as ``RIGHT`` whatever it contains: only the caller knows what is right.
    """
    api = path.split("/")[1]
    try:
        answer = json.loads(body) if body else {}
    except ValueError:
        return Outcome.WRONG
    code, unknown = _ERRORS[api](answer)
    # A field of a GraphQL operation that was executed can fail, and the status is 200.
    executed = api == "graphql" and status == 200 and "data" in answer
    if code is None:
        return Outcome.RIGHT if status == 200 else Outcome.WRONG
    if code == _UNAVAILABLE[api] and (status == 503 or executed):
        return Outcome.UNKNOWN if unknown else Outcome.UNAVAILABLE
    if code == _BUSY[api] and (status == 429 or executed) and headers.get("Retry-After"):
        return Outcome.BUSY
    return Outcome.WRONG


def _graphql_error(answer: Any) -> tuple[object, bool]:
    """Return the code of the error, None if there is none, and whether the outcome is unknown."""
    if not answer.get("errors"):
        return None, False
    extensions = answer["errors"][0]["extensions"]
    return extensions["code"], extensions.get("outcome") == "UNKNOWN"


def _process_error(answer: Any) -> tuple[object, bool]:
    if not answer["error"]:
        return None, False
    return answer["code"], UNKNOWN_WORDS in answer["message"]


def _processes_error(answer: Any) -> tuple[object, bool]:
    if "code" not in answer:
        return None, False
    details = answer.get("details", [])
    return answer["code"], any(UNKNOWN_WORDS in detail["message"] for detail in details)


_ERRORS = {"graphql": _graphql_error, "process": _process_error, "processes": _processes_error}
