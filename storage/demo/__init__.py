"""In charge of demo data: a home to look around in, and processes by the million for load work."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from importlib import resources
from typing import Any

from storage.database import Database, Transaction
from storage.executions import arguments_json
from storage.processes import (
    NewAction,
    NewInput,
    authorise,
    insert_actions,
    insert_inputs,
    sources_by_name,
)
from storage.rows import insert_row

_HOME_LOCK = 0x686F6D65
_LOAD_LOCK = 0x6C6F6164
"""Keys of the advisory locks under which each kind of demo data is written."""

_PROCESS_SOURCE = "process"
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
    sources |= await _process_source(transaction)
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
        sources[new["source"] if called is None else _PROCESS_SOURCE],
        new["do"] if called is None else called,
        _takes_part_when_enabled(new),
        arguments_json(list(new.get("arguments", {}).items())),
        None if called is None else processes[called],
    )


def _takes_part_when_enabled(new: Mapping[str, Any]) -> bool:
    return bool(new.get("when", "enabled") == "enabled")


async def _process_source(transaction: Transaction) -> dict[str, int]:
    """The id of the built-in source that runs processes, by its name."""
    found = await sources_by_name(transaction, [_PROCESS_SOURCE])
    return {name: source_id for name, (source_id, _) in found.items()}


# Load --------------------------------------------------------------------------------------------

_BATCH = 10_000
"""Processes that one statement inserts: every statement stays far below the usual time limit."""

_MOST = 9_999_999
"""The highest number that the references have digits for."""

# The numbers of words have no common divisor but those of rooms and devices, so a name comes back
# only after all combinations.
_VERBS = ("Dim", "Switch", "Adjust", "Check", "Schedule", "Mettre en route", "Reset")
_THINGS = (
    "the ceiling lamps",
    "the wall lamps",
    "the shutters",
    "the radiators",
    "the loudspeakers",
    "the ventilation",
    "the motion sensors",
    "the sockets",
    "the floor heating",
    "the window contacts",
    "the humidity",
)
_ROOMS = (
    "Entrance",
    "Corridor",
    "Living room",
    "Dining room",
    "Kitchen",
    "Pantry",
    "Study",
    "Library",
    "Master bedroom",
    "Guest room",
    "Nursery",
    "Bathroom",
    "Salle d’eau",
    "Laundry",
    "Cellar",
    "Garage",
    "Workshop",
    "Attic",
    "Terrace",
    "Jardin d’hiver",
)
_SENTENCES = (
    "Runs every weekday before anybody gets up, and again when the last one has left the house.",
    "The values were found by trial over one winter; change them a little at a time.",
    "Set up by the electrician together with the wiring of this floor.",
    "Asks for a level and for the time until which it holds; afterwards the schedule takes over"
    " again.",
    "Le réglage d’été est différent: voir la notice dans le tiroir de l’entrée.",
)
_DEVICES = 10
_PROFILES = 10

# A name that a former run left is used again; the update changes nothing, but it has the row's id
# returned.
_LOAD_ESPACES = """INSERT INTO espace (reference, name, description, icon)
    SELECT 'load-room-' || lpad(place::text, 2, '0'), room, 'Generated for load work.', 'door-open'
    FROM unnest($1::text[]) WITH ORDINALITY AS new (room, place) ORDER BY place
    ON CONFLICT (reference) DO UPDATE SET reference = excluded.reference RETURNING id"""
_LOAD_SOURCES = """INSERT INTO source (name, kind)
    SELECT 'load-device-' || lpad(place::text, 2, '0'), 'echo'
    FROM generate_series(1, $1::integer) AS place ORDER BY place
    ON CONFLICT (name) DO UPDATE SET name = excluded.name RETURNING id"""
_LOAD_PROFILES = """INSERT INTO profile (name, permissions)
    SELECT 'load-profile-' || lpad(place::text, 2, '0'), '{process:read,process:execute}'
    FROM generate_series(1, $1::integer) AS place ORDER BY place
    ON CONFLICT (name) DO UPDATE SET name = excluded.name RETURNING id"""

_HIGHEST = """SELECT coalesce(max(substring(reference FROM 6)::integer), 0) FROM process
    WHERE reference ~ '^load-[0-9]{7}$'"""

# In what follows $1 is the number that the run continues after, and k, from $2 to $3, the place of a
# process in the run. All else follows from k.

_LOAD_PROCESSES = """INSERT INTO process
        (reference, name, name_enable, name_disable, description, espace_id, icon, mode, enabled)
    SELECT 'load-' || lpad(($1::integer + k)::text, 7, '0'),
        name,
        CASE WHEN switch THEN name || ': on' ELSE '' END,
        CASE WHEN switch THEN name || ': off' ELSE '' END,
        ($6::text[])[1 + k % cardinality($6)] || ' ' || ($6::text[])[1 + k / 7 % cardinality($6)],
        ($8::integer[])[1 + k % cardinality($8)],
        (ARRAY['lightbulb', 'blinds', 'thermometer', 'music', 'shield', 'fan'])[1 + k % 6],
        CASE WHEN switch THEN 'switch' ELSE 'simple' END,
        switch AND k % 2 = 0
    FROM generate_series($2::integer, $3::integer) AS k,
        LATERAL (SELECT k % 5 = 3 AS switch,
            concat_ws(' ', ($4::text[])[1 + k % cardinality($4)],
                ($5::text[])[1 + k % cardinality($5)] || ',',
                ($7::text[])[1 + k % cardinality($7)], $1 + k) AS name) AS made
    ORDER BY k"""

_LOAD_INPUTS = """INSERT INTO input (process_id, position, reference, name, type, enabled)
    SELECT process.id, part.position, part.reference, part.name, part.type, part.enabled
    FROM generate_series($2::integer, $3::integer) AS k
    JOIN process ON process.reference = 'load-' || lpad(($1::integer + k)::text, 7, '0')
    CROSS JOIN (VALUES (1, 'level', 'Level (%)', 'number', true),
                       (2, 'until', 'Until', 'time', false))
        AS part (position, reference, name, type, enabled)
    ORDER BY k, part.position"""

# The last action of every tenth process k runs the process k / 10, with its own inputs. That comes
# earlier, so there are no cycles, and trees are as deep as k has noughts at its end. No switch ends
# with a nought, so these processes ask for both inputs.
_LOAD_ACTIONS = """INSERT INTO action
        (process_id, position, source_id, action, enabled, arguments, subprocess_id)
    SELECT process.id, place,
        CASE WHEN called.id IS NULL THEN ($4::integer[])[1 + (k + place) % cardinality($4)]
            ELSE $5::integer END,
        coalesce(called.reference, (ARRAY['on', 'set', 'wait', 'off'])[place]),
        place <= 2,
        CASE WHEN called.id IS NOT NULL THEN
            '[{"reference":"level","value":"{level}"},{"reference":"until","value":"{until}"}]'
        WHEN place <= 2 THEN format(
            '[{"reference":"channel","value":"%s"},{"reference":"level","value":"{level}"}]',
            k % 64)
        ELSE format(
            '[{"reference":"channel","value":"%s"},{"reference":"until","value":"{until}"}]',
            k % 64)
        END::json,
        called.id
    FROM generate_series($2::integer, $3::integer) AS k
    JOIN process ON process.reference = 'load-' || lpad(($1::integer + k)::text, 7, '0')
    CROSS JOIN generate_series(1, 4) AS place
    LEFT JOIN process AS called ON called.reference = CASE
        WHEN k % 10 = 0 AND place = 4 THEN 'load-' || lpad(($1 + k / 10)::text, 7, '0') END
    ORDER BY k, place"""

_LOAD_AUTHORISATIONS = """INSERT INTO authorisation (process_id, profile_id)
    SELECT process.id, ($4::integer[])[1 + (k + step) % cardinality($4)]
    FROM generate_series($2::integer, $3::integer) AS k
    JOIN process ON process.reference = 'load-' || lpad(($1::integer + k)::text, 7, '0')
    CROSS JOIN unnest(ARRAY[0, 3]) AS step
    ORDER BY k, step"""

_ANALYZE = "ANALYZE espace, source, profile, process, action, input, authorisation"


async def generate(database: Database, count: int) -> None:
    """Add ``count`` generated processes with all their parts, all or nothing; the same for each
    count but for the numbers, which continue after those of earlier runs.

    Raises:
        ValueError: there are no numbers left for that many.
        DatabaseUnavailableError: the database is out of reach; nothing has changed.
    """
    async with database.transaction() as transaction:
        # Two runs at once would continue after the same number.
        await transaction.fetch("SELECT pg_advisory_xact_lock($1)", _LOAD_LOCK)
        highest = await transaction.fetch_value(_HIGHEST)
        assert isinstance(highest, int)
        if highest + count > _MOST:
            raise ValueError(f"at most {_MOST - highest:,} more processes can be generated")
        espaces = await _ids(transaction, _LOAD_ESPACES, _ROOMS)
        devices = await _ids(transaction, _LOAD_SOURCES, _DEVICES)
        profiles = await _ids(transaction, _LOAD_PROFILES, _PROFILES)
        runner = (await _process_source(transaction))[_PROCESS_SOURCE]
        for first in range(1, count + 1, _BATCH):
            batch = (highest, first, min(first + _BATCH - 1, count))
            await transaction.fetch(
                _LOAD_PROCESSES, *batch, _VERBS, _THINGS, _SENTENCES, _ROOMS, espaces
            )
            await transaction.fetch(_LOAD_INPUTS, *batch)
            await transaction.fetch(_LOAD_ACTIONS, *batch, devices, runner)
            await transaction.fetch(_LOAD_AUTHORISATIONS, *batch, profiles)
        # Until PostgreSQL gets round to it by itself, it would plan as for the tables of before.
        await transaction.script(_ANALYZE)


async def _ids(transaction: Transaction, sql: str, argument: Sequence[str] | int) -> list[int]:
    return [row["id"] for row in await transaction.fetch(sql, argument)]
