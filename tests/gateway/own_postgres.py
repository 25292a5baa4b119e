"""Run PostgreSQL servers that tests can kill, stop and freeze: children that listen on TCP."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from gateway.postgres.embedded import EmbeddedPostgres, binaries
from tests.gateway.programs import children, free_port, until


class Postgres:
    """A server with its own cluster.

    Args:
        folder: Where the cluster is created.
        standby_of: The server that this one follows, if it is to be a standby.
        settings: Settings of the server that differ from the defaults.
    """

    def __init__(
        self, folder: Path, standby_of: Postgres | None = None, /, **settings: str
    ) -> None:
        self._pgdata = folder / "postgres"
        if standby_of is None:
            # This creates the cluster, with the right owner.
            EmbeddedPostgres.start(folder).stop()
        else:
            standby_of.copy_to(self._pgdata)
        self._log = folder / "server.log"
        self._settings = settings
        self.port = free_port()
        self.url = f"postgresql://postgres@127.0.0.1:{self.port}/postgres"
        self.start()

    def start(self) -> None:
        """Start the server, and wait until it accepts connections."""
        settings = {"listen_addresses": "127.0.0.1"} | self._settings
        owner = self._pgdata.stat()
        root = os.geteuid() == 0
        options = ["-k", str(self._pgdata), "-p", str(self.port)]
        options += [f"--{name}={value}" for name, value in settings.items()]
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [binaries() / "postgres", "-D", self._pgdata, *options],
                user=owner.st_uid if root else None,
                group=owner.st_gid if root else None,
                cwd="/",
                stdout=subprocess.DEVNULL,
                stderr=log,
            )
        until(lambda: self._accepts() or not self.runs, "PostgreSQL")
        assert self.runs, self.log

    @property
    def log(self) -> str:
        """The end of what the server has logged."""
        return self._log.read_text()[-5000:]

    def copy_to(self, pgdata: Path, *, standby: bool = True) -> None:
        """Copy the cluster while the server runs, for a standby of it or as a backup."""
        owner = self._pgdata.stat()
        pgdata.mkdir(mode=0o700, parents=True)
        os.chown(pgdata, owner.st_uid, owner.st_gid)
        root = os.geteuid() == 0
        options = [
            "--checkpoint=fast",
            "--no-sync",
            *(["--write-recovery-conf"] if standby else []),
        ]
        subprocess.run(
            [binaries() / "pg_basebackup", "-d", self.url, "-D", pgdata, *options],
            user=owner.st_uid if root else None,
            group=owner.st_gid if root else None,
            cwd="/",
            check=True,
        )

    def replace_files(self, copied: Path) -> None:
        """Put a backup in place of the cluster, while the server does not run."""
        shutil.rmtree(self._pgdata)
        copied.rename(self._pgdata)

    @property
    def runs(self) -> bool:
        """Whether the server has not ended."""
        return self._process.poll() is None

    def _accepts(self) -> bool:
        # A server that was killed leaves its file behind: the first line tells whose it is.
        with suppress(OSError, IndexError):
            lines = (self._pgdata / "postmaster.pid").read_text().splitlines()
            return lines[0] == str(self._process.pid) and lines[7].strip() in ("ready", "standby")
        return False

    def stop(self, how: signal.Signals = signal.SIGQUIT) -> None:
        """Stop the server, by default at once, and close its connections."""
        self._process.send_signal(how)
        self._process.wait(30)

    def kill(self) -> None:
        """Kill the server and all its processes."""
        processes = children(self._process.pid)
        self._process.kill()
        self._process.wait(30)
        for process in processes:
            with suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)

    def kill_backend(self) -> None:
        """Kill the process of one connection, after which the server restarts itself."""
        commands = children(self._process.pid).items()
        backends = [process for process, command in commands if "127.0.0.1(" in command]
        os.kill(backends[-1], signal.SIGKILL)

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
def own_postgres(
    folder: Path, standby_of: Postgres | None = None, /, **settings: str
) -> Iterator[Postgres]:
    """Run a server until the test ends, perhaps as a standby of another one."""
    server = Postgres(folder, standby_of, **settings)
    try:
        yield server
    finally:
        server.stop()
