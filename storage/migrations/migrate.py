"""Bring a database to the schema that this version of the gateway needs.

Migrations are the ``NNNN_name.sql`` files of this folder. They are applied in order, in one
transaction that also records them. An advisory lock lets several gateways start at the same time.
"""

from __future__ import annotations

from importlib import resources

from storage.database.database import Database
from storage.database.errors import StorageError
from storage.database.transaction import Transaction

_LOCK = 0x70726F63
"""The key of the advisory lock that is held while migrations are applied."""

_OLDEST_SERVER = 150_000
"""PostgreSQL 15, in the format of ``server_version_num``."""

_CREATE_HISTORY = """
CREATE TABLE IF NOT EXISTS schema_migration (
    version    integer PRIMARY KEY,
    name       text NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT now()
)"""


class ServerTooOldError(StorageError):
    """The server is older than PostgreSQL 15. The message names its version."""


def available() -> list[tuple[int, str, str]]:
    """Return the version, name and SQL of each migration, in order."""
    migrations = []
    for file in resources.files(__package__).iterdir():
        if file.name.endswith(".sql"):
            version, name = file.name.removesuffix(".sql").split("_", 1)
            migrations.append((int(version), name, file.read_text(encoding="utf-8")))
    return sorted(migrations)


async def is_current(database: Database) -> bool:
    """Whether all migrations were applied. Changes nothing.

    Raises:
        DatabaseUnavailableError: The database is unreachable.
    """
    async with database.transaction() as transaction:
        return await _has_all(transaction)


async def _has_all(transaction: Transaction) -> bool:
    if await transaction.fetch_value("SELECT to_regclass('schema_migration')") is None:
        return False
    recorded = await _recorded(transaction)
    return all(version in recorded for version, _, _ in available())


async def migrate(database: Database) -> list[str]:
    """Apply the migrations that the database lacks. Return their names.

    Raises:
        ServerTooOldError: The server is older than PostgreSQL 15.
        DatabaseUnavailableError: The database is unreachable or rejected a statement. Nothing was
            changed.
    """
    applied = []
    async with database.transaction() as transaction:
        version = await transaction.fetch_value("SELECT current_setting('server_version_num')::int")
        assert isinstance(version, int)
        if version < _OLDEST_SERVER:
            raise ServerTooOldError(f"PostgreSQL {version // 10000} is too old: 15 is needed")
        if await _has_all(transaction):  # the gateway also starts on a server that only reads
            return []
        await transaction.fetch("SELECT pg_advisory_xact_lock($1)", _LOCK)
        await transaction.script(_CREATE_HISTORY)
        recorded = await _recorded(transaction)
        for version, name, sql in available():
            if version in recorded:
                continue
            await transaction.script(sql)
            await transaction.fetch(
                "INSERT INTO schema_migration (version, name) VALUES ($1, $2)", version, name
            )
            applied.append(name)
    return applied


async def _recorded(transaction: Transaction) -> set[int]:
    """Return the versions of the migrations that were applied."""
    rows = await transaction.fetch("SELECT version FROM schema_migration")
    return {row["version"] for row in rows}
