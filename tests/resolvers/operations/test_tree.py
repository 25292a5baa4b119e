"""Test trees: the fields and relations of each type."""

from __future__ import annotations

import pytest

from tests.conftest import Graph, body_of
from tests.resolvers.operations.home import ASTRAL, PROCESSES

# The tree of a process ---------------------------------------------------------------------------


PROCESS = """query ($reference: String!) { process(reference: $reference) {
    __typename id databaseId reference name nameEnable nameDisable displayName description icon
    mode state
    espace { __typename id databaseId reference name description icon }
    actions {
        __typename id databaseId position sourceName source { name } action runsWhen
        arguments { __typename reference value } process { reference } subprocess { reference }
    }
    inputs {
        __typename id databaseId position reference name type kind askedWhen process { reference }
    }
    profiles { __typename id databaseId name permissions seesAll }
    subprocesses { reference } usedBy { reference }
} }"""


async def test_a_process_is_returned_with_its_parts(home: Graph) -> None:
    process = (await home.data(PROCESS, {"reference": "leave"}))["process"]
    assert {key: value for key, value in process.items() if not isinstance(value, list)} == {
        "__typename": "Process",
        "id": "UHJvY2Vzczox",
        "databaseId": 1,
        "reference": "leave",
        "name": "Leave home",
        "nameEnable": "",
        "nameDisable": "",
        "displayName": "Leave home",
        "description": "All off, then lock.",
        "icon": "",
        "mode": "SIMPLE",
        "state": "DISABLED",
        "espace": {
            "__typename": "Espace",
            "id": "RXNwYWNlOjE=",
            "databaseId": 1,
            "reference": "light",
            "name": "Light",
            "description": "",
            "icon": "lamp",
        },
    }
    assert [action["action"] for action in process["actions"]] == [
        "lights-off",
        "lock",
        "lights-off",
        "arm",
    ]
    assert process["actions"][1] == {
        "__typename": "Action",
        "id": "QWN0aW9uOjIw",
        "databaseId": 20,
        "position": 2,
        "sourceName": "process",
        "source": {"name": "process"},
        "action": "lock",
        "runsWhen": "DISABLED",
        "arguments": [{"__typename": "Argument", "reference": "0", "value": f"{{input}} {ASTRAL}"}],
        "process": {"reference": "leave"},
        "subprocess": {"reference": "lock"},
    }
    assert process["actions"][3]["subprocess"] is None
    assert [
        (each["position"], each["reference"], each["type"], each["kind"], each["askedWhen"])
        for each in process["inputs"]
    ] == [(1, "b", "Farbe", "TEXT", "ENABLED"), (2, "a", "number", "NUMBER", "ENABLED")]
    assert process["profiles"] == [
        {
            "__typename": "Profile",
            "id": "UHJvZmlsZToy",
            "databaseId": 2,
            "name": "occupant",
            "permissions": ["PROCESS_READ", "PROCESS_EXECUTE"],
            "seesAll": True,
        },
        {
            "__typename": "Profile",
            "id": "UHJvZmlsZTo0",
            "databaseId": 4,
            "name": "cleaner",
            "permissions": ["PROCESS_READ", "PROCESS_EXECUTE"],
            "seesAll": False,
        },
        {
            "__typename": "Profile",
            "id": "UHJvZmlsZTo1",
            "databaseId": 5,
            "name": "clerk",
            "permissions": ["PROCESS_WRITE"],
            "seesAll": False,
        },
    ]
    # Subprocesses without duplicates, in order of the first call. Callers by id.
    assert process["subprocesses"] == [{"reference": "lights-off"}, {"reference": "lock"}]
    assert process["usedBy"] == [{"reference": "zoo"}]
    isolated = (await home.data(PROCESS, {"reference": "astral"}))["process"]
    assert isolated["espace"] is None
    assert isolated["name"] == ASTRAL
    for key in ("actions", "inputs", "profiles", "subprocesses", "usedBy"):
        assert isolated[key] == []


@pytest.mark.parametrize(
    ("reference", "display_name"),
    [
        ("leave", "Leave home"),
        ("wide", "\uff21larm"),  # simple processes ignore the names of the states
        ("lock", "Unlock"),  # enabled
        ("zoo", "Start"),  # disabled
        ("zoo2", "Same"),  # disabled, without a name for this state
    ],
)
async def test_the_display_name_depends_on_mode_and_state(
    home: Graph, reference: str, display_name: str
) -> None:
    data = await home.data('{ process(reference: "%s") { displayName } }' % reference)
    assert data["process"]["displayName"] == display_name


async def test_trees_can_be_followed_in_both_directions(home: Graph) -> None:
    down = "reference"
    for _ in range(6):
        down = f"reference subprocesses {{ {down} }} actions {{ subprocess {{ reference }} }}"
    data = await home.data('{ process(reference: "zoo") { %s } }' % down)
    node, path = data["process"], []
    while node is not None:
        path.append(node["reference"])
        node = next(iter(node.get("subprocesses", ())), None)
    assert path == ["zoo", "leave", "lights-off", "Zoo"]
    data = await home.data(
        """{ process(reference: "Zoo") { usedBy { reference usedBy { reference usedBy {
            reference usedBy { reference }
        } } } } }"""
    )
    top = {"reference": "leave", "usedBy": [{"reference": "zoo", "usedBy": []}]}
    assert data["process"]["usedBy"] == [
        {"reference": "lights-off", "usedBy": [top]},
        {"reference": "lock", "usedBy": [top]},
    ]


async def test_strings_are_returned_as_stored(home: Graph) -> None:
    data = await home.data("{ processes { nodes { databaseId name description icon } } }")
    for node, row in zip(data["processes"]["nodes"], PROCESSES, strict=True):
        assert node == {
            "databaseId": row["id"],
            "name": row["name"],
            "description": row.get("description", ""),
            "icon": row.get("icon", ""),
        }


async def test_sources_are_returned_without_secrets(home: Graph) -> None:
    query = """{ sources { nodes {
        name kind settings secretSettings builtIn processes { nodes { reference } }
    } } }"""
    response = await home.answer(query)
    assert b"hunter2" not in body_of(response)
    assert b"opensesame" not in body_of(response)
    data = await home.data(query)
    assert data["sources"]["nodes"][0]["builtIn"] is True
    assert [node["reference"] for node in data["sources"]["nodes"][0]["processes"]["nodes"]] == [
        "leave",
        "lights-off",
        "lock",
        "zoo",
    ]
    assert data["sources"]["nodes"][3] == {
        "name": "siren",
        "kind": "mqtt",
        "settings": {"qos": 1, "deep": [None, {"a": 1.5}]},
        "secretSettings": ["password", "key"],
        "builtIn": False,
        "processes": {"nodes": [{"reference": "leave"}]},
    }


# Executions --------------------------------------------------------------------------------------


async def test_an_execution_is_returned_with_its_steps(home: Graph) -> None:
    data = await home.data(
        """{ execution(databaseId: 1) {
            process { reference } processReference processName status state error askedBy nested
            inputs { reference value } startedAt finishedAt parentStep { id }
            steps {
                position sourceName action arguments { reference value } status result error
                subprocess { reference } subexecution { databaseId askedBy parentStep { position } }
                execution { databaseId } startedAt finishedAt
            }
        } }"""
    )
    steps = data["execution"].pop("steps")
    assert data["execution"] == {
        "process": {"reference": "leave"},
        "processReference": "leave",
        "processName": "Leave home",
        "status": "FAILED",
        "state": "DISABLED",
        "error": "no",
        "askedBy": "occupant",
        "nested": False,
        "inputs": [{"reference": "a", "value": "1"}],
        "startedAt": "2024-02-29T10:00:00.000001Z",
        "finishedAt": "2024-02-29T10:00:01.000000Z",
        "parentStep": None,
    }
    assert steps[1] == {
        "position": 2,
        "sourceName": "process",
        "action": "lock",
        "arguments": [{"reference": "a", "value": "1"}],
        "status": "FAILED",
        "result": None,
        "error": "jammed",
        "subprocess": {"reference": "lock"},
        "subexecution": {"databaseId": 3, "askedBy": "occupant", "parentStep": {"position": 2}},
        "execution": {"databaseId": 1},
        "startedAt": "2024-02-29T10:00:00.000000Z",
        "finishedAt": "2024-02-29T10:00:01.000000Z",
    }
    assert steps[2]["result"] == [1, 2.5, None, {"\U0001f514": "\u0001"}]
    assert steps[2]["subprocess"] is steps[2]["subexecution"] is None


async def test_executions_are_sorted_newest_first(home: Graph) -> None:
    data = await home.data(
        """{ executions { nodes { databaseId process { id } processReference finishedAt } }
             up: executions(orderBy: {field: DATABASE_ID}, first: 1) { nodes { databaseId } }
             process(databaseId: 2) { executions { nodes { databaseId } totalCount } } }"""
    )
    nodes = data["executions"]["nodes"]
    assert [node["databaseId"] for node in nodes] == [7, 6, 5, 4, 3, 2, 1]
    # A running execution of a deleted process.
    assert nodes[1]["process"] is nodes[1]["finishedAt"] is None
    assert nodes[1]["processReference"] == "deleted"
    assert data["up"]["nodes"] == [{"databaseId": 1}]
    assert [node["databaseId"] for node in data["process"]["executions"]["nodes"]] == [4, 2]
