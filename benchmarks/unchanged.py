"""Measure reads of what has not changed, and what validators cost where everything changes."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import itertools
import random
import statistics
import sys
import time
import urllib.request
from collections.abc import AsyncIterator, Callable
from functools import partial
from pathlib import Path

import orjson

from connections import connected
from contestants import gateway
from figures import Comparison, compare, timed
from gateway.services import dialects_of
from gateway.settings.model import Settings
from load import LoadTool, Target
from resolvers.operations.compile import OperationCompiler
from resolvers.operations.parameters import RunValues
from resolvers.values.ids import global_id
from servers import Caller, Server, running
from work import (
    ADMIN,
    CASES,
    DOCUMENTS,
    FRAGMENT,
    HERE,
    PAGES,
    GatewayAdapter,
    LimitAdapter,
    collect_cursors,
    request_bodies,
)

_WRITES = (10, 100)
"""Writes each second beside the reads."""
_NEVER_REPEATED = (1, 50)
_IN_A_ROW = 5
"""Requests of a complete list that are measured before its SQL is."""
_UNIQUE = (
    "query Page($first: Int!, $after: String, $max: Int!) {"
    " processes(first: $first, after: $after, where: {databaseId: {lte: $max}}) {"
    " nodes { ...WholeTree } pageInfo { hasNextPage endCursor } } } " + FRAGMENT
)
"""Like the page of ``work.graphql``, with a variable that has no effect but to be different."""
_WRITE = (
    "mutation ($id: ID!, $changes: ProcessChanges!)"
    " { updateProcess(id: $id, changes: $changes) { __typename } }"
)
_UPDATE = "UPDATE process SET enabled = NOT enabled WHERE id = $1"


class Unchanged:
    """Measures one part after the other, on a database of ``count`` processes that it changes."""

    def __init__(
        self,
        url: str,
        folder: Path,
        tool: LoadTool,
        compiler: OperationCompiler,
        *,
        count: int,
        rounds: int,
        seconds: float,
    ) -> None:
        self._url = url
        self._folder = folder
        self._tool = tool
        self._compiler = compiler
        self._count = count
        self._rounds = rounds
        self._seconds = seconds
        self._numbers = itertools.count(1)

    async def measure(self) -> dict[str, Comparison]:
        """Return the comparisons by title."""
        results: dict[str, Comparison] = {}
        async with self._servers() as (server, limit, plain):
            cursors = collect_cursors(server, DOCUMENTS, "processes", self._count)
            adapter = LimitAdapter(self._compiler)
            for case in (case for case in CASES if case.trees in PAGES):
                ours = request_bodies(case, GatewayAdapter(), cursors)
                theirs = request_bodies(case, adapter, cursors)
                targets = (
                    partial(Target, server.url, ours, server.token),
                    partial(Target, limit.url, theirs),
                )
                results[f"unchanged page of {case.trees}"] = await self._rates(*targets)
                if case.trees == 50:
                    for writes in _WRITES:
                        async with self._written(writes):
                            results[f"page of 50, {writes} writes/s"] = await self._rates(*targets)
            for trees in _NEVER_REPEATED:
                results[f"page of {trees} that never repeats"] = await self._rates(
                    partial(self._unique, server, trees), partial(self._unique, plain, trees)
                )
            for status, headers in ((200, {}), (304, {"If-None-Match": _tag(server)})):
                results[f"GET /process unchanged, {status}"] = await self._whole(server, headers)
        results["writes/s"] = await self._write_rates()
        return results

    @contextlib.asynccontextmanager
    async def _servers(self) -> AsyncIterator[tuple[Server, Server, Server]]:
        """Run the gateway, the limit, and the gateway without validators."""
        statements = self._folder / "statements.json"
        statements.write_bytes(orjson.dumps(LimitAdapter(self._compiler).statements()))
        limit: list[str | Path] = [sys.executable, HERE / "limit.py", "{port}", self._url]
        async with (
            gateway(self._url, self._folder / "gateway", keeps_answers=True) as server,
            running([*limit, statements]) as limit_server,
            gateway(
                self._url, self._folder / "gateway", keeps_answers=True, script=HERE / "plain.py"
            ) as plain,
        ):
            yield server, limit_server, plain

    async def _rates(self, ours: Callable[[], Target], theirs: Callable[[], Target]) -> Comparison:
        """Compare the requests per second of two targets, which take turns."""
        pairs = []
        for number in range(-1, self._rounds):  # the first round is a warm-up
            rates = {}
            for target in (ours, theirs) if number % 2 else (theirs, ours):
                rates[target] = (await self._tool.run(target(), self._seconds)).rate
            if number >= 0:
                pairs.append((rates[ours], rates[theirs]))
        return compare(pairs)

    def _unique(self, server: Server, trees: int) -> Target:
        """Return as many requests as a round needs, none of which was ever sent before."""
        bodies = []
        for number in itertools.islice(self._numbers, int(8000 * (self._seconds + 2))):
            position = orjson.dumps(["database_id", 1 + number * 37 % (self._count - 300)])
            variables = {
                "first": trees,
                "after": base64.b64encode(position).decode(),
                "max": 10 * self._count + number,
            }
            bodies.append(orjson.dumps({"query": _UNIQUE, "variables": variables}))
        return Target(server.url, bodies, server.token)

    @contextlib.asynccontextmanager
    async def _written(self, rate: int) -> AsyncIterator[None]:
        """Write ``rate`` processes each second for the duration of the block."""

        async def write() -> None:
            async with connected(self._url) as connection:
                start = time.monotonic()
                for number in itertools.count(1):
                    await connection.execute(_UPDATE, random.randint(1, self._count))  # noqa: S311
                    await asyncio.sleep(start + number / rate - time.monotonic())

        writing = asyncio.create_task(write())
        try:
            yield
        finally:
            writing.cancel()
            await asyncio.gather(writing, return_exceptions=True)

    async def _whole(self, server: Server, headers: dict[str, str]) -> Comparison:
        """Compare the seconds of an unchanged GET /process with those of its SQL."""
        reads = {
            str(route.route): route.operation.reads
            for dialect in dialects_of(Settings(), self._compiler)
            for route in dialect.routes
        }
        read = reads["GET /process"][ADMIN]
        arguments = read.arguments(RunValues({}, profile_id=1))
        with Caller(server) as caller:
            get = partial(caller.request, "GET", "/process", None, headers)
            async with connected(self._url) as connection:
                for _ in range(3):  # until it is kept
                    await asyncio.to_thread(get)
                pairs = []
                for _ in range(3 * self._rounds):
                    # The megabytes of the SQL have filled the processor caches. The first request
                    # after them takes two to three times as long as those that follow.
                    await asyncio.to_thread(get)
                    ours = [await timed(asyncio.to_thread, get) for _ in range(_IN_A_ROW)]
                    theirs = await timed(connection.fetch, read.statement.sql, *arguments)
                    pairs.append((statistics.median(ours), theirs))
        return compare(pairs)

    async def _write_rates(self) -> Comparison:
        """Compare the writes per second of concurrent clients, with triggers and without."""
        bodies = [
            orjson.dumps(
                {
                    "query": _WRITE,
                    "variables": {
                        "id": global_id("Process", number),
                        "changes": {"state": state},
                    },
                }
            )
            for state in ("ENABLED", "DISABLED")
            for number in random.sample(range(1, self._count), 1000)
        ]
        pairs = []
        async with gateway(self._url, self._folder / "gateway", keeps_answers=True) as server:
            target = Target(server.url, bodies, server.token)
            for number in range(-1, self._rounds):
                rates = {}
                for verb in ("ENABLE", "DISABLE") if number % 2 else ("DISABLE", "ENABLE"):
                    async with connected(self._url) as connection:
                        await connection.execute(f"ALTER TABLE process {verb} TRIGGER log_update")
                        await connection.execute("VACUUM process")
                    rates[verb] = (await self._tool.run(target, self._seconds)).rate
                if number >= 0:
                    pairs.append((rates["ENABLE"], rates["DISABLE"]))
        return compare(pairs)


def _tag(server: Server) -> str:
    """Return the entity tag of GET /process."""
    headers = {"Authorization": f"Bearer {server.token}"}
    request = urllib.request.Request(f"http://127.0.0.1:{server.port}/process", headers=headers)
    with urllib.request.urlopen(request) as response:  # noqa: S310
        return str(response.headers["ETag"])
