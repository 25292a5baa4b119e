"""Test GraphQL over HTTP: media types, statuses, persisted queries and batches."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import quote

import pytest

from tests.conftest import Gateway, StartGateway
from tests.gateway.http.wire import COUNT, GRAPHQL_JSON, JSON, code

DRAFT = "application/graphql-response+json"

ACCEPTED = {
    None: JSON,
    "": JSON,
    "*/*": JSON,
    "application/*": JSON,
    "application/json": JSON,
    "text/html": JSON,
    DRAFT: GRAPHQL_JSON,
    f"{DRAFT}; charset=utf-8": GRAPHQL_JSON,
    DRAFT.upper(): GRAPHQL_JSON,
    # Apollo Client 4, urql, graphql-http and Relay.
    f"{DRAFT},application/json;q=0.9": GRAPHQL_JSON,
    f"{DRAFT}, application/graphql+json, application/json, text/event-stream": GRAPHQL_JSON,
    f"{DRAFT}, application/json": GRAPHQL_JSON,
    f"application/json, {DRAFT}": GRAPHQL_JSON,
    f"*/*;q=0.1, {DRAFT}": GRAPHQL_JSON,
    f"{DRAFT};q=0.5, application/json;q=0.4": GRAPHQL_JSON,
    # What is preferred or refused.
    f"{DRAFT};q=0.9, application/json": JSON,
    f"{DRAFT};q=0.9, */*": JSON,
    f"{DRAFT};q=0": JSON,
    f"{DRAFT};q=0, */*": JSON,
    f"{DRAFT};q=2": JSON,
    f"{DRAFT};q=x": JSON,
    "application/graphql-response+jsonp": JSON,
    f"x{DRAFT}": JSON,
    "," * 8000: JSON,
    "a/b;q=0.1," * 700 + DRAFT: JSON,
    "application/json" + ";q=1" * 1000: JSON,
}


@pytest.mark.parametrize("accept", ACCEPTED, ids=lambda accept: str(accept)[:60])
async def test_the_media_type_and_the_status_follow_the_accept_header(
    empty_gateway: Gateway, accept: str | None
) -> None:
    content_type = ACCEPTED[accept]
    # aiohttp sends "*/*" itself if there is no header.
    headers = {} if accept is None else {"Accept": accept}
    for body, status in (
        (COUNT, 200),
        ({"query": "{"}, 400),
        ({"query": "{ nonsense }"}, 400),
        ({"query": "query($n: Int!) { processes(first: $n) { totalCount } }"}, 400),
        ({**COUNT, "operationName": "other"}, 400),
        ({"extensions": {"persistedQuery": {}}}, 400),
    ):
        reply = await empty_gateway.call("POST", "/graphql", body, headers=headers)
        expected = status if content_type == GRAPHQL_JSON else 200
        assert (reply.status, reply.headers["Content-Type"]) == (expected, content_type)
        assert ("data" in reply.json) is (status == 200)
        assert reply.headers["Vary"] == "Accept, Accept-Encoding"


NOT_WELL_FORMED: list[tuple[Any, str]] = [
    (b"{", "not valid JSON"),
    (b"", "the body is empty"),
    ({"query": 1}, "query: expected text, got 1"),
    ({"query": None}, "query: is required"),
    ({**COUNT, "operationName": {}}, "operationName: expected text"),
    ({**COUNT, "variables": []}, "variables: expected an object"),
    ({**COUNT, "extensions": 0}, "extensions: expected an object"),
    ({**COUNT, "extensions": False}, "extensions: expected an object"),
    ([], "batches are not supported"),
]


@pytest.mark.parametrize("accept", ["*/*", "application/json", DRAFT])
@pytest.mark.parametrize(("body", "message"), NOT_WELL_FORMED)
async def test_a_request_that_is_not_well_formed_has_status_400(
    empty_gateway: Gateway, accept: str, body: Any, message: str
) -> None:
    headers = {"Accept": accept}
    reply = await empty_gateway.call("POST", "/graphql", body, headers=headers)
    assert (reply.status, code(reply)) == (400, "BAD_USER_INPUT")
    assert message in reply.json["errors"][0]["message"]
    assert reply.headers["Content-Type"] == (GRAPHQL_JSON if accept == DRAFT else JSON)


@pytest.mark.parametrize("accept", ["application/json", DRAFT])
async def test_errors_that_are_not_about_the_operation_keep_their_status(
    start_gateway: StartGateway, accept: str
) -> None:
    headers = {"Accept": accept}
    async with start_gateway(max_body_bytes=1000, rate_limit_token="2/hour") as gateway:
        missing = await gateway.call("POST", "/graphql", COUNT, headers=headers, profile=None)
        assert (missing.status, code(missing)) == (401, "UNAUTHENTICATED")
        headers["Authorization"] = await gateway.token()
        large = {"query": "{ __typename }" + " " * 1000}
        for body, status in ((large, 400), (COUNT, 200), (COUNT, 429)):
            reply = await gateway.call("POST", "/graphql", body, headers=headers)
            assert reply.status == status


async def test_a_refused_introspection_is_about_the_operation(start_gateway: StartGateway) -> None:
    body = {"query": "{ __schema { queryType { name } } }"}
    async with start_gateway(introspection="off") as gateway:
        for accept, status in (("application/json", 200), (DRAFT, 403)):
            reply = await gateway.call("POST", "/graphql", body, headers={"Accept": accept})
            assert (reply.status, code(reply)) == (status, "FORBIDDEN")


# Persisted queries and batches --------------------------------------------------------------------

HASH = {"persistedQuery": {"version": 1, "sha256Hash": "ab" * 32}}
NOT_SUPPORTED = {
    "errors": [
        {
            "message": "PersistedQueryNotSupported",
            "extensions": {"code": "PERSISTED_QUERY_NOT_SUPPORTED"},
        }
    ]
}


async def test_a_hash_alone_is_not_supported(empty_gateway: Gateway) -> None:
    body = {"variables": {}, "operationName": "Q", "extensions": HASH}
    for members in (body, {**body, "query": None}):
        reply = await empty_gateway.call("POST", "/graphql", members)
        assert (reply.status, reply.json) == (200, NOT_SUPPORTED)
    path = f"/graphql?extensions={quote(json.dumps(HASH))}"
    reply = await empty_gateway.call("GET", path)
    assert (reply.status, reply.json) == (200, NOT_SUPPORTED)
    # The token is judged first.
    reply = await empty_gateway.call("POST", "/graphql", body, profile=None)
    assert (reply.status, code(reply)) == (401, "UNAUTHENTICATED")


async def test_a_hash_beside_a_query_is_ignored(empty_gateway: Gateway) -> None:
    body = {**COUNT, "extensions": HASH}
    reply = await empty_gateway.call("POST", "/graphql", body)
    assert reply.json == {"data": {"processes": {"totalCount": 0}}}


@pytest.mark.parametrize("extensions", [{}, {"persistedQuery": None}, {"persistedQuery": "ab"}])
async def test_a_request_without_query_and_hash_is_bad_input(
    empty_gateway: Gateway, extensions: Any
) -> None:
    reply = await empty_gateway.call("POST", "/graphql", {"extensions": extensions})
    assert (reply.status, code(reply)) == (400, "BAD_USER_INPUT")


async def test_batches_are_refused(empty_gateway: Gateway) -> None:
    for batch in ([], [COUNT], [COUNT, COUNT], [{"extensions": HASH}]):
        reply = await empty_gateway.call("POST", "/graphql", batch)
        assert (reply.status, code(reply)) == (400, "BAD_USER_INPUT")
        assert reply.json["errors"][0]["message"] == (
            "expected an object with a query, got a list: batches are not supported, so send each"
            " operation in a request of its own"
        )
