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
    """A server with its own cluster."""

    def __init__(self, folder: Path) -> None:
        # This creates the cluster, with the right owner.
        EmbeddedPostgres.start(folder).stop()
        self._pgdata = folder / "postgres"
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
        until(lambda: pid_file.exists() and "ready" in pid_file.read_text(), "PostgreSQL")

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
def own_postgres(folder: Path) -> Iterator[Postgres]:
    """Run a server until the test ends."""
    server = Postgres(folder)
    try:
        yield server
    finally:
        server.stop()
