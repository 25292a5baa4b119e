"""Test the SQL of reads: one statement per root field, and query plans that use indexes."""

from __future__ import annotations

import asyncio
import base64
import json
import re
from collections.abc import AsyncIterator, Iterator
from typing import Any

import asyncpg
import pytest

from gateway.services import open_services
from resolvers.access.viewer import Viewer
from resolvers.operations.compile import CompiledRead
from resolvers.operations.parameters import RunValues
from resolvers.operations.run import GraphQLRequest
from resolvers.values.enums import Permission
from storage.database.database import Database
from storage.demo.load import generate
from tests.conftest import (
    Gateway,
    Graph,
    body_of,
    database_copy,
    running_gateway,
    settings_for_tests,
)
from tests.reference.rows import insert
from tests.resolvers.operations.home import ROWS

TREE = """id databaseId reference name displayName mode state espace { id name }
    actions { id sourceName action runsWhen arguments { reference value }
        subprocess { id reference } }
    inputs { id reference name type kind } profiles { id name } subprocesses { id reference }"""

# Number of statements ----------------------------------------------------------------------------


class Counted:
    """Counts the statements of an operation, without those of authentication.

    Args:
        graph: A pipeline that keeps no answers.
    """

    def __init__(self, graph: Graph) -> None:
        self.graph = graph

    async def of(self, query: str, viewer: Viewer, **variables: Any) -> int:
        """Run an operation three times, and return the least number of statements.

        The access directory reloads in the background, and its statements are counted as well.
        """
        return min([await self._once(query, viewer, variables) for _ in range(3)])

    async def _once(self, query: str, viewer: Viewer, variables: dict[str, Any]) -> int:
        before = self.graph.database.statements
        answer = await self.graph.services.operations.answer(
            GraphQLRequest(query, variables=variables), viewer
        )
        assert b'"errors"' not in body_of(answer), body_of(answer)
        return self.graph.database.statements - before


@pytest.fixture(scope="module")
async def forgetful(home: Graph) -> AsyncIterator[Graph]:
    """Open another pipeline on the home that keeps no answers."""
    settings = settings_for_tests(kept_answers_bytes=0)
    async with open_services(settings, home.database) as services:
        yield Graph(services)


VIEWERS = ["admin", "occupant", "cleaner", "janitor", "lodger"]


@pytest.mark.parametrize("profile", VIEWERS)
@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("{ viewer { seesAll } }", 1),
        ("{ processes { totalCount } }", 1),
        ("{ processes { nodes { %s } pageInfo { hasNextPage } totalCount } }" % TREE, 1),
        ("{ processes(first: 0) { edges { cursor node { %s } } } }" % TREE, 1),
        ('{ process(reference: "leave") { %s usedBy { %s } } }' % (TREE, TREE), 1),
        ('{ nodes(ids: ["UHJvY2Vzczox", "RXNwYWNlOjE="]) { id } }', 1),
        (
            "{ espaces { nodes { processes { nodes { executions { nodes { id } } } } } } }",
            1,
        ),
        ("{ a: processes { totalCount } b: espaces { totalCount } c: profiles { totalCount } }", 3),
        ("{ __typename }", 0),
        ("{ __schema { queryType { name } } }", 0),
    ],
)
async def test_one_statement_for_each_root_field(
    forgetful: Graph, query: str, expected: int, profile: str
) -> None:
    viewer = await forgetful.viewer(profile)
    assert await Counted(forgetful).of(query, viewer) == expected


async def test_depth_needs_no_more_statements(forgetful: Graph) -> None:
    viewer = await forgetful.viewer("admin")
    query = "id"
    for _ in range(12):
        query = "id subprocesses { %s } usedBy { id } actions { source { name } }" % query
    query = "{ processes(first: 2) { nodes { %s } } }" % query
    assert await Counted(forgetful).of(query, viewer) == 1


async def test_an_operation_uses_four_connections_at_a_time(graph: Graph) -> None:
    fields = " ".join(f"a{number}: processes {{ totalCount }}" for number in range(20))
    connection = await asyncpg.connect(graph.database.url)
    database = await Database.connect(graph.database.url, pool_max=10)
    try:
        settings = settings_for_tests(kept_answers_bytes=0)
        async with open_services(settings, database) as services:
            async with connection.transaction():
                await connection.execute("LOCK TABLE process IN ACCESS EXCLUSIVE MODE")
                running = asyncio.create_task(Graph(services).data(f"{{ {fields} }}"))
                most = 0
                for _ in range(40):
                    await asyncio.sleep(0.01)
                    await connection.execute("SELECT pg_stat_clear_snapshot()")
                    waiting = await connection.fetchval(
                        "SELECT count(*) FROM pg_stat_activity"
                        " WHERE datname = current_database() AND wait_event_type = 'Lock'"
                    )
                    most = max(most, waiting)
            assert most == 4
            assert len(await running) == 20
    finally:
        await database.close()
        await connection.close()


async def test_rejected_operations_need_no_statement(home: Graph) -> None:
    viewer = await home.viewer("clerk")
    before = home.database.statements
    for query, variables in [
        ("{ processes { totalCount } }", {}),
        ("{ espaces(first: 101) { totalCount } }", {}),
        ("query ($n: Int) { espaces(first: $n) { totalCount } }", {"n": -1}),
        ('{ node(id: "x") { id } }', {}),
        ("{ nothing }", {}),
        ("{", {}),
    ]:
        answer = await home.services.operations.answer(
            GraphQLRequest(query, variables=variables), viewer
        )
        assert b'"errors"' in body_of(answer)
    assert home.database.statements == before


@pytest.fixture(scope="module")
async def gateway_on_home(postgres: str, template: str) -> AsyncIterator[Gateway]:
    """Start a gateway that serves the home."""
    async with database_copy(postgres, template) as url:
        database = await Database.connect(url, pool_max=4)
        await insert(database, ROWS)
        async with running_gateway(database) as gateway:
            yield gateway
        await database.close()


@pytest.mark.parametrize("profile", ["admin", "occupant", "cleaner"])
@pytest.mark.parametrize("path", ["/espaces", "/process", "/process/1", "/processes"])
async def test_a_legacy_read_route_needs_one_statement(
    gateway_on_home: Gateway, path: str, profile: str
) -> None:
    gateway = gateway_on_home
    token = await gateway.token(profile)
    before = gateway.database.statements
    reply = await gateway.call("GET", path, headers={"Authorization": token}, profile=None)
    assert reply.status == 200
    assert gateway.database.statements - before == 1


# The text of the statements ----------------------------------------------------------------------


def compiled(graph: Graph, query: str, viewer: Viewer, **variables: Any) -> CompiledRead:
    """Compile a query with one root field."""
    compiler = graph.services.operations.compiler
    document = compiler.read(query)
    assert document.errors == ()
    scope = viewer.scope(Permission.PROCESS_READ)
    (field,) = compiler.query(document.operation(None), variables, scope).fields
    assert field.read is not None
    return field.read


def sql_of(graph: Graph, query: str, viewer: Viewer, **variables: Any) -> str:
    """The statement of the query's one root field."""
    return compiled(graph, query, viewer, **variables).statement.sql


def tables(sql: str) -> list[str]:
    """Return the tables after FROM and JOIN, sorted."""
    return sorted(re.findall(r"(?:FROM|JOIN) ([a-z_]+) AS", sql))


@pytest.mark.parametrize("profile", ["admin", "cleaner"])
async def test_each_selection_reads_its_table_once(home: Graph, profile: str) -> None:
    viewer = await home.viewer(profile)
    selection = "edges { cursor node { %s } } pageInfo { hasNextPage endCursor }" % TREE
    sql = sql_of(home, "{ processes(first: 5) { %s } }" % selection, viewer)
    names = [name for name in tables(sql) if name != "authorisation"]
    # The page, the subprocess of an action, and subprocesses.
    assert names.count("process") == 3
    # The actions, together with the processes that they run.
    assert names.count("action") == 1
    assert {name: names.count(name) for name in ("espace", "input", "profile")} == {
        "espace": 1,
        "input": 1,
        "profile": 1,
    }
    assert "execution" not in names


@pytest.mark.parametrize(
    "page",
    [
        "(first: 5)",
        "(last: 5)",
        "(orderBy: [{field: NAME}, {field: DATABASE_ID, direction: DESC}])",
        "",
    ],
)
@pytest.mark.parametrize("selection", ["nodes { id }", "edges { cursor } pageInfo { hasNextPage }"])
async def test_pages_use_limit_and_never_offset(home: Graph, page: str, selection: str) -> None:
    viewer = await home.viewer("admin")
    sql = sql_of(home, "{ processes%s { %s } }" % (page, selection), viewer)
    assert " LIMIT " in sql
    assert "OFFSET" not in sql.upper()


async def test_values_are_parameters_and_never_in_the_sql(home: Graph) -> None:
    viewer = await home.viewer("admin")
    where = '{name: {eq: "hostile\'text", startsWith: "h"}, databaseId: {gt: 424242}}'
    query = "{ processes(first: 77, where: %s) { nodes { id } } }" % where
    operation = compiled(home, query, viewer)
    for value in ("hostile", "424242", "77"):
        assert value not in operation.statement.sql
    values = operation.arguments(RunValues({}, viewer.profile_id))
    assert sorted(map(str, values)) == ["424242", "77", "h", "hostile'text", "i"]


async def test_rows_are_counted_only_when_requested(home: Graph) -> None:
    viewer = await home.viewer("admin")
    assert "count(" not in sql_of(home, "{ processes { nodes { id } } }", viewer)
    assert "count(" in sql_of(home, "{ processes { totalCount } }", viewer)


# Query plans -------------------------------------------------------------------------------------

LOAD = 10_000
LARGE = {"process", "action", "input", "authorisation", "execution", "execution_step"}
"""The tables that grow with the home. PostgreSQL reads the few espaces, profiles, and sources with
sequential scans, which is fastest, and switches to their indexes when there are more."""


@pytest.fixture(scope="module")
async def loaded(postgres: str, template: str) -> AsyncIterator[Graph]:
    """Open the pipeline on a database with 10,000 generated processes."""
    async with database_copy(postgres, template) as url:
        database = await Database.connect(url, pool_max=2)
        await generate(database, LOAD)
        async with open_services(settings_for_tests(), database) as services:
            yield Graph(services)
        await database.close()


def scans(plan: dict[str, Any]) -> Iterator[str]:
    """Yield the tables that a query plan reads with sequential scans."""
    if plan["Node Type"] == "Seq Scan":
        yield plan["Relation Name"]
    for part in plan.get("Plans", ()):
        yield from scans(part)


PAGES = {
    "by id": "first: 50",
    "by id, backward": "last: 50",
    "by name": "first: 50, orderBy: {field: NAME}",
    "by name, backward": "last: 50, orderBy: {field: NAME}",
    "by name, downward": "first: 50, orderBy: {field: NAME, direction: DESC}",
    "by reference": "first: 50, orderBy: {field: REFERENCE}",
    "by creation": "first: 50, orderBy: {field: CREATED_AT}",
    "by creation, downward": "first: 50, orderBy: {field: CREATED_AT, direction: DESC}",
    "after a cursor": "first: 50, after: $cursor, orderBy: {field: NAME}",
    "before a cursor": "last: 50, before: $cursor, orderBy: {field: NAME}",
    "of an espace": 'first: 50, where: {espace: {reference: {eq: "load-room-07"}}}',
    "with a prefix": 'first: 50, where: {name: {startsWith: "Adjust the"}}, orderBy: {field: NAME}',
    "with a prefix, by id": 'first: 50, where: {name: {startsWith: "Adjust the"}}',
    "of one reference": 'first: 50, where: {reference: {eq: "load-0001000"}}',
    "of a profile": 'first: 50, where: {profiles: {name: {eq: "load-profile-06"}}}',
    "on a source": 'first: 50, where: {actions: {sourceName: {eq: "load-device-05"}}}',
}


@pytest.mark.parametrize("profile", ["admin", "load-profile-03"])
@pytest.mark.parametrize("page", PAGES)
async def test_a_page_of_trees_uses_indexes(loaded: Graph, page: str, profile: str) -> None:
    viewer = await loaded.viewer(profile)
    declared = "query ($cursor: String) " if "$cursor" in PAGES[page] else ""
    query = "%s{ processes(%s) { nodes { %s } } }" % (declared, PAGES[page], TREE)
    variables = {}
    if declared:
        middle = "SELECT name, id FROM process ORDER BY name, id OFFSET 5000 LIMIT 1"
        (row,) = await loaded.run(middle)
        key = json.dumps(["name,database_id", row["name"], row["id"]])
        variables = {"cursor": base64.b64encode(key.encode()).decode()}
    operation = compiled(loaded, query, viewer, **variables)
    values = operation.arguments(RunValues(variables, viewer.profile_id))
    # Statements are planned once for all values (storage.database.database): check that plan.
    rows = await loaded.run(
        f"EXPLAIN (GENERIC_PLAN, FORMAT JSON) {operation.statement.sql}", *values
    )
    (plan,) = json.loads(rows[0]["QUERY PLAN"])
    assert LARGE.isdisjoint(scans(plan["Plan"])), json.dumps(plan, indent=1)
    # The page is not empty.
    data = await loaded.data(query, variables, profile=profile)
    assert len(data["processes"]["nodes"]) == (
        50 if page != "of one reference" else int(profile == "admin")
    )


async def test_a_single_tree_uses_indexes(loaded: Graph) -> None:
    for profile in ("admin", "load-profile-03"):
        viewer = await loaded.viewer(profile)
        for query in (
            '{ process(reference: "load-0001000") { %s usedBy { id } } }' % TREE,
            '{ nodes(ids: ["UHJvY2Vzczox"]) { ... on Process { %s } } }' % TREE,
            '{ process(reference: "load-0001000") { version updatedAt } }',
            "{ processes(first: 50) { nodes { version } } }",
            "{ executions(first: 50, orderBy: {field: STARTED_AT, direction: DESC}) {"
            " nodes { id } } }",
            "{ execution(databaseId: 1) { steps { subprocess { id } subexecution { id } } } }",
        ):
            operation = compiled(loaded, query, viewer)
            values = operation.arguments(RunValues({}, viewer.profile_id))
            rows = await loaded.run(
                f"EXPLAIN (GENERIC_PLAN, FORMAT JSON) {operation.statement.sql}", *values
            )
            (plan,) = json.loads(rows[0]["QUERY PLAN"])
            assert LARGE.isdisjoint(scans(plan["Plan"])), json.dumps(plan, indent=1)


async def test_json_text_is_inlined(loaded: Graph) -> None:
    viewer = await loaded.viewer("admin")
    operation = compiled(loaded, "{ processes(first: 50) { nodes { %s } } }" % TREE, viewer)
    assert "json_text(" in operation.statement.sql
    values = operation.arguments(RunValues({}, viewer.profile_id))
    rows = await loaded.run(f"EXPLAIN (GENERIC_PLAN, VERBOSE) {operation.statement.sql}", *values)
    plan = "\n".join(row["QUERY PLAN"] for row in rows)
    # PostgreSQL has inlined the function (0002_json_text.sql).
    assert "json_text(" not in plan
    assert "JSON_SCALAR(" in plan
