"""Test that every audit in ``docs/`` has exactly one test, and every such test an audit."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]
DOCS = TESTS.parent / "docs"


def documented(page: str) -> list[str]:
    """Return the ids of the audits on a page, in order."""
    line = re.compile(r"^\| ([A-Z]+-\d{3}) \| \S.*\S \|$", re.MULTILINE)
    return line.findall((DOCS / page).read_text("utf-8"))


def named_in_tests(prefix: str) -> list[str]:
    """Return the sorted ids in the names of tests."""
    line = re.compile(rf"^async def test_{prefix.lower()}_(\d{{3}})_\w+\(", re.MULTILINE)
    return sorted(
        f"{prefix}-{number}"
        for path in TESTS.rglob("test_*.py")
        for number in line.findall(path.read_text("utf-8"))
    )


@pytest.mark.parametrize(
    ("page", "prefix"),
    [("process-audits.md", "PROC"), ("processes-audits.md", "PRCS"), ("live-audits.md", "LIVE")],
)
def test_every_audit_has_a_test_and_every_test_an_audit(page: str, prefix: str) -> None:
    audits = documented(page)
    assert audits
    assert audits == sorted(set(audits))
    assert audits == named_in_tests(prefix)
