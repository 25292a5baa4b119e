"""Run one execution: make its moves one after another, and record each before the next.

A run belongs to one worker and one tree of executions. It ends when the tree has ended, or when
the worker has lost it or gives it up. ``resolvers.execution.plan`` decides what is next.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass

from resolvers.execution import plan
from resolvers.execution.attempts import Attempt, Outcome, delay_before_next
from resolvers.execution.calls import Sources, UnusableSourceError
from resolvers.execution.counters import Counters
from resolvers.execution.journal import (
    CancelRequestedError,
    FencedOffError,
    Journal,
    UnacknowledgedError,
)
from resolvers.execution.nested import GateWaits, RefusedError, begin_nested, record_nested
from resolvers.execution.recorded import Tree, read_recorded
from resolvers.execution.secrets import perform
from resolvers.execution.templates import fill_in
from storage.database.database import Database
from storage.database.rows import Row
from storage.execution.gates import Gate
from storage.execution.records import Ended
from storage.execution.writes import (
    DelayStep,
    Ending,
    EndNested,
    EndStep,
    FailedAttempt,
    Flip,
    RepeatStep,
    StartStep,
    Write,
)
from storage.writes.arguments import arguments_json

CANCEL_GRACE = 5.0
"""Seconds that an action in flight gets to end after its execution was canceled."""


@dataclass(frozen=True, slots=True)
class Tools:
    """What all runs of a worker share."""

    database: Database
    sources: Sources
    action_timeout: float
    """Seconds that an attempt may take, if its action does not say."""
    max_steps: int
    """Steps of an execution, with those of the executions that are nested in it."""
    gates: GateWaits
    start_waiting: Callable[[int], None]
    """Starts the executions of a process that wait, if their turn has come."""
    counters: Counters


@dataclass(frozen=True, slots=True)
class RunEnd:
    """The end of a run."""

    ended: Ended
    others_wait: bool
    """Whether other executions of the process are queued."""


@dataclass(frozen=True, slots=True)
class _Stop:
    """Why a run ends before its last action."""

    status: str
    error: str
    error_code: str


_CANCELLED = _Stop("cancelled", "it was cancelled", "cancelled")


class Run:
    """Runs one tree of executions.

    Args:
        tools: What it shares with other runs.
        journal: Writes its transitions.
        tree: What has happened so far.
    """

    def __init__(self, tools: Tools, journal: Journal, tree: Tree) -> None:
        self._tools = tools
        self._journal = journal
        self._tree = tree
        self._pending: list[Write] = []
        """What is written with the next transition."""
        self._stop: _Stop | None = None
        self._gives_up = False
        self._lost = False
        self._attempt: Attempt | None = None
        self._woken = asyncio.Event()
        if tree.cancel_requested:
            self._stop = _CANCELLED

    @property
    def process_id(self) -> int:
        """The process that it executes."""
        return self._tree.root.process.id

    @property
    def timeout(self) -> float:
        """Seconds that it may take."""
        return self._tree.timeout

    # From outside --------------------------------------------------------------------------------

    def cancel(self) -> None:
        """End it. The action in flight gets a few seconds to finish."""
        if self._stop is None:
            self._stop = _CANCELLED
            self._interrupt(CANCEL_GRACE)

    def give_up(self) -> None:
        """Leave it to other workers, once the action in flight has finished."""
        self._gives_up = True
        self._woken.set()

    def lose(self) -> None:
        """End it at once, without any further record: another worker goes on with it."""
        self._lost = True
        self._interrupt(0)

    def _interrupt(self, grace: float) -> None:
        self._woken.set()
        if self._attempt is not None:
            self._attempt.cancel(grace)

    # The loop ------------------------------------------------------------------------------------

    async def run(self) -> RunEnd | None:
        """Run it to its end.

        Returns:
            How it ended; None if another worker goes on with it.
        """
        try:
            while True:
                if self._gives_up and not self._must_go_on():
                    await self._journal.write(self._pending, releases=True)
                    return None
                try:
                    ended = await self._advance()
                except UnacknowledgedError:
                    ended = await self._read_again()
                except CancelRequestedError:
                    ended = None
                    self._forget_started()
                    self._stop = self._stop or _CANCELLED
                if ended is not None:
                    return ended
        except (FencedOffError, UnacknowledgedError):
            return None

    def _must_go_on(self) -> bool:
        """Whether it is not given up yet: it ends anyway, or another worker would misjudge it."""
        if self._lost or self._stop is not None or self._tree.taken_over:
            return True
        return isinstance(self._next_move(), plan.EndStep | plan.End)

    def _next_move(self) -> plan.Move:
        tree = self._tree
        return plan.next_move(tree.definition, tree.root, tree.steps, self._tools.max_steps)

    async def _advance(self) -> RunEnd | None:
        """Make one move. Return how the root ended, if it did."""
        if self._lost:
            raise FencedOffError
        if self._tree.taken_over:
            await self._take_over()
        if time.monotonic() >= self._tree.deadline and self._stop is None:
            self._stop = _Stop("failed", self._tree.too_late(), "timed_out")
        if self._stop is not None:
            return await self._end_now(self._stop)
        match move := self._next_move():
            case plan.Start():
                await self._start(move)
            case plan.Act():
                await self._act(move)
            case plan.Wait():
                await self._wait(move)
            case plan.Enter():
                await self._enter(move)
            case plan.EndStep(execution, step):
                self._end_step(execution, step, move.status, move.error, move.error_code)
            case plan.End():
                return await self._end(move)
        return None

    async def _write(self, *writes: Write, starts: bool = False) -> Row:
        """Write what is pending and more. Nothing is pending afterwards."""
        row = await self._journal.write([*self._pending, *writes], starts=starts)
        self._pending = []
        return row

    async def _read_again(self) -> RunEnd | None:
        """Read the records again, after a transition whose row is lost. Return the end, if any."""
        self._pending = []
        tree = await read_recorded(self._tools.database, self._journal.root_id)
        if tree is None:
            raise FencedOffError
        self._tree, root = tree, tree.root
        if root.status == "running":
            return None
        return self._run_end(root.status, root.error, root.error_code, others_wait=True)

    def _forget_started(self) -> None:
        """Take back the step whose start was not written."""
        execution = self._tree.unwritten
        if execution is not None:
            self._tree.unwritten = None
            self._tree.steps -= 1
            execution.steps.pop()
            self._pending.pop()

    # Moves ---------------------------------------------------------------------------------------

    async def _start(self, move: plan.Start) -> None:
        """Begin a step, and record the end of the one before with it."""
        execution, action = move.execution, move.action
        arguments = tuple(
            (reference, fill_in(value, execution.values)) for reference, value in action.arguments
        )
        skips = self._tree.dry_run and action.subprocess_id is None
        status = "skipped" if skips else "running"
        step = plan.Step(move.position, status, arguments)
        execution.steps.append(step)
        self._tree.steps += 1
        self._tree.unwritten = execution
        self._pending.append(
            StartStep(
                execution.id,
                move.position,
                action.source.name,
                action.action,
                arguments_json(arguments),
                action.subprocess_id,
                status,
            )
        )
        await self._write(starts=True)
        self._tree.unwritten = None

    async def _act(self, move: plan.Act) -> None:
        """Perform an attempt of a step."""
        execution, step = move.execution, move.step
        action = execution.action(step)
        seconds = action.timeout or self._tools.action_timeout
        left = self._tree.deadline - time.monotonic()
        key = f"{self._tree.key}/{execution.id}/{step.position}"
        try:
            kind, call = await self._tools.sources.call(action, step, key, min(seconds, left))
        except UnusableSourceError as error:
            self._end_step(execution, step, "failed", str(error), error.code)
            return
        if self._stop is not None:
            return
        if self._lost or not self._journal.holds:
            raise FencedOffError  # the worker was stopped since it recorded the attempt
        self._attempt = Attempt(perform(kind, call))
        try:
            outcome = await self._attempt.outcome(min(seconds, left))
        finally:
            self._attempt = None
        if self._lost:
            raise FencedOffError
        if outcome.canceled:
            step.in_doubt = True  # it ends with the execution
            return
        if outcome.timed_out:
            late = f"it took longer than {seconds:g} s" if seconds < left else self._tree.too_late()
            outcome = outcome._replace(error=f"{late}{outcome.error or ''}")
        if outcome.error is None:
            step.in_doubt = False
            self._end_step(execution, step, "succeeded", result=outcome.result)
            return
        await self._after_failure(
            execution, step, outcome, self._tools.sources.is_idempotent(action)
        )

    async def _after_failure(
        self, execution: plan.Execution, step: plan.Step, outcome: Outcome, idempotent: bool
    ) -> None:
        """End a step whose attempt failed, or record when the next one starts."""
        retries = execution.action(step).retries
        delay = delay_before_next(outcome, step.attempt, retries, idempotent=idempotent)
        assert outcome.error is not None
        assert outcome.error_code is not None
        step.in_doubt = step.in_doubt or outcome.in_doubt
        if delay is None or time.monotonic() + delay >= self._tree.deadline:
            self._end_step(execution, step, "failed", outcome.error, outcome.error_code)
            return
        failed = FailedAttempt(outcome.error, outcome.error_code, outcome.in_doubt)
        step.status = "waiting"
        step.retry_at = time.monotonic() + delay
        await self._write(DelayStep(execution.id, step.position, failed, delay))

    async def _wait(self, move: plan.Wait) -> None:
        """Wait for the time of the next attempt, and begin it."""
        execution, step = move.execution, move.step
        assert step.retry_at is not None
        await self._sleep(min(step.retry_at, self._tree.deadline) - time.monotonic())
        if time.monotonic() >= step.retry_at and not self._gives_up and self._stop is None:
            await self._write(RepeatStep(execution.id, step.position), starts=True)
            step.status, step.retry_at = "running", None
            step.attempt += 1
            self._tools.counters.retries += 1

    async def _sleep(self, seconds: float) -> None:
        """Wait, unless something wakes the run."""
        try:
            async with asyncio.timeout(max(seconds, 0)):
                await self._woken.wait()
        except TimeoutError:
            return
        if not self._gives_up:
            self._woken.clear()

    async def _enter(self, move: plan.Enter) -> None:
        """Begin the execution that a step runs, or wait at its gate."""
        step, process = move.step, move.process
        try:
            if step.nested is None:
                gate = Gate("open" if self._tree.dry_run else process.concurrency)
                step.nested = await record_nested(self._journal, self._pending, move, gate)
                self._pending = []
                return
            begun = await begin_nested(self._journal, self._pending, move, step.nested.id)
        except RefusedError as error:
            if step.nested is not None:
                step.nested.status = "failed"
                ending = Ending("failed", str(error), error.code)
                self._pending.append(EndNested(step.nested.id, process.id, ending))
            message = f'the process "{process.reference}" failed: {error}'
            self._end_step(move.execution, step, "failed", message, error.code)
            return
        if begun is None:
            self._tree.waits_for = f'action {step.position} waited for "{process.reference}"'
            await self._tools.gates.wait(process.id, self._woken)
            self._woken.clear()
        else:
            if begun.status == "running":
                self._pending = []
            self._tree.waits_for = None
            step.nested = begun

    # Ends ----------------------------------------------------------------------------------------

    def _end_step(
        self,
        execution: plan.Execution,
        step: plan.Step,
        status: str,
        error: str | None = None,
        error_code: str | None = None,
        result: bytes | None = None,
    ) -> None:
        """End a step. Its end is written with the next transition."""
        step.status, step.error, step.error_code = status, error, error_code
        self._tree.in_doubt = self._tree.in_doubt or step.in_doubt
        self._tools.counters.in_doubt += step.in_doubt
        self._pending.append(
            EndStep(execution.id, step.position, status, result, error, error_code, step.in_doubt)
        )

    async def _end(self, move: plan.End) -> RunEnd | None:
        """End an execution whose steps have ended. Return how the root ended, if it is the root."""
        execution = move.execution
        flip = None
        if move.status == "succeeded" and execution.process.is_switch and not self._tree.dry_run:
            flip = Flip(execution.process.id, execution.enabled)
        ending = Ending(move.status, move.error, move.error_code, flip)
        if execution is self._tree.root:
            return await self._end_root(ending)
        row = await self._write(EndNested(execution.id, execution.process.id, ending))
        if row["others_wait"]:
            self._tools.start_waiting(execution.process.id)
        execution.status = row["nested_status"]
        execution.error_code = (
            None if execution.status == "succeeded" else (move.error_code or "state_changed")
        )
        self._tools.gates.left(execution.process.id)
        return None

    async def _end_now(self, stop: _Stop) -> RunEnd:
        """End everything that has not ended, with one transition."""
        for execution in self._tree.root.open_path():
            step = execution.open_step()
            if step is not None:
                self._end_step(execution, step, stop.status, stop.error, stop.error_code)
            if execution is not self._tree.root:
                execution.status = stop.status
                ending = Ending(stop.status, stop.error, stop.error_code)
                self._pending.append(EndNested(execution.id, execution.process.id, ending))
                self._tools.gates.left(execution.process.id)
        return await self._end_root(Ending(stop.status, stop.error, stop.error_code))

    async def _end_root(self, ending: Ending) -> RunEnd:
        row = await self._journal.write(self._pending, end=ending)
        self._tools.gates.left(self._tree.root.process.id)
        return self._run_end(row["status"], row["error"], row["error_code"], row["others_wait"])

    def _run_end(
        self, status: str, error: str | None, error_code: str | None, others_wait: bool
    ) -> RunEnd:
        root = self._tree.root
        ended = Ended(
            root.id, root.process.reference, status, error, error_code, self._tree.in_doubt
        )
        return RunEnd(ended, others_wait)

    async def _take_over(self) -> None:
        """Decide what becomes of the attempt that was in flight when the last worker failed."""
        self._tree.taken_over = False
        error = "the gateway that ran it failed"
        if self._tree.taken_over_too_often:
            self._stop = _Stop("interrupted", f"{error}, again and again", "interrupted")
        execution = self._tree.root.open_path()[0]
        step = execution.open_step()
        if step is None or step.status != "running":
            return
        action = execution.action(step)
        if action.subprocess_id is not None:
            return
        step.in_doubt = True
        if self._stop is not None or not self._tools.sources.is_idempotent(action):
            self._end_step(execution, step, "interrupted", error, "interrupted")
            return
        failed = FailedAttempt(error, "interrupted", in_doubt=True)
        await self._write(RepeatStep(execution.id, step.position, failed), starts=True)
        step.attempt += 1
        self._tools.counters.retries += 1
