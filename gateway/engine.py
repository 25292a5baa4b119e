"""Make the engine that executes processes, for the server and for the commands that execute."""

from __future__ import annotations

from collections.abc import Callable
from uuid import UUID

from gateway.auth.secret_keys import secret_box
from gateway.settings.model import Settings, SettingsError
from resolvers.execution.engine import ExecutionEngine, ExecutionLimits
from resolvers.execution.secrets import SecretError
from resolvers.execution.sources.registry import installed_kinds
from resolvers.execution.stored_sources import prepare_sources
from storage.database.database import Database

OnLease = Callable[[UUID], None]
"""Called with the ID of a worker whenever it gets a new lease."""


def ignore_lease(worker: UUID) -> None:
    """Do nothing: nobody watches this process."""


async def engine_of(
    settings: Settings, database: Database, on_lease: OnLease = ignore_lease
) -> ExecutionEngine:
    """Return an engine, which takes a lease at once.

    Raises:
        SettingsError: Secrets of sources were encrypted with unknown keys.
        StorageError: The database failed.
    """
    secrets = secret_box(settings, create=True)
    kinds = installed_kinds()
    try:
        await prepare_sources(database, kinds, secrets)
    except SecretError as error:
        raise SettingsError(f"secret_keys: {error}") from error
    return ExecutionEngine(
        database,
        kinds,
        ExecutionLimits(
            settings.execution_timeout, settings.action_timeout, settings.execution_max_steps
        ),
        secrets,
        on_lease,
    )
