"""Compute what one viewer sees, as rows and as objects for graphql-core's executor."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from functools import cached_property, partial
from typing import Any, cast

from resolvers.execution.sources.catalogue import kinds_json
from resolvers.execution.sources.registry import installed_kinds
from tests.reference.model import (
    KINDS,
    RELATIONS,
    ROOT_PAGES,
    TABLES,
    Row,
    Rows,
    concurrency,
    display_name,
    global_id,
    may,
    read_id,
    sees_all,
    state,
    time,
    word,
    word_or_none,
)
from tests.reference.pages import compare, cursor_of, order_of, read_cursor, sort_key
from tests.reference.problems import problems_of
from tests.reference.versions import version_of

Where = Mapping[str, Any]

DEFAULT_PAGE = 20
TIMES = {
    "createdAt": "created_at",
    "updatedAt": "updated_at",
    "requestedAt": "requested_at",
    "startedAt": "started_at",
    "finishedAt": "finished_at",
}
"""The columns of the fields that are times."""


class Sight:
    """The data that one viewer sees.

    Args:
        rows: All rows of all tables.
        profile_id: The profile of the viewer.
    """

    def __init__(self, rows: Rows, profile_id: int) -> None:
        self.rows = rows
        self.by_id = {table: {row["id"]: row for row in rows[table]} for table in TABLES.values()}
        self.viewer = self.by_id["profile"][profile_id]
        self.may_read = may(self.viewer, "process:read")
        self.authorized = {
            row["process_id"] for row in rows["authorisation"] if row["profile_id"] == profile_id
        }
        self._related: dict[tuple[str, str, int], list[Row]] = {}
        self._scalars: dict[tuple[str, int], dict[str, Any]] = {}

    def knows(self, process_id: int | None) -> bool:
        """Return whether the viewer can see the process with this id."""
        if process_id is None or not self.may_read:
            return False
        return sees_all(self.viewer) or process_id in self.authorized

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
        """Return all rows of the type that the viewer can see, ordered by id."""
        return [
            row
            for _, row in sorted(self.by_id[TABLES[type_name]].items())
            if self.sees(type_name, row)
        ]

    # Fields ------------------------------------------------------------------------------------

    def scalars(self, type_name: str, row: Row) -> dict[str, Any]:
        """Return the fields of an object that are not relations."""
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
                        "concurrency": word(concurrency(row)),
                        "timeout": row["timeout"],
                        "version": version_of(row, self.rows),
                        "createdAt": time(row["created_at"]),
                        "updatedAt": time(row["updated_at"]),
                        "problems": problems_of(
                            row,
                            self.rows,
                            self.knows,
                            writes=may(self.viewer, "process:write"),
                        ),
                    }
                )
            case "Action":
                return ids | {
                    "position": row["position"],
                    "sourceName": self.by_id["source"][row["source_id"]]["name"],
                    "action": row["action"],
                    "runsWhen": state(row["enabled"]),
                    "arguments": row["arguments"],
                    "timeout": row["timeout"],
                    "retries": row["retries"],
                    "onFailure": word(row["on_failure"]),
                    "idempotent": row["idempotent"],
                }
            case "Input":
                return (
                    ids
                    | _same(row, "position", "reference", "name", "type")
                    | _same(row, "label", "help", "required", "min", "max", "step", "unit")
                    | _same(row, "pattern", "choices")
                    | {
                        "default": row["default_value"],
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
                root = self.by_id["execution"][row["root_id"] or row["id"]]
                own_steps = self._rows_with("execution_step", execution_id=row["id"])
                return ids | {
                    "processReference": row["process_reference"],
                    "processName": row["process_name"],
                    "status": word(row["status"]),
                    "state": state(row["enabled"]),
                    "inputs": row["inputs"],
                    "error": row["error"],
                    "errorCode": word_or_none(row["error_code"]),
                    "failedSteps": [step["status"] for step in own_steps].count("failed"),
                    "inDoubt": bool(self._steps_in_doubt(row)),
                    "askedBy": row["profile_name"],
                    "trigger": word(row["trigger"]),
                    "nested": row["parent_step_id"] is not None,
                    "dryRun": row["dry_run"],
                    "sequence": root["seq"],
                    "takeovers": root["takeovers"],
                    "requestedAt": time(row["requested_at"]),
                    "cancelRequestedAt": time(root["cancel_requested_at"]),
                    "deadline": time(root["deadline"]),
                    "startedAt": time(row["started_at"]),
                    "finishedAt": time(row["finished_at"]),
                }
            case "ExecutionStep":
                visible = self._shows_outcome(row)
                return ids | {
                    "position": row["position"],
                    "sourceName": row["source_name"],
                    "action": row["action"],
                    "arguments": row["arguments"],
                    "status": word(row["status"]),
                    "result": self._result(row),
                    "error": row["error"] if visible else None,
                    "errorCode": word_or_none(row["error_code"]) if visible else None,
                    "inDoubt": row["in_doubt"],
                    "attempt": row["attempt"],
                    "attempts": [
                        attempt if visible else attempt | {"error": None, "errorCode": None}
                        for attempt in attempts_of(row)
                    ],
                    "retryAt": time(row["retry_at"]),
                    "startedAt": time(row["started_at"]),
                    "finishedAt": time(row["finished_at"]),
                }
        raise ValueError(type_name)

    def _shows_outcome(self, step: Row) -> bool:
        """Return whether a step ran no process, or one that the viewer can see."""
        runs_process = step["source_name"] == "process"
        return not runs_process or sees_all(self.viewer) or self.knows(step["subprocess_id"])

    def _result(self, step: Row) -> Any:
        """Return the result of a step. That of a process consists of those of its steps."""
        if not self._shows_outcome(step):
            return None
        if step["result_is_set"] or step["status"] != "succeeded":
            return step["result"]
        return self._joined(step)

    def _joined(self, step: Row) -> Any:
        """Return the result of a step that ran a process."""
        for nested in self._rows_with("execution", parent_step_id=step["id"]):
            steps = self._rows_with("execution_step", "position", execution_id=nested["id"])
            return {"execution": nested["id"], "results": [self._nested(each) for each in steps]}
        return None

    def _nested(self, step: Row) -> Any:
        """Return what the result of a nested execution has of a step."""
        if step["status"] != "succeeded":
            return None
        # Whoever sees a process sees the results of its steps, of any source.
        known = sees_all(self.viewer) or self.knows(step["subprocess_id"])
        return step["result"] if step["result_is_set"] or not known else self._joined(step)

    def _steps_in_doubt(self, execution: Row) -> list[Row]:
        """Return the steps in doubt of an execution and of all that are nested in it, by id."""
        found: list[Row] = []
        for step in self._rows_with("execution_step", execution_id=execution["id"]):
            found += [step] if step["in_doubt"] else []
            for nested in self._rows_with("execution", parent_step_id=step["id"]):
                found += self._steps_in_doubt(nested)
        return sorted(found, key=lambda step: int(step["id"]))

    def related(self, type_name: str, name: str, row: Row) -> list[Row]:
        """Return the rows of a relation that the viewer can see, in order."""
        key = (type_name, name, row["id"])
        if key not in self._related:
            target = RELATIONS[type_name][name][1]
            self._related[key] = [
                other
                for other in self._all_related(f"{type_name}.{name}", row)
                if self.sees(target, other)
            ]
        return self._related[key]

    def _all_related(self, coordinate: str, row: Row) -> Iterable[Row]:
        match coordinate:
            case "Viewer.profile":
                return [row]
            case "Espace.processes":
                return self._rows_with("process", espace_id=row["id"])
            case "Process.espace":
                return self._row_by_id("espace", row["espace_id"])
            case "Process.actions":
                return self._rows_with("action", "position", process_id=row["id"])
            case "Process.inputs":
                return self._rows_with("input", "position", process_id=row["id"])
            case "Process.profiles":
                granted = self._rows_with("authorisation", None, process_id=row["id"])
                return self._rows_by_id("profile", {grant["profile_id"] for grant in granted})
            case "Process.subprocesses":
                actions = self._rows_with("action", "position", process_id=row["id"])
                called = dict.fromkeys(action["subprocess_id"] for action in actions)
                return [self.by_id["process"][id_] for id_ in called if id_ is not None]
            case "Process.usedBy":
                calls = self._rows_with("action", subprocess_id=row["id"])
                return self._rows_by_id("process", {call["process_id"] for call in calls})
            case "Process.executions":
                return self._rows_with("execution", process_id=row["id"])
            case "Profile.processes":
                granted = self._rows_with("authorisation", None, profile_id=row["id"])
                return self._rows_by_id("process", {grant["process_id"] for grant in granted})
            case "Source.processes":
                actions = self._rows_with("action", source_id=row["id"])
                return self._rows_by_id("process", {action["process_id"] for action in actions})
            case "Action.source":
                return self._row_by_id("source", row["source_id"])
            case "Action.process" | "Input.process" | "Execution.process":
                return self._row_by_id("process", row["process_id"])
            case "Action.subprocess" | "ExecutionStep.subprocess":
                return self._row_by_id("process", row["subprocess_id"])
            case "Execution.steps":
                return self._rows_with("execution_step", "position", execution_id=row["id"])
            case "Execution.inDoubtSteps":
                return self._steps_in_doubt(row)
            case "Execution.root":
                return self._row_by_id("execution", row["root_id"])
            case "Execution.replayOf":
                return self._row_by_id("execution", row["replay_of"])
            case "Execution.parentStep":
                return self._row_by_id("execution_step", row["parent_step_id"])
            case "ExecutionStep.execution":
                return self._row_by_id("execution", row["execution_id"])
            case "ExecutionStep.subexecution":
                return self._rows_with("execution", parent_step_id=row["id"])
        raise ValueError(coordinate)

    def _rows_with(self, table: str, order: str | None = "id", **values: object) -> list[Row]:
        rows = [
            row
            for row in self.rows[table]
            if all(row[column] == value for column, value in values.items())
        ]
        return rows if order is None else sorted(rows, key=lambda row: row[order])

    def _rows_by_id(self, table: str, ids: set[int]) -> list[Row]:
        return [self.by_id[table][id_] for id_ in sorted(ids)]

    def _row_by_id(self, table: str, id_: int | None) -> list[Row]:
        return [] if id_ is None else [self.by_id[table][id_]]

    # Filters -----------------------------------------------------------------------------------

    def matches(self, type_name: str, row: Row, where: Where | None) -> bool:
        return all(
            self._condition_matches(type_name, row, key, value)
            for key, value in (where or {}).items()
            if value is not None
        )

    def _condition_matches(self, type_name: str, row: Row, key: str, value: Any) -> bool:
        match key:
            case "and":
                return all(self.matches(type_name, row, part) for part in value)
            case "or":
                return any(self.matches(type_name, row, part) for part in value)
            case "not":
                return not self.matches(type_name, row, value)
        if key in RELATIONS[type_name]:
            target = RELATIONS[type_name][key][1]
            others = self.related(type_name, key, row)
            return any(self.matches(target, other, value) for other in others)
        actual = row[TIMES[key]] if key in TIMES else self.scalars(type_name, row)[key]
        if not isinstance(value, Mapping):
            return bool(actual == value)
        return all(
            actual is not None and _compares(actual, operator, operand)
            for operator, operand in value.items()
            if operand is not None
        )

    # Objects for the executor ------------------------------------------------------------------

    def object(self, type_name: str, row: Row) -> dict[str, Any]:
        """Return an object for graphql-core's default resolvers: values and resolver functions."""
        fields: dict[str, Any] = {"__typename": type_name}
        if type_name == "Viewer":
            profile = self.scalars("Profile", row)
            fields |= {name: profile[name] for name in ("permissions", "seesAll")}
        else:
            fields |= self.scalars(type_name, row)
        for name, (kind, target) in RELATIONS[type_name].items():
            resolve: Callable[..., Any] = {
                "one": self._resolve_one,
                "many": self._resolve_many,
                "page": self._resolve_page,
            }[kind]
            fields[name] = partial(resolve, type_name, name, row, target)
        return fields

    def _resolve_one(self, type_name: str, name: str, row: Row, target: str, _: Any) -> Any:
        rows = self.related(type_name, name, row)
        return self.object(target, rows[0]) if rows else None

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
        rows = [row for row in rows if self.matches(type_name, row, arguments.get("where"))]
        for column, descending in reversed(order):
            rows = sorted(
                rows, key=lambda row: sort_key(row, ((column, False),)), reverse=descending
            )
        after, before = (
            read_cursor(arguments[name], order) if arguments.get(name) is not None else None
            for name in ("after", "before")
        )

        def beyond(bound: Sequence[Any] | None, side: int) -> list[Row]:
            """Return the row at a cursor and the rows on one side of it (-1: before, 1: after)."""
            if bound is None:
                return []
            return [row for row in rows if compare(sort_key(row, order), bound, order) != -side]

        # Rows that a cursor excludes lie beyond the page, like rows that the page size cuts off.
        excluded_before, excluded_after = beyond(after, -1), beyond(before, 1)
        remaining = [
            row for row in rows if row not in excluded_before and row not in excluded_after
        ]
        first, last = arguments.get("first"), arguments.get("last")
        if last is None:
            size = DEFAULT_PAGE if first is None else first
            selected, cut_before, cut_after = remaining[:size], [], remaining[size:]
        else:
            start = max(0, len(remaining) - last)
            selected, cut_before, cut_after = remaining[start:], remaining[:start], []
        edges = [
            {"cursor": cursor_of(row, order), "node": self.object(type_name, row)}
            for row in selected
        ]
        return {
            "edges": edges,
            "nodes": [edge["node"] for edge in edges],
            "totalCount": len(rows),
            "pageInfo": {
                "hasNextPage": bool(excluded_after or cut_after),
                "hasPreviousPage": bool(excluded_before or cut_before),
                "startCursor": edges[0]["cursor"] if edges else None,
                "endCursor": edges[-1]["cursor"] if edges else None,
            },
        }

    # Root fields -------------------------------------------------------------------------------

    @cached_property
    def root(self) -> dict[str, Any]:
        """The root object of queries."""

        def page(type_name: str, _: Any, **arguments: Any) -> Any:
            return self.page(type_name, self.all(type_name), arguments)

        def lookup(type_name: str, _: Any, **arguments: Any) -> Any:
            ((name, key),) = ((n, v) for n, v in arguments.items() if v is not None)
            if name == "id":  # in its canonical form
                key = global_id(*cast("tuple[str, int]", read_id(key)))
            for row in self.all(type_name):
                if self.scalars(type_name, row)[name] == key:
                    return self.object(type_name, row)
            return None

        def node(_: Any, id: str) -> Any:  # noqa: A002 the argument's name in the schema
            type_name, number = cast("tuple[str, int]", read_id(id))
            row = self.by_id.get(TABLES.get(type_name, ""), {}).get(number)
            if row is None or not self.sees(type_name, row):
                return None
            return self.object(type_name, row)

        return {
            "viewer": self.object("Viewer", self.viewer),
            "node": node,
            "nodes": lambda info, ids: [node(info, id_) for id_ in ids],
            **{name: partial(page, type_name) for name, type_name in ROOT_PAGES.items()},
            **{
                type_name[:1].lower() + type_name[1:]: partial(lookup, type_name)
                for type_name in ROOT_PAGES.values()
            },
            "sourceKinds": json.loads(kinds_json(installed_kinds())),
            "availableSources": [
                {
                    "name": row["name"],
                    "kind": row["kind"],
                    "builtIn": row["built_in"],
                    **row["catalogue"],
                }
                for row in sorted(self.by_id["source"].values(), key=lambda row: row["name"])
            ],
        }


def attempts_of(step: Row) -> list[dict[str, Any]]:
    """Return the attempts of a step: the stored ones, and the current one, if there is one."""
    attempts = [
        {
            "startedAt": time(datetime.fromisoformat(attempt["startedAt"])),
            "finishedAt": time(datetime.fromisoformat(attempt["finishedAt"])),
            "error": attempt["error"],
            "errorCode": word_or_none(attempt["errorCode"]),
            "inDoubt": attempt["inDoubt"],
        }
        for attempt in step["attempts"]
    ]
    if step["status"] == "skipped" or len(attempts) == step["attempt"]:
        return attempts
    current = {
        "startedAt": time(step["attempted_at"]),
        "finishedAt": time(step["finished_at"]),
        "error": step["error"],
        "errorCode": word_or_none(step["error_code"]),
        "inDoubt": step["in_doubt"],
    }
    return [*attempts, current]


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
