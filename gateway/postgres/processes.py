"""Inspect the processes of a PostgreSQL server: whether it runs, and what a killed one left behind.

The server writes its process ID to ``postmaster.pid``. A server that was killed leaves the file
there, and its ID can still exist: as a process that nobody has waited for yet, or as that of
another program. ``/proc`` tells them apart. Without ``/proc``, an ID that exists counts as the
server.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

_PROC = Path("/proc")


def pid_file(pgdata: Path) -> list[str]:
    """Return the lines of ``postmaster.pid``, none if there is no such file."""
    try:
        return (pgdata / "postmaster.pid").read_text().splitlines()
    except (OSError, ValueError):
        return []


def server_process(pgdata: Path) -> int | None:
    """Return the process ID of the server, ready or not, or None if it does not run."""
    try:
        process = abs(int(pid_file(pgdata)[0]))  # negative for a server in single-user mode
        os.kill(process, 0)
    except (OSError, ValueError, IndexError):
        return None
    return process if _is_postgres(process) or not (_PROC / "self").exists() else None


def left_processes(pgdata: Path) -> list[int]:
    """Return the processes that work for the server of ``pgdata``; only of use if it was killed.

    They end as soon as they notice that the server has gone, which takes as long as the statement
    that they run. Those that the system does not show to this user are left out.
    """
    folder = pgdata.stat()
    found = []
    for entry in _PROC.glob("[0-9]*"):
        with suppress(OSError):  # it has just ended, or it is another user's
            if os.path.samestat((entry / "cwd").stat(), folder) and _is_postgres(int(entry.name)):
                found.append(int(entry.name))
    return found


def _is_postgres(process: int) -> bool:
    """Whether a process runs PostgreSQL, and has not ended."""
    try:
        name, _, status = (_PROC / str(process) / "stat").read_text().rpartition(") ")
    except OSError:
        return False
    return name.endswith("(postgres") and status[0] not in "ZX"
