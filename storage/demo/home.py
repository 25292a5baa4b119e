"""In charge of demo data: a home to look around in, and processes by the million for load work."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from importlib import resources
from typing import Any

from storage.database.database import Database, Transaction
from storage.writes.executions import arguments_json
from storage.writes.parts import NewAction, NewInput, insert_actions, insert_inputs
from storage.writes.processes import authorise
from storage.writes.rows import insert_row

_HOME_LOCK = 0x686F6D65

_RUNNER = "process"
"""The built-in source that runs other processes."""

# The home ----------------------------------------------------------------------------------------

_ANY_TAKEN = """SELECT EXISTS (SELECT FROM espace WHERE reference = ANY ($1::text[]))
    OR EXISTS (SELECT FROM process WHERE reference = ANY ($2::text[]))
    OR EXISTS (SELECT FROM source WHERE name = ANY ($3::text[]))
    OR EXISTS (SELECT FROM profile WHERE name = ANY ($4::text[]))"""


async def load_home(database: Database) -> bool:
    """Load the demo home of ``home.toml``, all or nothing; returns whether that was necessary.

    The home counts as loaded as long as anything goes by one of its references or names. So it
    stays as its user changes it, and loading it cannot clash with anything.

    Raises:
        DatabaseUnavailableError: the database is out of reach; nothing has changed.
    """
    text = resources.files(__package__).joinpath("home.toml").read_text(encoding="utf-8")
    home = tomllib.loads(text)
    async with database.transaction() as transaction:
        # Whoever loads the same at this moment is waited for, and what it loaded is found then.
        await transaction.fetch("SELECT pg_advisory_xact_lock($1)", _HOME_LOCK)
        taken = await transaction.fetch_value(
            _ANY_TAKEN,
            [espace["reference"] for espace in home["espaces"]],
            [process["reference"] for process in home["processes"]],
            home["sources"],
            [profile["name"] for profile in home["profiles"]],
        )
        if not taken:
            await _insert_home(transaction, home)
    return not taken


async def _insert_home(transaction: Transaction, home: Mapping[str, Any]) -> None:
    espaces = {
        espace["reference"]: await insert_row(transaction, "espace", espace)
        for espace in home["espaces"]
    }
    profiles = {
        profile["name"]: await insert_row(transaction, "profile", profile)
        for profile in home["profiles"]
    }
    sources = {
        name: await insert_row(transaction, "source", {"name": name, "kind": "echo"})
        for name in home["sources"]
    }
    sources[_RUNNER] = await runner_id(transaction)
    processes: dict[str, int] = {}
    for process in home["processes"]:
        values = dict(process)
        values["espace_id"] = espaces[values.pop("espace")]
        inputs = values.pop("inputs", ())
        actions = values.pop("actions")
        authorised = values.pop("profiles", ())
        process_id = await insert_row(transaction, "process", values)
        await authorise(transaction, process_id, [profiles[name] for name in authorised])
        await insert_inputs(transaction, process_id, 1, [_input(new) for new in inputs])
        await insert_actions(
            transaction, process_id, 1, [_action(new, sources, processes) for new in actions]
        )
        # Last, so that no process can run itself, or one that stands further down: no cycles.
        processes[process["reference"]] = process_id


def _input(new: Mapping[str, str]) -> NewInput:
    return NewInput(new["reference"], new["name"], new["type"], _takes_part_when_enabled(new))


def _action(
    new: Mapping[str, Any], sources: Mapping[str, int], processes: Mapping[str, int]
) -> NewAction:
    called: str | None = new.get("run")
    return NewAction(
        sources[new.get("source", _RUNNER)],
        called or new["do"],
        _takes_part_when_enabled(new),
        arguments_json(list(new.get("arguments", {}).items())),
        None if called is None else processes[called],
    )


def _takes_part_when_enabled(new: Mapping[str, Any]) -> bool:
    return bool(new.get("when", "enabled") == "enabled")


async def runner_id(transaction: Transaction) -> int:
    """The id of the built-in source that runs other processes."""
    (runner,) = await fetch_ids(transaction, "SELECT id FROM source WHERE name = $1", _RUNNER)
    return runner


async def fetch_ids(transaction: Transaction, sql: str, *args: object) -> list[int]:
    """The column ``id`` of the rows that a statement returns."""
    return [row["id"] for row in await transaction.fetch(sql, *args)]
