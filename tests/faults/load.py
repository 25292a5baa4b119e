"""Send requests of all APIs without a pause, and record every request with what came of it."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import aiohttp

from tests.faults.answers import Outcome, outcome_of

_PAUSE = 0.01
"""Seconds between two requests of a client. The machine also runs the gateway and PostgreSQL."""
_PROBE_PAUSE = 0.1
_MAX_PROCESSES = 12
"""Processes that a writer creates. Longer lists are streamed, and are cut if a connection is."""
_PADDING = "x" * 2000
"""Part of each written value, so that tables grow."""

_TREE = (
    "{ process(reference: %s) { name subprocesses { name actions { action arguments { value }}}}}"
)
_CREATE = """
mutation($process: NewProcess!) { createProcess(process: $process) { process {
  id databaseId reference description
}}}"""
_UPDATE = """
mutation($id: ID!, $text: String!) { updateProcess(id: $id, changes: {description: $text}) {
  process { description }
}}"""


@dataclass(frozen=True, slots=True)
class Write:
    """A description that a request gives a process."""

    reference: str
    value: str


@dataclass(frozen=True, slots=True)
class Sent:
    """A request and what came of it."""

    name: str
    started: float
    """The time of ``time.monotonic``, in seconds."""
    seconds: float
    outcome: Outcome
    answer: str
    write: Write | None = None

    def __str__(self) -> str:
        return f"{self.name}: {self.outcome.value} after {self.seconds:.2f} s: {self.answer[:300]}"


@dataclass(frozen=True, slots=True)
class Fixed:
    """A read that always has the same answer."""

    name: str
    path: str
    body: object
    answer: bytes


@dataclass(slots=True)
class _Process:
    """A process that a writer has created."""

    reference: str
    number: int
    id: str | None
    """The opaque ID, if GraphQL returned it."""


@dataclass
class Load:
    """Clients of a gateway. Each sends one request at a time.

    Args:
        url: The URL of the gateway.
        token: An admin's token.
        revoked: A token that was revoked.
        reads: The reads with fixed answers (``fixed_reads``).
        bound: The seconds within which each request must be answered.
        name: A word that makes the references of the written processes unique.
    """

    url: str
    token: str
    revoked: str
    reads: list[Fixed]
    bound: float
    name: str
    writers: int = 4
    goal: int = 0
    """The number of requests after which ``reached`` is set."""
    reached: asyncio.Event = field(default_factory=asyncio.Event)
    sent: list[Sent] = field(default_factory=list)
    ready: list[tuple[float, float, int]] = field(default_factory=list)
    """When each request for /health/ready was sent and answered, and the status."""
    _stopping: bool = False
    _created: set[int] = field(default_factory=set)
    """The ``databaseId`` of every process that was acknowledged."""

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Run the clients during the block. Afterwards each has the answer to its last request."""
        async with _session(self.bound) as self._http:
            clients = [
                *(self._repeat(_PAUSE, self._reader(read)) for read in self.reads),
                self._repeat(_PAUSE, self._list_reader()),
                *(self._repeat(_PAUSE, self._writer(n)) for n in range(self.writers)),
                self._repeat(_PROBE_PAUSE, self._send_revoked),
                self._repeat(_PROBE_PAUSE, self._ask_ready),
            ]
            tasks = [asyncio.create_task(client) for client in clients]
            try:
                yield
            finally:
                self._stopping = True
                await asyncio.gather(*tasks)

    async def _repeat(self, pause: float, send: Callable[[], Awaitable[None]]) -> None:
        while not self._stopping:
            await send()
            await asyncio.sleep(pause)

    async def _send(
        self,
        name: str,
        path: str,
        body: object = None,
        *,
        method: str | None = None,
        write: Write | None = None,
        right: Callable[[bytes], bool] = lambda answer: True,
    ) -> bytes | None:
        """Send a request, record it, and return the body of the answer if it is right."""
        started = time.monotonic()
        outcome, answer = Outcome.WRONG, b""
        try:
            async with self._http.request(
                method or ("GET" if body is None else "POST"),
                f"{self.url}{path}",
                headers={"Authorization": self.token},
                json=body,
            ) as response:
                answer = await response.read()
            outcome = outcome_of(path, response.status, response.headers, answer)
            if outcome is Outcome.RIGHT and not right(answer):
                outcome = Outcome.WRONG
        except TimeoutError:
            outcome = Outcome.STUCK
        except aiohttp.ClientError as error:
            answer = repr(error).encode()
        seconds = time.monotonic() - started
        text = answer.decode("utf-8", "replace")
        self.sent.append(Sent(name, started, seconds, outcome, text[:1000], write))
        if len(self.sent) >= self.goal:
            self.reached.set()
        return answer if outcome is Outcome.RIGHT else None

    # Readers -------------------------------------------------------------------------------------

    def _reader(self, read: Fixed) -> Callable[[], Awaitable[None]]:
        async def send() -> None:
            await self._send(
                read.name, read.path, read.body, right=lambda answer: answer == read.answer
            )

        return send

    def _list_reader(self) -> Callable[[], Awaitable[None]]:
        """Read a list that must contain everything that was acknowledged before the request."""

        async def send() -> None:
            created = set(self._created)
            await self._send(
                "GET /processes",
                "/processes",
                right=lambda answer: (
                    created <= {item["id"] for item in json.loads(answer)["processes"]}
                ),
            )

        return send

    async def _send_revoked(self) -> None:
        """Send a revoked token. It may be refused, or the database may be unavailable."""
        name, started = "a revoked token", time.monotonic()
        try:
            async with self._http.get(
                f"{self.url}/process/1", headers={"Authorization": self.revoked}
            ) as response:
                answer = await response.read()
            outcome = (
                Outcome.RIGHT
                if response.status == 401
                else outcome_of("/process/1", response.status, response.headers, answer)
            )
            if response.status == 200:
                outcome = Outcome.WRONG
        except TimeoutError:
            outcome, answer = Outcome.STUCK, b""
        seconds = time.monotonic() - started
        self.sent.append(Sent(name, started, seconds, outcome, answer.decode()))

    async def _ask_ready(self) -> None:
        started = time.monotonic()
        async with self._http.get(f"{self.url}/health/ready") as response:
            self.ready.append((started, time.monotonic(), response.status))

    # Writers -------------------------------------------------------------------------------------

    def _writer(self, number: int) -> Callable[[], Awaitable[None]]:
        """Create processes and update them, so that no other writer writes to them."""
        steps = itertools.count()
        own: list[_Process] = []

        async def send() -> None:
            step = next(steps)
            value = f"{self.name} {number}.{step} {_PADDING}"
            process = own[step // 4 % len(own)] if own else None
            if process is None or (step % 2 == 0 and len(own) < _MAX_PROCESSES):
                created = await self._create(f"{self.name}_{number}_{step}", value, step)
                if created is not None:
                    own.append(created)
                    self._created.add(created.number)
            elif step % 2 and process.id is not None:
                await self._send(
                    "updateProcess",
                    "/graphql",
                    {"query": _UPDATE, "variables": {"id": process.id, "text": value}},
                    write=Write(process.reference, value),
                    right=lambda answer: (
                        _field(answer, "updateProcess") == {"process": {"description": value}}
                    ),
                )
            else:
                await self._send(
                    "PUT /processes/{id}",
                    f"/processes/{process.number}",
                    {"comment": value},
                    method="PUT",
                    write=Write(process.reference, value),
                    right=lambda answer: answer == b"",
                )

        return send

    async def _create(self, reference: str, value: str, step: int) -> _Process | None:
        process = {"reference": reference, "name": "Written under load", "description": value}
        write = Write(reference, value)
        if step % 4:
            answer = await self._send("POST /process", "/process", process, write=write)
            if answer is None:
                return None
            return _Process(reference, json.loads(answer)["data"]["id"], None)
        answer = await self._send(
            "createProcess",
            "/graphql",
            {"query": _CREATE, "variables": {"process": process}},
            write=write,
            right=lambda answer: _field(answer, "createProcess")["process"]["description"] == value,
        )
        if answer is None:
            return None
        created = _field(answer, "createProcess")["process"]
        return _Process(reference, created["databaseId"], created["id"])


def _session(bound: float) -> aiohttp.ClientSession:
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0), timeout=aiohttp.ClientTimeout(total=bound)
    )


def _field(answer: bytes, name: str) -> Any:
    return json.loads(answer)["data"][name]


async def fixed_reads(url: str, token: str) -> list[Fixed]:
    """Return reads of the demo home, which nobody changes, with their answers."""
    reads = [
        ("a tree", "/graphql", {"query": _TREE % '"leave_home"'}),
        ("a page", "/graphql", {"query": "{ espaces(first: 3) { nodes { name reference } } }"}),
        ("GET /process/{id}", "/process/3", None),
    ]
    fixed = []
    async with _session(10) as http:
        for name, path, body in reads:
            async with http.request(
                "GET" if body is None else "POST",
                f"{url}{path}",
                headers={"Authorization": token},
                json=body,
            ) as response:
                answer = await response.read()
            assert outcome_of(path, response.status, response.headers, answer) is Outcome.RIGHT
            fixed.append(Fixed(name, path, body, answer))
    return fixed
