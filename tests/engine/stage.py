"""Let a test decide, write by write and action by action, what happens to runs of executions."""

from __future__ import annotations

import asyncio
import contextlib
from collections import defaultdict
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, ClassVar, cast

from pydantic import BaseModel

from resolvers.execution.calls import Sources
from resolvers.execution.counters import Counters
from resolvers.execution.journal import Journal
from resolvers.execution.leases import Lease
from resolvers.execution.nested import GateWaits
from resolvers.execution.recorded import read_recorded
from resolvers.execution.run import Run, Tools
from resolvers.execution.secrets import SecretBox
from resolvers.execution.sources.protocol import ActionFailedError, Call, Repeat, SourceKind
from storage.database.database import Database
from storage.database.errors import DatabaseUnavailableError, OutcomeUnknownError
from storage.database.rows import Row
from storage.database.transaction import Transaction


class Write(Enum):
    """What becomes of a write."""

    APPLIED = "it is applied"
    REFUSED = "it is not applied"
    LOST = "it is applied, and its answer is lost"
    LATE = "its answer is lost, and it is applied later, if its fence holds then"


class Act(Enum):
    """What becomes of an action."""

    SUCCEEDS = "it has its effect"
    FAILS = "it fails, without an effect, and may be repeated"
    LOST = "it has its effect, and its answer is lost"
    UNSENT = "it is lost without an effect, and nobody knows"


@dataclass
class Moment:
    """A run that waits for a decision."""

    is_write: bool
    decision: asyncio.Future[Write | Act]


@dataclass
class Late:
    """A statement that is still on its way."""

    root_id: int
    sql: str
    values: Sequence[object]


@dataclass(eq=False)
class StagedRun:
    """A run of an execution in a worker."""

    root_id: int
    lease: Lease
    run: Run | None = None
    task: asyncio.Task[Any] | None = None
    moment: Moment | None = None
    blocked: asyncio.Event = field(default_factory=asyncio.Event)

    async def decided(self, *, is_write: bool) -> Write | Act:
        """Wait for a decision."""
        self.moment = Moment(is_write, asyncio.get_running_loop().create_future())
        self.blocked.set()
        return await self.moment.decision

    async def settle(self) -> None:
        """Wait until the run needs a decision, or has ended."""
        assert self.task is not None
        waiting = asyncio.ensure_future(self.blocked.wait())
        await asyncio.wait((self.task, waiting), return_when=asyncio.FIRST_COMPLETED)
        waiting.cancel()

    async def decide(self, decision: Write | Act) -> None:
        """Decide, and wait for the next question."""
        assert self.moment is not None
        moment, self.moment = self.moment, None
        self.blocked.clear()
        moment.decision.set_result(decision)
        await self.settle()

    async def end(self) -> None:
        """End the run, as the end of its process does."""
        assert self.task is not None
        self.task.cancel()
        await asyncio.wait((self.task,))

    @property
    def is_done(self) -> bool:
        """Whether it has ended."""
        return self.task is not None and self.task.done()


class StagedDatabase:
    """A database whose writes wait for decisions. Reads do not."""

    def __init__(self, real: Database, run: StagedRun, late: list[Late]) -> None:
        self._real = real
        self._run = run
        self._late = late

    async def fetch(self, sql: str, *args: object) -> Sequence[Row]:
        """Read."""
        return await self._real.fetch(sql, *args)

    async def write(self, sql: str, *args: object) -> Row | None:
        """Write, if it is decided so."""
        decision = await self._run.decided(is_write=True)
        if decision is Write.REFUSED:
            raise DatabaseUnavailableError("refused")
        if decision is Write.LATE:
            self._late.append(Late(self._run.root_id, sql, args))
            raise OutcomeUnknownError("late")
        row = await self._real.write(sql, *args)
        if decision is Write.LOST:
            raise OutcomeUnknownError("lost")
        return row

    @contextlib.asynccontextmanager
    async def transaction(self) -> AsyncIterator[Transaction]:
        """Open a transaction, if it is decided so. A late one is refused: it holds locks."""
        decision = await self._run.decided(is_write=True)
        if decision in (Write.REFUSED, Write.LATE):
            raise DatabaseUnavailableError("refused")
        async with self._real.transaction() as transaction:
            yield transaction
        if decision is Write.LOST:
            raise OutcomeUnknownError("lost")


class Nothing(BaseModel):
    """No settings."""


class StagedKind(SourceKind):
    """Acts as is decided. The action ``again`` is idempotent."""

    name: ClassVar[str] = "staged"
    settings: ClassVar[type[BaseModel]] = Nothing

    def __init__(self, run: StagedRun, effects: defaultdict[str, int]) -> None:
        self._run = run
        self._effects = effects

    async def act(self, call: Call) -> Any:
        """Have an effect, if it is decided so."""
        decision = await self._run.decided(is_write=False)
        if decision in (Act.SUCCEEDS, Act.LOST):
            self._effects[call.idempotency_key] += 1
        if decision is Act.FAILS:
            raise ActionFailedError("it failed", repeat=Repeat.ALWAYS)
        if decision is not Act.SUCCEEDS:
            raise ActionFailedError("it was lost", repeat=Repeat.IF_IDEMPOTENT, in_doubt=True)
        return call.idempotency_key

    def is_idempotent(self, action: str, settings: BaseModel) -> bool:
        """Return whether the action says so."""
        return action == "again"


async def start_run(
    real: Database,
    root_id: int,
    seq: int,
    lease: Lease,
    effects: defaultdict[str, int],
    late: list[Late],
    *,
    taken_over: bool,
) -> StagedRun:
    """Run an execution that a worker owns, as ``ExecutionEngine.begin`` does."""
    staged = StagedRun(root_id, lease)
    database = cast("Database", StagedDatabase(real, staged, late))
    tree = await read_recorded(real, root_id)
    assert tree is not None
    tree.taken_over = taken_over
    kinds = {"staged": StagedKind(staged, effects)}
    sources = Sources(database, kinds, SecretBox(list))
    # What waits begins when the next worker looks around.
    tools = Tools(database, sources, 1000.0, 1000, GateWaits(), lambda process: None, Counters())
    staged.run = Run(tools, Journal(database, lease, root_id, seq), tree)
    staged.task = asyncio.create_task(staged.run.run())
    await staged.settle()
    return staged
