"""Define the failures of a statement, and translate what asyncpg raises into them.

Nothing outside ``storage`` sees an exception of the driver. The driver's own message goes to the
log only.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator

import asyncpg

logger = logging.getLogger(__name__)

DRIVER_FAILURES = (
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    OSError,
    TimeoutError,
)
"""The exceptions that a statement can raise."""


class StorageError(Exception):
    """A statement failed. ``resolvers`` renders the error from its catalogue."""


class DatabaseUnavailableError(StorageError):
    """The database is unreachable, too slow, or failed internally."""


class OutcomeUnknownError(DatabaseUnavailableError):
    """COMMIT was sent and not answered: what the transaction wrote may be stored or not.

    Any other failure of a transaction means that it wrote nothing.
    """


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


def translate_failure(failure: BaseException) -> StorageError:
    """Return the ``StorageError`` for one of ``DRIVER_FAILURES``. Log it if it is unexpected."""
    match failure:
        case asyncpg.UniqueViolationError():
            return AlreadyExistsError(failure.constraint_name or "")
        case asyncpg.ForeignKeyViolationError():
            return StillInUseError(failure.constraint_name or "")
    # The driver's message may contain SQL, values or a host name, so it only goes to the log.
    logger.error("a statement failed", exc_info=failure)
    return DatabaseUnavailableError("the database did not answer")


@contextlib.contextmanager
def translated_failures() -> Iterator[None]:
    """Translate the driver's failures in the block.

    Raises:
        StorageError: The block raised one of ``DRIVER_FAILURES``.
    """
    try:
        yield
    except DRIVER_FAILURES as failure:
        raise translate_failure(failure) from failure
