"""Define the failures of a statement, and judge what the driver raises.

Nothing outside ``storage`` sees an exception of the driver. Its own message may contain SQL, values
or a host name, so it never leaves this package.

asyncpg has no common base class, and where a connection is cut it also raises plain exceptions:
``InternalClientError`` in the middle of a message, ``RuntimeError`` from a closed transport,
``AttributeError`` from an aborted protocol. So every exception of a call of the driver counts as a
failure of the database.

    StorageError
    ├── DatabaseUnavailableError
    │   ├── ReadOnlyDatabaseError
    │   └── OutcomeUnknownError
    ├── DatabaseBusyError
    ├── AlreadyExistsError
    └── StillInUseError
"""

from __future__ import annotations

from enum import Enum, auto

import asyncpg


class StorageError(Exception):
    """A statement failed. ``resolvers`` renders the error from its catalogue."""


class DatabaseUnavailableError(StorageError):
    """The database is unreachable, too slow, or failed internally."""


class ReadOnlyDatabaseError(DatabaseUnavailableError):
    """The database accepts no writes, because it is a standby or was set to read-only."""


class OutcomeUnknownError(DatabaseUnavailableError):
    """COMMIT was sent and not answered: what the transaction wrote may be stored or not.

    Any other failure of a transaction means that it wrote nothing.
    """


class DatabaseBusyError(StorageError):
    """No connection became free in time. ``retry_after`` is an estimate, in whole seconds."""

    def __init__(self, retry_after: int = 1) -> None:
        super().__init__("no connection became free in time")
        self.retry_after = retry_after


class AlreadyExistsError(StorageError):
    """A unique value is taken. ``constraint`` names the violated constraint."""

    def __init__(self, constraint: str) -> None:
        super().__init__(constraint)
        self.constraint = constraint


class StillInUseError(StorageError):
    """A row cannot be deleted because others refer to it, or a referenced row does not exist.

    ``constraint`` names the violated constraint.
    """

    def __init__(self, constraint: str) -> None:
        super().__init__(constraint)
        self.constraint = constraint


class Trouble(Enum):
    """What a failure says about the database."""

    NONE = auto()
    """Nothing: a constraint was violated."""
    UNREACHABLE = auto()
    """It cannot be reached, or does not answer."""
    IMPAIRED = auto()
    """It answers, but has no room, or accepts no writes."""
    STATEMENT = auto()
    """It ended this statement, for a reason that is to be expected."""
    UNEXPECTED = auto()
    """Perhaps the gateway is wrong."""


_UNREACHABLE = ("08", "28", "3D", "53300", "57P")
"""SQLSTATEs, or their beginnings: the connection, its authorization, the name of the database, too
many connections, the operator's intervention (a shutdown, a crash, a start that is under way)."""
_IMPAIRED = ("25006", "53", "58")
"""Read-only, insufficient resources (a full disk, no memory), errors of the system."""
_EXPECTED = ("40", "55P03", "57014")
"""Conflicts between transactions, a lock that was not free, a canceled or too slow statement."""


def judge(failure: BaseException, *, lost: bool = False) -> Trouble:
    """Return what a failure of the driver says about the database.

    Args:
        failure: What a call of the driver raised.
        lost: Whether the connection was lost with it.
    """
    match failure:
        case asyncpg.UniqueViolationError() | asyncpg.ForeignKeyViolationError():
            return Trouble.NONE
        case asyncpg.PostgresError(sqlstate=str(state)):
            for trouble, states in (
                (Trouble.UNREACHABLE, _UNREACHABLE),
                (Trouble.IMPAIRED, _IMPAIRED),
                (Trouble.STATEMENT, _EXPECTED),
            ):
                if state.startswith(states):
                    return trouble
        case OSError():  # TimeoutError as well: PostgreSQL ends a slow statement before the driver
            return Trouble.UNREACHABLE
    return Trouble.UNREACHABLE if lost else Trouble.UNEXPECTED


def as_storage_error(failure: BaseException) -> StorageError:
    """Return the ``StorageError`` for what a call of the driver raised."""
    match failure:
        case StorageError():
            return failure
        case asyncpg.UniqueViolationError():
            return AlreadyExistsError(failure.constraint_name or "")
        case asyncpg.ForeignKeyViolationError():
            return StillInUseError(failure.constraint_name or "")
        case asyncpg.ReadOnlySQLTransactionError():
            return ReadOnlyDatabaseError("the database is read-only")
    return DatabaseUnavailableError("the database did not answer")


def reason(failure: BaseException) -> str:
    """Return a failure for the log: its class and SQLSTATE, without values."""
    if isinstance(failure.__cause__, asyncpg.PostgresError):
        failure = failure.__cause__  # what the server said before it closed the connection
    state = getattr(failure, "sqlstate", None)
    name = type(failure).__name__
    return f"{name}, SQLSTATE {state}" if state else name
