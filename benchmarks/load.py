"""Generate load on one server with wrk or k6, on many connections at once.

wrk is preferred if it is installed: it needs a tenth of the processor time of k6, and the servers
and PostgreSQL share the processors with it. ``make bench`` installs k6.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import NamedTemporaryFile

import orjson

_HERE = Path(__file__).parent
_TIMEOUT = 60
"""The seconds after which a request counts as failed."""


class LoadError(Exception):
    """The load tool failed, or a server failed under load."""


@dataclass(frozen=True, slots=True)
class Target:
    """A URL, the bodies to POST to it in turn, and a token, if there is one."""

    url: str
    bodies: Sequence[bytes]
    token: str | None = None


@dataclass(frozen=True, slots=True)
class Measurement:
    """The result of a load."""

    rate: float
    """The responses per second."""
    median_ms: float
    """The median latency in milliseconds."""


@dataclass(frozen=True, slots=True)
class LoadTool:
    """A program that generates load."""

    name: str
    program: str
    connections: int = 16

    @classmethod
    def find(cls, preferred: str | None, k6: Path) -> LoadTool:
        """Return the preferred tool, or by default wrk if it is installed and k6 otherwise.

        Raises:
            LoadError: the tool is not installed.
        """
        programs = {
            "wrk": shutil.which("wrk"),
            "k6": str(k6) if k6.exists() else shutil.which("k6"),
        }
        for name, program in programs.items():
            if program is not None and preferred in (None, name):
                return cls(name, program)
        raise LoadError(f"{preferred or 'neither wrk nor k6'} is not installed")

    def version(self) -> str:
        """Return the name and version that the tool prints."""
        flag = {"wrk": "-v", "k6": "version"}[self.name]
        result = subprocess.run([self.program, flag], capture_output=True, text=True, check=False)
        return " ".join((result.stdout or result.stderr).split()[:2])

    async def run(self, target: Target, seconds: float) -> Measurement:
        """Send requests to a target on all connections for some seconds (rounded up).

        Raises:
            LoadError: the tool failed, or a request did.
        """
        duration = max(1, round(seconds + 0.4999))
        with NamedTemporaryFile(suffix=".txt") as file:
            file.write(b"\n".join(target.bodies) + b"\n")
            file.flush()
            token = f"Bearer {target.token}" if target.token else ""
            command, environment = (
                self._wrk(target.url, file.name, token, duration)
                if self.name == "wrk"
                else self._k6(target.url, file.name, token, duration)
            )
            process = await asyncio.create_subprocess_exec(
                *command,
                env=os.environ | environment,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
            )
            async with asyncio.timeout(duration + 2 * _TIMEOUT):
                stdout, stderr = await process.communicate()
        try:
            summary = orjson.loads(stdout.splitlines()[-1])
        except (orjson.JSONDecodeError, IndexError):
            raise LoadError(f"{self.name} failed: {stderr.decode()[-500:]}") from None
        if summary["failed"]:
            raise LoadError(f"{summary['failed']} requests failed")
        return Measurement(summary["rate"], summary["median_ms"])

    def _wrk(
        self, url: str, bodies: str, token: str, seconds: int
    ) -> tuple[list[str], dict[str, str]]:
        options = ["-t1", f"-c{self.connections}", f"-d{seconds}s", f"--timeout={_TIMEOUT}s"]
        script = ["-s", str(_HERE / "load.lua")]
        return [self.program, *options, *script, url, "--", bodies, token], {}

    def _k6(
        self, url: str, bodies: str, token: str, seconds: int
    ) -> tuple[list[str], dict[str, str]]:
        environment = {
            "URL": url,
            "BODIES": bodies,
            "AUTHORIZATION": token,
            "SECONDS": str(seconds),
            "CONNECTIONS": str(self.connections),
        }
        options = ["--quiet", "--no-usage-report", "--address", "127.0.0.1:0"]
        return [self.program, "run", *options, str(_HERE / "load.js")], environment
