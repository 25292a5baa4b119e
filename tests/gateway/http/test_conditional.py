"""Test entity tags and conditional requests of GraphQL; the dialects have audits of their own."""

from __future__ import annotations

import json
from urllib.parse import urlencode

import pytest

from tests.conftest import Gateway, Reply, running_gateway
from tests.storage.database.conftest import connected

NAMES = "{ processes { nodes { name } } }"
SEVERAL = "{ a: processes { nodes { name } } b: espaces { nodes { name } } c: __typename }"
CREATE = 'mutation { createEspace(espace: {reference: "e%d", name: "E"}) { espace { id } } }'


async def get(gateway: Gateway, query: str = NAMES, *tags: str, method: str = "GET") -> Reply:
    headers = {"If-None-Match": ", ".join(tags)} if tags else {}
    path = f"/graphql?{urlencode({'query': query})}"
    return await gateway.call(method, path, headers=headers, encoded=True)


async def post(gateway: Gateway, query: str, **members: object) -> Reply:
    return await gateway.call("POST", "/graphql", {"query": query, **members})


@pytest.mark.parametrize("query", [NAMES, SEVERAL])
async def test_a_get_is_answered_with_304_as_long_as_it_holds(gateway: Gateway, query: str) -> None:
    tags: list[str] = []
    for number in range(3):
        await post(gateway, CREATE % number)
        await gateway.run("UPDATE process SET enabled = true")
        await gateway.call("POST", "/process", {"reference": f"p{number}", "name": "P"})
        reply = await get(gateway, query)
        tag = reply.headers["Etag"]
        assert reply.status == 200
        assert reply.headers["Cache-Control"] == "private, no-cache"
        if tags:
            assert (await get(gateway, query, *tags)).status == 200
        assert tag not in tags
        tags.append(tag)
        for method in ("GET", "HEAD"):
            for sent in (tag, f"W/{tag}", "*"):
                same = await get(gateway, query, '"other"', sent, method=method)
                if sent == "*":
                    same = await get(gateway, query, sent, method=method)
                assert (same.status, same.body, same.headers["Etag"]) == (304, b"", tag)
                assert same.headers["Cache-Control"] == "private, no-cache"
        assert (await get(gateway, query, '"other"')).status == 200
        head = await get(gateway, query, method="HEAD")
        assert head.headers["Content-Length"] == reply.headers["Content-Length"]


async def test_304_runs_no_large_statement(gateway: Gateway) -> None:
    tag = (await get(gateway)).headers["Etag"]
    token = await gateway.token()
    hits = gateway.services.operations.reads.hits
    before = gateway.database.statements
    path = f"/graphql?{urlencode({'query': NAMES})}"
    headers = {"Authorization": token, "If-None-Match": tag}
    reply = await gateway.call("GET", path, profile=None, headers=headers, encoded=True)
    assert reply.status == 304
    assert gateway.database.statements == before + 1
    assert gateway.services.operations.reads.hits == hits + 1


async def test_a_post_has_the_tag_and_is_always_answered(gateway: Gateway) -> None:
    tag = (await get(gateway)).headers["Etag"]
    body = {"query": NAMES}
    for _ in range(3):
        reply = await gateway.call("POST", "/graphql", body, headers={"If-None-Match": tag})
        assert (reply.status, reply.headers["Etag"]) == (200, tag)
        assert reply.headers["Cache-Control"] == "private, no-store"
        assert reply.json == {"data": {"processes": {"nodes": []}}}


async def test_all_gateways_have_the_same_tags(gateway: Gateway, database_url: str) -> None:
    async with connected(database_url) as database, running_gateway(database) as other:
        for query in (NAMES, SEVERAL, '{ node(id: "UHJvY2Vzczox") { id } }'):
            tag = (await get(gateway, query)).headers["Etag"]
            assert (await get(other, query, tag)).status == 304


async def test_different_answers_have_different_tags(gateway: Gateway) -> None:
    await gateway.run(
        "INSERT INTO process (reference, name) SELECT n::text, 'P' FROM generate_series(1, 3) AS n"
    )
    queries = [
        NAMES,
        SEVERAL,
        "{ processes { nodes { reference } } }",
        "{ processes(first: 1) { nodes { name } } }",
        "{ processes(first: 2) { nodes { name } } }",
        "{ espaces { nodes { name } } }",
        "{ process(databaseId: 1) { name } }",
        "{ process(databaseId: 2) { name } }",
    ]
    tags = [(await get(gateway, query)).headers["Etag"] for query in queries]
    assert len(set(tags)) == len(queries)
    hidden = await gateway.call("POST", "/graphql", {"query": NAMES}, profile="guest")
    assert hidden.headers["Etag"] == tags[0]  # it sees the same


@pytest.mark.parametrize(
    "query",
    [
        "{ nonsense }",
        "{ process { name } }",
        "{ sources { totalCount } processes { totalCount } }",
        "{ __typename }",
        "{ __schema { queryType { name } } }",
    ],
)
async def test_errors_and_the_schema_have_no_tag(gateway: Gateway, query: str) -> None:
    path = f"/graphql?{urlencode({'query': query})}"
    for tags in ({}, {"If-None-Match": '"x"'}, {"If-None-Match": "*"}):
        reply = await gateway.call("GET", path, profile="guest", headers=tags, encoded=True)
        assert reply.status in (200, 400)
        assert "Etag" not in reply.headers
        assert reply.headers["Cache-Control"] == "private, no-store"


async def test_an_answer_with_its_cost_and_a_mutation_have_no_tag(gateway: Gateway) -> None:
    reply = await post(gateway, NAMES, extensions={"cost": True})
    assert "cost" in reply.json["extensions"]
    assert "Etag" not in reply.headers
    assert "Etag" not in (await post(gateway, CREATE % 1)).headers
    path = f"/graphql?{urlencode({'query': NAMES, 'extensions': json.dumps({'cost': True})})}"
    headers = {"If-None-Match": (await get(gateway)).headers["Etag"]}
    reply = await gateway.call("GET", path, headers=headers, encoded=True)
    assert (reply.status, "Etag" in reply.headers) == (200, False)


async def test_the_token_is_judged_before_the_tag(gateway: Gateway) -> None:
    tag = (await get(gateway)).headers["Etag"]
    for path in ("/process", f"/graphql?{urlencode({'query': NAMES})}"):
        for sent in (tag, "*"):
            headers = {"If-None-Match": sent}
            reply = await gateway.call("GET", path, profile=None, headers=headers, encoded=True)
            assert reply.status == 401


@pytest.mark.parametrize(
    "header",
    ["", ",", '"', '"unfinished', "nothing", 'W/"', "w/x", '"' * 4000, "\xff", '""', "*, *"],
)
async def test_malformed_tags_match_nothing(gateway: Gateway, header: str) -> None:
    await gateway.call("POST", "/process", {"reference": "p", "name": "P"})
    for path in ("/process", "/process/1", f"/graphql?{urlencode({'query': NAMES})}"):
        reply = await gateway.call("GET", path, headers={"If-None-Match": header}, encoded=True)
        assert reply.status == 200
