"""Define the limits on what one operation may select."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits on what one operation may select."""

    default_page: int = 20
    largest_page: int = 100
    root_fields: int = 100
    """Fields at the root of a query. Each of them is one statement."""
    fields: int = 5000
    """Fields of a plan, with fragments expanded."""
    depth: int = 20
    """Levels of nested fields, including the root field."""
