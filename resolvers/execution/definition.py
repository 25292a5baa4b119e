"""Define what an execution runs: a process, and all processes that it runs, as they were admitted.

``storage.execution.definitions`` reads a definition as JSON, with one statement. It is stored with
the execution, which therefore does not notice later changes. The state of a switch is not a part of
it, and neither are secrets.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import orjson

from resolvers.execution.inputs import Argument, InputRule

MAX_BYTES = 1024 * 1024
"""Bytes of a definition."""
_KEPT_BYTES = 16 * 1024
"""Bytes of a definition that is kept. In memory it takes about five times as many."""
MAX_ACTIONS = 200
"""Actions of a process that is executed."""


class TooLargeError(Exception):
    """A process, with all that it runs, is too large to be executed. The message says how."""


@dataclass(frozen=True, slots=True)
class SourceDefinition:
    """A source that actions act on."""

    id: int
    name: str
    kind: str
    settings: Mapping[str, Any]
    """The settings without the secrets."""
    secrets: tuple[str, ...]
    """The names of the secrets that are set."""


@dataclass(frozen=True, slots=True)
class ActionDefinition:
    """An action of a process."""

    source: SourceDefinition
    action: str
    enabled: bool
    """The state of a switch in which it runs."""
    arguments: tuple[Argument, ...]
    """Values may contain placeholders."""
    subprocess_id: int | None
    """The process that it runs."""
    timeout: float | None
    retries: int
    continues: bool
    """Whether the execution goes on after the action failed."""
    idempotent: bool | None
    """Whether it may be repeated; None if its source decides."""


@dataclass(frozen=True, slots=True)
class ProcessDefinition:
    """A process."""

    id: int
    reference: str
    name: str
    is_switch: bool
    concurrency: str
    """``single``, ``queued``, ``parallel`` or ``restart``."""
    timeout: float | None
    inputs: tuple[InputRule, ...]
    actions: tuple[ActionDefinition, ...]

    def state(self, enabled: bool) -> bool | None:
        """Return the state whose actions and inputs take part, None if all do."""
        return enabled if self.is_switch else None

    def actions_in(self, enabled: bool) -> list[ActionDefinition]:
        """Return the actions that an execution runs that starts in a state."""
        if not self.is_switch:
            return list(self.actions)
        return [action for action in self.actions if action.enabled is enabled]


@dataclass(frozen=True, slots=True)
class Definition:
    """A process and all processes that it runs, by ID."""

    body: bytes
    hash: bytes
    """The hash under which it is stored."""
    root: ProcessDefinition
    processes: Mapping[int, ProcessDefinition] = field(repr=False)

    def check_size(self) -> None:
        """Raise ``TooLargeError`` if it is too large to be executed."""
        if len(self.body) > MAX_BYTES:
            raise TooLargeError(
                f"the process and all that it runs have {len(self.body):,} bytes, and at most"
                f" {MAX_BYTES:,} can be executed"
            )
        for process in self.processes.values():
            if len(process.actions) > MAX_ACTIONS:
                own = process is self.root
                what = "the process" if own else f'"{process.reference}", which the process runs,'
                raise TooLargeError(
                    f"{what} has {len(process.actions):,} actions, and at most {MAX_ACTIONS} can be"
                    " executed"
                )


def read_definition(body: bytes) -> Definition:
    """Return a definition from its JSON. Those that were read last are kept, unless they are large.

    A definition never changes, so executions can share it.
    """
    return _kept(body) if len(body) <= _KEPT_BYTES else _read(body)


@lru_cache(maxsize=128)
def _kept(body: bytes) -> Definition:
    return _read(body)


def _read(body: bytes) -> Definition:
    document = orjson.loads(body)
    sources = {
        each["id"]: SourceDefinition(
            each["id"], each["name"], each["kind"], each["settings"], tuple(each["secrets"])
        )
        for each in document["sources"]
    }
    processes = {each["id"]: _process(each, sources) for each in document["processes"]}
    hash_ = hashlib.sha256(body).digest()
    return Definition(body, hash_, processes[document["root"]], processes)


def _process(
    values: Mapping[str, Any], sources: Mapping[int, SourceDefinition]
) -> ProcessDefinition:
    is_switch = values["mode"] == "switch"
    concurrency = values["concurrency"]
    return ProcessDefinition(
        values["id"],
        values["reference"],
        values["name"],
        is_switch,
        # The actions of a switch depend on its state, so its executions never overlap.
        "queued" if is_switch and concurrency == "parallel" else concurrency,
        values["timeout"],
        tuple(InputRule.from_json(each) for each in values["inputs"]),
        tuple(
            ActionDefinition(
                sources[each["source"]],
                each["action"],
                each["enabled"],
                tuple((pair["reference"], pair["value"]) for pair in each["arguments"]),
                each["subprocess"],
                each["timeout"],
                each["retries"],
                each["onFailure"] == "continue",
                each["idempotent"],
            )
            for each in values["actions"]
        ),
    )
