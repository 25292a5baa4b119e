"""Test what viewers see: hidden processes, permissions, and sources."""

from __future__ import annotations

from typing import Any

import pytest

from tests.conftest import Graph


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


async def test_a_restricted_viewer_sees_executions_of_visible_processes(home: Graph) -> None:
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
