"""Benchmark the gateway against the limit and its peers. ``make bench`` runs this.

A run starts PostgreSQL in a temporary folder, fills a database, starts the contestants, puts load
on each in turn, and writes the results to ``docs/``.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path

import asyncpg
import uvloop

import executions
import figures
import live
from contestants import Contestant, gateway, start_contestants
from gateway.postgres.embedded import EmbeddedPostgres
from gateway.services import compiler_of
from gateway.settings.model import Settings
from load import LoadError, LoadTool, Target
from report import write
from resolvers.operations.compile import OperationCompiler
from results import Results, goals, machine, python_versions
from servers import ServerError
from storage.database.database import Database
from storage.demo.load import generate
from storage.migrations.migrate import migrate
from unchanged import Unchanged
from work import CASES, HERE, Case, GatewayAdapter

_COUNT = 10_000
_LARGE_COUNT = 1_000_000
# The speed of small machines varies over time, so many short rounds are more reliable than few long
# ones.
_ROUNDS = 7
_SECONDS = 3
_PARTS = (
    "rates",
    "whole",
    "bulk",
    "memory",
    "workers",
    "growth",
    "worst",
    "unchanged",
    "live",
    "executions",
)


def main() -> None:
    """Run the benchmark with the options of the command line."""
    options = _parser().parse_args()
    if options.keep is not None:
        options.keep.mkdir(parents=True, exist_ok=True)
        uvloop.run(_bench(options, options.keep.resolve()))
        return
    with tempfile.TemporaryDirectory(prefix="bench-", ignore_cleanup_errors=True) as folder:
        uvloop.run(_bench(options, Path(folder)))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="run briefly, to check that it works")
    parser.add_argument("--rounds", type=int, help=f"number of rounds (default: {_ROUNDS})")
    parser.add_argument("--seconds", type=float, help=f"length of a round (default: {_SECONDS})")
    parser.add_argument("--load", choices=("wrk", "k6"), help="load tool (default: wrk, or k6)")
    parser.add_argument(
        "--large",
        type=int,
        metavar="N",
        help=f"rows of the large table (default: {_LARGE_COUNT:,})",
    )
    parser.add_argument(
        "--only", nargs="+", choices=_PARTS, default=_PARTS, help="measure only these parts"
    )
    parser.add_argument("--keep", type=Path, metavar="DIR", help="keep databases and peers in DIR")
    parser.add_argument(
        "--output", type=Path, metavar="DIR", help="write to DIR (default: docs, or build/bench)"
    )
    return parser


async def _bench(options: argparse.Namespace, folder: Path) -> None:
    tool = LoadTool.find(options.load, HERE.parent / ".venv-bench" / "bin" / "k6")
    compiler = compiler_of(Settings(page_size_max=200))
    server = await asyncio.to_thread(EmbeddedPostgres.start, folder / "data")
    try:
        results = Results(
            date=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
            quick=options.quick,
            rounds=options.rounds or (1 if options.quick else _ROUNDS),
            seconds=options.seconds or (1 if options.quick else _SECONDS),
            connections=tool.connections,
            count=_COUNT,
            large_count=options.large or (2 * _COUNT if options.quick else _LARGE_COUNT),
            machine=machine(),
            versions=python_versions()
            | {"PostgreSQL": await _version(server.url), "load": tool.version()},
        )
        await _Run(results, tool, compiler, server.url, folder).measure(options.only)
    finally:
        await asyncio.to_thread(server.stop)
    output = options.output or HERE.parent / ("build/bench" if options.quick else "docs")
    write(results, output)
    for goal in goals(results):
        measured = "-" if goal.measured is None else f"{goal.measured:.2f}"
        print(f"{goal.verdict.strip('*'):8} {measured:>7}  {goal.title}")
    print(f"written to {output}")


class _Run:
    """Measures one part after the other, and records the results."""

    def __init__(
        self,
        results: Results,
        tool: LoadTool,
        compiler: OperationCompiler,
        server_url: str,
        folder: Path,
    ) -> None:
        self._results = results
        self._tool = tool
        self._compiler = compiler
        self._server_url = server_url
        self._folder = folder
        self._start = time.monotonic()
        self._seconds: dict[str, float] = {}  # the length of a round, by contestant

    async def measure(self, parts: tuple[str, ...]) -> None:
        """Measure these parts. Record the reason for each part that is skipped or fails."""
        url = await self._database(self._results.count)
        measures: dict[str, Callable[[str], Awaitable[None]]] = {
            "rates": self._rates,
            "whole": self._whole,
            "memory": self._memory,
            "workers": self._workers,
            "bulk": self._bulk,
            "growth": self._growth,
            "worst": self._worst,
            "unchanged": self._unchanged,
            "live": self._live,
            "executions": self._executions,
        }
        for part, measure in measures.items():
            if part not in parts:
                self._results.missing[part] = "not selected"
                continue
            self._log(part)
            try:
                await measure(url)
            except (ServerError, LoadError, OSError, TimeoutError) as error:
                self._results.missing[part] = str(error) or type(error).__name__

    async def _rates(self, url: str) -> None:
        count = self._results.count
        async with start_contestants(url, self._folder, count, self._compiler) as contestants:
            self._results.versions |= contestants.versions
            for case in CASES:
                # V8 reaches its full speed after about ten seconds of load.
                warm_ups = 3 if case is CASES[0] else 1
                for number in range(-warm_ups, self._results.rounds):
                    # Rotate the order, so that no contestant always runs first.
                    first = number % len(contestants.running)
                    for contestant in contestants.running[first:] + contestants.running[:first]:
                        try:
                            await self._round(contestant, case, warm_up=number < 0)
                        except (LoadError, ServerError) as error:
                            if contestant.name in ("gateway", "limit"):
                                raise
                            contestants.drop(contestant.name, f"{case.title}: {error}")
        self._results.missing |= contestants.missing
        for by_contestant in (*self._results.rates.values(), *self._results.latencies.values()):
            for name in contestants.missing:
                by_contestant.pop(name, None)

    async def _round(self, contestant: Contestant, case: Case, *, warm_up: bool) -> None:
        bodies = contestant.bodies(case)
        target = Target(contestant.server.url, bodies, contestant.server.token)
        if warm_up:
            start = time.perf_counter()
            contestant.server.post(bodies[0])
            # Long enough for a few responses on each connection of a slow contestant.
            required = 3 * self._tool.connections * (time.perf_counter() - start)
            maximum = 10.0 if self._results.quick else 60.0
            self._seconds[contestant.name] = min(maximum, max(self._results.seconds, required))
            await self._tool.run(target, self._results.seconds)
            await contestant.server.wait_until_idle()
            return
        measurement = await self._tool.run(target, self._seconds[contestant.name])
        await contestant.server.wait_until_idle()
        for values, value in (
            (self._results.rates, measurement.rate),
            (self._results.latencies, measurement.median_ms),
        ):
            values.setdefault(case.name, {}).setdefault(contestant.name, []).append(value)
        self._log(f"  {case.name:9} {contestant.name:13} {measurement.rate:9.1f}/s")

    async def _whole(self, url: str) -> None:
        async with gateway(url, self._folder / "gateway") as server:
            self._results.whole = await figures.whole_tables(
                server, url, self._compiler, 3 * self._results.rounds
            )

    async def _bulk(self, url: str) -> None:
        async with (
            self._copy(url) as copy_url,
            gateway(copy_url, self._folder / "gateway") as server,
        ):
            self._results.bulk = await figures.bulk(
                server, copy_url, self._results.count, 3 * self._results.rounds
            )

    async def _unchanged(self, url: str) -> None:
        async with self._copy(url) as copy_url:
            self._results.unchanged = await Unchanged(
                copy_url,
                self._folder,
                self._tool,
                self._compiler,
                count=self._results.count,
                rounds=self._results.rounds,
                seconds=self._results.seconds,
            ).measure()

    async def _live(self, url: str) -> None:
        async with self._copy(url) as copy_url:
            self._results.live = await live.live(
                copy_url, self._folder / "gateway", self._results.rounds
            )

    async def _executions(self, url: str) -> None:
        rounds, seconds = self._results.rounds, self._results.seconds
        async with self._copy(url) as copy_url:
            measures = executions.Measures(
                copy_url, self._folder / "gateway", self._tool, rounds=rounds, seconds=seconds
            )
            self._results.executions = await measures.measure()
        connection = await asyncpg.connect(self._server_url)
        try:
            await connection.execute("DROP DATABASE IF EXISTS bench_durable WITH (FORCE)")
            await connection.execute("CREATE DATABASE bench_durable")
            durable_url = self._server_url.replace("/postgres?", "/bench_durable?")
            durable = await executions.durable(durable_url, rounds, seconds)
            self._results.executions.durable = durable
            self._results.versions["DBOS"] = durable.version
        except (ServerError, TimeoutError) as error:
            self._results.missing["DBOS"] = str(error) or "it took too long"
        finally:
            await connection.close()

    @contextlib.asynccontextmanager
    async def _copy(self, url: str) -> AsyncIterator[str]:
        """Copy the database for a part that writes, and yield the URL of the copy."""
        name = f"bench_{self._results.count}"
        connection = await asyncpg.connect(self._server_url)
        try:
            await connection.execute(f"DROP DATABASE IF EXISTS {name}_written")
            # A database that somebody uses cannot be copied, and the gateways of the parts before
            # this one may still be closing their connections.
            await connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1", name
            )
            await connection.execute(f"CREATE DATABASE {name}_written TEMPLATE {name}")
            await connection.execute(f"ALTER DATABASE {name}_written SET jit = off")
            yield url.replace(name, f"{name}_written")
            await connection.execute(f"DROP DATABASE {name}_written WITH (FORCE)")
        finally:
            await connection.close()

    async def _memory(self, url: str) -> None:
        self._results.memory = await figures.memory(url, self._folder / "gateway")

    async def _workers(self, url: str) -> None:
        page = GatewayAdapter().one("load-0000001")
        self._results.workers = await figures.workers(
            url,
            self._folder / "gateway",
            self._tool,
            page,
            self._results.seconds,
            self._results.rounds,
        )

    async def _worst(self, url: str) -> None:
        self._results.worst = await figures.worst_read(url, 10 * self._results.seconds)

    async def _growth(self, url: str) -> None:
        large = await self._database(self._results.large_count)
        async for kind in figures.growth(url, large, self._compiler):
            self._results.growth.append(kind)
            self._log(f"  {kind.kind:45} {kind.small:6.2f} {kind.large:6.2f} {kind.ratio:6.2f}")

    async def _database(self, count: int) -> str:
        """Return the URL of a database with ``count`` processes. Create it if it does not exist."""
        name = f"bench_{count}"
        url = self._server_url.replace("/postgres?", f"/{name}?")
        connection = await asyncpg.connect(self._server_url)
        try:
            if await connection.fetchval("SELECT true FROM pg_database WHERE datname = $1", name):
                return url
            self._log(f"generating {count:,} processes")
            # Renamed when it is complete, so that an interrupted run leaves no partial database.
            await connection.execute(f"DROP DATABASE IF EXISTS {name}_new")
            await connection.execute(f"CREATE DATABASE {name}_new")
            await connection.execute(f"ALTER DATABASE {name}_new SET jit = off")
            await _fill(url.replace(name, f"{name}_new"), count)
            await connection.execute(f"ALTER DATABASE {name}_new RENAME TO {name}")
        finally:
            await connection.close()
        return url

    def _log(self, message: str) -> None:
        print(f"{time.monotonic() - self._start:6.0f} s  {message}", flush=True)


async def _fill(url: str, count: int) -> None:
    database = await Database.connect(url, statement_timeout=0)
    try:
        await migrate(database)
        await generate(database, count)
    finally:
        await database.close()
    connection = await asyncpg.connect(url)
    try:
        # Autovacuum would do this later and disturb the measurements.
        await connection.execute("VACUUM ANALYZE")
        await connection.execute("CHECKPOINT")
    finally:
        await connection.close()


async def _version(url: str) -> str:
    connection = await asyncpg.connect(url)
    try:
        return str(await connection.fetchval("SHOW server_version"))
    finally:
        await connection.close()


if __name__ == "__main__":
    main()
