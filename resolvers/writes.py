"""In charge of what writes mean: the rules of the model, one function for each thing to do.

Every function runs inside the caller's transaction; a ``GatewayError`` rolls all of it back. The
path that an error is located at is that of the mutation's arguments (``at``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import orjson
from pydantic import BaseModel, ValidationError

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
    list_of,
)
from resolvers.strict_json import find_nul
from resolvers.validation import problems
from storage import processes as stored
from storage.database import Row, Transaction
from storage.executions import arguments_json
from storage.rows import delete_row, find_ids, find_row, insert_row, update_row

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
    places = [(*at, "actions", place) for place in range(len(new.actions))]
    await add_actions(transaction, process_id, 1, new.actions, viewer, places)
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
    ids = [change.database_id for change in changes]
    if len(set(ids)) < len(ids):
        seen: set[int] = set()
        wrong = []
        for place, id_ in enumerate(ids):
            if id_ in seen:
                wrong.append(_item_problem(at, place, f"the id {id_} is given twice"))
            seen.add(id_)
        raise bad_input(*wrong)
    written = list_of(ProcessTextsModel).dump_json(list(changes), exclude_none=True)
    if await stored.update_texts(transaction, written, viewer.only_profile) < len(ids):
        known = await stored.existing_ids(transaction, ids, viewer.only_profile)
        raise bad_input(
            *(
                _item_problem(at, place, f"there is no process with the id {id_}")
                for place, id_ in enumerate(ids)
                if id_ not in known
            )
        )
    return len(ids)


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
    at: Sequence[Path],
) -> list[int]:
    """Insert actions from ``position`` on, which has to be free; returns their ids.

    Args:
        at: the place of each action in the input.
    """
    if not actions:
        return []
    targets = await _targets(
        transaction,
        [
            _Call(part.source, part.source_id, part.action, part.subprocess_id, place)
            for part, place in zip(actions, at, strict=True)
        ],
        viewer,
    )
    new = [
        stored.NewAction(
            target.source_id,
            target.action,
            part.runs_when.value,
            arguments_json([(a.reference, a.value) for a in part.arguments]),
            target.subprocess_id,
        )
        for part, target in zip(actions, targets, strict=True)
    ]
    ids = await stored.insert_actions(transaction, process_id, position, new)
    await _refuse_cycle(transaction, process_id, targets, viewer, at)
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
    targets: list[_Target] = []
    if changes.source is not None or changes.action is not None:
        before = await find_row(transaction, "action", "id", action_id)
        assert before is not None
        call = _Call(
            changes.source,
            before["source_id"] if changes.source is None else None,
            changes.action if changes.action is not None else before["action"],
            None,
            at,
        )
        targets = await _targets(transaction, [call], viewer)
        values |= asdict(targets[0])
    if changes.runs_when is not None:
        values["enabled"] = changes.runs_when.value
    if changes.arguments is not None:
        values["arguments"] = arguments_json([(a.reference, a.value) for a in changes.arguments])
    await update_row(transaction, "action", action_id, values)
    await _refuse_cycle(transaction, process_id, targets, viewer, [at])
    return process_id


@dataclass(frozen=True, slots=True)
class _Call:
    """What an action is to act on, as the caller names it."""

    source: str | None
    source_id: int | None
    action: str | None
    subprocess_id: int | None
    at: Path

    @property
    def source_name(self) -> str:
        """A process named alone is run by the built-in source, which has the name of its kind."""
        return self.source if self.source is not None else PROCESS_KIND


@dataclass(frozen=True, slots=True)
class _Target:
    """What an action acts on, as it is stored."""

    source_id: int
    action: str
    subprocess_id: int | None = None


async def _targets(
    transaction: Transaction, calls: Sequence[_Call], viewer: Viewer
) -> list[_Target]:
    """The rows that these calls mean; raises ``BAD_USER_INPUT`` with every one that means none."""
    sources = await stored.find_sources(
        transaction,
        [call.source_name for call in calls if call.source_id is None],
        [call.source_id for call in calls if call.source_id is not None],
    )
    by_name, by_id = {row.name: row for row in sources}, {row.id: row for row in sources}
    called: dict[int | str, stored.CalledProcess] = {}
    wrong: list[FieldProblem] = []
    targets: list[_Target] = []
    if any(row.kind == PROCESS_KIND for row in sources):
        await stored.lock_calls(transaction)
        for process in await stored.find_called(
            transaction,
            [call.action for call in calls if call.action is not None],
            [call.subprocess_id for call in calls if call.subprocess_id is not None],
            viewer.only_profile,
        ):
            called |= {process.id: process, process.reference: process}
    for call in calls:
        target = _target(call, by_name, by_id, called)
        if isinstance(target, FieldProblem):
            wrong.append(target)
        else:
            targets.append(target)
    if wrong:
        raise bad_input(*wrong)
    return targets


def _target(
    call: _Call,
    by_name: Mapping[str, stored.SourceRow],
    by_id: Mapping[int, stored.SourceRow],
    called: Mapping[int | str, stored.CalledProcess],
) -> _Target | FieldProblem:
    """What one call means, or what is wrong with it."""
    if call.source_id is not None:
        source = by_id.get(call.source_id)
        if source is None:
            return FieldProblem((*call.at, "sourceId"), "there is no such source")
    else:
        source = by_name.get(call.source_name)
        if source is None:
            return FieldProblem((*call.at, "source"), f'there is no source "{call.source_name}"')
    runs_processes = source.kind == PROCESS_KIND
    if call.subprocess_id is not None:
        place = (*call.at, "subprocessId")
        if not runs_processes:
            return FieldProblem(place, f'the source "{source.name}" does not run processes')
        process = called.get(call.subprocess_id)
        if process is None:
            return FieldProblem(place, "there is no such process")
        return _Target(source.id, process.reference, process.id)
    assert call.action is not None
    if not runs_processes:
        return _Target(source.id, call.action)
    process = called.get(call.action)
    if process is None:
        return FieldProblem((*call.at, "action"), f'there is no process "{call.action}"')
    return _Target(source.id, process.reference, process.id)


async def _refuse_cycle(
    transaction: Transaction,
    process_id: int,
    targets: Sequence[_Target],
    viewer: Viewer,
    at: Sequence[Path],
) -> None:
    """Refuse the calls that were just written if a process would come to run itself."""
    calls = [
        (target.action, place)
        for target, place in zip(targets, at, strict=False)
        if target.subprocess_id is not None
    ]
    if not calls:
        return
    cycle = await stored.find_cycle(transaction, process_id, viewer.only_profile)
    if cycle is not None:
        place = next((place for called, place in calls if called == cycle[1]), calls[0][1])
        raise bad_value(place, f"a process must not run itself: {' -> '.join(cycle)}")


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
    found = await find_ids(transaction, table, column, value)
    if not found:
        raise bad_value(at, f"there is no such {table}")
    if len(found) > 1:
        raise bad_value(at, f"more than one {table} has this {name}")
    return found[0]


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
    place = (*at, "settings")
    nul = find_nul(given)
    if nul is not None:
        raise bad_value((*place, *nul), "must not contain the NUL character")
    settings = {name: value for name, value in (kept | given).items() if value is not None}
    try:
        checked: BaseModel = model.model_validate(settings)
    except ValidationError as error:
        raise bad_input(
            *(
                FieldProblem(problem.path, "does not fit")  # and is not repeated
                if secrets.intersection(problem.path[len(place) : len(place) + 1])
                else problem
                for problem in problems(error, place)
            )
        ) from None
    shown = checked.model_dump(mode="json", exclude=secrets, exclude_unset=True)
    hidden = {name: getattr(checked, name) for name in sorted(secrets & checked.model_fields_set)}
    try:
        return {
            "settings": orjson.dumps(shown),
            "secrets": orjson.dumps({n: v.get_secret_value() for n, v in hidden.items() if v}),
        }
    except TypeError:  # what the model let pass: a lone surrogate, or a number beyond 64 bits
        raise bad_value(place, "holds a number or a text that JSON cannot hold") from None


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
