"""Check the arguments of mutations that execute processes."""

from __future__ import annotations

import math
import re

from resolvers.errors.catalogue import bad_value
from resolvers.values.text import describe, shorten

MOST_SECONDS = 300
"""Seconds that a request waits for the end of an execution at most."""

_KEY = re.compile(r"[ -~]{1,255}")


def is_key(text: str) -> bool:
    """Whether a text can be an idempotency key: 1 to 255 printable ASCII characters."""
    return _KEY.fullmatch(text) is not None


def accept_key(key: str | None, argument: str) -> str | None:
    """Validate an idempotency key.

    Raises:
        GatewayError: ``BAD_USER_INPUT``, if it is not 1 to 255 printable ASCII characters.
    """
    if key is not None and not is_key(key):
        message = f"expected 1 to 255 printable ASCII characters, got {shorten(key)}"
        if len(key) > 255:
            message += f" of {len(key):,} characters"
        raise bad_value((argument,), message)
    return key


def accept_wait(seconds: float | None, argument: str) -> float | None:
    """Validate the seconds that a request waits; None for the time limit of executions.

    Raises:
        GatewayError: ``BAD_USER_INPUT``, if they are out of range.
    """
    if seconds is not None and not (math.isfinite(seconds) and 0 <= seconds <= MOST_SECONDS):
        message = f"expected seconds from 0 to {MOST_SECONDS}, got {describe(seconds)}"
        raise bad_value((argument,), message)
    return seconds


def accept_first(position: int, argument: str) -> int:
    """Validate the position of the first step that a replay runs.

    Raises:
        GatewayError: ``BAD_USER_INPUT``, if it is less than 1.
    """
    if position < 1:
        raise bad_value((argument,), f"expected a position from 1, got {position}")
    return position
