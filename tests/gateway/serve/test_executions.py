"""Test what becomes of executions when a worker dies, and when a gateway stops."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Awaitable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from gateway.auth.tokens import TokenKeys
from resolvers.values.ids import global_id
from tests.conftest import SECRET
from tests.gateway.effects import Effects
from tests.gateway.programs import fetch, until
from tests.gateway.serve.test_shutdown import GRACE, PROMISE, stop
from tests.gateway.serve.test_workers import workers
from tests.hostile.attacked import Attacked, attacked

EXECUTE = "mutation($id: ID!) { executeProcess(id: $id) { execution { databaseId status } } }"


@pytest.fixture
def effects(database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Effects:
    prepared = Effects(database_url, tmp_path)
    monkeypatch.setenv("PYTHONPATH", prepared.variables["PYTHONPATH"])
    return prepared


def execute(target: Attacked, process_id: int, token: str | None = None) -> Awaitable[Any]:
    """Execute a process on a connection of its own. The answer may be an exception."""
    body = {"query": EXECUTE, "variables": {"id": global_id("Process", process_id)}}

    def post() -> Any:
        try:
            return fetch(f"{target.url}/graphql", token or target.admin, body)[1]
        except OSError as error:
            return error

    return asyncio.create_task(asyncio.to_thread(post))


def answer(status: str, execution_id: int = 1) -> dict[str, Any]:
    execution = {"databaseId": execution_id, "status": status}
    return {"data": {"executeProcess": {"execution": execution}}}


# A worker that dies ------------------------------------------------------------------------------


async def test_another_worker_goes_on_at_once_when_one_dies(effects: Effects) -> None:
    process_id = await effects.process("long", [("again", "3"), ("once", "0")])
    async with attacked(effects.url, workers=2) as target:
        (worker,) = workers(target.server)
        requests = []
        while True:  # until both workers run one
            begun = len(effects.begun)
            requests.append(execute(target, process_id))
            await effects.wait_for(*["again"] * (begun + 1))
            owners = await effects.sql("SELECT owner FROM execution WHERE owner IS NOT NULL")
            if len({row["owner"] for row in owners}) == 2:
                break
        os.kill(worker, signal.SIGKILL)
        # A lease ends by itself after 6 s. Here the first process ends it.
        ended = "SELECT EXISTS (SELECT FROM worker WHERE lease_until = '-infinity')"
        assert await asyncio.wait_for(effects.until_sql(ended), 4)
        taken = "SELECT EXISTS (SELECT FROM execution WHERE takeovers = 1)"
        assert await asyncio.wait_for(effects.until_sql(taken), 2)
        await effects.until_sql("SELECT bool_and(status = 'succeeded') FROM execution")
        await asyncio.gather(*requests)
    steps = await effects.sql(
        "SELECT takeovers, attempt FROM execution_step AS step"
        " JOIN execution ON execution.id = execution_id WHERE position = 1"
    )
    assert {tuple(row) for row in steps} == {(0, 1), (1, 2)}
    assert effects.begun.count("once") == len(requests)


# A token that is revoked -------------------------------------------------------------------------


async def test_a_token_revoked_while_its_execution_waits_changes_nothing(effects: Effects) -> None:
    """The request was judged when it arrived. Later ones with the token are refused."""
    process_id = await effects.process("long", [("once", "2")], concurrency="queued")
    async with attacked(effects.url) as target:
        first = execute(target, process_id)
        await effects.wait_for("once")
        keys = TokenKeys(SECRET)
        token = keys.issue(1, "admin", timedelta(hours=1))
        second = execute(target, process_id, token)
        await effects.until_sql("SELECT EXISTS (SELECT FROM execution WHERE status = 'queued')")
        await effects.sql(
            "INSERT INTO revoked_token VALUES ($1, 'infinity')", keys.verify(token).token_id
        )

        def refused() -> bool:
            return fetch(f"{target.url}/graphql", token, {"query": "{ __typename }"})[0] == 401

        await asyncio.to_thread(until, refused, "the token is refused")
        assert effects.begun == ["once"]
        assert await first == answer("SUCCEEDED")
        assert await second == answer("SUCCEEDED", 2)
    rows = await effects.sql("SELECT status FROM execution WHERE id <= 2")
    assert [row["status"] for row in rows] == ["succeeded"] * 2


# A gateway that stops ----------------------------------------------------------------------------


async def test_an_action_in_flight_finishes_and_another_gateway_goes_on(effects: Effects) -> None:
    process_id = await effects.process("long", [("once", "1"), ("once", "0"), ("again", "0")])
    async with attacked(effects.url) as target:
        request = execute(target, process_id)
        await effects.wait_for("once")
        await stop(target)
        assert await request == answer("RUNNING")
    (row,) = await effects.sql(
        "SELECT e.status, owner, step.status AS step, result FROM execution AS e"
        " JOIN execution_step AS step ON execution_id = e.id"
    )
    assert tuple(row) == ("running", None, "succeeded", '{"done":"once"}')
    assert effects.begun == ["once"]
    async with attacked(effects.url):
        await effects.until_sql("SELECT status = 'succeeded' FROM execution")
    (row,) = await effects.sql("SELECT takeovers FROM execution")
    assert row["takeovers"] == 0
    assert effects.begun == ["once", "once", "again"]


async def test_an_execution_whose_last_action_finishes_ends(effects: Effects) -> None:
    inner = await effects.process("inner", [("once", "1")])
    process_id = await effects.process("outer", ["inner"])
    assert inner < process_id
    async with attacked(effects.url) as target:
        request = execute(target, process_id)
        await effects.wait_for("once")
        await stop(target)
        assert await request == answer("SUCCEEDED")


async def test_all_that_wait_get_an_answer_before_the_gateway_ends(effects: Effects) -> None:
    process_id = await effects.process("long", [("once", "30")], concurrency="queued")
    async with attacked(effects.url, shutdown_grace=2, action_timeout=30) as target:
        first = execute(target, process_id)
        await effects.wait_for("once")
        second = execute(target, process_id)
        await effects.until_sql("SELECT count(*) = 2 FROM execution")
        await asyncio.sleep(0.2)
        await stop(target)
        assert await first == answer("RUNNING")
        assert (await second)["data"]["executeProcess"]["execution"]["databaseId"] == 2
    assert effects.begun == ["once"]
    async with attacked(effects.url) as target:
        # Nobody knows whether the action had its effect.
        await effects.until_sql("SELECT status = 'interrupted' FROM execution WHERE id = 1")
        await effects.until_sql("SELECT status = 'running' FROM execution WHERE id = 2")
    (row,) = await effects.sql("SELECT in_doubt, error FROM execution_step WHERE execution_id = 1")
    assert tuple(row) == (True, "the gateway that ran it failed")


async def test_an_execution_that_was_taken_over_before_is_given_up_in_order(
    effects: Effects,
) -> None:
    """What happened to an earlier owner says nothing about the last one."""
    process_id = await effects.process("long", [("once", "1"), ("once", "0")])
    async with attacked(effects.url) as target:
        request = execute(target, process_id)
        await effects.wait_for("once")
        await effects.sql("UPDATE execution SET takeovers = 1")
        await stop(target)
        assert await request == answer("RUNNING")
    # The next step has been recorded, and was not performed.
    await effects.sql(
        "INSERT INTO execution_step (execution_id, position, source_name, action, arguments)"
        """ VALUES (1, 2, 'lamp', 'once', '[{"reference":"seconds","value":"0"}]')"""
    )
    async with attacked(effects.url):
        await effects.until_sql("SELECT status = 'succeeded' FROM execution")
    (row,) = await effects.sql("SELECT takeovers FROM execution")
    assert row["takeovers"] == 1


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("action", ["stubborn", "block"])
async def test_no_action_delays_the_end(effects: Effects, action: str, workers: int) -> None:
    """One ignores its cancellation, the other one blocks a thread."""
    process_id = await effects.process("long", [(action, "60")])
    async with attacked(
        effects.url, shutdown_grace=GRACE, workers=workers, action_timeout=60
    ) as target:
        requests = [execute(target, process_id) for _ in range(4)]
        await effects.wait_for(*[action] * 4)
        assert await stop(target) < PROMISE
        answers = await asyncio.gather(*requests)
    assert {each["data"]["executeProcess"]["execution"]["status"] for each in answers} == {
        "RUNNING"
    }
