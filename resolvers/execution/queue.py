"""Start the executions that waited at the gate of their process."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

import orjson

from resolvers.errors.catalogue import GatewayError
from resolvers.execution.admission import inputs_of
from resolvers.execution.definition import read_definition
from storage.database.database import Database
from storage.execution.admission import begin_queued, end_queued, first_in_line
from storage.execution.gates import Gate, lock_gate, next_in_line
from storage.execution.records import Ended


@dataclass(frozen=True, slots=True)
class Begun:
    """An execution whose turn has come."""

    id: int
    seq: int
    ended: Ended | None = None
    """How it ended, if its inputs do not fit any more."""


async def start_next(database: Database, process_id: int, worker: UUID) -> Begun | None:
    """Start the execution of a process that waits for the longest time, if its turn has come.

    It runs what was defined when it was admitted, in the state that the process has now.

    Args:
        database: The database.
        process_id: The process.
        worker: The owner of the execution.

    Raises:
        StorageError: Nothing was started, or with ``OutcomeUnknownError``, perhaps.
    """
    async with database.transaction() as transaction:
        enabled = await lock_gate(transaction, process_id)
        queued = await first_in_line(transaction, process_id)
        if enabled is None or queued is None:
            return None
        definition = read_definition(queued.definition)
        gate = Gate(definition.root.concurrency)
        if await next_in_line(transaction, process_id, gate) != queued.id:
            return None
        supplied = orjson.loads(queued.supplied)
        references = [(reference, value) for reference, value in supplied["inputs"]]
        try:
            inputs = await inputs_of(definition, references, supplied["values"], enabled=enabled)
        except GatewayError as error:
            reason, code = error.message, "invalid_inputs"
            await end_queued(transaction, queued.id, "failed", reason, code)
            reference = definition.root.reference
            ended = Ended(queued.id, reference, "failed", reason, code, in_doubt=False)
            return Begun(queued.id, 0, ended)
        seq = await begin_queued(transaction, queued.id, inputs, enabled=enabled, owner=worker)
        return None if seq is None else Begun(queued.id, seq)
