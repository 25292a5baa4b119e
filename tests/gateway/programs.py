"""In charge of the programs that tests run as real processes: the command and its server."""

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
    """This process's environment with no setting of a gateway in it but these."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("GATEWAY_")}
    return kept | variables


def run(
    *arguments: object,
    variables: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    through: Sequence[str] = (),
) -> subprocess.CompletedProcess[str]:
    """Run a command to its end, ``through`` a program that runs another one."""
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
    """The path of a program that no lock file can bring.

    ``make test`` promises to need nothing that is installed by hand, so where the program is not
    there, the test is skipped; CI, whose script installs it, fails instead.
    """
    found = shutil.which(name)
    if found is None and not os.environ.get("CI"):
        pytest.skip(f"there is no {name} on the PATH")
    assert found, f"there is no {name} on the PATH"
    return found


def free_port() -> int:
    """A port of this machine that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def until(condition: Callable[[], T], what: str, patience: float = PATIENCE) -> T:
    """The first true answer of ``condition``."""
    deadline = time.monotonic() + patience
    while not (found := condition()):
        assert time.monotonic() < deadline, f"{what} has not come about in {patience:g} s"
        time.sleep(0.02)
    return found


def postmaster(data_dir: Path) -> int:
    """The process id of the PostgreSQL of a data folder; 0 where none runs."""
    try:
        number = int((data_dir / "postgres" / "postmaster.pid").read_text().split()[0])
        os.kill(number, 0)
    except (OSError, IndexError):
        return 0
    return number


def children(parent: int) -> dict[int, str]:
    """The command line of each process that this one has started, by its id."""
    found = {}
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # it has just ended
            if int((folder / "stat").read_text().rpartition(") ")[2].split()[1]) == parent:
                found[int(folder.name)] = (folder / "cmdline").read_text().replace("\0", " ")
    return found


def _keep(stream: IO[str], kept: list[str]) -> None:
    with stream:
        for line in stream:
            kept.append(line)  # noqa: PERF402 - others look at them meanwhile


class Server:
    """``process-gateway serve`` as a process at the head of a process group of its own."""

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
            threading.Thread(target=_keep, args=[stream, kept])
            for kept, stream in (
                (self._output, self.process.stdout),
                (self._log, self.process.stderr),
            )
        ]
        for reader in self._readers:
            reader.start()

    @property
    def output(self) -> str:
        """What it has printed so far."""
        return "".join(self._output)

    @property
    def log(self) -> str:
        """What it has logged so far."""
        return "".join(self._log)

    def ready(self) -> float:
        """Wait for the greeting; returns how long it took since the start, in seconds."""
        until(lambda: "/health\n" in self.output or self.process.poll() is not None, "readiness")
        assert self.process.poll() is None, self.log
        return time.monotonic() - self.started_at

    @property
    def url(self) -> str:
        """Where it serves, as it printed it."""
        found = re.search(r"http://127\.0\.0\.1:\d+", self.output)
        assert found, self.output
        return found[0]

    def interrupt(self) -> None:
        """Do what Ctrl-C does in a terminal: signal the whole process group."""
        os.killpg(self.process.pid, signal.SIGINT)

    def ended(self) -> int:
        """Wait until it has ended; returns its exit status."""
        status = self.process.wait(PATIENCE)
        for reader in self._readers:
            reader.join(PATIENCE)
        return status

    def stop(self) -> None:
        """Stop it as a service manager would."""
        self.process.terminate()
        assert self.ended() == 0, self.log

    def get(self, path: str, token: str | None = None) -> tuple[int, Any]:
        """The status and the JSON of an answer."""
        return fetch(f"{self.url}{path}", token)


def fetch(
    url: str, token: str | None = None, body: object = None, timeout: float = PATIENCE
) -> tuple[int, Any]:
    """The status and the JSON of the answer to a GET, or to a POST of ``body``."""
    request = urllib.request.Request(url)
    if token is not None:
        request.add_header("Authorization", token)
    if body is not None:
        request.data = json.dumps(body).encode()
    try:
        with urllib.request.urlopen(request, timeout=timeout) as response:
            return response.status, json.load(response)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.load(error)


@contextlib.contextmanager
def serving(*arguments: object, **variables: str) -> Iterator[Server]:
    """A server that does not outlive the test, failed or not."""
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
