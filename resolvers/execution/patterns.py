"""Match values against regular expressions that clients wrote, in linear time.

Both the pattern and the value come from clients, so a backtracking engine could be made to run for
minutes. RE2 takes a time that is proportional to the length of the value times the size of the
pattern. Both are limited here, because matching holds the event loop.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import re2

MAX_PATTERN = 255
"""Characters of a pattern."""
MAX_MATCHED = 1000
"""Characters of a value that a pattern is applied to. It takes 10 ms at the most."""
MAX_MATCHED_TOGETHER = 5000
"""Characters of all such values of one execution."""
_MAX_MEMORY = 64 * 1024
"""Bytes of a compiled pattern, at most, with what matching it needs. RE2 refuses larger ones."""
_MAX_PROGRAM = 1000
"""Instructions of a compiled pattern."""


@lru_cache(maxsize=256)
def matcher(pattern: str) -> Callable[[str], bool]:
    """Return a function that tells whether a whole text matches the pattern.

    Raises:
        ValueError: It is not a regular expression of RE2, or a too large one. The message is safe
            to show to clients.
    """
    options = re2.Options()
    options.log_errors = False
    options.never_capture = True
    options.max_mem = _MAX_MEMORY
    try:
        compiled = re2.compile(pattern, options)
    except re2.error as error:
        (reason,) = error.args
        text = reason.decode(errors="replace") if isinstance(reason, bytes) else str(reason)
        if "too large" in text:
            raise ValueError("expected a shorter regular expression") from None
        raise ValueError(f"expected a regular expression of RE2: {text}") from None
    if compiled.programsize > _MAX_PROGRAM:
        raise ValueError("expected a shorter regular expression")
    return lambda text: compiled.fullmatch(text) is not None
