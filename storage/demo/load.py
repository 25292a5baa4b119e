"""Generate processes for load tests, up to several million."""

from __future__ import annotations

from storage.database.database import Database
from storage.demo.ids import fetch_ids, process_source_id

_LOCK = 0x6C6F6164
"""The key of the advisory lock that is held while processes are generated."""

_BATCH = 10_000
"""The processes that one statement inserts. No statement comes near the usual statement timeout."""

_MAX_NUMBER = 9_999_999
"""The highest number that fits into the seven digits of a reference."""

_VERBS = ("Switch", "Adjust", "Check", "Schedule", "Test", "Log", "Reset")
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
    "Shower",
    "Salle de bains",
    "Laundry",
    "Cellar",
    "Garage",
    "Workshop",
    "Attic",
    "Terrace",
    "Véranda",
)
_SENTENCES = (
    "Runs every weekday before anybody gets up, and again when the last one has left the house.",
    "The values were found by trial over one winter; change them a little at a time.",
    "Set up by the electrician together with the wiring of this floor.",
    "Asks for a level and for the time until which it holds; afterwards the schedule takes over"
    " again.",
    "Le réglage est différent en été ; la notice est dans le tiroir de la cuisine.",
)
_DEVICES = 10
_PROFILES = 10

# The rows of an earlier run are used again. The update changes nothing: it makes the statement
# return the IDs of existing rows.
_INSERT_ESPACES = """INSERT INTO espace (reference, name, description, icon)
    SELECT 'load-room-' || lpad(ordinal::text, 2, '0'), room, 'Generated for load work.',
        'door-open'
    FROM unnest($1::text[]) WITH ORDINALITY AS new (room, ordinal) ORDER BY ordinal
    ON CONFLICT (reference) DO UPDATE SET reference = excluded.reference RETURNING id"""
_INSERT_SOURCES = """INSERT INTO source (name, kind)
    SELECT 'load-device-' || lpad(ordinal::text, 2, '0'), 'echo'
    FROM generate_series(1, $1::integer) AS ordinal ORDER BY ordinal
    ON CONFLICT (name) DO UPDATE SET name = excluded.name RETURNING id"""
_INSERT_PROFILES = """INSERT INTO profile (name, permissions)
    SELECT 'load-profile-' || lpad(ordinal::text, 2, '0'), '{process:read,process:execute}'
    FROM generate_series(1, $1::integer) AS ordinal ORDER BY ordinal
    ON CONFLICT (name) DO UPDATE SET name = excluded.name RETURNING id"""

_HIGHEST_NUMBER = """SELECT coalesce(max(substring(reference FROM 6)::integer), 0) FROM process
    WHERE reference ~ '^load-[0-9]{7}$'"""

# In the statements below, k is the index of a process in the run, from 1 on. It determines all data
# of the process except its number, which is $1 + k, where $1 is the highest number of earlier runs.
# No statement reads a table, so none slows down as the tables grow. Seven processes in a row share
# a room, so that each room has processes of both modes, for many profiles.

_INSERT_PROCESSES = """INSERT INTO process
        (reference, name, name_enable, name_disable, description, espace_id, icon, mode, enabled)
    SELECT 'load-' || lpad(($1::integer + k)::text, 7, '0'),
        name,
        CASE WHEN switch THEN name || ': on' ELSE '' END,
        CASE WHEN switch THEN name || ': off' ELSE '' END,
        concat_ws(' ', ($7::text[])[1 + k % cardinality($7)],
            ($7::text[])[1 + (k + 1 + k / 5 % (cardinality($7) - 1)) % cardinality($7)]),
        ($8::integer[])[1 + k / 7 % cardinality($8)],
        (ARRAY['lightbulb', 'blinds', 'thermometer', 'music', 'shield', 'fan'])[1 + k % 6],
        CASE WHEN switch THEN 'switch' ELSE 'simple' END,
        switch AND k % 2 = 0
    FROM generate_series($2::integer, $3::integer) AS k,
        LATERAL (SELECT k % 5 = 3 AS switch,
            concat_ws(' ', ($4::text[])[1 + k % cardinality($4)],
                ($5::text[])[1 + k % cardinality($5)] || ',',
                ($6::text[])[1 + k / 7 % cardinality($6)], $1 + k) AS name) AS derived
    ORDER BY k RETURNING id"""

_INSERT_INPUTS = """INSERT INTO input (process_id, position, reference, name, type, enabled)
    SELECT process_id, part.*
    FROM unnest($1::integer[]) AS process_id
    CROSS JOIN (VALUES (1, 'level', 'Level (%)', 'number', true),
                       (2, 'until', 'Until', 'time', false)) AS part (position)
    ORDER BY process_id, part.position"""

# The last action of every tenth process runs process k / 10 and passes its own inputs on. That
# process is an earlier one, so there are no cycles, and the depth of a tree is the number of
# trailing zeros of k. The k of a switch never ends in zero, so all these processes ask for both
# inputs.
_INSERT_ACTIONS = """INSERT INTO action
        (process_id, position, source_id, action, enabled, arguments, subprocess_id)
    SELECT process_id, ordinal,
        CASE WHEN calls THEN $5::integer
            ELSE ($4::integer[])[1 + (k + ordinal) % cardinality($4)] END,
        CASE WHEN calls THEN 'load-' || lpad(($1::integer + k / 10)::text, 7, '0')
            ELSE (ARRAY['on', 'set', 'wait', 'off'])[ordinal] END,
        ordinal <= 2,
        CASE WHEN calls THEN
            '[{"reference":"level","value":"{level}"},{"reference":"until","value":"{until}"}]'
        WHEN ordinal <= 2 THEN format(
            '[{"reference":"channel","value":"%s"},{"reference":"level","value":"{level}"}]',
            k % 64)
        ELSE format(
            '[{"reference":"channel","value":"%s"},{"reference":"until","value":"{until}"}]',
            k % 64)
        END::json,
        CASE WHEN calls THEN called_id END
    FROM unnest($2::integer[], $3::integer[], $6::integer[]) AS process (k, process_id, called_id)
    CROSS JOIN generate_series(1, 4) AS ordinal,
        LATERAL (SELECT ordinal = 4 AND called_id IS NOT NULL AS calls) AS derived
    ORDER BY k, ordinal"""

_INSERT_AUTHORIZATIONS = """INSERT INTO authorisation (process_id, profile_id)
    SELECT process_id, ($3::integer[])[1 + (k + step) % cardinality($3)]
    FROM unnest($1::integer[], $2::integer[]) AS process (k, process_id)
    CROSS JOIN unnest(ARRAY[0, 3]) AS step
    ORDER BY k, step"""

_ANALYZE = "ANALYZE espace, source, profile, process, action, input, authorisation"


async def generate(database: Database, count: int) -> None:
    """Insert ``count`` generated processes with all their parts, in one transaction.

    Runs with the same count generate the same data, except for the numbers of the processes, which
    continue after those of earlier runs.

    Raises:
        ValueError: Not enough numbers are left.
        DatabaseUnavailableError: The database is unreachable. Nothing was changed.
    """
    async with database.transaction() as transaction:
        # Without the lock, two concurrent runs would use the same numbers.
        await transaction.fetch("SELECT pg_advisory_xact_lock($1)", _LOCK)
        highest = await transaction.fetch_value(_HIGHEST_NUMBER)
        assert isinstance(highest, int)
        if highest + count > _MAX_NUMBER:
            raise ValueError(f"at most {_MAX_NUMBER - highest:,} more processes can be generated")
        espaces = await fetch_ids(transaction, _INSERT_ESPACES, _ROOMS)
        devices = await fetch_ids(transaction, _INSERT_SOURCES, _DEVICES)
        profiles = await fetch_ids(transaction, _INSERT_PROFILES, _PROFILES)
        process_source = await process_source_id(transaction)
        words = (_VERBS, _THINGS, _ROOMS, _SENTENCES)
        process_ids: list[int] = []
        for first in range(1, count + 1, _BATCH):
            batch = range(first, min(first + _BATCH, count + 1))  # the values of k
            ids = await fetch_ids(
                transaction, _INSERT_PROCESSES, highest, batch[0], batch[-1], *words, espaces
            )
            process_ids += ids
            called = [process_ids[k // 10 - 1] if k % 10 == 0 else None for k in batch]
            await transaction.fetch(_INSERT_INPUTS, ids)
            await transaction.fetch(
                _INSERT_ACTIONS, highest, batch, ids, devices, process_source, called
            )
            await transaction.fetch(_INSERT_AUTHORIZATIONS, batch, ids, profiles)
        # PostgreSQL would plan with the statistics of the old tables until autovacuum runs.
        await transaction.script(_ANALYZE)
