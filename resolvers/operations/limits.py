"""Define the limits on one GraphQL operation, and the errors of those that exceed them.

``docs/limits.md`` lists the limits. Each of them is a setting; an error names the setting, its
value and what the operation has.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from resolvers.errors.catalogue import ErrorKind, GatewayError

CostMode: TypeAlias = Literal["off", "measure", "enforce"]


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits on one operation. Each has the name and the default of its setting."""

    page_size_default: int = 20
    page_size_max: int = 100
    max_query_characters: int = 100_000
    max_query_tokens: int = 1500
    max_query_definitions: int = 50
    max_query_depth: int = 20
    max_query_root_fields: int = 20
    max_query_aliases: int = 200
    max_query_directives: int = 100
    max_query_fields: int = 5000
    max_query_cost: int = 1_000_000
    cost_mode: CostMode = "enforce"


UNLIMITED = Limits(
    max_query_tokens=1_000_000,
    max_query_definitions=1_000_000,
    max_query_depth=1000,
    max_query_root_fields=1000,
    max_query_aliases=1_000_000,
    max_query_directives=1_000_000,
    max_query_fields=1_000_000,
    cost_mode="off",
)
"""The limits on the operations of the legacy dialects, which are part of the gateway."""


_MAX_SHOWN = 1_000_000_000
"""Nested fragments can multiply to numbers with hundreds of digits. They are not shown."""


def limit_error(setting: str, what: str, maximum: int, received: int | None = None) -> GatewayError:
    """Return the error of an operation that exceeds a limit.

    Args:
        setting: The setting that defines the limit.
        what: What is counted, in plural.
        maximum: The value of the setting.
        received: The number that the operation has; None if it was not counted to the end.
    """
    if received is not None and received > _MAX_SHOWN:
        received = None
    has = f"more than {maximum:,}" if received is None else f"{received:,}"
    limit: dict[str, object] = {"name": setting, "maximum": maximum}
    if received is not None:
        limit["received"] = received
    return GatewayError(
        ErrorKind.BAD_USER_INPUT,
        f"the operation has {has} {what}, and at most {maximum:,} are allowed ({setting})",
        details={"limit": limit},
    )
