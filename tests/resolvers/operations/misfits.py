"""Values for variables that do not fit their types, or only once GraphQL has coerced them."""

from __future__ import annotations

import random
from typing import Any

ODD: tuple[Any, ...] = (
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
"""Each of them fits few types."""


def misfit(value: Any, chance: random.Random) -> Any:
    """Another value in the place of this one, or of something in it."""
    if chance.random() < 0.3:
        return chance.choice((*ODD, [value]))
    # Those that are nearly right are the ones that are easily let pass.
    match value:
        case dict() if value:
            key = chance.choice(list(value))
            match chance.choice(("other", "other", "missing", "unknown")):
                case "other":
                    return value | {key: misfit(value[key], chance)}
                case "missing":
                    return {name: member for name, member in value.items() if name != key}
                case _:
                    return value | {f"{key}s": value[key]}
        case list() if value:
            place = chance.randrange(len(value))
            if len(value) == 1 and chance.random() < 0.5:
                return value[0]  # GraphQL makes a list of it
            return [*value[:place], misfit(value[place], chance), *value[place + 1 :]]
        case bool():
            return chance.choice((int(value), float(value), str(value).lower(), None))
        case int():
            # GraphQL takes the first, and the second where an id is wanted.
            return chance.choice(
                (float(value), str(value), bool(value), value + 0.5, value * 10**9, value + 2**31)
            )
        case str():
            return chance.choice((len(value), True, 1.5, value.lower(), [value], None))
    return chance.choice(ODD)
