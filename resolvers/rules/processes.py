"""Create, change and delete processes.

Every function runs inside the caller's transaction; a ``GatewayError`` rolls all of it back.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence

import orjson

from resolvers.access.viewer import Viewer
from resolvers.errors.catalogue import (
    MOST_LISTED,
    FieldProblem,
    GatewayError,
    bad_input,
    conflict,
    not_found,
)
from resolvers.rules.columns import columns_of
from resolvers.rules.items import ValidItems
from resolvers.rules.keys import Path, find_espace_id, find_profile_id
from resolvers.rules.models import (
    NewProcessModel,
    ProcessChangesModel,
)
from resolvers.rules.parts import add_actions, add_inputs
from resolvers.rules.settings import require_concurrency
from resolvers.rules.versions import changed_items, require_version
from storage.database.transaction import Transaction
from storage.writes.calls import callers
from storage.writes.parts import copy_settings
from storage.writes.processes import (
    ProcessRow,
    authorize,
    lock_process,
    missing_items,
    update_texts,
)
from storage.writes.rows import delete_row, insert_row, update_row

_PART = 1000
"""Items that are written as JSON in one step."""
_LONG = 4 * 1024 * 1024
"""Bytes of changes from which on nothing is done before it is known that the processes exist.
PostgreSQL takes 10 ms to read each MiB, and to join and send 15 MiB holds the event loop for 20 ms.
"""


async def require_process(
    transaction: Transaction, process_id: int, viewer: Viewer, if_version: str | None = None
) -> ProcessRow:
    """Return a process and lock it.

    Args:
        if_version: The version that it must have; None for any.

    Raises:
        GatewayError: ``NOT_FOUND`` if the viewer cannot see such a process, ``CONFLICT`` if it has
            another version.
    """
    process = await lock_process(transaction, process_id, viewer.only_profile)
    if process is None:
        raise not_found("there is no such process")
    await require_version(transaction, process_id, if_version)
    return process


async def create_process(
    transaction: Transaction, new: NewProcessModel, viewer: Viewer, path: Path
) -> int:
    """Create a process with its parts and authorizations. Return its ID.

    A viewer that sees only the processes it is authorized on is authorized on what it creates.

    Args:
        path: Path of the process in the arguments.
    """
    columns = columns_of(new)
    if new.espace is not None:
        columns["espace_id"] = await find_espace_id(transaction, new.espace, (*path, "espace"))
    process_id = await insert_row(transaction, "process", columns)
    profiles = [
        await find_profile_id(transaction, key, (*path, "profiles", index))
        for index, key in enumerate(new.profiles)
    ]
    if viewer.only_profile is not None:
        profiles.append(viewer.only_profile)
    await authorize(transaction, process_id, profiles)
    await add_inputs(transaction, process_id, 1, new.inputs)
    action_paths = [(*path, "actions", index) for index in range(len(new.actions))]
    await add_actions(transaction, process_id, 1, new.actions, viewer, action_paths)
    if new.settings_of is not None:
        await copy_settings(transaction, process_id, viewer.only_profile, new.settings_of)
    return process_id


async def change_process(
    transaction: Transaction,
    process_id: int,
    changes: ProcessChangesModel,
    viewer: Viewer,
    path: Path,
    if_version: str | None = None,
) -> None:
    """Update a process; fields that are left out keep their values.

    Args:
        path: Path of the changes in the arguments.
        if_version: The version that it must have; None for any.
    """
    process = await require_process(transaction, process_id, viewer, if_version)
    columns = columns_of(changes)
    require_concurrency(changes.concurrency, str(columns.get("mode", process.mode)), path)
    if "espace" in changes.model_fields_set:
        columns["espace_id"] = None
        if changes.espace is not None:
            espace_path = (*path, "espace")
            columns["espace_id"] = await find_espace_id(transaction, changes.espace, espace_path)
    await update_row(transaction, "process", process_id, columns)


async def change_texts(
    transaction: Transaction, changes: ValidItems, viewer: Viewer, path: Path
) -> int:
    """Update texts of several processes, all or none, in one statement. Return their number.

    Args:
        changes: Items of ``ProcessTextsModel``.
        path: Path of the list of changes in the arguments.
    """
    ids = [change["database_id"] for change in changes]
    if len(set(ids)) < len(ids):
        known: set[int] = set()
        repeated = []
        for index, id_ in enumerate(ids):
            if id_ in known:
                repeated.append(index)
            known.add(id_)
        raise _bad_items(
            path, repeated, len(repeated), lambda index: f"the id {ids[index]} is given twice"
        )
    parts: list[bytes] = []
    size = 0
    async for part in _json_parts(changes):
        if size <= _LONG < size + len(part):
            await _require_existing(transaction, ids, viewer, path)
        parts.append(part)
        size += len(part)
    changed = await changed_items(transaction, changes, path)
    document = b"[%b]" % b",".join(parts)
    if await update_texts(transaction, document, viewer.only_profile) < len(ids):
        await _require_existing(transaction, ids, viewer, path)
        raise conflict("a process was created at the same time; try again")
    if changed is not None:
        raise changed
    return len(ids)


async def _require_existing(
    transaction: Transaction, ids: Sequence[int], viewer: Viewer, path: Path
) -> None:
    """Check that processes exist. Raises ``BAD_USER_INPUT`` for those that do not."""
    indices, count = await missing_items(transaction, ids, viewer.only_profile, MOST_LISTED)
    if indices:
        raise _bad_items(
            path, indices, count, lambda index: f"there is no process with the id {ids[index]}"
        )


def _bad_items(
    path: Path, indices: Sequence[int], count: int, message: Callable[[int], str]
) -> GatewayError:
    """Return the error for items, of which only the first ones are described.

    Args:
        indices: The indices of the first ones.
        count: The number of all.
    """
    described = [
        FieldProblem((*path, index, "databaseId"), message(index))
        for index in indices[:MOST_LISTED]
    ]
    return bad_input(*described, more=count - len(described))


async def _json_parts(changes: ValidItems) -> AsyncIterator[bytes]:
    """Yield changes as JSON, in parts. Other requests run between them: 16 MiB take 0.1 s."""
    for start in range(0, len(changes), _PART):
        if start:
            await asyncio.sleep(0)
        yield orjson.dumps(changes[start : start + _PART])[1:-1]


async def remove_process(
    transaction: Transaction, process_id: int, viewer: Viewer, if_version: str | None = None
) -> None:
    """Delete a process and its parts.

    Args:
        if_version: The version that it must have; None for any.

    Raises:
        GatewayError: ``CONFLICT`` if it has another version, or if other processes run it.
    """
    await require_process(transaction, process_id, viewer, if_version)
    references, count = await callers(transaction, process_id, viewer.only_profile)
    if count:
        # Neither the names nor the number of processes that the viewer does not see may leak.
        by = ", ".join(f'"{reference}"' for reference in references) or "other processes"
        raise conflict(f"the process is still run by {by}")
    await delete_row(transaction, "process", process_id)
