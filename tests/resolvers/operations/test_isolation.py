"""Test that no answer contains hidden processes, even with concurrent requests of other viewers."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from graphql import (
    GraphQLField,
    GraphQLInterfaceType,
    GraphQLObjectType,
    GraphQLSchema,
    get_named_type,
    is_object_type,
    is_required_argument,
)

from resolvers.operations.compile import OperationCompiler
from resolvers.operations.reads import Reads
from resolvers.operations.run import GraphQLRequest, Operations
from resolvers.schema.build import build_schema
from resolvers.values.ids import global_id
from storage.database.database import Database
from tests.conftest import Gateway, Graph, body_of, database_copy, running_gateway
from tests.reference.rows import insert
from tests.resolvers.operations.home import ROWS

PROFILES = [row["name"] for row in ROWS["profile"]] + ["admin", "occupant", "guest"]
DEPTH = 3
"""Maximum depth of relations that the generated operations follow."""


def visible(profile: str) -> set[str]:
    """Return the references of the processes that a profile may see, computed from the rows."""
    references = {row["reference"] for row in ROWS["process"]}
    if profile in ("admin", "occupant", "guest"):
        return references
    (row,) = (row for row in ROWS["profile"] if row["name"] == profile)
    if "process:read" not in row["permissions"] and "admin" not in row["permissions"]:
        return set()
    if "admin" in row["permissions"]:
        return references
    granted = {a["process_id"] for a in ROWS["authorisation"] if a["profile_id"] == row["id"]}
    return {row["reference"] for row in ROWS["process"] if row["id"] in granted}


# Every path through the schema -------------------------------------------------------------------


def selection(type_: GraphQLObjectType, depth: int) -> str:
    """Return a selection that follows every relation and includes each process's reference."""
    parts = ["__typename"]
    if type_.name == "Process":
        parts.append("processReference: reference")
    for name, field in type_.fields.items():
        target = get_named_type(field.type)
        if not is_object_type(target) or target.name in ("PageInfo", "Argument"):
            continue
        inner = depth if "nodes" in type_.fields else depth - 1
        if inner > 0:
            first = "(first: 100)" if "first" in field.args else ""
            parts.append(f"{name}{first} {{ {selection(target, inner)} }}")
    return " ".join(parts)


def root_operations(schema: GraphQLSchema) -> Iterator[tuple[str, str]]:
    """Yield an operation for each root field that follows all relations below it."""
    assert schema.query_type is not None
    for name, field in schema.query_type.fields.items():
        target = get_named_type(field.type)
        if isinstance(target, GraphQLInterfaceType):
            fragments = " ".join(
                f"... on {possible.name} {{ {selection(possible, DEPTH - 1)} }}"
                for possible in schema.get_possible_types(target)
            )
            yield name, f"query($ids: [ID!]!) {{ nodes(ids: $ids) {{ {fragments} }} }}"
        elif isinstance(target, GraphQLObjectType):
            yield name, _operation(name, field, target)


def _operation(name: str, field: GraphQLField, target: GraphQLObjectType) -> str:
    fields = selection(target, DEPTH)
    if "first" in field.args:
        return f"{{ {name}(first: 100) {{ {fields} }} }}"
    if "databaseId" in field.args:
        return f"query($id: Int) {{ {name}(databaseId: $id) {{ {fields} }} }}"
    assert not any(map(is_required_argument, field.args.values()))
    return f"{{ {name} {{ {fields} }} }}"


OPERATIONS = dict(root_operations(build_schema()._schema))


def processes_in(value: Any) -> Iterator[str]:
    """Yield the references of all processes in an answer."""
    if isinstance(value, dict):
        if value.get("__typename") == "Process":
            yield value["processReference"]
        for member in value.values():
            yield from processes_in(member)
    elif isinstance(value, list):
        for item in value:
            yield from processes_in(item)


def global_ids() -> list[str]:
    """Return the opaque ids of all objects in the home."""
    types = {
        "espace": "Espace",
        "process": "Process",
        "action": "Action",
        "input": "Input",
        "profile": "Profile",
        "source": "Source",
        "execution": "Execution",
        "execution_step": "ExecutionStep",
    }
    return [
        global_id(types[table], row.get("id", 0) or index)
        for table, rows in ROWS.items()
        if table in types
        for index, row in enumerate(rows, start=1)
    ]


def variables_for(root: str) -> list[dict[str, Any]]:
    """Return the variables to run the operation of a root field with, covering every row."""
    if root in ("node", "nodes"):
        ids = global_ids()
        return [{"ids": ids[start : start + 50]} for start in range(0, len(ids), 50)]
    if root in ROWS and "$id" in OPERATIONS[root]:
        return [{"id": number} for number in range(1, len(ROWS[root]) + 8)]
    return [{}]


@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize("root", OPERATIONS)
async def test_every_path_leads_to_visible_processes_only(
    home: Graph, root: str, profile: str
) -> None:
    allowed = visible(profile)
    for variables in variables_for(root):
        answer = await home.ask(OPERATIONS[root], variables, profile=profile)
        references = set(processes_in(answer.get("data")))
        assert references <= allowed


def test_the_operations_reach_every_relation_of_the_schema() -> None:
    schema = build_schema()._schema
    text = " ".join(OPERATIONS.values())
    for type_ in schema.type_map.values():
        if isinstance(type_, GraphQLObjectType) and type_.interfaces:
            for name, field in type_.fields.items():
                if isinstance(get_named_type(field.type), GraphQLObjectType):
                    assert f" {name}" in text or name == "arguments", (type_.name, name)


# GraphQL and both dialects agree -----------------------------------------------------------------


@pytest.fixture(scope="module")
async def home_gateway(postgres: str, template: str) -> AsyncIterator[Gateway]:
    """Start a gateway that serves the home."""
    async with database_copy(postgres, template) as url:
        database = await Database.connect(url, pool_max=4)
        try:
            await insert(database, ROWS)
            async with running_gateway(database) as gateway:
                yield gateway
        finally:
            await database.close()


@pytest.mark.parametrize("profile", PROFILES)
async def test_graphql_and_both_dialects_show_the_same_processes(
    home_gateway: Gateway, profile: str
) -> None:
    allowed = visible(profile)
    ids = {row["reference"]: row["id"] for row in ROWS["process"]}
    process = await home_gateway.call("GET", "/process", profile=profile)
    processes = await home_gateway.call("GET", "/processes", profile=profile)
    graph = await home_gateway.ask(
        "{ processes(first: 100) { nodes { reference } } }", profile=profile
    )
    if not allowed and process.status == 403:
        assert processes.status == 403
        assert graph["errors"][0]["extensions"]["code"] == "FORBIDDEN"
        return
    assert {item["reference"] for item in process.json["data"]} == allowed
    assert {item["id"] for item in processes.json["processes"]} == {ids[r] for r in allowed}
    assert {node["reference"] for node in graph["data"]["processes"]["nodes"]} == allowed
    for reference, number in ids.items():
        one = await home_gateway.call("GET", f"/process/{number}", profile=profile)
        assert one.status == (200 if reference in allowed else 404), reference
        if one.status == 200:
            assert one.json["data"] in process.json["data"]


# Nothing leaks between requests ------------------------------------------------------------------

INTERLEAVED: list[tuple[str, list[dict[str, Any]]]] = [
    (
        "query($n: Int, $name: String!) { processes(first: $n, where: {name: {contains: $name}})"
        " { totalCount nodes { __typename processReference: reference name usedBy {"
        " __typename processReference: reference } } } }",
        [{"n": n, "name": name} for n in (1, 3, 100) for name in ("", "a", "%", "Same", "é")],
    ),
    (
        "query($id: Int, $deep: Boolean!) { process(databaseId: $id) { __typename"
        " processReference: reference subprocesses @include(if: $deep) { __typename"
        " processReference: reference } } }",
        [{"id": number, "deep": deep} for number in range(1, 13) for deep in (True, False)],
    ),
    (
        "query($order: [ProcessOrder!], $last: Int) { processes(last: $last, orderBy: $order)"
        " { edges { cursor node { __typename processReference: reference } } } }",
        [
            {"order": [{"field": field, "direction": direction}], "last": last}
            for field in ("NAME", "REFERENCE", "DATABASE_ID")
            for direction in ("ASC", "DESC")
            for last in (1, 2, 50)
        ],
    ),
    ("{ executions { nodes { process { __typename processReference: reference } } } }", [{}]),
]


@pytest.mark.parametrize(
    "cache_bytes", [0, 2_000_000, 64_000_000], ids=lambda size: f"cache of {size}"
)
async def test_concurrent_requests_answer_as_if_alone(home: Graph, cache_bytes: int) -> None:
    """With a small cache, nearly every request compiles its operation again."""

    def operations() -> Operations:
        compiler = OperationCompiler(
            build_schema(), home.services.operations.compiler.limits, cache_bytes=cache_bytes
        )
        reads = Reads(home.database, max_bytes=cache_bytes, audit_one_in=7)
        return Operations(compiler, home.database, home.services.operations._executions, reads)

    viewers = [(name, await home.viewer(name)) for name in PROFILES]
    requests = [
        (query, variables, name, viewer)
        for query, all_variables in INTERLEAVED
        for variables in all_variables
        for name, viewer in viewers
    ]
    alone = operations()
    expected = [
        body_of(await alone.answer(GraphQLRequest(query, None, variables), viewer))
        for query, variables, _, viewer in requests
    ]
    together = operations()
    chance = random.Random(cache_bytes)
    order = chance.choices(range(len(requests)), k=32 * 40)
    mismatches: list[int] = []

    async def client(indices: list[int]) -> None:
        for index in indices:
            query, variables, name, viewer = requests[index]
            answer = await together.answer(GraphQLRequest(query, None, variables), viewer)
            references = set(processes_in(json.loads(body_of(answer)).get("data")))
            if body_of(answer) != expected[index] or not references <= visible(name):
                mismatches.append(index)

    await asyncio.gather(*(client(order[start::32]) for start in range(32)))
    assert [requests[index][:3] for index in mismatches] == []
