"""In charge of the load: many connections that ask one server for a while, by wrk or by k6.

wrk is taken where it is installed: it needs a tenth of the processor time that k6 does, which the
servers and PostgreSQL are left to share on a small machine. k6 comes with ``make bench``.
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
"""Seconds that an answer may take before it counts as failed."""


class LoadError(Exception):
    """The load could not be made, or a server did not stand it."""


@dataclass(frozen=True, slots=True)
class Target:
    """What is asked: an address, the bodies to POST in turn, and the token to show, if any."""

    url: str
    bodies: Sequence[bytes]
    token: str | None = None


@dataclass(frozen=True, slots=True)
class Measured:
    """What came of it."""

    rate: float
    """Answers per second."""
    median_ms: float
    """The middle latency, in milliseconds."""


@dataclass(frozen=True, slots=True)
class LoadTool:
    """A program that makes the load."""

    name: str
    program: str
    connections: int = 16

    @classmethod
    def find(cls, preferred: str | None, k6: Path) -> LoadTool:
        """The tool of this name, or the best there is; raises ``LoadError``."""
        found = {"wrk": shutil.which("wrk"), "k6": str(k6) if k6.exists() else shutil.which("k6")}
        for name, program in found.items():
            if program is not None and preferred in (None, name):
                return cls(name, program)
        raise LoadError(f"{preferred or 'neither wrk nor k6'} is not installed")

    def version(self) -> str:
        """What the tool says of itself."""
        flag = {"wrk": "-v", "k6": "version"}[self.name]
        said = subprocess.run([self.program, flag], capture_output=True, text=True, check=False)
        return " ".join((said.stdout or said.stderr).split()[:2])

    async def run(self, target: Target, seconds: float) -> Measured:
        """Ask ``target`` on all connections for so long (rounded up to whole seconds).

        Raises:
            LoadError: not every answer was a success.
        """
        whole = max(1, round(seconds + 0.4999))
        with NamedTemporaryFile(suffix=".txt") as file:
            file.write(b"\n".join(target.bodies) + b"\n")
            file.flush()
            token = f"Bearer {target.token}" if target.token else ""
            command, environment = (
                self._wrk(target.url, file.name, token, whole)
                if self.name == "wrk"
                else self._k6(target.url, file.name, token, whole)
            )
            process = await asyncio.create_subprocess_exec(
                *command,
                env=os.environ | environment,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
            )
            async with asyncio.timeout(whole + 2 * _TIMEOUT):
                said, complaint = await process.communicate()
        try:
            found = orjson.loads(said.splitlines()[-1])
        except (orjson.JSONDecodeError, IndexError):
            raise LoadError(f"{self.name} failed: {complaint.decode()[-500:]}") from None
        if found["failed"]:
            raise LoadError(f"{found['failed']} requests failed")
        return Measured(found["rate"], found["median_ms"])

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
