"""Test mutations of processes: stored values, rejected values, and unchanged values."""

from __future__ import annotations

from typing import Any

import pytest

from tests.resolvers.home import UNKNOWN_ID, Home, arguments, calls, echo, nothing, problems

COMPLETE: dict[str, Any] = {
    "reference": " shutters ",
    "name": " Shutters é𝄞 ",
    "nameEnable": "Open",
    "nameDisable": "Close",
    "description": "Moves {what}.\nTwice.",
    "icon": "window",
    "mode": "SWITCH",
    "state": "ENABLED",
    "espace": {"reference": "living"},
    "profiles": [{"name": "occupant"}, {"databaseId": 3}],
    "actions": [
        echo("open", runsWhen="DISABLED", arguments=arguments(speed="{speed}", zone="1")),
        echo("close"),
    ],
    "inputs": [
        {"reference": "speed", "name": "Speed", "type": "integer", "askedWhen": "DISABLED"},
        {"name": "Température du salon", "type": "my own"},
        {"name": "温度"},
    ],
}


async def espace(home: Home, reference: str) -> str:
    created = await home.do("createEspace", espace={"reference": reference, "name": reference})
    id_: str = created["espace"]["id"]
    return id_


# Creating ----------------------------------------------------------------------------------------


async def test_a_process_is_created_with_its_parts(home: Home) -> None:
    await espace(home, "living")
    created = (await home.do("createProcess", process=COMPLETE))["process"]
    assert created == await home.read(created["id"])
    assert {name: created[name] for name in ("nameEnable", "nameDisable", "icon", "mode")} == {
        name: COMPLETE[name] for name in ("nameEnable", "nameDisable", "icon", "mode")
    }
    assert created["reference"] == "shutters"
    assert created["name"] == " Shutters é𝄞 "
    assert created["description"] == "Moves {what}.\nTwice."
    assert created["state"] == "ENABLED"
    assert created["espace"] == {"reference": "living"}
    assert [profile["name"] for profile in created["profiles"]] == ["occupant", "guest"]
    assert [(a["position"], a["action"], a["runsWhen"]) for a in created["actions"]] == [
        (1, "open", "DISABLED"),
        (2, "close", "ENABLED"),
    ]
    assert created["actions"][0]["arguments"] == arguments(speed="{speed}", zone="1")
    assert [
        (i["position"], i["reference"], i["type"], i["kind"], i["askedWhen"])
        for i in created["inputs"]
    ] == [
        (1, "speed", "integer", "INTEGER", "DISABLED"),
        (2, "temperature_du_salon", "my own", "TEXT", "ENABLED"),
        (3, "温度", "text", "TEXT", "ENABLED"),
    ]


async def test_null_and_omitted_fields_get_their_defaults(home: Home) -> None:
    await home.process("bare")
    nulls = dict.fromkeys(COMPLETE.keys() - {"reference", "name"})
    await home.process("nulls", **nulls)
    rows = await home.graph.run(
        "SELECT name_enable, name_disable, description, espace_id, icon, mode, enabled FROM process"
    )
    assert (
        rows
        == [
            {
                "name_enable": "",
                "name_disable": "",
                "description": "",
                "espace_id": None,
                "icon": "",
                "mode": "simple",
                "enabled": False,
            }
        ]
        * 2
    )


@pytest.mark.parametrize(
    ("change", "path", "message"),
    [
        ({"reference": "  "}, ("reference",), "must not be empty"),
        ({"name": ""}, ("name",), "must not be empty"),
        ({"name": "n" * 256}, ("name",), "expected at most 255 characters, got 256"),
        ({"icon": "i" * 256}, ("icon",), "expected at most 255 characters, got 256"),
        ({"description": "d" * 4001}, ("description",), "at most 4,000 characters, got 4,001"),
        ({"name": "a\0"}, ("name",), "must not contain the NUL character"),
        ({"nameEnable": "\ud800"}, ("nameEnable",), "must not contain a lone surrogate"),
        ({"espace": {"reference": "nowhere"}}, ("espace",), "there is no such espace"),
        ({"espace": {"databaseId": UNKNOWN_ID}}, ("espace",), "there is no such espace"),
        ({"espace": {"databaseId": 0}}, ("espace", "databaseId"), "a whole number from 1"),
        ({"espace": {"id": nothing("Profile")}}, ("espace", "id"), "the id of a Espace, got"),
        ({"espace": {"id": "x\0"}}, ("espace", "id"), "expected an id that this API gave out"),
        ({"profiles": [{"name": "admin"}, {"name": "?"}]}, ("profiles", 1), "no such profile"),
        ({"actions": [{"source": "?", "action": "a"}]}, ("actions", 0, "source"), 'no source "?"'),
        ({"actions": [calls("?")]}, ("actions", 0, "action"), 'there is no process "?"'),
        (
            {"actions": [echo(), echo(arguments=[{"reference": "", "value": "\0"}])]},
            ("actions", 1, "arguments", 0, "value"),
            "must not contain the NUL character",
        ),
        (
            {"actions": [echo(arguments=arguments(a="1") * 2)]},
            ("actions", 0),
            'the argument reference "a" is given twice',
        ),
        ({"actions": [echo()] * 1001}, ("actions",), "expected at most 1,000 items"),
        (
            {"inputs": [{"name": "A b"}, {"reference": "a_b", "name": "B"}]},
            (),
            'the input reference "a_b" is given twice',
        ),
        ({"inputs": [{"name": "t", "type": ""}]}, ("inputs", 0, "type"), "must not be empty"),
        ({"inputs": [{"name": "t", "type": "w" * 65}]}, ("inputs", 0, "type"), "at most 64"),
    ],
)
async def test_invalid_values_are_located(
    home: Home, change: dict[str, Any], path: tuple[str | int, ...], message: str
) -> None:
    new = {"reference": "new", "name": "New", **change}
    error = await home.error("createProcess", "BAD_USER_INPUT", process=new)
    assert message in problems(error)[("process", *path)]
    assert message in error["message"]


async def test_every_problem_is_listed(home: Home) -> None:
    new = {
        "reference": "",
        "name": "",
        "actions": [echo(""), echo(), {"source": "", "action": "a"}],
    }
    error = await home.error("createProcess", "BAD_USER_INPUT", process=new)
    assert set(problems(error)) == {
        ("process", "reference"),
        ("process", "name"),
        ("process", "actions", 0, "action"),
        ("process", "actions", 2, "source"),
    }


async def test_a_reference_is_unique(home: Home) -> None:
    await home.process("hall")
    error = await home.error(
        "createProcess", "CONFLICT", process=dict(COMPLETE, reference="hall", espace=None)
    )
    assert error["message"] == "a process with this reference exists already"
    other = await home.process("attic")
    await home.error("updateProcess", "CONFLICT", id=other, changes={"reference": "hall"})
    await home.do("updateProcess", id=other, changes={"reference": "attic"})


async def test_an_error_rolls_back_the_rows_before_it(home: Home) -> None:
    """The last action is invalid, after the process, inputs and authorizations were inserted."""
    new = dict(COMPLETE, espace=None, actions=[echo()] * 5 + [calls("nobody")])
    await home.error("createProcess", "BAD_USER_INPUT", process=new)


async def test_a_restricted_profile_sees_what_it_creates(home: Home) -> None:
    await home.profile("builder", "PROCESS_READ", "PROCESS_WRITE")
    hidden = await home.process("hidden")
    created = await home.do(
        "createProcess", by="builder", process={"reference": "own", "name": "O"}
    )
    own = created["process"]
    assert [profile["name"] for profile in own["profiles"]] == ["builder"]
    assert await home.read(own["id"], by="builder") == own
    assert await home.read(hidden, by="builder") is None
    await home.error(
        "updateProcess", "NOT_FOUND", by="builder", id=hidden, changes={"name": "Mine"}
    )
    error = await home.error(
        "createProcess",
        "BAD_USER_INPUT",
        by="builder",
        process={"reference": "b", "name": "B", "actions": [calls("hidden")]},
    )
    assert error["message"] == 'process.actions[0].action: there is no process "hidden"'
    # A profile with write but without read permission does not see what it wrote.
    await home.profile("scribe", "PROCESS_WRITE")
    await home.do("createProcess", by="scribe", process={"reference": "blind", "name": "Blind"})


# Changing ----------------------------------------------------------------------------------------


async def test_null_changes_only_the_espace(home: Home) -> None:
    await espace(home, "living")
    attic = await espace(home, "attic")
    before = (await home.do("createProcess", process=dict(COMPLETE, profiles=[])))["process"]
    id_ = before["id"]
    assert (await home.do("updateProcess", id=id_, changes={}))["process"] == before
    nulls = dict.fromkeys(
        ["reference", "name", "nameEnable", "nameDisable", "description", "icon", "mode", "state"]
    )
    assert (await home.do("updateProcess", id=id_, changes=nulls))["process"] == before
    cleared = (await home.do("updateProcess", id=id_, changes={"espace": None}))["process"]
    assert cleared == {**before, "espace": None}
    changes = {
        "reference": "blinds",
        "name": "Blinds",
        "nameEnable": "",
        "nameDisable": "",
        "description": "",
        "icon": "",
        "mode": "SIMPLE",
        "state": "DISABLED",
        "espace": {"id": attic},
    }
    after = (await home.do("updateProcess", id=id_, changes=changes))["process"]
    assert after == {**before, **changes, "espace": {"reference": "attic"}}


async def test_invalid_changes_are_rejected(home: Home) -> None:
    id_ = await home.process("hall")
    cases: list[tuple[dict[str, Any], tuple[str, ...]]] = [
        ({"name": ""}, ("name",)),
        ({"reference": "\t"}, ("reference",)),
        ({"description": "\0"}, ("description",)),
        ({"name": "fine", "espace": {"reference": "nowhere"}}, ("espace",)),
    ]
    for changes, path in cases:
        error = await home.error("updateProcess", "BAD_USER_INPUT", id=id_, changes=changes)
        assert set(problems(error)) == {("changes", *path)}


@pytest.mark.parametrize(
    "id_", ["", "1", "UHJvY2Vzczox\0", nothing("Espace"), "UHJvY2Vzczo5OTk5OTk5OTk5"]
)
async def test_an_invalid_process_id_is_bad_input(home: Home, id_: str) -> None:
    mutations: dict[str, dict[str, Any]] = {"updateProcess": {"changes": {}}, "deleteProcess": {}}
    for mutation, more in mutations.items():
        error = await home.error(mutation, "BAD_USER_INPUT", id=id_, **more)
        assert set(problems(error)) == {("id",)}


async def test_an_unknown_process_id_is_not_found(home: Home) -> None:
    id_ = nothing("Process")
    error = await home.error("updateProcess", "NOT_FOUND", id=id_, changes={"name": "x"})
    assert error["message"] == "there is no such process"
    await home.error("updateProcess", "NOT_FOUND", id=id_, changes={})
    await home.error("deleteProcess", "NOT_FOUND", id=id_)


async def test_callers_follow_a_rename(home: Home) -> None:
    lamp = await home.process("lamp")
    caller = await home.process("evening", actions=[calls("lamp"), calls("lamp"), echo("lamp")])
    await home.do("updateProcess", id=lamp, changes={"reference": "light"})
    assert [action["action"] for action in (await home.read(caller))["actions"]] == [
        "light",
        "light",
        "lamp",
    ]
    executed = await home.do("executeProcess", id=caller)
    assert executed["execution"]["status"] == "SUCCEEDED"


# Deleting ----------------------------------------------------------------------------------------


async def test_a_process_is_deleted_with_its_parts(home: Home) -> None:
    await espace(home, "living")
    other = await home.process("kept", actions=[echo()], inputs=[{"name": "n"}])
    before = await home.dump()
    id_ = (await home.do("createProcess", process=COMPLETE))["process"]["id"]
    assert await home.do("deleteProcess", id=id_) == {"deletedId": id_}
    assert await home.dump() == before
    assert (await home.read(other))["actions"]
    await home.error("deleteProcess", "NOT_FOUND", id=id_)


async def test_a_process_that_others_run_cannot_be_deleted(home: Home) -> None:
    called = await home.process("called")
    caller = await home.process("one", actions=[calls("called"), calls("called")])
    await home.process("two", actions=[calls("called")])
    error = await home.error("deleteProcess", "CONFLICT", id=called)
    assert error["message"] == 'the process is still run by "one", "two"'
    await home.profile("builder", "PROCESS_READ", "PROCESS_WRITE")
    await home.do("authoriseProfile", process=called, profile={"name": "builder"})
    error = await home.error("deleteProcess", "CONFLICT", by="builder", id=called)
    assert error["message"] == "the process is still run by other processes"
    await home.do("authoriseProfile", process=caller, profile={"name": "builder"})
    error = await home.error("deleteProcess", "CONFLICT", by="builder", id=called)
    assert error["message"] == 'the process is still run by "one"'
    await home.do("deleteProcess", id=caller)


# Authorizations ----------------------------------------------------------------------------------


async def test_authorizing_and_unauthorizing_are_idempotent(home: Home) -> None:
    id_ = await home.process("hall")
    for key in ({"name": "guest"}, {"databaseId": 3}, {"name": "occupant"}):
        process = (await home.do("authoriseProfile", process=id_, profile=key))["process"]
    assert [profile["name"] for profile in process["profiles"]] == ["occupant", "guest"]
    for _ in range(2):
        process = (await home.do("unauthoriseProfile", process=id_, profile={"name": "guest"}))[
            "process"
        ]
        assert [profile["name"] for profile in process["profiles"]] == ["occupant"]
    await home.do("authoriseProfile", process=id_, profile={"name": "guest"})
    for _ in range(2):
        process = (await home.do("unauthoriseProfile", process=id_))["process"]
        assert process["profiles"] == []


async def test_unknown_profiles_and_processes_are_rejected(home: Home) -> None:
    id_ = await home.process("hall")
    for mutation in ("authoriseProfile", "unauthoriseProfile"):
        error = await home.error(mutation, "BAD_USER_INPUT", process=id_, profile={"name": "?"})
        assert problems(error) == {("profile",): "there is no such profile"}
        await home.error(mutation, "BAD_USER_INPUT", process=id_, profile={"name": "\0"})
        await home.error(
            mutation, "NOT_FOUND", process=nothing("Process"), profile={"name": "guest"}
        )
        error = await home.error(mutation, "BAD_USER_INPUT", process="?", profile={"name": "guest"})
        assert set(problems(error)) == {("process",)}
