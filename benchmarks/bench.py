"""The benchmark: the gateway beside the limit and its peers, in one run; ``make bench`` runs it.

A PostgreSQL of its own is started in a temporary folder and filled, the contestants are started,
the load takes turns among them, and what came of it is written to ``docs/``.
"""

from __future__ import annotations

import argparse
import asyncio
import tempfile
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path

import asyncpg
import uvloop

import figures
import report
from contestants import Contestant, gateway, the_field
from gateway.postgres.embedded import EmbeddedPostgres
from gateway.services import compiler_of
from gateway.settings.model import Settings
from load import LoadError, LoadTool, Target
from resolvers.operations.compile import OperationCompiler
from servers import ServerError
from storage.database.database import Database
from storage.demo.load import generate
from storage.migrations.migrate import migrate
from work import CASES, HERE, Case, OwnWords

_COUNT = 10_000
_LARGE_COUNT = 1_000_000
# Small machines are not equally fast at all times: many short turns tell more than few long ones.
_ROUNDS = 7
_SECONDS = 3
_PARTS = ("rates", "whole", "bulk", "memory", "workers", "growth")


def main() -> None:
    """Run what the command line asks for."""
    asked = _parser().parse_args()
    if asked.keep is not None:
        asked.keep.mkdir(parents=True, exist_ok=True)
        uvloop.run(_bench(asked, asked.keep.resolve()))
        return
    with tempfile.TemporaryDirectory(prefix="bench-", ignore_cleanup_errors=True) as folder:
        uvloop.run(_bench(asked, Path(folder)))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a short run, to see that it works")
    parser.add_argument("--rounds", type=int, help=f"turns of each contestant ({_ROUNDS})")
    parser.add_argument("--seconds", type=float, help=f"how long a turn is ({_SECONDS})")
    parser.add_argument("--load", choices=("wrk", "k6"), help="what makes the load (wrk, or k6)")
    parser.add_argument(
        "--large", type=int, metavar="N", help=f"processes in the large table ({_LARGE_COUNT:,})"
    )
    parser.add_argument(
        "--only", nargs="+", choices=_PARTS, default=_PARTS, help="measure only these"
    )
    parser.add_argument(
        "--keep", type=Path, metavar="DIR", help="keep databases and peers there for the next run"
    )
    parser.add_argument(
        "--output", type=Path, metavar="DIR", help="where to write (docs; build/bench if quick)"
    )
    return parser


async def _bench(asked: argparse.Namespace, folder: Path) -> None:
    tool = LoadTool.find(asked.load, HERE.parent / ".venv-bench" / "bin" / "k6")
    compiler = compiler_of(Settings(page_size_max=200))
    server = await asyncio.to_thread(EmbeddedPostgres.start, folder / "data")
    try:
        results = report.Results(
            date=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
            quick=asked.quick,
            rounds=asked.rounds or (1 if asked.quick else _ROUNDS),
            seconds=asked.seconds or (1 if asked.quick else _SECONDS),
            connections=tool.connections,
            count=_COUNT,
            large_count=asked.large or (2 * _COUNT if asked.quick else _LARGE_COUNT),
            machine=report.machine(),
            versions=report.python_versions()
            | {"PostgreSQL": await _version(server.url), "load": tool.version()},
        )
        await _Run(results, tool, compiler, server.url, folder).measure(asked.only)
    finally:
        await asyncio.to_thread(server.stop)
    output = asked.output or HERE.parent / ("build/bench" if asked.quick else "docs")
    report.write(results, output)
    for goal in report.goals(results):
        found = "-" if goal.found is None else f"{goal.found:.2f}"
        print(f"{goal.verdict.strip('*'):8} {found:>7}  {goal.title}")
    print(f"written to {output}")


class _Run:
    """A run: measures part after part, and puts down what it finds."""

    def __init__(
        self,
        results: report.Results,
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
        self._seconds: dict[str, float] = {}  # that a turn takes, by contestant

    async def measure(self, parts: tuple[str, ...]) -> None:
        """Measure these parts; what fails is missing from the results, with the reason."""
        url = await self._database(self._results.count)
        measures: dict[str, Callable[[str], Awaitable[None]]] = {
            "rates": self._rates,
            "whole": self._whole,
            "memory": self._memory,
            "workers": self._workers,
            "bulk": self._bulk,
            "growth": self._growth,
        }
        for part, measure in measures.items():
            if part not in parts:
                self._results.missing[part] = "not asked for"
                continue
            self._say(part)
            try:
                await measure(url)
            except (ServerError, LoadError, OSError, TimeoutError) as error:
                self._results.missing[part] = str(error) or type(error).__name__

    async def _rates(self, url: str) -> None:
        count = self._results.count
        async with the_field(url, self._folder, count, self._compiler) as found:
            self._results.versions |= found.versions
            for case in CASES:
                # V8 takes some ten seconds of load before it is as fast as it will be.
                warm_ups = 3 if case is CASES[0] else 1
                for number in range(-warm_ups, self._results.rounds):
                    # Not always in the same order, in case it matters who was before.
                    turn = number % len(found.contestants)
                    for contestant in found.contestants[turn:] + found.contestants[:turn]:
                        try:
                            await self._turn(contestant, case, counts=number >= 0)
                        except (LoadError, ServerError) as error:
                            if contestant.name in ("gateway", "limit"):
                                raise
                            found.drop(contestant.name, f"{case.title}: {error}")
        self._results.missing |= found.missing
        for by_contestant in (*self._results.rates.values(), *self._results.latencies.values()):
            for name in found.missing:
                by_contestant.pop(name, None)

    async def _turn(self, contestant: Contestant, case: Case, *, counts: bool) -> None:
        bodies = contestant.bodies(case)
        target = Target(contestant.server.url, bodies, contestant.server.token)
        if not counts:
            start = time.perf_counter()
            contestant.server.ask(bodies[0])
            # Each connection should be answered a few times, however slow the contestant is.
            wanted = 3 * self._tool.connections * (time.perf_counter() - start)
            most = 10.0 if self._results.quick else 60.0
            self._seconds[contestant.name] = min(most, max(self._results.seconds, wanted))
            await self._tool.run(target, self._results.seconds)
            await contestant.server.rest()
            return
        measured = await self._tool.run(target, self._seconds[contestant.name])
        await contestant.server.rest()
        for found, value in (
            (self._results.rates, measured.rate),
            (self._results.latencies, measured.median_ms),
        ):
            found.setdefault(case.name, {}).setdefault(contestant.name, []).append(value)
        self._say(f"  {case.name:9} {contestant.name:13} {measured.rate:9.1f}/s")

    async def _whole(self, url: str) -> None:
        async with gateway(url, self._folder / "gateway") as server:
            self._results.whole = await figures.whole(
                server, url, self._compiler, 3 * self._results.rounds
            )

    async def _bulk(self, url: str) -> None:
        name = f"bench_{self._results.count}"
        copied = url.replace(name, f"{name}_written")
        connection = await asyncpg.connect(self._server_url)
        try:
            await connection.execute(f"DROP DATABASE IF EXISTS {name}_written")
            await connection.execute(f"CREATE DATABASE {name}_written TEMPLATE {name}")
            await connection.execute(f"ALTER DATABASE {name}_written SET jit = off")
            async with gateway(copied, self._folder / "gateway") as server:
                self._results.bulk = await figures.bulk(
                    server, copied, self._results.count, 3 * self._results.rounds
                )
            await connection.execute(f"DROP DATABASE {name}_written WITH (FORCE)")
        finally:
            await connection.close()

    async def _memory(self, url: str) -> None:
        self._results.memory = await figures.memory(url, self._folder / "gateway")

    async def _workers(self, url: str) -> None:
        page = OwnWords().one("load-0000001")
        self._results.workers = await figures.workers(
            url,
            self._folder / "gateway",
            self._tool,
            page,
            self._results.seconds,
            self._results.rounds,
        )

    async def _growth(self, url: str) -> None:
        large = await self._database(self._results.large_count)
        async for kind in figures.growth(url, large, self._compiler):
            self._results.growth.append(kind)
            self._say(f"  {kind.kind:45} {kind.small:6.2f} {kind.large:6.2f} {kind.ratio:6.2f}")

    async def _database(self, count: int) -> str:
        """The address of a database of so many processes, made where it is not there yet."""
        name = f"bench_{count}"
        url = self._server_url.replace("/postgres?", f"/{name}?")
        connection = await asyncpg.connect(self._server_url)
        try:
            if await connection.fetchval("SELECT true FROM pg_database WHERE datname = $1", name):
                return url
            self._say(f"generating {count:,} processes")
            # Under another name until it is whole, so that a run that is cut leaves no half one.
            await connection.execute(f"DROP DATABASE IF EXISTS {name}_new")
            await connection.execute(f"CREATE DATABASE {name}_new")
            await connection.execute(f"ALTER DATABASE {name}_new SET jit = off")
            await _fill(url.replace(name, f"{name}_new"), count)
            await connection.execute(f"ALTER DATABASE {name}_new RENAME TO {name}")
        finally:
            await connection.close()
        return url

    def _say(self, what: str) -> None:
        print(f"{time.monotonic() - self._start:6.0f} s  {what}", flush=True)


async def _fill(url: str, count: int) -> None:
    database = await Database.connect(url, statement_timeout=0)
    try:
        await migrate(database)
        await generate(database, count)
    finally:
        await database.close()
    connection = await asyncpg.connect(url)
    try:
        # What autovacuum would do sooner or later, and what it would disturb the measuring with.
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
