"""Search for the most expensive query that the limits allow.

The search starts from random queries and changes the worst ones again and again, as long as their
cost stays allowed: it is a hill climb over what the schema offers, not a list of known attacks.

Run as a program, it searches in a database and prints what the worst queries took as JSON.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import random
import sys
import time
from bisect import bisect_left
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from graphql import (
    GraphQLField,
    GraphQLObjectType,
    get_named_type,
    is_leaf_type,
)
from pydantic import SecretStr

from gateway.services import Services, open_services
from gateway.settings.model import Settings
from resolvers.access.viewer import Viewer
from resolvers.operations.run import GraphQLRequest
from storage.database.database import Database
from tests.hostile.known_reads import KNOWN

_PAGES = (1, 5, 20, 100, 100)
_FILTERS = {
    "ProcessWhere": (
        '{name: {contains: "zzz"}}',
        '{description: {contains: "a"}}',
        '{reference: {startsWith: "load-00"}}',
        '{not: {name: {contains: "zzz"}}}',
        '{actions: {action: {contains: "zzz"}}}',
        '{actions: {sourceName: {contains: "zzz"}}}',
        '{profiles: {name: {contains: "zzz"}}}',
        '{espace: {processes: {name: {contains: "zzz"}}}}',
        '{profiles: {processes: {name: {contains: "zzz"}}}}',
        '{or: [{actions: {action: {contains: "zzz"}}}, {inputs: {name: {contains: "zzz"}}}]}',
        '{or: [{usedBy: {name: {contains: "zzz"}}}, {subprocesses: {name: {contains: "zzz"}}}]}',
        '{not: {profiles: {processes: {actions: {action: {contains: "zzz"}}}}}}',
        "{state: {eq: ENABLED}}",
    ),
    "EspaceWhere": (
        '{processes: {name: {contains: "zzz"}}}',
        '{not: {processes: {actions: {action: {contains: "zzz"}}}}}',
        '{name: {contains: "e"}}',
    ),
    "ProfileWhere": ('{processes: {name: {contains: "zzz"}}}', '{name: {contains: "e"}}'),
    "SourceWhere": ('{processes: {name: {contains: "zzz"}}}', '{name: {contains: "e"}}'),
}
_ORDERS = {
    "ProcessOrder": (
        "{field: NAME}",
        "{field: REFERENCE, direction: DESC}",
        "{field: DATABASE_ID}",
    ),
}
_REFERENCE = (
    "SELECT convert_to(sum(length(md5(i::text)))::text, 'UTF8')"
    " FROM generate_series(1, 800000) AS i"
)
_SKIPPED = frozenset({"node", "executions", "execution"})
_SMALLEST = 20_000
"""Cost of a query that takes much longer than the work that every request needs."""


@dataclass(slots=True)
class Selected:
    """A field of a query."""

    definition: GraphQLField | None
    name: str
    arguments: dict[str, str] = field(default_factory=dict)
    below: list[Selected] = field(default_factory=list)

    def text(self, key: str) -> str:
        """Return the field as GraphQL, under a key."""
        arguments = ", ".join(f"{name}: {value}" for name, value in self.arguments.items())
        text = f"{key}: {self.name}" + (f"({arguments})" if arguments else "")
        return f"{text} {{ {texts(self.below)} }}" if self.below else text

    def copy(self) -> Selected:
        """Return a field that can be changed without changing this one."""
        below = [each.copy() for each in self.below]
        return Selected(self.definition, self.name, dict(self.arguments), below)

    def all(self) -> Iterator[Selected]:
        """Yield this field and every one below it."""
        yield self
        for each in self.below:
            yield from each.all()


def texts(fields: list[Selected]) -> str:
    """Return fields as GraphQL. A name that was not used yet needs no alias."""
    used: set[str] = set()
    parts = []
    for number, each in enumerate(fields):
        key = each.name if each.name not in used else f"a{number}"
        used.add(each.name)
        text = each.text(key)
        parts.append(text.removeprefix(f"{key}: ") if key == each.name else text)
    return " ".join(parts)


@dataclass(frozen=True, slots=True)
class Measured:
    """What an allowed query took."""

    query: str
    cost: int
    seconds: float
    """Processor time of the backends."""
    answer: int
    """Bytes of the answer."""
    backend: int
    """Bytes by which the memory of a backend grew at its peak."""
    gateway: int
    """Bytes by which the memory of this process grew at its peak."""


async def open_search(services: Services, seed: int) -> Search:
    """Return a search with the permissions of an admin, and fill the pool before."""
    await asyncio.gather(*(services.database.ping() for _ in range(8)))
    (admin,) = await services.database.fetch("SELECT id FROM profile WHERE name = 'admin'")
    return Search(services, await services.directory.viewer(admin["id"], "none"), seed)


class Search:
    """A search for the worst query on a filled database.

    Args:
        services: Of a gateway with the default limits.
        viewer: Who sends the queries.
        seed: Repeats a search.
    """

    def __init__(self, services: Services, viewer: Viewer, seed: int) -> None:
        self._database = services.database
        self._operations = services.operations
        self._schema = services.operations.compiler.schema
        self._viewer = viewer
        self._random = random.Random(seed)
        self.tried = 0
        """The number of queries that were allowed."""

    async def reference_seconds(self) -> float:
        """Return the processor time of a statement that takes 0.25 s on a machine of 2024."""
        times = []
        for _ in range(3):
            backends = await self._backends()
            used = sum(map(_processor_seconds, backends))
            await self._database.fetch_json(_REFERENCE, [])
            times.append(sum(map(_processor_seconds, backends)) - used)
        return min(times)

    async def _backends(self) -> list[int]:
        """Return the process IDs of the gateway's backends."""
        rows = await self._database.fetch(
            "SELECT pid FROM pg_stat_activity"
            " WHERE datname = current_database() AND application_name = 'process-gateway'"
        )
        return [row["pid"] for row in rows]

    async def run(self, seconds: float, worse: Callable[[Measured], float]) -> Measured:
        """Search for a time, and return the worst query of the greatest cost that is allowed.

        Costs add up. So the search looks for the query that takes the most for its cost, and then
        repeats it.

        Args:
            worse: What a query took, in any unit.
        """
        ends = time.monotonic() + seconds
        best: list[tuple[float, list[Selected], Measured]] = []
        while time.monotonic() < ends or not best:
            if len(best) < 8 or self._random.random() < 0.2:
                fields = [self._root()]
            else:
                fields = [each.copy() for each in self._random.choice(best)[1]]
                for _ in range(self._random.choice((1, 1, 2, 4))):
                    self._change(fields)
            measured = await self._measure(fields)
            for _ in range(10):
                if measured is None:
                    self._shrink(fields)
                    measured = await self._measure(fields)
            if measured is not None:
                taken = worse(measured) / max(measured.cost, _SMALLEST)
                if len(best) == 8 and taken > best[-1][0]:
                    # Something else may have kept the machine busy.
                    again = await self._measure(fields)
                    assert again is not None
                    taken = min(taken, worse(again) / max(again.cost, _SMALLEST))
                best.append((taken, fields, measured))
                best.sort(key=lambda item: -item[0])
                del best[8:]
        return max([await self._filled(fields) for _, fields, _ in best[:3]], key=worse)

    async def _filled(self, fields: list[Selected]) -> Measured:
        """Repeat a query at its root as often as the limits allow."""
        allowed = await self._measure(fields)
        assert allowed is not None
        originals = len(fields)
        while True:
            fields = [*fields, fields[-originals].copy()]
            more = await self._measure(fields)
            if more is None:
                return allowed
            allowed = more

    async def known(self) -> list[Measured]:
        """Run the queries that are known, with the largest page that is allowed."""
        results = []
        for query in KNOWN:

            def sized(size: int, query: str = query) -> str:
                return f"{{ {query.replace('PAGE', str(size))} }}"

            size = bisect_left(range(1, 101), True, key=lambda n: not self._is_allowed(sized(n)))
            if size > 0:  # the limits may reject it at any size
                results.append(await self._run(sized(size)))
        return results

    def _is_allowed(self, query: str) -> bool:
        compiler = self._operations.compiler
        document = compiler.read(query)
        if document.errors:
            return False
        compiled = compiler.query(document.operation(None), {}, self._viewer.reading)
        assert compiled.constant_cost is not None
        return compiled.constant_cost <= compiler.limits.max_query_cost

    # Queries -----------------------------------------------------------------------------------

    def _root(self) -> Selected:
        query = cast(GraphQLObjectType, self._schema.query_type)
        while True:
            selected = self._field(query, 0)
            if (
                not {"reference", "databaseId", "id"}
                & (selected.definition or _NO_FIELD).args.keys()
            ):
                return selected

    def _field(self, type_: Any, depth: int) -> Selected:
        skipped = _SKIPPED | {"nodes"} if depth == 0 else _SKIPPED
        names = [name for name in type_.fields if name not in skipped]
        if depth > 7:
            names = [
                name for name in names if is_leaf_type(get_named_type(type_.fields[name].type))
            ]
        name = self._random.choice(names or ["__typename"])
        definition = type_.fields.get(name)
        selected = Selected(definition, name)
        if definition is not None:
            self._set_arguments(selected)
            target = get_named_type(definition.type)
            if not is_leaf_type(target):
                count = self._random.choice((1, 1, 2, 3))
                selected.below = [self._field(target, depth + 1) for _ in range(count)]
        return selected

    def _set_arguments(self, selected: Selected) -> None:
        arguments = selected.definition.args if selected.definition else {}
        if "first" not in arguments:
            return
        size = self._random.choice(("first", "first", "last"))
        selected.arguments = {size: str(self._random.choice(_PAGES))}
        for name, choices in (("where", _FILTERS), ("orderBy", _ORDERS)):
            type_name = get_named_type(arguments[name].type).name if name in arguments else ""
            if type_name in choices and self._random.random() < 0.4:
                selected.arguments[name] = self._random.choice(choices[type_name])

    def _change(self, fields: list[Selected]) -> None:
        """Change a query somewhere."""
        everything = [each for root in fields for each in root.all()]
        some = self._random.choice(everything)
        lists = [fields, *(each.below for each in everything if each.below)]
        where = self._random.choice(lists)
        match self._random.randrange(5):
            case 0:
                where.append(self._random.choice(where).copy())
            case 1 if len(where) > 1:
                where.remove(self._random.choice(where))
            case 2:
                self._set_arguments(some)
            case 3 if some.definition is not None and some.below:
                some.below.append(self._field(get_named_type(some.definition.type), 3))
            case 4:
                fields.append(self._root())
            case _:
                pass

    # Measurements ------------------------------------------------------------------------------

    async def _measure(self, fields: list[Selected]) -> Measured | None:
        query = f"{{ {texts(fields)} }}"
        return await self._run(query) if self._is_allowed(query) else None

    async def _run(self, query: str) -> Measured:
        """Run a query that is allowed."""
        request = GraphQLRequest(query, extensions={"cost": True})
        backends = await self._backends()
        for pid in backends:
            _reset_peak(pid)
        _reset_peak("self")
        before = {pid: _memory(pid, "VmRSS") for pid in backends}
        own = _memory("self", "VmRSS")
        used = sum(map(_processor_seconds, backends))
        answer = await self._operations.answer(request, self._viewer)
        seconds = sum(map(_processor_seconds, backends)) - used
        self.tried += 1
        grown = {pid: _memory(pid, "VmHWM") - before[pid] for pid in backends}
        body = b"".join(answer.parts)
        assert b'"errors"' not in body, (query, body[:2000])
        cost = int(body.rpartition(b'"requested":')[2].partition(b",")[0])
        return Measured(
            query,
            cost,
            seconds,
            len(body),
            max(grown.values(), default=0),
            _memory("self", "VmHWM") - own,
        )

    def _shrink(self, fields: list[Selected]) -> None:
        """Make one page of a query smaller."""
        pages = [
            each
            for root in fields
            for each in root.all()
            if int(each.arguments.get("first") or each.arguments.get("last") or 0) > 1
        ]
        if pages:
            page = self._random.choice(pages)
            size = "first" if "first" in page.arguments else "last"
            page.arguments[size] = str(int(page.arguments[size]) // 2)


_NO_FIELD = GraphQLField(cast(Any, GraphQLObjectType("None", {})))


def _processor_seconds(pid: int) -> float:
    try:
        after_name = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    ticks = int(after_name[11]) + int(after_name[12])  # utime and stime
    return ticks / os.sysconf("SC_CLK_TCK")


def _reset_peak(pid: int | str) -> None:
    with contextlib.suppress(OSError):  # only root may
        Path(f"/proc/{pid}/clear_refs").write_text("5")


def _memory(pid: int | str, name: str) -> int:
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0
    (line,) = (line for line in status.splitlines() if line.startswith(name + ":"))
    return int(line.split()[1]) * 1024


# Program ---------------------------------------------------------------------------------------


async def worst(services: Services, seconds: float) -> tuple[int, list[Measured]]:
    """Return how many queries were tried, and the worst ones: all known ones, and those found.

    Args:
        seconds: How long to search for each of processor time, and both kinds of memory.
    """
    search = await open_search(services, seed=0)
    measured = await search.known()
    for worse in (lambda m: m.seconds, lambda m: m.backend, lambda m: m.gateway):
        measured.append(await search.run(seconds, worse))
    return search.tried + len(measured), measured


async def _main(url: str, seconds: float) -> None:
    settings = Settings(
        token_secret=SecretStr("a secret of this program alone, which needs none"),
        secret_keys=SecretStr("YSBrZXkgb2YgdGhpcyBwcm9ncmFtIGFsb25lLCAzMiE="),
    )
    database = await Database.connect(url, pool_max=4)
    try:
        async with open_services(settings, database) as services:
            tried, measured = await worst(services, seconds)
    finally:
        await database.close()
    slowest = max(measured, key=lambda each: each.seconds)
    print(
        json.dumps(
            {
                "tried": tried,
                "seconds": slowest.seconds,
                "backend": max(each.backend for each in measured),
                "gateway": max(each.gateway for each in measured),
                "answer": max(each.answer for each in measured),
                "query": slowest.query,
            }
        )
    )


if __name__ == "__main__":
    asyncio.run(_main(sys.argv[1], float(sys.argv[2])))
