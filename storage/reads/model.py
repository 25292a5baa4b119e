"""In charge of what the database looks like to a plan: tables, their columns and relations.

Pure data. A column or relation has one name here, in snake case; the GraphQL schema uses the same
names in camel case, and a test holds the two together. In the SQL fragments ``{t}`` stands for the
alias of the row itself, ``{s}`` for the alias of the row that a relation starts from and ``{link}``
for the alias of a table between the two.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum

from storage.reads.json_text import Pieces, Sql, or_null
from storage.reads.plan import OrderKey, ValueFormat


class ColumnKind(Enum):
    """What a column holds, which decides how it is written and compared."""

    INTEGER = "integer"
    TEXT = "text"
    TEXTS = "texts"
    """An array of texts."""
    PLAIN = "plain"
    """A text that JSON needs no escapes for."""
    BOOLEAN = "boolean"
    WORD = "word"
    """A lower-case word; an enum value in GraphQL."""
    WORDS = "words"
    """An array of words such as ``process:read``."""
    STATE = "state"
    """A boolean that says enabled or disabled."""
    TIME = "time"
    JSON = "json"


SQL_TYPES: Mapping[ColumnKind, str] = {
    ColumnKind.INTEGER: "integer",
    ColumnKind.TEXT: "text",
    ColumnKind.BOOLEAN: "boolean",
    ColumnKind.WORD: "text",
    ColumnKind.STATE: "boolean",
    ColumnKind.TIME: "timestamptz",
}
"""The PostgreSQL type of a value that a column of this kind is compared with."""


def json_string(expression: str) -> Sql:
    """An SQL text, which is not null, as a JSON string."""
    return Sql(f"json_text({expression})")


@dataclass(frozen=True, slots=True)
class Column:
    """A value of a row."""

    sql: str
    kind: ColumnKind = ColumnKind.TEXT
    nullable: bool = False
    visible: str | None = None
    """Like ``Table.visible``, of this value alone: it is null where that does not hold."""
    compared_within: str | None = None
    """Where the value is another table's: the condition that puts a comparison into that table,
    so that its index serves. ``{comparison}`` is the comparison, of the column ``name``."""

    def render(self, alias: str, value_format: ValueFormat) -> Pieces:
        """The value as JSON text, of the row with this alias."""
        value = self.sql.format(t=alias)
        graphql = value_format is ValueFormat.GRAPHQL
        match self.kind:
            case ColumnKind.INTEGER:
                return (Sql(value),)
            case ColumnKind.TEXT:
                if self.nullable:
                    return or_null(f"json_text({value})::text")
                return (json_string(value),)
            case ColumnKind.WORD:
                return '"', Sql(f"upper({value})" if graphql else value), '"'
            case ColumnKind.WORDS if graphql:
                return (Sql(f"to_json(upper(replace({value}::text, ':', '_'))::text[])"),)
            case ColumnKind.STATE if graphql:
                return '"', Sql(f"CASE WHEN {value} THEN 'ENABLED' ELSE 'DISABLED' END"), '"'
            case ColumnKind.BOOLEAN if graphql:
                return (Sql(f"({value})::text"),)
            case ColumnKind.STATE | ColumnKind.BOOLEAN:
                return (Sql(f"({value})::integer"),)
            case ColumnKind.TIME:
                # RFC 3339 in UTC whatever the session's time zone.
                form = '\'YYYY-MM-DD"T"HH24:MI:SS.US"Z"\''
                utc = f"to_char({value} AT TIME ZONE 'UTC', {form})"
                return (
                    or_null(f"""'"' || {utc} || '"'""") if self.nullable else ('"', Sql(utc), '"')
                )
            case ColumnKind.JSON if self.nullable:
                return or_null(f"{value}::text")
            case ColumnKind.PLAIN:
                return '"', Sql(value), '"'
            case _:
                return (Sql(f"to_json({value})"),)


@dataclass(frozen=True, slots=True)
class Relation:
    """A way from one row to others."""

    target: str
    """The table at the other end."""
    joins: str
    """The condition that ties ``{t}`` (or ``{link}``) to ``{s}``."""
    many: bool = True
    link: str | None = None
    """A table or sub-select between the two, as ``{link}``, and its join to ``{t}``."""
    order: tuple[str, ...] = ("{t}.id",)
    """What a whole list is ordered by."""
    owned: bool = False
    """The rows are parts of ``{s}``, and may be seen by whoever may see that."""
    tested: Relation | None = None
    """The relation as filters test it, where showing it takes more: a plain join, which PostgreSQL
    can begin at either end."""


@dataclass(frozen=True, slots=True)
class EmbeddedList:
    """A list of objects that the row itself holds as a JSON array."""

    sql: str
    fields: tuple[str, ...]
    """The keys of each object, in the order in which they are stored."""


@dataclass(frozen=True, slots=True)
class Table:
    """A table as plans see it."""

    name: str
    type_name: str
    """The name of its rows in opaque ids, and of their GraphQL type."""
    columns: Mapping[str, Column]
    relations: Mapping[str, Relation] = field(default_factory=dict)
    embedded: Mapping[str, EmbeddedList] = field(default_factory=dict)
    visible: str | None = None
    """What holds of the rows that a profile may see which does not see all (``{profile}``)."""
    admin_only: bool = False
    default_order: tuple[OrderKey, ...] = (OrderKey("database_id"),)


def _global_id(type_name: str) -> Column:
    """Relay's opaque id: the base64 of ``Type:id`` (``resolvers.ids`` reads it)."""
    return Column(f"encode(('{type_name}:' || {{t}}.id)::bytea, 'base64')", ColumnKind.PLAIN)


def _columns(type_name: str, **columns: Column) -> dict[str, Column]:
    """The columns of a table, with the two ids that every table has."""
    return {
        "id": _global_id(type_name),
        "database_id": Column("{t}.id", ColumnKind.INTEGER),
        **columns,
    }


def _authorised_on(process_id: str) -> str:
    """That the profile is authorised on the process with this id."""
    return (
        f"EXISTS (SELECT FROM authorisation AS granted WHERE granted.process_id = {process_id}"
        " AND granted.profile_id = {profile})"
    )


# Executions of a deleted process stay readable to the profile that asked for them.
_EXECUTION_VISIBLE = (
    "CASE WHEN {t}.process_id IS NULL THEN {t}.profile_id = {profile} ELSE "
    + _authorised_on("{t}.process_id")
    + " END"
)
# To whom a process does not exist, a step that ran it shows its reference, no more.
_STEP_OF_VISIBLE_PROCESS = "({t}.source_name <> 'process' OR " + (
    _authorised_on("{t}.subprocess_id") + ")"
)

_REFERENCE = Column("{t}.reference")
_NAME = Column("{t}.name")
_DESCRIPTION = Column("{t}.description")
_ICON = Column("{t}.icon")
_POSITION = Column("{t}.position", ColumnKind.INTEGER)
_STATE = Column("{t}.enabled", ColumnKind.STATE)
_BY_POSITION = ("{t}.position",)
_ARGUMENTS = EmbeddedList("{t}.arguments", ("reference", "value"))
_TIMES = {
    "started_at": Column("{t}.started_at", ColumnKind.TIME),
    "finished_at": Column("{t}.finished_at", ColumnKind.TIME, nullable=True),
}

ESPACE = Table(
    "espace",
    "Espace",
    _columns("Espace", reference=_REFERENCE, name=_NAME, description=_DESCRIPTION, icon=_ICON),
    {"processes": Relation("process", "{t}.espace_id = {s}.id")},
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
    ),
    {
        "espace": Relation("espace", "{t}.id = {s}.espace_id", many=False),
        "actions": Relation("action", "{t}.process_id = {s}.id", order=_BY_POSITION, owned=True),
        "inputs": Relation("input", "{t}.process_id = {s}.id", order=_BY_POSITION, owned=True),
        "profiles": Relation(
            "profile",
            "{link}.process_id = {s}.id",
            link="authorisation AS {link} ON {link}.profile_id = {t}.id",
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
            tested=Relation(
                "process",
                "{link}.process_id = {s}.id",
                link="action AS {link} ON {link}.subprocess_id = {t}.id",
            ),
        ),
        "used_by": Relation(
            "process",
            "{t}.id IN (SELECT process_id FROM action WHERE subprocess_id = {s}.id)",
            tested=Relation(
                "process",
                "{link}.subprocess_id = {s}.id",
                link="action AS {link} ON {link}.process_id = {t}.id",
            ),
        ),
        "executions": Relation("execution", "{t}.process_id = {s}.id"),
    },
    visible=_authorised_on("{t}.id"),
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
    ),
    {
        "process": Relation("process", "{t}.id = {s}.process_id", many=False),
        "source": Relation("source", "{t}.id = {s}.source_id", many=False),
        "subprocess": Relation("process", "{t}.id = {s}.subprocess_id", many=False),
    },
    {"arguments": _ARGUMENTS},
    visible=_authorised_on("{t}.process_id"),
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
    ),
    {"process": Relation("process", "{t}.id = {s}.process_id", many=False)},
    visible=_authorised_on("{t}.process_id"),
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
            "process", "{t}.id IN (SELECT process_id FROM action WHERE source_id = {s}.id)"
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
        status=Column("{t}.status", ColumnKind.WORD),
        state=_STATE,
        error=Column("{t}.error", nullable=True),
        asked_by=Column("{t}.profile_name"),
        nested=Column("{t}.parent_step_id IS NOT NULL", ColumnKind.BOOLEAN),
        **_TIMES,
    ),
    {
        "process": Relation("process", "{t}.id = {s}.process_id", many=False),
        "steps": Relation(
            "execution_step", "{t}.execution_id = {s}.id", order=_BY_POSITION, owned=True
        ),
        "parent_step": Relation("execution_step", "{t}.id = {s}.parent_step_id", many=False),
    },
    {"inputs": EmbeddedList("{t}.inputs", ("reference", "value"))},
    visible=_EXECUTION_VISIBLE,
    default_order=(OrderKey("database_id", descending=True),),
)

EXECUTION_STEP = Table(
    "execution_step",
    "ExecutionStep",
    _columns(
        "ExecutionStep",
        position=_POSITION,
        source_name=Column("{t}.source_name"),
        action=Column("{t}.action"),
        status=Column("{t}.status", ColumnKind.WORD),
        result=Column(
            "{t}.result", ColumnKind.JSON, nullable=True, visible=_STEP_OF_VISIBLE_PROCESS
        ),
        error=Column("{t}.error", nullable=True, visible=_STEP_OF_VISIBLE_PROCESS),
        **_TIMES,
    ),
    {
        "execution": Relation("execution", "{t}.id = {s}.execution_id", many=False),
        "subprocess": Relation("process", "{t}.id = {s}.subprocess_id", many=False),
        "subexecution": Relation("execution", "{t}.parent_step_id = {s}.id", many=False),
    },
    {"arguments": _ARGUMENTS},
    visible=(
        "EXISTS (SELECT FROM execution AS owner WHERE owner.id = {t}.execution_id AND "
        + _EXECUTION_VISIBLE.replace("{t}", "owner")
        + ")"
    ),
)

# Whoever asks: a profile, seen from itself.
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
