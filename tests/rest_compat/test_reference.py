"""The reads of both dialects are the shape of CONTRACT.md, made in plain Python of plain rows."""

from __future__ import annotations

from typing import Any

import pytest

from storage.database import Database
from tests.conftest import database_copy, running_gateway
from tests.reads.rows import Row, Rows, insert, select
from tests.reads.worlds import PROFILES, random_rows

SEEDS = range(12)


def visible(rows: Rows, profile: Row) -> list[Row] | None:
    """The processes that a profile may see, by id; None where it may not read at all."""
    if not {"admin", "process:read"} & set(profile["permissions"]):
        return None
    if profile["built_in"] or "admin" in profile["permissions"]:
        return list(rows["process"])
    granted = {a["process_id"] for a in rows["authorisation"] if a["profile_id"] == profile["id"]}
    return [process for process in rows["process"] if process["id"] in granted]


def espace(row: Row) -> Any:
    return {key: row[key] for key in ("id", "reference", "name", "description", "icon")}


def parts(rows: Rows, table: str, process: Row) -> list[Row]:
    found = [row for row in rows[table] if row["process_id"] == process["id"]]
    return sorted(found, key=lambda row: row["position"])


def whole(rows: Rows, process: Row) -> Any:
    """A whole process, as the /process dialect shows it."""
    espaces = {row["id"]: espace(row) for row in rows["espace"]}
    sources = {row["id"]: row["name"] for row in rows["source"]}
    granted = {a["profile_id"] for a in rows["authorisation"] if a["process_id"] == process["id"]}
    return {
        "id": process["id"],
        "reference": process["reference"],
        "name": process["name"],
        "nameEnable": process["name_enable"],
        "nameDisable": process["name_disable"],
        "description": process["description"],
        "espace": espaces.get(process["espace_id"]),
        "icon": process["icon"],
        "mode": process["mode"],
        "enable": int(process["enabled"]),
        "actions": [
            {
                "id": action["id"],
                "source": sources[action["source_id"]],
                "action": action["action"],
                "enable": int(action["enabled"]),
                "arguments": action["arguments"],
            }
            for action in parts(rows, "action", process)
        ],
        "inputs": [
            {
                "id": given["id"],
                "reference": given["reference"],
                "name": given["name"],
                "type": given["type"],
                "enable": int(given["enabled"]),
            }
            for given in parts(rows, "input", process)
        ],
        "profiles": [
            {"id": row["id"], "name": row["name"]}
            for row in rows["profile"]
            if row["id"] in granted
        ],
    }


@pytest.mark.parametrize("seed", SEEDS)
async def test_every_read_is_made_of_the_rows_as_the_contract_says(
    postgres: str, template: str, seed: int
) -> None:
    async with database_copy(postgres, template) as url:
        database = await Database.connect(url, pool_max=4)
        try:
            await insert(database, random_rows(seed))
            rows = {
                table: sorted(found, key=lambda row: row.get("id", 0))
                for table, found in (await select(database)).items()
            }
            async with running_gateway(database) as gateway:
                for profile in rows["profile"]:
                    assert profile["name"] in (*PROFILES, "guest")
                    await _compare(gateway, rows, profile)
        finally:
            await database.close()


async def _compare(gateway: Any, rows: Rows, profile: Row) -> None:
    name = profile["name"]
    espaces = await gateway.call("GET", "/espaces", profile=name)
    assert espaces.json["data"] == [espace(row) for row in rows["espace"]]
    seen = visible(rows, profile)
    for path in ("/process", "/processes"):
        reply = await gateway.call("GET", path, profile=name)
        if seen is None:
            assert reply.status == 403
        elif path == "/process":
            assert reply.json["data"] == [whole(rows, process) for process in seen]
        else:
            assert reply.json == {
                "processes": [
                    {"id": p["id"], "name": p["name"], "comment": p["description"]} for p in seen
                ]
            }
    for process in rows["process"]:
        reply = await gateway.call("GET", f"/process/{process['id']}", profile=name)
        if seen is None:
            assert reply.status == 403
        elif process in seen:
            # To the letter: keys come in the contract's order too.
            assert list(reply.json["data"]) == list(whole(rows, process))
            assert reply.json["data"] == whole(rows, process)
        else:
            assert reply.status == 404
