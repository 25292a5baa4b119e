"""Generate variable values that do not match their types, or match only after coercion."""

from __future__ import annotations

import random
from typing import Any

MISMATCHES: tuple[Any, ...] = (
    None,
    True,
    "",
    "text",
    0,
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
"""Values that match few types."""


def misfit(value: Any, chance: random.Random) -> Any:
    """Replace the value, or a part of it."""
    if chance.random() < 0.3:
        return chance.choice((*MISMATCHES, [value]))
    # Values that are almost valid are the most likely to be accepted by mistake.
    match value:
        case dict() if value:
            key = chance.choice(list(value))
            match chance.choice(("replaced", "replaced", "missing", "unknown")):
                case "replaced":
                    return value | {key: misfit(value[key], chance)}
                case "missing":
                    return {name: member for name, member in value.items() if name != key}
                case _:
                    return value | {f"{key}s": value[key]}
        case list() if value:
            index = chance.randrange(len(value))
            if len(value) == 1 and chance.random() < 0.5:
                return value[0]  # GraphQL coerces it to a list
            return [*value[:index], misfit(value[index], chance), *value[index + 1 :]]
        case bool():
            return chance.choice((int(value), float(value), str(value).lower(), None))
        case int():
            # GraphQL accepts the first, and the second if an ID is expected.
            return chance.choice(
                (float(value), str(value), bool(value), value + 0.5, value * 10**9, value + 2**31)
            )
        case str():
            return chance.choice((len(value), True, 1.5, value.lower(), [value], None))
    return chance.choice(MISMATCHES)
