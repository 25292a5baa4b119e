"""Test that the memory of an answer depends on its size, not on the number of objects in it."""

from __future__ import annotations

import json
import tracemalloc

from gateway.http.response_body import collected
from resolvers.access.viewer import Viewer
from resolvers.operations.run import GraphQLRequest
from rest_compat.http import Request
from storage.demo.load import generate
from tests.conftest import Graph, body_of

_TREE = """{ id reference name description state espace { name } profiles { name }
  actions { sourceName action arguments { reference value } } inputs { name type } }"""
# Ten times the largest page, so that the fixed allocations of a request do not matter.
TREES = (
    "{ processes(first: 100) {"
    + " ".join(f"nodes{number}: nodes {_TREE}" for number in range(10))
    + " } }"
)


async def test_a_page_of_trees_is_not_parsed(graph: Graph) -> None:
    await generate(graph.database, 200)
    viewer, request = await graph.viewer("admin"), GraphQLRequest(TREES)
    operations = graph.services.operations
    await operations.answer(request, viewer)
    tracemalloc.start()
    try:
        answer = await operations.answer(request, viewer)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    # As Python objects, the same answer takes about ten times its length.
    assert peak < 2.5 * len(body_of(answer))
    assert len(json.loads(body_of(answer))["data"]["processes"]["nodes9"]) == 100


async def test_all_processes_of_the_legacy_dialect_are_not_parsed(graph: Graph) -> None:
    await generate(graph.database, 2000)
    viewer = await graph.viewer("admin")
    (dialect,) = (d for d in graph.services.dialects if d.name == "process")

    async def no_body(*, bulk: bool) -> bytes:
        return b""

    async def authenticate() -> Viewer:
        return viewer

    async def get_all() -> tuple[bytes, ...]:
        response = await dialect.respond(
            Request("GET", "/process", {}, no_body),
            graph.services.operations,
            authenticate,
        )
        assert response.status == 200
        return await collected(response.parts)

    # The first list is read whole, later ones are streamed.
    for _ in range(2):
        tracemalloc.start()
        try:
            parts = await get_all()
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        body = b"".join(parts)
        assert peak < 2.5 * len(body)
        assert len(json.loads(body)["data"]) == 2000
