"""In charge of the bond between the tables of audits in ``docs/`` and their tests: one each."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

TESTS = Path(__file__).parent
DOCS = TESTS.parents[1] / "docs"


def documented(page: str) -> list[str]:
    """The ids of a table of audits, in its order."""
    line = re.compile(r"^\| ([A-Z]+-\d{3}) \| \S.*\S \|$", re.MULTILINE)
    return line.findall((DOCS / page).read_text("utf-8"))


def named_in_tests(prefix: str) -> list[str]:
    """The ids that tests are named after."""
    line = re.compile(rf"^async def test_{prefix.lower()}_(\d{{3}})_\w+\(", re.MULTILINE)
    return sorted(
        f"{prefix}-{number}"
        for path in TESTS.glob("test_*.py")
        for number in line.findall(path.read_text("utf-8"))
    )


@pytest.mark.parametrize(
    ("page", "prefix"), [("process-audits.md", "PROC"), ("processes-audits.md", "PRCS")]
)
def test_every_audit_has_its_test_and_every_test_its_audit(page: str, prefix: str) -> None:
    audits = documented(page)
    assert audits
    assert audits == sorted(set(audits))
    assert audits == named_in_tests(prefix)
