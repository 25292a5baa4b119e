"""Cancel executions, whichever worker runs them."""

from __future__ import annotations

from resolvers.access.viewer import Viewer
from resolvers.errors.catalogue import bad_value, conflict, not_found
from storage.database.database import Database
from storage.execution.admission import request_cancel
from storage.execution.records import read_executed


async def cancel_execution(database: Database, execution_id: int, viewer: Viewer) -> str:
    """Cancel an execution. No step of it starts afterwards.

    Returns:
        ``cancelled`` if it waited and has ended with that; ``running`` if its worker ends it.

    Raises:
        GatewayError: ``NOT_FOUND``, ``BAD_USER_INPUT`` if it is nested, or ``CONFLICT`` if it has
            ended.
        StorageError: It was not canceled. ``OutcomeUnknownError``: it may have been.
    """
    executed = await read_executed(database, execution_id, viewer.only_profile)
    if executed is None:
        raise not_found("there is no such execution")
    if executed["root_id"] is not None:
        raise bad_value(("id",), "a nested execution cannot be cancelled, only the outermost one")
    async with database.transaction() as transaction:
        status = await request_cancel(transaction, execution_id)
    if status is None:
        raise conflict("the execution has ended already", ("id",))
    return status
