"""Write the results of a run: a page, the numbers as JSON, and a plot."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import orjson

from contestants import TITLES
from executions import Executions
from live import Live
from plot import plot
from results import Results, format_rate, goals
from work import CASES

_MEGABYTE = 1e6


def write(results: Results, folder: Path) -> None:
    """Write ``benchmarks.md``, ``benchmarks.json`` and ``benchmarks.svg``."""
    assessed = [asdict(goal) | {"verdict": goal.verdict.strip("*")} for goal in goals(results)]
    content = {"goals": assessed} | asdict(results)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "benchmarks.json").write_bytes(
        orjson.dumps(_rounded(content), option=orjson.OPT_INDENT_2) + b"\n"
    )
    (folder / "benchmarks.svg").write_text(plot(results), "utf-8")
    (folder / "benchmarks.md").write_text(page(results), "utf-8")


def _rounded(value: Any) -> Any:
    """Round all numbers to five digits."""
    match value:
        case float():
            return float(f"{value:.5g}")
        case dict():
            return {key: _rounded(item) for key, item in value.items()}
        case list() | tuple():
            return [_rounded(item) for item in value]
        case _:
            return value


def page(results: Results) -> str:
    """Return the page in Markdown."""
    sections = [_opening(results), _goals(results), _rates(results), _figures(results)]
    if results.live:
        sections.append(_live(results.live))
    if results.executions:
        sections.append(_executions(results.executions))
    if results.growth:
        sections.append(_growth(results))
    sections += [_contestants(results), _conditions(results)]
    return "\n\n".join(sections) + "\n"


def _opening(results: Results) -> str:
    all_goals = goals(results)
    counts = [
        f"{sum(goal.verdict.strip('*') == verdict for goal in all_goals)} {verdict}"
        for verdict in ("reached", "missed", "missing")
    ]
    text = (
        "# Benchmarks\n\n"
        "`make bench` writes this page. The numbers are in [benchmarks.json](benchmarks.json).\n\n"
        "![Requests per second of each contestant](benchmarks.svg)\n\n"
        f"Ratios to reach: {len(all_goals)} ({', '.join(counts)})."
    )
    if results.quick:
        text += (
            "\n\n**This was a quick run. It shows that everything works, but not how fast it is.**"
        )
    return text


def _goals(results: Results) -> str:
    rows = [
        (
            goal.title,
            f"{'≥' if goal.at_least else '≤'} {goal.bound:g}",
            "-" if goal.measured is None else f"{goal.measured:.2f}",
            goal.verdict,
        )
        for goal in goals(results)
    ]
    text = "## Ratios\n\n" + _table(("ratio", "to reach", "measured", ""), rows)
    if results.missing:
        reasons = "\n".join(
            f"- {TITLES.get(name, name)}: {' '.join(reason.split())}"
            for name, reason in results.missing.items()
        )
        text += f"\n\nNot measured in this run:\n\n{reasons}"
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
            cell = format_rate(statistics.median(rates[name]))
            ratio = results.ratio(case.name, name)
            row.append(cell if name == "gateway" or ratio is None else f"{cell} ({ratio:.2f})")
        rows.append(row)
    return (
        "## Requests per second\n\n"
        f"{results.connections} connections, one server process per contestant. The contestants"
        f" take turns. Each number is the median of {results.rounds} rounds of"
        f" {results.seconds:g} s (longer for slow servers). The number in parentheses is the"
        " gateway's rate divided by this contestant's, the median of the rounds.\n\n"
        + _table(("", *(TITLES[name] for name in measured)), rows)
    )


def _figures(results: Results) -> str:
    rows = [
        (
            f"{whole.route} of {results.count:,} ({whole.size / _MEGABYTE:.1f} MB)",
            f"{whole.seconds.ours * 1e3:.0f} ms",
            f"{whole.seconds.theirs * 1e3:.0f} ms for its SQL with asyncpg alone",
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
                "memory of the worker during GET /process of all processes",
                f"{memory.peak / _MEGABYTE:+.1f} MB peak,"
                f" {memory.kept / _MEGABYTE:+.1f} MB afterwards",
                f"{memory.size / _MEGABYTE:.1f} MB response",
                f"{memory.peak / memory.size:.2f}",
            )
        )
    if results.worst:
        worst = results.worst
        rows.append(
            (
                f"most expensive query of {worst.tried:,} that were tried",
                f"{worst.seconds:.2f} s of a processor, {worst.backend / _MEGABYTE:.0f} MB in a"
                f" backend, {worst.gateway / _MEGABYTE:.0f} MB in the gateway",
                f"{worst.answer / _MEGABYTE:.1f} MB largest answer",
                "",
            )
        )
    rows += [
        (title, f"{values.ours:.3g}", f"{values.theirs:.3g}", f"{values.ratio:.3g}")
        for title, values in results.unchanged.items()
    ]
    rows += [
        (
            f"two workers, {name}",
            f"{format_rate(rates.ours)} requests/s",
            f"{format_rate(rates.theirs)} requests/s with one",
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
        "The time that PostgreSQL needs for a page of 50 trees, for each order and filter that has"
        " an index. The pages are spread over the whole table, and each is requested several times,"
        " so that it is in memory. Some filters match fewer than 50 trees.\n\n"
        + _table(
            ("", f"of {results.count:,}", f"of {results.large_count:,}", "ratio"),
            rows,
        )
    )


def _live(live: Live) -> str:
    rows = [
        ("2,000 idle WebSockets", f"{live.socket_bytes / _MEGABYTE:.1f} MB"),
        (
            "5,000 sockets that subscribe to 500 processes with their trees, no changes",
            f"{100 * live.idle_share:.1f} % of a processor",
        ),
        (
            "from the commit of a change to each of its 10 subscribers"
            f" ({live.documents.changes} changes)",
            f"{live.documents.median:.0f} ms median, {live.documents.p99:.0f} ms p99",
        ),
        (
            "from the commit of a change to the last of 1,000 subscribers of a page of 50 trees"
            f" ({live.page.changes} changes)",
            f"{live.page.median:.0f} ms median, {live.page.p99:.0f} ms p99",
        ),
    ]
    return (
        "## Subscriptions\n\n"
        "One worker. The changes are made in PostgreSQL, beside the gateway, which looks for them"
        " every 50 ms. The subscribers are minimal clients that share a processor.\n\n"
        + _table(("", ""), rows)
    )


def _executions(measured: Executions) -> str:
    durable = measured.durable
    rows = [
        (
            "20 steps, one caller",
            f"{measured.long.ours * 1e3:.1f} ms",
            f"{measured.long.theirs * 1e3:.1f} ms ({measured.long.ratio:.2f})",
            f"{durable.seconds * 1e3:.1f} ms" if durable else "-",
        ),
        (
            "3 steps, 16 callers",
            f"{format_rate(measured.short.ours)}/s",
            f"{format_rate(measured.short.theirs)}/s ({measured.short.ratio:.2f})",
            f"{format_rate(durable.rate)}/s" if durable else "-",
        ),
    ]
    watched, events = measured.watched, measured.events
    text = (
        "## Executions\n\n"
        "Processes whose actions echo, executed through GraphQL with one worker, in a database"
        " with 10,000 earlier executions. The loop sends the"
        " engine's own statements with asyncpg, in the same order, with nothing in between"
        " (`benchmarks/bare.py`). DBOS runs the same steps as workflows, without HTTP"
        " (`benchmarks/durable.py`). In parentheses: the gateway compared with the loop.\n\n"
        + _table(("", "gateway", "its statements alone", "DBOS"), rows)
        + "\n\nWhile 500 sockets watch 500 other executions, of which"
        f" {measured.frequency:.0f} a second go on by a step,"
        f" the rate of 16 callers is {format_rate(watched.ours)}/s; without the sockets it is"
        f" {format_rate(watched.theirs)}/s. A step is seen after {events.median:.0f} ms (median),"
        f" {events.p99:.0f} ms (p99) of {events.changes:,}.\n\n"
        "When a gateway is killed under load, another has ended its executions after"
        f" {_seconds(measured.takeover)}."
    )
    if measured.takeover_of_worker:
        text += (
            " When one of two workers of a gateway is killed, after"
            f" {_seconds(measured.takeover_of_worker)}."
        )
    sent = measured.http.requests
    return (
        f"{text}\n\nWith 16 callers, {format_rate(measured.http.steps)} steps a second send a"
        " request to a local HTTP server, in executions of 20 steps. The source kind alone sends"
        f" {format_rate(sent.ours)} requests a second, and aiohttp's client alone"
        f" {format_rate(sent.theirs)} ({sent.ratio:.2f})."
    )


def _seconds(values: Sequence[float]) -> str:
    return ", ".join(f"{value:.1f}" for value in values) + " s"


def _contestants(results: Results) -> str:
    return (
        "## The contestants\n\n"
        "All contestants use the same database and return the same data. Their responses are"
        " compared before the measurements, and a contestant with a different response is"
        " excluded.\n\n"
        "- **The gateway**: `process-gateway serve`, one worker, with a token that it verifies."
        " `page_size_max` is raised to 200 for the largest page.\n"
        "- **The limit**: a bare aiohttp handler on uvloop that receives the parameters of the"
        " gateway's own SQL, runs it and sends the bytes (`benchmarks/limit.py`). It has no GraphQL"
        " and no tokens. It uses aiohttp's application and asyncpg's pool, as such handlers do. The"
        " gateway uses neither, so it can be faster than the limit.\n"
        "- **PostGraphile 5**: the Amber preset, the schema that it derives from the tables,"
        " cursors. The arguments of an action are a JSON column, so it returns them as a scalar."
        " That is less work than the others do, in its favor.\n"
        "- **Mercurius**: Fastify, just-in-time compilation, a loader for each relation, prepared"
        " statements.\n"
        "- **Strawberry with DataLoaders**: as its documentation recommends, with its aiohttp view"
        " and asyncpg.\n\n"
        "The peers have neither tokens nor visibility rules. Each contestant may open 16"
        " connections to PostgreSQL, which runs with its defaults, except for `jit = off`."
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
        "- The servers, PostgreSQL and the load tool share the machine. The requested pages start"
        " at 49 positions spread over the table, in turn.\n\n"
        "To repeat the benchmark, run `make bench` on an idle machine. `make bench QUICK=1` is a"
        " short run. `make bench ARGS=--help` lists the options."
    )


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---", *("---:" for _ in head[1:])], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
