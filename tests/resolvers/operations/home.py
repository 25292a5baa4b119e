"""Define the rows that the read tests query: a small home with many edge cases."""

from __future__ import annotations

from tests.reference.rows import Row, Rows

ADMIN, OCCUPANT, GUEST, CLEANER, CLERK, JANITOR, LODGER = range(1, 8)
"""Profile ids. The first three profiles are built in."""
PROCESS, ECHO, LAMPS, SIREN = range(1, 5)
"""Source ids. The first two sources are built in."""

ASTRAL = "\U0001f3e0 maison"
"""A name with a supplementary character. By UTF-16 code units it would sort before U+FF21."""
WIDE = "\uff21larm"

# The names include LIKE wildcards, ties, and characters of one to four bytes.
_PROCESSES: list[tuple[int, str, str, int | None, Row]] = [
    (1, "leave", "Leave home", 1, {"description": "All off, then lock."}),
    (2, "lights-off", "Lights off", 1, {"description": "100% dark"}),
    (3, "lock", "Lock_up", 2, {"mode": "switch", "enabled": True, "name_enable": "Unlock"}),
    (4, "Zoo", "Same", 1, {}),
    (5, "zoo", "Same", None, {"mode": "switch", "name_disable": "Start"}),
    (6, "zoo2", "Same", 2, {"mode": "switch", "name_enable": "Stop", "name_disable": ""}),
    (7, "astral", ASTRAL, None, {}),
    (8, "wide", WIDE, 1, {"name_enable": "not shown"}),
    (9, "percent", "50% dimmed", 2, {"description": "100% \\ dark_ened"}),
    (10, "umlaut", "Öffnen", 1, {"icon": "door"}),
    (11, "umlaut2", "O\u0308ffnen", 1, {}),
    (12, "case", "leave home", None, {"description": 'quote " and \\ and \n and \u0001'}),
]
PROCESSES: list[Row] = [
    {
        "id": id_,
        "reference": reference,
        "name": name,
        "espace_id": espace,
        "created_at": f"2024-03-0{1 + id_ % 3}T00:00:00.00000{id_ % 2}Z",
        "updated_at": f"2024-04-0{1 + id_ % 4}T12:00:00.000000Z",
        **more,
    }
    for id_, reference, name, espace, more in _PROCESSES
]

# Process calls: 1 -> 2, 3, 2 again; 2 -> 4; 3 -> 4; 5 -> 1.
_ACTIONS: list[tuple[int, int, int, str, bool, int | None]] = [
    # process, position, source, action, enabled, subprocess
    (1, 1, PROCESS, "lights-off", True, 2),
    (1, 2, PROCESS, "lock", False, 3),
    (1, 3, PROCESS, "lights-off", True, 2),
    (1, 4, SIREN, "arm", True, None),
    (2, 2, PROCESS, "Zoo", True, 4),
    (2, 1, LAMPS, "off", True, None),
    (3, 1, PROCESS, "Zoo", True, 4),
    (4, 1, ECHO, "say", True, None),
    (5, 1, PROCESS, "leave", True, 1),
    (5, 2, LAMPS, "on", False, None),
]

_NAMES = {row["id"]: (row["reference"], row["name"]) for row in PROCESSES}
_PROFILES = {None: "gone", ADMIN: "admin", OCCUPANT: "occupant", CLEANER: "cleaner"}


def _execution(
    id_: int,
    process: int | None,
    profile: int | None,
    status: str,
    *,
    parent_step_id: int | None = None,
    root_id: int | None = None,
    error: str | None = None,
) -> Row:
    reference, name = _NAMES[process] if process else ("deleted", "Deleted")
    return {
        "id": id_,
        "process_id": process,
        "process_reference": reference,
        "process_name": name,
        "profile_id": profile,
        "profile_name": _PROFILES[profile],
        "status": status,
        "parent_step_id": parent_step_id,
        "root_id": root_id,
        "inputs": [{"reference": "a", "value": str(id_)}],
        "enabled": id_ % 2 == 0,
        "error": error,
        "started_at": "2024-02-29T12:00:00.000001+02:00",
        "finished_at": None if status == "running" else "2024-02-29T10:00:01Z",
    }


def _step(
    id_: int,
    execution: int,
    position: int,
    source: str,
    action: str,
    result: object,
    *,
    subprocess_id: int | None = None,
    error: str | None = None,
) -> Row:
    return {
        "id": id_,
        "execution_id": execution,
        "position": position,
        "source_name": source,
        "action": action,
        "arguments": [{"reference": "a", "value": "1"}],
        "result": result,
        "error": error,
        "status": "failed" if error else "succeeded",
        "subprocess_id": subprocess_id,
        "started_at": "2024-02-29T10:00:00Z",
        "finished_at": "2024-02-29T10:00:01Z",
    }


ROWS: Rows = {
    "espace": [
        {"id": 1, "reference": "light", "name": "Light", "icon": "lamp"},
        {"id": 2, "reference": "security", "name": "Security", "description": "Locks"},
        {"id": 3, "reference": "empty", "name": "Empty"},
        {"id": 4, "reference": "alike", "name": "Light"},
    ],
    "process": PROCESSES,
    "source": [
        {"id": LAMPS, "name": "lamps", "kind": "http", "settings": {"url": "x"}, "secrets": {}},
        {
            "id": SIREN,
            "name": "siren",
            "kind": "mqtt",
            "settings": {"qos": 1, "deep": [None, {"a": 1.50}]},
            "secrets": {"password": "hunter2", "key": "opensesame"},
        },
    ],
    "action": [
        {
            "id": 10 * number,
            "process_id": process,
            "position": position,
            "source_id": source,
            "action": action,
            "enabled": enabled,
            "subprocess_id": subprocess,
            "arguments": [
                {"reference": str(index), "value": f"{{input}} {ASTRAL}"}
                for index in range(position - 1)
            ],
        }
        for number, (process, position, source, action, enabled, subprocess) in enumerate(
            _ACTIONS, start=1
        )
    ],
    "input": [
        {"id": 1, "process_id": 1, "position": 2, "reference": "a", "name": "A", "type": "number"},
        {"id": 2, "process_id": 1, "position": 1, "reference": "b", "name": "B", "type": "Farbe"},
        {
            "id": 3,
            "process_id": 4,
            "position": 1,
            "reference": "a",
            "name": "A",
            "type": "color",
            "enabled": False,
        },
    ],
    "profile": [
        {"id": CLEANER, "name": "cleaner", "permissions": ["process:read", "process:execute"]},
        {"id": CLERK, "name": "clerk", "permissions": ["process:write"]},
        {"id": JANITOR, "name": "janitor", "permissions": ["admin"]},
        {"id": LODGER, "name": "lodger", "permissions": ["process:read"]},
    ],
    "authorisation": [
        {"process_id": process, "profile_id": profile}
        # The cleaner sees 1 and 2, but not 3 and 4, which these run.
        for profile, processes in ((CLEANER, (1, 2, 5, 9, 10)), (CLERK, (1, 2)), (OCCUPANT, (1,)))
        for process in processes
    ],
    "execution": [
        # The occupant executed 1, which ran 2 and 3.
        _execution(1, 1, OCCUPANT, "failed", error="no"),
        _execution(2, 2, OCCUPANT, "succeeded", parent_step_id=1, root_id=1),
        _execution(3, 3, OCCUPANT, "failed", parent_step_id=2, root_id=1, error="jammed"),
        _execution(4, 2, CLEANER, "succeeded"),
        # Executions of deleted processes. The last one was requested by a deleted profile.
        _execution(5, None, CLEANER, "succeeded"),
        _execution(6, None, ADMIN, "running"),
        _execution(7, None, None, "succeeded"),
    ],
    "execution_step": [
        _step(1, 1, 1, "process", "lights-off", {"execution": 2}, subprocess_id=2),
        _step(2, 1, 2, "process", "lock", None, subprocess_id=3, error="jammed"),
        _step(3, 1, 3, "siren", "arm", [1, 2.50, None, {"\U0001f514": "\u0001"}]),
        _step(4, 4, 1, "lamps", "off", "off"),
        _step(5, 4, 2, "process", "Zoo", {"execution": 99}, subprocess_id=4),
        _step(6, 5, 1, "process", "deleted", {"execution": 98}),
    ],
}
