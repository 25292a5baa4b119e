"""A program that forks workers, each a process that executes one process when it is told to.

It reads a JSON object a line, and forks a worker for each: ``Options``. Forking takes a fraction of
the time that a start takes. A worker connects to a socket of the test, says that it is ready, waits
for a line, executes, and sends what came of it.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from typing import Any, ClassVar

import aiohttp
from pydantic import BaseModel

from resolvers.access.viewer import Viewer
from resolvers.errors.catalogue import GatewayError
from resolvers.execution import attempts, recovery
from resolvers.execution.admission import ExecuteRequest
from resolvers.execution.engine import ExecutionEngine, ExecutionLimits
from resolvers.execution.secrets import SecretBox
from resolvers.execution.sources.protocol import ActionFailedError, Call, Repeat, SourceKind
from resolvers.values.enums import Permission
from storage.database.database import Database
from storage.database.errors import StorageError

DELAY = 0.05
"""Seconds between two attempts."""


class CounterSettings(BaseModel):
    """Where effects are counted."""

    url: str


class CounterKind(SourceKind):
    """Sends a request to a server that counts it. The action ``again`` is idempotent."""

    name: ClassVar[str] = "counter"
    settings: ClassVar[type[BaseModel]] = CounterSettings

    async def act(self, call: Call) -> Any:
        """Have the effect, and return how often it has happened."""
        assert isinstance(call.settings, CounterSettings)
        ((_, name),) = call.arguments
        headers = {"Idempotency-Key": call.idempotency_key}
        url = f"{call.settings.url}/{name}"
        try:
            async with (
                aiohttp.ClientSession() as client,
                client.post(url, headers=headers) as reply,
            ):
                if reply.status == 503:
                    raise ActionFailedError("the server is busy", repeat=Repeat.ALWAYS)
                return await reply.json()
        except aiohttp.ClientError:
            raise ActionFailedError(
                "the connection was lost", repeat=Repeat.IF_IDEMPOTENT, in_doubt=True
            ) from None

    def is_idempotent(self, action: str, settings: BaseModel) -> bool:
        """Return whether the action says so."""
        return action == "again"


class SplitDatabase(Database):
    """A database whose connections apart do not lead through the proxy.

    The messages that remain are those of the execution.
    """

    direct: Database

    def apart(self, connections: int, name: str) -> Database:
        """Return connections that are not counted."""
        return self.direct.apart(connections, name)


def engine_on(database: Database) -> ExecutionEngine:
    """Return an engine that can act on the counting server."""
    return ExecutionEngine(database, {"counter": CounterKind()}, ExecutionLimits(), SecretBox(list))


async def admin(database: Database) -> Viewer:
    """Return a viewer that may do everything."""
    (row,) = await database.fetch("SELECT id FROM profile WHERE name = 'admin'")
    return Viewer(row["id"], "admin", frozenset(Permission), built_in=True)


async def work(options: dict[str, Any]) -> None:
    """Run one worker until it is killed or the test ends.

    Args:
        options: ``socket`` of the test, ``url`` of the database, ``direct`` to the database past
            the proxy, ``number`` of the worker, ``sweep_seconds`` between two looks around.
    """
    recovery._SWEEP_SECONDS = options["sweep_seconds"]
    attempts._SHORTEST_DELAY = attempts._LONGEST_DELAY = DELAY
    reader, writer = await asyncio.open_unix_connection(options["socket"])
    database = await SplitDatabase.connect(options["url"], pool_max=4, pool_min=0)
    assert isinstance(database, SplitDatabase)
    database.direct = await Database.connect(options["direct"], pool_max=1, pool_min=0)
    viewer = await admin(database.direct)
    engine = engine_on(database)
    lease = await engine._keeper.held(30)

    async def say(**what: Any) -> None:
        writer.write(json.dumps(what).encode() + b"\n")
        await writer.drain()

    async def execute(process_id: int) -> None:
        try:
            execution_id = await engine.execute(ExecuteRequest(process_id), viewer, 60)
            await say(execution=execution_id)
        except (GatewayError, StorageError) as error:
            details = error.details if isinstance(error, GatewayError) else {}
            await say(error=str(error), status=details.get("status"))

    await say(number=options["number"], pid=os.getpid(), lease=str(lease.worker))
    tasks = set()
    while line := await reader.readline():
        task = asyncio.create_task(execute(int(line)))
        tasks.add(task)
        task.add_done_callback(tasks.discard)


def main() -> None:
    """Fork a worker for each line."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    for line in sys.stdin:
        if os.fork() == 0:
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            try:
                asyncio.run(work(json.loads(line)))
            finally:
                os._exit(0)


if __name__ == "__main__":
    main()
