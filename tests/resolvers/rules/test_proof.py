"""Property tests: a write that would make a process run itself is rejected and changes nothing,
for any viewer, database and kind of write.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hypothesis import Phase, assume, given, note
from hypothesis import strategies as st

from tests.proof import AGAIN, WORLDS, World, Worlds, fill, proof, read_json, written
from tests.reference.messages import of_problems
from tests.reference.model import global_id, may, sees_all
from tests.reference.rows import Row, Rows, select

VIEWERS = ("admin", "janitor", "clerk", "clerk", "clerk", "stranger", "keeper")
"""Profiles that may write all or some processes, and one that may not write."""

# Writes -----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Write:
    """A request that writes a call, and the path of the call in its body."""

    path: str
    body: Any
    call_path: tuple[str | int, ...]


def call(reference: str) -> dict[str, Any]:
    return {"source": "process", "action": reference}


def mutation(name: str, variables: Mapping[str, tuple[str, Any]], *call_path: str | int) -> Write:
    """Return a GraphQL mutation. Each variable has a type and a value."""
    declared = ", ".join(f"${key}: {type_}" for key, (type_, _) in variables.items())
    passed = ", ".join(f"{key}: ${key}" for key in variables)
    query = f"mutation({declared}) {{ {name}({passed}) {{ process {{ id }} }} }}"
    values = {key: value for key, (_, value) in variables.items()}
    return Write("/graphql", {"query": query, "variables": values}, call_path)


def add(caller: Row, action: Mapping[str, Any], **more: tuple[str, Any]) -> Write:
    process = ("ID!", global_id("Process", caller["id"]))
    variables = {"process": process, "action": ("NewAction!", action), **more}
    return mutation("addAction", variables, "action")


def change(action: Row, called: Row) -> Write:
    changes = ("ActionChanges!", call(called["reference"]))
    variables = {"id": ("ID!", global_id("Action", action["id"])), "changes": changes}
    return mutation("updateAction", variables, "changes")


def post(caller: Row, action: Mapping[str, Any]) -> Write:
    return Write(f"/process/{caller['id']}/actions", action, ())


WRITES: Sequence[Callable[[Row, Row, Row], Write]] = (
    lambda caller, called, _: add(caller, call(called["reference"])),
    lambda caller, called, _: add(caller, call(called["reference"]), position=("Int", 1)),
    lambda caller, called, _: add(caller, {"subprocessId": global_id("Process", called["id"])}),
    lambda caller, called, action: change(action, called),
    lambda caller, called, _: post(caller, call(called["reference"])),
    lambda caller, called, _: post(
        caller, {"source": {"id": 1}, "action": {"id": str(called["id"])}}
    ),
)
"""Writes that make a process run another, from the caller, the called process, and an action of the
caller."""


# Expected results -------------------------------------------------------------------------------


def calls(rows: Rows) -> set[tuple[int, int]]:
    """Return the pairs of caller and called process."""
    return {
        (row["process_id"], row["subprocess_id"])
        for row in rows["action"]
        if row["subprocess_id"] is not None
    }


def shortest(rows: Rows, start: int, end: int) -> list[list[int]]:
    """Return the shortest paths along calls from one process to another, without the end."""
    known, paths = calls(rows), [[start]]
    for _ in rows["process"]:
        complete = [path for path in paths if path[-1] == end]
        if complete:
            return [path[:-1] for path in complete]
        paths = [
            [*path, called] for path in paths for caller, called in known if caller == path[-1]
        ]
    return []


def knows(world: World, profile: str, process_id: int) -> bool:
    """Return whether a profile sees a process."""
    viewer = row_of(world, profile)
    granted = {"process_id": process_id, "profile_id": viewer["id"]}
    return sees_all(viewer) or granted in world.rows["authorisation"]


def row_of(world: World, profile: str) -> Row:
    (row,) = (row for row in world.rows["profile"] if row["name"] == profile)
    return row


def named(world: World, profile: str, path: Sequence[int]) -> str:
    """Return the message for a cycle, in which hidden processes are not named."""
    references = {row["id"]: row["reference"] for row in world.rows["process"]}
    shown: list[str] = []
    for process_id in path:
        name = references[process_id] if knows(world, profile, process_id) else "…"
        if name != "…" or shown[-1] != "…":
            shown.append(name)
    return f"a process must not run itself: {' -> '.join(shown)}"


def error_of(body: Any) -> Any:
    """Return the one error of a response; for the dialect its code and message."""
    if "errors" not in body:
        return body
    (error,) = body["errors"]
    return {key: error[key] for key in ("message", "extensions")}


def code_of(body: Any) -> str:
    error = error_of(body)
    return str(error["code"] if "code" in error else error["extensions"]["code"])


def expected_error(write: Write, message: str) -> Any:
    """Return the error with this message about a call."""
    error = of_problems([(write.call_path, message)])
    if write.path == "/graphql":
        return error
    return {"error": True, "code": "invalid", "message": error["message"]}


async def done(world: World, profile: str, write: Write) -> tuple[Any, Rows]:
    """Send a request, restore the rows, and return the response and the rows before the restore."""
    headers = {"Authorization": world.tokens[profile]}
    reply = await world.gateway.call("POST", write.path, write.body, profile=None, headers=headers)
    rows = await select(world.gateway.database)
    if rows != world.rows:
        await fill(world.gateway.database, world.number)
    return read_json(reply.body), rows


@proof(Phase.generate, Phase.shrink, one_in=10)
@given(
    number=st.integers(1, WORLDS - 1),
    profile=st.sampled_from(VIEWERS),
    write_index=st.sampled_from(range(len(WRITES))),
    # Minimum number of other processes in the cycle; None allows writes without a cycle.
    between=st.sampled_from((0, 1, 2, None)),
    pair=st.integers(0, 80),
)
async def test_a_call_that_would_close_a_cycle_is_rejected(
    worlds: Worlds, number: int, profile: str, write_index: int, between: int | None, pair: int
) -> None:
    world = worlds[number]
    processes = sorted(world.rows["process"], key=lambda row: int(row["id"]))
    pairs = [
        (caller, called)
        for caller in processes
        for called in processes
        if between is None
        or any(len(back) >= between for back in shortest(world.rows, called["id"], caller["id"]))
    ]
    assume(pairs)
    caller, called = pairs[pair % len(pairs)]
    action = next(row for row in world.rows["action"] if row["process_id"] == caller["id"])
    write = WRITES[write_index](caller, called, action)
    note(f"{AGAIN}\ndatabase {number}, requested by {profile}: POST {write.path} {write.body}")
    body, rows = await done(world, profile, write)
    if not may(row_of(world, profile), "process:write"):
        assert code_of(body).lower() == "forbidden"
    elif not knows(world, profile, caller["id"]):
        assert code_of(body).lower() == "not_found"
    elif not knows(world, profile, called["id"]):
        assert code_of(body) in ("BAD_USER_INPUT", "invalid")
    else:
        paths = shortest(world.rows, called["id"], caller["id"])
        if not paths:
            assert (caller["id"], called["id"]) in calls(rows), body
            return
        messages = {named(world, profile, [caller["id"], *path, caller["id"]]) for path in paths}
        expected = [written(expected_error(write, message), in_order=False) for message in messages]
        assert written(error_of(body), in_order=False) in expected
    assert rows == world.rows


async def test_a_new_process_cannot_run_itself(worlds: Worlds) -> None:
    process = {"reference": "new", "name": "New", "actions": [call("new")]}
    call_path = ("process", "actions", 0)
    message = "a process must not run itself: new -> new"
    creates = (
        mutation("createProcess", {"process": ("NewProcess!", process)}, *call_path),
        Write("/process", process, call_path[1:]),
    )
    for profile in VIEWERS:
        for world in worlds[:3]:
            for write in creates:
                body, rows = await done(world, profile, write)
                if may(row_of(world, profile), "process:write"):
                    assert error_of(body) == expected_error(write, message)
                else:
                    assert code_of(body).lower() == "forbidden"
                assert rows == world.rows
