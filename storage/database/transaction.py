"""Run statements in a transaction that ``storage.database.database`` has begun, and will end."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, cast

from storage.database.outage import FailureLog
from storage.database.rows import Row
from storage.database.session import Session

if TYPE_CHECKING:
    from storage.database.database import Database

_READ = re.compile(r"\s*SELECT\b")
"""The beginning of a statement that writes nothing. One with WITH may write."""


class Transaction:
    """A connection inside one transaction. An exception that leaves the block rolls it back."""

    def __init__(self, database: Database, failures: FailureLog, session: Session) -> None:
        self._database = database
        self._failures = failures
        self._session = session
        self.wrote = False
        """Whether a statement was run that may have written something."""

    async def fetch(self, sql: str, *args: object) -> Sequence[Row]:
        """Return all rows of the result."""
        with self._statement(sql):
            # asyncpg's Record has all methods of a Mapping but does not declare it.
            return cast("Sequence[Row]", await self._session.fetch(sql, args))

    async def fetch_row(self, sql: str, *args: object) -> Row | None:
        """Return the first row of the result, or None."""
        rows = await self.fetch(sql, *args)
        return rows[0] if rows else None

    async def fetch_value(self, sql: str, *args: object) -> object:
        """Return the first value of the first row, or None."""
        row = await self.fetch_row(sql, *args)
        return next(iter(row.values())) if row is not None else None

    async def fetch_json(self, sql: str, args: Sequence[object]) -> bytes | None:
        """Return the single JSON value that a statement returns, as PostgreSQL wrote it."""
        with self._statement(sql):
            return cast("bytes | None", await self._session.fetch_value(sql, args))

    async def script(self, sql: str) -> None:
        """Run one or more statements that take no parameters. Discard their results."""
        with self._statement(sql):
            await self._session.execute(sql)

    @contextlib.contextmanager
    def _statement(self, sql: str) -> Iterator[None]:
        """Count a statement, and translate its failure."""
        self._database.statements += 1
        self.wrote = self.wrote or _READ.match(sql) is None
        try:
            yield
        except Exception as failure:
            lost = self._session.lost(failure)
            raise self._failures.translated(failure, lost=lost) from failure
