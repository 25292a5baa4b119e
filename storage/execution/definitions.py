"""Read what an execution runs: a process and all processes that it runs, in one statement."""

from __future__ import annotations

from storage.database.rows import Reader
from storage.writes.processes import VISIBLE

_DEFINITION = f"""
WITH RECURSIVE reached (id) AS (
    SELECT id FROM process WHERE id = $1 AND {VISIBLE}
    UNION
    SELECT subprocess_id FROM reached JOIN action ON process_id = reached.id
    WHERE subprocess_id IS NOT NULL
)
SELECT json_build_object(
    'root', $1::integer,
    'processes', json_agg(json_build_object(
        'id', process.id,
        'reference', reference,
        'name', name,
        'mode', mode,
        'concurrency', concurrency,
        'timeout', timeout,
        'inputs', (
            SELECT coalesce(json_agg(json_build_object(
                'reference', reference,
                'type', type,
                'enabled', enabled,
                'required', required,
                'default', default_value,
                'choices', choices,
                'min', min,
                'max', max,
                'step', step,
                'pattern', pattern
            ) ORDER BY position), '[]') FROM input WHERE process_id = process.id
        ),
        'actions', (
            SELECT coalesce(json_agg(json_build_object(
                'source', source_id,
                'action', action,
                'enabled', enabled,
                'arguments', arguments,
                'subprocess', subprocess_id,
                'timeout', timeout,
                'retries', retries,
                'onFailure', on_failure,
                'idempotent', idempotent
            ) ORDER BY position), '[]') FROM action WHERE process_id = process.id
        )
    ) ORDER BY process.id),
    'sources', (
        SELECT coalesce(json_agg(json_build_object(
            'id', id,
            'name', name,
            'kind', kind,
            'settings', settings,
            'secrets', ARRAY(SELECT json_object_keys(secrets))
        ) ORDER BY id), '[]')
        FROM source WHERE id IN (
            SELECT source_id FROM action JOIN reached ON process_id = reached.id
        )
    )
) AS body
FROM reached JOIN process ON process.id = reached.id
HAVING count(*) > 0"""


async def read_definition(
    database: Reader, process_id: int, only_profile: int | None
) -> bytes | None:
    """Return the definition of a process as JSON, or None if the profile cannot see the process.

    It contains no secrets: of each source, the names of those that are set. A viewer who may
    execute a process also executes all processes that its actions run.
    """
    rows = await database.fetch(_DEFINITION, process_id, only_profile)
    return rows[0]["body"] if rows else None


async def read_secrets(database: Reader, source_id: int) -> bytes | None:
    """Return the secrets of a source as a JSON object, or None if it does not exist."""
    rows = await database.fetch("SELECT secrets FROM source WHERE id = $1", source_id)
    return rows[0]["secrets"] if rows else None
