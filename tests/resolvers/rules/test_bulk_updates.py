"""Test updateProcesses: atomicity, limits, and the location of problems."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import Any

from tests.resolvers.home import UNKNOWN_ID, Home, problems

logger = logging.getLogger(__name__)


async def many(home: Home, count: int) -> list[int]:
    rows = await home.graph.run(
        "INSERT INTO process (reference, name, icon) SELECT 'p' || n, 'P' || n, 'kept'"
        " FROM generate_series(1, $1::integer) AS n RETURNING id",
        count,
    )
    return [row["id"] for row in rows]


async def test_ten_thousand_processes_are_updated_in_one_statement(home: Home) -> None:
    ids = await many(home, 10_000)
    changes = [{"databaseId": id_, "name": f"N{id_}", "description": "d'"} for id_ in ids]
    await home.graph.viewer("admin")  # reloads the profiles if the last test changed any
    before, start = home.graph.database.statements, time.perf_counter()
    answer = await home.do("updateProcesses", changes=changes)
    logger.info("10,000 processes changed in %.2f s", time.perf_counter() - start)
    assert answer == {"updatedCount": 10_000}
    assert home.graph.database.statements - before == 2  # one of them looks up the viewer
    (row,) = await home.graph.run(
        "SELECT count(*) FROM process"
        " WHERE name = 'N' || id AND description = 'd''' AND icon = 'kept'"
    )
    assert row["count"] == 10_000


async def test_ten_thousand_updates_are_atomic(home: Home) -> None:
    ids = await many(home, 10_000)
    changes = [{"databaseId": id_, "name": "changed"} for id_ in [*ids[:-1], UNKNOWN_ID]]
    error = await home.error("updateProcesses", "BAD_USER_INPUT", changes=changes)
    assert problems(error) == {
        ("changes", 9999, "databaseId"): f"there is no process with the id {UNKNOWN_ID}"
    }


async def test_texts_of_a_bulk_update_follow_the_rules_of_a_single_one(home: Home) -> None:
    one, two = await many(home, 2)
    changes: list[dict[str, Any]] = [
        {"databaseId": one, "name": "One", "description": None},
        {
            "databaseId": two,
            "nameEnable": "On",
            "nameDisable": "Off",
            "description": "D",
            "icon": "",
        },
    ]
    assert await home.do("updateProcesses", changes=changes) == {"updatedCount": 2}
    rows = await home.graph.run(
        "SELECT name, name_enable, name_disable, description, icon FROM process ORDER BY id"
    )
    assert [list(row.values()) for row in rows] == [
        ["One", "", "", "", "kept"],
        ["P2", "On", "Off", "D", ""],
    ]
    assert await home.do("updateProcesses", changes=[]) == {"updatedCount": 0}


async def test_each_invalid_item_of_a_bulk_update_is_located(home: Home) -> None:
    one, two = await many(home, 2)
    twice = [{"databaseId": id_, "name": "x"} for id_ in (one, two, one, one)]
    error = await home.error("updateProcesses", "BAD_USER_INPUT", changes=twice)
    assert problems(error) == {
        ("changes", index, "databaseId"): f"the id {one} is given twice" for index in (2, 3)
    }
    invalid = [
        {"databaseId": one, "name": ""},
        {"databaseId": 0},
        {"databaseId": two, "icon": "\0"},
    ]
    error = await home.error("updateProcesses", "BAD_USER_INPUT", changes=invalid)
    assert set(problems(error)) == {
        ("changes", 0, "name"),
        ("changes", 1, "databaseId"),
        ("changes", 2, "icon"),
    }
    await home.profile("builder", "PROCESS_READ", "PROCESS_WRITE")
    hidden = [{"databaseId": two, "name": "Mine"}]
    error = await home.error("updateProcesses", "BAD_USER_INPUT", by="builder", changes=hidden)
    assert set(problems(error)) == {("changes", 0, "databaseId")}


async def test_bulk_updates_in_opposite_orders_do_not_deadlock(home: Home) -> None:
    ids = await many(home, 2000)
    for _ in range(3):
        done = await asyncio.gather(
            *(
                home.do("updateProcesses", changes=[{"databaseId": i, "name": "x"} for i in order])
                for order in (ids, ids[::-1], ids, ids[::-1])
            )
        )
        assert done == [{"updatedCount": 2000}] * 4
