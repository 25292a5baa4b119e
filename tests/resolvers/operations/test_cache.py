"""The cache of documents: bounded by the memory that they really take."""

from __future__ import annotations

import gc
import tracemalloc
from typing import Any

import pytest

from gateway.services import compiler_of
from storage.reads.plan import Scope, Visibility
from tests.conftest import Graph, settings_for_tests

SCOPE = Scope(Visibility.ALL, sources=True)
MIB = 1024 * 1024

DOCUMENTS = {
    "trees": "{"
    + " ".join(
        f"a{n}: processes(first: 3) {{ nodes {{ id espace {{ name }} actions {{ id }} }} }}"
        for n in range(19)
    )
    + "}",
    "filters": "{ processes(where: {or: ["
    + ", ".join(f'{{actions: {{action: {{contains: "a{n}"}}}}}}' for n in range(90))
    + "]}) { totalCount } }",
    "short": "{ viewer { seesAll } }",
}


@pytest.mark.parametrize(
    ("name", "size", "count"), [("trees", 4, 40), ("filters", 8, 20), ("short", 1, 100)]
)
async def test_the_cache_takes_no_more_memory_than_it_may(name: str, size: int, count: int) -> None:
    compiler = compiler_of(settings_for_tests(operation_cache_bytes=size * MIB))
    tracemalloc.start()
    try:
        for number in range(count):
            document = await compiler.document(f"{DOCUMENTS[name]} #{number}")
            compiler.query(document.operation(None), {}, SCOPE)
        del document
        gc.collect()
        kept, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    info = compiler.cache_info()
    assert 0 < info.size < count
    assert info.bytes <= size * MIB
    assert 0.3 * size * MIB < kept < 1.2 * size * MIB


async def test_the_shapes_of_one_operation_do_not_grow_without_end() -> None:
    compiler = compiler_of(settings_for_tests(operation_cache_bytes=MIB))
    query = "query($parts: [ProcessWhere!]) { processes(where: {or: $parts}) { totalCount } }"
    for number in range(100):
        document = await compiler.document(query)
        variables = {"parts": [{"name": {"eq": "a"}}] * number}
        compiler.query(document.operation(None), variables, SCOPE)
        assert compiler.cache_info().bytes <= MIB
    assert len(document.operation(None).compiled) < 50


async def test_the_documents_used_last_are_kept() -> None:
    compiler = compiler_of(settings_for_tests(operation_cache_bytes=MIB))
    first = await compiler.document("{ viewer { seesAll } }")
    for number in range(200):
        await compiler.document(f"{{ viewer {{ seesAll }} }} #{number}")
        assert await compiler.document("{ viewer { seesAll } }") is first
    assert await compiler.document("{ viewer { seesAll } } #0") is not None
    assert compiler.cache_info().size < 100


async def test_documents_with_errors_are_not_cached() -> None:
    compiler = compiler_of(settings_for_tests())
    assert (await compiler.document("{ nothing }")).errors
    assert compiler.cache_info().size == 0


@pytest.mark.parametrize("size", [0, 10_000])
async def test_a_cache_that_is_too_small_changes_no_answer(home: Graph, size: int) -> None:
    compiler: Any = compiler_of(settings_for_tests(operation_cache_bytes=size))
    for _ in range(2):
        document = await compiler.document("{ viewer { seesAll } }")
        assert compiler.query(document.operation(None), {}, SCOPE).fields[0].key == "viewer"
    assert compiler.cache_info().size == 0


async def test_a_payload_is_compiled_once_unless_it_contains_variables(graph: Graph) -> None:
    compiler = graph.services.operations.compiler
    create = "createEspace(espace: {reference: $r, name: $r}) { espace"
    queries = {
        f"mutation($r: String!) {{ {create} {{ id }} }} }}": 1,
        f"mutation($r: String!) {{ a: {create} {{ name }} }} b: {create} {{ id }} }} }}": 2,
        f"mutation($r: String!, $n: Boolean!) {{ {create} {{ id name @skip(if: $n) }} }} }}": 0,
    }
    for query, kept in queries.items():
        for name in ("x", "y"):
            await graph.ask(query, {"r": name, "n": name == "x"})
        operation = (await compiler.document(query)).operation(None)
        assert len(operation.compiled) == kept
    # A viewer with another scope gets another plan, and no mutation shows what another selects.
    await graph.run("INSERT INTO profile (name, permissions) VALUES ('w', '{process:write}')")
    (first, *_) = queries
    data = await graph.data(first, {"r": "z"}, profile="w")
    assert data["createEspace"]["espace"] is not None
