"""Run the commands of ``process-gateway`` that execute processes, and watch or end executions.

``run`` and ``replay`` execute in their own process: it is a worker with a lease. If it is killed or
leaves, other workers go on. It may run executions of others too, as any worker does.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import logging
import signal
import sys
from collections.abc import AsyncIterator, Iterator

from gateway.commands import STORAGE_LOG, CommandError
from gateway.engine import engine_of
from gateway.execution_display import Display, display_for
from gateway.postgres.open import open_database
from gateway.settings.model import Settings
from resolvers.access.directory import viewer_of
from resolvers.access.viewer import Viewer
from resolvers.errors.catalogue import GatewayError, ProcessInputProblem, bad_input
from resolvers.execution.admission import ExecuteRequest
from resolvers.execution.cancellation import cancel_execution
from resolvers.execution.engine import ExecutionEngine
from storage.database.database import Database
from storage.database.errors import DatabaseUnavailableError, StorageError
from storage.execution.trace import TracedExecution, find_process, read_trace
from storage.writes.access import load_profiles

logger = logging.getLogger(__name__)

_IN_DOUBT = 3
"""The exit status if an effect may or may not have happened."""
_CANCEL_SECONDS = 1.0
"""Seconds that the request to cancel an execution gets when the command is ended meanwhile."""
_LOOK_SECONDS = 0.1
"""Seconds between two looks at an execution."""


# Commands ----------------------------------------------------------------------------------------


async def run(arguments: argparse.Namespace, settings: Settings) -> int:
    """Execute a process, show it, and return 0, 1 or 3."""
    async with open_database(settings) as database:
        process_id = await find_process(database, arguments.reference)
        if process_id is None:
            raise CommandError(f'REFERENCE: there is no process "{arguments.reference}"')
        request = ExecuteRequest(
            process_id,
            arguments.input,
            idempotency_key=arguments.key,
            dry_run=arguments.dry_run,
            trigger="command",
        )
        viewer = await _admin(database)
        async with _worker(settings, database) as engine:
            with _refusals():
                execution_id = await engine.admit(request, viewer)
            return await _attend(engine, database, viewer, execution_id, arguments)


async def replay(arguments: argparse.Namespace, settings: Settings) -> int:
    """Execute a process again from a step of an execution on; show it like ``run``."""
    async with open_database(settings) as database:
        viewer = await _admin(database)
        async with _worker(settings, database) as engine:
            with _refusals():
                execution_id = await engine.replay(
                    arguments.id,
                    arguments.first,
                    viewer,
                    current=arguments.current,
                    idempotency_key=arguments.key,
                )
            return await _attend(engine, database, viewer, execution_id, arguments)


async def trace(arguments: argparse.Namespace, settings: Settings) -> int:
    """Show an execution. With ``--follow`` show it until it ends, and return 0, 1 or 3."""
    async with open_database(settings) as database:
        traced = await read_trace(database, arguments.id)
        if traced is None:
            raise CommandError(f"ID: there is no execution {arguments.id}")
        display = display_for(as_json=arguments.json, follows=arguments.follow)
        if arguments.follow:
            traced = await _follow(database, traced, display)
        display.end(traced)
        return _status_of(traced) if arguments.follow else 0


async def cancel(arguments: argparse.Namespace, settings: Settings) -> None:
    """Cancel an execution."""
    async with open_database(settings) as database:
        with _refusals():
            status = await cancel_execution(database, arguments.id, await _admin(database))
    print(f"execution {arguments.id} {_CANCELLED[status]}")


_CANCELLED = {
    "cancelled": "was cancelled; it had not started",
    "running": "is being cancelled: no further step of it starts",
}


async def worker(arguments: argparse.Namespace, settings: Settings) -> None:
    """Execute what other workers left, until the task is canceled."""
    async with open_database(settings) as database, _worker(settings, database):
        STORAGE_LOG.disabled = False
        print("executing until Ctrl-C or SIGTERM", flush=True)
        await asyncio.Event().wait()


# Parts -------------------------------------------------------------------------------------------


@contextlib.asynccontextmanager
async def _worker(settings: Settings, database: Database) -> AsyncIterator[ExecutionEngine]:
    """Open an engine. At the end, actions in flight may finish; others go on with the rest."""
    engine = await engine_of(settings, database)
    try:
        yield engine
    finally:
        await engine.drain(settings.shutdown_grace)
        await engine.close()


async def _admin(database: Database) -> Viewer:
    """Return the built-in profile that has all permissions."""
    profiles = map(viewer_of, await load_profiles(database))
    return next(viewer for viewer in profiles if viewer.built_in and viewer.profile_name == "admin")


@contextlib.contextmanager
def _refusals() -> Iterator[None]:
    """Raise ``CommandError`` for what the engine refuses, in the words of the command line."""
    try:
        yield
    except GatewayError as error:
        raise CommandError(_in_words(error)) from error
    except DatabaseUnavailableError:
        raise  # open_database reports it
    except StorageError as error:
        raise CommandError(f"the database failed: {error}") from error


def _in_words(error: GatewayError) -> str:
    """Return the message of an error with options of the command line instead of paths."""
    options = {"id": "ID", "from": "--from", "idempotencyKey": "--key"}
    if not error.problems:
        return error.message
    problems = []
    for problem in error.problems:
        shown = problem.by_reference if isinstance(problem, ProcessInputProblem) else problem
        path = shown.path
        if path[:1] == ("inputs",):
            path = ("--input", *path[1:]) if len(path) == 1 else (f"--input {path[1]}", *path[2:])
        elif path:
            path = (options.get(str(path[0]), str(path[0])), *path[1:])
        problems.append(type(shown)(path, shown.message))
    return bad_input(*problems, more=error.more).message


class _Interrupts:
    """What Ctrl-C does while an execution runs: cancel it, and the second time, leave it.

    Args:
        engine: Runs it.
        viewer: The caller.
        execution_id: The execution.
    """

    def __init__(self, engine: ExecutionEngine, viewer: Viewer, execution_id: int) -> None:
        self._engine = engine
        self._viewer = viewer
        self._id = execution_id
        self._cancellation: asyncio.Task[None] | None = None
        task = asyncio.current_task()
        assert task is not None
        self._task = task
        asyncio.get_running_loop().add_signal_handler(signal.SIGINT, self._interrupt)

    async def close(self) -> None:
        """Let Ctrl-C end the command again, and let the request to cancel reach the database."""
        asyncio.get_running_loop().add_signal_handler(signal.SIGINT, self._task.cancel)
        if self._cancellation is not None:
            await asyncio.wait((self._cancellation,), timeout=_CANCEL_SECONDS)

    def _interrupt(self) -> None:
        if self._cancellation is None:
            _say(f"cancelling execution {self._id}; Ctrl-C again leaves it to other workers")
            self._cancellation = asyncio.create_task(self._cancel())
        else:
            self._engine.leave(self._id)
            self._task.cancel()

    async def _cancel(self) -> None:
        try:
            await self._engine.cancel(self._id, self._viewer)
        except GatewayError:
            pass  # it has ended
        except StorageError:
            _say("the database failed: perhaps it is not cancelled")


def _say(message: str) -> None:
    print(f"process-gateway: {message}", file=sys.stderr, flush=True)


async def _attend(
    engine: ExecutionEngine,
    database: Database,
    viewer: Viewer,
    execution_id: int,
    arguments: argparse.Namespace,
) -> int:
    """Show an execution of this process until it ends; return the exit status."""
    display = display_for(as_json=arguments.json, follows=True)
    seconds: float | None = arguments.timeout_wait
    interrupts = _Interrupts(engine, viewer, execution_id)
    try:
        async with asyncio.timeout(seconds):
            traced = await _follow(database, await _read(database, execution_id), display, engine)
    except TimeoutError:
        display.close()
        raise CommandError(
            f"execution {execution_id} has not ended after {seconds:g} s;"
            f" other workers go on with it ('process-gateway trace {execution_id}' shows it)"
        ) from None
    except asyncio.CancelledError:
        display.close()
        _say(f"execution {execution_id} is left to other workers")
        raise
    finally:
        await interrupts.close()
    display.end(traced)
    return _status_of(traced)


async def _read(database: Database, execution_id: int) -> TracedExecution:
    """Return an execution that there is. The read is repeated while the database fails."""
    told = False
    while True:
        try:
            traced = await read_trace(database, execution_id)
        except StorageError:
            if not told:
                _say("the database does not answer; waiting for it")
            told = True
            await asyncio.sleep(1)
        else:
            if traced is None:
                raise CommandError(f"execution {execution_id} was deleted")
            return traced


async def _follow(
    database: Database,
    traced: TracedExecution,
    display: Display,
    engine: ExecutionEngine | None = None,
) -> TracedExecution:
    """Show an execution until it has ended, and return it then.

    Args:
        database: The database.
        traced: The execution.
        display: Shows it.
        engine: If it runs in this process, its engine, which says at once that it has ended.
    """
    while not traced.has_ended:
        display.show(traced)
        if engine is None:
            await asyncio.sleep(_LOOK_SECONDS)
        else:
            await engine.wait(traced.database_id, _LOOK_SECONDS)
        traced = await _read(database, traced.database_id)
    return traced


def _status_of(traced: TracedExecution) -> int:
    """Return the exit status for an execution that has ended."""
    if traced.in_doubt:
        return _IN_DOUBT
    return 0 if traced.status == "succeeded" else 1
