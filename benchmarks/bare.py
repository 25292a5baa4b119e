"""Run executions with asyncpg alone: the engine's own statements, in the engine's order.

This is what executions cost at least. The texts of all statements are made before, and nothing is
decided between them; only the ID of the execution and its ``seq`` are filled in.
"""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import cast

import orjson

from connections import Connection, connected
from resolvers.execution.definition import Definition, read_definition
from storage.database.rows import Row
from storage.database.transaction import Transaction
from storage.execution.admission import NewExecution, record_execution
from storage.execution.definitions import read_definition as read_definition_json
from storage.execution.gates import Gate, lock_gate
from storage.execution.journal import Fence, transition
from storage.execution.writes import Ending, EndStep, StartStep, Write
from storage.writes.arguments import arguments_json

_ROOT, _SEQ = -1, -2
"""Stand for the ID of an execution and its ``seq`` among the values of a statement."""


class _Statements:
    """Runs the statements of ``storage.execution`` on a connection, with nothing around them."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def fetch(self, sql: str, *args: object) -> Sequence[Row]:
        return cast("Sequence[Row]", await self._connection.fetch(sql, *args))

    async def fetch_row(self, sql: str, *args: object) -> Row | None:
        rows = await self._connection.fetch(sql, *args)
        return cast("Row", rows[0]) if rows else None


class BareProcess:
    """A process whose actions echo, ready to be executed.

    Args:
        definition: What is executed.
        worker: The owner of the executions.
        concurrency: The gate of the executions.
    """

    def __init__(self, definition: Definition, worker: uuid.UUID, concurrency: str) -> None:
        process = definition.root
        self._process_id = process.id
        self._worker = worker
        self._gate = Gate(concurrency)
        self._new = NewExecution(
            process_id=process.id,
            process_reference=process.reference,
            process_name=process.name,
            profile_id=1,
            profile_name="admin",
            inputs=[],
            supplied=b'{"inputs":[],"values":[]}',
            enabled=False,
            definition_hash=definition.hash,
            definition=definition.body,
            timeout=3600.0,
        )
        self._transitions = _transitions(definition, worker)

    @property
    def transitions(self) -> int:
        """The number of transitions of an execution."""
        return len(self._transitions)

    async def execute(self, connection: Connection) -> None:
        """Run one execution from its admission to its end."""
        root_id = await self.admit(connection)
        for seq in range(self.transitions):
            await self.advance(connection, root_id, seq)

    async def admit(self, connection: Connection) -> int:
        """Record an execution that starts at once, and return its ID."""
        statements = cast(Transaction, _Statements(connection))
        await read_definition_json(statements, self._process_id, None)
        await connection.execute("BEGIN")
        await lock_gate(statements, self._process_id)
        admitted = await record_execution(statements, self._new, self._gate, self._worker)
        await connection.execute("COMMIT")
        assert admitted is not None
        assert admitted.status == "running"
        return admitted.id

    async def advance(self, connection: Connection, root_id: int, seq: int) -> None:
        """Write the next transition of an execution."""
        sql, values = self._transitions[seq]
        filled = [root_id if v == _ROOT else seq if v == _SEQ else v for v in values]
        rows = await connection.fetch(sql, *filled)
        assert rows, "the fence did not hold"


def _transitions(definition: Definition, worker: uuid.UUID) -> list[tuple[str, list[object]]]:
    """Return the statements of an execution after its admission, and their values."""
    fence = Fence(_ROOT, _SEQ, worker)
    pending: list[Write] = []
    statements = []
    for position, action in enumerate(definition.root.actions, start=1):
        arguments = arguments_json(action.arguments)
        start = StartStep(_ROOT, position, action.source.name, action.action, arguments, None)
        statements.append(transition(fence, [*pending, start], starts=True))
        result = orjson.dumps(dict(action.arguments))
        pending = [EndStep(_ROOT, position, "succeeded", result)]
    statements.append(transition(fence, pending, end=Ending("succeeded")))
    return statements


@asynccontextmanager
async def bare_worker(connection: Connection) -> AsyncIterator[uuid.UUID]:
    """Record a worker that has a lease for the duration of the block."""
    worker = uuid.uuid4()
    await connection.execute(
        "INSERT INTO worker VALUES ($1, clock_timestamp() + interval '1 hour')", worker
    )
    yield worker
    await connection.execute("DELETE FROM worker WHERE id = $1", worker)


async def bare_process(
    connection: Connection, process_id: int, worker: uuid.UUID, concurrency: str = "parallel"
) -> BareProcess:
    """Read the definition of a process."""
    statements = cast(Transaction, _Statements(connection))
    body = await read_definition_json(statements, process_id, None)
    assert body is not None
    return BareProcess(read_definition(body), worker, concurrency)


async def bare_rate(url: str, processes: Sequence[BareProcess], seconds: float) -> float:
    """Return the executions per second with one connection for each process."""
    async with AsyncExitStack() as stack:
        connections = [await stack.enter_async_context(connected(url)) for _ in processes]
        for process, connection in zip(processes, connections, strict=True):
            await process.execute(connection)  # which prepares its statements
        start = time.monotonic()

        async def run(process: BareProcess, connection: Connection) -> int:
            count = 0
            while time.monotonic() < start + seconds:
                await process.execute(connection)
                count += 1
            return count

        counts = await asyncio.gather(*map(run, processes, connections))
        return sum(counts) / (time.monotonic() - start)
