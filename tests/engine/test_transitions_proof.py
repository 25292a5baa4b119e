"""Prove by random stories of three workers that no transition breaks a promise.

Hypothesis chooses, statement by statement: whether a write is applied, refused, answered or late,
what becomes of an action, who crashes, who goes on without noticing that its lease has ended, who
takes over, and what is cancelled. The runs are those of the engine, on a real database. After each
step the rows are compared with a plain model, and at the end everything is brought to its end.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections import defaultdict
from collections.abc import AsyncIterator, Coroutine
from dataclasses import dataclass, field
from typing import Any, TypeVar
from unittest.mock import patch

import pytest
from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)

from resolvers.errors.catalogue import ErrorKind, GatewayError
from resolvers.execution import attempts
from resolvers.execution.admission import Admission, ExecuteRequest
from resolvers.execution.leases import Lease
from resolvers.execution.queue import start_next
from resolvers.execution.recorded import tree_key
from resolvers.execution.sources.echo import NoSettings
from resolvers.execution.sources.protocol import Call
from storage.database.database import Database
from storage.database.rows import Row
from storage.execution.admission import request_cancel
from storage.execution.leases import take_lease, take_over
from tests.conftest import database_copy
from tests.engine import history
from tests.engine.history import ACTIVE, ENDED
from tests.engine.stage import Act, Late, StagedRun, Write, start_run
from tests.engine.worker import admin
from tests.engine.workers import Action, Scenario, Workshop, check_effect
from tests.proof import EXAMPLES, SEED

T = TypeVar("T")
LONG = "EXAMPLES" in os.environ
"""Whether the long form runs, which also looks for the shortest story that fails."""

PROCESSES = {
    "free": (Scenario([Action("a"), Action("b", "again", retries=2)]), "parallel", 10),
    "single": (Scenario([Action("a", retries=1)]), "single", 1),
    "queued": (Scenario([Action("a", "again")]), "queued", 1),
    "restart": (Scenario([Action("a"), Action("b")]), "restart", 1),
    "outer": (
        Scenario([Action("", "process"), Action("b")], [Action("a", "again")], (False, True)),
        "parallel",
        10,
    ),
}
EVENTS = {
    "admit": 3,
    "go_on": 12,
    "write_twice": 2,
    "arrive": 1,
    "start_waiting": 1,
    "cancel": 1,
    "notice_cancelled": 1,
    "crash": 1,
    "sleep": 1,
    "take_over": 3,
    "give_up": 1,
}
"""What may happen, and how often. Separate rules would often be left out."""


class Site:
    """The database of all examples, in an event loop of its own."""

    def __init__(self, url: str) -> None:
        self.loop = asyncio.new_event_loop()
        self.processes: dict[str, int] = {}
        self.limits: dict[int, int] = {}
        self.database = self.run(self._open(url))

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run something to its end."""
        return self.loop.run_until_complete(work)

    async def _open(self, url: str) -> Database:
        database = await Database.connect(url, pool_max=6)
        await history.install(database)
        async with database.transaction() as transaction:
            source = await transaction.fetch_value(
                "INSERT INTO source (name, kind) VALUES ('staged', 'staged') RETURNING id"
            )
        for name, (scenario, concurrency, limit) in PROCESSES.items():
            self.processes[name] = await write_process(database, source, scenario, name)
            self.limits[self.processes[name]] = limit
            await database.write(
                "UPDATE process SET concurrency = $2 WHERE id = $1",
                self.processes[name],
                concurrency,
            )
        (nested,) = await database.fetch("SELECT id FROM process WHERE mode = 'switch'")
        self.processes["nested"] = nested["id"]
        self.limits[nested["id"]] = 1
        return database

    async def empty(self) -> None:
        """Forget all executions."""
        async with self.database.transaction() as transaction:
            await transaction.script(
                "TRUNCATE execution, execution_step, history, worker RESTART IDENTITY;"
                "UPDATE process SET enabled = false"
            )

    def close(self) -> None:
        """Close the connections."""
        self.run(self.database.close())
        self.loop.close()


async def write_process(database: Database, source_id: Any, scenario: Scenario, name: str) -> int:
    """Write a process, and the one that it runs."""
    shop = Workshop.__new__(Workshop)
    shop.database, shop.source_id = database, source_id
    return await shop.write(scenario, name)


@dataclass
class Machine:
    """One of three workers."""

    lease: Lease = field(default_factory=Lease)
    runs: dict[int, StagedRun] = field(default_factory=dict)


class Stories(RuleBasedStateMachine):
    """What may happen to three workers."""

    site: Site

    @initialize()
    def start(self) -> None:
        """Start three workers on a database without executions."""
        self.run = self.site.run
        self.database = self.site.database
        self.run(self.site.empty())
        self.viewer = self.run(admin(self.database))
        self.workers = [Machine() for _ in range(3)]
        for worker in self.workers:
            self.run(self._begin(worker))
        self.effects: defaultdict[str, int] = defaultdict(int)
        self.late: list[Late] = []
        self.known: dict[int, Row] = {}
        self.cancelled: dict[int, int] = {}
        """How many attempts had started when an execution was cancelled."""

    async def _begin(self, worker: Machine) -> None:
        worker.lease = Lease()
        worker.lease.renewed(asyncio.get_running_loop().time() + 1e6)
        await take_lease(self.database, worker.lease.worker)
        await self._renew()

    async def _renew(self) -> None:
        # Leases end only when the story says so.
        await self.database.write(
            "UPDATE worker SET lease_until = 'infinity' WHERE lease_until > '-infinity'"
        )

    @rule(
        event=st.sampled_from([name for name, count in EVENTS.items() for _ in range(count)]),
        number=st.integers(0, 2),
        pick=st.integers(0, 1000),
        process=st.sampled_from([*PROCESSES, "nested"]),
        write=st.sampled_from(Write),
        act=st.sampled_from(Act),
        well=st.integers(0, 2),
    )
    def happens(
        self, event: str, number: int, pick: int, process: str, write: Write, act: Act, well: int
    ) -> None:
        """Let something happen, if it can."""
        match event:
            case "admit":
                self.admit(number, "free" if process == "nested" else process, answered=well > 0)
            case "go_on":
                self.go_on(pick, write, act, well=well > 0)
            case "write_twice" | "arrive" | "cancel" | "notice_cancelled" | "give_up":
                getattr(self, event)(pick)
            case "start_waiting":
                self.start_waiting(number, process)
            case _:
                getattr(self, event)(number)

    # Executions ----------------------------------------------------------------------------------

    def admit(self, number: int, process: str, *, answered: bool) -> None:
        """Ask for an execution. The worker may not learn that it was admitted."""
        worker = self.workers[number]
        process_id = self.site.processes[process]
        waiting = [
            row
            for row in self.known.values()
            if row["process_id"] == process_id and row["status"] in ACTIVE
        ]
        running = [row for row in waiting if row["status"] == "running"]

        async def ask() -> None:
            admission = Admission(self.database, 1000.0)
            request = ExecuteRequest(process_id)
            try:
                admitted = await admission.admit(request, self.viewer, worker.lease)
            except GatewayError as error:
                assert error.kind is ErrorKind.CONFLICT  # noqa: PT017 - it need not be raised
                concurrency = PROCESSES[process][1]
                assert concurrency != "restart"
                assert running if concurrency == "single" else len(waiting) > len(running) + 9
                return
            limit = self.site.limits[process_id]
            assert admitted.starts is (len(waiting) == len(running) < limit)
            if admitted.starts and answered:
                worker.runs[admitted.id] = await self._run(worker, admitted.id, 0)

        self.run(ask())

    async def _run(
        self, worker: Machine, root_id: int, seq: int, *, taken_over: bool = False
    ) -> StagedRun:
        return await start_run(
            self.database,
            root_id,
            seq,
            worker.lease,
            self.effects,
            self.late,
            taken_over=taken_over,
        )

    def _runs(self) -> list[tuple[Machine, StagedRun]]:
        found = []
        for worker in self.workers:
            for root_id, run in list(worker.runs.items()):
                if run.is_done:
                    del worker.runs[root_id]
                    assert run.task is not None
                    if not run.task.cancelled():
                        run.task.result()  # raises what the run has raised
                else:
                    found.append((worker, run))
        return found

    def _picked(self, pick: int) -> StagedRun | None:
        runs = self._runs()
        return runs[pick % len(runs)][1] if runs else None

    def go_on(self, pick: int, write: Write, act: Act, *, well: bool) -> None:
        """Let a run make its next write or action."""
        run = self._picked(pick)
        if run is None:
            return
        assert run.moment is not None
        good: Write | Act = Write.APPLIED if run.moment.is_write else Act.SUCCEEDS
        self.run(run.decide(good if well else write if run.moment.is_write else act))

    def write_twice(self, pick: int) -> None:
        """Let a write arrive after the run has sent it again, because nobody answered."""
        run = self._picked(pick)
        if run is None:
            return
        if run.moment is not None and run.moment.is_write:
            sent = len(self.late)
            self.run(run.decide(Write.LATE))
            if run.moment is not None and run.moment.is_write:
                self.run(run.decide(Write.APPLIED))
            for late in self.late[sent:]:
                self.run(self._arrive(late))
            del self.late[sent:]

    def arrive(self, pick: int) -> None:
        """Let a late statement arrive."""
        if self.late:
            self.run(self._arrive(self.late.pop(pick % len(self.late))))

    async def _arrive(self, late: Late) -> None:
        before = await self._seq(late.root_id)
        row = await self.database.write(late.sql, *late.values)
        sent_with = late.values[1]
        assert (row is None) or before == sent_with, "a statement of an earlier seq was applied"

    async def _seq(self, root_id: int) -> object:
        (row,) = await self.database.fetch("SELECT seq FROM execution WHERE id = $1", root_id)
        return row["seq"]

    def start_waiting(self, number: int, process: str) -> None:
        """Start the execution that waits for the longest time."""
        worker = self.workers[number]

        async def start() -> None:
            begun = await start_next(
                self.database, self.site.processes[process], worker.lease.worker
            )
            if begun is not None:
                assert begun.ended is None
                worker.runs[begun.id] = await self._run(worker, begun.id, begun.seq)

        self.run(start())

    def cancel(self, pick: int) -> None:
        """Cancel an execution. Its worker does not notice at once."""
        if not self.known:
            return
        root_id = list(self.known)[pick % len(self.known)]

        async def ask() -> None:
            async with self.database.transaction() as transaction:
                status = await request_cancel(transaction, root_id)
            was = self.known[root_id]["status"]
            assert status == {"queued": "cancelled", "running": "running"}.get(was)
            if status is not None:
                self.cancelled.setdefault(root_id, await self._attempts(root_id))

        self.run(ask())

    async def _attempts(self, root_id: int) -> int:
        (row,) = await self.database.fetch(
            "SELECT coalesce(sum(attempt), 0) AS attempts FROM execution_step WHERE execution_id"
            " IN (SELECT id FROM execution WHERE $1 IN (id, root_id))",
            root_id,
        )
        return int(row["attempts"])

    def notice_cancelled(self, pick: int) -> None:
        """Let a worker notice that an execution was cancelled."""
        run = self._picked(pick)
        if run is None:
            return
        if run.root_id in self.cancelled:
            assert run.run is not None
            self.site.loop.call_soon(run.run.cancel)
            self.run(asyncio.sleep(0))

    # Workers -------------------------------------------------------------------------------------

    def crash(self, number: int) -> None:
        """Kill a worker, and start another one in its place."""
        self.run(self._crash(self.workers[number]))

    async def _crash(self, worker: Machine) -> None:
        for run in worker.runs.values():
            await run.end()
        worker.runs.clear()
        await self._expire(worker)
        await self._begin(worker)

    async def _expire(self, worker: Machine) -> None:
        await self.database.write(
            "UPDATE worker SET lease_until = '-infinity' WHERE id = $1", worker.lease.worker
        )

    def sleep(self, number: int) -> None:
        """End the lease of a worker, which goes on as if nothing had happened."""
        self.run(self._expire(self.workers[number]))

    def take_over(self, number: int) -> None:
        """Let a worker look for executions that nobody runs."""
        self.run(self._take_over(self.workers[number]))

    async def _take_over(self, worker: Machine) -> None:
        self._runs()
        owned = [
            root_id
            for root_id, row in self.known.items()
            if row["owner"] == worker.lease.worker and row["status"] == "running"
        ]
        lost = [root_id for root_id in owned if root_id not in worker.runs]
        for taken in await take_over(self.database, worker.lease.worker, 100, lost):
            assert taken.id not in worker.runs, "a worker takes over from itself"
            worker.runs[taken.id] = await self._run(
                worker, taken.id, taken.seq, taken_over=taken.failed
            )

    def give_up(self, pick: int) -> None:
        """Let a worker give up a run, as one does that stops in order."""
        run = self._picked(pick)
        if run is None:
            return
        assert run.run is not None
        self.site.loop.call_soon(run.run.give_up)
        self.run(asyncio.sleep(0))

    # What must always be true --------------------------------------------------------------------

    @invariant()
    def rows_fit(self) -> None:
        """Compare the rows with what is known."""
        if hasattr(self, "known"):
            self.run(self._compare())

    async def _compare(self) -> None:
        rows = await self.database.fetch("SELECT * FROM execution ORDER BY id")
        running: defaultdict[int, int] = defaultdict(int)
        for row in rows:
            running[row["process_id"]] += row["status"] == "running"
            if row["root_id"] is not None:
                continue
            before = self.known.get(row["id"])
            if before is not None:
                assert row["seq"] >= before["seq"]
                if before["status"] in ENDED:
                    assert dict(row) == dict(before), "an end is final"
            self.known[row["id"]] = row
        for process_id, count in running.items():
            assert count <= self.site.limits[process_id], "a gate lets too many pass"
        for root_id, attempts_then in self.cancelled.items():
            assert await self._attempts(root_id) == attempts_then, "a cancelled one goes on"
        await self._compare_steps()

    async def _compare_steps(self) -> None:
        for step in await self.database.fetch("SELECT * FROM execution_step"):
            if step["subprocess_id"] is not None:
                continue
            assert len(json.loads(step["attempts"])) in (step["attempt"] - 1, step["attempt"])
            assert step["status"] in ENDED or len(json.loads(step["attempts"])) == (
                step["attempt"] - (step["status"] == "running")
            )
            if step["status"] == "succeeded":
                assert self.effects[json.loads(step["result"])] >= 1
        for count in self.effects.values():
            assert count >= 1

    def teardown(self) -> None:
        """Bring everything to its end, and check what has happened."""
        if hasattr(self, "known"):
            try:
                self.run(asyncio.wait_for(self._finish(), 60))
            finally:
                self.run(self._stop())

    async def _stop(self) -> None:
        for worker in self.workers:
            for run in worker.runs.values():
                await run.end()

    async def _finish(self) -> None:
        while self.late:
            await self._arrive(self.late.pop())
        await self._stop()
        for worker in self.workers:
            await self._crash(worker)
        worker = self.workers[0]
        for _ in range(300):
            await self._compare()
            await self._take_over(worker)
            for process_id in self.site.processes.values():
                begun = await start_next(self.database, process_id, worker.lease.worker)
                if begun is not None:
                    worker.runs[begun.id] = await self._run(worker, begun.id, begun.seq)
            for _, run in self._runs():
                assert run.moment is not None
                await run.decide(Write.APPLIED if run.moment.is_write else Act.SUCCEEDS)
            if all(row["status"] in ENDED for row in self.known.values()) and not self._runs():
                break
        else:
            raise AssertionError("something does not end")
        await history.check(self.database, self.site.limits)
        await self._check_effects()

    async def _check_effects(self) -> None:
        rows = await self.database.fetch(
            "SELECT execution_step.*, root.id AS root, root.requested_at FROM execution_step"
            " JOIN execution ON execution.id = execution_id"
            " JOIN execution AS root ON root.id = coalesce(execution.root_id, execution.id)"
            " WHERE execution_step.subprocess_id IS NULL"
        )
        for row in rows:
            place = f"{tree_key(row['root'], row['requested_at'])}/{row['execution_id']}"
            key = Call("", (), NoSettings(), f"{place}/{row['position']}").idempotency_key
            action = Action("", row["action"])
            check_effect(action, row, [key] * self.effects.pop(key, 0))
        assert not self.effects, "effects without a step"


@pytest.fixture(scope="module")
async def url(postgres: str, template: str) -> AsyncIterator[str]:
    async with database_copy(postgres, template) as copied:
        yield copied


@pytest.mark.timeout(3600)
def test_no_story_breaks_a_promise(url: str) -> None:
    site = Site(url)
    Stories.site = site
    try:
        with (
            patch.object(attempts, "_SHORTEST_DELAY", 0.0),
            patch.object(attempts, "_LONGEST_DELAY", 0.0),
        ):
            run_state_machine_as_test(
                seed(SEED)(Stories),
                settings=settings(
                    max_examples=max(1, EXAMPLES // 100),
                    stateful_step_count=50,
                    deadline=None,
                    database=None,
                    phases=[Phase.generate, Phase.shrink] if LONG else [Phase.generate],
                    suppress_health_check=list(HealthCheck),
                    print_blob=True,
                ),
            )
    finally:
        site.close()
