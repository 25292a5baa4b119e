"""``Process.version``, and ``ifVersion`` of mutations: nothing that changed meanwhile is lost."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from typing import Any

import pytest

from resolvers.errors.catalogue import MOST_LISTED
from resolvers.values.ids import read_id_of
from storage.database.database import Database
from tests.conftest import Gateway, running_gateway
from tests.reference.rows import select
from tests.reference.versions import version_of
from tests.resolvers.home import Home, arguments, calls, document, echo, nothing, problems

CHANGED = "the process has another version; it was changed meanwhile, so read it again"


async def version(home: Home, process: str, *, by: str = "admin") -> str:
    query = "query($id: ID!) { process(id: $id) { version } }"
    answer = await home.graph.data(query, {"id": process}, profile=by)
    text: str = answer["process"]["version"]
    return text


@pytest.fixture
async def lamp(home: Home) -> Any:
    """A process with all kinds of parts, which another one runs."""
    await home.do("createEspace", espace={"reference": "room", "name": "Room"})
    await home.do(
        "createSource", source={"name": "bulb", "kind": "lamp", "settings": {"address": "x"}}
    )
    await home.profile("cleaner", "PROCESS_READ")
    await home.process("off")
    process = await home.process(
        "lamp",
        espace={"reference": "room"},
        actions=[
            {"source": "bulb", "action": "on", "arguments": arguments(a="1", b="2")},
            calls("off"),
        ],
        inputs=[{"name": "Level", "type": "number"}, {"name": "Until", "type": "time"}],
        profiles=[{"name": "cleaner"}],
    )
    shown = await home.read(process)
    return {
        "process": process,
        "number": shown["databaseId"],
        "actions": [action["id"] for action in shown["actions"]],
        "inputs": [part["id"] for part in shown["inputs"]],
    }


# What changes a version --------------------------------------------------------------------------

# Statements of any client of PostgreSQL, and whether the whole view of the process changes.
STATEMENTS = [
    ("UPDATE process SET reference = 'lamp2' WHERE reference = 'lamp'", True),
    ("UPDATE process SET name = 'N' WHERE reference = 'lamp'", True),
    ("UPDATE process SET name_enable = 'N' WHERE reference = 'lamp'", True),
    ("UPDATE process SET name_disable = 'N' WHERE reference = 'lamp'", True),
    ("UPDATE process SET description = 'D' WHERE reference = 'lamp'", True),
    ("UPDATE process SET icon = 'i' WHERE reference = 'lamp'", True),
    ("UPDATE process SET mode = 'switch' WHERE reference = 'lamp'", True),
    ("UPDATE process SET enabled = NOT enabled WHERE reference = 'lamp'", True),
    ("UPDATE process SET espace_id = NULL WHERE reference = 'lamp'", True),
    ("UPDATE espace SET reference = 'R'", True),
    ("UPDATE espace SET name = 'R'", True),
    ("UPDATE espace SET description = 'R'", True),
    ("UPDATE espace SET icon = 'R'", True),
    ("UPDATE source SET name = 'torch' WHERE name = 'bulb'", True),
    ("UPDATE action SET action = 'up' WHERE action = 'on'", True),
    ("UPDATE action SET enabled = false WHERE action = 'on'", True),
    ("UPDATE action SET source_id = 2 WHERE action = 'on'", True),
    ("UPDATE action SET arguments = '[]' WHERE action = 'on'", True),
    ("UPDATE action SET position = 3 - position", True),
    ("UPDATE process SET reference = 'dark' WHERE reference = 'off'", True),
    ("DELETE FROM action WHERE action = 'on'", True),
    ("TRUNCATE action", True),
    ("UPDATE input SET name = 'N' WHERE reference = 'level'", True),
    ("UPDATE input SET reference = 'n' WHERE reference = 'level'", True),
    ("UPDATE input SET type = 'text' WHERE reference = 'level'", True),
    ("UPDATE input SET enabled = false WHERE reference = 'level'", True),
    ("UPDATE input SET position = 3 - position", True),
    ("DELETE FROM input WHERE reference = 'level'", True),
    ("DELETE FROM authorisation", True),
    ("INSERT INTO authorisation SELECT id, 1 FROM process WHERE reference = 'lamp'", True),
    ("UPDATE profile SET name = 'maid' WHERE name = 'cleaner'", True),
    ("DELETE FROM profile WHERE name = 'cleaner'", True),
    ("UPDATE process SET name = name", False),
    ("UPDATE process SET created_at = '2000-01-01', updated_at = '2000-01-01'", False),
    ("UPDATE process SET name = 'N' WHERE reference = 'off'", False),
    ("UPDATE action SET position = position + 1", False),
    ("UPDATE input SET position = position + 1", False),
    ("UPDATE source SET settings = '{}', kind = 'echo' WHERE name = 'bulb'", False),
    ("UPDATE profile SET permissions = '{}' WHERE name = 'cleaner'", False),
    ("INSERT INTO espace (reference, name) VALUES ('other', 'Other')", False),
]  # fmt: skip


@pytest.mark.parametrize(("statement", "changes"), STATEMENTS)
async def test_a_version_changes_with_the_whole_view(
    home: Home, lamp: Any, statement: str, changes: bool
) -> None:
    before = await version(home, lamp["process"])
    async with home.graph.database.transaction() as transaction:
        await transaction.script(statement)
    assert (await version(home, lamp["process"]) != before) is changes


async def test_a_process_that_is_changed_back_has_its_version_again(home: Home, lamp: Any) -> None:
    first = await version(home, lamp["process"])
    await home.do("updateProcess", id=lamp["process"], changes={"name": "Other"})
    assert await version(home, lamp["process"]) != first
    await home.do("updateProcess", id=lamp["process"], changes={"name": "The lamp"})
    assert await version(home, lamp["process"]) == first


async def test_texts_cannot_be_shifted_between_fields(home: Home) -> None:
    one = await home.process("one", name='a","', nameEnable="b")
    before = await version(home, one)
    for name, name_enable in (("a", '","b'), ('a","b', ""), ('a","', 'b"')):
        changes = {"name": name, "nameEnable": name_enable}
        await home.do("updateProcess", id=one, changes=changes)
        assert await version(home, one) != before


async def test_all_viewers_see_the_same_version(home: Home, lamp: Any) -> None:
    versions = {
        await version(home, lamp["process"], by=profile)
        for profile in ("admin", "occupant", "guest", "cleaner")
    }
    assert len(versions) == 1


async def test_the_reference_computes_the_same_version(home: Home, lamp: Any) -> None:
    rows = await select(home.graph.database)
    (process,) = (row for row in rows["process"] if row["reference"] == "lamp")
    assert await version(home, lamp["process"]) == version_of(process, rows)


# Mutations that name a version -------------------------------------------------------------------

Arguments = Callable[[Any], dict[str, Any]]
MUTATIONS: list[tuple[str, Arguments]] = [
    ("updateProcess", lambda lamp: {"id": lamp["process"], "changes": {"state": "ENABLED"}}),
    ("updateProcess", lambda lamp: {"id": lamp["process"], "changes": {}}),
    ("deleteProcess", lambda lamp: {"id": lamp["process"]}),
    ("addAction", lambda lamp: {"process": lamp["process"], "action": echo()}),
    ("updateAction", lambda lamp: {"id": lamp["actions"][0], "changes": {"action": "up"}}),
    ("moveAction", lambda lamp: {"id": lamp["actions"][0], "position": 2}),
    ("removeAction", lambda lamp: {"id": lamp["actions"][0]}),
    ("addInput", lambda lamp: {"process": lamp["process"], "input": {"name": "X", "type": "text"}}),
    ("updateInput", lambda lamp: {"id": lamp["inputs"][0], "changes": {"name": "X"}}),
    ("moveInput", lambda lamp: {"id": lamp["inputs"][0], "position": 2}),
    ("removeInput", lambda lamp: {"id": lamp["inputs"][0]}),
    ("removeInput", lambda lamp: {"ofProcess": lamp["process"], "reference": "level"}),
    ("authoriseProfile", lambda lamp: {"process": lamp["process"], "profile": {"name": "guest"}}),
    ("unauthoriseProfile", lambda lamp: {"process": lamp["process"]}),
]  # fmt: skip
each_mutation = pytest.mark.parametrize(
    ("mutation", "of"), MUTATIONS, ids=[mutation for mutation, _ in MUTATIONS]
)


@each_mutation
async def test_another_version_is_a_conflict_and_changes_nothing(
    home: Home, lamp: Any, mutation: str, of: Arguments
) -> None:
    read = await version(home, lamp["process"])
    await home.graph.run("UPDATE espace SET name = 'renamed meanwhile'")
    for stale in (read, "", "x", read.upper(), f'"{read}"', "\0", "é" * 100_000):
        error = await home.error(mutation, "CONFLICT", ifVersion=stale, **of(lamp))
        assert problems(error) == {("ifVersion",): CHANGED}
        assert error["message"] == CHANGED


@each_mutation
async def test_the_current_version_is_accepted(
    home: Home, lamp: Any, mutation: str, of: Arguments
) -> None:
    await home.do(mutation, ifVersion=await version(home, lamp["process"]), **of(lamp))


@each_mutation
async def test_a_null_version_is_any_version(
    home: Home, lamp: Any, mutation: str, of: Arguments
) -> None:
    await home.do(mutation, ifVersion=None, **of(lamp))


@each_mutation
async def test_what_does_not_exist_is_not_found_whatever_the_version(
    home: Home, lamp: Any, mutation: str, of: Arguments
) -> None:
    known = {lamp["process"]: "Process", **dict.fromkeys(lamp["actions"], "Action")}
    known |= dict.fromkeys(lamp["inputs"], "Input")
    of_none = {
        name: nothing(known[value]) if isinstance(value, str) and value in known else value
        for name, value in of(lamp).items()
    }
    await home.error(mutation, "NOT_FOUND", ifVersion="x", **of_none)


async def test_a_version_of_the_wrong_type_is_bad_input(home: Home, lamp: Any) -> None:
    query = """mutation($id: ID!, $v: String) {
        deleteProcess(id: $id, ifVersion: $v) { deletedId }
    }"""
    values: list[Any] = [5, True, ["x"], {}]
    for value in values:
        error = await home.graph.error(query, {"id": lamp["process"], "v": value})
        assert error["extensions"]["code"] == "BAD_USER_INPUT"
        assert error["extensions"]["problems"][0]["path"] == ["ifVersion"]


async def test_every_mutation_of_processes_and_parts_takes_a_version(home: Home) -> None:
    """Except those that have none to name: a new process, and an execution, which starts from the
    state that it finds."""
    schema = home.graph.services.operations.compiler.schema
    assert schema.mutation_type is not None
    conditional = {
        name for name, field in schema.mutation_type.fields.items() if "ifVersion" in field.args
    }
    assert conditional == {mutation for mutation, _ in MUTATIONS}


async def test_a_payload_shows_the_version_for_the_next_change(home: Home, lamp: Any) -> None:
    query = """mutation($id: ID!, $v: String) {
        updateProcess(id: $id, changes: {icon: "i"}, ifVersion: $v) { process { version } }
    }"""
    read = await version(home, lamp["process"])
    shown = await home.graph.data(query, {"id": lamp["process"], "v": read})
    assert shown["updateProcess"]["process"]["version"] == await version(home, lamp["process"])


# Bulk updates ------------------------------------------------------------------------------------


async def test_a_bulk_update_names_every_item_that_changed(home: Home) -> None:
    ids = [await home.process(f"p{number}") for number in range(3)]
    numbers = [read_id_of(id_, "Process") for id_ in ids]
    versions = [await version(home, id_) for id_ in ids]
    await home.do("updateProcess", id=ids[1], changes={"icon": "x"})
    changes = [
        {"databaseId": number, "name": "N", "ifVersion": text}
        for number, text in zip(numbers, versions, strict=True)
    ]
    error = await home.error("updateProcesses", "CONFLICT", changes=changes)
    assert problems(error) == {("changes", 1, "ifVersion"): CHANGED}
    # Items without a version are not checked.
    changes[1]["ifVersion"] = None
    assert await home.do("updateProcesses", changes=changes) == {"updatedCount": 3}
    error = await home.error("updateProcesses", "CONFLICT", changes=changes)
    assert list(problems(error)) == [("changes", 0, "ifVersion"), ("changes", 2, "ifVersion")]


async def test_existence_is_judged_before_the_versions_of_a_bulk_update(home: Home) -> None:
    known = read_id_of(await home.process("p"), "Process")
    missing = read_id_of(nothing("Process"), "Process")
    changes = [{"databaseId": number, "ifVersion": "x"} for number in (known, missing)]
    error = await home.error("updateProcesses", "BAD_USER_INPUT", changes=changes)
    assert list(problems(error)) == [("changes", 1, "databaseId")]


async def test_a_bulk_conflict_lists_20_items(home: Home) -> None:
    await home.graph.run(
        "INSERT INTO process (reference, name) SELECT 'p' || n, 'P' FROM generate_series(1, 100) n"
    )
    rows = await home.graph.run("SELECT id FROM process")
    changes = [{"databaseId": row["id"], "name": "N", "ifVersion": "x"} for row in rows]
    error = await home.error("updateProcesses", "CONFLICT", changes=changes)
    listed = error["extensions"]["problems"]
    assert len(listed) == MOST_LISTED + 1
    assert listed[-1] == {"path": [], "message": f"and {100 - MOST_LISTED} more"}


# Concurrent writers ------------------------------------------------------------------------------


async def test_of_writers_with_the_same_version_exactly_one_succeeds(
    database: Database, database_url: str
) -> None:
    """Two gateways, and eight writers that have all read the same version."""
    other = await Database.connect(database_url, pool_max=8)
    async with running_gateway(database) as one, running_gateway(other) as two:
        home = Home(one)
        process = await home.process("p", actions=[echo()], inputs=[{"name": "a", "type": "text"}])
        shown = await home.read(process)
        action, part = shown["actions"][0]["id"], shown["inputs"][0]["id"]
        number = shown["databaseId"]
        chance = random.Random(7)
        for round_ in range(25):
            read = await version(home, process)
            texts = [f"{round_} {writer}" for writer in range(8)]
            mutations: list[tuple[str, dict[str, Any]]] = [
                ("updateProcess", {"id": process, "changes": {"name": texts[0]}}),
                ("updateProcess", {"id": process, "changes": {"description": texts[1]}}),
                ("updateAction", {"id": action, "changes": {"action": texts[2]}}),
                ("updateInput", {"id": part, "changes": {"name": texts[3]}}),
                ("addAction", {"process": process, "action": echo(texts[4])}),
                ("addInput", {"process": process, "input": {"name": texts[5], "type": "text"}}),
            ]
            writers = [
                write(gateway, *mutation, read) for gateway in (one, two) for mutation in mutations
            ]
            changes = [{"databaseId": number, "icon": texts[6], "ifVersion": read}]
            writers.append(write(two, "updateProcesses", {"changes": changes}, None))
            chance.shuffle(writers)
            codes = await asyncio.gather(*writers)
            assert sorted(codes) == ["CONFLICT"] * (len(writers) - 1) + ["written"]
        deletions = [
            write(gateway, "deleteProcess", {"id": process}, await version(home, process))
            for gateway in (one, two)
        ]
        assert sorted(await asyncio.gather(*deletions)) == ["NOT_FOUND", "written"]
    await other.close()


async def write(
    gateway: Gateway, mutation: str, values: dict[str, Any], if_version: str | None
) -> str:
    """Send a mutation over HTTP; return the code of its error, or "written"."""
    if if_version is not None:
        values = {**values, "ifVersion": if_version}
    body = {"query": document(mutation, values), "variables": values}
    answer = (await gateway.call("POST", "/graphql", body)).json
    for error in answer.get("errors", ()):
        return str(error["extensions"]["code"])
    return "written"


async def test_a_part_that_is_written_meanwhile_by_another_client_is_waited_for(
    home: Home, lamp: Any
) -> None:
    """A client of PostgreSQL that does not lock the process, and commits after the mutation has
    begun."""
    read = await version(home, lamp["process"])
    async with home.graph.database.transaction() as transaction:
        await transaction.script("UPDATE action SET action = 'up' WHERE action = 'on'")
        arguments_ = {"id": lamp["actions"][0], "changes": {"action": "down"}}
        writing = asyncio.create_task(
            home.graph.error(
                document("updateAction", [*arguments_, "ifVersion"]),
                {**arguments_, "ifVersion": read},
            )
        )
        waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted"
        async with asyncio.timeout(5):
            while not (await home.graph.run(waiting))[0]["count"]:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
    assert (await writing)["extensions"]["code"] == "CONFLICT"
