"""Test that the links and the file names in README.md and ``docs/`` are valid."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
ROOMS = ("gateway", "rest_compat", "resolvers", "storage", "tests", "benchmarks", "docs")
PACKAGES = ROOMS[:4]

_CODE_BLOCK = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\]\(([^)\s]+)\)")
_HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)
_PATH = re.compile(rf"`((?:{'|'.join(ROOMS)})/[\w./-]*)`")

each_page = pytest.mark.parametrize("page", PAGES, ids=[page.name for page in PAGES])


def text_of(page: Path) -> str:
    """Return the text of a page without its code blocks."""
    return _CODE_BLOCK.sub("", page.read_text("utf-8"))


def anchors(page: Path) -> set[str]:
    """Return the anchors of the headings of a page, as GitHub writes them."""
    return {
        re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
        for heading in _HEADING.findall(text_of(page))
    }


@each_page
def test_every_relative_link_has_a_target(page: Path) -> None:
    broken = []
    for link in _LINK.findall(text_of(page)):
        if re.match(r"[a-z]+:", link):
            continue
        path, _, anchor = link.partition("#")
        target = page.parent / path if path else page
        if not target.exists() or (anchor and anchor not in anchors(target)):
            broken.append(link)
    assert broken == []


@each_page
def test_every_file_that_is_named_exists(page: Path) -> None:
    assert [name for name in _PATH.findall(text_of(page)) if not (ROOT / name).exists()] == []


def test_the_map_of_the_code_lists_every_package() -> None:
    packages = {
        f"{file.parent.relative_to(ROOT).as_posix()}/"
        for package in PACKAGES
        for file in (ROOT / package).rglob("__init__.py")
    }
    text = text_of(ROOT / "docs" / "architecture.md")
    rows = set(re.findall(r"^\| `([\w/]+/)` \|", text, re.MULTILINE))
    assert rows - {"tests/", "benchmarks/"} == packages
