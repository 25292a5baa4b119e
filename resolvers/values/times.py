"""Read the times that clients send: date-times of RFC 3339 that PostgreSQL can compare exactly."""

from __future__ import annotations

import re
from datetime import UTC, datetime

_DATE_TIME = re.compile(
    r"\d{4}-\d{2}-\d{2}[Tt]\d{2}:\d{2}:\d{2}(?:\.\d{1,6})?(?:[Zz]|[+-](?:[01]\d|2[0-3]):[0-5]\d)",
    re.ASCII,
)


def read_time(text: str) -> datetime:
    """Return a time in UTC.

    The offset is required. A second has at most 6 digits after the point, as in PostgreSQL, and
    there are no leap seconds. Years are from 1 to 9999, in UTC as well.

    Raises:
        ValueError: The text is not such a time.
    """
    if not _DATE_TIME.fullmatch(text):
        raise ValueError("not a date-time of RFC 3339")
    try:
        return datetime.fromisoformat(text.upper()).astimezone(UTC)
    except OverflowError:
        raise ValueError("the year is not from 1 to 9999 in UTC") from None
