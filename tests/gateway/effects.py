"""A source kind whose actions take time and leave a trace in a file, for gateways that are killed.

``installed`` returns the variables with which a gateway finds the kind, as if it were in a package.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, ClassVar

import asyncpg
import orjson
from pydantic import BaseModel

from resolvers.execution.sources.protocol import ActionFailedError, Call, Repeat, SourceKind
from tests.gateway.programs import until

ROOT = Path(__file__).parents[2]


class EffectSettings(BaseModel):
    """Where the effects are counted."""

    file: Path


class EffectKind(SourceKind):
    """Each attempt adds a line to a file when it begins, and takes the seconds of its argument."""

    name: ClassVar[str] = "effect"
    settings: ClassVar[type[BaseModel]] = EffectSettings

    async def act(self, call: Call) -> Any:
        assert isinstance(call.settings, EffectSettings)
        values = dict(call.arguments)
        seconds = float(values.get("seconds", "0"))
        with call.settings.file.open("a") as file:
            file.write(f"{call.action}\n")
        match call.action:
            case "stubborn":
                end = time.monotonic() + seconds
                while (left := end - time.monotonic()) > 0:
                    try:
                        await asyncio.sleep(left)
                    except asyncio.CancelledError:
                        continue  # what a source must not do
            case "block":
                await asyncio.to_thread(time.sleep, seconds)
            case "fail":
                raise ActionFailedError("the bulb is \x1b[1mbroken", repeat=Repeat.NEVER)
            case "doubt":
                raise ActionFailedError("no whole answer", in_doubt=True)
            case _:
                await asyncio.sleep(seconds)
        return {"done": call.action}

    def is_idempotent(self, action: str, settings: BaseModel) -> bool:
        return action == "again"


def installed(folder: Path) -> dict[str, str]:
    """Return the variables of a gateway in which a package with the kind is installed."""
    info = folder / "effects-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: effects\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        "[process_gateway.sources]\neffect = tests.gateway.effects:EffectKind\n"
    )
    return {"PYTHONPATH": os.pathsep.join([str(folder), str(ROOT)])}


class Effects:
    """A database with processes whose effects are counted.

    Args:
        database_url: A migrated database.
        folder: An empty folder.
    """

    def __init__(self, database_url: str, folder: Path) -> None:
        self.url = database_url
        self.file = folder / "effects.txt"
        self.variables = installed(folder / "packages") | {"GATEWAY_DATABASE_URL": database_url}

    @property
    def begun(self) -> list[str]:
        """The actions of all attempts so far."""
        return self.file.read_text().split() if self.file.exists() else []

    async def wait_for(self, *actions: str) -> None:
        """Wait until these are the attempts that have begun."""
        await asyncio.to_thread(until, lambda: self.begun == list(actions), f"{actions}")

    async def sql(self, sql: str, *values: object) -> list[Any]:
        """Run a statement, and return its rows."""
        connection = await asyncpg.connect(self.url)
        try:
            return await connection.fetch(sql, *values)
        finally:
            await connection.close()

    async def until_sql(self, sql: str, *values: object) -> Any:
        """Return the first value that a statement returns, once it is true."""
        connection = await asyncpg.connect(self.url)
        try:
            for _ in range(1500):
                if value := await connection.fetchval(sql, *values):
                    return value
                await asyncio.sleep(0.02)
        finally:
            await connection.close()
        raise AssertionError(f"never true: {sql}")

    async def process(
        self,
        reference: str,
        actions: Sequence[tuple[str, str] | str],
        *,
        inputs: Sequence[str] = (),
        concurrency: str = "parallel",
        more: Callable[[int], str] | None = None,
    ) -> int:
        """Insert a process, and return its ID.

        Args:
            reference: Its reference.
            actions: Its actions on the source, each with its seconds; or the process to run.
            inputs: References of its inputs.
            concurrency: Its gate.
            more: Returns a statement to run, given its ID.
        """
        connection = await asyncpg.connect(self.url)
        try:
            await connection.execute(
                "INSERT INTO espace (reference, name) VALUES ('home', 'Home')"
                " ON CONFLICT DO NOTHING"
            )
            await connection.execute(
                "INSERT INTO source (name, kind, settings) VALUES ('lamp', 'effect', $1)"
                " ON CONFLICT DO NOTHING",
                orjson.dumps({"file": str(self.file)}).decode(),
            )
            process_id: int = await connection.fetchval(
                "INSERT INTO process (reference, name, espace_id, concurrency)"
                " VALUES ($1, $1, (SELECT id FROM espace LIMIT 1), $2) RETURNING id",
                reference,
                concurrency,
            )
            for position, each in enumerate(inputs, 1):
                await connection.execute(
                    "INSERT INTO input (process_id, position, reference, name, type)"
                    " VALUES ($1, $2, $3, $3, 'text')",
                    process_id,
                    position,
                    each,
                )
            for position, action in enumerate(actions, 1):
                called, seconds = (action, None) if isinstance(action, str) else action
                arguments = [] if seconds is None else [{"reference": "seconds", "value": seconds}]
                await connection.execute(
                    "INSERT INTO action (process_id, position, source_id, action, arguments,"
                    " subprocess_id) VALUES ($1, $2, (SELECT id FROM source WHERE name = $3), $4,"
                    " $5, (SELECT id FROM process WHERE reference = $4 AND $6))",
                    process_id,
                    position,
                    "process" if seconds is None else "lamp",
                    called,
                    orjson.dumps(arguments).decode(),
                    seconds is None,
                )
            if more is not None:
                await connection.execute(more(process_id))
            return process_id
        finally:
            await connection.close()
