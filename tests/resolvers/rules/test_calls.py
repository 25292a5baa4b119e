"""Processes that run processes: a write that closes a cycle is rejected and names the cycle."""

from __future__ import annotations

import asyncio

from storage.writes.calls import lock_calls
from tests.resolvers.home import Home, calls, echo, problems, until


async def first_action(home: Home, process: str) -> str:
    action_id: str = (await home.read(process))["actions"][0]["id"]
    return action_id


async def test_a_new_process_cannot_run_itself(home: Home) -> None:
    error = await home.error(
        "createProcess",
        "BAD_USER_INPUT",
        process={"reference": "a", "name": "A", "actions": [echo(), calls("a")]},
    )
    assert "a -> a" in error["message"]


async def test_a_cycle_is_rejected_and_named(home: Home) -> None:
    a = await home.process("a", actions=[echo()])
    await home.process("b", actions=[echo(), calls("a")])
    await home.process("c", actions=[calls("a"), calls("b")])
    message = "a process must not run itself: a -> b -> a"
    error = await home.error("addAction", "BAD_USER_INPUT", process=a, action=calls("b"))
    assert problems(error) == {("action",): message}
    error = await home.error("addAction", "BAD_USER_INPUT", process=a, action=calls("a"))
    assert problems(error) == {("action",): "a process must not run itself: a -> a"}
    changes = {"source": "process", "action": "b"}
    error = await home.error(
        "updateAction", "BAD_USER_INPUT", id=await first_action(home, a), changes=changes
    )
    assert problems(error) == {("changes",): message}


async def test_calls_without_a_cycle_are_accepted(home: Home) -> None:
    await home.process("d")
    await home.process("b", actions=[calls("d"), calls("d")])
    await home.process("c", actions=[calls("d")])
    a = await home.process("a", actions=[calls("b"), calls("c"), calls("b")])
    data = await home.graph.data(
        """query($id: ID!) { process(id: $id) {
            subprocesses { reference subprocesses { reference usedBy { reference } } }
        } }""",
        {"id": a},
    )
    d = {"reference": "d", "usedBy": [{"reference": "b"}, {"reference": "c"}]}
    assert data["process"]["subprocesses"] == [
        {"reference": "b", "subprocesses": [d]},
        {"reference": "c", "subprocesses": [d]},
    ]


async def test_hidden_processes_in_a_cycle_are_not_named(home: Home) -> None:
    a = await home.process("a")
    await home.process("deep", actions=[calls("a")])
    await home.process("deeper", actions=[calls("deep")])
    b = await home.process("b", actions=[calls("deeper")])
    await home.profile("builder", "PROCESS_READ", "PROCESS_WRITE")
    for process in (a, b):
        await home.do("authoriseProfile", process=process, profile={"name": "builder"})
    error = await home.error(
        "addAction", "BAD_USER_INPUT", by="builder", process=a, action=calls("b")
    )
    assert "deep" not in str(error)
    assert "a -> b -> … -> a" in error["message"]
    error = await home.error("addAction", "BAD_USER_INPUT", process=a, action=calls("b"))
    assert "a -> b -> deeper -> deep -> a" in error["message"]


async def test_concurrent_writes_cannot_close_a_cycle(home: Home) -> None:
    """Both wait for the lock, so neither sees the other's call when it checks."""
    a, b = await home.process("a"), await home.process("b")
    async with home.graph.database.transaction() as transaction:
        await lock_calls(transaction)
        writes = [
            asyncio.create_task(home.do("addAction", process=process, action=calls(called)))
            for process, called in ((a, "b"), (b, "a"))
        ]

        async def both_wait() -> bool:
            waiting = await home.graph.run(
                "SELECT FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
                " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
            )
            return len(waiting) == 2

        await until(both_wait)
    done = await asyncio.gather(*writes, return_exceptions=True)
    (rejected,) = [answer for answer in done if isinstance(answer, AssertionError)]
    assert "a process must not run itself" in str(rejected)
    assert len(await home.graph.run("SELECT FROM action")) == 1


async def test_concurrent_renames_and_calls_are_consistent(home: Home) -> None:
    """A call either follows the rename or fails because there is no such process."""
    lamp = await home.process("lamp")
    halls = [await home.process(f"hall{index}") for index in range(8)]
    answers = await asyncio.gather(
        *(home.graph.ask(_ADD, {"id": hall}) for hall in halls),
        home.do("updateProcess", id=lamp, changes={"reference": "light"}),
    )
    codes = {
        error["extensions"]["code"] for answer in answers for error in answer.get("errors", [])
    }
    assert codes <= {"BAD_USER_INPUT", "CONFLICT"}
    rows = await home.graph.run("SELECT DISTINCT action FROM action")
    assert rows in ([], [{"action": "light"}])


_ADD = """mutation($id: ID!) {
    addAction(process: $id, action: {source: "process", action: "lamp"}) { action { id } }
}"""
