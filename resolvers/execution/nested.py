"""Begin the executions that steps run, each as the gate of its process admits."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import NamedTuple

from resolvers.errors.catalogue import GatewayError, ProcessInputProblem, bad_input
from resolvers.execution import plan
from resolvers.execution.inputs import SuppliedValue, check_inputs
from resolvers.execution.journal import Journal
from resolvers.execution.templates import ArgumentTooLongError, check_lengths
from storage.database.transaction import Transaction
from storage.execution.admission import supersede
from storage.execution.gates import Gate, next_in_line, read_end
from storage.execution.writes import BeginNested, StartNested, Write
from storage.writes.arguments import arguments_json

_POLL_SECONDS = 0.1
"""Seconds after which a gate is looked at again: another worker may have left it."""


class RefusedError(Exception):
    """A nested execution does not begin. The message says why."""

    def __init__(self, message: str, code: str) -> None:
        super().__init__(message)
        self.code = code


class GateWaits:
    """The runs of this worker that wait at the gates of processes."""

    def __init__(self) -> None:
        self._waiting: dict[int, set[asyncio.Event]] = {}

    async def wait(self, process_id: int, woken: asyncio.Event) -> None:
        """Wait until an execution of a process may have ended, or something else wakes the run."""
        waiting = self._waiting.setdefault(process_id, set())
        waiting.add(woken)
        try:
            async with asyncio.timeout(_POLL_SECONDS):
                await woken.wait()
        except TimeoutError:
            pass
        finally:
            waiting.discard(woken)
            if not waiting:
                self._waiting.pop(process_id, None)

    def left(self, process_id: int) -> None:
        """Note that an execution of a process has ended."""
        for woken in self._waiting.get(process_id, ()):
            woken.set()


class _Begun(NamedTuple):
    """What a nested execution begins with."""

    enabled: bool
    values: dict[str, str]


async def record_nested(
    journal: Journal, pending: Sequence[Write], move: plan.Enter, gate: Gate
) -> plan.Execution:
    """Record the execution that a step runs, together with what is pending.

    Raises:
        RefusedError: Its inputs do not fit, or its gate does not admit it.
        Exception: As ``Journal.write``.
    """
    process = move.process
    begun = _Begun(enabled=False, values={})

    async def prepare(transaction: Transaction, state: bool | None) -> Sequence[Write]:
        nonlocal begun
        begun = await _begin(move, state)
        if gate.concurrency == "restart":
            await supersede(transaction, process.id, journal.root_id)
        inputs = arguments_json(list(begun.values.items()))
        return [
            *pending,
            StartNested(
                move.execution.id,
                move.step.position,
                process.id,
                process.reference,
                process.name,
                inputs,
                begun.enabled,
                gate,
            ),
        ]

    row = await journal.write_at_gate(process.id, prepare)
    assert row is not None
    if row["nested_id"] is None:
        why = "it runs already" if gate.concurrency == "single" else "too many wait for it"
        raise RefusedError(why, "busy")
    return plan.Execution(
        row["nested_id"], process, begun.enabled, begun.values, row["nested_status"]
    )


async def begin_nested(
    journal: Journal, pending: Sequence[Write], move: plan.Enter, nested_id: int
) -> plan.Execution | None:
    """Begin a nested execution that waits, if it is its turn. Raises like ``record_nested``.

    Returns:
        What runs now; None if it waits on. If a later execution of the process has superseded it,
        its end, and nothing was written.
    """
    process = move.process
    begun = _Begun(enabled=False, values={})
    end: tuple[str, str | None] | None = None

    async def prepare(transaction: Transaction, state: bool | None) -> Sequence[Write] | None:
        nonlocal begun, end
        gate = Gate(process.concurrency)
        if state is not None and await next_in_line(transaction, process.id, gate) != nested_id:
            end = await read_end(transaction, nested_id)
            return None
        begun = await _begin(move, state)
        inputs = arguments_json(list(begun.values.items()))
        return [*pending, BeginNested(nested_id, inputs, begun.enabled)]

    row = await journal.write_at_gate(process.id, prepare)
    if end is not None:
        status, error_code = end
        return plan.Execution(nested_id, process, False, {}, status, None, error_code)
    if row is None:
        return None
    return plan.Execution(nested_id, process, begun.enabled, begun.values)


async def _begin(move: plan.Enter, state: bool | None) -> _Begun:
    """Return what a nested execution begins with, given the state of its process.

    Raises:
        RefusedError: The process was deleted, or its inputs do not fit.
    """
    process = move.process
    if state is None:
        raise RefusedError(f'there is no process "{process.reference}"', "process_failed")
    supplied = [SuppliedValue(reference, value) for reference, value in move.step.arguments]
    try:
        values = dict(check_inputs(process.inputs, process.state(state), supplied))
        await check_lengths(process.actions_in(state), values)
    except GatewayError as error:
        raise RefusedError(_by_reference(error), "invalid_inputs") from None
    except ArgumentTooLongError:
        # The caller may not see the arguments of this process.
        raise RefusedError("an argument would be too long", "limit") from None
    return _Begun(state, values)


def _by_reference(error: GatewayError) -> str:
    """Return the message of an error with the references of inputs instead of paths.

    The caller knows nothing of the arguments of a nested process, only of its inputs.
    """
    problems = [
        problem.by_reference if isinstance(problem, ProcessInputProblem) else problem
        for problem in error.problems
    ]
    return bad_input(*problems, more=error.more).message
