"""Define rows, and what can be asked for them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

Row = Mapping[str, Any]
"""A row of a result: values by column name."""


class Reader(Protocol):
    """Runs reads: the database, a transaction or a listener."""

    async def fetch(self, sql: str, *args: object) -> Sequence[Row]:
        """Return all rows of the result."""
