"""A gateway whose database fails while it is under load, and the report of what it answered."""

from __future__ import annotations

import asyncio
import os
import re
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from tests.conftest import SECRET
from tests.faults.answers import Outcome
from tests.faults.history import contradictions, record_history
from tests.faults.load import Fixed, Load, Sent, fixed_reads
from tests.faults.proxies import HAProxy, Link
from tests.gateway.own_postgres import Postgres
from tests.gateway.programs import Server, run, until

CHAOS = bool(os.environ.get("CHAOS"))
"""Whether the long form of each test is to be run."""
CHAOS_SECONDS = float(os.environ.get("CHAOS_SECONDS", "10"))
"""Seconds that a fault lasts in the long form."""

STATEMENT_TIMEOUT = 1
"""Seconds that a statement may take in these tests."""
SETTINGS = {
    "GATEWAY_TOKEN_SECRET": SECRET,
    "GATEWAY_STATEMENT_TIMEOUT": str(STATEMENT_TIMEOUT),
}
_BOUND = 8.0
"""Seconds within which each request must be answered: waiting for a connection, opening one, a
statement and its cancellation all have their limits, which follow from the setting."""
_RECOVERY = 1.0
"""Seconds after the end of a fault, from which all answers must be right."""
_MAX_LOG_LINES = 8
"""Lines that the gateway may log because of one outage, whatever the number of requests."""


@dataclass(frozen=True)
class Fault:
    """A fault, and what it may make fail."""

    name: str
    cause: Callable[[World], Awaitable[None]]
    """Causes the fault, and returns when it is over."""
    reads_fail: bool = True
    writes_fail: bool = True
    unready: bool = True
    """Whether /health/ready and the log must report that the database cannot be used."""
    long: bool = False
    """Whether it is left to the long form, because another fault is much like it."""
    outages: int = 1
    """The number of outages, with more than a second between them."""
    reason: str = ""
    """What the message of each failure must contain."""


@dataclass
class World:
    """A gateway with its database and what is between them."""

    server: Server
    url: str
    """The URL of the database, without anything in between."""
    token: str
    revoked: str
    reads: list[Fixed]
    own: Postgres | None = None
    haproxy: HAProxy | None = None
    link: Link | None = None

    @property
    def postgres(self) -> Postgres:
        """The server of the database, if it is a child of the test."""
        assert self.own
        return self.own

    async def endure(self, fault: Fault) -> str:
        """Cause a fault under load, and check every answer. Returns a line of figures."""
        word = re.sub(r"\W+", "_", fault.name)
        load = Load(self.server.url, self.token, self.revoked, self.reads, _BOUND, word)
        logged = len(self.server.log)

        def log() -> str:
            return self.server.log[logged:]

        try:
            async with load.running():
                await asyncio.sleep(0.2)
                began = time.monotonic()
                await fault.cause(self)
                ended = time.monotonic()
                await asyncio.sleep(_RECOVERY + 0.2)
                # The end of an outage is logged when nothing has failed for a second.
                await asyncio.to_thread(until, lambda: _outages(log()) <= 0, "an end in the log", 5)
        finally:
            if self.own and not self.own.runs:
                await asyncio.to_thread(self.own.start)
        problems = [
            *_wrong_answers(fault, load, began, ended),
            *_wrong_readiness(fault, load, began, ended),
            *await contradictions(self.url, load.sent),
            *_wrong_log(fault, log()),
        ]
        summary = f"{fault.name}: {figures(load.sent)}; {log().count(chr(10))} lines logged"
        assert not problems, "\n".join([summary, f"{len(problems)} problems:", *problems[:20]])
        return summary


def _wrong_answers(fault: Fault, load: Load, began: float, ended: float) -> list[str]:
    """Return the answers that are wrong, late, or failures where none may fail."""
    found = []
    for one in load.sent:
        disturbed = one.started + one.seconds > began and one.started < ended + _RECOVERY
        may_fail = disturbed and (fault.writes_fail if one.write else fault.reads_fail)
        if one.outcome in (Outcome.WRONG, Outcome.STUCK):
            found.append(str(one))
        elif one.outcome is not Outcome.RIGHT and not may_fail:
            found.append(f"{one.started - ended:+.2f} s from the end, {one}")
        elif one.outcome is Outcome.UNAVAILABLE and fault.reason not in one.answer:
            found.append(f"without the reason: {one}")
    late = [one for one in load.sent if one.started >= ended + _RECOVERY]
    missing = {one.name for one in load.sent if not one.write} - {one.name for one in late}
    if not any(one.write for one in late):
        missing.add("writes")
    return found + [f"not sent after the fault: {name}" for name in missing]


def _wrong_readiness(fault: Fault, load: Load, began: float, ended: float) -> list[str]:
    found = [
        f"ready was {status} at {started - ended:+.2f} s from the end"
        for started, finished, status in load.ready
        if status != 200 and not (finished > began and started < ended + _RECOVERY)
    ]
    if fault.unready and all(status == 200 for *_, status in load.ready):
        found.append("/health/ready did not report the fault")
    return found


def _outages(log: str) -> int:
    """Return the number of outages that have begun and not ended, according to the log."""
    ends = re.findall(r"database (?:answers|writes) again after .*; [\d,]+ statements? failed", log)
    return len(re.findall("database (?:cannot be used|refuses statements): ", log)) - len(ends)


def _wrong_log(fault: Fault, log: str) -> list[str]:
    lines = log.splitlines()
    found = [f"in the log: {line}" for line in lines if "Traceback" in line]
    if fault.unready and "database cannot be used" not in log:
        found.append("the log does not have the outage")
    if len(lines) > _MAX_LOG_LINES * fault.outages:
        found.append("\n".join([f"the log has {len(lines)} new lines:", *lines[:20]]))
    return found


def figures(sent: list[Sent]) -> str:
    """Return how many reads and writes had which outcome."""
    reads = Counter(one.outcome.value for one in sent if not one.write)
    writes = Counter(one.outcome.value for one in sent if one.write)
    counts = (
        f"{kind}: " + ", ".join(f"{count:,} {name}" for name, count in outcomes.most_common())
        for kind, outcomes in (("reads", reads), ("writes", writes))
    )
    return "; ".join([*counts, f"slowest {max(one.seconds for one in sent):.2f} s"])


async def world_of(
    server: Server,
    url: str,
    own: Postgres | None = None,
    haproxy: HAProxy | None = None,
    link: Link | None = None,
) -> World:
    """Return the world of a gateway that has just been started with the demo home."""
    # In a thread, because the network of the gateway may be in this process.
    token, revoked = await asyncio.to_thread(_tokens, server, url)
    await record_history(url)
    reads = await fixed_reads(server.url, token)
    return World(server, url, token, revoked, reads, own, haproxy, link)


def _tokens(server: Server, url: str) -> tuple[str, str]:
    """Return an admin's token, and one that the gateway has noticed is revoked."""
    server.ready()
    there = ("--database-url", url)
    token, revoked = (
        run("token", "--profile", "admin", *there, variables=SETTINGS).stdout.strip()
        for _ in range(2)
    )
    assert run("revoke", revoked, *there, variables=SETTINGS).returncode == 0
    until(lambda: server.get("/process/1", revoked)[0] == 401, "the rejection of a token", 5)
    return token, revoked
