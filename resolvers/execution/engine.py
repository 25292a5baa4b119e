"""Execute processes: admit what callers ask for, run it, and take over what other workers left.

The engine owns the runs. Callers only wait for them, so a caller that leaves changes nothing.
docs/execution.md says what is guaranteed.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass
from uuid import UUID

from resolvers.access.viewer import Viewer
from resolvers.errors.catalogue import ErrorKind, GatewayError
from resolvers.execution.admission import Admission, Admitted, ExecuteRequest
from resolvers.execution.calls import Sources
from resolvers.execution.cancellation import cancel_execution
from resolvers.execution.counters import Counters
from resolvers.execution.journal import Journal, interrupt_unreadable
from resolvers.execution.leases import Lease, LeaseKeeper
from resolvers.execution.nested import GateWaits
from resolvers.execution.queue import start_next
from resolvers.execution.recorded import Tree, UnreadableError, read_recorded
from resolvers.execution.recovery import Sweeper
from resolvers.execution.run import Run, RunEnd, Tools
from resolvers.execution.secrets import SecretBox
from resolvers.execution.sources.protocol import SourceKind
from resolvers.execution.waiting import Ends
from resolvers.values.ids import global_id
from storage.database.database import Database
from storage.database.errors import DatabaseUnavailableError, OutcomeUnknownError, StorageError
from storage.database.fairness import borrower
from storage.execution.records import Ended

logger = logging.getLogger(__name__)

_LEASE_WAIT = 2.0
"""Seconds that a request waits until this worker has a lease."""
_CANCEL_SECONDS = 0.25
"""Seconds that runs get to end after they were canceled, and sources to close."""
_ANSWER_SECONDS = 0.5
"""Seconds before the end of the grace period at which callers stop waiting."""
_END_SECONDS = 1.0
"""Seconds by which a request waits longer than an execution may take, to learn how it ended."""
_CONNECTIONS = 2
"""Connections for leases and for finding work, which no other statement takes."""


@dataclass(frozen=True, slots=True)
class ExecutionLimits:
    """Limits of executions. Processes and actions may have other times."""

    seconds: float = 60.0
    """Seconds of an execution, including those that are nested in it."""
    action_seconds: float = 10.0
    """Seconds of one attempt of an action."""
    steps: int = 1000
    """Steps of an execution, including those of nested executions."""


def incomplete(execution_id: int, cause: StorageError) -> GatewayError:
    """Return the error for an execution whose record could not be read after it was executed.

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
        database: The database that processes are read from and executions are recorded in.
        kinds: The source kinds that actions can use, by name.
        limits: The limits of executions.
        secrets: Encrypts and decrypts the secrets of sources.
        on_lease: Called with the ID of this worker whenever it gets a new one.
    """

    def __init__(
        self,
        database: Database,
        kinds: Mapping[str, SourceKind],
        limits: ExecutionLimits,
        secrets: SecretBox,
        on_lease: Callable[[UUID], None] = lambda worker: None,
    ) -> None:
        self.kinds = kinds
        self.limits = limits
        self.secrets = secrets
        self.counters = Counters()
        self._database = database
        self._apart = database.apart(_CONNECTIONS, "process-gateway leases")
        self._admission = Admission(database, limits.seconds)
        self._tools = Tools(
            database,
            Sources(database, kinds, secrets),
            limits.action_seconds,
            limits.steps,
            GateWaits(),
            self.start_waiting,
            self.counters,
        )
        self._runs: dict[int, tuple[Run, asyncio.Task[None]]] = {}
        self._restoring: set[int] = set()
        """Executions that this worker owns, and whose records are being read."""
        self._tasks: set[asyncio.Task[None]] = set()
        self._ends = Ends(database, self.runs)
        self._draining = False
        self._keeper = LeaseKeeper(self._apart, lambda lease: on_lease(lease.worker), self._lose)
        self._sweeper = Sweeper(self._apart, self._keeper, self)

    # Requests ------------------------------------------------------------------------------------

    async def execute(
        self, request: ExecuteRequest, viewer: Viewer, wait: float | None = None
    ) -> int:
        """Execute a process, and return the ID of the execution.

        A viewer who may execute a process also executes all processes that its actions run.

        Args:
            request: What to execute.
            viewer: The caller.
            wait: Seconds to wait for the end; by default, those that an execution may take. The
                execution goes on after that.

        Raises:
            GatewayError: ``NOT_FOUND``, ``BAD_USER_INPUT`` or ``CONFLICT``, and nothing was done.
                ``EXECUTION_FAILED``, with the ID of the execution, if it did not succeed.
            StorageError: It was not recorded, and nothing was done. ``OutcomeUnknownError``: it may
                have been recorded, and runs then.
        """
        execution_id = await self.admit(request, viewer)
        await self.require_success(execution_id, wait)
        return execution_id

    async def admit(self, request: ExecuteRequest, viewer: Viewer) -> int:
        """Admit an execution, and return its ID. Raises like ``execute``."""
        lease = await self._lease()
        return self._take_up(await self._admission.admit(request, viewer, lease), lease)

    async def replay(
        self,
        execution_id: int,
        first: int,
        viewer: Viewer,
        *,
        current: bool,
        idempotency_key: str | None = None,
    ) -> int:
        """Admit an execution that repeats another one from a step on, and return its ID.

        Args:
            execution_id: The execution to repeat.
            first: The position of the first step to run. Those before are skipped.
            viewer: The caller.
            current: Whether to run the process as it is now, and not as it was.
            idempotency_key: As in ``ExecuteRequest``.

        Raises:
            Exception: As ``execute``.
        """
        lease = await self._lease()
        admitted = await self._admission.replay(
            execution_id, first, viewer, lease, current=current, key=idempotency_key
        )
        return self._take_up(admitted, lease)

    async def cancel(self, execution_id: int, viewer: Viewer) -> None:
        """Cancel an execution. No step of it starts afterwards.

        Raises:
            GatewayError: ``NOT_FOUND``, ``BAD_USER_INPUT`` if it is nested, or ``CONFLICT`` if it
                has ended.
            StorageError: It was not canceled. ``OutcomeUnknownError``: it may have been.
        """
        status = await cancel_execution(self._database, execution_id, viewer)
        if status == "cancelled":
            self.counters.ended[status] += 1
        self.cancel_own(execution_id)

    async def wait(self, execution_id: int, seconds: float | None = None) -> Ended | None:
        """Return how an execution has ended; None if it has not, in so many seconds."""
        if self._draining:
            return None
        if seconds is None:
            seconds = self.limits.seconds
            run = self._runs.get(execution_id)
            if run is None or run[0].timeout <= seconds:
                seconds += _END_SECONDS
        return await self._ends.wait(execution_id, seconds)

    async def require_success(self, execution_id: int, wait: float | None = None) -> None:
        """Wait for an execution, and raise ``EXECUTION_FAILED`` if it ended without success."""
        ended = await self.wait(execution_id, wait)
        if ended is None or ended.status == "succeeded":
            return
        happened = "was cancelled" if ended.status == "cancelled" else "was interrupted"
        if ended.status == "failed":
            happened = "failed"
        plain = ended.error is None or ended.error_code == "cancelled"
        reason = "" if plain else f": {ended.error}"
        raise GatewayError(
            ErrorKind.EXECUTION_FAILED,
            f'the execution of "{ended.process_reference}" {happened}{reason}',
            details={
                "execution": global_id("Execution", execution_id),
                "status": ended.status.upper(),
                "inDoubt": ended.in_doubt,
            },
        )

    async def _lease(self) -> Lease:
        """Return the lease of this worker. Without one, nothing is admitted."""
        if self._draining:
            raise DatabaseUnavailableError("the gateway is stopping")
        try:
            return await self._keeper.held(_LEASE_WAIT)
        except TimeoutError:
            # An attempt says why: the database may only read.
            async with self._database.transaction() as transaction:
                await transaction.fetch("DELETE FROM worker WHERE false")
            raise DatabaseUnavailableError("this worker has no lease") from None

    def _take_up(self, admitted: Admitted, lease: Lease) -> int:
        """Run an execution that has started, and return its ID."""
        for superseded in admitted.superseded:
            self.cancel_own(superseded)
        if admitted.is_new and admitted.process_id is not None:
            self.counters.admitted += 1
            if admitted.starts:
                self.begin(admitted.id, 0, lease, admitted.tree)
            else:
                # The one before may have ended in the same moment, without seeing this one.
                self.start_waiting(admitted.process_id)
        return admitted.id

    # Runs ----------------------------------------------------------------------------------------

    @property
    def running(self) -> int:
        """The number of executions that this worker runs now."""
        return len(self._runs)

    def runs(self, execution_id: int) -> bool:
        """Whether this worker runs an execution, or is about to."""
        return execution_id in self._runs or execution_id in self._restoring

    def begin(
        self,
        execution_id: int,
        seq: int,
        lease: Lease,
        tree: Tree | None = None,
        *,
        taken_over: bool = False,
    ) -> None:
        """Run an execution that this worker owns.

        Args:
            execution_id: The root of its tree.
            seq: The ``seq`` of the root.
            lease: The lease of the worker that owns it.
            tree: What has happened so far; read if it is None.
            taken_over: Whether the worker before has failed.
        """
        self.counters.takeovers += taken_over
        journal = Journal(self._database, lease, execution_id, seq)
        if tree is not None:
            self._add(Run(self._tools, journal, tree), execution_id)
            return

        async def restore() -> None:
            restored: Tree | None = None
            try:
                restored = await read_recorded(self._database, execution_id)
            except UnreadableError as error:
                logger.exception("restoring an execution failed")
                if error.taken_over_too_often:
                    await interrupt_unreadable(journal)
            finally:
                self._restoring.discard(execution_id)
            if restored is not None and not self._draining:
                restored.taken_over = taken_over
                self._add(Run(self._tools, journal, restored), execution_id)

        self._restoring.add(execution_id)
        self._spawn(restore())

    def _add(self, run: Run, execution_id: int) -> None:
        task = asyncio.create_task(self._run(run, execution_id))
        self._runs[execution_id] = run, task
        if self._draining:
            run.give_up()

    async def _run(self, run: Run, execution_id: int) -> None:
        borrower.set("executions")  # connections are shared fairly between tokens and executions
        end: RunEnd | None = None
        try:
            end = await run.run()
        except Exception:
            # The next sweeps take it over, a few times at most.
            logger.exception("running an execution failed")
        finally:
            if self._runs.get(execution_id, (None,))[0] is run:
                del self._runs[execution_id]
            if end is None and self._draining:
                self._ends.given_up(execution_id)
        if end is not None:
            self.counters.ended[end.ended.status] += 1
            self._ends.ended(end.ended)
            if end.others_wait:
                self.start_waiting(run.process_id)

    def start_waiting(self, process_id: int) -> None:
        """Start the executions of a process that wait, if their turn has come."""

        async def start() -> None:
            # What fails now, the next sweep repeats.
            with contextlib.suppress(StorageError):
                while not self._draining and self._keeper.lease.is_valid:
                    lease = self._keeper.lease
                    begun = await start_next(self._database, process_id, lease.worker)
                    if begun is None:
                        break
                    if begun.ended is not None:
                        self.counters.ended[begun.ended.status] += 1
                        self._ends.ended(begun.ended)
                    else:
                        self.begin(begun.id, begun.seq, lease)

        self._spawn(start())

    def cancel_own(self, execution_id: int) -> None:
        """Cancel an execution that this worker runs."""
        if execution_id in self._runs:
            self._runs[execution_id][0].cancel()

    def leave(self, execution_id: int) -> None:
        """Stop running an execution at once. Others take it over when the lease has ended."""
        if execution_id in self._runs:
            self._runs[execution_id][0].lose()

    def look_around(self) -> None:
        """Look for executions that nobody runs now, and not within a second."""
        self._sweeper.wake()

    def _lose(self, lease: Lease) -> None:
        """Stop all runs: their lease has ended."""
        for run, _ in self._runs.values():
            run.lose()

    def _spawn(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    # The end -------------------------------------------------------------------------------------

    async def drain(self, grace: float) -> None:
        """Admit nothing more, and let the actions in flight finish. Others run what is left.

        Args:
            grace: Seconds after which actions in flight are cut off.
        """
        if self._draining:
            return
        self._draining = True
        end = time.monotonic() + grace
        # Callers get an answer while there is time to send it.
        self._ends.give_up_others()
        await self._sweeper.close()
        for run, _ in self._runs.values():
            run.give_up()
        await self._let_runs_end(end - min(_ANSWER_SECONDS, grace / 2))
        await self._ends.close()
        await self._let_runs_end(end)
        for _, task in self._runs.values():
            task.cancel()
        await self._let_runs_end(time.monotonic() + _CANCEL_SECONDS)

    async def _let_runs_end(self, until: float) -> None:
        """Wait until no execution runs, or until this time of the monotonic clock."""
        while self._runs and (left := until - time.monotonic()) > 0:
            await asyncio.wait([task for _, task in self._runs.values()], timeout=left)

    async def close(self) -> None:
        """Drain, end the lease, and close the connections."""
        await self.drain(0)
        for task in list(self._tasks):
            task.cancel()
        closing = [*self._tasks, asyncio.create_task(self._keeper.close())]
        closing += [asyncio.create_task(kind.close()) for kind in self.kinds.values()]
        # Neither the database nor a source delays the end. A lease also ends by itself.
        _, unfinished = await asyncio.wait(closing, timeout=_CANCEL_SECONDS)
        for task in unfinished:
            task.cancel()
        await self._apart.close()
