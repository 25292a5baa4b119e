"""Recognize numbers in texts."""

from __future__ import annotations

import math
import re

_NUMBER = re.compile(r"[+-]?([0-9]{1,100}(\.[0-9]{0,100})?|\.[0-9]{1,100})([eE][+-]?[0-9]{1,3})?")


def is_number(text: str) -> bool:
    """Whether a text is a finite number, such as 21.5, which ``float`` reads."""
    return _NUMBER.fullmatch(text) is not None and math.isfinite(float(text))
