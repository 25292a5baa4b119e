"""Resolve the targets of actions, and reject calls that would make a process run itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from resolvers.access.viewer import Viewer
from resolvers.errors.catalogue import FieldProblem, bad_input, bad_value
from resolvers.execution.sources.protocol import PROCESS_KIND
from resolvers.rules.keys import Path
from storage.database.transaction import Transaction
from storage.writes.calls import (
    CalledProcess,
    SourceRow,
    find_called,
    find_cycle,
    find_sources,
    lock_calls,
)


@dataclass(frozen=True, slots=True)
class Call:
    """The target of an action, as the client names it."""

    source: str | None
    source_id: int | None
    action: str | None
    subprocess_id: int | None
    path: Path
    """Path of the action in the arguments."""

    @property
    def source_name(self) -> str:
        """The name of the source; by default, the built-in source that runs processes."""
        return self.source if self.source is not None else PROCESS_KIND


@dataclass(frozen=True, slots=True)
class Target:
    """The target of an action, as it is stored."""

    source_id: int
    action: str
    subprocess_id: int | None = None


async def find_targets(
    transaction: Transaction, calls: Sequence[Call], viewer: Viewer
) -> list[Target]:
    """Return the target of each call; raise ``BAD_USER_INPUT`` with every call that has none."""
    sources = await find_sources(
        transaction,
        [call.source_name for call in calls if call.source_id is None],
        [call.source_id for call in calls if call.source_id is not None],
    )
    by_name, by_id = {row.name: row for row in sources}, {row.id: row for row in sources}
    called: dict[int | str, CalledProcess] = {}
    problems: list[FieldProblem] = []
    targets: list[Target] = []
    if any(row.kind == PROCESS_KIND for row in sources):
        await lock_calls(transaction)
        for process in await find_called(
            transaction,
            [call.action for call in calls if call.action is not None],
            [call.subprocess_id for call in calls if call.subprocess_id is not None],
            viewer.only_profile,
        ):
            called |= {process.id: process, process.reference: process}
    for call in calls:
        target = _target(call, by_name, by_id, called)
        if isinstance(target, FieldProblem):
            problems.append(target)
        else:
            targets.append(target)
    if problems:
        raise bad_input(*problems)
    return targets


def _target(
    call: Call,
    by_name: Mapping[str, SourceRow],
    by_id: Mapping[int, SourceRow],
    called: Mapping[int | str, CalledProcess],
) -> Target | FieldProblem:
    """Return the target of one call, or the problem with it."""
    if call.source_id is not None:
        source = by_id.get(call.source_id)
        if source is None:
            return FieldProblem((*call.path, "sourceId"), "there is no such source")
    else:
        source = by_name.get(call.source_name)
        if source is None:
            return FieldProblem((*call.path, "source"), f'there is no source "{call.source_name}"')
    runs_processes = source.kind == PROCESS_KIND
    if call.subprocess_id is not None:
        path = (*call.path, "subprocessId")
        if not runs_processes:
            return FieldProblem(path, f'the source "{source.name}" does not run processes')
        process = called.get(call.subprocess_id)
        if process is None:
            return FieldProblem(path, "there is no such process")
        return Target(source.id, process.reference, process.id)
    assert call.action is not None
    if not runs_processes:
        return Target(source.id, call.action)
    process = called.get(call.action)
    if process is None:
        return FieldProblem((*call.path, "action"), f'there is no process "{call.action}"')
    return Target(source.id, process.reference, process.id)


async def reject_cycle(
    transaction: Transaction,
    process_id: int,
    targets: Sequence[Target],
    viewer: Viewer,
    paths: Sequence[Path],
) -> None:
    """Check that the calls that were just written do not make a process run itself.

    Args:
        paths: Path of the action of each target in the arguments.

    Raises:
        GatewayError: ``BAD_USER_INPUT`` with the cycle, in the references of its processes.
    """
    calls = [
        (target.action, path)
        for target, path in zip(targets, paths, strict=False)
        if target.subprocess_id is not None
    ]
    if not calls:
        return
    cycle = await find_cycle(transaction, process_id, viewer.only_profile)
    if cycle is not None:
        path = next((path for called, path in calls if called == cycle[1]), calls[0][1])
        raise bad_value(path, f"a process must not run itself: {' -> '.join(cycle)}")
