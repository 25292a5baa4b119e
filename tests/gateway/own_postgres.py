"""Run a PostgreSQL server that tests can stop and freeze: a child process that listens on TCP."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from gateway.postgres.embedded import EmbeddedPostgres, binaries
from tests.gateway.programs import children, free_port, until


class Postgres:
    """A server with its own cluster.

    Args:
        folder: Where the cluster is created.
        standby_of: The server that this one follows, if it is to be a standby.
    """

    def __init__(self, folder: Path, standby_of: Postgres | None = None) -> None:
        self._pgdata = folder / "postgres"
        if standby_of is None:
            # This creates the cluster, with the right owner.
            EmbeddedPostgres.start(folder).stop()
        else:
            standby_of.copy_to(self._pgdata)
        self._port = free_port()
        self.url = f"postgresql://postgres@127.0.0.1:{self._port}/postgres"
        self.start()

    def start(self) -> None:
        """Start the server, and wait until it accepts connections."""
        owner = self._pgdata.stat()
        root = os.geteuid() == 0
        self._process = subprocess.Popen(
            [
                *(binaries() / "postgres", "-D", self._pgdata, "-k", self._pgdata),
                *("-p", str(self._port), "-c", "listen_addresses=127.0.0.1"),
            ],
            user=owner.st_uid if root else None,
            group=owner.st_gid if root else None,
            cwd="/",
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        pid_file = self._pgdata / "postmaster.pid"

        def accepts_connections() -> bool:
            lines = pid_file.read_text().splitlines() if pid_file.exists() else []
            return bool(lines) and lines[-1].strip() in ("ready", "standby")

        until(accepts_connections, "PostgreSQL")

    def copy_to(self, pgdata: Path) -> None:
        """Copy the cluster while the server runs, for a standby of it."""
        owner = self._pgdata.stat()
        pgdata.mkdir(mode=0o700, parents=True)
        os.chown(pgdata, owner.st_uid, owner.st_gid)
        root = os.geteuid() == 0
        subprocess.run(
            [binaries() / "pg_basebackup", "-d", self.url, "-D", pgdata, "-R", "-c", "fast"],
            user=owner.st_uid if root else None,
            group=owner.st_gid if root else None,
            cwd="/",
            check=True,
        )

    def stop(self) -> None:
        """Stop the server at once, and close its connections."""
        self._process.send_signal(signal.SIGQUIT)
        self._process.wait(30)

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """Suspend the server: it keeps its connections, but does not respond."""
        processes = [self._process.pid, *children(self._process.pid)]
        for process in processes:
            os.kill(process, signal.SIGSTOP)
        try:
            yield
        finally:
            for process in processes:
                os.kill(process, signal.SIGCONT)


@contextmanager
def own_postgres(folder: Path, standby_of: Postgres | None = None) -> Iterator[Postgres]:
    """Run a server until the test ends, perhaps as a standby of another one."""
    server = Postgres(folder, standby_of)
    try:
        yield server
    finally:
        server.stop()
