"""Test workers: several processes serve one port, and end with the first."""

from __future__ import annotations

import os
import signal
import urllib.request
from pathlib import Path

from tests.gateway.programs import Server, serving, until


def workers(server: Server) -> list[int]:
    """Return the process IDs of the other workers of a server."""
    processes = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            try:
                parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
                command = (entry / "cmdline").read_bytes()
            except OSError:
                continue
            if parent == server.process.pid and b"gateway.serve.workers" in command:
                processes.append(int(entry.name))
    return processes


def alive(process: int) -> bool:
    try:
        state = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


def listeners(server: Server) -> int:
    """Return how many sockets listen on the port of the server."""
    port = int(server.url.rpartition(":")[2])
    rows = Path("/proc/net/tcp").read_text().splitlines()[1:]
    listening = [row.split() for row in rows if row.split()[3] == "0A"]
    return sum(int(row[1].rpartition(":")[2], 16) == port for row in listening)


def test_workers_share_a_port_and_end_with_the_first_process(tmp_path: Path) -> None:
    with serving("--data-dir", tmp_path / "data", "--workers", 3) as server:
        server.ready()
        assert listeners(server) == 3
        assert all(server.get("/health")[0] == 200 for _ in range(30))
        others = workers(server)
        assert len(others) == 2
        # Every process knows that the database is the gateway's own.
        request = urllib.request.Request(f"{server.url}/graphql", headers={"Accept": "text/html"})
        for _ in range(30):
            with urllib.request.urlopen(request) as response:
                assert f"--data-dir {tmp_path}/data</code>" in response.read().decode()
        server.stop()
        assert not any(map(alive, others))


def test_a_worker_that_dies_is_replaced(tmp_path: Path) -> None:
    with serving("--data-dir", tmp_path / "data", "--workers", 2) as server:
        server.ready()
        (before,) = workers(server)
        os.kill(before, signal.SIGKILL)
        until(lambda: workers(server) not in ([], [before]), "another worker")
        until(lambda: listeners(server) == 2, "its socket")
        assert "a worker ended with status -9" in server.log
        server.stop()


def test_no_worker_outlives_the_first_process(tmp_path: Path) -> None:
    with serving("--data-dir", tmp_path / "data", "--workers", 2) as server:
        server.ready()
        (other,) = workers(server)
        server.process.kill()
        until(lambda: not alive(other), "the end of the worker")
    # The embedded PostgreSQL is still running; the next server joins it and stops it.
    with serving("--data-dir", tmp_path / "data") as server:
        server.ready()
        server.stop()


def test_an_invalid_number_of_workers_is_rejected(tmp_path: Path) -> None:
    with serving("--data-dir", tmp_path / "data", "--workers", 0) as server:
        assert server.ended() == 1
        assert server.log.startswith("process-gateway: workers: ")
