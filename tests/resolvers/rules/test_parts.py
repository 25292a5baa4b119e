"""Mutations of actions and inputs: positions, changes and rejections."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.resolvers.home import Home, arguments, calls, echo, nothing, problems

PARTS = ["action", "input"]


def new(part: str, name: str) -> dict[str, Any]:
    """Return an action or input to add."""
    return echo(name) if part == "action" else {"name": name}


def argument(part: str, name: str = "x") -> dict[str, Any]:
    """Return the argument of the mutation that adds it."""
    return {part: new(part, name)}


async def filled(home: Home, part: str, names: str = "abcd") -> str:
    """Create a process with actions or inputs of these names."""
    return await home.process("hall", **{f"{part}s": [new(part, name) for name in names]})


async def order(home: Home, part: str, process: str) -> str:
    """Return the names of a process's parts in order, after checking that there is no gap."""
    parts = (await home.read(process))[f"{part}s"]
    assert [item["position"] for item in parts] == list(range(1, len(parts) + 1))
    return "".join(item["action" if part == "action" else "reference"] for item in parts)


async def ids(home: Home, part: str, process: str) -> list[str]:
    return [item["id"] for item in (await home.read(process))[f"{part}s"]]


async def add(home: Home, part: str, process: str, name: str, **position: Any) -> dict[str, Any]:
    arguments = argument(part, name) | position
    return await home.do(f"add{part.title()}", process=process, **arguments)


@pytest.mark.parametrize("part", PARTS)
async def test_a_part_is_added_at_its_position(home: Home, part: str) -> None:
    process = await home.process("hall")
    added = await add(home, part, process, "b")
    assert added[part] == added["process"][f"{part}s"][0]
    await add(home, part, process, "d", position=None)
    await add(home, part, process, "a", position=1)
    await add(home, part, process, "c", position=3)
    await add(home, part, process, "e", position=5)
    assert await order(home, part, process) == "abcde"


@pytest.mark.parametrize("part", PARTS)
async def test_a_part_is_moved(home: Home, part: str) -> None:
    process = await filled(home, part)
    a, b, *_ = await ids(home, part, process)
    move = f"move{part.title()}"
    for id_, position, expected in [
        (a, 3, "bcad"),
        (a, 4, "bcda"),
        (b, 1, "bcda"),
        (a, 1, "abcd"),
        (a, 2, "bacd"),
        (b, 4, "acdb"),
    ]:
        moved = await home.do(move, id=id_, position=position)
        assert moved[part]["position"] == position
        assert await order(home, part, process) == expected


@pytest.mark.parametrize("part", PARTS)
async def test_a_part_that_is_removed_leaves_no_gap(home: Home, part: str) -> None:
    process = await filled(home, part)
    a, b, _, d = await ids(home, part, process)
    remove = f"remove{part.title()}"
    removed = await home.do(remove, id=b)
    assert removed["removedId"] == b
    assert removed["process"] == await home.read(process)
    assert await order(home, part, process) == "acd"
    await home.do(remove, id=d, ofProcess=process)
    await home.do(remove, id=a, ofProcess=None)
    assert await order(home, part, process) == "c"
    await home.error(remove, "NOT_FOUND", id=b)


@pytest.mark.parametrize("part", PARTS)
async def test_a_part_is_removed_only_from_its_process(home: Home, part: str) -> None:
    process = await filled(home, part)
    other = await home.process("other")
    (a, *_) = await ids(home, part, process)
    error = await home.error(f"remove{part.title()}", "NOT_FOUND", id=a, ofProcess=other)
    assert error["message"] == f"there is no such {part}"


@pytest.mark.parametrize("part", PARTS)
async def test_a_position_out_of_range_is_rejected(home: Home, part: str) -> None:
    process = await filled(home, part)
    a, *_ = await ids(home, part, process)
    title = part.title()
    for position in (0, -1, 5, 2**31 - 1):
        error = await home.error(f"move{title}", "BAD_USER_INPUT", id=a, position=position)
        assert problems(error) == {
            ("position",): f"expected a position from 1 to 4, got {position}"
        }
    for position in (0, -1, 6):
        error = await home.error(
            f"add{title}",
            "BAD_USER_INPUT",
            process=process,
            position=position,
            **argument(part),
        )
        assert problems(error) == {
            ("position",): f"expected a position from 1 to 5, got {position}"
        }


@pytest.mark.parametrize("part", PARTS)
async def test_the_number_of_parts_is_limited(home: Home, part: str) -> None:
    parts = [new(part, f"n{index}") for index in range(1000)]
    process = await home.process("hall", **{f"{part}s": parts})
    error = await home.error(
        f"add{part.title()}", "BAD_USER_INPUT", process=process, **argument(part)
    )
    assert f"a process has at most 1,000 {part}s" in error["message"]


@pytest.mark.parametrize("part", PARTS)
async def test_parts_that_do_not_exist_are_not_found(home: Home, part: str) -> None:
    title, kind = part.title(), part.title()
    gone = nothing(kind)
    error = await home.error(
        f"add{title}", "NOT_FOUND", process=nothing("Process"), **argument(part)
    )
    assert error["message"] == "there is no such process"
    mutations: dict[str, dict[str, Any]] = {
        f"update{title}": {"changes": {}},
        f"move{title}": {"position": 1},
        f"remove{title}": {},
    }
    for mutation, more in mutations.items():
        error = await home.error(mutation, "NOT_FOUND", id=gone, **more)
        assert error["message"] == f"there is no such {part}"
        error = await home.error(mutation, "BAD_USER_INPUT", id=nothing("Process"), **more)
        assert problems(error) == {("id",): f"expected the id of a {kind}, got the id of a Process"}


@pytest.mark.parametrize("part", PARTS)
async def test_parts_of_hidden_processes_do_not_exist(home: Home, part: str) -> None:
    process = await filled(home, part)
    a, *_ = await ids(home, part, process)
    await home.profile("builder", "PROCESS_READ", "PROCESS_WRITE")
    title = part.title()
    mutations: dict[str, dict[str, Any]] = {
        f"add{title}": {"process": process, **argument(part)},
        f"update{title}": {"id": a, "changes": {}},
        f"move{title}": {"id": a, "position": 1},
        f"remove{title}": {"id": a},
    }
    for mutation, more in mutations.items():
        await home.error(mutation, "NOT_FOUND", by="builder", **more)


@pytest.mark.parametrize("part", PARTS)
async def test_concurrent_changes_keep_positions_consistent(home: Home, part: str) -> None:
    process = await filled(home, part)
    a, b, c, _ = await ids(home, part, process)
    title = part.title()
    await asyncio.gather(
        *(add(home, part, process, name, position=1) for name in "efgh"),
        *(home.do(f"move{title}", id=id_, position=2) for id_ in (a, b)),
        home.do(f"remove{title}", id=c),
    )
    assert sorted(await order(home, part, process)) == list("abdefgh")


# Actions -----------------------------------------------------------------------------------------


async def test_omitted_fields_of_an_action_are_unchanged(home: Home) -> None:
    await home.process("lamp")
    action = echo("say", runsWhen="DISABLED", arguments=arguments(a="1", b="{x}"))
    process = await home.process("hall", actions=[action])
    (before,) = (await home.read(process))["actions"]
    id_ = before["id"]
    nulls = dict.fromkeys(["source", "action", "runsWhen", "arguments"])
    for nothing_new in ({}, nulls):
        await home.do("updateAction", id=id_, changes=nothing_new)
        assert (await home.read(process))["actions"] == [before]
    steps: list[tuple[dict[str, Any], dict[str, Any]]] = [
        ({"action": "shout"}, {"action": "shout"}),
        ({"runsWhen": "ENABLED"}, {"runsWhen": "ENABLED"}),
        ({"arguments": []}, {"arguments": []}),
        (
            {"source": "process", "action": "lamp", "arguments": arguments(c="2")},
            {
                "sourceName": "process",
                "action": "lamp",
                "subprocess": {"reference": "lamp"},
                "arguments": arguments(c="2"),
            },
        ),
        ({"source": "echo"}, {"sourceName": "echo", "subprocess": None}),
        ({"source": "process"}, {"sourceName": "process", "subprocess": {"reference": "lamp"}}),
    ]
    for changes, after in steps:
        before |= after
        answer = await home.do("updateAction", id=id_, changes=changes)
        assert answer["process"]["actions"] == [before]
    called = await home.graph.run("SELECT subprocess_id IS NOT NULL AS called FROM action")
    assert called == [{"called": True}]


async def test_invalid_changes_to_an_action_are_rejected(home: Home) -> None:
    process = await home.process("hall", actions=[echo()])
    (id_,) = await ids(home, "action", process)
    cases: list[tuple[dict[str, Any], tuple[str | int, ...]]] = [
        ({"source": "?"}, ("source",)),
        ({"source": "process"}, ("action",)),
        ({"source": "process", "action": "nobody"}, ("action",)),
        ({"action": ""}, ("action",)),
        ({"arguments": [{"reference": "a", "value": "\0"}]}, ("arguments", 0, "value")),
        ({"arguments": arguments(a="1") * 2}, ()),
    ]
    for changes, path in cases:
        error = await home.error("updateAction", "BAD_USER_INPUT", id=id_, changes=changes)
        assert set(problems(error)) == {("changes", *path)}
    cases = [
        (echo(""), ("action",)),
        ({"source": "?", "action": "a"}, ("source",)),
        (calls("nobody"), ("action",)),
    ]
    for action, path in cases:
        error = await home.error("addAction", "BAD_USER_INPUT", process=process, action=action)
        # The path of an action that is added alone is ``action``, without an index.
        assert set(problems(error)) == {("action", *path)}


# Inputs ------------------------------------------------------------------------------------------


async def test_omitted_fields_of_an_input_are_unchanged(home: Home) -> None:
    new_input = {"reference": "speed", "name": "Speed", "type": "integer", "askedWhen": "DISABLED"}
    process = await home.process("hall", inputs=[new_input])
    (before,) = (await home.read(process))["inputs"]
    id_ = before["id"]
    for nulls in ({}, dict.fromkeys(new_input)):
        await home.do("updateInput", id=id_, changes=nulls)
        assert (await home.read(process))["inputs"] == [before]
    changes = {"reference": " tempo ", "name": " T ", "type": "color", "askedWhen": "ENABLED"}
    answer = await home.do("updateInput", id=id_, changes=changes)
    assert answer["input"] == {**before, **changes, "reference": "tempo", "kind": "COLOR"}


async def test_the_reference_of_an_input_is_unique_in_its_process(home: Home) -> None:
    process = await filled(home, "input", "ab")
    await home.process("other", inputs=[{"name": "a"}])
    a, _ = await ids(home, "input", process)
    error = await home.error("addInput", "CONFLICT", process=process, input={"name": "B"})
    assert error["message"] == "the process has an input with this reference already"
    await home.error("updateInput", "CONFLICT", id=a, changes={"reference": "b"})


async def test_an_input_is_removed_by_its_reference(home: Home) -> None:
    process = await filled(home, "input", "abc")
    _, b, _ = await ids(home, "input", process)
    removed = await home.do("removeInput", ofProcess=process, reference="b")
    assert removed["removedId"] == b
    assert await order(home, "input", process) == "ac"


async def test_an_input_is_identified_by_id_or_reference(home: Home) -> None:
    process = await filled(home, "input", "abc")
    a, *_ = await ids(home, "input", process)
    for key, path in [
        ({}, "id"),
        ({"id": a, "reference": "a"}, "id"),
        ({"id": ""}, "id"),
        ({"reference": "a"}, "ofProcess"),
        ({"reference": "a\0", "ofProcess": process}, "reference"),
        ({"reference": "\ud800", "ofProcess": process}, "reference"),
        ({"reference": "a", "ofProcess": "?"}, "ofProcess"),
    ]:
        error = await home.error("removeInput", "BAD_USER_INPUT", **key)
        assert set(problems(error)) == {(path,)}, key
    await home.error("removeInput", "NOT_FOUND", ofProcess=process, reference="x")
    await home.error("removeInput", "NOT_FOUND", ofProcess=nothing("Process"), reference="a")
