"""Introspection as real clients send it, alone and beside data."""

from __future__ import annotations

import re
from typing import Any

import pytest
from graphql import build_client_schema, get_introspection_query

from tests.conftest import Graph


def with_typename(query: str) -> str:
    """The query with ``__typename`` in every selection but the root, as Apollo Client sends it."""
    root, _, below = query.partition("{")
    return root + "{" + re.sub(r"\{(?!\s*\.\.\.)", "{ __typename ", below)


QUERIES = {
    "as graphql-js sends it": get_introspection_query(),
    "with all options": get_introspection_query(
        descriptions=True,
        specified_by_url=True,
        directive_is_repeatable=True,
        schema_description=True,
        input_value_deprecation=True,
        type_depth=15,
    ),
}


@pytest.mark.parametrize("query", QUERIES.values(), ids=QUERIES)
@pytest.mark.parametrize("profile", [None, "guest"])
async def test_a_full_introspection_returns_the_schema(
    home: Graph, query: str, profile: str | None
) -> None:
    plain = await home.ask(query, profile=profile)
    schema = build_client_schema(plain["data"])
    assert "Process" in schema.type_map
    named = await home.ask(with_typename(query), profile=profile)
    assert "errors" not in named
    assert without_typename(named["data"]) == plain["data"]


def without_typename(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: without_typename(v) for k, v in value.items() if k != "__typename"}
    if isinstance(value, list):
        return [without_typename(item) for item in value]
    return value


async def test_introspection_and_data_can_be_combined(home: Graph) -> None:
    before = home.database.statements
    data = await home.data(
        """query ($name: String!, $no: Boolean!) {
            first: __type(name: $name) { name }
            processes(first: 1) { nodes { __typename } }
            __typename
            ...Schema
            hidden: __schema @skip(if: true) { types { name } }
            none: __type(name: "Nothing") { name }
        }
        fragment Schema on Query {
            __schema { queryType { name } }
            __schema @include(if: $no) { types { name } }
        }""",
        {"name": "Espace", "no": False},
    )
    assert list(data) == ["first", "processes", "__typename", "__schema", "none"]
    assert data == {
        "first": {"name": "Espace"},
        "processes": {"nodes": [{"__typename": "Process"}]},
        "__typename": "Query",
        "__schema": {"queryType": {"name": "Query"}},
        "none": None,
    }
    # The other one looks up the profile of the test's viewer.
    assert home.database.statements == before + 2


async def test_data_combined_with_introspection_requires_a_token(home: Graph) -> None:
    query = "{ __schema { queryType { name } } processes { totalCount } }"
    error = await home.error(query, profile=None)
    assert error["extensions"]["code"] == "UNAUTHENTICATED"


async def test_a_mutation_requires_a_token_even_for_its_type_name(home: Graph) -> None:
    query = "mutation { __typename }"
    assert await home.data(query, profile="guest") == {"__typename": "Mutation"}
    error = await home.error(query, profile=None)
    assert error["extensions"]["code"] == "UNAUTHENTICATED"
