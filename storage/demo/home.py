"""Insert the demo home that ``home.toml`` describes."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from importlib import resources
from typing import Any

import orjson

from storage.database.database import Database
from storage.database.transaction import Transaction
from storage.demo.ids import PROCESS_SOURCE, process_source_id
from storage.writes.arguments import arguments_json
from storage.writes.parts import NewAction, NewInput, insert_actions, insert_inputs
from storage.writes.processes import authorize
from storage.writes.rows import insert_row

_LOCK = 0x686F6D65
"""The key of the advisory lock that is held while the home is inserted."""

_LISTENING = "lanterns"
"""The source that publishes to the broker."""

_ANY_TAKEN = """SELECT EXISTS (SELECT FROM espace WHERE reference = ANY ($1::text[]))
    OR EXISTS (SELECT FROM process WHERE reference = ANY ($2::text[]))
    OR EXISTS (SELECT FROM source WHERE name = ANY ($3::text[]))
    OR EXISTS (SELECT FROM profile WHERE name = ANY ($4::text[]))"""


async def load_home(database: Database, devices: str = "", broker: str = "") -> bool:
    """Insert the demo home in one transaction. Return False if it was there already.

    The home counts as present if any row has one of its references or names. So the changes of a
    user are kept, and the insert cannot conflict with existing rows.

    Args:
        devices: The address of the simulated devices that its sources act on; empty for sources
            that return their arguments.
        broker: Likewise, the address of the MQTT broker of the lanterns.

    Raises:
        DatabaseUnavailableError: The database is unreachable. Nothing was changed.
    """
    text = resources.files(__package__).joinpath("home.toml").read_text(encoding="utf-8")
    home = tomllib.loads(text)
    async with database.transaction() as transaction:
        # Wait for a concurrent load to finish, then find its rows.
        await transaction.fetch("SELECT pg_advisory_xact_lock($1)", _LOCK)
        taken = await transaction.fetch_value(
            _ANY_TAKEN,
            [espace["reference"] for espace in home["espaces"]],
            [process["reference"] for process in home["processes"]],
            home["sources"],
            [profile["name"] for profile in home["profiles"]],
        )
        if not taken:
            await _insert_home(transaction, home, devices, broker)
    return not taken


async def _insert_home(
    transaction: Transaction, home: Mapping[str, Any], devices: str, broker: str
) -> None:
    espaces = {
        espace["reference"]: await insert_row(transaction, "espace", espace)
        for espace in home["espaces"]
    }
    profiles = {
        profile["name"]: await insert_row(transaction, "profile", profile)
        for profile in home["profiles"]
    }
    sources = {
        name: await insert_row(transaction, "source", _source(home, name, devices, broker))
        for name in home["sources"]
    }
    sources[PROCESS_SOURCE] = await process_source_id(transaction)
    processes: dict[str, int] = {}
    for process in home["processes"]:
        values = dict(process)
        values["espace_id"] = espaces[values.pop("espace")]
        inputs = values.pop("inputs", ())
        actions = values.pop("actions")
        profile_names = values.pop("profiles", ())
        process_id = await insert_row(transaction, "process", values)
        await authorize(transaction, process_id, [profiles[name] for name in profile_names])
        await insert_inputs(transaction, process_id, 1, [_new_input(entry) for entry in inputs])
        await insert_actions(
            transaction,
            process_id,
            1,
            [_new_action(entry, sources, processes) for entry in actions],
        )
        # Added last, so that a process can only run earlier ones. That excludes cycles.
        processes[process["reference"]] = process_id


def _source(home: Mapping[str, Any], name: str, devices: str, broker: str) -> dict[str, object]:
    """Return the columns of a source. With devices, its operations are those that actions use."""
    listens = name == _LISTENING
    if not (broker if listens else devices):
        return {"name": name, "kind": "echo"}
    used: dict[str, dict[str, None]] = {}
    for process in home["processes"]:
        for action in process["actions"]:
            if action.get("source") == name:
                used.setdefault(action["do"], {}).update(dict.fromkeys(action.get("arguments", {})))
    settings = (
        {"broker_url": broker}
        if listens
        else {"base_url": devices, "allow_networks": ["127.0.0.1/32"]}
    )
    operations = [
        {
            "name": operation,
            **(
                {"topic": f"{name}/{operation}", "idempotent": True}
                if listens
                else {"method": "PUT", "path": f"/{name}/{operation}"}
            ),
            "arguments": [{"reference": each, "required": False} for each in arguments],
        }
        for operation, arguments in used.items()
    ]
    return {
        "name": name,
        "kind": "mqtt" if listens else "http",
        "settings": orjson.dumps(settings | {"operations": operations}),
    }


def _new_input(entry: Mapping[str, Any]) -> NewInput:
    values = {name: value for name, value in entry.items() if name != "when"}
    return NewInput(**values, enabled=_takes_part_when_enabled(entry))


def _new_action(
    entry: Mapping[str, Any], sources: Mapping[str, int], processes: Mapping[str, int]
) -> NewAction:
    called: str | None = entry.get("run")
    return NewAction(
        sources[entry.get("source", PROCESS_SOURCE)],
        called or entry["do"],
        _takes_part_when_enabled(entry),
        arguments_json(list(entry.get("arguments", {}).items())),
        None if called is None else processes[called],
    )


def _takes_part_when_enabled(entry: Mapping[str, Any]) -> bool:
    return bool(entry.get("when", "enabled") == "enabled")
