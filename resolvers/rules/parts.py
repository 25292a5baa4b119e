"""In charge of what writes mean: the rules of the model, one function for each thing to do.

Every function runs inside the caller's transaction; a ``GatewayError`` rolls all of it back. The
path that an error is located at is that of the mutation's arguments (``at``).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict

from resolvers.access.viewer import Viewer
from resolvers.errors.catalogue import bad_value, not_found
from resolvers.rules.calls import Call, Target, find_targets, refuse_cycle
from resolvers.rules.columns import columns_of
from resolvers.rules.keys import Path
from resolvers.rules.models import (
    MAX_PARTS,
    ActionChangesModel,
    InputChangesModel,
    NewActionModel,
    NewInputModel,
)
from storage.database.database import Transaction
from storage.writes.executions import arguments_json
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

# Actions and inputs ----------------------------------------------------------------------------


async def add_actions(
    transaction: Transaction,
    process_id: int,
    position: int,
    actions: Sequence[NewActionModel],
    viewer: Viewer,
    at: Sequence[Path],
) -> list[int]:
    """Insert actions from ``position`` on, which has to be free; returns their ids.

    Args:
        at: the place of each action in the input.
    """
    if not actions:
        return []
    targets = await find_targets(
        transaction,
        [
            Call(part.source, part.source_id, part.action, part.subprocess_id, place)
            for part, place in zip(actions, at, strict=True)
        ],
        viewer,
    )
    new = [
        NewAction(
            target.source_id,
            target.action,
            part.runs_when.value,
            arguments_json([(a.reference, a.value) for a in part.arguments]),
            target.subprocess_id,
        )
        for part, target in zip(actions, targets, strict=True)
    ]
    ids = await insert_actions(transaction, process_id, position, new)
    await refuse_cycle(transaction, process_id, targets, viewer, at)
    return ids


async def change_action(
    transaction: Transaction,
    action_id: int,
    changes: ActionChangesModel,
    viewer: Viewer,
    at: Path,
) -> int:
    """Change an action; what the changes leave out stays. Returns the process."""
    process_id, _ = await require_part(transaction, "action", action_id, viewer)
    values: dict[str, object] = {}
    targets: list[Target] = []
    if changes.source is not None or changes.action is not None:
        before = await find_row(transaction, "action", "id", action_id)
        assert before is not None
        call = Call(
            changes.source,
            before["source_id"] if changes.source is None else None,
            changes.action if changes.action is not None else before["action"],
            None,
            at,
        )
        targets = await find_targets(transaction, [call], viewer)
        values |= asdict(targets[0])
    if changes.runs_when is not None:
        values["enabled"] = changes.runs_when.value
    if changes.arguments is not None:
        values["arguments"] = arguments_json([(a.reference, a.value) for a in changes.arguments])
    await update_row(transaction, "action", action_id, values)
    await refuse_cycle(transaction, process_id, targets, viewer, [at])
    return process_id


async def add_inputs(
    transaction: Transaction, process_id: int, position: int, inputs: Sequence[NewInputModel]
) -> list[int]:
    """Insert inputs from ``position`` on, which has to be free; returns their ids."""
    return await insert_inputs(transaction, process_id, position, [_input(part) for part in inputs])


async def change_input(
    transaction: Transaction, input_id: int, changes: InputChangesModel, viewer: Viewer
) -> int:
    """Change an input; what the changes leave out stays. Returns the process."""
    process_id, _ = await require_part(transaction, "input", input_id, viewer)
    await update_row(transaction, "input", input_id, columns_of(changes))
    return process_id


async def require_part(
    transaction: Transaction, table: str, part_id: int, viewer: Viewer, owner: int | None = None
) -> tuple[int, int]:
    """The process and the position of an action or input, the process locked.

    Args:
        owner: the process that it has to belong to, if that is known.

    Raises:
        GatewayError: ``NOT_FOUND``.
    """
    part = await find_part(transaction, table, part_id, viewer.only_profile)
    if part is None or (owner is not None and part[0] != owner):
        raise not_found(f"there is no such {table}")
    return part


async def make_room(
    transaction: Transaction, table: str, process_id: int, position: int | None, at: Path
) -> int:
    """Free a position among the actions or inputs of a process, the last by default."""
    count = await count_parts(transaction, table, process_id)
    if count >= MAX_PARTS:
        raise bad_value(at, f"a process has at most {MAX_PARTS:,} {table}s")
    if position is None:
        return count + 1
    _require_position(position, count + 1, at)
    await shift_parts(transaction, table, process_id, position, None, 1)
    return position


async def move_part(
    transaction: Transaction, table: str, part_id: int, position: int, viewer: Viewer, at: Path
) -> int:
    """Put an action or input at another position; those between move up. Returns the process."""
    process_id, before = await require_part(transaction, table, part_id, viewer)
    count = await count_parts(transaction, table, process_id)
    _require_position(position, count, at)
    if position < before:
        await shift_parts(transaction, table, process_id, position, before - 1, 1)
    elif position > before:
        await shift_parts(transaction, table, process_id, before + 1, position, -1)
    await place_part(transaction, table, part_id, position)
    return process_id


async def remove_part(
    transaction: Transaction, table: str, part_id: int, viewer: Viewer, owner: int | None
) -> int:
    """Delete an action or input; those after it move up. Returns the process."""
    process_id, position = await require_part(transaction, table, part_id, viewer, owner)
    await delete_row(transaction, table, part_id)
    await shift_parts(transaction, table, process_id, position + 1, None, -1)
    return process_id


def _require_position(position: int, last: int, at: Path) -> None:
    if not 1 <= position <= last:
        raise bad_value(at, f"expected a position from 1 to {last}, got {position}")


def _input(part: NewInputModel) -> NewInput:
    return NewInput(part.short_name, part.name, part.type, part.asked_when.value)
