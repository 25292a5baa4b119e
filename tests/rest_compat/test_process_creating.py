"""Test creating through the /process dialect (docs/process-audits.md, PROC-006 to PROC-028)."""

from __future__ import annotations

import json
from typing import Any

from resolvers.errors.catalogue import ErrorKind
from tests.rest_compat.api import UNKNOWN_ID, Api, run, say


async def test_proc_006_creates_a_process(api: Api) -> None:
    created = await api.ok("POST", "/process", {"reference": " lamp ", "name": " Lamp "})
    assert await api.get_process(created["id"]) == {
        "id": created["id"],
        "reference": "lamp",
        "name": " Lamp ",
        "nameEnable": "",
        "nameDisable": "",
        "description": "",
        "espace": None,
        "icon": "",
        "mode": "simple",
        "enable": 0,
        "actions": [],
        "inputs": [],
        "profiles": [],
    }


async def test_proc_007_requires_reference_and_name(api: Api) -> None:
    assert await api.invalid("POST", "/process", {}) == "reference: is required; name: is required"
    assert "name: is required" in await api.invalid("POST", "/process", {"reference": "a"})
    message = await api.invalid("POST", "/process", {"reference": "  ", "name": ""})
    assert message == "reference: must not be empty; name: must not be empty"


async def test_proc_008_rejects_a_taken_reference(api: Api) -> None:
    await api.process("lamp")
    message = await api.error(
        ErrorKind.CONFLICT, "POST", "/process", {"reference": "lamp", "name": "Other"}
    )
    assert "reference exists already" in message
    assert len(await api.ok("GET", "/process")) == 1


async def test_proc_009_accepts_the_response_of_get(api: Api) -> None:
    await api.espace("light")
    await api.process("sub", inputs=[{"name": "Who"}])
    process = await api.process(
        "lamp",
        nameEnable="on",
        nameDisable="off",
        description="d",
        espace="light",
        icon="i",
        mode="switch",
        enable=1,
        sources=[say("{x}", enable=0), run("sub", arguments=[{"name": "who", "value": "me"}])],
        inputs=[{"name": "X", "type": "weekday", "enable": 0}, {"name": "Y"}],
        profiles=["guest", "occupant"],
    )
    shown = await api.get_process(process)
    copied = await api.ok("POST", "/process", shown | {"reference": "copy"})
    copy = await api.get_process(copied["id"])

    def without_ids(process: dict[str, Any]) -> dict[str, Any]:
        parts = {
            name: [{**part, "id": None} for part in process[name]] for name in ("actions", "inputs")
        }
        return process | parts | {"id": None, "reference": None}

    assert without_ids(copy) == without_ids(shown)


_SETTINGS = """{ concurrency timeout
    actions { timeout retries onFailure idempotent }
    inputs { label help required min max step unit pattern choices default } }"""
_WITH_SETTINGS = """mutation { createProcess(process: {
    reference: "set", name: "Set", concurrency: RESTART, timeout: 90,
    actions: [
        {source: "echo", action: "say", timeout: 1.5, retries: 2, onFailure: CONTINUE,
            idempotent: true}
        {source: "echo", action: "shout", retries: 3}
    ],
    inputs: [
        {name: "room", type: "choice", label: "Room", help: "Where.", choices: ["a", "b"],
            default: "b"}
        {name: "celsius", type: "number", required: false, min: 5, max: 30, step: 0.5, unit: "°C"}
        {name: "code", pattern: "[0-9]{4}"}
    ]
}) { process { id databaseId } } }"""


async def _settings(api: Api, number: int) -> Any:
    return (await api.gateway.data(f"{{ process(databaseId: {number}) {_SETTINGS} }}"))["process"]


async def test_a_copy_keeps_the_settings_that_only_graphql_shows(api: Api) -> None:
    created = (await api.gateway.data(_WITH_SETTINGS))["createProcess"]["process"]
    shown = await api.get_process(created["databaseId"])
    assert shown["inputs"][0].keys() == {"id", "reference", "name", "type", "enable"}
    assert shown["actions"][0].keys() == {"id", "source", "action", "enable", "arguments"}
    copied = await api.ok("POST", "/process", shown | {"reference": "copy"})
    settings = await _settings(api, created["databaseId"])
    assert await _settings(api, copied["id"]) == settings
    assert settings["inputs"][0]["choices"] == ["a", "b"]
    # Only parts that both have are the same.
    body = shown | {"reference": "changed", "actions": shown["actions"][::-1]}
    body["inputs"] = [{"name": "room", "type": "text"}, shown["inputs"][2]]
    changed = await _settings(api, (await api.ok("POST", "/process", body))["id"])
    assert [action["retries"] for action in changed["actions"]] == [0, 0]
    assert [part["choices"] for part in changed["inputs"]] == [[], []]
    assert changed["inputs"][1] == settings["inputs"][2]


async def test_any_other_id_of_a_new_process_is_ignored(api: Api) -> None:
    await api.gateway.data(_WITH_SETTINGS)
    others: list[Any] = ["x", 0, -1, True, None, {}, [1], UNKNOWN_ID, 10**30, 1.5, ""]
    for index, id_ in enumerate(others):
        body = {"id": id_, "reference": f"p{index}", "name": "P", "inputs": [{"name": "code"}]}
        created = await api.ok("POST", "/process", body)
        assert (await _settings(api, created["id"]))["inputs"][0]["pattern"] is None


async def test_unknown_members_are_ignored_whatever_graphql_calls_so(api: Api) -> None:
    junk = {"label": 5, "required": "no", "choices": "a", "min": "x", "pattern": "(", "default": 1}
    body = {
        "reference": "p",
        "name": "P",
        "timeout": "soon",
        "concurrency": 7,
        "inputs": [{"name": "a"} | junk],
        "actions": [say() | {"retries": -1, "onFailure": "?", "idempotent": 3}],
    }
    await api.ok("POST", "/process", body)


async def test_proc_010_accepts_actions_as_an_alias_of_sources(api: Api) -> None:
    process = await api.process("a", actions=[say()])
    assert len((await api.get_process(process))["actions"]) == 1
    both = {"reference": "b", "name": "B", "actions": [say()], "sources": [say()]}
    assert "two names of one list" in await api.invalid("POST", "/process", both)
    body = {"reference": "b", "name": "B", "actions": [{"source": "echo"}]}
    assert await api.invalid("POST", "/process", body) == "actions[0].action: is required"


async def test_proc_011_accepts_an_espace_in_every_form(api: Api) -> None:
    await api.espace("other")
    espace = await api.espace("light", "Lumière")
    forms: list[Any] = [
        espace,
        str(espace),
        "light",
        {"id": str(espace), "name": "whatever"},
        {"id": None, "reference": "light"},
        {"name": "Lumière"},
    ]
    for index, form in enumerate(forms):
        process = await api.process(f"p{index}", espace=form)
        assert (await api.get_process(process))["espace"]["id"] == espace, form


async def test_proc_012_rejects_an_unknown_espace(api: Api) -> None:
    await api.espace("one", "Twin")
    await api.espace("two", "Twin")
    cases: list[tuple[Any, str]] = [
        (UNKNOWN_ID, "there is no such espace"),
        ("nowhere", "there is no such espace"),
        ({"name": "Twin"}, "more than one espace has this name"),
        ({"id": 0}, "expected an id from 1 to 2147483647, got 0"),
        (2**31, "expected an id from 1 to 2147483647, got 2147483648"),
        ("99999999999", "expected an id from 1 to 2147483647"),
        ({}, "got an object"),
        ([1], "got a list"),
        (True, "got true"),
        ("", "must not be empty"),
        ({"reference": 5}, "expected text, got 5"),
    ]
    for espace, problem in cases:
        body = {"reference": "a", "name": "A", "espace": espace}
        message = await api.invalid("POST", "/process", body)
        assert message.startswith("espace: ")
        assert problem in message


async def test_proc_013_accepts_three_names_of_two_modes(api: Api) -> None:
    for word, mode in (("simple", "simple"), ("button", "simple"), ("switch", "switch")):
        assert (await api.get_process(await api.process(word, mode=word)))["mode"] == mode
    invalid: list[Any] = ["SIMPLE", "toggle", "", 1, True, []]
    for value in invalid:
        body = {"reference": "a", "name": "A", "mode": value}
        message = await api.invalid("POST", "/process", body)
        assert message.startswith("mode: expected one of simple, button, switch, got ")


async def test_proc_014_accepts_a_state_in_every_form(api: Api) -> None:
    forms: list[tuple[Any, int]] = [(0, 0), (1, 1), (False, 0), (True, 1), ("0", 0), ("1", 1)]
    forms += [(0.0, 0), (1.0, 1)]
    for index, (enable, state) in enumerate(forms):
        inputs = [{"name": "x", "enable": enable}]
        process = await api.process(
            f"p{index}", mode="switch", enable=enable, sources=[say(enable=enable)], inputs=inputs
        )
        await api.ok("POST", f"/process/{process}/actions", say(enable=enable))
        await api.ok("POST", f"/process/{process}/inputs", {"name": "y", "enable": enable})
        shown = await api.get_process(process)
        states = [part["enable"] for part in (shown, *shown["actions"], *shown["inputs"])]
        assert json.dumps(states) == json.dumps([state] * 5)


async def test_proc_015_rejects_other_states(api: Api) -> None:
    invalid: list[Any] = [2, -1, 0.5, "2", "1.0", "true", "", [], {}]
    for value in invalid:
        body = {
            "reference": "a",
            "name": "A",
            "enable": value,
            "sources": [say(enable=value)],
            "inputs": [{"name": "x", "enable": value}],
        }
        message = await api.invalid("POST", "/process", body)
        paths = [problem.partition(":")[0] for problem in message.split("; ")]
        assert paths == ["enable", "sources[0].enable", "inputs[0].enable"]
        assert "expected 0 or 1, got " in message


async def test_proc_016_accepts_a_source_in_every_form(api: Api) -> None:
    echo = 2
    forms: list[Any] = ["echo", {"name": "echo"}, {"reference": "echo"}, {"id": echo}]
    forms += [{"id": str(echo), "name": None}, echo]
    process = await api.process(sources=[say() | {"source": form} for form in forms])
    shown = await api.get_process(process)
    assert [action["source"] for action in shown["actions"]] == ["echo"] * len(forms)


async def test_proc_017_keeps_a_process_in_use(api: Api) -> None:
    used = await api.process("used")
    for caller in ("a", "b"):
        await api.process(caller, sources=[run("used")])
    message = await api.error(ErrorKind.CONFLICT, "DELETE", f"/process/{used}")
    assert message == 'the process is still run by "a", "b"'
    assert (await api.get_process(used))["reference"] == "used"


async def test_proc_018_accepts_an_action_in_every_form(api: Api) -> None:
    sub = await api.process("sub", name="Sub process")
    forms: list[Any] = ["sub", {"reference": "sub"}, {"id": sub}, {"id": str(sub)}, sub]
    forms += [{"id": sub, "name": "Sub process"}, {"id": sub, "reference": "sub", "mode": "simple"}]
    process = await api.process(
        "a",
        sources=[
            *(run(form) for form in forms),
            run({"id": sub, "name": "x"}, source={"name": "process"}),
            say() | {"action": {"id": 3, "name": "whisper"}},
            say() | {"action": {"reference": "shout", "name": "Shout"}},
        ],
    )
    shown = await api.get_process(process)
    expected = ["sub"] * (len(forms) + 1) + ["whisper", "shout"]
    assert [action["action"] for action in shown["actions"]] == expected


async def test_proc_019_accepts_an_argument_in_every_form(api: Api) -> None:
    arguments: list[Any] = [{"reference": "a", "value": "x"}, {"name": "b", "value": "y"}, "z"]
    process = await api.process(sources=[say() | {"arguments": arguments}])
    (action,) = (await api.get_process(process))["actions"]
    assert action["arguments"] == [
        {"reference": "a", "value": "x"},
        {"reference": "b", "value": "y"},
        {"reference": "2", "value": "z"},
    ]


async def test_proc_020_accepts_numbers_and_booleans_as_text(api: Api) -> None:
    arguments: list[Any] = [21.5, 3, True, {"name": "x", "value": False}, ""]
    process = await api.process(sources=[say() | {"arguments": arguments}])
    (action,) = (await api.get_process(process))["actions"]
    values = [argument["value"] for argument in action["arguments"]]
    assert values == ["21.5", "3", "true", "false", ""]
    invalid: list[Any] = [{"reference": "a"}, {"reference": "a", "value": {}}, {"value": "a"}, []]
    for argument in [*invalid, None]:
        body = say() | {"arguments": [argument]}
        message = await api.invalid("POST", f"/process/{process}/actions", body)
        assert message.startswith("arguments[0]")


async def test_proc_021_rejects_a_duplicate_argument(api: Api) -> None:
    twice = [{"reference": "0", "value": "a"}, {"reference": "x", "value": "b"}]
    body = {"reference": "a", "name": "A", "sources": [say() | {"arguments": ["c", *twice]}]}
    message = await api.invalid("POST", "/process", body)
    assert message == 'sources[0]: the argument reference "0" is given twice'


async def test_proc_022_derives_the_reference_of_an_input(api: Api) -> None:
    names = ["Température du salon", "Who?", "ночь"]
    process = await api.process(inputs=[{"name": name} for name in names])
    shown = await api.get_process(process)
    references = [input_["reference"] for input_ in shown["inputs"]]
    assert references == ["temperature_du_salon", "who", "ночь"]
    long = await api.process("long", inputs=[{"name": "\u33d2" * 255}])
    (only,) = (await api.get_process(long))["inputs"]
    assert only["reference"] == "log" * 85
    body = {"reference": "b", "name": "B", "inputs": [{"name": "x"}, {"name": "X"}]}
    assert 'the input reference "x" is given twice' in await api.invalid("POST", "/process", body)


async def test_proc_023_returns_any_input_type_unchanged(api: Api) -> None:
    words = ["text", "number", "choice", "weekday", "Température", "x" * 64]
    inputs = [{"name": f"i{index}", "type": word} for index, word in enumerate(words)]
    shown = await api.get_process(await api.process(inputs=inputs))
    assert [input_["type"] for input_ in shown["inputs"]] == words
    invalid: list[Any] = ["x" * 65, "", 5]
    for value in invalid:
        body = {"reference": "b", "name": "B", "inputs": [{"name": "x", "type": value}]}
        assert (await api.invalid("POST", "/process", body)).startswith("inputs[0].type: ")


async def test_proc_024_authorizes_profiles_of_a_new_process(api: Api) -> None:
    process = await api.process(profiles=[3, "occupant", {"id": 3, "name": "guest"}])
    names = [profile["name"] for profile in (await api.get_process(process))["profiles"]]
    assert sorted(names) == ["guest", "occupant"]
    body = {"reference": "b", "name": "B", "profiles": ["guest", {"name": "nobody"}]}
    message = await api.invalid("POST", "/process", body)
    assert message == "profiles[1]: there is no such profile"


async def test_proc_025_ignores_unknown_keys_and_null(api: Api) -> None:
    process = await api.process(
        unknown="red",
        espace=None,
        mode=None,
        inputs=None,
        sources=[say(enable=None, position=3)],
    )
    shown = await api.get_process(process)
    assert (shown["mode"], shown["espace"], shown["inputs"]) == ("simple", None, [])
    assert shown["actions"][0]["enable"] == 1
    body = {"reference": "b", "name": None}
    assert await api.invalid("POST", "/process", body) == "name: is required"


async def test_proc_026_rejects_an_unknown_source(api: Api) -> None:
    sources = [say(), say() | {"source": "nowhere"}, say() | {"source": {"id": UNKNOWN_ID}}]
    body = {"reference": "a", "name": "A", "sources": sources, "inputs": [{"name": "x"}]}
    assert await api.invalid("POST", "/process", body) == (
        'sources[1].source: there is no source "nowhere";'
        " sources[2].source: there is no such source"
    )
    process = await api.process()
    message = await api.invalid("POST", f"/process/{process}/actions", sources[1])
    assert message == 'source: there is no source "nowhere"'


async def test_proc_027_rejects_an_unknown_process_to_run(api: Api) -> None:
    sources = [run("nothing"), run({"id": UNKNOWN_ID}), say() | {"action": {"id": 1}}]
    body = {"reference": "a", "name": "A", "sources": sources}
    assert await api.invalid("POST", "/process", body) == (
        'sources[0].action: there is no process "nothing";'
        " sources[1].action: there is no such process;"
        ' sources[2].action: the source "echo" does not run processes'
    )


async def test_proc_028_rejects_a_cycle(api: Api) -> None:
    a = await api.process("a")
    await api.process("b", sources=[run("a")])
    await api.process("c", sources=[run("b")])
    message = await api.invalid("POST", f"/process/{a}/actions", run("c"))
    assert message == "a process must not run itself: a -> c -> b -> a"
    body = {"reference": "d", "name": "D", "sources": [say(), run("d")]}
    message = await api.invalid("POST", "/process", body)
    assert message == "sources[1]: a process must not run itself: d -> d"
