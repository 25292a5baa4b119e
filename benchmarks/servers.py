"""Run the measured servers, each as a process on a free local port."""

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

_START_TIMEOUT = 60.0
"""The seconds that a server may take to start."""
_STOP_TIMEOUT = 10.0
"""The seconds that a server may take to stop."""
_IDLE_TIMEOUT = 60.0
"""The maximum seconds to wait until a server is idle."""
_IDLE_INTERVAL = 0.25
"""The seconds over which the processor time of a server is measured."""
_REQUEST_TIMEOUT = 120.0
"""The seconds that one request may take."""
_BUFFER = 256 * 1024
"""The bytes that are read at once of a response that is not kept."""


class ServerError(Exception):
    """A server does not start, or does not respond as expected."""


@dataclass(frozen=True, slots=True)
class Server:
    """A running server."""

    port: int
    pid: int
    path: str = "/"
    token: str | None = None

    @property
    def url(self) -> str:
        """The URL of its GraphQL endpoint."""
        return f"http://127.0.0.1:{self.port}{self.path}"

    def post(self, body: bytes) -> bytes:
        """POST a body to the GraphQL endpoint. Return the body of the response.

        Raises:
            ServerError: the response is not a success.
        """
        return self.request("POST", self.path, body)

    def request(self, method: str, path: str, body: bytes | None = None) -> bytes:
        """Send a request on a connection of its own. Return the body of the response.

        Raises:
            ServerError: the response is not a success.
        """
        with Caller(self) as caller:
            return caller.request(method, path, body)

    def drain(self, path: str) -> None:
        """Send a GET request on a connection of its own, and read the response without keeping it.

        Raises:
            ServerError: the response is not a success.
        """
        with Caller(self) as caller:
            caller.drain(path)

    async def wait_until_idle(self) -> None:
        """Wait until the server has finished the requests whose clients are gone.

        A slow server has work left for seconds after the load has ended. It would share the
        processors with the server that is measured next.
        """
        deadline = time.monotonic() + _IDLE_TIMEOUT
        busy = True
        while busy and time.monotonic() < deadline:
            before = self.processor_time()
            await asyncio.sleep(_IDLE_INTERVAL)
            busy = self.processor_time() - before > _IDLE_INTERVAL / 10

    def processor_time(self) -> float:
        """Return the processor seconds of the process, always 0 on a system without /proc."""
        stat = Path(f"/proc/{self.pid}/stat")
        if not stat.exists():
            return 0.0
        fields = stat.read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def memory(self) -> int:
        """Return the resident memory of the process in bytes."""
        return self._status("VmRSS")

    def peak_memory(self) -> int:
        """Return the maximum resident memory in bytes since ``reset_peak_memory``."""
        return self._status("VmHWM")

    def reset_peak_memory(self) -> None:
        """Set the maximum resident memory to the current value."""
        Path(f"/proc/{self.pid}/clear_refs").write_text("5")

    def _status(self, name: str) -> int:
        for line in Path(f"/proc/{self.pid}/status").read_text().splitlines():
            if line.startswith(f"{name}:"):
                return int(line.split()[1]) * 1024
        raise ServerError(f"this system does not report {name}")


class Caller:
    """A client that keeps its connection to a server."""

    def __init__(self, server: Server) -> None:
        self._connection = http.client.HTTPConnection(
            "127.0.0.1", server.port, timeout=_REQUEST_TIMEOUT
        )
        self._headers = {"Content-Type": "application/json"}
        if server.token:
            self._headers["Authorization"] = f"Bearer {server.token}"

    def __enter__(self) -> Caller:
        return self

    def __exit__(self, *failure: object) -> None:
        self._connection.close()

    def request(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        more: Mapping[str, str] | None = None,
    ) -> bytes:
        """Send a request. Return the body of the response.

        Args:
            more: further headers.

        Raises:
            ServerError: the response is not a success.
        """
        self._connection.request(method, path, body, {**self._headers, **(more or {})})
        response = self._connection.getresponse()
        answer = response.read()
        if response.status not in (200, 304) or answer.startswith((b'{"errors"', b'{"data":null')):
            raise ServerError(f"{method} {path} returned {response.status}: {answer[:500]!r}")
        return answer

    def drain(self, path: str) -> None:
        """Send a GET request, and read the response into one buffer.

        To collect and join the parts of 2.4 MB takes a client in Python 2.5 ms, and the SQL that
        the request is compared with 13 ms.

        Raises:
            ServerError: the response is not a success.
        """
        self._connection.request("GET", path, headers=self._headers)
        response = self._connection.getresponse()
        if response.status != 200:
            raise ServerError(f"GET {path} returned {response.status}")
        buffer = bytearray(_BUFFER)
        while response.readinto(buffer):
            pass


@contextlib.asynccontextmanager
async def running(
    command: Sequence[str | Path],
    *,
    environment: Mapping[str, str] | None = None,
    path: str = "/",
    token: str | None = None,
) -> AsyncIterator[Server]:
    """Run a server for the duration of the block.

    Args:
        command: the command. ``{port}`` in it is replaced by the port.
        environment: variables to set in addition to the current ones.
        path: the path of the GraphQL endpoint.
        token: the token that requests are sent with.

    Raises:
        ServerError: the server exits or does not listen within a minute. The message ends with its
            last output.
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
    deadline = time.monotonic() + _START_TIMEOUT
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
        await asyncio.wait_for(process.wait(), _STOP_TIMEOUT)
    except TimeoutError:
        process.kill()
        await process.wait()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port
