"""Test how the records of executions are read: trees, attempts, doubts, and 64-bit IDs."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from resolvers.values.ids import global_id
from tests.conftest import Graph
from tests.reference.rows import insert
from tests.resolvers.operations.conftest import graph_on_copy
from tests.resolvers.operations.records import (
    DEEP,
    FIRST_STEP,
    HIDDEN,
    NESTED,
    OTHER,
    ROOT,
    TREE,
)


@pytest.fixture(scope="module")
async def records(postgres: str, template: str) -> AsyncIterator[Graph]:
    """Open the pipeline on a tree of executions. Read-only."""
    async with graph_on_copy(postgres, template) as graph:
        await insert(graph.database, TREE)
        yield graph


async def read(graph: Graph, execution: int, selected: str, profile: str = "admin") -> Any:
    """Return what is selected of an execution."""
    query = f"query($id: Int!) {{ execution(databaseId: $id) {{ {selected} }} }}"
    return (await graph.data(query, {"id": execution}, profile=profile))["execution"]


# Trees -------------------------------------------------------------------------------------------

RESULT = {
    "execution": NESTED,
    "results": ["on", None],
}


async def test_the_result_of_a_process_is_joined_from_its_steps(records: Graph) -> None:
    for profile in ("admin", "cleaner"):
        shown = await read(records, ROOT, "steps { result error errorCode }", profile)
        hidden = profile == "cleaner"
        assert shown["steps"] == [
            {"result": RESULT, "error": None, "errorCode": None},
            {"result": {"said": None}, "error": None, "errorCode": None},
            {
                "result": None,
                "error": None if hidden else "secret",
                "errorCode": None if hidden else "PROCESS_FAILED",
            },
        ]
    deep = await read(records, HIDDEN, "steps { result }")
    assert deep["steps"][0]["result"] == {"execution": DEEP, "results": ["deep", None]}


async def test_a_nested_execution_shows_values_of_its_root(records: Graph) -> None:
    selected = "sequence takeovers deadline cancelRequestedAt trigger root { databaseId }"
    root = await read(records, ROOT, selected)
    assert root == {
        "sequence": 17,
        "takeovers": 2,
        "deadline": "2026-01-01T10:01:00.000000Z",
        "cancelRequestedAt": "2026-01-01T10:00:08.000000Z",
        "trigger": "REQUEST",
        "root": None,
    }
    nested = await read(records, DEEP, selected)
    assert nested == {**root, "trigger": "PROCESS", "root": {"databaseId": ROOT}}


async def test_a_root_that_the_viewer_cannot_see_is_null(records: Graph) -> None:
    # The lamp that the vault ran is visible. The vault is not.
    selected = "root { databaseId } parentStep { databaseId } nested sequence"
    assert await read(records, DEEP, selected, "cleaner") == {
        "root": {"databaseId": ROOT},
        "parentStep": None,
        "nested": True,
        "sequence": 17,
    }


async def test_a_replay_names_what_it_repeats(records: Graph) -> None:
    selected = "replayOf { databaseId } trigger dryRun requestedAt"
    other = await read(records, OTHER, selected)
    assert (other["replayOf"], other["trigger"]) == ({"databaseId": ROOT}, "REPLAY")
    assert other["dryRun"] is True
    root = await read(records, ROOT, selected)
    assert (root["replayOf"], root["dryRun"]) == (None, False)
    assert root["requestedAt"] == "2026-01-01T09:59:59.000000Z"


# Doubts and failures -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("execution", "profile", "in_doubt"),
    [
        (ROOT, "admin", [6, 8, 2**40]),
        # The steps of the vault are hidden. The lamp that it runs is not.
        (ROOT, "cleaner", [8, 2**40]),
        (NESTED, "cleaner", [2**40]),
        (HIDDEN, "admin", [6, 8]),
        (DEEP, "admin", [8]),
        (OTHER, "admin", []),
    ],
)
async def test_the_steps_in_doubt_are_those_of_all_that_is_nested(
    records: Graph, execution: int, profile: str, in_doubt: list[int]
) -> None:
    shown = await read(records, execution, "inDoubt inDoubtSteps { databaseId inDoubt }", profile)
    assert shown["inDoubtSteps"] == [{"databaseId": id_, "inDoubt": True} for id_ in in_doubt]
    assert shown["inDoubt"] is bool(in_doubt)


async def test_failed_steps_are_counted(records: Graph) -> None:
    counts = {
        execution: (await read(records, execution, "failedSteps"))["failedSteps"]
        for execution in (ROOT, NESTED, DEEP)
    }
    assert counts == {ROOT: 1, NESTED: 1, DEEP: 0}


# Attempts ----------------------------------------------------------------------------------------

_FIRST = {
    "startedAt": "2026-01-01T10:00:00.000001Z",
    "finishedAt": "2026-01-01T10:00:00.500000Z",
    "error": "no answer",
    "errorCode": "SOURCE_FAILED",
    "inDoubt": False,
}


async def test_attempts_are_listed_in_order(records: Graph) -> None:
    attempts = "attempt attempts { startedAt finishedAt error errorCode inDoubt } retryAt"
    _, step = (await read(records, NESTED, f"steps {{ {attempts} }}"))["steps"]
    second = {
        "startedAt": "2026-01-01T10:00:01.000000Z",
        "finishedAt": "2026-01-01T10:00:02.000000Z",
        "error": "lost",
        "errorCode": "TIMED_OUT",
        "inDoubt": True,
    }
    assert step == {"attempt": 2, "attempts": [_FIRST, second], "retryAt": None}


async def test_the_attempts_of_a_step_that_has_not_ended(records: Graph) -> None:
    steps = "status attempts { finishedAt __typename } retryAt"
    skipped, waiting, running = (await read(records, OTHER, f"steps {{ {steps} }}"))["steps"]
    assert (skipped["status"], skipped["attempts"]) == ("SKIPPED", [])
    assert (waiting["status"], waiting["retryAt"]) == ("WAITING", "2026-01-01T10:00:03.000000Z")
    first = {"finishedAt": _FIRST["finishedAt"], "__typename": "StepAttempt"}
    assert waiting["attempts"] == [first]
    assert running["attempts"] == [first, {**first, "finishedAt": None}]


# IDs of 64 bits ----------------------------------------------------------------------------------


@pytest.mark.parametrize("id_", [FIRST_STEP, 2**40, 2])
async def test_a_step_is_found_by_an_id_of_64_bits(records: Graph, id_: int) -> None:
    opaque = global_id("ExecutionStep", id_)
    selected = "id ... on ExecutionStep { databaseId position }"
    query = f'{{ node(id: "{opaque}") {{ {selected} }} nodes(ids: ["{opaque}"]) {{ {selected} }} }}'
    answer = await records.data(query)
    assert (answer["node"]["id"], answer["node"]["databaseId"]) == (opaque, id_)
    assert answer["nodes"] == [answer["node"]]


@pytest.mark.parametrize(
    ("type_name", "id_", "known"),
    [
        ("ExecutionStep", 2**63 - 1, True),
        ("ExecutionStep", 2**63, False),
        ("ExecutionStep", 0, False),
        ("Execution", 2**31 - 1, True),
        ("Execution", 2**31, False),
    ],
)
async def test_an_id_that_is_too_large_was_never_given_out(
    records: Graph, type_name: str, id_: int, known: bool
) -> None:
    query = f'{{ node(id: "{global_id(type_name, id_)}") {{ id }} }}'
    if known:
        assert (await records.data(query))["node"] is None
    else:
        message = (await records.error(query))["message"]
        assert message.startswith("node.id: expected an id that this API gave out")


# Filters and orders ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("where", "found"),
    [
        ("{inDoubt: true}", [DEEP, HIDDEN, NESTED, ROOT]),
        ("{inDoubt: false}", [OTHER]),
        ("{not: {inDoubt: true}}", [OTHER]),
        ("{inDoubt: null}", [DEEP, HIDDEN, NESTED, OTHER, ROOT]),
        ("{inDoubt: true, nested: false}", [ROOT]),
        ("{status: {in: [FAILED, RUNNING]}}", [HIDDEN]),
        ("{status: {in: [QUEUED, WAITING]}}", []),
        ("{errorCode: {eq: TIMED_OUT}}", [HIDDEN]),
        ("{errorCode: {in: [LIMIT, TIMED_OUT]}}", [HIDDEN]),
        ("{not: {errorCode: {eq: TIMED_OUT}}}", [DEEP, NESTED, OTHER, ROOT]),
        ("{trigger: {eq: REPLAY}}", [OTHER]),
        ("{trigger: {in: [REQUEST, REPLAY]}}", [OTHER, ROOT]),
        ("{dryRun: true}", [OTHER]),
        ("{dryRun: false, nested: false}", [ROOT]),
        ('{requestedAt: {lt: "2026-01-01T10:00:00Z"}}', [ROOT]),
    ],
)
async def test_filters(records: Graph, where: str, found: list[int]) -> None:
    query = f"{{ executions(where: {where}) {{ nodes {{ databaseId }} }} }}"
    nodes = (await records.data(query))["executions"]["nodes"]
    assert sorted(node["databaseId"] for node in nodes) == sorted(found)


async def test_executions_can_be_ordered_by_the_time_of_the_request(records: Graph) -> None:
    page = "executions(orderBy: [{field: REQUESTED_AT}], first: 2%s) { edges { cursor node"
    first = await records.data(f"{{ {page % ''} {{ databaseId }} }} }} }}")
    edge, second = first["executions"]["edges"]
    assert edge["node"]["databaseId"] == ROOT
    after = f', after: "{edge["cursor"]}"'
    following = await records.data(f"{{ {page % after} {{ databaseId }} }} }} }}")
    assert following["executions"]["edges"][0] == second
