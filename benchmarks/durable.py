"""Run steps that echo as durable workflows of DBOS, for comparison.

Runs in the environment of the benchmarks. Usage: ``durable.py URL ROUNDS SECONDS``, with the URL of
an empty database. Prints JSON: ``{"version": …, "times": [s, …], "rates": [executions/s, …]}``, the
times of 20 steps with one caller, and the rates of 3 steps with 16 callers.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from importlib.metadata import version

from dbos import DBOS  # type: ignore[import-not-found,unused-ignore]

_STEPS, _SHORT_STEPS, _CALLERS = 20, 3, 16


@DBOS.step()  # type: ignore[untyped-decorator,unused-ignore]
async def _echo(arguments: dict[str, str]) -> dict[str, str]:
    return dict(arguments)


@DBOS.workflow()  # type: ignore[untyped-decorator,unused-ignore]
async def _steps(count: int) -> None:
    for _ in range(count):
        await _echo({"channel": "7", "level": "40"})


async def _time() -> float:
    start = time.perf_counter()
    await _steps(_STEPS)
    return time.perf_counter() - start


async def _rate(seconds: float) -> float:
    start = time.monotonic()

    async def call() -> int:
        count = 0
        while time.monotonic() < start + seconds:
            await _steps(_SHORT_STEPS)
            count += 1
        return count

    counts = await asyncio.gather(*(call() for _ in range(_CALLERS)))
    return sum(counts) / (time.monotonic() - start)


async def _measure(rounds: int, seconds: float) -> dict[str, object]:
    await _steps(_STEPS)
    times = [await _time() for _ in range(3 * rounds)]
    await _rate(1)
    return {
        "version": version("dbos"),
        "times": times,
        "rates": [await _rate(seconds) for _ in range(rounds)],
    }


def main() -> None:
    """Measure, and print the result."""
    url, rounds, seconds = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
    DBOS(config={"name": "bench", "system_database_url": url, "log_level": "ERROR"})
    DBOS.launch()
    result = asyncio.run(_measure(rounds, seconds))
    DBOS.destroy()
    print(json.dumps(result))


if __name__ == "__main__":
    main()
