"""Test the settings of processes, actions and inputs: what is accepted, shown, kept and cleared."""

from __future__ import annotations

from typing import Any

import pytest

from tests.resolvers.home import Home, echo, problems

_ALL = """concurrency timeout version
    actions { id timeout retries onFailure idempotent }
    inputs { id label help required min max step unit pattern choices default }"""

PROCESS = {"concurrency": "RESTART", "timeout": 90}
ACTION: dict[str, Any] = {
    "timeout": 0.5,
    "retries": 5,
    "onFailure": "CONTINUE",
    "idempotent": False,
}
INPUT = {
    "label": "Room temperature",
    "help": "Of the whole house.",
    "required": False,
    "min": 5,
    "max": 30,
    "step": 0.5,
    "unit": "°C",
    "pattern": "[0-9.]+",
    "choices": ["20", "21.5"],
    "default": "21.5",
}
DEFAULTS: dict[str, Any] = {
    "label": "",
    "help": "",
    "required": True,
    "min": None,
    "max": None,
    "step": None,
    "unit": "",
    "pattern": None,
    "choices": [],
    "default": None,
}


async def shown(home: Home, process: str) -> dict[str, Any]:
    query = f"query($id: ID!) {{ process(id: $id) {{ {_ALL} }} }}"
    found: dict[str, Any] = (await home.graph.data(query, {"id": process}))["process"]
    return found


def without_id(part: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in part.items() if name != "id"}


async def test_settings_are_created_with_the_process(home: Home) -> None:
    process = await home.process(
        "hall",
        **PROCESS,
        actions=[echo(**ACTION), echo()],
        inputs=[{"name": "t", "type": "number", **INPUT}, {"name": "u"}],
    )
    found = await shown(home, process)
    assert {name: found[name] for name in PROCESS} == PROCESS
    assert [without_id(action) for action in found["actions"]] == [
        ACTION,
        {"timeout": None, "retries": 0, "onFailure": "STOP", "idempotent": None},
    ]
    assert [without_id(part) for part in found["inputs"]] == [INPUT, DEFAULTS]


async def test_settings_are_added_changed_and_cleared_with_a_part(home: Home) -> None:
    process = await home.process("hall")
    await home.do("addAction", process=process, action=echo(**ACTION))
    new = {"name": "t", "type": "number", **INPUT}
    await home.do("addInput", process=process, input=new)
    await home.do("updateProcess", id=process, changes=PROCESS)
    found = await shown(home, process)
    assert without_id(found["actions"][0]) == ACTION
    assert without_id(found["inputs"][0]) == INPUT
    assert {name: found[name] for name in PROCESS} == PROCESS
    versions = {found["version"]}
    action, part = found["actions"][0]["id"], found["inputs"][0]["id"]
    # Other changes keep them, and null clears those that may be null.
    changes: list[tuple[str, str, dict[str, Any]]] = [
        ("updateProcess", process, {"timeout": None}),
        ("updateProcess", process, {"concurrency": "SINGLE"}),
        ("updateAction", action, {"timeout": None}),
        ("updateAction", action, {"idempotent": None}),
        ("updateAction", action, {"retries": 1}),
        ("updateAction", action, {"onFailure": "STOP"}),
        ("updateInput", part, {"default": None}),
        ("updateInput", part, {"choices": []}),
        ("updateInput", part, {"pattern": None}),
        ("updateInput", part, {"step": None}),
        ("updateInput", part, {"min": None}),
        ("updateInput", part, {"max": None}),
        ("updateInput", part, {"label": "L"}),
        ("updateInput", part, {"help": "H"}),
        ("updateInput", part, {"unit": "K"}),
        ("updateInput", part, {"required": True}),
    ]
    for mutation, id_, change in changes:
        await home.do(mutation, id=id_, changes=change)
        before, found = found, await shown(home, process)
        where = {"updateProcess": found, "updateAction": found["actions"][0]}
        changed = where.get(mutation, found["inputs"][0])
        assert {name: changed[name] for name in change} == change
        assert found["version"] not in versions
        versions.add(found["version"])
        unchanged = {"version", *change}
        for old, now in (
            (before, found),
            (before["actions"][0], found["actions"][0]),
            (before["inputs"][0], found["inputs"][0]),
        ):
            for name in old.keys() - unchanged - {"actions", "inputs"}:
                assert old[name] == now[name], (change, name)
    await home.do("updateInput", id=part, changes={"name": "T"})
    assert (await shown(home, process))["inputs"] == found["inputs"]
    # Null is the same as leaving out what cannot be null.
    null = dict.fromkeys(("label", "help", "required", "unit", "choices"))
    await home.do("updateInput", id=part, changes=null)
    await home.do("updateAction", id=action, changes={"retries": None, "onFailure": None})
    await home.do("updateProcess", id=process, changes={"concurrency": None})
    assert (await shown(home, process))["version"] not in versions  # the name
    assert (await shown(home, process))["inputs"] == found["inputs"]


async def test_a_switch_never_runs_in_parallel(home: Home) -> None:
    message = (
        "expected SINGLE, QUEUED or RESTART, got PARALLEL: the executions of a switch depend on its"
        " state"
    )
    new = {"reference": "s", "name": "S", "mode": "SWITCH", "concurrency": "PARALLEL"}
    error = await home.error("createProcess", "BAD_USER_INPUT", process=new)
    assert problems(error) == {("process", "concurrency"): message}
    switch = await home.process("switch", mode="SWITCH")
    assert (await shown(home, switch))["concurrency"] == "QUEUED"
    for changes in ({"concurrency": "PARALLEL"}, {"concurrency": "PARALLEL", "mode": "SWITCH"}):
        error = await home.error("updateProcess", "BAD_USER_INPUT", id=switch, changes=changes)
        assert problems(error) == {("changes", "concurrency"): message}
    plain = await home.process("plain")
    assert (await shown(home, plain))["concurrency"] == "PARALLEL"
    await home.do("updateProcess", id=plain, changes={"mode": "SWITCH"})
    assert (await shown(home, plain))["concurrency"] == "QUEUED"
    await home.do("updateProcess", id=plain, changes={"mode": "SIMPLE", "concurrency": "PARALLEL"})
    assert (await shown(home, plain))["concurrency"] == "PARALLEL"


async def test_processes_are_filtered_by_their_concurrency(home: Home) -> None:
    await home.process("a")
    await home.process("b", mode="SWITCH")
    await home.process("c", concurrency="QUEUED")
    query = """query($c: ProcessConcurrencyFilter) {
        processes(where: {concurrency: $c}) { nodes { reference } } }"""
    for condition, expected in (
        ({"eq": "QUEUED"}, ["b", "c"]),
        ({"in": ["PARALLEL", "SINGLE"]}, ["a"]),
    ):
        found = await home.graph.data(query, {"c": condition})
        assert [node["reference"] for node in found["processes"]["nodes"]] == expected


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("timeout", 0.5, "expected a number from 1 to 86,400, got 0.5"),
        ("timeout", 86_401, "expected a number from 1 to 86,400, got 86,401"),
    ],
)
async def test_a_process_has_a_sensible_timeout(
    home: Home, field: str, value: float, message: str
) -> None:
    new = {"reference": "a", "name": "A", field: value}
    error = await home.error("createProcess", "BAD_USER_INPUT", process=new)
    assert problems(error) == {("process", field): message}


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("timeout", 0.05, "expected a number from 0.1 to 3,600, got 0.05"),
        ("timeout", 3601, "expected a number from 0.1 to 3,600, got 3,601"),
        ("retries", -1, "expected a number from 0 to 5, got -1"),
        ("retries", 6, "expected a number from 0 to 5, got 6"),
    ],
)
async def test_an_action_has_a_sensible_timeout_and_number_of_retries(
    home: Home, field: str, value: float, message: str
) -> None:
    process = await home.process("hall")
    fields: dict[str, Any] = {field: value}
    action = echo(**fields)
    error = await home.error("addAction", "BAD_USER_INPUT", process=process, action=action)
    assert problems(error) == {("action", field): message}


_NO_BOUNDS = "only inputs of the types number, integer and time have it"


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"min": 1}, {("min",): _NO_BOUNDS}),
        ({"type": "color", "step": 1, "max": 2}, {("max",): _NO_BOUNDS, ("step",): _NO_BOUNDS}),
        (
            {"type": "number", "min": 2, "max": 1.5},
            {("max",): "expected at least 2, which is the min, got 1.5"},
        ),
        ({"type": "number", "step": 0}, {("step",): "expected a number above 0, got 0"}),
        ({"type": "number", "step": -2}, {("step",): "expected a number above 0, got -2"}),
        (
            {"type": "time", "min": -1, "max": 86_400},
            {
                ("min",): "expected seconds since midnight, from 0 to 86,399, got -1",
                ("max",): "expected seconds since midnight, from 0 to 86,399, got 86,400",
            },
        ),
        ({"choices": ["a", "b", "a"]}, {("choices", 2): "is given twice"}),
        ({"choices": ["a", ""]}, {("choices", 1): "must not be empty"}),
        (
            {"choices": [str(n) for n in range(1001)]},
            {("choices",): "expected at most 1,000 items"},
        ),
        (
            {"type": "integer", "min": 2, "choices": ["1", "2", "x"]},
            {
                ("choices", 0): 'expected a whole number of at least 2, got "1"',
                ("choices", 2): 'expected a whole number, got "x"',
            },
        ),
        ({"choices": ["a"], "default": "b"}, {("default",): 'expected one of "a", got "b"'}),
        (
            {"type": "time", "step": 900, "default": "07:20"},
            {("default",): 'expected a time in steps of 900 s, got "07:20"'},
        ),
        (
            {"type": "number", "default": ""},
            {("default",): 'expected a number such as 21.5, got ""'},
        ),
        ({"pattern": "("}, {("pattern",): "expected a regular expression of RE2: missing ): ("}),
        (
            {"pattern": "(?=a)"},
            {("pattern",): "expected a regular expression of RE2: invalid perl operator: (?="},
        ),
        ({"pattern": r"[\pL\pN]{1,50}"}, {("pattern",): "expected a shorter regular expression"}),
        ({"pattern": "a" * 256}, {("pattern",): "expected at most 255 characters, got 256"}),
        ({"pattern": ""}, {("pattern",): "must not be empty"}),
        (
            {"pattern": "[ab]", "choices": ["a", "c"]},
            {("choices", 1): 'expected a text that matches [ab], got "c"'},
        ),
        (
            {"pattern": "[0-9x]+", "choices": [f"{n:03}" + "x" * 200 for n in range(30)]},
            {("choices",): "with a pattern, expected at most 5,000 characters in all choices"},
        ),
        ({"help": "x" * 4001}, {("help",): "expected at most 4,000 characters, got 4,001"}),
        ({"default": "\0"}, {("default",): "must not contain the NUL character"}),
    ],
)
async def test_settings_of_an_input_that_do_not_fit_are_refused(
    home: Home, fields: dict[str, Any], expected: dict[tuple[str | int, ...], str]
) -> None:
    process = await home.process("hall")
    new = {"name": "a", **fields}
    error = await home.error("addInput", "BAD_USER_INPUT", process=process, input=new)
    assert problems(error) == {("input", *path): text for path, text in expected.items()}
    whole = {"reference": "b", "name": "B", "inputs": [{"name": "z"}, new]}
    error = await home.error("createProcess", "BAD_USER_INPUT", process=whole)
    assert problems(error) == {
        ("process", "inputs", 1, *path): text for path, text in expected.items()
    }


async def test_changes_have_to_fit_what_stays(home: Home) -> None:
    process = await home.process(
        "hall", inputs=[{"name": "t", "type": "number", "min": 5, "max": 30, "default": "21"}]
    )
    (part,) = (await shown(home, process))["inputs"]
    cases: list[tuple[dict[str, Any], dict[tuple[str | int, ...], str]]] = [
        ({"min": 40}, {("changes", "max"): "expected at least 40, which is the min, got 30"}),
        ({"max": 20}, {("changes", "default"): 'expected a number from 5 to 20, got "21"'}),
        (
            {"type": "text"},
            {("changes", "min"): _NO_BOUNDS, ("changes", "max"): _NO_BOUNDS},
        ),
        ({"choices": ["6"]}, {("changes", "default"): 'expected one of "6", got "21"'}),
    ]
    for changes, expected in cases:
        error = await home.error("updateInput", "BAD_USER_INPUT", id=part["id"], changes=changes)
        assert problems(error) == expected
    await home.do("updateInput", id=part["id"], changes={"type": "text", "min": None, "max": None})
    # What somebody else has stored does not prevent other changes.
    await home.graph.run("UPDATE input SET pattern = '('")
    await home.do("updateInput", id=part["id"], changes={"name": "T", "label": "L"})
