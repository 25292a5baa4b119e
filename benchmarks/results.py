"""Hold the results of a run, and compare them with the goals."""

from __future__ import annotations

import os
import platform
import statistics
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path

from contestants import TITLES
from executions import Executions
from figures import Comparison, Growth, Memory, WholeTable, WorstRead
from live import Live

_PYTHON_PACKAGES = ("aiohttp", "asyncpg", "orjson", "strawberry-graphql", "uvloop")


@dataclass(slots=True)
class Results:
    """The results of a run."""

    date: str
    quick: bool
    rounds: int
    seconds: float
    connections: int
    count: int
    large_count: int
    machine: dict[str, str]
    versions: dict[str, str]
    rates: dict[str, dict[str, list[float]]] = field(default_factory=dict)
    """The requests per second of each round, by case and contestant."""
    latencies: dict[str, dict[str, list[float]]] = field(default_factory=dict)
    """The median latencies in milliseconds of each round, by case and contestant."""
    whole: list[WholeTable] = field(default_factory=list)
    bulk: Comparison | None = None
    memory: Memory | None = None
    growth: list[Growth] = field(default_factory=list)
    worst: WorstRead | None = None
    unchanged: dict[str, Comparison] = field(default_factory=dict)
    """Reads of what has not changed, and what validators cost otherwise, by title."""
    workers: dict[str, Comparison] = field(default_factory=dict)
    live: Live | None = None
    executions: Executions | None = None
    missing: dict[str, str] = field(default_factory=dict)
    """The parts and contestants that were not measured, with the reasons."""

    def ratio(self, case: str, peer: str) -> float | None:
        """Return the median over the rounds of the gateway's rate divided by the peer's."""
        ours, theirs = self.rates.get(case, {}).get("gateway"), self.rates.get(case, {}).get(peer)
        if not ours or not theirs:
            return None
        return statistics.median(own / other for own, other in zip(ours, theirs, strict=True))


@dataclass(frozen=True, slots=True)
class Goal:
    """A ratio to reach."""

    title: str
    bound: float
    measured: float | None
    at_least: bool = True

    @property
    def verdict(self) -> str:
        """Whether the goal is reached, in Markdown."""
        if self.measured is None:
            return "missing"
        reached = self.measured >= self.bound if self.at_least else self.measured <= self.bound
        return "reached" if reached else "**missed**"


def goals(results: Results) -> list[Goal]:
    """Return all goals with the measured ratios."""
    peers = {
        "limit": {1: 0.90, 10: 0.90, 50: 0.95, 200: 0.95},
        "postgraphile": {1: 1.5, 10: 1.5, 50: 2.5, 200: 4.0},
        "dataloaders": {50: 30.0},
    }
    result = [
        Goal(
            f"gateway / {TITLES[peer]}, page of {trees}",
            bound,
            results.ratio(f"page-{trees}", peer),
        )
        for peer, bounds in peers.items()
        for trees, bound in bounds.items()
    ]
    whole = {table.route: table.seconds.ratio for table in results.whole}
    memory, growth = results.memory, results.growth
    busy = results.workers.get("introspection")
    result += [
        Goal(
            "GET /process of all processes, time / its SQL alone",
            1.15,
            whole.get("GET /process"),
            at_least=False,
        ),
        Goal(
            "GET /processes of all processes, time / its SQL alone",
            1.2,
            whole.get("GET /processes"),
            at_least=False,
        ),
        Goal(
            "GET /process of all processes, increase of the worker's memory / response",
            3.0,
            memory.peak / memory.size if memory else None,
            at_least=False,
        ),
        Goal(
            "PUT /processes of all processes, time / its UPDATE alone",
            1.3,
            results.bulk.ratio if results.bulk else None,
            at_least=False,
        ),
        Goal(
            f"page of 50, {results.large_count:,} processes / {results.count:,}, slowest kind",
            1.2,
            max(kind.ratio for kind in growth) if growth else None,
            at_least=False,
        ),
        Goal("two workers / one, PostgreSQL idle", 1.6, busy.ratio if busy else None),
        *_worst_goals(results.worst),
        *_unchanged_goals(results.unchanged),
        *_live_goals(results.live),
        *_execution_goals(results.executions),
    ]
    return result


def _unchanged_goals(measured: dict[str, Comparison]) -> list[Goal]:
    """Return the goals of reads that are validated (docs/architecture.md)."""
    at_least = {
        "unchanged page of 1": ("of the limit", 1.2),
        "unchanged page of 10": ("of the limit", 2.0),
        "unchanged page of 50": ("of the limit", 5.0),
        "unchanged page of 200": ("of the limit", 12.0),
        "page of 50, 10 writes/s": ("of the limit", 2.0),
        "page of 50, 100 writes/s": ("of the limit", 0.9),
        "page of 1 that never repeats": ("of the same without validators", 0.95),
        "page of 50 that never repeats": ("of the same without validators", 0.95),
        "writes/s": ("of those without triggers", 0.95),
    }
    at_most = {
        "GET /process unchanged, 200": ("of its SQL's time", 0.2),
        "GET /process unchanged, 304": ("of its SQL's time", 0.01),
    }
    return [
        Goal(
            f"{title}, {of}",
            bound,
            measured[title].ratio if title in measured else None,
            at_least=goals is at_least,
        )
        for goals in (at_least, at_most)
        for title, (of, bound) in goals.items()
    ]


def _worst_goals(worst: WorstRead | None) -> list[Goal]:
    """Return the goals of the most expensive query that is allowed (docs/limits.md)."""
    measures = (
        ("processor time of PostgreSQL, s", 1.0, worst.seconds if worst else None),
        ("memory of a backend, MB", 150.0, worst.backend / 1e6 if worst else None),
        ("memory of the gateway, MB", 100.0, worst.gateway / 1e6 if worst else None),
    )
    return [
        Goal(f"most expensive query, {title}", bound, measured, at_least=False)
        for title, bound, measured in measures
    ]


def _live_goals(live: Live | None) -> list[Goal]:
    """Return the goals of subscriptions."""
    measures = (
        ("2,000 idle WebSockets, memory, MB", 50.0, live.socket_bytes / 1e6 if live else None),
        (
            "5,000 subscribers of 500 documents, no changes, % of a processor",
            5.0,
            100 * live.idle_share if live else None,
        ),
        (
            "5,000 subscribers of 500 documents, a change is seen, p99, ms",
            500.0,
            live.documents.p99 if live else None,
        ),
        (
            "1,000 subscribers of one page, a change is seen by all, p99, ms",
            250.0,
            live.page.p99 if live else None,
        ),
    )
    return [Goal(title, bound, measured, at_least=False) for title, bound, measured in measures]


def _execution_goals(measured: Executions | None) -> list[Goal]:
    """Return the goals of executions."""
    if measured is None:
        long = short = watched = events = takeover = of_worker = steps = requests = None
    else:
        long, short = measured.long.ratio, measured.short.ratio
        watched, events = measured.watched.ratio, measured.events.p99
        takeover = max(measured.takeover)
        of_worker = max(measured.takeover_of_worker, default=None)
        steps, requests = measured.http.steps, measured.http.requests.ratio
    return [
        Goal(
            "execution of 20 steps, time / its statements alone",
            1.5,
            long,
            at_least=False,
        ),
        Goal("executions of 3 steps with 16 callers, rate / their statements alone", 0.5, short),
        Goal("the same with 500 subscribers of others / without", 0.8, watched),
        Goal(
            "500 subscribers of executions, a step is seen, p99, ms", 250.0, events, at_least=False
        ),
        Goal("takeover after a gateway was killed, s", 8.0, takeover, at_least=False),
        Goal("takeover after a worker was killed, s", 1.0, of_worker, at_least=False),
        Goal("http steps with 16 callers, a second", 200.0, steps),
        Goal("requests of an http source / those of aiohttp's client alone", 0.6, requests),
    ]


def machine() -> dict[str, str]:
    """Return a description of the machine."""
    cpu = memory = "unknown"
    cpuinfo, meminfo = Path("/proc/cpuinfo"), Path("/proc/meminfo")
    if cpuinfo.exists():
        names = [line for line in cpuinfo.read_text().splitlines() if "model name" in line]
        cpu = names[0].split(":", 1)[1].strip() if names else cpu
    if meminfo.exists():
        kilobytes = int(meminfo.read_text().splitlines()[0].split()[1])
        memory = f"{kilobytes / 2**20:.0f} GiB"
    return {
        "processor": cpu,
        "cores": str(os.cpu_count()),
        "memory": memory,
        "system": f"{platform.system()} {platform.release()}",
    }


def python_versions() -> dict[str, str]:
    """Return the versions of Python and of the main packages."""
    return {"Python": platform.python_version()} | {
        name: version(name) for name in _PYTHON_PACKAGES
    }


def format_rate(value: float) -> str:
    """Return a number of requests per second as text."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}"
