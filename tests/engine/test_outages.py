"""Test executions while PostgreSQL is killed, stopped or frozen, and while connections are cut."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from functools import partial

import pytest

from resolvers.access.viewer import Viewer
from resolvers.execution.admission import ExecuteRequest
from resolvers.execution.engine import ExecutionEngine
from storage.database.database import Database
from storage.database.errors import StorageError
from storage.execution.records import Ended
from storage.migrations.migrate import migrate
from tests.cutting_proxy import Cut, CuttingProxy, cutting_proxy
from tests.engine import history
from tests.engine.effects import Effects, counting
from tests.engine.worker import admin, engine_on
from tests.engine.workers import Action, Scenario, Workshop, check_effect
from tests.gateway.own_postgres import Postgres, own_postgres


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Postgres]:
    """A server that may be killed. A killed process loses nothing that the kernel has."""
    with own_postgres(tmp_path_factory.mktemp("postgres"), fsync="off") as started:
        yield started


@dataclass
class Scene:
    """An engine, the server under it, and a proxy between them."""

    server: Postgres
    proxy: CuttingProxy
    database: Database
    engine: ExecutionEngine
    effects: Effects
    viewer: Viewer
    numbers: Counter[str]

    async def process(self, scenario: Scenario) -> tuple[int, str]:
        """Write a process, and return its ID and its name."""
        self.numbers["process"] += 1
        name = f"p{self.numbers['process']}"
        shop = Workshop.__new__(Workshop)
        shop.database = self.database
        row = await self.database.write(
            "INSERT INTO source (name, kind, settings) VALUES ('counter', 'counter',"
            " json_build_object('url', $1::text)) ON CONFLICT (name) DO UPDATE SET name = 'counter'"
            " RETURNING id",
            self.effects.url,
        )
        assert row is not None
        shop.source_id = row["id"]
        return await shop.write(scenario, name), name

    async def ended(self, execution_id: int) -> Ended:
        """Wait for the end of an execution."""
        ended = await self.engine.wait(execution_id, 40)
        assert ended is not None
        return ended

    async def check(self, execution_id: int, name: str, actions: list[Action]) -> None:
        """Check that the record says what happened."""
        rows = await self.database.fetch(
            "SELECT * FROM execution_step WHERE execution_id = $1 ORDER BY position", execution_id
        )
        steps = {row["position"]: row for row in rows}
        for position, action in enumerate(actions, start=1):
            keys = self.effects.keys.get(f"{name}/{action.name}", [])
            check_effect(action, steps.get(position), keys)
        await history.check(self.database)


@pytest.fixture(scope="module")
async def scene(server: Postgres) -> AsyncIterator[Scene]:
    """Start an engine on the server."""
    async with contextlib.AsyncExitStack() as stack:
        proxy, port = await stack.enter_async_context(cutting_proxy(server.port))
        url = server.url.replace(f":{server.port}/", f":{port}/")
        database = await Database.connect(f"{url}?sslmode=disable", pool_max=4)
        stack.push_async_callback(database.close)
        await migrate(database)
        await history.install(database)
        effects = await stack.enter_async_context(counting())
        viewer = await admin(database)
        engine = engine_on(database)
        stack.push_async_callback(engine.close)
        yield Scene(server, proxy, database, engine, effects, viewer, Counter())


async def _held(scene: Scene, name: str) -> tuple[asyncio.Event, asyncio.Event]:
    """Hold an action when its effect has happened. Return when it has, and what lets it go on."""
    happened, go_on = asyncio.Event(), asyncio.Event()

    async def hold() -> bool:
        happened.set()
        await go_on.wait()
        return True

    scene.effects.meet(name, hold, after=True)
    return happened, go_on


ACTIONS = [Action("a"), Action("b")]


async def test_a_server_that_is_killed_while_an_action_runs(scene: Scene) -> None:
    """The action goes on, and its end is recorded when the server is back."""
    process_id, name = await scene.process(Scenario(ACTIONS))
    happened, go_on = await _held(scene, f"{name}/a")
    execution = await scene.engine.admit(ExecuteRequest(process_id), scene.viewer)
    await happened.wait()
    await asyncio.to_thread(scene.server.kill)
    go_on.set()
    await asyncio.sleep(0.3)
    await asyncio.to_thread(scene.server.start)
    ended = await scene.ended(execution)
    assert ended.status in ("succeeded", "interrupted")
    await scene.check(execution, name, ACTIONS)


@pytest.mark.parametrize("kind", ["once", "again"])
async def test_a_server_that_is_away_for_longer_than_a_lease(scene: Scene, kind: str) -> None:
    """The worker stops by itself what it cannot record, and somebody goes on afterwards."""
    actions = [Action("a", kind), Action("b", kind)]
    process_id, name = await scene.process(Scenario(actions))
    happened, go_on = await _held(scene, f"{name}/a")
    execution = await scene.engine.admit(ExecuteRequest(process_id), scene.viewer)
    await happened.wait()
    await asyncio.to_thread(scene.server.stop)
    await asyncio.sleep(7)
    go_on.set()
    await asyncio.to_thread(scene.server.start)
    ended = await scene.ended(execution)
    assert ended.status == ("succeeded" if kind == "again" else "interrupted")
    assert ended.in_doubt is (kind == "once")
    await scene.check(execution, name, actions)


async def test_a_server_that_is_frozen(scene: Scene) -> None:
    process_id, name = await scene.process(Scenario(ACTIONS))
    happened, go_on = await _held(scene, f"{name}/a")
    execution = await scene.engine.admit(ExecuteRequest(process_id), scene.viewer)
    await happened.wait()
    with scene.server.frozen():
        go_on.set()
        await asyncio.sleep(1.5)
    ended = await scene.ended(execution)
    assert ended.status == "succeeded"
    await scene.check(execution, name, ACTIONS)


def _every_third(offset: int, number: int, _: bytes) -> Cut | None:
    if (number + offset) % 3:
        return None
    return Cut.UNSENT if number % 2 else Cut.UNANSWERED


async def test_connections_that_are_cut_again_and_again(scene: Scene) -> None:
    """Every third message is lost, or its answer."""
    done = []
    for number in range(8):
        process_id, name = await scene.process(Scenario(ACTIONS))
        scene.proxy.arm(partial(_every_third, number), again=True)
        try:
            execution = await scene.engine.admit(ExecuteRequest(process_id), scene.viewer)
        except StorageError:
            continue
        finally:
            await asyncio.sleep(0.5)
            scene.proxy.disarm()
        ended = await scene.ended(execution)
        done.append(ended.status)
        await scene.check(execution, name, ACTIONS)
    assert set(done) <= {"succeeded", "interrupted"}
    rows = await scene.database.fetch("SELECT id FROM execution")
    for row in rows:
        assert (await scene.ended(row["id"])).status in ("succeeded", "interrupted")
