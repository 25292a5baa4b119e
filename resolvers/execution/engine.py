"""In charge of running a process: its actions in order, their results, its state, and the record.

No transaction stays open while an action runs. Each step is recorded as it starts and as it ends,
so what a run has done is on record even if the gateway dies in the middle of it.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import re
import weakref
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson
from pydantic import ValidationError

from resolvers.access.viewer import Viewer
from resolvers.errors.catalogue import (
    ErrorKind,
    GatewayError,
    ProcessInputProblem,
    bad_input,
    not_found,
)
from resolvers.execution.inputs import (
    SuppliedValue,
    by_position,
    by_reference,
    check_inputs,
    fill_in,
    inputs_in,
)
from resolvers.execution.sources.protocol import PROCESS_KIND, ActionFailedError, Call, SourceKind
from resolvers.values.ids import global_id
from storage.database.database import Database
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
"""Characters that a source may send and the database cannot hold."""


@dataclass(frozen=True, slots=True)
class ExecutionLimits:
    """How long and how far one execution may go."""

    steps: int = 1000
    """Steps that it may have, those of sub-processes included."""
    seconds: float = 60.0
    depth: int = 50
    """Processes that may run below each other. Their results nest as deep."""


@dataclass(slots=True)
class _Run:
    """What the executions under one request share."""

    viewer: Viewer
    steps_left: int
    depth: int = 1


@dataclass(frozen=True, slots=True)
class _Outcome:
    """What came of one run."""

    execution_id: int
    results: list[Any]


class _FailedError(Exception):
    """A run ended early; the message says where and why."""


class ExecutionEngine:
    """Runs processes on behalf of viewers.

    Args:
        kinds: the kinds of source that actions can act on, by name.
    """

    def __init__(
        self, database: Database, kinds: Mapping[str, SourceKind], limits: ExecutionLimits
    ) -> None:
        self._database = database
        self.kinds = kinds
        self._limits = limits
        # One lock a switch, for as long as anyone holds it or waits for it.
        self._switches: weakref.WeakValueDictionary[int, asyncio.Lock] = (
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
        """Run a process to its end; returns the id of the execution.

        A viewer who may execute a process executes with it whatever that runs.

        Args:
            inputs: values of inputs, by their references.
            values: values of the inputs that the process asks for in its state, in their order.

        Raises:
            GatewayError: ``NOT_FOUND``; ``BAD_USER_INPUT`` before anything has run;
                ``EXECUTION_FAILED`` with the opaque id of the execution, if an action failed.
            DatabaseUnavailableError: the run could not be recorded.
        """
        run = _Run(viewer, self._limits.steps)
        async with self._program(process_id, viewer.only_profile) as program:
            if program is None:
                raise not_found("there is no such process")
            positional = by_position(inputs_in(program.inputs, program.state), values)
            supplied = [*by_reference(inputs), *positional]
            outcome = await self._run(run, program, supplied, None)
        return outcome.execution_id

    @contextlib.asynccontextmanager
    async def _program(
        self, process_id: int, only_profile: int | None
    ) -> AsyncIterator[Program | None]:
        """A process to run. Runs of one switch wait for each other, so that each starts in the
        state that the one before it left.
        """
        program = await self._load(process_id, only_profile)
        if program is None or program.process.mode != "switch":
            yield program
            return
        lock = self._switches.get(process_id)
        if lock is None:
            lock = self._switches[process_id] = asyncio.Lock()
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
        """Run a process from its first action; raises ``EXECUTION_FAILED`` where one fails."""
        process = program.process
        state = program.state
        values = check_inputs(program.inputs, state, supplied)
        async with self._database.transaction() as transaction:
            execution_id = await start_execution(
                transaction,
                process,
                values,
                profile_id=run.viewer.profile_id,
                profile_name=run.viewer.profile_name,
                parent_step_id=parent_step,
            )
        actions = [a for a in program.actions if state is None or a.enabled is state]
        # The limit of time is that of the whole run; what is nested ends with it.
        seconds = self._limits.seconds if parent_step is None else None
        results: list[Any] = []
        failure: str | None = None
        try:
            async with asyncio.timeout(seconds):
                answers = self._results(run, execution_id, actions, dict(values))
                results = [result async for result in answers]
        except _FailedError as error:
            failure = str(error)
        except TimeoutError:
            failure = f"it took longer than {self._limits.seconds:g} s"
        except asyncio.CancelledError:
            # The caller went away or the gateway stops: what is on record has to end as well.
            await asyncio.shield(self._finish(program, execution_id, "it was interrupted"))
            raise
        failure = await self._finish(program, execution_id, failure)
        if failure is not None:
            raise GatewayError(
                ErrorKind.EXECUTION_FAILED,
                f'the execution of "{process.reference}" failed: {failure}',
                details={"execution": global_id("Execution", execution_id)},
            )
        return _Outcome(execution_id, results)

    async def _finish(self, program: Program, execution_id: int, failure: str | None) -> str | None:
        """Record the end of a run, and flip the state of a switch; returns what failed, if any."""
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
        """Run the actions in order; what each of them answered."""
        for position, action in enumerate(actions, start=1):
            run.steps_left -= 1
            if run.steps_left < 0:
                raise _FailedError(f"it has more than {self._limits.steps:,} steps")
            arguments = [(ref, fill_in(value, values)) for ref, value in action.arguments]
            async with self._database.transaction() as transaction:
                step_id = await start_step(transaction, execution_id, position, action, arguments)
            result: Any = None
            answer: bytes | None = None
            failure: str | None = None
            try:
                result = await self._run_action(run, step_id, action, arguments)
                answer = _as_json(result)
            except ActionFailedError as error:
                failure = _NOT_STORABLE.sub("\ufffd", str(error))
            except asyncio.CancelledError:
                await asyncio.shield(self._finish_step(step_id, None, "it was interrupted"))
                raise
            except Exception:
                logger.exception("source kind %s failed", action.source_kind)
                failure = "the source failed in a way that it should not"
            await self._finish_step(step_id, answer, failure)
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
        return await kind.run(Call(action.action, arguments, settings))

    async def _run_process(
        self, run: _Run, step_id: int, action: ActionRow, arguments: Sequence[Argument]
    ) -> Any:
        """Run the process that an action calls, its arguments being that process's inputs."""
        assert action.subprocess_id is not None
        if run.depth >= self._limits.depth:
            raise ActionFailedError(f"it is nested deeper than {self._limits.depth} processes")
        failed = f'the process "{action.action}" failed'
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
                    message = bad_input(*problems).message
                    raise ActionFailedError(f"{failed}: {message}") from error
                # What went wrong inside is on record there, for those who may see it.
                raise ActionFailedError(failed) from error
            finally:
                run.depth -= 1
        return {"execution": outcome.execution_id, "results": outcome.results}


def _as_json(result: Any) -> bytes:
    """A source's answer as it is stored; raises ``ActionFailedError``."""
    try:
        return orjson.dumps(result)
    except TypeError:
        raise ActionFailedError("the source answered with what is not JSON") from None
