"""Limits on the size of an operation: fragments count where they are spread."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from graphql import parse

from gateway.services import open_services
from resolvers.operations.limits import Limits
from resolvers.operations.size import size_error
from tests.conftest import Graph, settings_for_tests

SMALL = {
    "max_query_characters": 300,
    "max_query_tokens": 60,
    "max_query_depth": 3,
    "max_query_root_fields": 2,
    "max_query_aliases": 3,
    "max_query_directives": 2,
    "max_query_fields": 8,
}
FRAGMENT = " fragment f on Process { a: name b: name }"


@pytest.mark.parametrize(
    ("fits", "exceeds", "setting", "received"),
    [
        ("{viewer{seesAll}}" + " " * 283, "{viewer{seesAll}}" + " " * 284, "characters", 301),
        (
            "{viewer{" + "seesAll " * 5 + "}}" + "#\n" * 49,
            "{viewer{seesAll}}" + "#\n" * 55,
            "tokens",
            None,
        ),
        (
            "{processes{nodes{espace{name}}}}",
            "{processes{nodes{espace{processes{totalCount}}}}}",
            "depth",
            4,
        ),
        (
            "{__typename viewer{seesAll}}",
            "{__typename viewer{seesAll} a:__typename}",
            "root_fields",
            3,
        ),
        (
            "{processes{nodes{c:name ...f}}}" + FRAGMENT,
            "{processes{nodes{...f subprocesses{...f}}}}" + FRAGMENT,
            "aliases",
            4,
        ),
        (
            "query @include(if: true) {viewer{seesAll @skip(if: false)}}",
            "{viewer{seesAll @skip(if: false) ...@include(if: true){seesAll @skip(if: true)}}}",
            "directives",
            3,
        ),
        (
            "{processes{nodes{name name name name name name}}}",
            "{processes{nodes{name name name name name name name}}}",
            "fields",
            9,
        ),
    ],
)
async def test_each_limit_is_exact_and_explained(
    home: Graph, fits: str, exceeds: str, setting: str, received: int | None
) -> None:
    async with open_services(settings_for_tests(**SMALL), home.database) as services:
        graph, name = Graph(services), f"max_query_{setting}"
        assert "limit" not in str(await graph.ask(fits))
        (error,) = (await graph.ask(exceeds))["errors"]
    maximum = SMALL[name]
    limit: dict[str, Any] = {"name": name, "maximum": maximum}
    if received is not None:
        limit["received"] = received
    assert error["extensions"] == {"code": "BAD_USER_INPUT", "limit": limit}
    assert f"at most {maximum:,} are allowed ({name})" in error["message"]
    if received is not None:
        assert f"has {received:,} " in error["message"]


def test_fragments_that_multiply_are_counted_in_linear_time() -> None:
    fragments = "".join(
        f"fragment f{level} on Process {{ a: subprocesses {{ ...f{level + 1} }}"
        f" b: subprocesses {{ ...f{level + 1} }} }} "
        for level in range(200)
    )
    error = size_error(
        parse(
            f"{{ processes {{ nodes {{ ...f0 }} }} }} {fragments} fragment f200 on Process {{name}}"
        ),
        Limits(max_query_depth=10_000, max_query_definitions=1000),
    )
    assert error is not None
    assert error.details["limit"] == {"name": "max_query_aliases", "maximum": 200}
    assert len(error.message) < 200


def test_fragments_that_spread_themselves_are_left_to_validation() -> None:
    document = (
        "{ ...a } fragment a on Query { ...b viewer { seesAll } } fragment b on Query { ...a ...c }"
    )
    assert size_error(parse(document), Limits()) is None


async def test_introspection_may_be_nested_deeper(home: Graph) -> None:
    nested = "ofType { " * 15 + "name" + " }" * 15
    data = await home.data(f"{{ __schema {{ types {{ fields {{ type {{ {nested} }} }} }} }} }}")
    assert data["__schema"]["types"]


async def test_a_document_has_at_most_five_errors(home: Graph) -> None:
    fields = " ".join(f"unknown{n}" for n in range(500))
    errors = (await home.ask(f"{{ viewer {{ {fields} }} }}"))["errors"]
    assert len(errors) == 5
    assert all("Cannot query field" in error["message"] for error in errors)


async def test_names_are_suggested_only_if_the_schema_may_be_read(home: Graph) -> None:
    query = "{ viewer { seesAl } }"
    assert "Did you mean" in (await home.error(query))["message"]
    settings = settings_for_tests(introspection="off")
    async with open_services(settings, home.database) as services:
        assert "mean" not in (await Graph(services).error(query))["message"]


def test_the_page_lists_every_limit_with_its_default() -> None:
    page = Path("docs/limits.md").read_text("utf-8")
    rows = dict(re.findall(r"^\|.*\| `(\w+)` \| ([\d,]+) \|$", page, re.MULTILINE))
    limits = Limits()
    for name in SMALL:
        assert rows[name] == f"{getattr(limits, name):,}", name
    assert f"`max_query_cost` ({limits.max_query_cost:,})" in page
