"""In charge of the servers that are measured: each a process of its own on a free local port."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import os
import socket
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryFile

_START = 60.0
_STOP = 10.0
"""Seconds that a server may take to start and to stop."""
_REST = 60.0
"""Seconds that a server may go on working after the last request."""
_LOOK = 0.25
_ANSWER = 120.0
"""Seconds that one answer may take."""


class ServerError(Exception):
    """A server does not start, or does not answer as it should."""


@dataclass(frozen=True, slots=True)
class Server:
    """A server that listens."""

    port: int
    pid: int
    path: str = "/"
    token: str | None = None

    @property
    def url(self) -> str:
        """Where it answers GraphQL."""
        return f"http://127.0.0.1:{self.port}{self.path}"

    def ask(self, body: bytes) -> bytes:
        """The answer to a POST of this body; raises ``ServerError`` where it is no success."""
        return self.send("POST", self.path, body)

    def send(self, method: str, path: str, body: bytes | None = None) -> bytes:
        """The body of the answer to any request; raises ``ServerError`` where it is no success."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=_ANSWER)
        headers = {"Content-Type": "application/json"}
        if self.token:
            headers["Authorization"] = f"Bearer {self.token}"
        with contextlib.closing(connection):
            connection.request(method, path, body, headers)
            response = connection.getresponse()
            answer = response.read()
        if response.status >= 300 or answer.startswith((b'{"errors"', b'{"data":null')):
            raise ServerError(f"{method} {path} was answered {response.status}: {answer[:500]!r}")
        return answer

    async def rest(self) -> None:
        """Wait until the server has finished what it was asked and nobody waits for any more.

        A slow one is left with work for seconds when the load ends, which whoever is measured next
        would have to share the processors with.
        """
        deadline = time.monotonic() + _REST
        busy = True
        while busy and time.monotonic() < deadline:
            before = self._processor_time()
            await asyncio.sleep(_LOOK)
            busy = self._processor_time() - before > _LOOK / 10

    def _processor_time(self) -> float:
        """Seconds that the process has worked; always 0 on a system that does not tell."""
        stat = Path(f"/proc/{self.pid}/stat")
        if not stat.exists():
            return 0.0
        fields = stat.read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def memory(self) -> int:
        """Bytes that the process holds in memory now."""
        return self._status("VmRSS")

    def peak_memory(self) -> int:
        """The most bytes that it held since ``forget_peak``."""
        return self._status("VmHWM")

    def forget_peak(self) -> None:
        """Count the peak from now on."""
        Path(f"/proc/{self.pid}/clear_refs").write_text("5")

    def _status(self, name: str) -> int:
        for line in Path(f"/proc/{self.pid}/status").read_text().splitlines():
            if line.startswith(f"{name}:"):
                return int(line.split()[1]) * 1024
        raise ServerError(f"this system does not tell {name}")


@contextlib.asynccontextmanager
async def running(
    command: Sequence[str | Path],
    *,
    environment: Mapping[str, str] | None = None,
    path: str = "/",
    token: str | None = None,
) -> AsyncIterator[Server]:
    """A server that is started by a command, in which ``{port}`` stands for the port to take.

    Raises:
        ServerError: it does not listen after a minute, or ends before; with what it said last.
    """
    port = _free_port()
    with TemporaryFile() as log:
        process = await asyncio.create_subprocess_exec(
            *(str(part).replace("{port}", str(port)) for part in command),
            env=os.environ | (environment or {}),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
        try:
            if not await _listens(port, process):
                log.seek(0)
                raise ServerError(f"does not start: {log.read().decode(errors='replace')[-800:]}")
            yield Server(port, process.pid, path, token)
        finally:
            await _stop(process)


async def _listens(port: int, process: asyncio.subprocess.Process) -> bool:
    deadline = time.monotonic() + _START
    while process.returncode is None and time.monotonic() < deadline:
        with contextlib.suppress(OSError):
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.close()
            return True
        await asyncio.sleep(0.1)
    return False


async def _stop(process: asyncio.subprocess.Process) -> None:
    if process.returncode is not None:
        return
    process.terminate()
    try:
        await asyncio.wait_for(process.wait(), _STOP)
    except TimeoutError:
        process.kill()
        await process.wait()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port
