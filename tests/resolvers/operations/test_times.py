"""Times in arguments and cursors: what is accepted, and that they are exact to the microsecond."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.conftest import Graph
from tests.reference.rows import insert

BY_LITERAL = '{ executions(where: {startedAt: {gt: "%s"}}) { totalCount } }'
BY_VARIABLE = """query($time: DateTime) {
    executions(where: {startedAt: {gt: $time}}) { totalCount }
}"""
EXPECTED = "expected a date and time with an offset, such as 2024-02-29T12:00:00Z"

# Text, and the same time in UTC.
ACCEPTED = [
    ("2024-02-29T12:00:00Z", "2024-02-29T12:00:00+00:00"),
    ("2024-02-29t12:00:00z", "2024-02-29T12:00:00+00:00"),
    ("2024-02-29T12:00:00.1Z", "2024-02-29T12:00:00.100000+00:00"),
    ("2024-02-29T12:00:00.000001Z", "2024-02-29T12:00:00.000001+00:00"),
    ("2024-02-29T12:00:00-00:00", "2024-02-29T12:00:00+00:00"),
    ("2024-03-01T00:30:00+14:00", "2024-02-29T10:30:00+00:00"),
    ("2024-02-29T00:00:00-23:59", "2024-02-29T23:59:00+00:00"),
    ("0001-01-01T00:00:00.000001Z", "0001-01-01T00:00:00.000001+00:00"),
    ("9999-12-31T23:59:59.999999Z", "9999-12-31T23:59:59.999999+00:00"),
]
REJECTED = [
    "",
    "now",
    "infinity",
    "-infinity",
    "2024-02-29",
    "2024-02-29T12:00:00",
    "2024-02-29 12:00:00Z",
    "2024-02-29T12:00Z",
    "2024-02-29T12Z",
    "20240229T120000Z",
    "2024-W09-4T12:00:00Z",
    "2024-060T12:00:00Z",
    "2024-02-29T12:00:00.Z",
    "2024-02-29T12:00:00,5Z",
    "2024-02-29T12:00:00.1234567Z",
    "2024-02-29T12:00:00+02",
    "2024-02-29T12:00:00+0200",
    "2024-02-29T12:00:00+24:00",
    "2024-02-29T12:00:00+02:60",
    "2024-02-29T12:00:00+02:00:30",
    "2024-02-29T12:00:00UTC",
    "2024-02-29T12:00:00Z ",
    " 2024-02-29T12:00:00Z",
    "2023-02-29T12:00:00Z",
    "2024-02-30T12:00:00Z",
    "2024-13-01T12:00:00Z",
    "2024-00-01T12:00:00Z",
    "2024-02-29T24:00:00Z",
    "2024-02-29T12:60:00Z",
    "2016-12-31T23:59:60Z",
    "0000-01-01T00:00:00Z",
    "0001-01-01T00:00:00+00:01",
    "9999-12-31T23:59:59-00:01",
    "10000-01-01T00:00:00Z",
    "-2024-02-29T12:00:00Z",
    "\uff12\uff10\uff12\uff14-02-29T12:00:00Z",
    "2024-02-29T12:00:00Z\\n",
]  # fmt: skip


@pytest.mark.parametrize(("text", "moment"), ACCEPTED)
async def test_date_times_of_rfc_3339_are_accepted(graph: Graph, text: str, moment: str) -> None:
    await insert(graph.database, {"execution": [execution(1, moment)]})
    before = datetime.fromisoformat(moment) - timedelta(microseconds=1)
    for time, expected in ((text, 0), (before.isoformat(), 1)):
        for answer in (
            await graph.data(BY_LITERAL % time),
            await graph.data(BY_VARIABLE, {"time": time}),
        ):
            assert answer["executions"]["totalCount"] == expected


def execution(id_: int, started_at: str, finished_at: str | None = None) -> dict[str, Any]:
    return {
        "id": id_,
        "process_reference": "gone",
        "process_name": "Gone",
        "enabled": False,
        "profile_name": "admin",
        "started_at": started_at,
        "finished_at": finished_at,
        "inputs": [],
        "status": "running" if finished_at is None else "succeeded",
    }


@pytest.mark.parametrize("text", REJECTED)
async def test_other_times_are_bad_input(home: Graph, text: str) -> None:
    error = await home.error(BY_VARIABLE, {"time": text})
    assert error["extensions"]["code"] == "BAD_USER_INPUT"
    (problem,) = error["extensions"]["problems"]
    assert problem["path"] == ["executions", "where", "startedAt", "gt"]
    assert problem["message"].startswith(f'{EXPECTED}, got "')
    literal = await home.error(BY_LITERAL % text)
    (problem,) = literal["extensions"]["problems"]
    assert problem["path"] == ["executions", "where", "startedAt", "gt"]
    assert problem["message"].startswith(f'{EXPECTED}, got "')


@pytest.mark.parametrize("value", [1709208000, 1.5, True, [], {}, ["2024-02-29T12:00:00Z"]])
async def test_only_text_is_a_time(home: Graph, value: Any) -> None:
    error = await home.error(BY_VARIABLE, {"time": value})
    (problem,) = error["extensions"]["problems"]
    assert problem["message"].startswith(f"{EXPECTED}, got ")


# Cursors -----------------------------------------------------------------------------------------

PAGE = """query($order: [ExecutionOrder!], $first: Int, $last: Int, $after: String,
        $before: String) {
    executions(orderBy: $order, first: $first, last: $last, after: $after, before: $before) {
        edges { cursor node { databaseId } } pageInfo { hasNextPage hasPreviousPage }
    }
}"""


@pytest.mark.parametrize("direction", ["ASC", "DESC"])
@pytest.mark.parametrize("field", ["STARTED_AT", "FINISHED_AT"])
async def test_pages_in_the_order_of_times_are_complete(
    graph: Graph, field: str, direction: str
) -> None:
    # Times that differ by a microsecond, times that are equal, and executions that still run.
    start = datetime(2024, 2, 29, 23, 59, 59, 999_998, tzinfo=UTC)
    times = [(start + timedelta(microseconds=step)).isoformat() for step in (2, 0, 1, 0, 2, 3)]
    rows = [
        execution(number, time, time if number % 3 else None)
        for number, time in enumerate(times, start=1)
    ]
    await insert(graph.database, {"execution": rows})

    def key(row: dict[str, Any]) -> tuple[str, int]:
        return (row[field.lower()] or "9", row["id"])

    expected = [row["id"] for row in sorted(rows, key=key, reverse=direction == "DESC")]
    order = [{"field": field, "direction": direction}]
    for size, cursor, end, step in (
        ("first", "after", "hasNextPage", 1),
        ("last", "before", "hasPreviousPage", -1),
    ):
        found: list[int] = []
        variables: dict[str, Any] = {"order": order, size: 2}
        while True:
            page = (await graph.data(PAGE, variables))["executions"]
            edges = page["edges"]
            ids = [edge["node"]["databaseId"] for edge in edges]
            found = [*found, *ids] if step == 1 else [*ids, *found]
            if not page["pageInfo"][end]:
                break
            variables[cursor] = edges[-1 if step == 1 else 0]["cursor"]
        assert found == expected


async def test_a_cursor_does_not_depend_on_the_time_zone_of_the_server(graph: Graph) -> None:
    await insert(graph.database, {"execution": [execution(1, "2024-02-29T12:00:00.000001Z")]})
    variables = {"order": [{"field": "STARTED_AT"}], "first": 1}
    (edge,) = (await graph.data(PAGE, variables))["executions"]["edges"]
    assert json.loads(base64.b64decode(edge["cursor"])) == [
        "started_at,database_id",
        "2024-02-29T12:00:00.000001Z",
        1,
    ]


@pytest.mark.parametrize(
    "key",
    [
        ["started_at,database_id", None, 1],
        ["started_at,database_id", 1709208000, 1],
        ["started_at,database_id", "2024-02-29", 1],
        ["started_at,database_id", "infinity", 1],
        ["started_at,database_id", "2024-02-29T12:00:00Z"],
        ["started_at,database_id", "2024-02-29T12:00:00Z", "1"],
        ["started_at,database_id", "2024-02-29T12:00:00Z", 1, 1],
    ],
)
async def test_forged_cursors_are_bad_input(home: Graph, key: list[Any]) -> None:
    cursor = base64.b64encode(json.dumps(key).encode()).decode()
    variables = {"order": [{"field": "STARTED_AT"}], "first": 1, "after": cursor}
    error = await home.error(PAGE, variables)
    (problem,) = error["extensions"]["problems"]
    assert problem["path"] == ["executions", "after"]
    assert problem["message"].startswith("expected a cursor of this connection")


# Cost --------------------------------------------------------------------------------------------


async def cost(graph: Graph, query: str) -> int:
    answer = await graph.ask(query, extensions={"cost": True})
    result: int = answer["extensions"]["cost"]["requested"]
    return result


async def test_an_order_without_an_index_costs_a_sort(home: Graph) -> None:
    query = "{ %s(first: 10, orderBy: {field: %s}) { nodes { databaseId } } }"
    assert await cost(home, query % ("processes", "CREATED_AT")) == 10 * 3
    assert await cost(home, query % ("executions", "STARTED_AT")) == 10 * 3
    assert await cost(home, query % ("processes", "UPDATED_AT")) == 3 * 10_000 // 2 + 10 * 3
    assert await cost(home, query % ("executions", "FINISHED_AT")) == 3 * 10_000 // 2 + 10 * 3


async def test_a_version_costs_as_much_as_a_long_text(home: Graph) -> None:
    assert await cost(home, "{ processes(first: 10) { nodes { version } } }") == 10 * (2 + 32)
