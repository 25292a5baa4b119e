"""Test gateways whose clocks are an hour apart: only the clock of PostgreSQL decides."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.gateway.effects import Effects
from tests.gateway.programs import COMMAND, environment, require_program


@contextmanager
def started(effects: Effects, clock: str, *arguments: str) -> Iterator[subprocess.Popen[bytes]]:
    """Start a command whose clock is wrong. Spans of time are measured rightly, as anywhere."""
    process = subprocess.Popen(
        [require_program("faketime"), "-m", "-f", clock, COMMAND, *arguments],
        env=environment(**effects.variables, FAKETIME_DONT_FAKE_MONOTONIC="1"),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        yield process
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


async def test_the_clock_of_a_gateway_does_not_matter(database_url: str, tmp_path: Path) -> None:
    effects = Effects(database_url, tmp_path)
    await effects.process("hall", [("again", "1"), ("once", "0")])
    with started(effects, "+1h", "run", "hall"):
        await effects.wait_for("again")
    with started(effects, "-1h", "worker"):
        # The lease of the first one has ended, and the time of the execution has not.
        await effects.until_sql("SELECT bool_and(status = 'succeeded') FROM execution")
    assert effects.begun == ["again", "again", "once"]
    (row,) = await effects.sql(
        "SELECT takeovers, now() - started_at < interval '1 minute' AS started_now,"
        " deadline - started_at BETWEEN interval '59 s' AND interval '61 s' AS has_a_minute,"
        " finished_at - started_at < interval '1 minute' AS was_short FROM execution"
    )
    assert tuple(row) == (1, True, True, True)
    (steps,) = await effects.sql(
        "SELECT bool_and(now() - started_at < interval '1 minute' AND finished_at >= started_at)"
        " FROM execution_step"
    )
    assert steps[0]
