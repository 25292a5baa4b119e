"""Test trees: the fields and relations of each type, forms of selections, and visibility."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.services import open_services
from tests.conftest import Graph, body_of, settings_for_tests
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


async def test_the_tree_of_a_process(home: Graph) -> None:
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
async def test_display_names(home: Graph, reference: str, display_name: str) -> None:
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


async def test_sources_without_their_secrets(home: Graph) -> None:
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


async def test_the_tree_of_an_execution(home: Graph) -> None:
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


# Forms of a selection ----------------------------------------------------------------------------


async def test_aliases(home: Graph) -> None:
    data = await home.data(
        """{ a: process(databaseId: 1) { x: name y: name name: reference }
             b: process(databaseId: 1) { list: actions { a: action } one: espace { n: name } }
             c: processes(first: 1) { all: totalCount page: pageInfo { more: hasNextPage }
                 e: edges { n: node { r: reference } } } }"""
    )
    assert data == {
        "a": {"x": "Leave home", "y": "Leave home", "name": "leave"},
        "b": {
            "list": [{"a": "lights-off"}, {"a": "lock"}, {"a": "lights-off"}, {"a": "arm"}],
            "one": {"n": "Light"},
        },
        "c": {"all": 12, "page": {"more": True}, "e": [{"n": {"r": "leave"}}]},
    }


async def test_selections_of_the_same_key_are_merged(home: Graph) -> None:
    answer = await home.answer(
        """query ($yes: Boolean!) {
            process(databaseId: 1) { name espace { name } ...A }
            ...R
            process(databaseId: 1) { espace { icon } actions { action } }
        }
        fragment R on Query { process(databaseId: 1) { espace { reference } ...A reference } }
        fragment A on Process {
            actions @include(if: $yes) { position }
            ... { mode }
            ... on Process { espace { databaseId } }
            ... on Node { id }
        }""",
        {"yes": True},
    )
    # Keys are in the order of their first occurrence.
    assert body_of(answer) == (
        b'{"data":{"process":{"name":"Leave home",'
        b'"espace":{"name":"Light","databaseId":1,"reference":"light","icon":"lamp"},'
        b'"actions":[{"position":1,"action":"lights-off"},{"position":2,"action":"lock"},'
        b'{"position":3,"action":"lights-off"},{"position":4,"action":"arm"}],'
        b'"mode":"SIMPLE","id":"UHJvY2Vzczox","reference":"leave"}}}'
    )


@pytest.mark.parametrize("skip", [True, False])
@pytest.mark.parametrize("include", [True, False])
async def test_skip_and_include(home: Graph, skip: bool, include: bool) -> None:
    data = await home.data(
        """query ($skip: Boolean!, $include: Boolean = true) {
            process(databaseId: 1) @skip(if: $skip) { name @include(if: $include) id: databaseId }
            espace(databaseId: 1) {
                both: name @skip(if: $skip) @include(if: $include)
                ...F @include(if: $include)
                ... @skip(if: $skip) { icon }
                never: name @skip(if: true)
                always: reference @include(if: true)
            }
        }
        fragment F on Espace { name }""",
        {"skip": skip, "include": include},
    )
    process = {**({"name": "Leave home"} if include else {}), "id": 1}
    espace = {
        **({"both": "Light"} if include and not skip else {}),
        **({"name": "Light"} if include else {}),
        **({} if skip else {"icon": "lamp"}),
        "always": "light",
    }
    assert data == {**({} if skip else {"process": process}), "espace": espace}


async def test_selections_that_are_skipped_completely(home: Graph) -> None:
    data = await home.data(
        """query ($no: Boolean!) {
            process(databaseId: 1) { name @include(if: $no) actions { id @include(if: $no) }
                espace { name @include(if: $no) } }
            processes(first: 2) { nodes { id @include(if: $no) } edges { cursor @include(if: $no) }
                pageInfo { hasNextPage @include(if: $no) } }
            espaces { totalCount @include(if: $no) }
            viewer @include(if: $no) { seesAll }
        }""",
        {"no": False},
    )
    assert data == {
        "process": {"actions": [{}, {}, {}, {}], "espace": {}},
        "processes": {"nodes": [{}, {}], "edges": [{}, {}], "pageInfo": {}},
        "espaces": {},
    }
    assert (
        await home.data(
            "query ($no: Boolean!) { viewer @include(if: $no) { seesAll } }", {"no": False}
        )
        == {}
    )


async def test_typename_everywhere(home: Graph) -> None:
    data = await home.data(
        """{ __typename t: __typename
            viewer { __typename profile { __typename } }
            processes(first: 1) { __typename edges { __typename node { __typename } }
                pageInfo { __typename } nodes { __typename executions { __typename } } }
            executions(last: 1) { nodes { steps { __typename arguments { __typename } }
                inputs { __typename } } }
        }"""
    )
    assert data == {
        "__typename": "Query",
        "t": "Query",
        "viewer": {"__typename": "Viewer", "profile": {"__typename": "Profile"}},
        "processes": {
            "__typename": "ProcessConnection",
            "edges": [{"__typename": "ProcessEdge", "node": {"__typename": "Process"}}],
            "pageInfo": {"__typename": "PageInfo"},
            "nodes": [
                {"__typename": "Process", "executions": {"__typename": "ExecutionConnection"}}
            ],
        },
        "executions": {
            "nodes": [
                {
                    "steps": [
                        {
                            "__typename": "ExecutionStep",
                            "arguments": [{"__typename": "Argument"}],
                        }
                    ]
                    * 3,
                    "inputs": [{"__typename": "Argument"}],
                }
            ]
        },
    }


@pytest.mark.parametrize("length", [63, 64, 200])
async def test_keys_longer_than_postgresql_names(home: Graph, length: int) -> None:
    # The keys share their first 63 characters, where PostgreSQL truncates names.
    a, b = "k" * (length - 1) + "a", "k" * (length - 1) + "b"
    data = await home.data(
        f"""{{ {a}: process(databaseId: 1) {{ {a}: name {b}: reference }}
            {b}: processes(first: 1) {{ {a}: nodes {{ {a}: id {b}: espace {{ {a}: name }} }}
                {b}: totalCount {a}{a}: edges {{ {a}: cursor }} x: pageInfo {{ {a}: hasNextPage }}
            }} }}"""
    )
    assert data[a] == {a: "Leave home", b: "leave"}
    assert data[b][a] == [{a: "UHJvY2Vzczox", b: {a: "Light"}}]
    assert data[b][b] == 12
    assert data[b]["x"] == {a: True}


async def test_thousands_of_fields(home: Graph) -> None:
    fields = " ".join(f"f{n}: name g{n}: databaseId" for n in range(1000))
    async with open_services(
        settings_for_tests(max_query_tokens=100_000), home.database
    ) as services:
        graph = Graph(services)
        data = await graph.data(
            "{ process(databaseId: 1) { %s actions { a: action } } processes { nodes { %s } } }"
            % (fields, fields)
        )
    expected = {"f0": "Leave home", "g999": 1}
    for process in (data["process"], data["processes"]["nodes"][0]):
        assert {key: process[key] for key in expected} == expected
        assert len(process) >= 2000


# Visibility --------------------------------------------------------------------------------------


async def test_a_restricted_viewer_sees_no_other_processes(home: Graph) -> None:
    query = """{
        processes(orderBy: {field: NAME}) { nodes { reference subprocesses { reference }
            usedBy { reference } actions { action sourceName source { name }
                subprocess { reference } process { reference } } } totalCount
            pageInfo { hasNextPage } }
        espaces { nodes { reference processes { nodes { reference } totalCount } } }
        profiles { nodes { name processes { nodes { reference } totalCount } } }
        hidden: process(reference: "lock") { id }
        hiddenToo: process(databaseId: 4) { id }
        visible: process(reference: "leave") { id }
    }"""
    data = await home.data(query, profile="cleaner")
    assert data["hidden"] is data["hiddenToo"] is None
    assert data["visible"] is not None
    assert data["processes"]["totalCount"] == 5
    nodes = {node["reference"]: node for node in data["processes"]["nodes"]}
    assert list(nodes) == ["percent", "leave", "lights-off", "zoo", "umlaut"]
    assert nodes["leave"]["subprocesses"] == [{"reference": "lights-off"}]
    assert nodes["lights-off"]["usedBy"] == [{"reference": "leave"}]
    # An action that runs a hidden process shows only its reference.
    assert nodes["leave"]["actions"][1] == {
        "action": "lock",
        "sourceName": "process",
        "source": None,
        "subprocess": None,
        "process": {"reference": "leave"},
    }
    counts = {node["reference"]: node["processes"] for node in data["espaces"]["nodes"]}
    assert counts["light"]["totalCount"] == len(counts["light"]["nodes"]) == 3
    assert counts["security"] == {"nodes": [{"reference": "percent"}], "totalCount": 1}
    counts = {node["name"]: node["processes"] for node in data["profiles"]["nodes"]}
    assert counts["cleaner"]["totalCount"] == 5
    assert counts["occupant"] == {"nodes": [{"reference": "leave"}], "totalCount": 1}


async def test_executions_that_a_restricted_viewer_sees(home: Graph) -> None:
    data = await home.data(
        """{ executions { nodes { databaseId process { reference } parentStep { databaseId }
            steps { databaseId action result error subprocess { reference }
                subexecution { databaseId } } } totalCount } }""",
        profile="cleaner",
    )
    # Executions of authorized processes, and own executions of deleted processes.
    executions = {node["databaseId"]: node for node in data["executions"]["nodes"]}
    assert list(executions) == [5, 4, 2, 1]
    assert data["executions"]["totalCount"] == 4
    assert executions[5]["process"] is None
    assert executions[2]["parentStep"] == {"databaseId": 1}
    steps = executions[1]["steps"]
    assert steps[0]["result"] == {"execution": 2}
    assert steps[0]["subexecution"] == {"databaseId": 2}
    # A step that ran a hidden process shows only its reference.
    assert steps[1] == {
        "databaseId": 2,
        "action": "lock",
        "result": None,
        "error": None,
        "subprocess": None,
        "subexecution": None,
    }
    assert steps[2]["result"] is not None
    assert [step["result"] for step in executions[4]["steps"]] == ["off", None]


FORBIDDEN = ["processes", "process(databaseId: 1)", "executions", "execution(databaseId: 1)"]


@pytest.mark.parametrize("field", [*FORBIDDEN, "sources", "source(databaseId: 1)"])
@pytest.mark.parametrize("profile", ["clerk", "cleaner", "guest", "janitor"])
async def test_root_fields_require_permissions(home: Graph, field: str, profile: str) -> None:
    query = "{ field: %s { __typename } ok: __typename }" % field
    response = await home.ask(query, profile=profile)
    allowed = profile == "janitor" or (profile in ("cleaner", "guest") and "ource" not in field)
    if allowed:
        assert "errors" not in response
        return
    (error,) = response["errors"]
    assert error["extensions"]["code"] == "FORBIDDEN"
    assert error["path"] == ["field"]
    assert response["data"] == {"field": None, "ok": "Query"}


async def test_permission_is_checked_before_arguments(home: Graph) -> None:
    cases: list[tuple[str, dict[str, Any]]] = [
        ("{ processes(first: 101) { totalCount } }", {}),
        ("query ($n: Int) { processes(first: $n) { totalCount } }", {"n": 101}),
        ("query ($n: Int) { processes(first: $n) { totalCount } }", {"n": "x"}),
    ]
    for query, variables in cases:
        error = await home.error(query, variables, profile="clerk")
        assert error["extensions"]["code"] == "FORBIDDEN"


async def test_arguments_of_hidden_objects_are_checked(home: Graph) -> None:
    """Shape is checked before existence: all viewers get the same error for an invalid argument."""
    query = """query ($n: Int) { node(id: "UHJvY2Vzczox") {
        ... on Process { actions { source { processes(first: $n) { totalCount } } } }
        ... on Source { processes(first: $n) { totalCount } }
    } }"""
    literal = query.replace("query ($n: Int)", "").replace("$n", "101")
    for profile in ("admin", "cleaner", "clerk"):
        expected = await home.error(literal, profile=profile)
        actual = await home.error(query, {"n": 101}, profile=profile)
        for error in (expected, actual):
            del error["locations"]
        assert actual == expected


async def test_without_read_permission_no_processes_are_visible(home: Graph) -> None:
    data: Any = await home.data(
        """{ viewer { seesAll permissions profile { name processes { totalCount } } }
            espaces { nodes { processes { nodes { id } totalCount } } }
            espace(databaseId: 1) { processes { edges { cursor } pageInfo { hasNextPage } } }
            profile(name: "cleaner") { processes { totalCount } } }""",
        profile="clerk",
    )
    assert data["viewer"] == {
        "seesAll": False,
        "permissions": ["PROCESS_WRITE"],
        "profile": {"name": "clerk", "processes": {"totalCount": 0}},
    }
    for espace in data["espaces"]["nodes"]:
        assert espace["processes"] == {"nodes": [], "totalCount": 0}
    assert data["espace"]["processes"] == {"edges": [], "pageInfo": {"hasNextPage": False}}
    assert data["profile"]["processes"]["totalCount"] == 0


async def test_only_admins_see_sources(home: Graph) -> None:
    query = (
        "{ process(databaseId: 1) { actions { source { settings secretSettings } sourceName } } }"
    )
    for profile in ("occupant", "guest", "cleaner"):
        data = await home.data(query, profile=profile)
        assert [action["source"] for action in data["process"]["actions"]] == [None] * 4
    data = await home.data(query, profile="janitor")
    assert data["process"]["actions"][3]["source"] == {
        "settings": {"qos": 1, "deep": [None, {"a": 1.5}]},
        "secretSettings": ["password", "key"],
    }
