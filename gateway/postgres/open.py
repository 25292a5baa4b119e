"""Open the database of the gateway: an external PostgreSQL or the embedded one."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator
from pathlib import Path

from gateway.postgres.embedded import EmbeddedPostgres, EmbeddedPostgresError
from gateway.postgres.supervise import supervised
from gateway.settings.model import Settings, SettingsError, no_gateway_in
from storage.database.database import Database
from storage.database.errors import DatabaseUnavailableError
from storage.migrations.migrate import ServerTooOldError, is_current, migrate

logger = logging.getLogger(__name__)


@contextlib.asynccontextmanager
async def open_database(settings: Settings, *, create: bool = False) -> AsyncIterator[Database]:
    """Connect to the database.

    Without the setting ``database_url`` this is the embedded PostgreSQL, which is started unless it
    runs, started again if it ends, and stopped at the end unless another process uses it.

    Args:
        settings: The settings in force.
        create: Whether to create a missing cluster of the embedded PostgreSQL, and to migrate the
            database.

    Raises:
        SettingsError: The database does not exist or cannot be used, now or later. The message
            names the setting.
    """
    async with contextlib.AsyncExitStack() as stack:
        if settings.database_url is None:
            name, embedded = "data_dir", _start_embedded(settings.data_dir, create=create)
            stack.push_async_callback(asyncio.to_thread, embedded.stop)
            await stack.enter_async_context(supervised(embedded))
            url = embedded.url
        else:
            name, url = "database_url", settings.database_url.get_secret_value()
        try:
            database = await _connect(settings, url)
            stack.push_async_callback(database.close)
            if create:
                for migration in await migrate(database):
                    logger.info("migrated: %s", migration)
            elif not await is_current(database):
                raise SettingsError(
                    f"{name}: the database is not migrated; run 'process-gateway migrate'"
                )
            yield database
        except ServerTooOldError as error:
            raise SettingsError(f"{name}: {error}") from error
        except DatabaseUnavailableError as error:
            reason = str(error.__cause__ or "") or "it does not answer"
            raise SettingsError(f"{name}: the database cannot be used: {reason}") from error


async def _connect(settings: Settings, url: str) -> Database:
    try:
        return await Database.connect(
            url,
            pool_min=settings.pool_min,
            pool_max=settings.pool_max,
            pool_timeout=settings.pool_timeout,
            statement_timeout=settings.statement_timeout,
            statement_cache_bytes=settings.statement_cache_bytes,
        )
    except ValueError:
        # The cause is left out: it quotes what it could not parse, perhaps part of a password.
        raise SettingsError(
            "database_url: expected an address such as postgresql://user:password@host:5432/name,"
            " with the special characters of each part percent-encoded"
        ) from None


def _start_embedded(data_dir: Path, *, create: bool) -> EmbeddedPostgres:
    """Start or join the server of a data folder.

    This blocks the event loop, which delays signals: a server that is still starting could not be
    stopped, and nothing else runs yet.
    """
    try:
        if not create and not EmbeddedPostgres.exists(data_dir):
            raise no_gateway_in(data_dir, "database")
        return EmbeddedPostgres.start(data_dir)
    except OSError as error:
        raise SettingsError(f"data_dir: cannot use {data_dir}: {error.strerror}") from error
    except EmbeddedPostgresError as error:
        raise SettingsError(f"data_dir: {error}") from error
