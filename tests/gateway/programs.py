"""Run the process-gateway command and its server as real processes."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any, TypeVar

import pytest

T = TypeVar("T")

COMMAND = str(Path(sys.executable).with_name("process-gateway"))
PATIENCE = 30.0
"""Seconds after which a test gives up on a process."""


def environment(**variables: str) -> dict[str, str]:
    """Return this process's environment, with these gateway settings only."""
    others = {name: value for name, value in os.environ.items() if not name.startswith("GATEWAY_")}
    return others | variables


def run(
    *arguments: object,
    variables: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    through: Sequence[str] = (),
) -> subprocess.CompletedProcess[str]:
    """Run a command to its end, optionally ``through`` a program that runs it."""
    return subprocess.run(
        [*through, COMMAND, *map(str, arguments)],
        cwd=cwd,
        env=environment(**(variables or {})),
        capture_output=True,
        text=True,
        timeout=PATIENCE * 2,
        check=False,
    )


def require_program(name: str) -> str:
    """Return the path of a program that no lock file can install.

    ``make test`` needs nothing that is installed by hand, so the test is skipped if the program is
    missing. CI installs it with a script, so there the test fails instead.
    """
    # Debian keeps servers where only root looks for programs.
    path = shutil.which(name, path=os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin"]))
    if path is None and not os.environ.get("CI"):
        pytest.skip(f"there is no {name} on the PATH")
    assert path, f"there is no {name} on the PATH"
    return path


def free_port() -> int:
    """Return a port of this machine that is not in use."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def until(condition: Callable[[], T], what: str, patience: float = PATIENCE) -> T:
    """Poll a condition, and return its first true result."""
    deadline = time.monotonic() + patience
    while not (result := condition()):
        assert time.monotonic() < deadline, f"{what} did not happen within {patience:g} s"
        time.sleep(0.02)
    return result


def postmaster(data_dir: Path) -> int:
    """Return the process ID of the PostgreSQL server of a data folder, or 0 if none runs."""
    try:
        number = int((data_dir / "postgres" / "postmaster.pid").read_text().split()[0])
        os.kill(number, 0)
    except (OSError, IndexError):
        return 0
    return number


def children(parent: int) -> dict[int, str]:
    """Return the command line of each child of a process, by process ID."""
    commands = {}
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # the process has just ended
            if int((folder / "stat").read_text().rpartition(") ")[2].split()[1]) == parent:
                commands[int(folder.name)] = (folder / "cmdline").read_text().replace("\0", " ")
    return commands


def _collect(stream: IO[str], lines: list[str]) -> None:
    with stream:
        for line in stream:
            lines.append(line)  # noqa: PERF402 - other threads read the list meanwhile


class Server:
    """``process-gateway serve`` as a process that leads its own process group."""

    def __init__(self, *arguments: object, **variables: str) -> None:
        self.started_at = time.monotonic()
        self.process = subprocess.Popen(
            [COMMAND, "serve", "--port", "0", *map(str, arguments)],
            env=environment(**variables),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        self._output: list[str] = []
        self._log: list[str] = []
        assert self.process.stdout
        assert self.process.stderr
        self._readers = [
            threading.Thread(target=_collect, args=[stream, lines])
            for lines, stream in (
                (self._output, self.process.stdout),
                (self._log, self.process.stderr),
            )
        ]
        for reader in self._readers:
            reader.start()

    @property
    def output(self) -> str:
        """Return what the server has printed so far."""
        return "".join(self._output)

    @property
    def log(self) -> str:
        """Return what the server has logged so far."""
        return "".join(self._log)

    def ready(self) -> float:
        """Wait until the server is ready, and return the seconds since its start."""
        until(lambda: "/health\n" in self.output or self.process.poll() is not None, "readiness")
        assert self.process.poll() is None, self.log
        return time.monotonic() - self.started_at

    @property
    def url(self) -> str:
        """Return the URL that the server printed."""
        match = re.search(r"http://127\.0\.0\.1:\d+", self.output)
        assert match, self.output
        return match[0]

    def interrupt(self) -> None:
        """Send SIGINT to the process group, as Ctrl-C in a terminal does."""
        os.killpg(self.process.pid, signal.SIGINT)

    def ended(self) -> int:
        """Wait until the server has ended, and return its exit status."""
        status = self.process.wait(PATIENCE)
        for reader in self._readers:
            reader.join(PATIENCE)
        return status

    def stop(self) -> None:
        """Stop the server with SIGTERM, as a service manager does."""
        self.process.terminate()
        assert self.ended() == 0, self.log

    def get(self, path: str, token: str | None = None) -> tuple[int, Any]:
        """Return the status and the JSON of the response to a GET."""
        return fetch(f"{self.url}{path}", token)


def fetch(
    url: str, token: str | None = None, body: object = None, timeout: float = PATIENCE
) -> tuple[int, Any]:
    """Return the status and the JSON of the response to a GET, or to a POST if there is a body."""
    request = urllib.request.Request(url)
    if token is not None:
        request.add_header("Authorization", token)
    if body is not None:
        request.data = json.dumps(body).encode()
        request.add_header("Content-Type", "application/json")
    try:
        with urllib.request.urlopen(request, timeout=timeout) as response:
            return response.status, json.load(response)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.load(error)


@contextlib.contextmanager
def serving(*arguments: object, **variables: str) -> Iterator[Server]:
    """Run a server, and stop it even if the test fails."""
    server = Server(*arguments, **variables)
    try:
        yield server
    finally:
        if server.process.poll() is None:
            server.process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            server.process.wait(PATIENCE)
        server.process.kill()
        server.ended()
