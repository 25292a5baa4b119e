"""Test the routes of the /process dialect (docs/process-audits.md, PROC-001 to PROC-052)."""

from __future__ import annotations

import json
from typing import Any

from resolvers.errors.catalogue import ErrorKind
from tests.conftest import Gateway
from tests.rest_compat.api import NOBODY, Api, run, say

# Reading ---------------------------------------------------------------------------------------


async def test_proc_001_lists_espaces(api: Api) -> None:
    assert await api.ok("GET", "/espaces") == []
    second = await api.espace("night", description="After dark", icon="moon")
    first = await api.espace("light", "Lumière")
    assert await api.ok("GET", "/espaces") == [
        {
            "id": second,
            "reference": "night",
            "name": "Night",
            "description": "After dark",
            "icon": "moon",
        },
        {"id": first, "reference": "light", "name": "Lumière", "description": "", "icon": ""},
    ]


async def test_proc_002_lists_processes(api: Api) -> None:
    assert await api.ok("GET", "/process") == []
    ids = [await api.process(f"p{number:03}", sources=[say()]) for number in range(120)]
    listed = await api.ok("GET", "/process")
    assert [process["id"] for process in listed] == ids
    assert listed[7] == await api.get_process(ids[7])


async def test_proc_003_shows_a_complete_process(api: Api) -> None:
    espace = await api.espace("light", "Lumière", description="Lamps", icon="bulb")
    process = await api.process(
        "lamp",
        name="Lamp",
        nameEnable="Lamp off",
        nameDisable="Lamp on",
        description="The one in the hall",
        espace=espace,
        icon="lamp",
        mode="switch",
        enable=1,
        sources=[say("{level}", enable=0)],
        inputs=[{"name": "Level", "type": "number", "enable": 0}],
        profiles=["guest"],
    )
    shown = await api.get_process(process)
    (action,), (input_,) = shown["actions"], shown["inputs"]
    assert shown == {
        "id": process,
        "reference": "lamp",
        "name": "Lamp",
        "nameEnable": "Lamp off",
        "nameDisable": "Lamp on",
        "description": "The one in the hall",
        "espace": {
            "id": espace,
            "reference": "light",
            "name": "Lumière",
            "description": "Lamps",
            "icon": "bulb",
        },
        "icon": "lamp",
        "mode": "switch",
        "enable": 1,
        "actions": [
            {
                "id": action["id"],
                "source": "echo",
                "action": "say",
                "enable": 0,
                "arguments": [{"reference": "text", "value": "{level}"}],
            }
        ],
        "inputs": [
            {
                "id": input_["id"],
                "reference": "level",
                "name": "Level",
                "type": "number",
                "enable": 0,
            }
        ],
        "profiles": [{"id": 3, "name": "guest"}],
    }


async def test_proc_004_returns_states_as_numbers(api: Api) -> None:
    process = await api.process(mode="switch", enable=True, sources=[say(enable=False)])
    body = (await api.call("GET", f"/process/{process}")).body
    assert body.count(b'"enable":1') == 1
    assert body.count(b'"enable":0') == 1
    assert b'"mode":"switch"' in body
    assert b"true" not in body
    assert body.startswith(b'{"error":false,')


async def test_proc_005_reads_with_one_statement(gateway: Gateway) -> None:
    api, database, token = Api(gateway), gateway.database, await gateway.token()
    first = await api.process("p", sources=[say()] * 3, inputs=[{"name": "x"}])
    counts = set()
    for reference in "abc":
        for path in ("/espaces", "/process", f"/process/{first}"):
            before = database.statements
            await api.ok("GET", path, token=token)
            counts.add(database.statements - before)
        for number in range(9):
            await api.process(f"{reference}{number}", sources=[say(), run("p")])
    assert counts == {1}


# Creating --------------------------------------------------------------------------------------


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
        (NOBODY, "there is no such espace"),
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
    invalid: list[Any] = [2, -1, 1.0, "2", "true", "", [], {}]
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
    assert only["reference"] == ("log" * 85)
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
    sources = [say(), say() | {"source": "nowhere"}, say() | {"source": {"id": NOBODY}}]
    body = {"reference": "a", "name": "A", "sources": sources, "inputs": [{"name": "x"}]}
    assert await api.invalid("POST", "/process", body) == (
        'sources[1].source: there is no source "nowhere";'
        " sources[2].source: there is no such source"
    )
    process = await api.process()
    message = await api.invalid("POST", f"/process/{process}/actions", sources[1])
    assert message == 'source: there is no source "nowhere"'


async def test_proc_027_rejects_an_unknown_process_to_run(api: Api) -> None:
    sources = [run("nothing"), run({"id": NOBODY}), say() | {"action": {"id": 1}}]
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


# Deleting and changing -------------------------------------------------------------------------


async def test_proc_029_deletes_a_process_with_its_parts(api: Api) -> None:
    process = await api.process(sources=[say()], inputs=[{"name": "x"}], profiles=["guest"])
    await api.ok("POST", f"/process/{process}/execute", {"inputs": ["y"]})
    assert await api.ok("DELETE", f"/process/{process}") is None
    await api.not_found("GET", f"/process/{process}")
    await api.not_found("DELETE", f"/process/{process}")
    rows = await api.all_rows()
    assert [len(rows[table]) for table in ("action", "input", "authorisation")] == [0, 0, 0]
    assert len(rows["execution"]) == 1


async def test_proc_030_adds_an_action_at_the_end(api: Api) -> None:
    process = await api.process(sources=[say("first")])
    added = await api.ok("POST", f"/process/{process}/actions", say("last", enable=0))
    shown = await api.get_process(process)
    assert added == {"id": shown["actions"][1]["id"]}
    assert shown["actions"][1]["arguments"] == [{"reference": "text", "value": "last"}]
    assert shown["actions"][1]["enable"] == 0


async def test_proc_031_requires_source_and_action(api: Api) -> None:
    process = await api.process()
    message = await api.invalid("POST", f"/process/{process}/actions", {"enable": 1})
    assert message == "source: is required; action: is required"
    message = await api.invalid("POST", f"/process/{process}/actions", {"source": {}, "action": ""})
    assert "source: expected the name of a source" in message
    assert "action: must not be empty" in message


async def test_proc_032_deletes_an_action_of_the_process(api: Api) -> None:
    process = await api.process("a", sources=[say("1"), say("2")])
    other = await api.process("b")
    first, second = (await api.get_process(process))["actions"]
    await api.not_found("DELETE", f"/process/{other}/actions/{first['id']}")
    assert await api.ok("DELETE", f"/process/{process}/actions/{first['id']}") is None
    assert (await api.get_process(process))["actions"] == [second]
    await api.not_found("DELETE", f"/process/{process}/actions/{first['id']}")


async def test_proc_033_adds_an_input(api: Api) -> None:
    process = await api.process(inputs=[{"name": "First"}])
    body = {"name": "Last one", "type": "number", "enable": 0}
    added = await api.ok("POST", f"/process/{process}/inputs", body)
    last = {"id": added["id"], "reference": "last_one", **body}
    assert (await api.get_process(process))["inputs"][1] == last
    assert added.keys() == {"id"}
    assert await api.invalid("POST", f"/process/{process}/inputs", {}) == "name: is required"


async def test_proc_034_rejects_a_taken_input_reference(api: Api) -> None:
    process = await api.process(inputs=[{"name": "Level"}])
    message = await api.error(
        ErrorKind.CONFLICT, "POST", f"/process/{process}/inputs", {"name": "level"}
    )
    assert "input with this reference" in message
    assert len((await api.get_process(process))["inputs"]) == 1


async def test_proc_035_deletes_an_input_by_id_or_reference(api: Api) -> None:
    process = await api.process(inputs=[{"name": "a"}, {"name": "b/ c", "reference": "b/ c"}])
    first = (await api.get_process(process))["inputs"][0]["id"]
    assert await api.ok("DELETE", f"/process/{process}/inputs/{first}") is None
    assert await api.ok("DELETE", f"/process/{process}/inputs/b%2F%20c") is None
    assert (await api.get_process(process))["inputs"] == []
    await api.not_found("DELETE", f"/process/{process}/inputs/{first}")
    await api.not_found("DELETE", f"/process/{process}/inputs/b")


async def test_proc_036_ignores_the_body_when_deleting_an_input(api: Api) -> None:
    process = await api.process()
    for body in (b"{", b"null", b"\xff", b'{"name": 5, "enable": "x"}'):
        await api.ok("POST", f"/process/{process}/inputs", {"name": "x"})
        await api.ok("DELETE", f"/process/{process}/inputs/x", body)
        assert (await api.get_process(process))["inputs"] == []


async def test_proc_037_prefers_the_id_of_an_input(api: Api) -> None:
    process = await api.process(inputs=[{"name": "a"}])
    taken = (await api.get_process(process))["inputs"][0]["id"]
    for reference in (str(taken), "12345", "99999999999"):
        await api.ok("POST", f"/process/{process}/inputs", {"name": "n", "reference": reference})
    await api.ok("DELETE", f"/process/{process}/inputs/{taken}")
    remaining = [input_["reference"] for input_ in (await api.get_process(process))["inputs"]]
    assert remaining == [str(taken), "12345", "99999999999"]
    for reference in remaining:
        await api.ok("DELETE", f"/process/{process}/inputs/{reference}")
    assert (await api.get_process(process))["inputs"] == []


async def test_proc_038_keeps_the_inputs_of_other_processes(api: Api) -> None:
    process = await api.process("a", inputs=[{"name": "x"}])
    other = await api.process("b")
    input_ = (await api.get_process(process))["inputs"][0]
    await api.not_found("DELETE", f"/process/{other}/inputs/{input_['id']}")
    await api.not_found("DELETE", f"/process/{other}/inputs/x")


# Executing -------------------------------------------------------------------------------------


async def test_proc_039_returns_the_execution(api: Api) -> None:
    await api.process("sub", sources=[say("inside")])
    process = await api.process("a", sources=[say("one"), run("sub")])
    executed = await api.ok("POST", f"/process/{process}/execute", {"inputs": []})
    nested = executed["results"][1]["result"].pop("execution")
    assert isinstance(nested, int)
    assert executed == {
        "id": executed["id"],
        "status": "succeeded",
        "enable": 0,
        "results": [
            {"source": "echo", "action": "say", "status": "succeeded", "result": {"text": "one"}},
            {
                "source": "process",
                "action": "sub",
                "status": "succeeded",
                "result": {"results": [{"text": "inside"}]},
            },
        ],
    }


async def test_proc_040_flips_a_switch(api: Api) -> None:
    process = await api.process(
        mode="switch", sources=[say("on", enable=0), say("off", enable=1), say("bright", enable=0)]
    )
    runs = [await api.ok("POST", f"/process/{process}/execute") for _ in range(3)]
    texts = [[result["result"]["text"] for result in ran["results"]] for ran in runs]
    assert texts == [["on", "bright"], ["off"], ["on", "bright"]]
    assert [ran["enable"] for ran in runs] == [1, 0, 1]
    assert (await api.get_process(process))["enable"] == 1


async def test_proc_041_runs_all_actions_of_a_simple_process(api: Api) -> None:
    process = await api.process(sources=[say("1", enable=0), say("2", enable=1)])
    ran = await api.ok("POST", f"/process/{process}/execute")
    assert [result["result"]["text"] for result in ran["results"]] == ["1", "2"]
    assert ran["enable"] == (await api.get_process(process))["enable"] == 0


async def test_proc_042_accepts_inputs_in_every_form(api: Api) -> None:
    inputs = [{"name": "Who"}, {"name": "n", "type": "number"}]
    process = await api.process(sources=[say("{who} {n} {x}")], inputs=inputs)
    forms: list[Any] = [
        [{"reference": "who", "value": "you"}, {"reference": "n", "value": 3}],
        [{"name": "n", "value": "3"}, {"name": "who", "value": "you"}],
        ["you", 3],
        {"who": "you", "n": 3},
        {"who": "you", "n": "3"},
    ]
    for form in forms:
        ran = await api.ok("POST", f"/process/{process}/execute", {"inputs": form})
        assert ran["results"][0]["result"] == {"text": "you 3 {x}"}, form


async def test_proc_043_assigns_bare_values_by_the_state(api: Api) -> None:
    process = await api.process(
        mode="switch",
        sources=[say("{b} {c}", enable=0)],
        inputs=[{"name": "a"}, {"name": "b", "enable": 0}, {"name": "c", "enable": 0}],
    )
    ran = await api.ok("POST", f"/process/{process}/execute", {"inputs": ["1", True]})
    assert ran["results"][0]["result"] == {"text": "1 true"}
    message = await api.invalid("POST", f"/process/{process}/execute", {"inputs": ["1", "2"]})
    assert message == "inputs[1]: expected at most 1 values, got 2"


async def test_proc_044_needs_no_body_without_inputs(api: Api) -> None:
    process = await api.process(sources=[say()])
    bodies: list[Any] = [None, {}, {"inputs": None}, {"inputs": []}, {"inputs": {}}]
    for body in bodies:
        assert (await api.ok("POST", f"/process/{process}/execute", body))["status"] == "succeeded"


async def test_proc_045_rejects_invalid_inputs_before_running(api: Api) -> None:
    process = await api.process(
        sources=[say("{who}")], inputs=[{"name": "Who"}, {"name": "n", "type": "number"}]
    )
    cases: list[tuple[Any, str]] = [
        (None, "inputs.who: is missing; inputs.n: is missing"),
        ({"who": "x"}, "inputs.n: is missing"),
        ({"who": None, "n": 1}, "inputs.who: is missing"),
        (["x"], "inputs.n: is missing"),
        ({"who": "x", "n": 1, "z": 2}, "inputs.z: the process has no such input"),
        ({"who": "x", "n": "many"}, 'inputs.n: expected a number such as 21.5, got "many"'),
        (["x", "many"], 'inputs.n: expected a number such as 21.5, got "many"'),
        (
            [{"name": name, "value": "1"} for name in ("who", "n", "who")],
            "inputs.who: is given twice",
        ),
        ([{"reference": "who"}], "inputs[0].value: is required"),
        ([{"value": 1}], "inputs[0].reference: is required"),
        ([{"reference": "who", "value": []}], "inputs[0].value: expected text, got a list"),
        ({"who": {}}, "inputs.who: expected text, got an object"),
        (["x", {}], "inputs[1]: expected text, got an object"),
        (5, "inputs: expected a list, got 5"),
        ("who", 'inputs: expected a list, got "who"'),
    ]
    for inputs, message in cases:
        path = f"/process/{process}/execute"
        assert message in await api.invalid("POST", path, {"inputs": inputs})


async def test_proc_046_checks_inputs_by_their_types(api: Api) -> None:
    values: dict[str, tuple[list[Any], list[Any]]] = {
        "number": (["21.5", "-3", 4, 1e3], ["x", "", True]),
        "integer": (["7", 7], ["7.5", 7.5]),
        "boolean": ([True, "false", 1, "0"], ["yes", 2]),
        "choice": (["a word"], [""]),
        "time": (["07:30", "23:59:59"], ["24:00", "7:30"]),
        "color": (["#ff8800"], ["red", "#ff88"]),
        "text": (["", "x", 5], []),
        "weekday": (["", "monday", False], []),
    }
    for word, (valid, invalid) in values.items():
        process = await api.process(word, inputs=[{"name": "x", "type": word}])
        path = f"/process/{process}/execute"
        for value in valid:
            await api.ok("POST", path, {"inputs": {"x": value}})
        for value in invalid:
            message = await api.invalid("POST", path, {"inputs": {"x": value}})
            assert message.startswith("inputs.x: expected ")


async def test_proc_047_names_the_failed_action(api: Api) -> None:
    await api.process("sub", inputs=[{"name": "who"}])
    process = await api.process("a", mode="switch", enable=1, sources=[say(), run("sub"), say()])
    message = await api.error(
        ErrorKind.EXECUTION_FAILED, "POST", f"/process/{process}/execute", {"inputs": []}
    )
    assert 'the execution of "a" failed: action 2 ("process") failed' in message
    assert "who" in message
    assert (await api.get_process(process))["enable"] == 1
    (recorded,) = (await api.all_rows())["execution"]
    assert recorded["status"] == "failed"


# Profiles --------------------------------------------------------------------------------------


async def test_proc_048_authorizes_a_profile_in_every_form(api: Api) -> None:
    forms: list[Any] = [3, "3", "guest", {"id": 3}, {"id": "3"}, {"name": "guest"}]
    for index, form in enumerate(forms):
        process = await api.process(f"p{index}")
        for _ in range(2):
            body = {"idProfile": form}
            assert await api.ok("POST", f"/process/{process}/profiles", body) is None
        assert (await api.get_process(process))["profiles"] == [{"id": 3, "name": "guest"}]


async def test_proc_049_rejects_an_unknown_profile(api: Api) -> None:
    process = await api.process()
    cases: list[tuple[Any, str]] = [
        ({}, "idProfile: is required"),
        ({"idProfile": None}, "idProfile: is required"),
        ({"idProfile": NOBODY}, "idProfile: there is no such profile"),
        ({"idProfile": "nobody"}, "idProfile: there is no such profile"),
        ({"idProfile": 0}, "idProfile: expected an id from 1 to 2147483647, got 0"),
        ({"idProfile": [3]}, "idProfile: expected the id or the name of a profile"),
    ]
    for body, message in cases:
        assert message in await api.invalid("POST", f"/process/{process}/profiles", body)


async def test_proc_050_unauthorizes_one_profile(api: Api) -> None:
    requests: list[tuple[str, Any]] = [
        ("", {"idProfile": "3"}),
        ("?idProfile=3", None),
        ("/3", None),
        ("/guest", None),
        ("?idProfile=guest", None),
    ]
    for index, (suffix, body) in enumerate(requests):
        process = await api.process(f"p{index}", profiles=["guest", "occupant"])
        for _ in range(2):
            assert await api.ok("DELETE", f"/process/{process}/profiles{suffix}", body) is None
        assert (await api.get_process(process))["profiles"] == [{"id": 2, "name": "occupant"}]


async def test_proc_051_unauthorizes_all_profiles(api: Api) -> None:
    other = await api.process(profiles=["guest"])
    for reference, body in (("a", None), ("b", {})):
        process = await api.process(reference, profiles=["guest", "occupant"])
        assert await api.ok("DELETE", f"/process/{process}/profiles", body) is None
        assert (await api.get_process(process))["profiles"] == []
    assert len((await api.get_process(other))["profiles"]) == 1


async def test_proc_052_rejects_an_invalid_profile_instead_of_removing_all(api: Api) -> None:
    process = await api.process(profiles=["guest"])
    path = f"/process/{process}/profiles"
    for body in (b"null", b"[]", b"{", {"idProfile": 0}, {"idProfile": "nobody"}):
        await api.invalid("DELETE", path, body)
    for query in ("idProfile=", "idProfile=0", "idProfile=nobody", f"idProfile={NOBODY}"):
        assert (await api.invalid("DELETE", f"{path}?{query}")).startswith("idProfile: ")
    message = await api.invalid("DELETE", f"{path}?idProfile=3", {"idProfile": 3})
    assert message == "idProfile: is given twice, in the query and in the body"
    for segment in ("0", str(NOBODY), "nobody", "99999999999"):
        await api.not_found("DELETE", f"{path}/{segment}")
