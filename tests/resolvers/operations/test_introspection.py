"""Introspection as real clients send it, alone and beside data."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from typing import Any

import pytest
from graphql import build_client_schema, get_introspection_query

from gateway.services import open_services
from resolvers.errors.catalogue import GatewayError
from resolvers.operations.public import ProcessorBudget
from tests.conftest import Graph, settings_for_tests


@pytest.fixture
async def fresh(home: Graph) -> AsyncIterator[Graph]:
    """A gateway of the test's own: those without a token share a budget of processor time."""
    async with open_services(settings_for_tests(), home.database) as services:
        yield Graph(services)


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
    fresh: Graph, query: str, profile: str | None
) -> None:
    plain = await fresh.ask(query, profile=profile)
    schema = build_client_schema(plain["data"])
    assert "Process" in schema.type_map
    named = await fresh.ask(with_typename(query), profile=profile)
    assert "errors" not in named
    assert without_typename(named["data"]) == plain["data"]


async def test_a_full_introspection_is_never_too_slow(
    fresh: Graph, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A garbage collection in between takes part of the time that an introspection has."""
    monkeypatch.setattr("resolvers.graphql_adapter._INTROSPECTION_SECONDS", 0)
    answer = await fresh.ask(with_typename(QUERIES["with all options"]))
    assert "errors" not in answer


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


async def test_data_combined_with_introspection_requires_a_token(fresh: Graph) -> None:
    query = "{ __schema { queryType { name } } processes { totalCount } }"
    error = await fresh.error(query, profile=None)
    assert error["extensions"]["code"] == "UNAUTHENTICATED"


async def test_a_mutation_requires_a_token_even_for_its_type_name(fresh: Graph) -> None:
    query = "mutation { __typename }"
    assert await fresh.data(query, profile="guest") == {"__typename": "Mutation"}
    error = await fresh.error(query, profile=None)
    assert error["extensions"]["code"] == "UNAUTHENTICATED"


# Without a token ---------------------------------------------------------------------------------


async def test_the_answer_to_a_query_of_the_whole_schema_is_kept(fresh: Graph) -> None:
    budget = fresh.services.operations._public.budget
    query = QUERIES["as graphql-js sends it"]
    first = await fresh.answer(query, profile=None)
    budget.spend(1000)
    assert await fresh.answer(query, profile=None) == first
    error = await fresh.error(query + " ", profile=None)
    assert error["extensions"]["code"] == "RATE_LIMITED"
    assert error["extensions"]["retryAfter"] > 1000


@pytest.mark.parametrize(
    "query",
    [
        '{ __type(name: "Process") { name } }',
        "{ __schema { types { name } } }",
        "{ __schema { queryType { name } types { a: name } directives { name } } }",
        "{ __schema { queryType { name } types { name } directives { name } types { kind } } }",
        "{ __schema { queryType { name } types { fields { type { fields { name } } } }"
        " directives { name } } }",
        "{ __schema { queryType { name } types { name @skip(if: false) } directives { name } } }",
    ],
)
async def test_no_other_document_without_a_token_is_cached(fresh: Graph, query: str) -> None:
    operations = fresh.services.operations
    assert "errors" not in await fresh.ask(query, profile=None)
    assert operations._public.cache.info().size == 0
    assert operations.compiler.cache_info().size == 0


async def test_the_budget_of_those_without_a_token_is_refilled() -> None:
    now = 0.0
    budget = ProcessorBudget(share=0.1, burst=0.5, clock=lambda: now)
    budget.require()
    budget.spend(0.9)
    with pytest.raises(GatewayError) as raised:
        budget.require()
    assert raised.value.retry_after == 5  # 0.4 s of debt, a tenth of which is paid each second
    now = 4.1
    budget.require()
    now = 1000
    budget.require()
    budget.spend(0.51)  # no more than the burst was saved
    with pytest.raises(GatewayError):
        budget.require()
