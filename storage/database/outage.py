"""Log failures of the database: an outage once at its start and once at its end."""

from __future__ import annotations

import logging
import time

from storage.database.errors import StorageError, Trouble, as_storage_error, judge, reason

logger = logging.getLogger(__name__)

_SETTLED = 1.0
"""Seconds without a failure after which an outage is over. Connections that are cut in a loop are
one outage and not one for each cut."""


class Outage:
    """A time in which something fails.

    ``ongoing`` is a plain attribute, so that a success costs no more than a test of it.

    Args:
        begins: The beginning of the line that is logged at the start.
        ends: The beginning of the line that is logged at the end.
        what: What fails.
    """

    def __init__(self, begins: str, ends: str, what: str = "statement") -> None:
        self.ongoing = False
        self._begins = begins
        self._ends = ends
        self._what = what
        self._failures = 0
        self._since = 0.0
        self._answered: float | None = None  # the first success after the last failure

    def failed(self, why: str) -> None:
        """Count a failure."""
        self._answered = None
        if not self.ongoing:
            self.ongoing = True
            self._failures = 0
            self._since = time.monotonic()
            logger.error("%s: %s", self._begins, why)
        self._failures += 1

    def succeeded(self) -> None:
        """Note a success during the outage."""
        now = time.monotonic()
        if self._answered is None:
            self._answered = now
        if now - self._answered < _SETTLED:
            return
        self.ongoing = False
        logger.warning(
            "%s after %.1f s; %s %s%s failed",
            self._ends,
            self._answered - self._since,
            f"{self._failures:,}",
            self._what,
            "" if self._failures == 1 else "s",
        )


class FailureLog:
    """Translates the failures of one database, and logs them.

    ``unreachable`` ends with any answer of the database, ``impaired`` with a write, and ``growth``
    when a connection could be opened beside others.
    """

    def __init__(self) -> None:
        self.unreachable = Outage("the database cannot be used", "the database answers again")
        self.impaired = Outage("the database refuses statements", "the database writes again")
        self.growth = Outage(
            "no further connection can be opened", "a connection was opened", "attempt"
        )

    def translated(self, failure: BaseException, *, lost: bool = False) -> StorageError:
        """Return the ``StorageError`` for what a call of the driver raised, and log it.

        Args:
            failure: What was raised. A ``StorageError`` was logged before, and is returned.
            lost: Whether the connection was lost with it.
        """
        if isinstance(failure, StorageError):
            return failure
        match judge(failure, lost=lost):
            case Trouble.UNREACHABLE:
                self.unreachable.failed(reason(failure))
            case Trouble.IMPAIRED:
                self.impaired.failed(reason(failure))
            case Trouble.STATEMENT:
                logger.warning("a statement failed: %s", reason(failure))
            case Trouble.UNEXPECTED:
                logger.error("a statement failed", exc_info=failure)
        return as_storage_error(failure)
