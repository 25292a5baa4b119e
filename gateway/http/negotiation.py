"""Read what a client accepts: lists of names with quality values (RFC 9110 §12.4.2)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache

_MOST_NAMES = 32
"""Names of a list that are read. Browsers send fewer than ten; a header has room for thousands."""
_MOST_PARAMETERS = 8
"""Parameters of a name that are read."""
_QUALITY = re.compile(r"0(\.[0-9]{0,3})?|1(\.0{0,3})?")


@lru_cache(maxsize=64)
def qualities(header: str) -> Mapping[str, float]:
    """Return the quality of each name in ``Accept`` or ``Accept-Encoding``: 0 (not accepted) to 1.

    Names are in lower case, without parameters. A name whose quality is malformed is left out, and
    the last of several equal names counts.
    """
    accepted: dict[str, float] = {}
    for item in header.split(",", _MOST_NAMES)[:_MOST_NAMES]:
        name, *parameters = (part.strip().lower() for part in item.split(";", _MOST_PARAMETERS))
        quality = "1"
        for parameter in parameters:
            key, _, value = parameter.partition("=")
            if key.rstrip() == "q":
                quality = value.lstrip()
        if name and _QUALITY.fullmatch(quality):
            accepted[name] = float(quality)
    return accepted
