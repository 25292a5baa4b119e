"""Test ``Process.problems``: what cannot work as it is written, and who may learn of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from resolvers.execution.templates import fill_in
from storage.demo.home import load_home
from tests.resolvers.home import Home, arguments, calls, echo

PROBLEMS = "problems { code message position argument input }"


async def problems(home: Home, process: str, by: str = "admin", selected: str = PROBLEMS) -> Any:
    query = f"query($id: ID!) {{ process(id: $id) {{ {selected} }} }}"
    return (await home.graph.data(query, {"id": process}, profile=by))["process"]["problems"]


def lines(found: list[dict[str, Any]]) -> list[str]:
    return [f"{each['code']} {each['message']}" for each in found]


async def test_a_process_that_works_has_no_problems(home: Home) -> None:
    callee = await home.process("callee", inputs=[{"name": "a"}], actions=[])
    process = await home.process(
        "caller", inputs=[{"name": "x"}], actions=[calls("callee", arguments=arguments(a="{x}"))]
    )
    assert await problems(home, callee) == await problems(home, process) == []


async def test_a_placeholder_that_names_no_input_is_listed_and_not_refused(home: Home) -> None:
    process = await home.process(
        "hall",
        inputs=[{"name": "level"}],
        actions=[
            echo(arguments=arguments(a="{level} {levle} {x}{levle}")),
            echo(arguments=arguments(b='{"on": {level}, "off": {of}}')),
        ],
    )
    found = await problems(home, process)
    assert found[0] == {
        "code": "UNKNOWN_PLACEHOLDER",
        "message": 'the argument "a" of action 1 names the input "levle", which the process does'
        " not have",
        "position": 1,
        "argument": "a",
        "input": "levle",
    }
    assert [(each["position"], each["argument"], each["input"]) for each in found] == [
        (1, "a", "levle"),
        (1, "a", "x"),
        (2, "b", "of"),
    ]
    # An input that is added later names it.
    await home.do("addInput", process=process, input={"name": "levle"})
    assert len(await problems(home, process)) == 2


TEMPLATES = (
    "{a}",
    "{a}{b}{a}",
    '{"on": {a}}',
    '{"on": true, "off": {"x": {b}}}',
    "{{a}}",
    "{{{a}}",
    "{a{b}c}",
    "{}{ }{\n}",
    "{a\nb}",
    "}{a",
    "{a}}",
    "{\ta}",
    "{é𝄞}{\\}{%}{$1}",
    "{'a'}",
    "{" + "n" * 255 + "}",
    "no braces",
    "",
)


class Recorded(Mapping[str, str]):
    """Values of inputs that note which names are looked up."""

    def __init__(self) -> None:
        self.names: dict[str, None] = {}

    def __getitem__(self, name: str) -> str:
        self.names[name] = None
        raise KeyError(name)

    def __iter__(self) -> Iterator[str]:
        return iter(())

    def __len__(self) -> int:
        return 0


async def test_exactly_what_the_engine_would_fill_in_is_a_placeholder(home: Home) -> None:
    process = await home.process(
        "hall", actions=[echo(arguments=arguments(v=template)) for template in TEMPLATES]
    )
    listed = await problems(home, process)
    for position, template in enumerate(TEMPLATES, start=1):
        values = Recorded()
        fill_in(template, values)
        names = [name for name in values.names if not name.lstrip().startswith('"')]
        assert [each["input"] for each in listed if each["position"] == position] == names, template


async def test_members_of_json_and_long_texts_are_no_placeholders(home: Home) -> None:
    values = ['{"on": true}', '{ \n\t"a": 1}', "{" + "n" * 256 + "}"]
    process = await home.process(
        "hall", actions=[echo(arguments=arguments(v=value)) for value in values]
    )
    assert await problems(home, process) == []


async def test_calls_that_do_not_fit_the_inputs_of_the_called_process_are_listed(
    home: Home,
) -> None:
    inputs = [
        {"name": "needed"},
        {"name": "given"},
        {"name": "optional", "required": False},
        {"name": "by default", "default": "x"},
        {"name": "later", "askedWhen": "DISABLED"},
    ]
    await home.process("plain", inputs=inputs)
    await home.process("lamp", mode="SWITCH", inputs=inputs)
    given = arguments(given="1", other="2")
    process = await home.process(
        "caller", actions=[calls("plain", arguments=given), calls("lamp", arguments=given)]
    )
    assert lines(await problems(home, process)) == [
        'UNKNOWN_ARGUMENT action 1 gives "other" to the process "plain", which has no such input',
        'MISSING_ARGUMENT action 1 runs the process "plain" without "needed", which it requires',
        'MISSING_ARGUMENT action 1 runs the process "plain" without "later", which it requires',
        'UNKNOWN_ARGUMENT action 2 gives "other" to the process "lamp", which has no such input',
        'MISSING_ARGUMENT action 2 runs the process "lamp" without "needed", which it requires'
        " while it is enabled",
        'MISSING_ARGUMENT action 2 runs the process "lamp" without "later", which it requires'
        " while it is disabled",
    ]


async def test_a_viewer_learns_nothing_of_the_inputs_of_a_hidden_process(home: Home) -> None:
    keeper = await home.profile("keeper", "PROCESS_READ")
    callee = await home.process("secret", inputs=[{"name": "password"}])
    process = await home.process(
        "caller",
        actions=[calls("secret", arguments=arguments(x="{y}"))],
        profiles=[{"name": "keeper"}],
    )
    assert lines(await problems(home, process, by="keeper")) == [
        'UNKNOWN_PLACEHOLDER the argument "x" of action 1 names the input "y", which the process'
        " does not have"
    ]
    assert len(await problems(home, process)) == 3
    await home.do("authoriseProfile", process=callee, profile={"id": keeper})
    assert len(await problems(home, process, by="keeper")) == 3


async def test_a_source_whose_kind_is_not_installed_is_listed(home: Home) -> None:
    process = await home.process("hall", actions=[echo()])
    await home.graph.run("INSERT INTO source (name, kind) VALUES ('fax', 'facsimile')")
    (action,) = (await home.read(process))["actions"]
    await home.do("updateAction", id=action["id"], changes={"source": "fax"})
    # The kind is an admin's to know, so no message names it.
    assert await problems(home, process, by="guest") == [
        {
            "code": "UNKNOWN_SOURCE_KIND",
            "message": 'the kind of the source "fax", on which action 1 acts, is not installed',
            "position": 1,
            "argument": None,
            "input": None,
        }
    ]
    await home.do(
        "createSource", source={"name": "bed", "kind": "lamp", "settings": {"address": "x"}}
    )
    await home.do("updateAction", id=action["id"], changes={"source": "bed"})
    assert await problems(home, process) == []


LAMPS = {
    "name": "lamps",
    "kind": "http",
    "settings": {
        "base_url": "http://lamps.example",
        "only_operations": True,
        "operations": [
            {
                "name": "set",
                "method": "PUT",
                "path": "/lamps/{lamp}/{room}",
                "arguments": [
                    {"reference": "lamp"},
                    {"reference": "room"},
                    {"reference": "level", "required": False},
                ],
            }
        ],
    },
}


def lamps(action: str, **given: str) -> dict[str, Any]:
    return {"source": "lamps", "action": action, "arguments": arguments(**given)}


async def test_actions_that_do_not_fit_what_their_source_offers_are_listed(home: Home) -> None:
    source = (await home.do("createSource", source=LAMPS))["source"]["id"]
    process = await home.process(
        "hall",
        actions=[
            lamps("set", lamp="1", room="hall"),
            lamps("toggle", x="{y}"),
            lamps("set", room="hall", level="2", color="red"),
        ],
    )
    unknown, placeholder, argument, missing = await problems(home, process)
    assert unknown == {
        "code": "UNKNOWN_ACTION",
        "message": 'action 2 runs "toggle" of the source "lamps", which offers no such action',
        "position": 2,
        "argument": None,
        "input": None,
    }
    assert (placeholder["code"], placeholder["position"]) == ("UNKNOWN_PLACEHOLDER", 2)
    assert argument == {
        "code": "UNKNOWN_ARGUMENT",
        "message": 'action 3 gives "color" to "set" of the source "lamps", which has no such'
        " argument",
        "position": 3,
        "argument": "color",
        "input": None,
    }
    assert missing == {
        "code": "MISSING_ARGUMENT",
        "message": 'action 3 runs "set" of the source "lamps" without "lamp", which it requires',
        "position": 3,
        "argument": "lamp",
        "input": None,
    }
    # A source that takes any request may know what it does not list.
    settings = LAMPS["settings"] | {"only_operations": False}  # type: ignore[operator]
    await home.do("updateSource", id=source, changes={"settings": settings})
    assert [each["code"] for each in await problems(home, process)] == [
        "UNKNOWN_PLACEHOLDER",
        "UNKNOWN_ARGUMENT",
        "MISSING_ARGUMENT",
    ]


async def test_only_who_may_write_learns_what_a_source_offers(home: Home) -> None:
    await home.do("createSource", source=LAMPS)
    process = await home.process(
        "hall",
        actions=[lamps("toggle"), lamps("set", color="red")],
        profiles=[{"name": "guest"}],
    )
    keeper = await home.profile("keeper", "PROCESS_READ")
    await home.do("authoriseProfile", process=process, profile={"id": keeper})
    assert await problems(home, process, by="keeper") == []
    assert await problems(home, process, by="guest") == []
    assert len(await problems(home, process)) == 4
    await home.do(
        "updateProfile", id=keeper, changes={"permissions": ["PROCESS_READ", "PROCESS_WRITE"]}
    )
    assert len(await problems(home, process, by="keeper")) == 4


async def test_problems_are_read_in_parts_with_other_objects_and_in_payloads(home: Home) -> None:
    process = await home.process("hall", actions=[echo(arguments=arguments(v="{x}"))])
    assert await problems(home, process, selected="problems { at: position c: code }") == [
        {"at": 1, "c": "UNKNOWN_PLACEHOLDER"}
    ]
    query = f"{{ processes {{ nodes {{ reference {PROBLEMS} usedBy {{ {PROBLEMS} }} }} }} }}"
    (node,) = (await home.graph.data(query))["processes"]["nodes"]
    assert len(node["problems"]) == 1
    change = "mutation($id: ID!) { updateProcess(id: $id, changes: {}) { process { %s } } }"
    data = await home.graph.data(change % PROBLEMS, {"id": process})
    assert data["updateProcess"]["process"]["problems"] == node["problems"]


async def test_problems_are_not_part_of_the_version(home: Home) -> None:
    callee = await home.process("callee")
    process = await home.process("caller", actions=[calls("callee")])
    query = "query($id: ID!) { process(id: $id) { version problems { code } } }"
    before = (await home.graph.data(query, {"id": process}))["process"]
    await home.do("addInput", process=callee, input={"name": "x"})
    after = (await home.graph.data(query, {"id": process}))["process"]
    assert before == {"version": after["version"], "problems": []}
    assert after["problems"] == [{"code": "MISSING_ARGUMENT"}]


async def test_at_most_100_problems_are_listed(home: Home) -> None:
    many = arguments(v="".join(f"{{x{number}}}" for number in range(60)))
    process = await home.process("hall", actions=[echo(arguments=many), echo(arguments=many)])
    found = await problems(home, process)
    assert [each["input"] for each in found[:60]] == [f"x{number}" for number in range(60)]
    assert len(found) == 100


@pytest.mark.parametrize("devices", ["", "http://127.0.0.1:8090"])
@pytest.mark.parametrize("by", ["admin", "guest"])
async def test_the_demo_home_has_no_problems(home: Home, by: str, devices: str) -> None:
    await load_home(home.graph.database, devices)
    query = f"{{ processes(first: 100) {{ nodes {{ {PROBLEMS} }} }} }}"
    nodes = (await home.graph.data(query, profile=by))["processes"]["nodes"]
    assert len(nodes) > 25
    assert [problem for node in nodes for problem in node["problems"]] == []
