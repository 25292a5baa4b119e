"""The reference for reads: any query answered field by field, in plain Python, from plain rows.

graphql-core's own executor walks the operation over plain objects. What the contract says of
visibility, filters, orders, pages and cursors is written here a second time, as directly as it can
be said, and shares neither SQL nor planning with the product: whoever doubts an answer reads here
what it should be.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property, partial
from typing import Any, cast

from graphql import (
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    GraphQLField,
    GraphQLInterfaceType,
    GraphQLObjectType,
    GraphQLSchema,
    InlineFragmentNode,
    OperationDefinitionNode,
    SelectionSetNode,
    execute_sync,
    get_named_type,
    is_non_null_type,
)
from graphql.execution.values import (
    VariableValues,
    get_argument_values,
    get_directive_values,
    get_variable_values,
)
from graphql.type import GraphQLIncludeDirective, GraphQLSkipDirective

Row = Mapping[str, Any]
Where = Mapping[str, Any]

LARGEST_PAGE = 100
DEFAULT_PAGE = 20
LARGEST_ID = 2**31 - 1
KINDS = ("number", "integer", "boolean", "choice", "time", "color")


def global_id(type_name: str, number: int) -> str:
    return base64.b64encode(f"{type_name}:{number}".encode()).decode()


# What the rows say, without asking who looks -----------------------------------------------------


def time(value: datetime | None) -> str | None:
    return None if value is None else f"{value.astimezone(UTC):%Y-%m-%dT%H:%M:%S.%f}Z"


def state(enabled: bool) -> str:
    return "ENABLED" if enabled else "DISABLED"


def word(value: str) -> str:
    return value.replace(":", "_").upper()


def sees_all(profile: Row) -> bool:
    return bool(profile["built_in"] or "admin" in profile["permissions"])


def display_name(process: Row) -> str:
    if process["mode"] == "switch":
        by_state = process["name_enable"] if process["enabled"] else process["name_disable"]
        return str(by_state or process["name"])
    return str(process["name"])


TABLES = {
    "Espace": "espace",
    "Process": "process",
    "Action": "action",
    "Input": "input",
    "Profile": "profile",
    "Source": "source",
    "Execution": "execution",
    "ExecutionStep": "execution_step",
}

# The type at the other end of each field that leads to rows, and whether it has one, many or pages.
RELATIONS: dict[str, dict[str, tuple[str, str]]] = {
    "Espace": {"processes": ("page", "Process")},
    "Process": {
        "espace": ("one", "Espace"),
        "actions": ("many", "Action"),
        "inputs": ("many", "Input"),
        "profiles": ("many", "Profile"),
        "subprocesses": ("many", "Process"),
        "usedBy": ("many", "Process"),
        "executions": ("page", "Execution"),
    },
    "Action": {
        "process": ("one", "Process"),
        "source": ("one", "Source"),
        "subprocess": ("one", "Process"),
    },
    "Input": {"process": ("one", "Process")},
    "Profile": {"processes": ("page", "Process")},
    "Source": {"processes": ("page", "Process")},
    "Execution": {
        "process": ("one", "Process"),
        "steps": ("many", "ExecutionStep"),
        "parentStep": ("one", "ExecutionStep"),
    },
    "ExecutionStep": {
        "execution": ("one", "Execution"),
        "subprocess": ("one", "Process"),
        "subexecution": ("one", "Execution"),
    },
    "Viewer": {"profile": ("one", "Profile")},
}

# The root fields that need a permission.
PERMISSIONS = {
    "processes": "process:read",
    "process": "process:read",
    "executions": "process:read",
    "execution": "process:read",
    "sources": "admin",
    "source": "admin",
}

ROOT_PAGES = {
    "espaces": "Espace",
    "processes": "Process",
    "profiles": "Profile",
    "sources": "Source",
    "executions": "Execution",
}

ORDER_COLUMNS = {"DATABASE_ID": "database_id", "REFERENCE": "reference", "NAME": "name"}


# Orders and cursors ------------------------------------------------------------------------------

Order = tuple[tuple[str, bool], ...]
"""Columns, and whether each goes downward."""


def order_of(type_name: str, order_by: Sequence[Mapping[str, str]] | None) -> Order:
    """The whole order: what is asked for, and the id where that leaves ties."""
    keys: dict[str, bool] = {}
    for key in order_by or ():
        column = ORDER_COLUMNS[key["field"]]
        keys.setdefault(column, key["direction"] == "DESC")
        if column in ("database_id", "reference"):
            return tuple(keys.items())
    if not keys:
        return (("database_id", type_name == "Execution"),)
    keys["database_id"] = list(keys.values())[-1]
    return tuple(keys.items())


def place_of(row: Row, order: Order) -> list[Any]:
    return [row["id" if column == "database_id" else column] for column, _ in order]


def cursor_of(row: Row, order: Order) -> str:
    described = ",".join(("-" if downward else "") + column for column, downward in order)
    parts = [described, *place_of(row, order)]
    text = "[" + ", ".join(json.dumps(part, ensure_ascii=False) for part in parts) + "]"
    return base64.b64encode(text.encode()).decode()


def read_cursor(text: str, order: Order) -> list[Any] | None:
    """The place that a cursor of this order stands for; None where it is none."""
    try:
        described, *place = json.loads(base64.b64decode(text, validate=True))
        wanted = ",".join(("-" if downward else "") + column for column, downward in order)
        types = [int if column == "database_id" else str for column, _ in order]
        if described != wanted or [type(part) for part in place] != types:
            return None
        if any(abs(part) > LARGEST_ID for part in place if isinstance(part, int)):
            return None
        return place if all(storable(part) for part in place) else None
    except (ValueError, TypeError):
        return None


def compare(one: Sequence[Any], other: Sequence[Any], order: Order) -> int:
    """Less than, equal to or greater than 0, as ``one`` comes before, at or after ``other``."""
    for left, right, (_, downward) in zip(one, other, order, strict=True):
        if left != right:
            return -1 if (left < right) is not downward else 1
    return 0


# What is wrong with arguments --------------------------------------------------------------------


def storable(value: object) -> bool:
    return not isinstance(value, str) or ("\0" not in value and not any(map(surrogate, value)))


def surrogate(character: str) -> bool:
    return "\ud800" <= character <= "\udfff"


def read_id(text: str) -> tuple[str, int] | None:
    try:
        type_name, digits = base64.b64decode(text, validate=True).decode("ascii").split(":")
    except ValueError:
        return None
    if not digits.isdecimal() or len(digits) > 10 or not 0 < int(digits) <= LARGEST_ID:
        return None
    return type_name, int(digits)


Path = tuple[str | int, ...]


def wrong_texts(where: Any, path: Path) -> Iterator[Path]:
    """The operands of a filter that no database can hold."""
    for key, value in (where or {}).items():
        if isinstance(value, Mapping):
            yield from wrong_texts(value, (*path, key))
        elif isinstance(value, list) and value and isinstance(value[0], Mapping):
            for place, part in enumerate(value):
                yield from wrong_texts(part, (*path, key, place))
        elif not all(storable(item) for item in (value if isinstance(value, list) else [value])):
            yield (*path, key)


def wrong_page(type_name: str, arguments: Mapping[str, Any], path: Path) -> Iterator[Path]:
    first, last = arguments.get("first"), arguments.get("last")
    if first is not None and last is not None:
        yield (*path, "last")
    for name, size in (("first", first), ("last", last)):
        if size is not None and not 0 <= size <= LARGEST_PAGE:
            yield (*path, name)
    order = order_of(type_name, arguments.get("orderBy"))
    for name in ("after", "before"):
        cursor = arguments.get(name)
        if cursor is not None and read_cursor(cursor, order) is None:
            yield (*path, name)
    yield from wrong_texts(arguments.get("where"), (*path, "where"))


def wrong_lookup(type_name: str, arguments: Mapping[str, Any], path: Path) -> Iterator[Path]:
    given = {name: value for name, value in arguments.items() if value is not None}
    if len(given) != 1:
        yield path
    for name, value in given.items():
        found = read_id(value) if name == "id" else (type_name, 0)
        if found is None or found[0] != type_name or not storable(value):
            yield (*path, name)


def wrong_nodes(arguments: Mapping[str, Any], path: Path) -> Iterator[Path]:
    if "id" in arguments and read_id(arguments["id"]) is None:
        yield (*path, "id")
    ids = arguments.get("ids", [])
    if len(ids) > LARGEST_PAGE:
        yield (*path, "ids")
    for place, text in enumerate(ids):
        if read_id(text) is None:
            yield (*path, "ids", place)


# Who sees what, and the answer -------------------------------------------------------------------


@dataclass(frozen=True)
class Expected:
    """What a query should be answered with."""

    data: dict[str, Any] | None
    errors: tuple[WrongField, ...]


@dataclass(frozen=True)
class WrongField:
    """A root field that is refused."""

    key: str
    line: int
    column: int
    code: str
    paths: frozenset[Path]
    """Of bad input: where it is. The product names one of them."""


class Reference:
    """What one viewer sees of a database.

    Args:
        rows: every row of every table.
        profile_id: the viewer's profile.
    """

    def __init__(
        self, schema: GraphQLSchema, rows: Mapping[str, Sequence[Row]], profile_id: int
    ) -> None:
        self.schema = schema
        self.rows = rows
        self.by_id = {table: {row["id"]: row for row in rows[table]} for table in TABLES.values()}
        self.viewer = self.by_id["profile"][profile_id]
        self.may_read = self.may("process:read")
        self.authorised = {
            row["process_id"] for row in rows["authorisation"] if row["profile_id"] == profile_id
        }
        self._related: dict[tuple[str, str, int], list[Row]] = {}
        self._scalars: dict[tuple[str, int], dict[str, Any]] = {}

    def may(self, permission: str) -> bool:
        return permission in self.viewer["permissions"] or "admin" in self.viewer["permissions"]

    def knows(self, process_id: int | None) -> bool:
        """Whether the process with this id exists to the viewer."""
        if process_id is None or not self.may_read:
            return False
        return sees_all(self.viewer) or process_id in self.authorised

    def sees(self, type_name: str, row: Row) -> bool:
        match type_name:
            case "Process":
                return self.knows(row["id"])
            case "Action" | "Input":
                return self.knows(row["process_id"])
            case "Source":
                return "admin" in self.viewer["permissions"]
            case "Execution":
                if row["process_id"] is not None:
                    return self.knows(row["process_id"])
                own = row["profile_id"] == self.viewer["id"]
                return self.may_read and (sees_all(self.viewer) or own)
            case "ExecutionStep":
                return self.sees("Execution", self.by_id["execution"][row["execution_id"]])
            case _:
                return True

    def all(self, type_name: str) -> list[Row]:
        """Every row of the type that the viewer sees, by id."""
        return [
            row
            for _, row in sorted(self.by_id[TABLES[type_name]].items())
            if self.sees(type_name, row)
        ]

    # Fields ------------------------------------------------------------------------------------

    def scalars(self, type_name: str, row: Row) -> dict[str, Any]:
        """The fields of an object that lead to no other rows."""
        key = (type_name, row["id"])
        if key not in self._scalars:
            self._scalars[key] = self._scalars_of(type_name, row)
        return self._scalars[key]

    def _scalars_of(self, type_name: str, row: Row) -> dict[str, Any]:
        ids = {"id": global_id(type_name, row["id"]), "databaseId": row["id"]}
        match type_name:
            case "Espace":
                return ids | _same(row, "reference", "name", "description", "icon")
            case "Process":
                return (
                    ids
                    | _same(row, "reference", "name", "description", "icon")
                    | {
                        "nameEnable": row["name_enable"],
                        "nameDisable": row["name_disable"],
                        "displayName": display_name(row),
                        "mode": word(row["mode"]),
                        "state": state(row["enabled"]),
                    }
                )
            case "Action":
                return ids | {
                    "position": row["position"],
                    "sourceName": self.by_id["source"][row["source_id"]]["name"],
                    "action": row["action"],
                    "runsWhen": state(row["enabled"]),
                    "arguments": row["arguments"],
                }
            case "Input":
                return (
                    ids
                    | _same(row, "position", "reference", "name", "type")
                    | {
                        "kind": word(row["type"] if row["type"] in KINDS else "text"),
                        "askedWhen": state(row["enabled"]),
                    }
                )
            case "Profile":
                return ids | {
                    "name": row["name"],
                    "permissions": [word(permission) for permission in row["permissions"]],
                    "seesAll": sees_all(row),
                }
            case "Source":
                return (
                    ids
                    | _same(row, "name", "kind", "settings")
                    | {"secretSettings": list(row["secrets"]), "builtIn": row["built_in"]}
                )
            case "Execution":
                return ids | {
                    "processReference": row["process_reference"],
                    "processName": row["process_name"],
                    "status": word(row["status"]),
                    "state": state(row["enabled"]),
                    "inputs": row["inputs"],
                    "error": row["error"],
                    "askedBy": row["profile_name"],
                    "nested": row["parent_step_id"] is not None,
                    "startedAt": time(row["started_at"]),
                    "finishedAt": time(row["finished_at"]),
                }
            case "ExecutionStep":
                shown = row["source_name"] != "process" or (
                    sees_all(self.viewer) or self.knows(row["subprocess_id"])
                )
                return ids | {
                    "position": row["position"],
                    "sourceName": row["source_name"],
                    "action": row["action"],
                    "arguments": row["arguments"],
                    "status": word(row["status"]),
                    "result": row["result"] if shown else None,
                    "error": row["error"] if shown else None,
                    "startedAt": time(row["started_at"]),
                    "finishedAt": time(row["finished_at"]),
                }
        raise ValueError(type_name)

    def related(self, type_name: str, name: str, row: Row) -> list[Row]:
        """The rows that a field leads to, in order, as far as the viewer sees them."""
        key = (type_name, name, row["id"])
        if key not in self._related:
            target = RELATIONS[type_name][name][1]
            self._related[key] = [
                other
                for other in self._reached(f"{type_name}.{name}", row)
                if self.sees(target, other)
            ]
        return self._related[key]

    def _reached(self, coordinate: str, row: Row) -> Iterable[Row]:
        match coordinate:
            case "Viewer.profile":
                return [row]
            case "Espace.processes":
                return self._having("process", espace_id=row["id"])
            case "Process.espace":
                return self._one("espace", row["espace_id"])
            case "Process.actions":
                return self._having("action", "position", process_id=row["id"])
            case "Process.inputs":
                return self._having("input", "position", process_id=row["id"])
            case "Process.profiles":
                granted = self._having("authorisation", None, process_id=row["id"])
                return self._among("profile", {grant["profile_id"] for grant in granted})
            case "Process.subprocesses":
                actions = self._having("action", "position", process_id=row["id"])
                called = dict.fromkeys(action["subprocess_id"] for action in actions)
                return [self.by_id["process"][id_] for id_ in called if id_ is not None]
            case "Process.usedBy":
                calls = self._having("action", subprocess_id=row["id"])
                return self._among("process", {call["process_id"] for call in calls})
            case "Process.executions":
                return self._having("execution", process_id=row["id"])
            case "Profile.processes":
                granted = self._having("authorisation", None, profile_id=row["id"])
                return self._among("process", {grant["process_id"] for grant in granted})
            case "Source.processes":
                actions = self._having("action", source_id=row["id"])
                return self._among("process", {action["process_id"] for action in actions})
            case "Action.source":
                return self._one("source", row["source_id"])
            case "Action.process" | "Input.process" | "Execution.process":
                return self._one("process", row["process_id"])
            case "Action.subprocess" | "ExecutionStep.subprocess":
                return self._one("process", row["subprocess_id"])
            case "Execution.steps":
                return self._having("execution_step", "position", execution_id=row["id"])
            case "Execution.parentStep":
                return self._one("execution_step", row["parent_step_id"])
            case "ExecutionStep.execution":
                return self._one("execution", row["execution_id"])
            case "ExecutionStep.subexecution":
                return self._having("execution", parent_step_id=row["id"])
        raise ValueError(coordinate)

    def _having(self, table: str, order: str | None = "id", **values: object) -> list[Row]:
        found = [
            row
            for row in self.rows[table]
            if all(row[column] == value for column, value in values.items())
        ]
        return found if order is None else sorted(found, key=lambda row: row[order])

    def _among(self, table: str, ids: set[int]) -> list[Row]:
        return [self.by_id[table][id_] for id_ in sorted(ids)]

    def _one(self, table: str, id_: int | None) -> list[Row]:
        return [] if id_ is None else [self.by_id[table][id_]]

    # Filters -----------------------------------------------------------------------------------

    def holds(self, type_name: str, row: Row, where: Where | None) -> bool:
        return all(
            self._condition_holds(type_name, row, key, value)
            for key, value in (where or {}).items()
            if value is not None
        )

    def _condition_holds(self, type_name: str, row: Row, key: str, value: Any) -> bool:
        match key:
            case "and":
                return all(self.holds(type_name, row, part) for part in value)
            case "or":
                return any(self.holds(type_name, row, part) for part in value)
            case "not":
                return not self.holds(type_name, row, value)
        if key in RELATIONS[type_name]:
            target = RELATIONS[type_name][key][1]
            others = self.related(type_name, key, row)
            return any(self.holds(target, other, value) for other in others)
        shown = self.scalars(type_name, row)[key]
        if not isinstance(value, Mapping):
            return bool(shown == value)
        return all(
            _compares(shown, operator, operand)
            for operator, operand in value.items()
            if operand is not None
        )

    # Objects for the executor ------------------------------------------------------------------

    def object(self, type_name: str, row: Row) -> dict[str, Any]:
        """What graphql-core's default resolvers read: values, and functions of arguments."""
        shown: dict[str, Any] = {"__typename": type_name}
        if type_name == "Viewer":
            profile = self.scalars("Profile", row)
            shown |= {name: profile[name] for name in ("permissions", "seesAll")}
        else:
            shown |= self.scalars(type_name, row)
        for name, (how, target) in RELATIONS[type_name].items():
            resolve: Callable[..., Any] = {
                "one": self._resolve_one,
                "many": self._resolve_many,
                "page": self._resolve_page,
            }[how]
            shown[name] = partial(resolve, type_name, name, row, target)
        return shown

    def _resolve_one(self, type_name: str, name: str, row: Row, target: str, _: Any) -> Any:
        found = self.related(type_name, name, row)
        return self.object(target, found[0]) if found else None

    def _resolve_many(self, type_name: str, name: str, row: Row, target: str, _: Any) -> Any:
        return [self.object(target, other) for other in self.related(type_name, name, row)]

    def _resolve_page(
        self, type_name: str, name: str, row: Row, target: str, _: Any, **arguments: Any
    ) -> Any:
        return self.page(target, self.related(type_name, name, row), arguments)

    def page(
        self, type_name: str, rows: Sequence[Row], arguments: Mapping[str, Any]
    ) -> dict[str, Any]:
        order = order_of(type_name, arguments.get("orderBy"))
        rows = [row for row in rows if self.holds(type_name, row, arguments.get("where"))]
        for column, downward in reversed(order):
            rows = sorted(rows, key=lambda row: place_of(row, ((column, False),)), reverse=downward)
        after, before = (
            read_cursor(arguments[name], order) if arguments.get(name) is not None else None
            for name in ("after", "before")
        )

        def beyond(bound: Sequence[Any] | None, side: int) -> list[Row]:
            """The rows at a bound and on this side of it (-1: before, 1: after)."""
            if bound is None:
                return []
            return [row for row in rows if compare(place_of(row, order), bound, order) != -side]

        # What a bound leaves out lies beyond the page, as does what the size cuts off.
        left_out_before, left_out_after = beyond(after, -1), beyond(before, 1)
        left = [row for row in rows if row not in left_out_before and row not in left_out_after]
        first, last = arguments.get("first"), arguments.get("last")
        if last is None:
            size = DEFAULT_PAGE if first is None else first
            shown, cut_before, cut_after = left[:size], [], left[size:]
        else:
            start = max(0, len(left) - last)
            shown, cut_before, cut_after = left[start:], left[:start], []
        edges = [
            {"cursor": cursor_of(row, order), "node": self.object(type_name, row)} for row in shown
        ]
        return {
            "edges": edges,
            "nodes": [edge["node"] for edge in edges],
            "totalCount": len(rows),
            "pageInfo": {
                "hasNextPage": bool(left_out_after or cut_after),
                "hasPreviousPage": bool(left_out_before or cut_before),
                "startCursor": edges[0]["cursor"] if edges else None,
                "endCursor": edges[-1]["cursor"] if edges else None,
            },
        }

    # Root fields -------------------------------------------------------------------------------

    @cached_property
    def root(self) -> dict[str, Any]:
        """The object that queries start from."""

        def page(type_name: str, _: Any, **arguments: Any) -> Any:
            return self.page(type_name, self.all(type_name), arguments)

        def lookup(type_name: str, _: Any, **arguments: Any) -> Any:
            ((name, wanted),) = ((n, v) for n, v in arguments.items() if v is not None)
            for row in self.all(type_name):
                if self.scalars(type_name, row)[name] == (
                    wanted if name != "id" else global_id(*cast("tuple[str, int]", read_id(wanted)))
                ):
                    return self.object(type_name, row)
            return None

        def node(_: Any, id: str) -> Any:  # noqa: A002 the argument's name in the schema
            type_name, number = cast("tuple[str, int]", read_id(id))
            row = self.by_id.get(TABLES.get(type_name, ""), {}).get(number)
            seen = row is not None and self.sees(type_name, row)
            return self.object(type_name, row) if row is not None and seen else None

        return {
            "viewer": self.object("Viewer", self.viewer),
            "node": node,
            "nodes": lambda info, ids: [node(info, id_) for id_ in ids],
            **{name: partial(page, type_name) for name, type_name in ROOT_PAGES.items()},
            **{
                type_name[:1].lower() + type_name[1:]: partial(lookup, type_name)
                for type_name in ROOT_PAGES.values()
            },
        }

    def answer(self, document: DocumentNode, variables: Mapping[str, Any]) -> Expected:
        """What a valid query should be answered with, given variables that fit."""
        judge = _Judge(self.schema, document, variables)
        errors, refused = [], set()
        for key, field in judge.roots.items():
            name = field.name.value
            permission = PERMISSIONS.get(name)
            if permission is not None and not self.may(permission):
                code, paths = "FORBIDDEN", frozenset[Path]()
            else:
                code, paths = "BAD_USER_INPUT", frozenset(judge.wrong(key))
                if not paths:
                    continue
            assert field.loc is not None
            token = field.loc.start_token
            errors.append(WrongField(key, token.line, token.column, code, paths))
            refused.add(key)
        if any(is_non_null_type(judge.definition(judge.roots[key]).type) for key in refused):
            return Expected(None, tuple(errors))

        def unless_refused(value: Any, info: Any, **arguments: Any) -> Any:
            if info.path.key in refused:
                return None
            return value(info, **arguments) if callable(value) else value

        root = {name: partial(unless_refused, value) for name, value in self.root.items()}
        result = execute_sync(self.schema, document, root, variable_values=dict(variables))
        assert not result.errors, result.errors
        return Expected(result.data, tuple(errors))


def _same(row: Row, *columns: str) -> dict[str, Any]:
    return {column: row[column] for column in columns}


def _compares(value: Any, operator: str, operand: Any) -> bool:
    match operator:
        case "eq":
            return bool(value == operand)
        case "in":
            return value in operand
        case "contains":
            return operand in value
        case "startsWith":
            return bool(value.startswith(operand))
        case "lt":
            return bool(value < operand)
        case "lte":
            return bool(value <= operand)
        case "gt":
            return bool(value > operand)
        case "gte":
            return bool(value >= operand)
    raise ValueError(operator)


class _Judge:
    """Finds every wrong argument of an operation before anything of it is answered."""

    def __init__(
        self, schema: GraphQLSchema, document: DocumentNode, variables: Mapping[str, Any]
    ) -> None:
        self.schema = schema
        self.fragments = {
            definition.name.value: definition
            for definition in document.definitions
            if isinstance(definition, FragmentDefinitionNode)
        }
        (self.operation,) = (
            definition
            for definition in document.definitions
            if isinstance(definition, OperationDefinitionNode)
        )
        coerced = get_variable_values(
            schema, self.operation.variable_definitions or (), dict(variables)
        )
        assert isinstance(coerced, VariableValues), coerced
        self.variables = coerced
        query = schema.query_type
        assert query is not None
        self.query = query
        self.selected = list(self.fields(query, {query.name}, self.operation.selection_set))

    @cached_property
    def roots(self) -> dict[str, FieldNode]:
        """The first field of each key, in order."""
        found: dict[str, FieldNode] = {}
        for _, field in self.selected:
            found.setdefault(_key(field), field)
        return {key: field for key, field in found.items() if field.name.value != "__typename"}

    def definition(self, root: FieldNode) -> GraphQLField:
        field: GraphQLField = self.query.fields[root.name.value]
        return field

    def fields(
        self,
        type_: GraphQLObjectType | GraphQLInterfaceType,
        possible: set[str],
        selection_set: SelectionSetNode,
    ) -> Iterator[tuple[GraphQLObjectType | GraphQLInterfaceType, FieldNode]]:
        """The fields selected, each with the type that it is selected of.

        Args:
            possible: the names of the object types that objects can have here.
        """
        for selection in selection_set.selections:
            if not self.included(selection):
                continue
            if isinstance(selection, FieldNode):
                yield type_, selection
                continue
            inner: Any = (
                selection
                if isinstance(selection, InlineFragmentNode)
                else self.fragments[cast("Any", selection).name.value]
            )
            narrowed: Any = type_
            if inner.type_condition is not None:
                narrowed = self.schema.type_map[inner.type_condition.name.value]
            left = possible & self.object_types(narrowed)
            if left:
                yield from self.fields(narrowed, left, inner.selection_set)

    def object_types(self, type_: GraphQLObjectType | GraphQLInterfaceType) -> set[str]:
        if isinstance(type_, GraphQLInterfaceType):
            return {possible.name for possible in self.schema.get_possible_types(type_)}
        return {type_.name}

    def included(self, node: Any) -> bool:
        skip = get_directive_values(GraphQLSkipDirective, node, self.variables)
        include = get_directive_values(GraphQLIncludeDirective, node, self.variables)
        return not (skip and skip["if"]) and bool(include is None or include["if"])

    def wrong(self, key: str) -> Iterator[Path]:
        """Where the arguments of a root field, and of all below it, are wrong."""
        for type_, field in self.selected:
            if _key(field) == key:
                yield from self._wrong(type_, field, ())

    def _wrong(
        self, type_: GraphQLObjectType | GraphQLInterfaceType, field: FieldNode, above: Path
    ) -> Iterator[Path]:
        if field.name.value == "__typename":
            return
        definition, path = type_.fields[field.name.value], (*above, _key(field))
        arguments = get_argument_values(definition, field, self.variables)
        target: Any = get_named_type(definition.type)
        if "first" in definition.args:
            node: Any = get_named_type(target.fields["nodes"].type)
            yield from wrong_page(node.name, arguments, path)
        elif type_ is self.query and field.name.value in ("node", "nodes"):
            yield from wrong_nodes(arguments, path)
        elif type_ is self.query and definition.args:
            yield from wrong_lookup(target.name, arguments, path)
        if field.selection_set is not None:
            inner = self.fields(target, self.object_types(target), field.selection_set)
            for inner_type, selected in inner:
                yield from self._wrong(inner_type, selected, path)


def _key(field: FieldNode) -> str:
    return field.alias.value if field.alias else field.name.value
