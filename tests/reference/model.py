"""Describe the model independently of any viewer: tables, relations, and the format of values."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

Row = Mapping[str, Any]
Rows = Mapping[str, Sequence[Row]]
"""The rows of each table, by table name."""

LARGEST_ID = 2**31 - 1
LARGEST_IDS = {"ExecutionStep": 2**63 - 1}
"""The largest ids of the types whose ids have 64 bits."""
KINDS = ("number", "integer", "boolean", "choice", "time", "color")

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
"""The table of each object type."""

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
        "inDoubtSteps": ("many", "ExecutionStep"),
        "parentStep": ("one", "ExecutionStep"),
        "root": ("one", "Execution"),
        "replayOf": ("one", "Execution"),
    },
    "ExecutionStep": {
        "execution": ("one", "Execution"),
        "subprocess": ("one", "Process"),
        "subexecution": ("one", "Execution"),
    },
    "Viewer": {"profile": ("one", "Profile")},
}
"""The relations of each type, with their cardinality (one, many, or a page) and target type."""

ROOT_PAGES = {
    "espaces": "Espace",
    "processes": "Process",
    "profiles": "Profile",
    "sources": "Source",
    "executions": "Execution",
}
"""The root connections, and the type of their nodes."""

PERMISSIONS = {
    "processes": "process:read",
    "process": "process:read",
    "executions": "process:read",
    "execution": "process:read",
    "sources": "admin",
    "source": "admin",
    "availableSources": "process:write",
    "sourceKinds": "process:write",
}
"""The root fields that require a permission."""


def global_id(type_name: str, number: int) -> str:
    return base64.b64encode(f"{type_name}:{number}".encode()).decode()


def read_id(text: str) -> tuple[str, int] | None:
    """Return the type and the number that an id encodes, or None if it is invalid."""
    try:
        type_name, digits = base64.b64decode(text, validate=True).decode("ascii").split(":")
    except ValueError:
        return None
    largest = LARGEST_IDS.get(type_name, LARGEST_ID)
    if not digits.isdecimal() or len(digits) > len(str(largest)):
        return None
    if not 0 < int(digits) <= largest:
        return None
    return type_name, int(digits)


def time(value: datetime | None) -> str | None:
    return None if value is None else f"{value.astimezone(UTC):%Y-%m-%dT%H:%M:%S.%f}Z"


def state(enabled: bool) -> str:
    return "ENABLED" if enabled else "DISABLED"


def word(value: str) -> str:
    return value.replace(":", "_").upper()


def word_or_none(value: str | None) -> str | None:
    return None if value is None else word(value)


def sees_all(profile: Row) -> bool:
    return bool(profile["built_in"] or "admin" in profile["permissions"])


def may(profile: Row, permission: str) -> bool:
    return permission in profile["permissions"] or "admin" in profile["permissions"]


def concurrency(process: Row) -> str:
    """Return the concurrency of a process: a switch never runs in parallel."""
    switches = process["mode"] == "switch" and process["concurrency"] == "parallel"
    return "queued" if switches else str(process["concurrency"])


def display_name(process: Row) -> str:
    if process["mode"] == "switch":
        by_state = process["name_enable"] if process["enabled"] else process["name_disable"]
        return str(by_state or process["name"])
    return str(process["name"])
