"""Helpers for tests of the engine itself: processes with any settings, and their records."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from resolvers.access.viewer import Viewer
from resolvers.errors.catalogue import GatewayError
from resolvers.execution.admission import ExecuteRequest
from resolvers.execution.engine import ExecutionEngine, ExecutionLimits
from storage.execution.records import Ended
from tests.resolvers.home import Home, until

ACTION_COLUMNS = ("timeout", "retries", "on_failure", "idempotent")


def act(action: str, **columns: Any) -> dict[str, Any]:
    """Return an action of the scripted source, with columns of its row."""
    return {"source": "scripted", "action": action, **columns}


@dataclass
class Bench:
    """A home whose engine is called directly."""

    home: Home
    viewer: Viewer
    ids: dict[str, int] = field(default_factory=dict)
    """Processes by reference."""

    @property
    def engine(self) -> ExecutionEngine:
        return self.home.graph.services.executions

    async def process(
        self,
        reference: str,
        *actions: dict[str, Any],
        concurrency: str = "parallel",
        seconds: float | None = None,
        **fields: Any,
    ) -> int:
        """Create a process. Actions may have ``ACTION_COLUMNS``."""
        plain = [
            {key: value for key, value in action.items() if key not in ACTION_COLUMNS}
            for action in actions
        ]
        await self.home.process(reference, actions=plain, **fields)
        row = (
            await self.home.graph.run(
                "UPDATE process SET concurrency = $2, timeout = $3 WHERE reference = $1"
                " RETURNING id",
                reference,
                concurrency,
                seconds,
            )
        )[0]
        self.ids[reference] = row["id"]
        for number, action in enumerate(actions):
            for column in ACTION_COLUMNS:
                if column in action:
                    await self.home.graph.run(
                        f"UPDATE action SET {column} = $2 WHERE id = (SELECT id FROM action"
                        " WHERE process_id = $1 ORDER BY position OFFSET $3 LIMIT 1)",
                        row["id"],
                        action[column],
                        number,
                    )
        process_id: int = row["id"]
        return process_id

    async def admit(self, process: str, **request: Any) -> int:
        """Admit an execution of a process, and return its ID."""
        return await self.engine.admit(ExecuteRequest(self.ids[process], **request), self.viewer)

    async def refused(self, process: str, **request: Any) -> GatewayError:
        """Return the error of an execution that is not admitted."""
        before = await self.home.graph.run("SELECT count(*) FROM execution")
        with pytest.raises(GatewayError) as raised:
            await self.admit(process, **request)
        assert await self.home.graph.run("SELECT count(*) FROM execution") == before
        return raised.value

    async def ended(self, execution_id: int, seconds: float = 20) -> Ended:
        """Wait for the end of an execution."""
        ended = await self.engine.wait(execution_id, seconds)
        assert ended is not None, await self.row(execution_id)
        row = await self.row(execution_id)
        assert (ended.status, ended.error, ended.error_code) == (
            row["status"],
            row["error"],
            row["error_code"],
        )
        return ended

    async def execute(self, process: str, **request: Any) -> Ended:
        """Execute a process, and return how it ended."""
        return await self.ended(await self.admit(process, **request))

    async def row(self, execution_id: int) -> dict[str, Any]:
        """Return the row of an execution."""
        (row,) = await self.home.graph.run("SELECT * FROM execution WHERE id = $1", execution_id)
        assert isinstance(row, dict)
        return row

    async def steps(self, execution_id: int) -> list[dict[str, Any]]:
        """Return the steps of an execution, without those that are nested in it."""
        rows: list[dict[str, Any]] = await self.home.graph.run(
            "SELECT * FROM execution_step WHERE execution_id = $1 ORDER BY position", execution_id
        )
        return rows

    async def statuses(self, execution_id: int) -> list[str]:
        """Return the statuses of its steps."""
        return [step["status"] for step in await self.steps(execution_id)]

    async def nested(self, execution_id: int) -> list[dict[str, Any]]:
        """Return the executions that are nested in one."""
        rows: list[dict[str, Any]] = await self.home.graph.run(
            "SELECT * FROM execution WHERE root_id = $1 ORDER BY id", execution_id
        )
        return rows

    async def until(self, execution_id: int, status: str) -> None:
        """Wait until an execution has a status."""

        async def has() -> bool:
            return bool((await self.row(execution_id))["status"] == status)

        await until(has)

    @contextlib.asynccontextmanager
    async def another_engine(self) -> AsyncIterator[ExecutionEngine]:
        """Run another worker on the same database."""
        engine = ExecutionEngine(
            self.home.graph.database, self.engine.kinds, ExecutionLimits(), self.engine.secrets
        )
        try:
            yield engine
        finally:
            await engine.close()
