"""Check the versions that clients expect processes to have: nothing changed that they have read."""

from __future__ import annotations

from resolvers.errors.catalogue import ErrorKind, FieldProblem, GatewayError, conflict
from resolvers.rules.items import ValidItems
from resolvers.rules.keys import Path
from storage.database.transaction import Transaction
from storage.writes.processes import lock_processes, read_versions

VERSION_ARGUMENT: Path = ("ifVersion",)
"""Path of the version in the arguments of a mutation."""

_CHANGED = "the process has another version; it was changed meanwhile, so read it again"


async def require_version(
    transaction: Transaction, process_id: int, if_version: str | None
) -> None:
    """Check the version of a process that the transaction has locked.

    Args:
        if_version: The version that the client has read; None if any version is accepted.

    Raises:
        GatewayError: ``CONFLICT``, if the process has another version.
    """
    if if_version is None:
        return
    versions = await read_versions(transaction, [process_id])
    if versions.get(process_id) != if_version:
        raise conflict(_CHANGED, VERSION_ARGUMENT)


async def changed_items(
    transaction: Transaction, changes: ValidItems, path: Path
) -> GatewayError | None:
    """Lock the processes whose versions are given in a list of changes, and check the versions.

    Returns:
        ``CONFLICT`` with each item whose process has another version; None if there is none.
        Processes that do not exist are not reported.
    """
    expected = {
        change["database_id"]: (index, change["if_version"])
        for index, change in enumerate(changes)
        if change.get("if_version") is not None
    }
    if not expected:
        return None
    await lock_processes(transaction, list(expected))
    versions = await read_versions(transaction, list(expected))
    problems = [
        FieldProblem((*path, index, *VERSION_ARGUMENT), _CHANGED)
        for id_, (index, version) in expected.items()
        if versions.get(id_, version) != version
    ]
    if not problems:
        return None
    return GatewayError(ErrorKind.CONFLICT, _CHANGED, problems=problems)
