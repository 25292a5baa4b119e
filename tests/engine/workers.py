"""Start workers as processes, write what they execute, and check what became of it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
import tempfile
import uuid
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from storage.database.database import Database
from storage.database.rows import Row
from tests.engine.effects import Effects
from tests.engine.history import ACTIVE, ENDED
from tests.gateway.programs import environment

PATIENCE = 60.0
"""Seconds after which a test gives up."""


@dataclass(frozen=True)
class Action:
    """An action of a process: the name of an effect, or a process that it runs."""

    name: str
    kind: str = "once"
    """``once``, ``again`` (idempotent), or ``process``."""
    retries: int = 0


@dataclass(frozen=True)
class Scenario:
    """A process, and the one that it runs."""

    actions: Sequence[Action]
    nested: Sequence[Action] = ()
    switches: tuple[bool, bool] = (False, False)
    """Whether each of them is a switch."""


SCENARIOS = {
    "once": Scenario([Action("a"), Action("b")]),
    "again": Scenario([Action("a", "again"), Action("b", "again")]),
    "mixed": Scenario([Action("a", "again"), Action("b"), Action("c", "again")]),
    "nested": Scenario(
        [Action("a"), Action("", "process"), Action("d")], [Action("b", "again"), Action("c")]
    ),
    "switch": Scenario([Action("a", "again")], switches=(True, False)),
    "nested switch": Scenario([Action("", "process")], [Action("a")], switches=(False, True)),
    "retry": Scenario([Action("busy", retries=1), Action("b")]),
}


@dataclass
class Worker:
    """A worker that is a process."""

    pid: int
    lease: uuid.UUID
    writer: asyncio.StreamWriter
    answers: asyncio.Queue[dict[str, Any]] = field(default_factory=asyncio.Queue)

    def execute(self, process_id: int) -> None:
        """Tell it to execute a process."""
        self.writer.write(b"%d\n" % process_id)

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, number)


class Workshop:
    """Starts workers, and knows what they run.

    Args:
        database: A connection pool that no proxy cuts.
        effects: Counts what they do.
    """

    def __init__(self, database: Database, effects: Effects, socket: Path) -> None:
        self.database = database
        self.effects = effects
        self._socket = socket
        self._number = 0
        self._expected: dict[int, asyncio.Future[Worker]] = {}
        self._workers: list[Worker] = []
        self._forker: asyncio.subprocess.Process
        self.source_id = 0

    async def open(self) -> None:
        """Start the program that forks workers."""
        self._forker = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "tests.engine.worker",
            stdin=asyncio.subprocess.PIPE,
            env=environment(),
        )
        async with self.database.transaction() as transaction:
            row = await transaction.fetch_row(
                "INSERT INTO source (name, kind, settings) VALUES ('counter', 'counter', $1)"
                " RETURNING id",
                json.dumps({"url": self.effects.url}).encode(),
            )
        assert row is not None
        self.source_id = row["id"]

    async def close(self) -> None:
        """Kill everything."""
        for worker in self._workers:
            worker.signal(signal.SIGKILL)
            worker.writer.close()
        self._forker.kill()
        await self._forker.wait()

    async def connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve a worker."""
        with contextlib.suppress(ConnectionError):
            while line := await reader.readline():
                said = json.loads(line)
                if "lease" in said:
                    worker = Worker(said["pid"], uuid.UUID(said["lease"]), writer)
                    self._workers.append(worker)
                    self._expected[said["number"]].set_result(worker)
                else:
                    worker.answers.put_nowait(said)

    async def start(self, port: int | None = None, *, sweep_seconds: float = 1e6) -> Worker:
        """Start a worker.

        Args:
            port: Where the proxy listens through which it reaches the database, if one is between.
            sweep_seconds: Seconds between two looks around.
        """
        self._number += 1
        number = self._number
        future = self._expected[number] = asyncio.get_running_loop().create_future()
        direct = self.database.url
        path = urlsplit(direct).path
        url = f"postgresql://postgres@127.0.0.1:{port}{path}?sslmode=disable"
        options = {
            "socket": str(self._socket),
            "url": direct if port is None else url,
            "direct": direct,
            "number": number,
            "sweep_seconds": sweep_seconds,
        }
        assert self._forker.stdin is not None
        self._forker.stdin.write(json.dumps(options).encode() + b"\n")
        async with asyncio.timeout(PATIENCE):
            worker: Worker = await future
        return worker

    async def expire(self, worker: Worker) -> None:
        """End the lease of a worker, which does not notice."""
        await self.database.write(
            "UPDATE worker SET lease_until = '-infinity' WHERE id = $1", worker.lease
        )

    # Processes -----------------------------------------------------------------------------------

    async def write(self, scenario: Scenario, name: str) -> int:
        """Write the processes of a scenario, and return the ID of the outer one."""
        nested_id = None
        if scenario.nested:
            nested_id = await self._process(
                f"{name}.nested", name, scenario.nested, None, switch=scenario.switches[1]
            )
        return await self._process(
            name, name, scenario.actions, nested_id, switch=scenario.switches[0]
        )

    async def _process(
        self,
        reference: str,
        name: str,
        actions: Sequence[Action],
        nested_id: int | None,
        *,
        switch: bool,
    ) -> int:
        async with self.database.transaction() as transaction:
            row = await transaction.fetch_row(
                "INSERT INTO process (reference, name, mode) VALUES ($1, $1, $2) RETURNING id",
                reference,
                "switch" if switch else "simple",
            )
            assert row is not None
            for position, action in enumerate(actions):
                runs = action.kind == "process"
                arguments = [] if runs else [{"reference": "to", "value": f"{name}/{action.name}"}]
                await transaction.fetch(
                    "INSERT INTO action (process_id, position, source_id, action, arguments,"
                    " subprocess_id, enabled, retries)"
                    " SELECT $1, $2, CASE WHEN $3 THEN source.id ELSE $4 END, $5, $6, $7,"
                    " $8, $9 FROM source WHERE name = 'process'",
                    row["id"],
                    position,
                    runs,
                    self.source_id,
                    f"{name}.nested" if runs else action.kind,
                    json.dumps(arguments).encode(),
                    nested_id if runs else None,
                    not switch,
                    action.retries,
                )
        process_id: int = row["id"]
        return process_id

    async def until_ended(self, process_id: int) -> None:
        """Wait until no execution of a process is active."""
        async with asyncio.timeout(PATIENCE):
            while await self.database.fetch(
                "SELECT FROM execution WHERE process_id = $1 AND status = ANY ($2)",
                process_id,
                list(ACTIVE),
            ):
                await self._end_stuck()
                await asyncio.sleep(0.05)

    async def _end_stuck(self) -> None:
        """End the sessions of stopped workers that have prepared a statement in a transaction.

        Others end after ``idle_in_transaction_session_timeout``. These do not count as idle, and
        keep their locks until the worker dies or the network notices.
        """
        await self.database.write(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE state = 'active'"
            " AND wait_event = 'ClientRead' AND xact_start < clock_timestamp() - interval '2 s'"
        )

    async def roots(self, process_id: int) -> Sequence[Row]:
        """Return the executions of a process that were asked for."""
        return await self.database.fetch(
            "SELECT id, status, takeovers, error_code, in_doubt FROM execution, LATERAL ("
            " SELECT coalesce(bool_or(in_doubt), false) AS in_doubt FROM execution_step"
            " WHERE execution_id IN (SELECT e.id FROM execution AS e WHERE e.id = execution.id"
            " OR e.root_id = execution.id)) AS steps"
            " WHERE process_id = $1 AND root_id IS NULL ORDER BY id",
            process_id,
        )

    async def check(self, process_id: int, name: str, scenario: Scenario) -> Row | None:
        """Check the execution of a process, and return its root, if there is one."""
        roots = await self.roots(process_id)
        assert len(roots) <= 1, roots
        root = roots[0] if roots else None
        steps = {}
        if root is not None:
            assert root["status"] in ENDED
            assert root["in_doubt"] or root["status"] == "succeeded", dict(root)
            rows = await self.database.fetch(
                "SELECT execution_step.*, execution.finished_at AS ended FROM execution_step"
                " JOIN execution ON execution.id = execution_id"
                " WHERE $1 IN (execution.id, root_id)",
                root["id"],
            )
            for row in rows:
                assert row["status"] in ENDED, dict(row)
                assert row["finished_at"], dict(row)
                assert row["ended"], dict(row)
                if row["subprocess_id"] is None:
                    (argument,) = json.loads(row["arguments"])
                    steps[argument["value"].rpartition("/")[2]] = row
        for action in (*scenario.actions, *scenario.nested):
            if action.kind != "process":
                keys = self.effects.keys.get(f"{name}/{action.name}", [])
                check_effect(action, steps.get(action.name), keys)
        await self._check_switches(root)
        return root

    async def _check_switches(self, root: Row | None) -> None:
        if root is None:
            return
        rows = await self.database.fetch(
            "SELECT process.enabled, status FROM execution JOIN process ON process.id = process_id"
            " WHERE mode = 'switch' AND $1 IN (execution.id, root_id)",
            root["id"],
        )
        for row in rows:
            assert row["enabled"] is (row["status"] == "succeeded"), dict(row)


def check_effect(action: Action, step: Row | None, keys: Sequence[str]) -> None:
    """Check that the record of a step says what happened."""
    story = f"{action}: {len(keys)} effects, {step and dict(step)}"
    assert len(set(keys)) <= 1, story
    if action.kind == "once":
        assert len(keys) <= 1, story
    if step is None:
        assert not keys, story
    elif step["status"] == "succeeded":
        assert keys, story
        assert not step["in_doubt"], story
    else:
        assert step["in_doubt"] or not keys, story


@contextlib.asynccontextmanager
async def workshop(database: Database, effects: Effects) -> AsyncIterator[Workshop]:
    """Open a workshop."""
    with tempfile.TemporaryDirectory(prefix="workers-") as folder:
        socket = Path(folder) / "socket"
        opened = Workshop(database, effects, socket)
        server = await asyncio.start_unix_server(opened.connected, socket)
        await opened.open()
        try:
            yield opened
        finally:
            await opened.close()
            server.close()


def unix_socket(url: str) -> str:
    """Return the path of the socket that a URL leads to."""
    parameters = parse_qs(urlsplit(url).query)
    return f"{parameters['host'][0]}/.s.PGSQL.{parameters['port'][0]}"
