"""In charge of what writes mean: the rules of the model, one function for each thing to do.

Every function runs inside the caller's transaction; a ``GatewayError`` rolls all of it back. The
path that an error is located at is that of the mutation's arguments (``at``).
"""

from __future__ import annotations

from collections.abc import Sequence

from resolvers.access.viewer import Viewer
from resolvers.errors.catalogue import FieldProblem, bad_input, conflict, not_found
from resolvers.rules.columns import columns_of
from resolvers.rules.keys import Path, espace_id, profile_id
from resolvers.rules.models import (
    NewProcessModel,
    ProcessChangesModel,
    ProcessTextsModel,
    list_of,
)
from resolvers.rules.parts import _input, add_actions
from storage.database.database import Transaction
from storage.writes.calls import callers
from storage.writes.parts import insert_inputs
from storage.writes.processes import ProcessRow, authorise, existing_ids, lock_process, update_texts
from storage.writes.rows import delete_row, insert_row, update_row

NO_PROCESS = "there is no such process"


# Processes -------------------------------------------------------------------------------------


async def require_process(transaction: Transaction, process_id: int, viewer: Viewer) -> ProcessRow:
    """The process, locked; raises ``NOT_FOUND`` where the viewer knows of none."""
    process = await lock_process(transaction, process_id, viewer.only_profile)
    if process is None:
        raise not_found(NO_PROCESS)
    return process


async def create_process(
    transaction: Transaction, new: NewProcessModel, viewer: Viewer, at: Path
) -> int:
    """Create a process with all its parts; returns its id.

    A viewer who sees only what it is authorised on is authorised on what it creates.
    """
    values = columns_of(new, exclude={"espace", "actions", "inputs", "profiles"})
    if new.espace is not None:
        values["espace_id"] = await espace_id(transaction, new.espace, (*at, "espace"))
    process_id = await insert_row(transaction, "process", values)
    profiles = [
        await profile_id(transaction, key, (*at, "profiles", place))
        for place, key in enumerate(new.profiles)
    ]
    if viewer.only_profile is not None:
        profiles.append(viewer.only_profile)
    await authorise(transaction, process_id, profiles)
    await insert_inputs(transaction, process_id, 1, [_input(part) for part in new.inputs])
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
    values = columns_of(changes, exclude={"espace"})
    if "espace" in changes.model_fields_set:
        values["espace_id"] = None
        if changes.espace is not None:
            values["espace_id"] = await espace_id(transaction, changes.espace, (*at, "espace"))
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
    if await update_texts(transaction, written, viewer.only_profile) < len(ids):
        known = await existing_ids(transaction, ids, viewer.only_profile)
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
    named, count = await callers(transaction, process_id, viewer.only_profile)
    if count:
        # Processes that the viewer does not know of are not given away, not even their number.
        by = ", ".join(f'"{reference}"' for reference in named) or "other processes"
        raise conflict(f"the process is still run by {by}")
    await delete_row(transaction, "process", process_id)
