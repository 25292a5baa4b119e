"""Test that the script of ``make soak`` works. Only a long run can tell whether memory is level."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.faults.soak import LEVEL, NOT_LEVEL, Sample, judge

ROOT = Path(__file__).parents[2]


def test_the_script_prints_what_it_sent_and_measured() -> None:
    command = [sys.executable, "-m", "tests.faults.soak", "--seconds", "2", "--processes", "100"]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert ran.returncode in (LEVEL, NOT_LEVEL), ran.stdout + ran.stderr
    for line in ("unique document", "list", "create", "bad JSON", "left", "gateway, MiB"):
        assert f"\n{line}" in f"\n{ran.stdout}"


def samples(**growth: float) -> list[Sample]:
    """Return samples of a run, in which some figures grow between the second and the last fifth."""
    start = {"gateway": 100.0, "backends": 200.0, "connections": 16, "descriptors": 60}
    return [
        Sample(**{name: start[name] + growth.get(name, 0) * n / 40 for name in start})  # type: ignore[arg-type]
        for n in range(50)
    ]


def test_growth_is_told_from_noise() -> None:
    assert judge(samples())[0]
    assert judge(samples(gateway=15, backends=25, descriptors=4))[0]
    assert not judge(samples(gateway=30))[0]
    assert not judge(samples(backends=40))[0]
    assert not judge(samples(descriptors=20))[0]
