"""In charge of bringing a database to the schema that this version of the gateway needs.

Migrations are the ``NNNN_name.sql`` files of this folder, applied in order, each in the one
transaction that also records it. An advisory lock lets any number of gateways start at once.
"""

from __future__ import annotations

from importlib import resources

from storage.database.database import Database
from storage.database.errors import StorageError

_LOCK = 0x70726F63
"""The advisory lock's key, a number of the gateway's own."""

_OLDEST_SERVER = 150_000
"""As PostgreSQL numbers its versions."""

_RECORD = """
CREATE TABLE IF NOT EXISTS schema_migration (
    version    integer PRIMARY KEY,
    name       text NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT now()
)"""


class ServerTooOldError(StorageError):
    """The server lacks what the gateway needs; the message says which version it is."""


def available() -> list[tuple[int, str, str]]:
    """Each migration's version, name and SQL, in order."""
    found = []
    for file in resources.files(__package__).iterdir():
        if file.name.endswith(".sql"):
            version, name = file.name.removesuffix(".sql").split("_", 1)
            found.append((int(version), name, file.read_text(encoding="utf-8")))
    return sorted(found)


async def migrate(database: Database) -> list[str]:
    """Apply what is missing; returns the names of what was applied, empty where nothing was.

    Raises:
        ServerTooOldError: the server is older than PostgreSQL 15.
        DatabaseUnavailableError: the database is out of reach or refused a statement; nothing
            has changed.
    """
    applied = []
    async with database.transaction() as transaction:
        version = await transaction.fetch_value("SELECT current_setting('server_version_num')::int")
        assert isinstance(version, int)
        if version < _OLDEST_SERVER:
            raise ServerTooOldError(f"PostgreSQL {version // 10000} is too old: 15 is needed")
        await transaction.fetch("SELECT pg_advisory_xact_lock($1)", _LOCK)
        await transaction.script(_RECORD)
        rows = await transaction.fetch("SELECT version FROM schema_migration")
        done = {row["version"] for row in rows}
        for version, name, sql in available():
            if version in done:
                continue
            await transaction.script(sql)
            await transaction.fetch(
                "INSERT INTO schema_migration (version, name) VALUES ($1, $2)", version, name
            )
            applied.append(name)
    return applied
