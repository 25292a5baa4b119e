"""Admit executions: judge a request, and record what is to run, in one transaction.

A request that is refused leaves nothing behind. One that was admitted runs to its end, whatever
becomes of the caller.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Sequence
from dataclasses import dataclass

import orjson

from resolvers.access.viewer import Viewer
from resolvers.errors.catalogue import GatewayError, bad_value, conflict, not_found
from resolvers.execution.definition import Definition, TooLargeError, read_definition
from resolvers.execution.inputs import (
    Argument,
    by_position,
    by_reference,
    check_inputs,
    inputs_in,
)
from resolvers.execution.leases import Lease
from resolvers.execution.plan import Execution
from resolvers.execution.recorded import Tree, tree_key
from resolvers.execution.templates import ArgumentTooLongError, check_lengths
from storage.database.database import Database
from storage.database.errors import StillInUseError
from storage.database.rows import Row
from storage.database.transaction import Transaction
from storage.execution import admission as records
from storage.execution.definitions import read_definition as read_definition_json
from storage.execution.gates import MAX_QUEUED, Gate, is_busy, lock_gate
from storage.execution.records import read_executed

_OF_DEFINITION = "execution_definition_fkey"
"""The constraint that the definition of an execution exists."""


@dataclass(frozen=True, slots=True)
class ExecuteRequest:
    """A request to execute a process."""

    process_id: int
    inputs: Sequence[Argument] = ()
    """Values of inputs by reference."""
    values: Sequence[str] = ()
    """Values of the inputs that the process requires in its state, in their order."""
    idempotency_key: str | None = None
    """1 to 255 printable ASCII characters."""
    dry_run: bool = False
    """Whether only to record what would be done."""
    trigger: str = "request"

    @property
    def hash(self) -> bytes:
        """A hash of what is asked for, without the key."""
        content = [self.process_id, list(self.inputs), list(self.values), self.dry_run]
        return hashlib.sha256(orjson.dumps(content)).digest()

    @property
    def supplied(self) -> bytes:
        """The values as JSON, as they are stored."""
        return orjson.dumps({"inputs": list(self.inputs), "values": list(self.values)})


@dataclass(frozen=True, slots=True)
class _Replay:
    """Which execution is repeated, and from where."""

    execution_id: int
    first: int
    """The first step that is not skipped."""
    enabled: bool
    """The state of the process when the execution started."""


@dataclass(frozen=True, slots=True)
class Admitted:
    """An execution that is on record."""

    id: int
    is_new: bool
    """Whether this request recorded it, and not an earlier one with the same key."""
    process_id: int | None = None
    starts: bool = False
    """Whether it has started, and this worker owns it."""
    tree: Tree | None = None
    """What is known of an execution that has started, unless it has steps already."""
    superseded: tuple[int, ...] = ()
    """The executions that were canceled because of it."""


class Admission:
    """Admits executions.

    Args:
        database: The database.
        timeout: Seconds that an execution may take, if its process does not say.
    """

    def __init__(self, database: Database, timeout: float) -> None:
        self._database = database
        self._timeout = timeout

    async def admit(self, request: ExecuteRequest, viewer: Viewer, lease: Lease) -> Admitted:
        """Admit an execution.

        Raises:
            GatewayError: ``NOT_FOUND``, ``BAD_USER_INPUT`` or ``CONFLICT``.
            StorageError: It was not recorded. ``OutcomeUnknownError``: it may have been.
        """
        definition = await self._definition(request.process_id, viewer)
        return await self._record(request, definition, viewer, lease)

    async def replay(
        self,
        execution_id: int,
        first: int,
        viewer: Viewer,
        lease: Lease,
        *,
        current: bool,
        key: str | None,
    ) -> Admitted:
        """Admit an execution that repeats another one from a step on.

        Args:
            execution_id: The execution to repeat.
            first: The first step to run. Those before are recorded as skipped.
            viewer: The caller.
            lease: The lease of this worker.
            current: Whether to run the process as it is now, and not as it was.
            key: The idempotency key.

        Raises:
            Exception: As ``admit``.
        """
        executed = await read_executed(self._database, execution_id, viewer.only_profile)
        if executed is None or executed["process_id"] is None:
            raise not_found("there is no such execution, or its process was deleted")
        self._check_replayed(executed, first)
        process_id: int = executed["process_id"]
        definition = await self._definition(process_id, viewer)
        if not current:
            definition = read_definition(executed["definition"])
        supplied = orjson.loads(executed["supplied"])
        request = ExecuteRequest(
            process_id,
            [(reference, value) for reference, value in supplied["inputs"]],
            supplied["values"],
            key,
            trigger="replay",
        )
        replay = _Replay(execution_id, first, _state_at_start(executed, definition))
        return await self._record(request, definition, viewer, lease, replay)

    @staticmethod
    def _check_replayed(executed: Row, first: int) -> None:
        """Raise if an execution cannot be repeated from a step on."""
        if executed["root_id"] is not None:
            raise bad_value(
                ("id",), "a nested execution cannot be replayed, only the outermost one"
            )
        if executed["status"] in ("queued", "running"):
            raise conflict("the execution has not ended yet", ("id",))
        if executed["definition"] is None or executed["supplied"] is None:
            raise conflict(
                "an earlier version recorded the execution; it cannot be replayed", ("id",)
            )
        if not 1 <= first <= executed["steps"] + 1:
            raise bad_value(
                ("from",),
                f"expected the position of a step, 1 to {executed['steps'] + 1}, got {first}",
            )

    async def _definition(self, process_id: int, viewer: Viewer) -> Definition:
        body = await read_definition_json(self._database, process_id, viewer.only_profile)
        if body is None:
            raise not_found("there is no such process")
        definition = read_definition(body)
        try:
            definition.check_size()
        except TooLargeError as error:
            raise bad_value(("id",), str(error)) from None
        return definition

    async def _record(
        self,
        request: ExecuteRequest,
        definition: Definition,
        viewer: Viewer,
        lease: Lease,
        replay: _Replay | None = None,
    ) -> Admitted:
        """Record an execution, unless an earlier request with the same key did."""
        process = definition.root
        hash_ = request.hash if replay is None else _hash_of_replay(request, replay)
        superseded: list[int] = []
        concurrency = "open" if request.dry_run else process.concurrency
        try:
            async with self._database.transaction() as transaction:
                earlier = await self._earlier(transaction, request, viewer, hash_)
                if earlier is not None:
                    return earlier
                enabled = await lock_gate(transaction, process.id)
                if enabled is None:
                    raise not_found("there is no such process")
                if replay is not None and process.is_switch and enabled is not replay.enabled:
                    raise conflict("the state of the process has changed since", ("id",))
                inputs = await self._inputs(transaction, request, definition, enabled=enabled)
                new = records.NewExecution(
                    process.id,
                    process.reference,
                    process.name,
                    viewer.profile_id,
                    viewer.profile_name,
                    inputs,
                    request.supplied,
                    enabled,
                    definition.hash,
                    definition.body,
                    process.timeout or self._timeout,
                    request.trigger,
                    request.idempotency_key,
                    None if request.idempotency_key is None else hash_,
                    request.dry_run,
                    None if replay is None else replay.execution_id,
                    None if replay is None else replay.first,
                )
                recorded = await records.record_execution(
                    transaction, new, Gate(concurrency), lease.worker
                )
                if recorded is None:
                    # Another request may have recorded the key meanwhile.
                    earlier = await self._earlier(transaction, request, viewer, hash_)
                    if earlier is not None:
                        return earlier
                    raise _busy(definition)
                if replay is not None:
                    await records.skip_steps(
                        transaction, recorded.id, replay.execution_id, replay.first
                    )
                if concurrency == "restart" and recorded.status == "queued":
                    superseded = await records.supersede(transaction, process.id, recorded.id)
        except StillInUseError as error:
            if error.constraint == _OF_DEFINITION:
                # Nothing referred to the stored definition, and it was deleted meanwhile.
                return await self._record(request, definition, viewer, lease, replay)
            raise not_found("there is no such process") from None  # it was deleted meanwhile
        starts = recorded.status == "running"
        tree = None
        if starts and replay is None:
            tree = Tree(
                definition,
                Execution(recorded.id, process, enabled, dict(inputs)),
                0,
                time.monotonic() + new.timeout,
                new.timeout,
                tree_key(recorded.id, recorded.requested_at),
                request.dry_run,
            )
        return Admitted(recorded.id, True, process.id, starts, tree, tuple(superseded))

    @staticmethod
    async def _earlier(
        transaction: Transaction, request: ExecuteRequest, viewer: Viewer, hash_: bytes
    ) -> Admitted | None:
        """Return the execution that an earlier request with the same key recorded."""
        if request.idempotency_key is None:
            return None
        found = await records.find_by_key(transaction, viewer.profile_id, request.idempotency_key)
        if found is None:
            return None
        execution_id, earlier_hash = found
        if earlier_hash != hash_:
            raise conflict("the idempotency key was used for another request", ("idempotencyKey",))
        return Admitted(execution_id, is_new=False)

    @staticmethod
    async def _inputs(
        transaction: Transaction, request: ExecuteRequest, definition: Definition, *, enabled: bool
    ) -> list[Argument]:
        """Return the values to run with, as the state of the process is now.

        A switch that has to wait may begin in its other state. It gets its values then.
        """
        process = definition.root
        try:
            return await inputs_of(definition, request.inputs, request.values, enabled=enabled)
        except GatewayError:
            gate = Gate(process.concurrency)
            if not process.is_switch or not await is_busy(transaction, process.id, gate):
                raise
        await inputs_of(definition, request.inputs, request.values, enabled=not enabled)
        return list(request.inputs)


async def inputs_of(
    definition: Definition,
    inputs: Sequence[Argument],
    values: Sequence[str],
    *,
    enabled: bool,
) -> list[Argument]:
    """Return the values that a process runs with in a state.

    Raises:
        GatewayError: ``BAD_USER_INPUT`` if they do not fit its inputs, or make an argument too
            long.
    """
    process = definition.root
    state = process.state(enabled)
    positional = by_position(inputs_in(process.inputs, state), values)
    checked = check_inputs(process.inputs, state, [*by_reference(inputs), *positional])
    try:
        await check_lengths(process.actions_in(enabled), dict(checked))
    except ArgumentTooLongError as error:
        raise bad_value(("inputs",), str(error)) from None
    return checked


def _hash_of_replay(request: ExecuteRequest, replay: _Replay) -> bytes:
    return hashlib.sha256(request.hash + orjson.dumps([replay.execution_id, replay.first])).digest()


def _busy(definition: Definition) -> GatewayError:
    """Return the error for an execution that its gate does not admit."""
    process = definition.root
    if process.concurrency == "single":
        return conflict(
            f'"{process.reference}" is being executed, and runs once at a time', ("id",)
        )
    return conflict(f'{MAX_QUEUED} executions of "{process.reference}" wait already', ("id",))


def _state_at_start(executed: Row, definition: Definition) -> bool:
    """Return the state of a process when an execution of it started."""
    flipped = executed["status"] == "succeeded" and not executed["dry_run"]
    enabled: bool = executed["enabled"]
    return not enabled if flipped and definition.root.is_switch else enabled
