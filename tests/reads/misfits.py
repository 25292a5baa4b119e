"""Values for variables that do not fit their types, or only once GraphQL has coerced them."""

from __future__ import annotations

import random
from typing import Any

ODD: tuple[Any, ...] = (
    None,
    True,
    False,
    "",
    "2",
    "text",
    "asc",
    0,
    1.0,
    2.5,
    2**31,
    -(2**31) - 1,
    1e30,
    [],
    [None],
    ["a", 1],
    [[1]],
    {},
    {"unknown": 1},
    {"eq": []},
)
"""Each of them fits few types."""


def misfit(value: Any, chance: random.Random) -> Any:
    """Another value in the place of this one, or of something in it."""
    inside = chance.random() < 0.7
    match value:
        case dict() if value and inside:
            key = chance.choice(list(value))
            match chance.choice(("other", "other", "missing", "unknown")):
                case "other":
                    return value | {key: misfit(value[key], chance)}
                case "missing":
                    return {name: member for name, member in value.items() if name != key}
                case _:
                    return value | {f"{key}s": value[key]}
        case list() if value and inside:
            place = chance.randrange(len(value))
            if len(value) == 1 and chance.random() < 0.5:
                return value[0]  # GraphQL makes a list of it
            return [*value[:place], misfit(value[place], chance), *value[place + 1 :]]
        case bool() | None:
            return chance.choice(ODD)
        case int() if inside:
            # GraphQL takes the first, and the second where an id is wanted.
            return chance.choice((float(value), str(value), value + 0.5, value * 10**9))
    return chance.choice((*ODD, [value]))
