"""Test idempotency keys: the same request with the same key is one execution."""

from __future__ import annotations

import asyncio

import pytest

from resolvers.errors.catalogue import ErrorKind, GatewayError
from resolvers.execution.admission import ExecuteRequest
from tests.resolvers.execution.engine import Bench, act
from tests.resolvers.execution.scripted import Latch, called


async def test_a_key_names_one_execution(bench: Bench) -> None:
    await bench.process("hall", act("on"))
    first = await bench.execute("hall", idempotency_key="a")
    assert (await bench.execute("hall", idempotency_key="a")).id == first.id
    assert (await bench.execute("hall", idempotency_key="b")).id != first.id
    assert (await bench.execute("hall")).id != first.id
    assert called() == ["on"] * 3


async def test_an_execution_that_failed_keeps_its_key(bench: Bench) -> None:
    await bench.process("hall", act("on", idempotent=False))
    await bench.home.graph.run("UPDATE source SET kind = 'gone' WHERE name = 'scripted'")
    first = await bench.execute("hall", idempotency_key="a")
    assert first.status == "failed"
    await bench.home.graph.run("UPDATE source SET kind = 'scripted' WHERE name = 'scripted'")
    assert await bench.execute("hall", idempotency_key="a") == first
    assert called() == []


@pytest.mark.parametrize("concurrency", ["single", "queued", "parallel", "restart"])
async def test_the_same_key_at_the_same_time(bench: Bench, concurrency: str) -> None:
    latch = Latch("on")
    await bench.process("hall", act("on"), concurrency=concurrency)
    ids = await asyncio.gather(*(bench.admit("hall", idempotency_key="a") for _ in range(8)))
    assert len(set(ids)) == 1
    latch.open.set()
    assert (await bench.ended(ids[0])).status == "succeeded"
    assert called() == ["on"]


async def test_the_same_key_for_two_processes_at_the_same_time(bench: Bench) -> None:
    """They do not share a lock: the index decides."""
    latch = Latch("on")
    await bench.process("hall", act("on"))
    await bench.process("lamp", act("on"))
    outcomes = await asyncio.gather(
        *(bench.admit(name, idempotency_key="a") for name in ("hall", "lamp") * 4),
        return_exceptions=True,
    )
    executions = {each for each in outcomes if isinstance(each, int)}
    assert len(executions) == 1
    errors = [each for each in outcomes if isinstance(each, GatewayError)]
    assert len(errors) == 4
    assert {error.kind for error in errors} == {ErrorKind.CONFLICT}
    latch.open.set()
    await bench.ended(executions.pop())


async def test_a_key_of_another_request_is_refused(bench: Bench) -> None:
    room = {"reference": "room", "name": "Room", "type": "text"}
    await bench.process("hall", act("on"), inputs=[room])
    await bench.process("lamp", act("on"), inputs=[room])
    await bench.execute("hall", idempotency_key="a", inputs=[("room", "x")])
    for process, other in (
        ("hall", {"inputs": [("room", "y")]}),
        ("hall", {"values": ["x"]}),
        ("hall", {"inputs": [("room", "x")], "dry_run": True}),
        ("lamp", {"inputs": [("room", "x")]}),
    ):
        error = await bench.refused(process, idempotency_key="a", **other)
        assert error.kind is ErrorKind.CONFLICT
        assert "the idempotency key was used for another request" in error.message
    assert called() == ["on"]


async def test_keys_of_profiles_are_their_own(bench: Bench) -> None:
    await bench.process("hall", act("on"))
    first = await bench.admit("hall", idempotency_key="a")
    occupant = await bench.home.graph.viewer("occupant")
    request = ExecuteRequest(bench.ids["hall"], idempotency_key="a")
    second = await bench.engine.admit(request, occupant)
    assert first != second
    assert (await bench.ended(first)).status == (await bench.ended(second)).status == "succeeded"


async def test_a_refused_request_holds_no_key(bench: Bench) -> None:
    latch = Latch("on")
    await bench.process("hall", act("on"), concurrency="single")
    first = await bench.admit("hall")
    assert (await bench.refused("hall", idempotency_key="a")).kind is ErrorKind.CONFLICT
    latch.open.set()
    await bench.ended(first)
    assert (await bench.execute("hall", idempotency_key="a")).status == "succeeded"


async def test_a_key_is_kept_for_a_day(bench: Bench) -> None:
    await bench.process("hall", act("on"))
    await bench.process("lamp", act("on"))
    first = await bench.execute("hall", idempotency_key="a")
    age = "UPDATE execution SET requested_at = now() - interval '{}' WHERE id = $1"
    await bench.home.graph.run(age.format("23 hours 59 minutes"), first.id)
    assert (await bench.execute("hall", idempotency_key="a")).id == first.id
    assert (await bench.refused("lamp", idempotency_key="a")).kind is ErrorKind.CONFLICT
    await bench.home.graph.run(age.format("24 hours 1 minute"), first.id)
    second = await bench.execute("lamp", idempotency_key="a")
    assert second.id != first.id
    assert (await bench.row(first.id))["idempotency_key"] is None
    assert (await bench.execute("lamp", idempotency_key="a")).id == second.id


async def test_a_key_does_not_show_what_the_caller_may_not_see(bench: Bench) -> None:
    hall = await bench.process("hall", act("on"))
    await bench.home.profile("neighbor", "PROCESS_EXECUTE")
    neighbor = await bench.home.graph.viewer("neighbor")
    request = ExecuteRequest(hall, idempotency_key="a")
    await bench.home.graph.run(
        "INSERT INTO authorisation VALUES ($1, $2)", hall, neighbor.profile_id
    )
    execution = await bench.engine.admit(request, neighbor)
    assert await bench.engine.admit(request, neighbor) == execution
    await bench.ended(execution)
    await bench.home.graph.run("DELETE FROM authorisation")
    with pytest.raises(GatewayError, match="there is no such process"):
        await bench.engine.admit(request, neighbor)
