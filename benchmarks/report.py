"""In charge of what is left of a run: a page, its numbers as JSON, and a plot."""

from __future__ import annotations

import os
import platform
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from html import escape
from importlib.metadata import version
from pathlib import Path
from typing import Any

import orjson

from contestants import TITLES
from figures import Compared, Growth, Memory, Whole
from work import CASES

_MEGABYTE = 1e6
_PYTHON_PACKAGES = ("aiohttp", "asyncpg", "orjson", "strawberry-graphql", "uvloop")


@dataclass(slots=True)
class Results:
    """Everything that a run found out."""

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
    """Requests per second: by case, by contestant, one for each round."""
    latencies: dict[str, dict[str, list[float]]] = field(default_factory=dict)
    """Middle latencies in milliseconds, likewise."""
    whole: list[Whole] = field(default_factory=list)
    bulk: Compared | None = None
    memory: Memory | None = None
    growth: list[Growth] = field(default_factory=list)
    workers: dict[str, Compared] = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)
    """What was not measured, and why."""

    def ratio(self, case: str, peer: str) -> float | None:
        """Gateway to peer: the median of the ratios within each round."""
        ours, theirs = self.rates.get(case, {}).get("gateway"), self.rates.get(case, {}).get(peer)
        if not ours or not theirs:
            return None
        return statistics.median(own / other for own, other in zip(ours, theirs, strict=True))


@dataclass(frozen=True, slots=True)
class Goal:
    """A ratio that is to be reached."""

    title: str
    bound: float
    found: float | None
    at_least: bool = True

    @property
    def verdict(self) -> str:
        """Whether it is."""
        if self.found is None:
            return "missing"
        reached = self.found >= self.bound if self.at_least else self.found <= self.bound
        return "reached" if reached else "**missed**"


def goals(results: Results) -> list[Goal]:
    """All ratios to reach, with what was found."""
    peers = {
        "limit": {1: 0.90, 10: 0.90, 50: 0.95, 200: 0.95},
        "postgraphile": {1: 1.5, 10: 1.5, 50: 2.5, 200: 4.0},
        "dataloaders": {50: 30.0},
    }
    found = [
        Goal(
            f"gateway / {TITLES[peer]}, page of {trees}",
            bound,
            results.ratio(f"page-{trees}", peer),
        )
        for peer, bounds in peers.items()
        for trees, bound in bounds.items()
    ]
    everything = next((w for w in results.whole if w.route == "GET /process"), None)
    memory, growth = results.memory, results.growth
    busy = results.workers.get("introspection")
    found += [
        Goal(
            "GET /process of all, time / its SQL alone",
            1.15,
            everything.seconds.ratio if everything else None,
            at_least=False,
        ),
        Goal(
            "GET /process of all, growth of the worker's memory / answer",
            3.0,
            memory.peak / memory.size if memory else None,
            at_least=False,
        ),
        Goal(
            "PUT /processes of all, time / its UPDATE alone",
            1.5,
            results.bulk.ratio if results.bulk else None,
            at_least=False,
        ),
        Goal(
            f"page of 50, {results.large_count:,} processes / {results.count:,}, the worst kind",
            1.2,
            max(kind.ratio for kind in growth) if growth else None,
            at_least=False,
        ),
        Goal("two workers / one, PostgreSQL idle", 1.6, busy.ratio if busy else None),
    ]
    return found


def machine() -> dict[str, str]:
    """What it ran on."""
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
    """Python, and the packages that it runs here."""
    return {"Python": platform.python_version()} | {
        name: version(name) for name in _PYTHON_PACKAGES
    }


def write(results: Results, folder: Path) -> None:
    """Write ``benchmarks.md``, ``benchmarks.json`` and ``benchmarks.svg``."""
    judged = [asdict(goal) | {"verdict": goal.verdict.strip("*")} for goal in goals(results)]
    content = {"goals": judged} | asdict(results)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "benchmarks.json").write_bytes(
        orjson.dumps(_rounded(content), option=orjson.OPT_INDENT_2) + b"\n"
    )
    (folder / "benchmarks.svg").write_text(plot(results), "utf-8")
    (folder / "benchmarks.md").write_text(page(results), "utf-8")


def _rounded(value: Any) -> Any:
    """Five digits say more than enough."""
    match value:
        case float():
            return float(f"{value:.5g}")
        case dict():
            return {key: _rounded(item) for key, item in value.items()}
        case list() | tuple():
            return [_rounded(item) for item in value]
        case _:
            return value


# The page --------------------------------------------------------------------------------------


def page(results: Results) -> str:
    """The page, in Markdown."""
    sections = [_opening(results), _goals(results), _rates(results), _figures(results)]
    if results.growth:
        sections.append(_growth(results))
    sections += [_contestants(results), _conditions(results)]
    return "\n\n".join(sections) + "\n"


def _opening(results: Results) -> str:
    judged = goals(results)
    counts = [
        f"{sum(goal.verdict.strip('*') == verdict for goal in judged)} {verdict}"
        for verdict in ("reached", "missed", "missing")
    ]
    text = (
        "# Benchmarks\n\n"
        "Written by `make bench`; the numbers are in [benchmarks.json](benchmarks.json).\n\n"
        "![Requests per second of each contestant, as a share of the limit's](benchmarks.svg)\n\n"
        f"Of {len(judged)} ratios to reach: {', '.join(counts)}."
    )
    if results.quick:
        text += "\n\n**This was a quick run: it shows that everything works, not how fast.**"
    return text


def _goals(results: Results) -> str:
    rows = [
        (
            goal.title,
            f"{'≥' if goal.at_least else '≤'} {goal.bound:g}",
            "-" if goal.found is None else f"{goal.found:.2f}",
            goal.verdict,
        )
        for goal in goals(results)
    ]
    text = "## Ratios\n\n" + _table(("ratio", "to reach", "found", ""), rows)
    if results.missing:
        reasons = "\n".join(
            f"- {TITLES.get(name, name)}: {' '.join(reason.split())}"
            for name, reason in results.missing.items()
        )
        text += f"\n\nMissing from this run:\n\n{reasons}"
    return text


def _rates(results: Results) -> str:
    measured = [name for name in TITLES if any(name in rates for rates in results.rates.values())]
    rows = []
    for case in CASES:
        rates = results.rates.get(case.name, {})
        row = [case.title]
        for name in measured:
            if name not in rates:
                row.append("-")
                continue
            cell = _number(statistics.median(rates[name]))
            ratio = results.ratio(case.name, name)
            row.append(cell if name == "gateway" or ratio is None else f"{cell} ({ratio:.2f})")
        rows.append(row)
    return (
        "## Requests per second\n\n"
        f"{results.connections} connections, one server process each; the median of"
        f" {results.rounds} rounds of {results.seconds:g} s (longer where answers are slow), in"
        " which the contestants take turns. In brackets: the gateway's rate as a multiple of"
        " theirs, the median of the rounds.\n\n"
        + _table(("", *(TITLES[name] for name in measured)), rows)
    )


def _figures(results: Results) -> str:
    rows = [
        (
            f"{whole.route} of {results.count:,} ({whole.size / _MEGABYTE:.1f} MB)",
            f"{whole.seconds.ours * 1e3:.0f} ms",
            f"{whole.seconds.theirs * 1e3:.0f} ms for its SQL through asyncpg alone",
            f"{whole.seconds.ratio:.2f}",
        )
        for whole in results.whole
    ]
    if results.bulk:
        rows.append(
            (
                f"PUT /processes of {results.count:,}",
                f"{results.bulk.ours * 1e3:.0f} ms",
                f"{results.bulk.theirs * 1e3:.0f} ms for its UPDATE alone",
                f"{results.bulk.ratio:.2f}",
            )
        )
    if results.memory:
        memory = results.memory
        rows.append(
            (
                "memory of the worker during GET /process of all",
                f"{memory.peak / _MEGABYTE:+.1f} MB at most, {memory.kept / _MEGABYTE:+.1f} MB"
                " afterwards",
                f"{memory.size / _MEGABYTE:.1f} MB of answer",
                f"{memory.peak / memory.size:.2f}",
            )
        )
    rows += [
        (
            f"two workers, {name}",
            f"{_number(rates.ours)} requests/s",
            f"{_number(rates.theirs)} requests/s with one",
            f"{rates.ratio:.2f}",
        )
        for name, rates in results.workers.items()
    ]
    return "## Whole tables, memory, workers\n\n" + _table(
        ("", "gateway", "compared with", "ratio"), rows
    )


def _growth(results: Results) -> str:
    rows = [
        (kind.kind, f"{kind.small:.2f} ms", f"{kind.large:.2f} ms", f"{kind.ratio:.2f}")
        for kind in results.growth
    ]
    return (
        "## Growth\n\n"
        "What PostgreSQL takes for a page of 50 trees, by each order and filter that has an index:"
        " pages spread over the whole table, each asked for several times, so that it is in memory."
        " A filter that finds fewer trees answers with those.\n\n"
        + _table(
            ("", f"of {results.count:,}", f"of {results.large_count:,}", "ratio"),
            rows,
        )
    )


def _contestants(results: Results) -> str:
    return (
        "## The contestants\n\n"
        "All run on the same database, with the same data to tell: before anything is measured,"
        " their answers are compared. Whoever answers something else is missing.\n\n"
        "- **The gateway**: `process-gateway serve`, one worker, with a token that it verifies."
        " `page_size_max` is raised to 200 for the largest page.\n"
        "- **The limit**: a bare aiohttp handler on uvloop that gets the parameters of the"
        " gateway's own SQL, runs it and sends the bytes (`benchmarks/limit.py`). No GraphQL, no"
        " token. It is built as such handlers are, on aiohttp's application and asyncpg's pool; the"
        " gateway does without both, so that it can come out ahead.\n"
        "- **PostGraphile 5**: Amber preset, its own schema of the tables, cursors. The arguments"
        " of an action are a JSON column, so it sends them as a scalar and is spared what the"
        " others do: that is in its favour.\n"
        "- **Mercurius**: Fastify, just-in-time compilation, a loader for each relation, prepared"
        " statements.\n"
        "- **Strawberry with DataLoaders**: as its documentation teaches, with its aiohttp view and"
        " asyncpg.\n\n"
        "The peers know neither tokens nor visibility. All may open 16 connections to PostgreSQL,"
        " which runs with its defaults but for `jit = off`, for everybody."
    )


def _conditions(results: Results) -> str:
    machine = ", ".join(f"{name} {value}" for name, value in results.machine.items())
    versions = ", ".join(f"{name} {value}" for name, value in results.versions.items())
    return (
        "## How it was measured\n\n"
        f"- Date: {results.date}\n"
        f"- Machine: {machine}\n"
        f"- Versions: {versions}\n"
        f"- Data: {results.count:,} processes with 4 actions, 8 arguments, 2 inputs and 2 profiles"
        f" each (`process-gateway demo --processes {results.count}`); {results.large_count:,} for"
        " the growth.\n"
        "- Servers, PostgreSQL and the load share the machine. Pages start at 49 places spread over"
        " the table, in turn.\n\n"
        "To repeat: `make bench`, on a machine with nothing else to do. `make bench QUICK=1` is a"
        " short run, `make bench ARGS=--help` lists what else can be asked for."
    )


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---", *("---:" for _ in head[1:])], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}"


# The plot --------------------------------------------------------------------------------------

_COLORS = {
    "gateway": "#0b6e4f",
    "limit": "#9aa5b1",
    "postgraphile": "#3867d6",
    "mercurius": "#8854d0",
    "dataloaders": "#d35400",
}
_WIDTH, _LEFT, _RIGHT = 820, 210, 120
_BAR, _GAP, _HEAD = 18, 5, 34


def plot(results: Results) -> str:
    """Bars of requests per second: a group for each case, the limit as the measure of each."""
    parts: list[str] = []
    top = 44.0
    for case in CASES:
        rates = {
            name: statistics.median(results.rates[case.name][name])
            for name in TITLES
            if results.rates.get(case.name, {}).get(name)
        }
        if not rates:
            continue
        parts.append(f'<text x="16" y="{top + 20}" class="case">{escape(case.title)}</text>')
        top += _HEAD
        most = max(rates.values())
        for name, rate in rates.items():
            width = max(1.0, (_WIDTH - _LEFT - _RIGHT) * rate / most)
            label = top + _BAR - 5
            parts.append(
                f'<text x="{_LEFT - 8}" y="{label}" class="name">{escape(_short(name))}</text>'
                f'<rect x="{_LEFT}" y="{top}" width="{width:.1f}" height="{_BAR}"'
                f' fill="{_COLORS[name]}"/>'
                f'<text x="{_LEFT + width + 8:.1f}" y="{label}">{_number(rate)}</text>'
            )
            top += _BAR + _GAP
        top += 10
    height = top + 12
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height:.0f}"'
        f' width="{_WIDTH}" height="{height:.0f}" role="img">\n'
        "<title>Requests per second</title>\n"
        "<style>text{font:13px system-ui,sans-serif;fill:#1f2933}"
        ".head{font-size:16px;font-weight:600}.case{font-weight:600}.name{text-anchor:end}</style>\n"
        '<rect width="100%" height="100%" fill="#fff"/>\n'
        '<text x="16" y="30" class="head">Requests per second, one server process,'
        f" {results.connections} connections (longer is better)</text>\n"
        + "\n".join(parts)
        + "\n</svg>\n"
    )


def _short(name: str) -> str:
    return TITLES[name].split(" (")[0].split(",")[0]
