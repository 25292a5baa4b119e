"""Execute a process: run its actions in order, record each step, and update its state.

No transaction stays open while an action runs. The start and the end of each step are recorded, so
the record of an execution survives a crash of the gateway.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import re
import weakref
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import orjson
from pydantic import ValidationError

from resolvers.access.viewer import Viewer
from resolvers.errors.catalogue import (
    ErrorKind,
    GatewayError,
    ProcessInputProblem,
    bad_input,
    bad_value,
    not_found,
)
from resolvers.execution.inputs import (
    InputRule,
    SuppliedValue,
    by_position,
    by_reference,
    check_inputs,
    inputs_in,
)
from resolvers.execution.sources.protocol import PROCESS_KIND, ActionFailedError, Call, SourceKind
from resolvers.execution.templates import ArgumentTooLongError, check_lengths, fill_in
from resolvers.values.ids import global_id
from storage.database.database import Database
from storage.database.errors import OutcomeUnknownError, StorageError
from storage.writes.executions import (
    ActionRow,
    Argument,
    Program,
    finish_execution,
    finish_step,
    flip_state,
    load_program,
    start_execution,
    start_step,
)

logger = logging.getLogger(__name__)

_NOT_STORABLE = re.compile("[\0\ud800-\udfff]")
"""Characters that a source may return and PostgreSQL cannot store."""


@dataclass(frozen=True, slots=True)
class ExecutionLimits:
    """Limits of one execution."""

    steps: int = 1000
    """Maximum number of steps, including the steps of nested executions."""
    seconds: float = 60.0
    """Maximum duration in seconds, including nested executions."""
    depth: int = 50
    """Maximum nesting depth of processes, and so of their results."""


@dataclass(slots=True)
class _Run:
    """State shared by an execution and its nested executions."""

    viewer: Viewer
    steps_left: int
    depth: int = 1


@dataclass(frozen=True, slots=True)
class _Outcome:
    """The result of a successful execution."""

    execution_id: int
    results: list[Any]


class _FailedError(Exception):
    """An execution failed. The message says at which action and why."""


def incomplete(execution_id: int, cause: StorageError) -> GatewayError:
    """Return the error for an execution that could not be recorded or read to its end.

    Its actions may have run, so the error must not read as if nothing had happened.
    """
    details: dict[str, object] = {"execution": global_id("Execution", execution_id)}
    if isinstance(cause, OutcomeUnknownError):
        details["outcome"] = "UNKNOWN"
    return GatewayError(
        ErrorKind.DATABASE_UNAVAILABLE,
        "the process was executed, at least in part, but the database failed: check what it did"
        " before you repeat it",
        details=details,
    )


class ExecutionEngine:
    """Executes processes on behalf of viewers.

    Args:
        database: The database that processes are loaded from and executions are recorded in.
        kinds: The source kinds that actions can use, by name.
        limits: The limits of each execution.
    """

    def __init__(
        self, database: Database, kinds: Mapping[str, SourceKind], limits: ExecutionLimits
    ) -> None:
        self._database = database
        self.kinds = kinds
        self._limits = limits
        # One lock for each switch, kept only while an execution holds it or waits for it.
        self._switch_locks: weakref.WeakValueDictionary[int, asyncio.Lock] = (
            weakref.WeakValueDictionary()
        )

    async def execute(
        self,
        process_id: int,
        inputs: Sequence[Argument],
        viewer: Viewer,
        *,
        values: Sequence[str] = (),
    ) -> int:
        """Execute a process, and return the ID of the execution when it has finished.

        A viewer who may execute a process also executes all processes that its actions run.

        Args:
            process_id: The process to execute.
            inputs: Input values, each with the reference of its input.
            viewer: The caller.
            values: Values of the inputs that the process requires in its current state, in the
                order of those inputs.

        Raises:
            GatewayError: ``NOT_FOUND`` if the process does not exist or is not visible to the
                viewer. ``BAD_USER_INPUT`` if the input values are invalid, or make an argument too
                long; in this case no action has run. With the opaque ID of the execution:
                ``EXECUTION_FAILED`` if an action failed, and ``DATABASE_UNAVAILABLE`` if the
                execution could not be recorded to its end.
            StorageError: The start of the execution could not be recorded; no action has run.
        """
        run = _Run(viewer, self._limits.steps)
        async with self._program(process_id, viewer.only_profile) as program:
            if program is None:
                raise not_found("there is no such process")
            positional = by_position(inputs_in(_rules(program), program.state), values)
            supplied = [*by_reference(inputs), *positional]
            try:
                outcome = await self._run(run, program, supplied, None)
            except ArgumentTooLongError as error:
                raise bad_value(("inputs",), str(error)) from None
        return outcome.execution_id

    @contextlib.asynccontextmanager
    async def _program(
        self, process_id: int, only_profile: int | None
    ) -> AsyncIterator[Program | None]:
        """Load a process, and hold its lock if it is a switch.

        Executions of a switch run one after another, so that each starts in the state that the
        previous one left.
        """
        program = await self._load(process_id, only_profile)
        if program is None or program.process.mode != "switch":
            yield program
            return
        lock = self._switch_locks.get(process_id)
        if lock is None:
            lock = self._switch_locks[process_id] = asyncio.Lock()
        async with lock:
            yield await self._load(process_id, only_profile)

    async def _load(self, process_id: int, only_profile: int | None) -> Program | None:
        async with self._database.transaction() as transaction:
            return await load_program(transaction, process_id, only_profile)

    async def _run(
        self,
        run: _Run,
        program: Program,
        supplied: Sequence[SuppliedValue],
        parent_step: int | None,
    ) -> _Outcome:
        """Execute a loaded process, and record the execution.

        Args:
            parent_step: The step that started this execution, or None if it is not nested.

        Raises:
            GatewayError: ``BAD_USER_INPUT`` if ``supplied`` does not fit the inputs of the process.
                ``EXECUTION_FAILED`` if an action failed or a limit was exceeded.
                ``DATABASE_UNAVAILABLE`` if the execution could not be recorded to its end.
            ArgumentTooLongError: With these values, an argument of an action is too long.
            StorageError: The start of the execution could not be recorded.
        """
        process = program.process
        state = program.state
        values = check_inputs(_rules(program), state, supplied)
        actions = [a for a in program.actions if state is None or a.enabled is state]
        await check_lengths(actions, dict(values))
        async with self._database.transaction() as transaction:
            execution_id = await start_execution(
                transaction,
                process,
                values,
                profile_id=run.viewer.profile_id,
                profile_name=run.viewer.profile_name,
                parent_step_id=parent_step,
            )
        # The time limit applies to the outermost execution, and ends nested ones with it.
        seconds = self._limits.seconds if parent_step is None else None
        try:
            return await self._run_recorded(
                run, program, execution_id, actions, dict(values), seconds
            )
        except StorageError as error:
            raise incomplete(execution_id, error) from error

    async def _run_recorded(
        self,
        run: _Run,
        program: Program,
        execution_id: int,
        actions: Sequence[ActionRow],
        values: Mapping[str, str],
        seconds: float | None,
    ) -> _Outcome:
        """Run the actions of an execution whose start is recorded, and record its end.

        Args:
            seconds: The time limit, or None if it has none of its own.
        """
        results: list[Any] = []
        failure: str | None = None
        try:
            async with asyncio.timeout(seconds):
                step_results = self._results(run, execution_id, actions, values)
                results = [result async for result in step_results]
        except _FailedError as error:
            failure = str(error)
        except TimeoutError:
            failure = f"it took longer than {self._limits.seconds:g} s"
        except asyncio.CancelledError:
            # The caller disconnected or the gateway is shutting down. Record the end anyway.
            await asyncio.shield(self._finish(program, execution_id, "it was interrupted"))
            raise
        failure = await self._finish(program, execution_id, failure)
        if failure is not None:
            raise GatewayError(
                ErrorKind.EXECUTION_FAILED,
                f'the execution of "{program.process.reference}" failed: {failure}',
                details={"execution": global_id("Execution", execution_id)},
            )
        return _Outcome(execution_id, results)

    async def _finish(self, program: Program, execution_id: int, failure: str | None) -> str | None:
        """Record the end of an execution, and flip the state of a switch that succeeded.

        Returns:
            ``failure``, or the reason why the state could not be flipped. None on success.
        """
        process = program.process
        enabled = process.enabled
        async with self._database.transaction() as transaction:
            if failure is None and process.mode == "switch":
                if await flip_state(transaction, process.id, enabled):
                    enabled = not enabled
                else:
                    failure = "the state of the process was changed meanwhile"
            await finish_execution(transaction, execution_id, enabled=enabled, error=failure)
        return failure

    async def _results(
        self,
        run: _Run,
        execution_id: int,
        actions: Sequence[ActionRow],
        values: Mapping[str, str],
    ) -> AsyncIterator[Any]:
        """Run the actions in order, and yield the result of each."""
        for position, action in enumerate(actions, start=1):
            run.steps_left -= 1
            if run.steps_left < 0:
                raise _FailedError(f"it has more than {self._limits.steps:,} steps")
            arguments = [(ref, fill_in(value, values)) for ref, value in action.arguments]
            async with self._database.transaction() as transaction:
                step_id = await start_step(transaction, execution_id, position, action, arguments)
            result: Any = None
            result_json: bytes | None = None
            failure: str | None = None
            try:
                result = await self._run_action(run, step_id, action, arguments)
                result_json = _as_json(result)
            except ActionFailedError as error:
                failure = _NOT_STORABLE.sub("\ufffd", str(error))
            except asyncio.CancelledError:
                await asyncio.shield(self._finish_step(step_id, None, "it was interrupted"))
                raise
            except Exception:
                logger.exception("source kind %s failed", action.source_kind)
                failure = "the source raised an unexpected error"
            await self._finish_step(step_id, result_json, failure)
            if failure is not None:
                raise _FailedError(f'action {position} ("{action.source_name}") failed: {failure}')
            yield result

    async def _finish_step(self, step_id: int, result: bytes | None, failure: str | None) -> None:
        async with self._database.transaction() as transaction:
            await finish_step(transaction, step_id, result=result, error=failure)

    async def _run_action(
        self, run: _Run, step_id: int, action: ActionRow, arguments: Sequence[Argument]
    ) -> Any:
        if action.source_kind == PROCESS_KIND:
            return await self._run_process(run, step_id, action, arguments)
        kind = self.kinds.get(action.source_kind)
        if kind is None:
            raise ActionFailedError(f'this gateway has no source kind "{action.source_kind}"')
        try:
            settings = kind.settings.model_validate(action.source_settings)
        except ValidationError:
            raise ActionFailedError("the settings of the source do not fit its kind") from None
        return await kind.act(Call(action.action, arguments, settings))

    async def _run_process(
        self, run: _Run, step_id: int, action: ActionRow, arguments: Sequence[Argument]
    ) -> Any:
        """Execute the process that an action runs. The action's arguments are its input values."""
        assert action.subprocess_id is not None
        if run.depth >= self._limits.depth:
            raise ActionFailedError(f"it is nested deeper than {self._limits.depth} processes")
        message = f'the process "{action.action}" failed'
        async with self._program(action.subprocess_id, None) as program:
            if program is None:
                raise ActionFailedError(f'there is no process "{action.action}"')
            run.depth += 1
            try:
                supplied = [SuppliedValue(reference, value) for reference, value in arguments]
                outcome = await self._run(run, program, supplied, step_id)
            except GatewayError as error:
                if error.kind is ErrorKind.BAD_USER_INPUT:
                    # The caller knows nothing of this process's arguments, only of its inputs.
                    problems = [
                        problem.by_reference
                        if isinstance(problem, ProcessInputProblem)
                        else problem
                        for problem in error.problems
                    ]
                    reasons = bad_input(*problems, more=error.more).message
                    raise ActionFailedError(f"{message}: {reasons}") from error
                # The nested execution records the cause, for callers who may see that process.
                raise ActionFailedError(message) from error
            except ArgumentTooLongError as error:
                # The caller may not see the arguments of this process.
                raise ActionFailedError(f"{message}: an argument would be too long") from error
            finally:
                run.depth -= 1
        return {"execution": outcome.execution_id, "results": outcome.results}


def _rules(program: Program) -> list[InputRule]:
    """Return what the inputs of a process accept."""
    return [InputRule(**asdict(row)) for row in program.inputs]


def _as_json(result: Any) -> bytes:
    """Serialize the result of a source for storage.

    Raises:
        ActionFailedError: The result is not a JSON value.
    """
    try:
        return orjson.dumps(result)
    except TypeError:
        raise ActionFailedError("the source returned a value that is not JSON") from None
