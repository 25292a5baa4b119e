"""Define SQL fragments of the records of executions: trees, steps in doubt, and attempts.

An execution and all that are nested in it are a tree. Its root is the one that a caller asked for.
"""

from __future__ import annotations

from collections.abc import Mapping

from storage.reads.tables import Column, ColumnKind


def of_root(name: str, kind: ColumnKind, *, nullable: bool = False) -> Column:
    """Return a column of executions that shows a value of the root."""
    return Column(
        f"CASE WHEN {{t}}.root_id IS NULL THEN {{t}}.{name} ELSE"
        f" (SELECT root.{name} FROM execution AS root WHERE root.id = {{t}}.root_id) END",
        kind,
        nullable=nullable,
        in_tree=True,
    )


STEPS_BELOW = """FROM execution_step AS {t} WHERE {t}.in_doubt AND {t}.execution_id IN (
    WITH RECURSIVE below (id) AS (
        SELECT {s}.id
        UNION ALL
        SELECT nested.id
        FROM below JOIN execution_step AS step ON step.execution_id = below.id
            JOIN execution AS nested ON nested.parent_step_id = step.id
    )
    SELECT below.id FROM below
)"""
"""The steps in doubt, named ``{t}``, of the execution ``{s}`` and of all that are nested in it."""

EXECUTIONS_IN_DOUBT = """WITH RECURSIVE doubted (id) AS (
    SELECT execution_id FROM execution_step WHERE in_doubt
    UNION
    SELECT step.execution_id
    FROM doubted JOIN execution AS nested ON nested.id = doubted.id
        JOIN execution_step AS step ON step.id = nested.parent_step_id
)
SELECT doubted.id FROM doubted"""
"""The IDs of all executions that have a step in doubt, or in which one with such a step is nested.
It does not depend on a row, so a filter computes it once."""

ATTEMPTS = """SELECT * FROM ROWS FROM (
    json_to_recordset({s}.attempts) AS (
        "startedAt" timestamptz, "finishedAt" timestamptz, error text, "errorCode" text,
        "inDoubt" boolean
    )
) WITH ORDINALITY AS earlier (started_at, finished_at, error, error_code, in_doubt, place)
UNION ALL
SELECT {s}.attempted_at, {s}.finished_at, {s}.error, {s}.error_code, {s}.in_doubt, {s}.attempt
WHERE {s}.status <> 'skipped' AND json_array_length({s}.attempts) < {s}.attempt"""
"""All attempts of the step ``{s}``. While the step waits for the next one, all have ended."""

ATTEMPT_COLUMNS: Mapping[str, Column] = {
    "started_at": Column("{t}.started_at", ColumnKind.TIME),
    "finished_at": Column("{t}.finished_at", ColumnKind.TIME, nullable=True),
    "error": Column("{t}.error", nullable=True),
    "error_code": Column("{t}.error_code", ColumnKind.WORD, nullable=True),
    "in_doubt": Column("{t}.in_doubt", ColumnKind.BOOLEAN),
}
"""The columns of an attempt by name."""
