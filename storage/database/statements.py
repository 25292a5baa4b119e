"""Run the prepared statements of one connection, and keep them within a budget of memory."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Awaitable, Sequence
from typing import Any

import asyncpg
from asyncpg.protocol import NO_TIMEOUT

# What PostgreSQL 18 keeps for a statement and its generic plan (CachedPlanSource, CachedPlanQuery
# and CachedPlan in pg_backend_memory_contexts), in bytes for each character of the SQL:
#
#   a look-up by key           190 characters    129
#   a page of a list           406               121
#   nested lists               933               107
#   a whole tree             5,754               118
#   400 `or` on one relation  61,834             139
#   10 `or` across three       3,641             255
#   400 `or` across three    146,045             204
#
# Statements of less than 100 characters take 6 to 16 KB.
_BYTES_PER_CHARACTER = 200
_BYTES_PER_STATEMENT = 8 * 1024


def estimated_bytes(sql: str) -> int:
    """Return the memory that PostgreSQL keeps for a prepared statement and its plan."""
    return _BYTES_PER_STATEMENT + _BYTES_PER_CHARACTER * len(sql)


class Statement:
    """A prepared statement of a connection.

    This is the only place that uses a private part of asyncpg: its protocol, which the methods of
    its prepared statements call as well. They take 9 µs longer, 4 of them to set a timer for each
    run, and a small read takes 120. Whoever runs a statement has to limit its time.

    Args:
        connection: asyncpg's ``Connection``.
        prepared: asyncpg's ``PreparedStatement``.
    """

    __slots__ = ("_bind_execute", "_prepared", "_state")

    def __init__(self, connection: Any, prepared: Any) -> None:
        self._prepared = prepared  # asyncpg closes it in PostgreSQL when nothing refers to it
        self._state = prepared._state
        self._bind_execute = connection._protocol.bind_execute

    def run(self, args: Sequence[object], limit: int = 0) -> Awaitable[list[asyncpg.Record]]:
        """Return the rows.

        Args:
            args: The values of the parameters.
            limit: The most rows; 0 for all.
        """
        rows: Awaitable[list[asyncpg.Record]] = self._bind_execute(
            self._state, args, "", limit, False, NO_TIMEOUT
        )
        return rows


class Statements:
    """The prepared statements of a connection. Those that were not used for the longest are closed.

    asyncpg's own cache counts statements and not their sizes, and cannot be looked into. With
    ``statement_cache_size=0`` it is off, and only statements that are prepared with a name are
    named in PostgreSQL.

    Args:
        connection: A connection without a cache of its own.
        budget: The bytes of memory in PostgreSQL that they may take, 0 to keep none. A statement
            that alone takes more is prepared for each run, without a name.
    """

    def __init__(self, connection: asyncpg.Connection[asyncpg.Record], budget: int) -> None:
        self._connection = connection
        self._budget = budget
        self._kept: OrderedDict[str, Statement] = OrderedDict()  # the last used one is last
        self._bytes = 0
        self._prepared = 0
        self.unkept = False
        """Whether PostgreSQL still has a large statement without a name."""

    def get(self, sql: str) -> Statement | None:
        """Return a kept statement."""
        statement = self._kept.get(sql)
        if statement is not None:
            self._kept.move_to_end(sql)
        return statement

    async def prepare(self, sql: str) -> Statement:
        """Prepare a statement, and keep it if it fits."""
        size = estimated_bytes(sql)
        if size > self._budget:
            self.unkept = self._budget > 0
            return Statement(self._connection, await self._connection.prepare(sql))
        while self._bytes + size > self._budget:
            dropped, _ = self._kept.popitem(last=False)
            self._bytes -= estimated_bytes(dropped)
        # asyncpg closes in PostgreSQL what is no longer referenced when it prepares the next one.
        self._prepared += 1
        prepared = await self._connection.prepare(sql, name=f"s{self._prepared}")
        statement = self._kept[sql] = Statement(self._connection, prepared)
        self._bytes += size
        return statement

    async def forget_unkept(self) -> None:
        """Let PostgreSQL free the statement without a name, after its run."""
        self.unkept = False
        await self._connection.execute("SELECT")  # the simple protocol drops it
