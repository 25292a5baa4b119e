"""Describe the tables that plans can name, with their columns and relations.

Each column and relation has its name in snake case. The GraphQL schema uses the same name in camel
case, and a test compares the two. ``storage.reads.tables`` defines the placeholders in the SQL
fragments.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from storage.reads.plan import OrderKey
from storage.reads.problems import PROCESS_PROBLEMS
from storage.reads.records import (
    ATTEMPT_COLUMNS,
    ATTEMPTS,
    EXECUTIONS_IN_DOUBT,
    STEPS_BELOW,
    of_root,
)
from storage.reads.tables import Column, ColumnKind, EmbeddedList, Relation, Table
from storage.reads.versions import CONCURRENCY, PROCESS_VERSION


def _global_id(type_name: str) -> Column:
    """Return Relay's opaque ID: ``Type:id`` in base64 (decoded by ``resolvers.values.ids``)."""
    return Column(f"encode(('{type_name}:' || {{t}}.id)::bytea, 'base64')", ColumnKind.PLAIN)


def _columns(type_name: str, **columns: Column) -> dict[str, Column]:
    """Return the columns of a table, with the two IDs that every table has."""
    return {
        "id": _global_id(type_name),
        "database_id": Column("{t}.id", ColumnKind.INTEGER, indexed=True),
        **columns,
    }


def _authorized_on(process_id: str) -> str:
    """Return the condition that the profile is authorized on the process with this ID."""
    return (
        f"EXISTS (SELECT FROM authorisation AS granted WHERE granted.process_id = {process_id}"
        " AND granted.profile_id = {profile})"
    )


def _status(**legacy: str) -> Column:
    """Return the column of a status.

    Args:
        **legacy: The words of the legacy dialects for those that they do not have.
    """
    cases = " ".join(f"WHEN '{word}' THEN '{other}'" for word, other in legacy.items())
    return Column(
        "{t}.status", ColumnKind.WORD, legacy=f"CASE {{t}}.status {cases} ELSE {{t}}.status END"
    )


# Executions of a deleted process stay readable for the profile that started them.
_EXECUTION_VISIBLE = (
    "CASE WHEN {t}.process_id IS NULL THEN {t}.profile_id = {profile} ELSE "
    + _authorized_on("{t}.process_id")
    + " END"
)
# If a step ran a process that the profile cannot see, the step shows only its reference.
_STEP_OF_VISIBLE_PROCESS = "({t}.source_name <> 'process' OR " + (
    _authorized_on("{t}.subprocess_id") + ")"
)

_REFERENCE = Column("{t}.reference", indexed=True)
_NAME = Column("{t}.name", indexed=True)
_DESCRIPTION = Column("{t}.description")
_ICON = Column("{t}.icon")
_POSITION = Column("{t}.position", ColumnKind.INTEGER)
_STATE = Column("{t}.enabled", ColumnKind.STATE)
_TIMEOUT = Column("{t}.timeout", ColumnKind.NUMBER, nullable=True)
_BY_POSITION = ("{t}.position",)
_ARGUMENTS = EmbeddedList("{t}.arguments", ("reference", "value"))
_TIMES = {
    "started_at": Column("{t}.started_at", ColumnKind.TIME, indexed=True),
    "finished_at": Column("{t}.finished_at", ColumnKind.TIME, nullable=True),
}

ESPACE = Table(
    "espace",
    "Espace",
    _columns("Espace", reference=_REFERENCE, name=_NAME, description=_DESCRIPTION, icon=_ICON),
    {"processes": Relation("process", "{t}.espace_id = {s}.id", typical_rows=500)},
)

PROCESS = Table(
    "process",
    "Process",
    _columns(
        "Process",
        reference=_REFERENCE,
        name=_NAME,
        name_enable=Column("{t}.name_enable"),
        name_disable=Column("{t}.name_disable"),
        display_name=Column(
            "coalesce(nullif(CASE WHEN {t}.mode = 'simple' THEN '' WHEN {t}.enabled"
            " THEN {t}.name_enable ELSE {t}.name_disable END, ''), {t}.name)"
        ),
        description=_DESCRIPTION,
        icon=_ICON,
        mode=Column("{t}.mode", ColumnKind.WORD),
        state=_STATE,
        concurrency=Column(CONCURRENCY, ColumnKind.WORD),
        timeout=_TIMEOUT,
        version=Column(PROCESS_VERSION, ColumnKind.PLAIN),
        created_at=Column("{t}.created_at", ColumnKind.TIME, indexed=True),
        updated_at=Column("{t}.updated_at", ColumnKind.TIME),
    ),
    {
        "espace": Relation("espace", "{t}.id = {s}.espace_id", many=False),
        "actions": Relation(
            "action", "{t}.process_id = {s}.id", order=_BY_POSITION, owned=True, typical_rows=4
        ),
        "inputs": Relation(
            "input", "{t}.process_id = {s}.id", order=_BY_POSITION, owned=True, typical_rows=2
        ),
        "profiles": Relation(
            "profile",
            "{link}.process_id = {s}.id",
            link="authorisation AS {link} ON {link}.profile_id = {t}.id",
            typical_rows=2,
        ),
        "subprocesses": Relation(
            "process",
            "true",
            link=(
                "(SELECT subprocess_id, min(position) AS first FROM action"
                " WHERE process_id = {s}.id AND subprocess_id IS NOT NULL GROUP BY subprocess_id)"
                " AS {link} ON {link}.subprocess_id = {t}.id"
            ),
            order=("{link}.first",),
            typical_rows=2,
            tested=Relation(
                "process",
                "{link}.process_id = {s}.id",
                link="action AS {link} ON {link}.subprocess_id = {t}.id",
            ),
        ),
        "used_by": Relation(
            "process",
            "{t}.id IN (SELECT process_id FROM action WHERE subprocess_id = {s}.id)",
            typical_rows=4,
            tested=Relation(
                "process",
                "{link}.subprocess_id = {s}.id",
                link="action AS {link} ON {link}.process_id = {t}.id",
            ),
        ),
        "executions": Relation("execution", "{t}.process_id = {s}.id", typical_rows=100),
    },
    {
        "problems": EmbeddedList(
            PROCESS_PROBLEMS,
            ("code", "message", "position", "argument", "input"),
            typical_rows=1,
            computing=120,
        )
    },
    visible=_authorized_on("{t}.id"),
    typical_rows=10_000,
)

ACTION = Table(
    "action",
    "Action",
    _columns(
        "Action",
        position=_POSITION,
        source_name=Column(
            "(SELECT name FROM source WHERE id = {t}.source_id)",
            compared_within="{t}.source_id IN (SELECT id FROM source WHERE {comparison})",
        ),
        action=Column("{t}.action"),
        runs_when=_STATE,
        timeout=_TIMEOUT,
        retries=Column("{t}.retries", ColumnKind.INTEGER),
        on_failure=Column("{t}.on_failure", ColumnKind.WORD),
        idempotent=Column("{t}.idempotent", ColumnKind.BOOLEAN, nullable=True),
    ),
    {
        "process": Relation("process", "{t}.id = {s}.process_id", many=False),
        "source": Relation("source", "{t}.id = {s}.source_id", many=False),
        "subprocess": Relation("process", "{t}.id = {s}.subprocess_id", many=False),
    },
    {"arguments": _ARGUMENTS},
    visible=_authorized_on("{t}.process_id"),
    typical_rows=40_000,
)

INPUT = Table(
    "input",
    "Input",
    _columns(
        "Input",
        position=_POSITION,
        reference=_REFERENCE,
        name=_NAME,
        type=Column("{t}.type"),
        kind=Column(
            "CASE WHEN {t}.type IN ('number', 'integer', 'boolean', 'choice', 'time', 'color')"
            " THEN {t}.type ELSE 'text' END",
            ColumnKind.WORD,
        ),
        asked_when=_STATE,
        label=Column("{t}.label"),
        help=Column("{t}.help"),
        required=Column("{t}.required", ColumnKind.BOOLEAN),
        min=Column("{t}.min", ColumnKind.NUMBER, nullable=True),
        max=Column("{t}.max", ColumnKind.NUMBER, nullable=True),
        step=Column("{t}.step", ColumnKind.NUMBER, nullable=True),
        unit=Column("{t}.unit"),
        pattern=Column("{t}.pattern", nullable=True),
        choices=Column("{t}.choices", ColumnKind.TEXTS),
        default=Column("{t}.default_value", nullable=True),
    ),
    {"process": Relation("process", "{t}.id = {s}.process_id", many=False)},
    visible=_authorized_on("{t}.process_id"),
    typical_rows=20_000,
)

PROFILE = Table(
    "profile",
    "Profile",
    _columns(
        "Profile",
        name=_NAME,
        permissions=Column("{t}.permissions", ColumnKind.WORDS),
        sees_all=Column("({t}.built_in OR 'admin' = ANY ({t}.permissions))", ColumnKind.BOOLEAN),
    ),
    {
        "processes": Relation(
            "process",
            "{link}.profile_id = {s}.id",
            link="authorisation AS {link} ON {link}.process_id = {t}.id",
            typical_rows=2000,
        )
    },
)

SOURCE = Table(
    "source",
    "Source",
    _columns(
        "Source",
        name=_NAME,
        kind=Column("{t}.kind"),
        settings=Column("{t}.settings", ColumnKind.JSON),
        secret_settings=Column("ARRAY(SELECT json_object_keys({t}.secrets))", ColumnKind.TEXTS),
        built_in=Column("{t}.built_in", ColumnKind.BOOLEAN),
    ),
    {
        "processes": Relation(
            "process",
            "{t}.id IN (SELECT process_id FROM action WHERE source_id = {s}.id)",
            typical_rows=4000,
            tested=Relation(
                "process",
                "{link}.source_id = {s}.id",
                link="action AS {link} ON {link}.process_id = {t}.id",
            ),
        )
    },
    admin_only=True,
)

EXECUTION = Table(
    "execution",
    "Execution",
    _columns(
        "Execution",
        process_reference=Column("{t}.process_reference"),
        process_name=Column("{t}.process_name"),
        status=_status(queued="running"),
        state=_STATE,
        error=Column("{t}.error", nullable=True),
        error_code=Column("{t}.error_code", ColumnKind.WORD, nullable=True),
        failed_steps=Column(
            "(SELECT count(*) FROM execution_step AS failed"
            " WHERE failed.execution_id = {t}.id AND failed.status = 'failed')",
            ColumnKind.INTEGER,
            in_tree=True,
        ),
        in_doubt=Column(
            f"EXISTS (SELECT {STEPS_BELOW.format(s='{t}', t='doubtful')})",
            ColumnKind.BOOLEAN,
            compared_within=(
                "(SELECT {comparison} FROM"
                f" (SELECT {{t}}.id IN ({EXECUTIONS_IN_DOUBT})) AS doubted (name))"
            ),
            in_tree=True,
        ),
        asked_by=Column("{t}.profile_name"),
        trigger=Column("{t}.trigger", ColumnKind.WORD),
        nested=Column("{t}.parent_step_id IS NOT NULL", ColumnKind.BOOLEAN),
        dry_run=Column("{t}.dry_run", ColumnKind.BOOLEAN),
        sequence=of_root("seq", ColumnKind.INTEGER),
        takeovers=of_root("takeovers", ColumnKind.INTEGER),
        requested_at=Column("{t}.requested_at", ColumnKind.TIME),
        cancel_requested_at=of_root("cancel_requested_at", ColumnKind.TIME, nullable=True),
        deadline=of_root("deadline", ColumnKind.TIME, nullable=True),
        **_TIMES,
    ),
    {
        "process": Relation("process", "{t}.id = {s}.process_id", many=False),
        "steps": Relation(
            "execution_step",
            "{t}.execution_id = {s}.id",
            order=_BY_POSITION,
            owned=True,
            in_tree=True,
            typical_rows=4,
        ),
        "in_doubt_steps": Relation(
            "execution_step",
            f"{{t}}.id IN (SELECT doubtful.id {STEPS_BELOW.format(s='{s}', t='doubtful')})",
            in_tree=True,
        ),
        "parent_step": Relation(
            "execution_step", "{t}.id = {s}.parent_step_id", many=False, in_tree=True
        ),
        "root": Relation("execution", "{t}.id = {s}.root_id", many=False, in_tree=True),
        "replay_of": Relation("execution", "{t}.id = {s}.replay_of", many=False),
    },
    {"inputs": EmbeddedList("{t}.inputs", ("reference", "value"))},
    visible=_EXECUTION_VISIBLE,
    default_order=(OrderKey("database_id", descending=True),),
    typical_rows=10_000,
)

EXECUTION_STEP = Table(
    "execution_step",
    "ExecutionStep",
    {
        "id": _global_id("ExecutionStep"),
        "database_id": Column("{t}.id", ColumnKind.BIG_INTEGER, indexed=True),
        "position": _POSITION,
        "source_name": Column("{t}.source_name"),
        "action": Column("{t}.action"),
        "status": _status(waiting="running"),
        # The step that ran a process has no result of its own.
        "result": Column(
            "coalesce({t}.result, CASE WHEN {t}.status = 'succeeded'"
            " THEN nested_result({t}.id, {profile}) END)",
            ColumnKind.JSON,
            nullable=True,
            visible=_STEP_OF_VISIBLE_PROCESS,
            in_tree=True,
        ),
        "error": Column("{t}.error", nullable=True, visible=_STEP_OF_VISIBLE_PROCESS),
        "error_code": Column(
            "{t}.error_code", ColumnKind.WORD, nullable=True, visible=_STEP_OF_VISIBLE_PROCESS
        ),
        "in_doubt": Column("{t}.in_doubt", ColumnKind.BOOLEAN),
        "attempt": Column("{t}.attempt", ColumnKind.INTEGER),
        "retry_at": Column("{t}.retry_at", ColumnKind.TIME, nullable=True),
        **_TIMES,
    },
    {
        "execution": Relation("execution", "{t}.id = {s}.execution_id", many=False, in_tree=True),
        "subprocess": Relation("process", "{t}.id = {s}.subprocess_id", many=False),
        "subexecution": Relation(
            "execution", "{t}.parent_step_id = {s}.id", many=False, in_tree=True
        ),
    },
    {
        "arguments": _ARGUMENTS,
        "attempts": EmbeddedList(
            ATTEMPTS,
            tuple(ATTEMPT_COLUMNS),
            columns={
                name: replace(column, visible=_STEP_OF_VISIBLE_PROCESS)
                if name in ("error", "error_code")
                else column
                for name, column in ATTEMPT_COLUMNS.items()
            },
            order="place",
        ),
    },
    visible=(
        "EXISTS (SELECT FROM execution AS owner WHERE owner.id = {t}.execution_id AND "
        + _EXECUTION_VISIBLE.replace("{t}", "owner")
        + ")"
    ),
)

# The profile of the caller.
VIEWER = Table(
    "profile",
    "Viewer",
    {
        "database_id": Column("{t}.id", ColumnKind.INTEGER),
        "permissions": PROFILE.columns["permissions"],
        "sees_all": PROFILE.columns["sees_all"],
    },
    {"profile": Relation("profile", "{t}.id = {s}.id", many=False)},
)

TABLES: Mapping[str, Table] = {
    "espace": ESPACE,
    "process": PROCESS,
    "action": ACTION,
    "input": INPUT,
    "profile": PROFILE,
    "source": SOURCE,
    "execution": EXECUTION,
    "execution_step": EXECUTION_STEP,
    "viewer": VIEWER,
}
"""Every table that a plan can name."""
