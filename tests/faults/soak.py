"""Serve a mixed load for minutes, and check that memory and descriptors stay level.

``make soak SECONDS=600`` runs this. The status is 0 if the gateway's memory, that of PostgreSQL's
backends and the number of open descriptors are level, 1 if one is not, and 2 if requests failed.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import math
import statistics
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import aiohttp

from tests.gateway.programs import children, postmaster, run, serving

_GROWTH = 1.1
"""The factor by which memory may grow between the second and the last fifth of the time …"""
_ALLOWANCE = 8.0
"""… plus this many MiB."""
_DESCRIPTORS = 8
"""The number by which the descriptors may differ between the two."""
_FIFTHS = 5
_SAMPLES = 100
"""Samples at the most; at least 0.2 s apart."""

LEVEL, NOT_LEVEL, FAILED = 0, 1, 2


@dataclass(frozen=True, slots=True)
class Sample:
    """What the processes use at one time."""

    gateway: float
    """The memory of the gateway, in MiB."""
    backends: float
    """The private memory of all of PostgreSQL's backends for connections, in MiB."""
    connections: int
    descriptors: int
    """The open files and sockets of the gateway."""


def take_sample(gateway: int, data_dir: Path) -> Sample:
    """Read what the gateway and its PostgreSQL use, from ``/proc``."""
    commands = children(postmaster(data_dir)).items()
    backends = [process for process, command in commands if "[local]" in command]
    memory = [_memory(process, "Private_Clean", "Private_Dirty") for process in backends]
    descriptors = sum(1 for _ in Path(f"/proc/{gateway}/fd").iterdir())
    return Sample(_memory(gateway, "Pss"), sum(memory), len(backends), descriptors)


def _memory(process: int, *names: str) -> float:
    try:
        lines = Path(f"/proc/{process}/smaps_rollup").read_text().splitlines()
    except OSError:  # it has just ended
        return 0
    rows = [line.split() for line in lines[1:]]
    return sum(int(row[1]) for row in rows if row[0].rstrip(":") in names) / 1024


# The load ----------------------------------------------------------------------------------------


class MixedLoad:
    """Clients of all kinds, and what they sent and got."""

    def __init__(self, url: str, token: str) -> None:
        self._url = url
        self._token = token
        self._numbers = itertools.count()
        self.answers: Counter[tuple[str, int]] = Counter()
        """The number of answers, by kind of request and status."""
        self.wrong: list[str] = []

    async def run(self, seconds: float) -> None:
        """Send requests for a number of seconds."""
        clients: Sequence[tuple[int, Callable[[], Awaitable[None]]]] = [
            (4, self._unique_document),
            (2, self._cached_document),
            (2, self._page),
            (1, self._lists),
            (2, self._writes),
            (2, self._bad_requests),
            (1, self._leave),
        ]
        end = time.monotonic() + seconds

        async def repeat(send: Callable[[], Awaitable[None]]) -> None:
            while time.monotonic() < end:
                await send()

        async with aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0), timeout=aiohttp.ClientTimeout(total=30)
        ) as self._http:
            await asyncio.gather(*(repeat(send) for count, send in clients for _ in range(count)))

    async def _send(
        self, kind: str, path: str, body: object = None, *, method: str = "", expected: int = 200
    ) -> bytes:
        data = body if isinstance(body, bytes) else None
        headers = {
            "Authorization": self._token,
            "Content-Type": "application/json",
            "Accept": "application/graphql-response+json",  # so that errors have their status
        }
        async with self._http.request(
            method or ("GET" if body is None else "POST"),
            f"{self._url}{path}",
            headers=headers,
            data=data,
            json=None if data is not None else body,
        ) as response:
            answer = await response.read()
        self.answers[kind, response.status] += 1
        failed = response.status == 200 and answer.startswith((b'{"errors"', b'{"data":null'))
        # A small machine may be busy.
        if response.status not in (expected, 429) or failed:
            self.wrong.append(f"{kind}: {response.status} {answer[:300].decode()}")
        return answer

    async def _unique_document(self) -> None:
        """Send a document that the gateway has never seen."""
        number = next(self._numbers)
        fields = " ".join(f"f{number}_{index}: description" for index in range(number % 40))
        query = (
            f"query Q{number} {{ processes(first: {1 + number % 5}) {{ nodes {{ name {fields}"
            " actions { source { name } arguments { value } } } } }"
        )
        await self._send("unique document", "/graphql", {"query": query})

    async def _cached_document(self) -> None:
        query = "query($name: String!) { process(reference: $name) { name actions { action } } }"
        body = {"query": query, "variables": {"name": f"load-{next(self._numbers) % 1000:07}"}}
        await self._send("cached document", "/graphql", body)

    async def _page(self) -> None:
        query = "{ processes(first: 50) { totalCount nodes { name espace { name } } } }"
        await self._send("page", "/graphql", {"query": query})

    async def _lists(self) -> None:
        for path in ("/processes", "/process", "/espaces"):
            await self._send("list", path)

    async def _writes(self) -> None:
        """Create a process, change it and delete it."""
        number = next(self._numbers)
        actions = [{"source": "echo", "action": "say", "arguments": [number]}] * (number % 5)
        body = {"reference": f"soak_{number}", "name": "Soak", "sources": actions}
        created = json.loads(await self._send("create", "/process", body))
        if created["error"]:
            return
        process = created["data"]["id"]
        text = {"comment": f"changed {number}"}
        await self._send("change", f"/processes/{process}", text, method="PUT")
        await self._send("delete", f"/process/{process}", method="DELETE")

    async def _bad_requests(self) -> None:
        number = next(self._numbers)
        unknown = {"query": f"{{ processes {{ nodes {{ name unknown{number} }} }} }}"}
        await self._send("bad document", "/graphql", unknown, expected=400)
        await self._send("bad JSON", "/graphql", b'{"query": ' + str(number).encode(), expected=400)
        await self._send("bad body", "/process", {"reference": number}, expected=400)
        await self._send("no such process", f"/process/{10**8 + number}", expected=404)

    async def _leave(self) -> None:
        """Ask for a long list, and leave without reading it."""
        address = urlsplit(self._url)
        _, writer = await asyncio.open_connection(address.hostname, address.port)
        head = f"GET /process HTTP/1.1\r\nHost: soak\r\nAuthorization: {self._token}\r\n\r\n"
        writer.write(head.encode())
        await writer.drain()
        await asyncio.sleep(0.02)
        writer.transport.abort()
        await asyncio.sleep(0.3)
        self.answers["left", 0] += 1


# The result --------------------------------------------------------------------------------------


def _figures(samples: Sequence[Sample]) -> list[tuple[str, list[float], float]]:
    """Return the name of each figure, its median in each fifth, and by how much it may differ."""
    size = len(samples) // _FIFTHS
    fifths = [samples[number * size : (number + 1) * size] for number in range(_FIFTHS)]

    def medians(value: Callable[[Sample], float]) -> list[float]:
        return [statistics.median(map(value, fifth)) for fifth in fifths]

    gateway, backends = medians(lambda it: it.gateway), medians(lambda it: it.backends)
    return [
        ("gateway, MiB", gateway, gateway[1] * _GROWTH + _ALLOWANCE - gateway[1]),
        ("backends, MiB", backends, backends[1] * _GROWTH + _ALLOWANCE - backends[1]),
        ("backends", medians(lambda it: it.connections), math.inf),
        ("descriptors", medians(lambda it: it.descriptors), _DESCRIPTORS),
    ]


def judge(samples: Sequence[Sample]) -> tuple[bool, str]:
    """Return whether all figures are level, and a table of their medians in each fifth."""
    lines = ["median of each fifth".ljust(22) + "1st      2nd      3rd      4th      last"]
    level = True
    for name, medians, allowed in _figures(samples):
        grown = medians[-1] - medians[1]
        level &= grown <= allowed
        cells = "".join(f"{median:<9.1f}" for median in medians)
        verdict = "" if math.isinf(allowed) else f"  {grown:+.1f}, allowed {allowed:+.1f}"
        lines.append(f"{name:22}{cells}{verdict}")
    return level, "\n".join(lines)


async def _measure(load: MixedLoad, take: Callable[[], Sample], seconds: float) -> list[Sample]:
    samples: list[Sample] = []
    interval = max(0.2, seconds / _SAMPLES)
    running = asyncio.create_task(load.run(seconds))
    while not running.done():
        await asyncio.wait([running], timeout=interval)
        samples.append(await asyncio.to_thread(take))
    await running
    return samples


def soak(seconds: float, processes: int) -> int:
    """Serve the demo home and generated processes under a mixed load, and print the figures."""
    with tempfile.TemporaryDirectory(prefix="gateway-soak-") as folder:
        data_dir = Path(folder) / "data"
        generated = run("demo", "--processes", processes, "--data-dir", data_dir)
        assert generated.returncode == 0, generated.stderr
        with serving("--demo", "--data-dir", data_dir) as server:
            server.ready()
            token = run("token", "--profile", "admin", "--data-dir", data_dir).stdout.strip()
            load = MixedLoad(server.url, token)
            samples = asyncio.run(
                _measure(load, lambda: take_sample(server.process.pid, data_dir), seconds)
            )
            server.stop()
    level, table = judge(samples)
    counts = sorted(load.answers.items())
    print("\n".join(f"{kind:20}{status or '':<6}{count:>10,}" for (kind, status), count in counts))
    print(table)
    if load.wrong:
        print(f"{len(load.wrong)} requests failed:", *load.wrong[:10], sep="\n  ")
        return FAILED
    print("level" if level else "NOT level")
    return LEVEL if level else NOT_LEVEL


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--processes", type=int, default=1500)
    arguments = parser.parse_args()
    sys.exit(soak(arguments.seconds, arguments.processes))
