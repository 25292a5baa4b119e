"""Servers of their own under gateways: killed, restored from copies, and replaced by standbys."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import signal
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import asyncpg

from gateway.postgres.embedded import binaries
from storage.database.database import Database
from storage.migrations.migrate import migrate
from tests.conftest import in_database
from tests.faults.proxies import Link, link
from tests.gateway.own_postgres import Postgres

_DATABASE = "home"
_SETTINGS = {
    # A killed process loses nothing that it has handed to the kernel.
    "fsync": "off",
    "max_connections": "40",
}
_PATIENCE = 30.0
"""Seconds after which a test gives up on a server."""


@dataclass
class Site:
    """The server that gateways reach through a link, and those that take its place."""

    folder: Path
    server: Postgres
    link: Link
    _started: list[Postgres] = field(default_factory=list)
    _numbers: itertools.count[int] = field(default_factory=itertools.count)

    @property
    def url(self) -> str:
        """Where the gateways find the database, whatever server has it."""
        return self.direct_url.replace(f":{self.server.port}/", f":{self.link.port}/")

    @property
    def direct_url(self) -> str:
        """Where the database is now."""
        return in_database(self.server.url, _DATABASE).rstrip("?")

    async def start(self) -> None:
        """Start the server, unless it runs."""
        if not self.server.runs:
            await asyncio.to_thread(self.server.start)

    # Killing -------------------------------------------------------------------------------------

    async def kill(self) -> None:
        """Kill all processes of the server, and start it again."""
        await asyncio.to_thread(self.server.kill)
        await asyncio.to_thread(self.server.start)

    # Restoring -----------------------------------------------------------------------------------

    async def dump(self) -> Path:
        """Dump the database, for ``restore`` and ``restore_and_rename``."""
        return await dump(self.direct_url, self._new())

    async def restore_and_rename(self, dumped: Path) -> None:
        """Restore a dump as a new database, which then takes the place of the other."""
        await _run(self.server.url, "CREATE DATABASE restored")
        await restore(in_database(self.server.url, "restored").rstrip("?"), dumped)
        await _run(self.server.url, f"DROP DATABASE {_DATABASE} WITH (FORCE)")
        await _run(self.server.url, f"ALTER DATABASE restored RENAME TO {_DATABASE}")

    async def copy(self) -> Path:
        """Copy the files of the running server, for ``restore_copy``."""
        folder = self._new()
        await asyncio.to_thread(self.server.copy_to, folder, standby=False)
        return folder

    async def restore_copy(self, copied: Path) -> None:
        """Stop the server, and start it with files that were copied before."""
        await asyncio.to_thread(self.server.stop)
        self.server.replace_files(copied)
        await asyncio.to_thread(self.server.start)

    # Standbys ------------------------------------------------------------------------------------

    async def standby(self) -> Postgres:
        """Start a standby of the server."""
        started = await asyncio.to_thread(_postgres, self._new(), self.server)
        self._started.append(started)
        return started

    async def received(self, standby: Postgres) -> None:
        """Wait until a standby has received everything."""
        await self._until_at_end(standby, "pg_last_wal_receive_lsn")

    async def replayed(self, standby: Postgres) -> None:
        """Wait until a standby shows everything."""
        await self._until_at_end(standby, "pg_last_wal_replay_lsn")

    async def use(self, standby: Postgres) -> None:
        """End the server, and lead the gateways to its standby."""
        await asyncio.to_thread(self.server.kill)
        self._started.remove(self.server)
        self.server = standby
        self.link.target = standby.port
        self.link.cut()

    async def promote(self) -> None:
        """Promote the standby that is used."""
        assert await _run(self.server.url, "SELECT pg_promote()")

    def stop(self) -> None:
        """Stop all servers."""
        for server in self._started:
            server.stop()

    async def _until_at_end(self, standby: Postgres, function: str) -> None:
        end = await _run(self.server.url, "SELECT pg_current_wal_flush_lsn()::text")
        await _until(standby.url, f"SELECT coalesce({function}() >= '{end}'::pg_lsn, false)")

    def _new(self) -> Path:
        return self.folder / str(next(self._numbers))


@contextlib.asynccontextmanager
async def site_in(folder: Path) -> AsyncIterator[Site]:
    """Start a server with an empty database of the current schema."""
    server = await asyncio.to_thread(_postgres, folder / "first")
    async with link(server.port) as opened:
        site = Site(folder, server, opened, [server])
        try:
            await _run(server.url, f"CREATE DATABASE {_DATABASE}")
            database = await Database.connect(site.direct_url)
            await migrate(database)
            await database.close()
            yield site
        finally:
            await asyncio.to_thread(site.stop)


def _postgres(folder: Path, standby_of: Postgres | None = None) -> Postgres:
    return Postgres(folder, standby_of, **_SETTINGS)


async def dump(url: str, file: Path) -> Path:
    """Dump a database to a file, and return it."""
    errors = await _program("pg_dump", "--format=custom", f"--file={file}", f"--dbname={url}")
    assert not errors, errors
    return file


async def restore(url: str, dumped: Path) -> None:
    """Restore a dump in a database, in place of what is there, in one transaction."""
    options = ("--clean", "--if-exists", "--single-transaction", "--exit-on-error")
    errors = "deadlock detected"
    while "deadlock detected" in errors:  # with a read, which locks the tables in another order
        errors = await _program("pg_restore", *options, f"--dbname={url}", str(dumped))
    assert not errors, errors


async def pause_replay(standby: Postgres) -> None:
    """Let a standby receive, but not show what it receives, until it is promoted."""
    await _run(standby.url, "SELECT pg_wal_replay_pause()")
    await _until(standby.url, "SELECT pg_get_wal_replay_pause_state() = 'paused'")


async def disconnect(standby: Postgres) -> None:
    """Let a standby receive nothing any more."""
    await _run(standby.url, "ALTER SYSTEM SET primary_conninfo = ''")
    await _run(standby.url, "SELECT pg_reload_conf()")
    # While replay is paused, nobody else ends the receiver, and nobody starts another one.
    os.kill(await _run(standby.url, "SELECT pid FROM pg_stat_wal_receiver"), signal.SIGTERM)
    await _until(standby.url, "SELECT NOT EXISTS (SELECT FROM pg_stat_wal_receiver)")


async def _program(name: str, *arguments: str) -> str:
    """Run a program of PostgreSQL. Return its errors if it has failed."""
    process = await asyncio.create_subprocess_exec(
        binaries() / name, *arguments, stderr=asyncio.subprocess.PIPE
    )
    _, errors = await process.communicate()
    return errors.decode() if process.returncode else ""


async def _run(url: str, statement: str) -> Any:
    """Run a statement, and return its first value."""
    connection = await asyncpg.connect(url)
    try:
        return await connection.fetchval(statement)
    finally:
        await connection.close()


async def _until(url: str, condition: str) -> None:
    """Wait until a statement returns true."""
    deadline = time.monotonic() + _PATIENCE
    while not await _run(url, condition):
        assert time.monotonic() < deadline, condition
        await asyncio.sleep(0.02)
