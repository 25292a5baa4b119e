"""Add, change, move and remove the parts of a process: its actions and its inputs.

Every function runs inside the caller's transaction; a ``GatewayError`` rolls all of it back.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict

from resolvers.access.viewer import Viewer
from resolvers.errors.catalogue import bad_value, not_found
from resolvers.rules.calls import Call, Target, find_targets, reject_cycle
from resolvers.rules.columns import columns_of, write_arguments
from resolvers.rules.fields import MAX_PARTS
from resolvers.rules.keys import Path
from resolvers.rules.models import (
    ActionChangesModel,
    InputChangesModel,
    NewActionModel,
    NewInputModel,
)
from resolvers.rules.settings import RULED, require_sound, rule_of_row
from resolvers.rules.versions import require_version
from storage.database.transaction import Transaction
from storage.writes.parts import (
    NewAction,
    NewInput,
    count_parts,
    find_part,
    insert_actions,
    insert_inputs,
    place_part,
    shift_parts,
)
from storage.writes.rows import delete_row, find_row, update_row

# Actions ---------------------------------------------------------------------------------------


async def add_actions(
    transaction: Transaction,
    process_id: int,
    position: int,
    actions: Sequence[NewActionModel],
    viewer: Viewer,
    paths: Sequence[Path],
) -> list[int]:
    """Insert actions from ``position`` on, which must be free. Return their IDs.

    Args:
        paths: Path of each action in the arguments.
    """
    if not actions:
        return []
    targets = await find_targets(
        transaction,
        [
            Call(action.source, action.source_id, action.action, action.subprocess_id, path)
            for action, path in zip(actions, paths, strict=True)
        ],
        viewer,
    )
    new = [
        NewAction(
            target.source_id,
            target.action,
            action.runs_when.value,
            write_arguments(action.arguments),
            target.subprocess_id,
            action.timeout,
            action.retries,
            action.on_failure.value,
            action.idempotent,
        )
        for action, target in zip(actions, targets, strict=True)
    ]
    ids = await insert_actions(transaction, process_id, position, new)
    await reject_cycle(transaction, process_id, targets, viewer, paths)
    return ids


async def change_action(
    transaction: Transaction,
    action_id: int,
    changes: ActionChangesModel,
    viewer: Viewer,
    path: Path,
    if_version: str | None = None,
) -> int:
    """Update an action; fields that are left out keep their values. Return the process.

    Args:
        path: Path of the changes in the arguments.
        if_version: The version that the process must have; None for any.
    """
    process_id, _ = await require_part(
        transaction, "action", action_id, viewer, if_version=if_version
    )
    columns = columns_of(changes)
    targets: list[Target] = []
    if changes.source is not None or changes.action is not None:
        before = await find_row(transaction, "action", "id", action_id)
        assert before is not None
        call = Call(
            changes.source,
            before["source_id"] if changes.source is None else None,
            changes.action if changes.action is not None else before["action"],
            None,
            path,
        )
        targets = await find_targets(transaction, [call], viewer)
        columns |= asdict(targets[0])
    await update_row(transaction, "action", action_id, columns)
    await reject_cycle(transaction, process_id, targets, viewer, [path])
    return process_id


# Inputs ----------------------------------------------------------------------------------------


async def add_inputs(
    transaction: Transaction, process_id: int, position: int, inputs: Sequence[NewInputModel]
) -> list[int]:
    """Insert inputs from ``position`` on, which must be free. Return their IDs."""
    new = [
        NewInput(
            part.short_name,
            part.name,
            part.type,
            part.asked_when.value,
            part.label,
            part.help,
            part.required,
            part.min,
            part.max,
            part.step,
            part.unit,
            part.pattern,
            part.choices,
            part.default,
        )
        for part in inputs
    ]
    return await insert_inputs(transaction, process_id, position, new)


async def change_input(
    transaction: Transaction,
    input_id: int,
    changes: InputChangesModel,
    viewer: Viewer,
    path: Path,
    if_version: str | None = None,
) -> int:
    """Update an input; fields that are left out keep their values. Return the process.

    Args:
        path: Path of the changes in the arguments.
        if_version: The version that the process must have; None for any.
    """
    process_id, _ = await require_part(
        transaction, "input", input_id, viewer, if_version=if_version
    )
    columns = columns_of(changes)
    if not columns.keys().isdisjoint(RULED):
        before = await find_row(transaction, "input", "id", input_id)
        assert before is not None
        require_sound(rule_of_row({**before, **columns}), path)
    await update_row(transaction, "input", input_id, columns)
    return process_id


# Both ------------------------------------------------------------------------------------------


async def require_part(
    transaction: Transaction,
    table: str,
    part_id: int,
    viewer: Viewer,
    owner: int | None = None,
    if_version: str | None = None,
) -> tuple[int, int]:
    """Return the process and the position of an action or input, and lock the process.

    Args:
        owner: The process that it must belong to, if known.
        if_version: The version that the process must have; None for any.

    Raises:
        GatewayError: ``NOT_FOUND`` if it does not exist or the viewer cannot see it, ``CONFLICT``
            if the process has another version.
    """
    part = await find_part(transaction, table, part_id, viewer.only_profile)
    if part is None or (owner is not None and part[0] != owner):
        raise not_found(f"there is no such {table}")
    await require_version(transaction, part[0], if_version)
    return part


async def make_room(
    transaction: Transaction, table: str, process_id: int, position: int | None, path: Path
) -> int:
    """Free a position among the actions or inputs of a process, the last one by default.

    Args:
        path: Path of the position in the arguments.
    """
    count = await count_parts(transaction, table, process_id)
    if count >= MAX_PARTS:
        raise bad_value(path, f"a process has at most {MAX_PARTS:,} {table}s")
    if position is None:
        return count + 1
    _require_position(position, count + 1, path)
    await shift_parts(transaction, table, process_id, position, None, 1)
    return position


async def move_part(
    transaction: Transaction,
    table: str,
    part_id: int,
    position: int,
    viewer: Viewer,
    path: Path,
    if_version: str | None = None,
) -> int:
    """Move an action or input to another position and shift those in between.

    Args:
        path: Path of the position in the arguments.
        if_version: The version that the process must have; None for any.

    Returns:
        The process.
    """
    process_id, before = await require_part(
        transaction, table, part_id, viewer, if_version=if_version
    )
    count = await count_parts(transaction, table, process_id)
    _require_position(position, count, path)
    if position < before:
        await shift_parts(transaction, table, process_id, position, before - 1, 1)
    elif position > before:
        await shift_parts(transaction, table, process_id, before + 1, position, -1)
    await place_part(transaction, table, part_id, position)
    return process_id


async def remove_part(
    transaction: Transaction,
    table: str,
    part_id: int,
    viewer: Viewer,
    owner: int | None,
    if_version: str | None = None,
) -> int:
    """Delete an action or input and close the gap that it leaves. Return the process.

    Args:
        owner: The process that it must belong to, if known.
        if_version: The version that the process must have; None for any.
    """
    process_id, position = await require_part(
        transaction, table, part_id, viewer, owner, if_version
    )
    await delete_row(transaction, table, part_id)
    await shift_parts(transaction, table, process_id, position + 1, None, -1)
    return process_id


def _require_position(position: int, last: int, path: Path) -> None:
    if not 1 <= position <= last:
        raise bad_value(path, f"expected a position from 1 to {last}, got {position}")
