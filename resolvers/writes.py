"""In charge of what writes mean: the rules of the model, one function for each thing to do.

Every function runs inside the caller's transaction; a ``GatewayError`` rolls all of it back. The
path that an error is located at is that of the mutation's arguments (``at``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import orjson
from pydantic import BaseModel, SecretStr, ValidationError

from resolvers.access import Viewer
from resolvers.enums import Permission, ProcessMode, ProcessState
from resolvers.errors import FieldProblem, bad_input, bad_value, conflict, not_found
from resolvers.execution.sources import PROCESS_KIND, SourceKind, known_kinds, secret_names
from resolvers.inputs import (
    MAX_PARTS,
    ActionChangesModel,
    EspaceKey,
    InputChangesModel,
    InputModel,
    NewActionModel,
    NewInputModel,
    NewProcessModel,
    ProcessChangesModel,
    ProcessTextsModel,
    ProfileKey,
)
from resolvers.validation import problems
from storage import processes as stored
from storage.database import Row, Transaction
from storage.executions import arguments_json
from storage.rows import delete_row, find_row, insert_row, update_row

Path = tuple[str | int, ...]

NO_PROCESS = "there is no such process"


# Processes -------------------------------------------------------------------------------------


async def require_process(
    transaction: Transaction, process_id: int, viewer: Viewer
) -> stored.ProcessRow:
    """The process, locked; raises ``NOT_FOUND`` where the viewer knows of none."""
    process = await stored.lock_process(transaction, process_id, viewer.only_profile)
    if process is None:
        raise not_found(NO_PROCESS)
    return process


async def create_process(
    transaction: Transaction, new: NewProcessModel, viewer: Viewer, at: Path
) -> int:
    """Create a process with all its parts; returns its id.

    A viewer who sees only what it is authorised on is authorised on what it creates.
    """
    values = _row(new, exclude={"espace", "actions", "inputs", "profiles"})
    if new.espace is not None:
        values["espace_id"] = await _espace_id(transaction, new.espace, (*at, "espace"))
    process_id = await insert_row(transaction, "process", values)
    profiles = [
        await profile_id(transaction, key, (*at, "profiles", place))
        for place, key in enumerate(new.profiles)
    ]
    if viewer.only_profile is not None:
        profiles.append(viewer.only_profile)
    await stored.authorise(transaction, process_id, profiles)
    await stored.insert_inputs(transaction, process_id, 1, [_input(part) for part in new.inputs])
    await add_actions(transaction, process_id, 1, new.actions, viewer, (*at, "actions"))
    return process_id


async def change_process(
    transaction: Transaction,
    process_id: int,
    changes: ProcessChangesModel,
    viewer: Viewer,
    at: Path,
) -> None:
    """Change a process; what the changes leave out stays."""
    await require_process(transaction, process_id, viewer)
    values = _row(changes, exclude={"espace"})
    if "espace" in changes.model_fields_set:
        values["espace_id"] = None
        if changes.espace is not None:
            values["espace_id"] = await _espace_id(transaction, changes.espace, (*at, "espace"))
    await update_row(transaction, "process", process_id, values)


async def change_texts(
    transaction: Transaction, changes: Sequence[ProcessTextsModel], viewer: Viewer, at: Path
) -> int:
    """Change texts of many processes, all or none, in one statement; returns how many."""
    wrong: list[FieldProblem] = []
    seen: set[int] = set()
    for place, change in enumerate(changes):
        if change.database_id in seen:
            wrong.append(_item_problem(at, place, f"the id {change.database_id} is given twice"))
        seen.add(change.database_id)
    if wrong:
        raise bad_input(*wrong)
    rows = [
        stored.TextChanges(
            change.database_id,
            change.name,
            change.name_enable,
            change.name_disable,
            change.description,
            change.icon,
        )
        for change in changes
    ]
    found = await stored.update_texts(transaction, rows, viewer.only_profile)
    if len(found) != len(changes):
        raise bad_input(
            *(
                _item_problem(at, place, f"there is no process with the id {change.database_id}")
                for place, change in enumerate(changes)
                if change.database_id not in found
            )
        )
    return len(changes)


def _item_problem(at: Path, place: int, message: str) -> FieldProblem:
    return FieldProblem((*at, place, "databaseId"), message)


async def remove_process(transaction: Transaction, process_id: int, viewer: Viewer) -> None:
    """Delete a process and its parts; raises ``CONFLICT`` where others run it."""
    await require_process(transaction, process_id, viewer)
    named, count = await stored.callers(transaction, process_id, viewer.only_profile)
    if count:
        # Processes that the viewer does not know of are not given away, not even their number.
        by = ", ".join(f'"{reference}"' for reference in named) or "other processes"
        raise conflict(f"the process is still run by {by}")
    await delete_row(transaction, "process", process_id)


# Actions and inputs ----------------------------------------------------------------------------


async def add_actions(
    transaction: Transaction,
    process_id: int,
    position: int,
    actions: Sequence[NewActionModel],
    viewer: Viewer,
    at: Path,
) -> list[int]:
    """Insert actions from ``position`` on, which has to be free; returns their ids."""
    if not actions:
        return []
    rows = await _resolved(
        transaction,
        [(part.source, part.action) for part in actions],
        viewer,
        [(*at, place) for place in range(len(actions))],
    )
    new = [
        stored.NewAction(
            source_id,
            part.action,
            part.runs_when.value,
            arguments_json([(a.reference, a.value) for a in part.arguments]),
            subprocess_id,
        )
        for part, (source_id, subprocess_id) in zip(actions, rows, strict=True)
    ]
    ids = await stored.insert_actions(transaction, process_id, position, new)
    await _refuse_cycle(transaction, process_id, [row[1] for row in rows], at)
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
    subprocess_id: int | None = None
    if changes.source is not None or changes.action is not None:
        before = await find_row(transaction, "action", "id", action_id)
        assert before is not None
        source = changes.source
        if source is None:
            row = await find_row(transaction, "source", "id", before["source_id"])
            assert row is not None
            source = str(row["name"])
        action = changes.action if changes.action is not None else str(before["action"])
        ((source_id, subprocess_id),) = await _resolved(
            transaction, [(source, action)], viewer, [at]
        )
        values |= {"source_id": source_id, "action": action, "subprocess_id": subprocess_id}
    if changes.runs_when is not None:
        values["enabled"] = changes.runs_when.value
    if changes.arguments is not None:
        values["arguments"] = arguments_json([(a.reference, a.value) for a in changes.arguments])
    await update_row(transaction, "action", action_id, values)
    await _refuse_cycle(transaction, process_id, [subprocess_id], at)
    return process_id


async def _resolved(
    transaction: Transaction, calls: Sequence[tuple[str, str]], viewer: Viewer, at: Sequence[Path]
) -> list[tuple[int, int | None]]:
    """The rows that actions refer to: for each source name and action, the source's id and the
    id of the process that it runs, if any.
    """
    sources = await stored.sources_by_name(transaction, [source for source, _ in calls])
    references = [
        action
        for source, action in calls
        if source in sources and sources[source][1] == PROCESS_KIND
    ]
    called: dict[str, int] = {}
    if references:
        await stored.lock_calls(transaction)
        called = await stored.processes_by_reference(transaction, references, viewer.only_profile)
    wrong: list[FieldProblem] = []
    rows: list[tuple[int, int | None]] = []
    for (source, action), place in zip(calls, at, strict=True):
        source_id, kind = sources.get(source, (0, ""))
        if not source_id:
            wrong.append(FieldProblem((*place, "source"), f'there is no source "{source}"'))
        elif kind == PROCESS_KIND and action not in called:
            wrong.append(FieldProblem((*place, "action"), f'there is no process "{action}"'))
        rows.append((source_id, called.get(action) if kind == PROCESS_KIND else None))
    if wrong:
        raise bad_input(*wrong)
    return rows


async def _refuse_cycle(
    transaction: Transaction, process_id: int, called: Sequence[int | None], at: Path
) -> None:
    """Refuse what was just written if a process would come to run itself."""
    if any(called):
        cycle = await stored.find_cycle(transaction, process_id)
        if cycle is not None:
            raise bad_value(at, f"a process must not run itself: {' -> '.join(cycle)}")


async def add_inputs(
    transaction: Transaction, process_id: int, position: int, inputs: Sequence[NewInputModel]
) -> list[int]:
    """Insert inputs from ``position`` on, which has to be free; returns their ids."""
    return await stored.insert_inputs(
        transaction, process_id, position, [_input(part) for part in inputs]
    )


async def change_input(
    transaction: Transaction, input_id: int, changes: InputChangesModel, viewer: Viewer
) -> int:
    """Change an input; what the changes leave out stays. Returns the process."""
    process_id, _ = await require_part(transaction, "input", input_id, viewer)
    await update_row(transaction, "input", input_id, _row(changes))
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
    part = await stored.find_part(transaction, table, part_id, viewer.only_profile)
    if part is None or (owner is not None and part[0] != owner):
        raise not_found(f"there is no such {table}")
    return part


async def make_room(
    transaction: Transaction, table: str, process_id: int, position: int | None, at: Path
) -> int:
    """Free a position among the actions or inputs of a process, the last by default."""
    count = await stored.count_parts(transaction, table, process_id)
    if count >= MAX_PARTS:
        raise bad_value(at, f"a process has at most {MAX_PARTS:,} {table}s")
    if position is None:
        return count + 1
    _require_position(position, count + 1, at)
    await stored.shift_parts(transaction, table, process_id, position, None, 1)
    return position


async def move_part(
    transaction: Transaction, table: str, part_id: int, position: int, viewer: Viewer, at: Path
) -> int:
    """Put an action or input at another position; those between move up. Returns the process."""
    process_id, before = await require_part(transaction, table, part_id, viewer)
    count = await stored.count_parts(transaction, table, process_id)
    _require_position(position, count, at)
    if position < before:
        await stored.shift_parts(transaction, table, process_id, position, before - 1, 1)
    elif position > before:
        await stored.shift_parts(transaction, table, process_id, before + 1, position, -1)
    await stored.place_part(transaction, table, part_id, position)
    return process_id


async def remove_part(
    transaction: Transaction, table: str, part_id: int, viewer: Viewer, owner: int | None
) -> int:
    """Delete an action or input; those after it move up. Returns the process."""
    process_id, position = await require_part(transaction, table, part_id, viewer, owner)
    await delete_row(transaction, table, part_id)
    await stored.shift_parts(transaction, table, process_id, position + 1, None, -1)
    return process_id


def _require_position(position: int, last: int, at: Path) -> None:
    if not 1 <= position <= last:
        raise bad_value(at, f"expected a position from 1 to {last}, got {position}")


def _input(part: NewInputModel) -> stored.NewInput:
    return stored.NewInput(part.short_name, part.name, part.type, part.asked_when.value)


# Keys ------------------------------------------------------------------------------------------


async def _espace_id(transaction: Transaction, key: EspaceKey, at: Path) -> int:
    return await _key_id(transaction, "espace", key, at)


async def profile_id(transaction: Transaction, key: ProfileKey, at: Path) -> int:
    """The id of the profile with this key; raises ``BAD_USER_INPUT`` where there is none."""
    return await _key_id(transaction, "profile", key, at)


async def _key_id(
    transaction: Transaction, table: str, key: EspaceKey | ProfileKey, at: Path
) -> int:
    ((name, value),) = ((n, v) for n, v in key if v is not None)
    column = "id" if name == "database_id" else name
    row = await find_row(transaction, table, column, value)
    if row is None:
        raise bad_value(at, f"there is no such {table}")
    found = row["id"]
    assert isinstance(found, int)
    return found


# Sources and profiles --------------------------------------------------------------------------


async def require_own(transaction: Transaction, table: str, row_id: int) -> Row:
    """A profile or source that is not built in; raises ``NOT_FOUND`` or ``CONFLICT``."""
    row = await find_row(transaction, table, "id", row_id)
    if row is None:
        raise not_found(f"there is no such {table}")
    if row["built_in"]:
        raise conflict(f"the {table} {row['name']} is built in and cannot be changed")
    return row


def check_settings(
    kind: str,
    given: dict[str, Any],
    kinds: Mapping[str, SourceKind],
    kept: dict[str, Any],
    at: Path,
) -> dict[str, bytes]:
    """The columns that a source's settings are stored in: what is shown, and what is not.

    Args:
        kept: secrets that stay where ``given`` says nothing of them.
    """
    if kind not in kinds:
        raise bad_value(
            (*at, "kind"), f'expected one of the kinds {known_kinds(kinds)}, got "{kind}"'
        )
    model = kinds[kind].settings
    secrets = secret_names(model)
    settings = kept | given
    settings = {name: value for name, value in settings.items() if value is not None}
    try:
        checked: BaseModel = model.model_validate(settings)
    except ValidationError as error:
        raise bad_input(*problems(error, (*at, "settings"))) from None
    plain = {
        name: value.get_secret_value() if isinstance(value, SecretStr) else value
        for name, value in checked
        if name in checked.model_fields_set
    }
    return {
        "settings": orjson.dumps({n: v for n, v in plain.items() if n not in secrets}),
        "secrets": orjson.dumps({n: v for n, v in plain.items() if n in secrets}),
    }


def permission_words(permissions: Sequence[Permission]) -> list[str]:
    """Permissions as they are stored: each once, in the order of the enum."""
    return [permission.value for permission in Permission if permission in permissions]


def _row(model: InputModel, exclude: set[str] | None = None) -> dict[str, Any]:
    """The columns that a model's given fields are stored in; null leaves a column as it is."""
    values: dict[str, Any] = {}
    for name in sorted(model.model_fields_set - (exclude or set())):
        value = getattr(model, name)
        match value:
            case None:
                pass
            case ProcessState():
                values["enabled"] = value.value
            case ProcessMode():
                values[name] = value.value
            case _:
                values[name] = value
    return values
