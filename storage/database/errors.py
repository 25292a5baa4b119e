"""In charge of connections: the pool, transactions, notifications, and what failures mean.

No other module runs a statement against PostgreSQL. What asyncpg raises is turned into the error
catalogue here; the driver's own words go to the log only.
"""

from __future__ import annotations


class StorageError(Exception):
    """A statement could not be done. ``resolvers`` renders it from the error catalogue."""


class DatabaseUnavailableError(StorageError):
    """The database is out of reach, too slow, or failed on its own account."""


class AlreadyExistsError(StorageError):
    """A unique value is taken; ``constraint`` names the rule."""

    def __init__(self, constraint: str) -> None:
        super().__init__(constraint)
        self.constraint = constraint


class StillInUseError(StorageError):
    """A row that others refer to cannot go, or one that is referred to is not there."""

    def __init__(self, constraint: str) -> None:
        super().__init__(constraint)
        self.constraint = constraint
