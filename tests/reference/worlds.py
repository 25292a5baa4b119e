"""Generate random databases for the property tests: small, and full of ties and edge cases."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

from tests.reference.rows import Row, Rows

PROFILES = ("admin", "occupant", "keeper", "lodger", "stranger", "clerk", "janitor")
"""One profile for each kind of viewer: two built-in profiles that see everything; three that are
authorized on many processes, few, and none; one without the permission to read; and an admin that
is not built in."""

# Few names, so that there are ties. They reveal truncation, escaping, case folding, and wrong
# collation.
NAMES = (
    "a",
    "b",
    "B",
    "a b",
    "ab",
    "%",
    "_",
    "a%",
    "\\",
    '"',
    "'",
    "ä",
    "a\u0308",
    "\ud7ff",
    "\ue000",
    "\uffff",
    "\U0001f3e0",
    "\U0010ffff",
    " a ",
    "\n\t",
    "\u0001\u007f",
    "\u2028",
    "null",
    "{a}",
    "$1",
    "n" * 255,
)
JSON: tuple[Any, ...] = (
    None,
    True,
    0,
    -1.5,
    10**20,
    "text",
    [],
    {},
    [None, [{}]],
    {"b": 1, "a": {"\U0001f3e0": '"'}, "": None},
)

EXECUTION_STATUSES = ("queued", "running", "succeeded", "failed", "cancelled", "interrupted")
STEP_STATUSES = (
    "running",
    "waiting",
    "succeeded",
    "succeeded",
    "succeeded",
    "failed",
    "cancelled",
    "interrupted",
    "skipped",
)
"""Many succeed, so that nested results have several levels."""
UNFINISHED = ("queued", "running", "waiting")
FAILURES = ("failed", "cancelled", "interrupted")
ERROR_CODES = ("timed_out", "source_failed", "step_failed", "process_failed", "cancelled")
TRIGGERS = ("request", "process", "replay", "command", "schedule")


INPUTS = ("a1", "a2", "b1", "b2", "B3", " a 1", "%1")
"""References that inputs may have."""
TEMPLATES = (
    "{a1}",
    "{a1} and {b2}{a1}{b1}",
    "{ a 1}{%1}{ a1}",
    '{"on": {a1}, "off": {a2}}',
    '{"on": true}',
    '{ "on": "{B3}", "list": [{}, {"x": 1}]}',
    "{{a1}}{b1{",
    "}{a\n1}{" + "n" * 256 + "}",
)
"""Values of arguments, with what may be a placeholder."""


def random_rows(seed: int) -> Rows:
    """Return the rows of a random database, without the built-in rows."""
    return _World(random.Random(seed), seed).rows


class _World:
    """A random database under construction."""

    def __init__(self, chance: random.Random, seed: int) -> None:
        self.chance = chance
        # The first database is empty. In the second, processes are nested as deep as possible.
        size = 0 if seed == 0 else chance.randint(1, 9)
        self.espaces = self._ids(size and chance.randint(0, 4))
        self.processes = self._ids(size)
        self.sources = [1, 2, *(id_ + 2 for id_ in self._ids(chance.randint(0, 3)))]
        self.references = {
            id_: f"{chance.choice(NAMES)[:240].strip() or 'r'}{index}"
            for index, id_ in enumerate(self.processes)
        }
        self.deep = seed == 1
        self.steps: list[Row] = []
        self.rows: Rows = {
            "espace": [self._espace(id_) for id_ in self.espaces],
            "process": [self._process(id_) for id_ in self.processes],
            "source": [self._source(id_) for id_ in self.sources[2:]],
            "action": list(self._actions()),
            "input": list(self._inputs()),
            "profile": [
                self._profile(4, "keeper", "process:read", "process:execute"),
                self._profile(5, "lodger", "process:read"),
                self._profile(6, "stranger", "process:read", "process:write"),
                self._profile(7, "clerk", "process:write", "process:execute"),
                self._profile(8, "janitor", "admin"),
            ],
            "authorisation": [
                {"process_id": process, "profile_id": profile}
                for profile, share in ((4, 0.7), (5, 0.3), (7, 0.5), (1, 0.2), (2, 0.2))
                for process in self.processes
                if chance.random() < share
            ],
            "execution": self._executions(0 if seed == 0 else chance.randint(2, 9)),
            "execution_step": self.steps,
        }

    def _ids(self, count: int) -> list[int]:
        """Return distinct ids in random order."""
        return self.chance.sample(range(1, 3 * count + 2), count)

    def _positions(self, *counts: int) -> list[int]:
        """Choose one of the counts, and return the positions from 1 to it, shuffled."""
        count = self.chance.choice(counts)
        return self.chance.sample(range(1, count + 1), count)

    def _text(self) -> str:
        return self.chance.choice(("", "", *NAMES))

    def _number(self) -> float | None:
        return self.chance.choice((None, None, 0.1, 1.0, 21.5, 86_400.0, 1e-7, 1e6))

    def _arguments(self) -> list[Row]:
        return [
            {
                "reference": self.chance.choice((*NAMES, *INPUTS)),
                "value": self.chance.choice((self._text(), *TEMPLATES)),
            }
            for _ in range(self.chance.choice((0, 0, 1, 2)))
        ]

    def _time(self) -> str:
        zone = timezone(timedelta(minutes=self.chance.choice((0, 120, -330))))
        moment = datetime(2024, 2, 28, 22, tzinfo=UTC) + timedelta(
            microseconds=self.chance.choice((0, 1, 10**6, 7_654_321_000))
        )
        return moment.astimezone(zone).isoformat()

    def _espace(self, id_: int) -> Row:
        return {
            "id": id_,
            "reference": f"{self.chance.choice(NAMES[:10])}{id_}",
            "name": self.chance.choice(NAMES),
            "description": self._text(),
            "icon": self._text(),
        }

    def _process(self, id_: int) -> Row:
        return {
            "id": id_,
            "reference": self.references[id_],
            "name": self.chance.choice(NAMES),
            "name_enable": self._text(),
            "name_disable": self._text(),
            "description": self._text(),
            "espace_id": self.chance.choice((None, *self.espaces)),
            "icon": self._text(),
            "mode": self.chance.choice(("simple", "switch")),
            "enabled": self.chance.random() < 0.5,
            "concurrency": self.chance.choice(("single", "queued", "parallel", "restart")),
            "timeout": self._number(),
            "created_at": self._time(),
            "updated_at": self._time(),
        }

    def _source(self, id_: int) -> Row:
        return {
            "id": id_,
            "name": f"{self.chance.choice(NAMES[:10])}{id_}",
            "kind": self.chance.choice(("echo", "http", "ä")),
            "settings": self.chance.choice(({}, {"url": "x", "deep": list(JSON)})),
            "secrets": self.chance.choice(({}, {"b": "s", "a": "t"})),
            "catalogue": {
                "actions": [
                    self._offered(name)
                    for name in self.chance.sample(NAMES, self.chance.choice((0, 0, 3, 15)))
                ],
                "takesAnyAction": self.chance.random() < 0.5,
                "takesAnyArgument": self.chance.random() < 0.5,
            },
        }

    def _offered(self, name: str) -> Row:
        references = self.chance.sample((*NAMES, *INPUTS), self.chance.choice((0, 0, 1, 3)))
        return {
            "name": name,
            "description": self._text(),
            "idempotent": self.chance.random() < 0.5,
            "arguments": [
                {
                    "reference": reference,
                    "type": self.chance.choice(("text", "number")),
                    "required": self.chance.random() < 0.5,
                    "description": self._text(),
                }
                for reference in references
            ],
        }

    def _profile(self, id_: int, name: str, *permissions: str) -> Row:
        return {"id": id_, "name": name, "permissions": permissions}

    def _actions(self) -> list[Row]:
        rows: list[Row] = []
        for index, process in enumerate(self.processes):
            # A process runs only earlier ones, so there are no cycles.
            callable_ = self.processes[:index]
            for position in self._positions(1, 1, 2, 3, 4):
                called = None
                if callable_ and (self.deep or self.chance.random() < 0.6):
                    called = callable_[-1] if self.deep else self.chance.choice(callable_)
                rows.append(
                    {
                        "id": 5 * len(rows) + self.chance.randint(1, 5),
                        "process_id": process,
                        "position": position,
                        "source_id": 1 if called else self.chance.choice(self.sources[1:]),
                        "action": self.references[called] if called else self.chance.choice(NAMES),
                        "enabled": self.chance.random() < 0.5,
                        "arguments": self._arguments(),
                        "subprocess_id": called,
                        "timeout": self._number(),
                        "retries": self.chance.randint(0, 5),
                        "on_failure": self.chance.choice(("stop", "continue")),
                        "idempotent": self.chance.choice((None, True, False)),
                    }
                )
        return rows

    def _inputs(self) -> list[Row]:
        rows: list[Row] = []
        for process in self.processes:
            for position in self._positions(0, 0, 1, 3):
                type_ = self.chance.choice(("number", "color", "text", "Number", "ä", "boolean"))
                rows.append(
                    {
                        "id": 3 * len(rows) + self.chance.randint(1, 3),
                        "process_id": process,
                        "position": position,
                        "reference": f"{self.chance.choice((*NAMES, 'a', 'b'))[:200]}{position}",
                        "name": self.chance.choice(NAMES),
                        "type": type_,
                        "enabled": self.chance.random() < 0.5,
                        "label": self._text(),
                        "help": self._text(),
                        "required": self.chance.random() < 0.7,
                        "default_value": self.chance.choice((None, None, "", *NAMES)),
                        "choices": self.chance.sample(NAMES, self.chance.choice((0, 0, 1, 3))),
                        "min": self._number(),
                        "max": self._number(),
                        "step": self._number(),
                        "unit": self._text(),
                        "pattern": self.chance.choice((None, None, *NAMES)),
                    }
                )
        return rows

    def _executions(self, count: int) -> list[Row]:
        """Return executions, and add their steps. Some executions are nested in earlier ones."""
        rows: list[Row] = []
        free_steps: list[int] = []
        owners: dict[int, int] = {}  # the execution of each step
        roots: dict[int, int | None] = {}  # the root of each execution that is nested
        for id_ in range(1, count + 1):
            process = self.chance.choice((None, *self.processes))
            profile = self.chance.choice((None, 1, 2, 4, 4, 5, 6))
            parent = free_steps.pop() if free_steps and self.chance.random() < 0.5 else None
            status = self.chance.choice(EXECUTION_STATUSES)
            owner = owners.get(parent or 0)
            rows.append(
                {
                    "id": id_,
                    "root_id": roots.setdefault(id_, roots.get(owner or 0) or owner),
                    "replay_of": self.chance.choice((None, None, None, *range(1, id_))),
                    "error_code": self._error_code(status),
                    # The gateways under test leave those of other engines as they are.
                    "engine": "none",
                    "requested_at": self._time(),
                    "seq": self.chance.randint(0, 9),
                    "deadline": self.chance.choice((None, self._time())),
                    "cancel_requested_at": self.chance.choice((None, None, self._time())),
                    "takeovers": self.chance.choice((0, 0, 1, 3)),
                    "trigger": self.chance.choice(TRIGGERS),
                    "dry_run": self.chance.random() < 0.2,
                    "process_id": process,
                    "process_reference": self.references.get(process or 0, "gone"),
                    "process_name": self.chance.choice(NAMES),
                    "status": status,
                    "inputs": self._arguments(),
                    "enabled": self.chance.random() < 0.5,
                    "error": self._text() if status in FAILURES else None,
                    "started_at": self._time(),
                    "finished_at": None if status in UNFINISHED else self._time(),
                    "profile_id": profile,
                    "profile_name": self.chance.choice(("keeper", "lodger", "ä")),
                    "parent_step_id": parent,
                }
            )
            for position in self._positions(0, 1, 2, 3, 4):
                step = len(self.steps) + 1 + self.chance.choice((0, 0, 2**31, 2**40))
                free_steps.append(step)
                owners[step] = id_
                self.steps.append(self._step(step, id_, position))
        return rows

    def _error_code(self, status: str) -> str | None:
        return self.chance.choice((None, *ERROR_CODES)) if status in FAILURES else None

    def _attempts(self, count: int) -> list[Row]:
        return [
            {
                "startedAt": self._time(),
                "finishedAt": self._time(),
                "error": self._text(),
                "errorCode": self._error_code("failed"),
                "inDoubt": self.chance.random() < 0.3,
            }
            for _ in range(count)
        ]

    def _step(self, id_: int, execution: int, position: int) -> Row:
        status = self.chance.choice(STEP_STATUSES)
        runs_process = self.chance.random() < 0.6
        attempt = self.chance.choice((1, 1, 1, 2, 3))
        return {
            "id": id_,
            "execution_id": execution,
            "position": position,
            "source_name": "process" if runs_process else self.chance.choice(("echo", "gone")),
            "action": self.chance.choice(NAMES),
            "arguments": self._arguments(),
            "status": status,
            "result": None if runs_process else self.chance.choice(JSON),
            "error": self._text() if status in FAILURES else None,
            "error_code": self._error_code(status),
            "in_doubt": self.chance.random() < 0.2,
            "attempt": attempt,
            "attempts": self._attempts(attempt if status == "waiting" else attempt - 1),
            "attempted_at": self._time(),
            "retry_at": self._time() if status == "waiting" else None,
            "started_at": self._time(),
            "finished_at": None if status in UNFINISHED else self._time(),
            "subprocess_id": self.chance.choice((None, *self.processes)) if runs_process else None,
        }
