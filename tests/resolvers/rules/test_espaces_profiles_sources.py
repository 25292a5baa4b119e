"""Test mutations of espaces, profiles, and sources."""

from __future__ import annotations

from typing import Any

from resolvers.values.ids import global_id
from tests.resolvers.home import Home, echo, nothing, problems

SECRET = "hunter2-and-more"


def lamp(**settings: Any) -> dict[str, Any]:
    return {"name": "hall lamp", "kind": "lamp", "settings": {"address": "a1", **settings}}


# Espaces -----------------------------------------------------------------------------------------


async def test_an_espace_is_created_updated_and_deleted(home: Home) -> None:
    new = {"reference": " living ", "name": " Living room ", "description": "D", "icon": "sofa"}
    created = (await home.do("createEspace", espace=new))["espace"]
    id_ = created["id"]
    expected = {**new, "reference": "living", "id": id_, "databaseId": created["databaseId"]}
    assert created == expected
    for nothing_new in ({}, dict.fromkeys(new)):
        assert (await home.do("updateEspace", id=id_, changes=nothing_new))["espace"] == expected
    changes = {"reference": "lounge", "name": "L", "description": "", "icon": ""}
    changed = (await home.do("updateEspace", id=id_, changes=changes))["espace"]
    assert changed == {**expected, **changes}
    process = await home.process("hall", espace={"databaseId": created["databaseId"]})
    error = await home.error("deleteEspace", "CONFLICT", id=id_)
    assert error["message"] == "the espace still has processes"
    await home.do("updateProcess", id=process, changes={"espace": None})
    assert await home.do("deleteEspace", id=id_) == {"deletedId": id_}
    await home.error("deleteEspace", "NOT_FOUND", id=id_)


async def test_invalid_espaces_are_rejected(home: Home) -> None:
    created = await home.do("createEspace", espace={"reference": "living", "name": "L"})
    await home.do("createEspace", espace={"reference": "attic", "name": "L"})
    id_ = created["espace"]["id"]
    taken = {"reference": "attic", "name": "A"}
    error = await home.error("createEspace", "CONFLICT", espace=taken)
    assert error["message"] == "an espace with this reference exists already"
    await home.error("updateEspace", "CONFLICT", id=id_, changes=taken)
    invalid = {"reference": "", "name": "n" * 256, "description": "d" * 4001, "icon": "\0"}
    error = await home.error("createEspace", "BAD_USER_INPUT", espace=invalid)
    assert set(problems(error)) == {("espace", name) for name in invalid}
    error = await home.error("updateEspace", "BAD_USER_INPUT", id=id_, changes=invalid)
    assert set(problems(error)) == {("changes", name) for name in invalid}
    gone = nothing("Espace")
    error = await home.error("updateEspace", "NOT_FOUND", id=gone, changes={"name": "x"})
    assert error["message"] == "there is no such espace"
    await home.error("updateEspace", "NOT_FOUND", id=gone, changes={})
    error = await home.error("deleteEspace", "BAD_USER_INPUT", id=nothing("Process"))
    assert set(problems(error)) == {("id",)}


# Profiles ----------------------------------------------------------------------------------------


async def test_a_profile_is_created_updated_and_deleted(home: Home) -> None:
    created = (await home.do("createProfile", profile={"name": "cleaner"}))["profile"]
    id_ = created["id"]
    assert created["permissions"] == ["PROCESS_READ", "PROCESS_EXECUTE"]
    assert created["seesAll"] is False
    for nothing_new in ({}, {"name": None, "permissions": None}):
        changed = (await home.do("updateProfile", id=id_, changes=nothing_new))["profile"]
        assert changed == created
    changes = {"name": "boss", "permissions": ["ADMIN", "PROCESS_READ", "ADMIN"]}
    changed = (await home.do("updateProfile", id=id_, changes=changes))["profile"]
    assert changed == {
        **created,
        "name": "boss",
        "permissions": ["PROCESS_READ", "ADMIN"],
        "seesAll": True,
    }
    changed = (await home.do("updateProfile", id=id_, changes={"permissions": []}))["profile"]
    assert changed["permissions"] == []
    process = await home.process("hall", profiles=[{"name": "boss"}])
    assert await home.do("deleteProfile", id=id_) == {"deletedId": id_}
    assert (await home.read(process))["profiles"] == []


async def test_invalid_profiles_are_rejected(home: Home) -> None:
    id_ = await home.profile("cleaner")
    error = await home.error("createProfile", "CONFLICT", profile={"name": "guest"})
    assert error["message"] == "a profile with this name exists already"
    await home.error("updateProfile", "CONFLICT", id=id_, changes={"name": "guest"})
    error = await home.error("createProfile", "BAD_USER_INPUT", profile={"name": ""})
    assert set(problems(error)) == {("profile", "name")}
    error = await home.error("updateProfile", "BAD_USER_INPUT", id=id_, changes={"name": "\0"})
    assert set(problems(error)) == {("changes", "name")}
    gone = nothing("Profile")
    error = await home.error("updateProfile", "NOT_FOUND", id=gone, changes={})
    assert error["message"] == "there is no such profile"
    await home.error("deleteProfile", "NOT_FOUND", id=gone)


async def test_built_in_profiles_cannot_be_changed(home: Home) -> None:
    for database_id, name in enumerate(("admin", "occupant", "guest"), start=1):
        id_ = global_id("Profile", database_id)
        error = await home.error("updateProfile", "CONFLICT", id=id_, changes={"name": "x"})
        assert error["message"] == f"the profile {name} is built in and cannot be changed"
        await home.error("updateProfile", "CONFLICT", id=id_, changes={})
        error = await home.error("deleteProfile", "CONFLICT", id=id_)


# Sources -----------------------------------------------------------------------------------------


async def test_a_source_is_created_updated_and_deleted(home: Home) -> None:
    created = (await home.do("createSource", source=lamp(brightness=50)))["source"]
    id_ = created["id"]
    assert created == {
        "id": id_,
        "databaseId": created["databaseId"],
        "name": "hall lamp",
        "kind": "lamp",
        "settings": {"address": "a1", "brightness": 50},
        "secretSettings": [],
        "builtIn": False,
    }
    for nothing_new in ({}, {"name": None, "settings": None}):
        assert (await home.do("updateSource", id=id_, changes=nothing_new))["source"] == created
    changes = {"name": "lamp", "settings": {"address": "a2"}}
    changed = (await home.do("updateSource", id=id_, changes=changes))["source"]
    assert changed == {**created, **changes}
    action = {"source": "lamp", "action": "on"}
    process = await home.process("hall", actions=[action])
    error = await home.error("deleteSource", "CONFLICT", id=id_)
    assert error["message"] == "the source is still acted on by processes"
    executed = (await home.do("executeProcess", id=process))["execution"]
    assert executed["steps"][0]["result"] == {"at": "a2", "knows": 0}
    await home.do("deleteProcess", id=process)
    assert await home.do("deleteSource", id=id_) == {"deletedId": id_}
    await home.error("deleteSource", "NOT_FOUND", id=id_)


async def test_a_secret_is_used_but_never_returned(home: Home) -> None:
    answers = [await home.do("createSource", source=lamp(password=SECRET))]
    id_ = answers[0]["source"]["id"]
    process = await home.process("hall", actions=[{"source": "hall lamp", "action": "on"}])

    async def known() -> int:
        """Return the length of the secret that the source receives."""
        executed = await home.do("executeProcess", id=process)
        answers.append(executed)
        length: int = executed["execution"]["steps"][0]["result"]["knows"]
        return length

    assert answers[0]["source"]["settings"] == {"address": "a1"}
    assert answers[0]["source"]["secretSettings"] == ["password"]
    assert await known() == len(SECRET)
    # An omitted secret is kept; null removes it.
    settings = {"address": "a2"}
    answers.append(await home.do("updateSource", id=id_, changes={"settings": settings}))
    assert await known() == len(SECRET)
    invalid = {"address": None, "password": SECRET}
    error = await home.error(
        "updateSource", "BAD_USER_INPUT", id=id_, changes={"settings": invalid}
    )
    answers.append(error)
    answers.append(
        await home.do("updateSource", id=id_, changes={"settings": {**settings, "password": None}})
    )
    assert answers[-1]["source"]["secretSettings"] == []
    assert await known() == 0
    everything = "{ sources { nodes { id name kind settings secretSettings } } }"
    answers.append(await home.graph.ask(everything))
    assert SECRET not in str(answers)
    before, _ = SECRET.split("-", 1)
    error = await home.error(
        "updateSource",
        "BAD_USER_INPUT",
        id=id_,
        changes={"settings": {"address": "a", "password": [before]}},
    )
    assert before not in str(error)


async def test_invalid_sources_are_rejected(home: Home) -> None:
    error = await home.error("createSource", "BAD_USER_INPUT", source={"name": "x", "kind": "?"})
    assert problems(error) == {
        ("source", "kind"): 'expected one of the kinds echo, http, lamp, mqtt, trouble, got "?"'
    }
    await home.error("createSource", "BAD_USER_INPUT", source={"name": "x", "kind": "process"})
    cases: list[tuple[dict[str, Any], str, str]] = [
        ({"address": None}, "address", "is required"),
        ({"address": 5}, "address", "expected text, got 5"),
        ({"brightness": "bright"}, "brightness", 'expected an integer, got "bright"'),
        ({"address": "a\0"}, "address", "must not contain the NUL character"),
        ({"password": 12345}, "password", "does not fit"),
    ]
    for settings, name, message in cases:
        error = await home.error("createSource", "BAD_USER_INPUT", source=lamp(**settings))
        assert message in problems(error)["source", "settings", name]
    for beyond in ({"brightness": 10**30}, {"address": "\ud800"}):
        await home.error("createSource", "BAD_USER_INPUT", source=lamp(**beyond))
    echo_with = {"name": "x", "kind": "echo", "settings": {"volume": 1}}
    error = await home.error("createSource", "BAD_USER_INPUT", source=echo_with)
    assert problems(error) == {("source", "settings", "volume"): "is not a known field"}
    created = await home.do("createSource", source=lamp())
    id_ = created["source"]["id"]
    error = await home.error("createSource", "CONFLICT", source=lamp())
    assert error["message"] == "a source with this name exists already"
    await home.error("updateSource", "CONFLICT", id=id_, changes={"name": "echo"})
    changes: dict[str, Any] = {"settings": {"brightness": 1}}
    error = await home.error("updateSource", "BAD_USER_INPUT", id=id_, changes=changes)
    assert problems(error) == {("changes", "settings", "address"): "is required"}
    await home.error("updateSource", "NOT_FOUND", id=nothing("Source"), changes={})
    await home.error("deleteSource", "NOT_FOUND", id=nothing("Source"))


async def test_built_in_sources_cannot_be_changed(home: Home) -> None:
    for database_id, name in enumerate(("process", "echo"), start=1):
        id_ = global_id("Source", database_id)
        error = await home.error("updateSource", "CONFLICT", id=id_, changes={"name": "x"})
        assert error["message"] == f"the source {name} is built in and cannot be changed"
        await home.error("deleteSource", "CONFLICT", id=id_)


async def test_only_admins_can_write_sources(home: Home) -> None:
    created = await home.do("createSource", source=lamp(password=SECRET))
    id_ = created["source"]["id"]
    await home.profile("builder", "PROCESS_READ", "PROCESS_WRITE", "PROCESS_EXECUTE")
    await home.error("createSource", "FORBIDDEN", by="builder", source=lamp())
    await home.error("updateSource", "FORBIDDEN", by="builder", id=id_, changes={})
    await home.error("deleteSource", "FORBIDDEN", by="builder", id=id_)
    # A source can be used by name without permission to read it.
    process = {
        "reference": "p",
        "name": "P",
        "actions": [{"source": "hall lamp", "action": "on"}, echo()],
    }
    written = await home.do("createProcess", by="builder", process=process)
    assert [action["sourceName"] for action in written["process"]["actions"]] == [
        "hall lamp",
        "echo",
    ]
