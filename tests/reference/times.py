"""Read the times in arguments, without the code of the product."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

from graphql import GraphQLScalarType, GraphQLSchema

EXPECTED = "a date and time with an offset, such as 2024-02-29T12:00:00Z"

_PARTS = re.compile(
    r"([0-9]{4})-([0-9]{2})-([0-9]{2})[Tt]([0-9]{2}):([0-9]{2}):([0-9]{2})(\.[0-9]{1,6})?"
    r"([Zz]|([+-])([0-9]{2}):([0-9]{2}))"
)


def read_time(value: Any) -> datetime:
    """Return the time that a value of the scalar ``DateTime`` stands for, in UTC."""
    parts = _PARTS.fullmatch(value) if isinstance(value, str) else None
    if parts is None:
        raise ValueError("not a date-time of RFC 3339")
    *date_and_time, fraction, suffix, sign, hours, minutes = parts.groups()
    offset = timedelta(0)
    if suffix not in "Zz":
        if int(hours) > 23 or int(minutes) > 59:
            raise ValueError("not a date-time of RFC 3339")
        offset = timedelta(hours=int(hours), minutes=int(minutes)) * (-1 if sign == "-" else 1)
    microseconds = int((fraction or ".0")[1:].ljust(6, "0"))
    try:
        year, month, day, hour, minute, second = map(int, date_and_time)
        zone = timezone(offset)
        local = datetime(year, month, day, hour, minute, second, microseconds, zone)
        return local.astimezone(UTC)
    except OverflowError:
        raise ValueError("the year is not from 1 to 9999 in UTC") from None


def with_times(schema: GraphQLSchema) -> GraphQLSchema:
    """Make a schema that was built from its printed form read times."""
    scalar = schema.type_map["DateTime"]
    assert isinstance(scalar, GraphQLScalarType)
    scalar.parse_value = scalar.coerce_input_value = read_time  # type: ignore[method-assign]
    return schema
