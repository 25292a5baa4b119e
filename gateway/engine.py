"""Make the engine that executes processes, for the server and for the commands that execute."""

from __future__ import annotations

from collections.abc import Callable
from uuid import UUID

from gateway.settings.model import Settings
from resolvers.execution.engine import ExecutionEngine, ExecutionLimits
from resolvers.execution.sources.registry import installed_kinds
from storage.database.database import Database

OnLease = Callable[[UUID], None]
"""Called with the ID of a worker whenever it gets a new lease."""


def ignore_lease(worker: UUID) -> None:
    """Do nothing: nobody watches this process."""


def engine_of(
    settings: Settings, database: Database, on_lease: OnLease = ignore_lease
) -> ExecutionEngine:
    """Return an engine that takes a lease at once. Call it in a running event loop."""
    return ExecutionEngine(
        database,
        installed_kinds(),
        ExecutionLimits(
            settings.execution_timeout, settings.action_timeout, settings.execution_max_steps
        ),
        on_lease,
    )
