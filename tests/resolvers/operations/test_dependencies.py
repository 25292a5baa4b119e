"""Test what answers depend on, and that the statement and the small one read the same versions."""

from __future__ import annotations

import re
from typing import Any

import pytest

from gateway.services import compiler_of, dialects_of
from resolvers.operations.compile import CompiledRead
from resolvers.operations.parameters import RunValues
from resolvers.values.ids import global_id
from storage.database.database import Database
from storage.database.rows import Row
from storage.database.versions import read_versions, version_of
from storage.reads.dependencies import DOMAINS, FUNCTIONS, Dependency, Domain, OfNode, OfRows
from storage.reads.plan import Scope, Visibility
from tests.conftest import settings_for_tests
from tests.reference.rows import insert
from tests.resolvers.operations.home import ROWS

ADMIN = Scope(Visibility.ALL, sources=True)
READER = Scope(Visibility.ALL, sources=False)
AUTHORIZED = Scope(Visibility.AUTHORIZED, sources=False)
NOTHING = Scope(Visibility.NONE, sources=False)
SCOPES = (ADMIN, READER, AUTHORIZED, NOTHING)


def compiled(query: str, scope: Scope, variables: dict[str, Any] | None = None) -> CompiledRead:
    """Compile a query with one root field."""
    compiler = compiler_of(settings_for_tests())
    operation = compiler.read(query).operation(None)
    (field,) = compiler.query(operation, variables or {}, scope).fields
    assert field.read is not None, field.error
    return field.read


def shown(dependencies: frozenset[Dependency]) -> str:
    """Write dependencies as a text, such as ``espace, process 1``."""
    texts = []
    for each in dependencies:
        part: object = each.reference if each.reference is not None else each.shard
        if each.in_tree is not None:
            part = f"in the tree of {each.in_tree}"
        texts.append(each.domain.name.lower() + ("" if part is None else f" {part}"))
    return ", ".join(sorted(texts))


def depends(query: str, scope: Scope = ADMIN, profile_id: int = 1) -> str:
    read = compiled(query, scope)
    arguments = read.arguments(RunValues({}, profile_id))
    return shown(read.statement.dependencies(arguments))


ONE = "process(databaseId: 65)"
NODE = 'node(id: "%s")'


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        # One row: its shard alone, with its parts.
        (f"{{ {ONE} {{ name displayName state }} }}", "process 1"),
        (f"{{ {ONE} {{ actions {{ action arguments {{ value }} }} }} }}", "process 1"),
        (f"{{ {ONE} {{ inputs {{ name kind }} }} }}", "process 1"),
        ('{ process(id: "UHJvY2Vzczo2NQ==") { name } }', "process 1"),
        ('{ process(reference: "leave") { name } }', "process leave"),
        (f"{{ {NODE % global_id('Process', 66)} {{ id }} }}", "process 2"),
        (f"{{ {NODE % global_id('Execution', 3)} {{ id }} }}", "execution in the tree of 3"),
        (
            "{ execution(databaseId: 64) { status steps { action } } }",
            "execution in the tree of 64",
        ),
        # So does what is nested in the same root as the execution.
        (
            "{ execution(databaseId: 1) { sequence inDoubt deadline failedSteps root { id }"
            " parentStep { id } inDoubtSteps { execution { steps { result attempts { error } } } }"
            " steps { result subexecution { steps { result execution { id } } } } } }",
            "execution in the tree of 1",
        ),
        ("{ execution(databaseId: 1) { replayOf { id } } }", "execution"),
        ("{ execution(databaseId: 1) { root { replayOf { steps { id } } } } }", "execution"),
        # The version shows parts of the process, and the names of others.
        (f"{{ {ONE} {{ version updatedAt }} }}", "espace, process 1, profile, source"),
        # Problems are about called processes, and about sources, as far as the profile may know.
        (f"{{ {ONE} {{ problems {{ code }} }} }}", "process, profile, source"),
        (
            "{ espaces { nodes { processes { nodes { problems { code } } } } } }",
            "espace, process, profile, source",
        ),
        # What else they lead to, as a whole.
        (f"{{ {ONE} {{ profiles {{ name }} }} }}", "process 1, profile"),
        (f"{{ {ONE} {{ espace {{ name }} }} }}", "espace, process 1"),
        (f"{{ {ONE} {{ actions {{ sourceName }} }} }}", "process 1, source"),
        (f"{{ {ONE} {{ actions {{ source {{ name }} }} }} }}", "process 1, source"),
        (f"{{ {ONE} {{ executions {{ nodes {{ id }} }} }} }}", "execution, process 1"),
        (f"{{ {ONE} {{ espace {{ processes {{ totalCount }} }} }} }}", "espace, process"),
        (f"{{ {ONE} {{ actions {{ subprocess {{ name }} }} }} }}", "process"),
        (f"{{ {ONE} {{ subprocesses {{ name }} }} }}", "process"),
        (f"{{ {ONE} {{ usedBy {{ name }} }} }}", "process"),
        (
            "{ execution(databaseId: 1) { process { name } } }",
            "execution in the tree of 1, process",
        ),
        # Parts of a process are found by their own IDs, which do not tell the shard.
        (f"{{ {NODE % global_id('Action', 1)} {{ id }} }}", "process"),
        (f"{{ {NODE % global_id('ExecutionStep', 1)} {{ id }} }}", "execution"),
        (f"{{ {NODE % global_id('Nothing', 1)} {{ id }} }}", ""),
        (
            f"{{ {NODE % global_id('Process', 1)} {{ ... on Execution {{ process {{ id }} }} }} }}",
            "process 1",
        ),
        (
            f'{{ nodes(ids: ["{global_id("Process", 1)}"]) {{ ... on Process {{ id }} }} }}',
            "espace, execution, process, profile, source",
        ),
        # Pages, with what filters and orders look at.
        ("{ processes { totalCount } }", "process"),
        ("{ processes { nodes { espace { name } } } }", "espace, process"),
        ('{ processes(where: {espace: {name: {eq: "a"}}}) { totalCount } }', "espace, process"),
        (
            '{ processes(where: {actions: {sourceName: {eq: "a"}}}) { totalCount } }',
            "process, source",
        ),
        ('{ espaces(where: {not: {name: {eq: "a"}}}) { totalCount } }', "espace"),
        ("{ sources { nodes { processes { totalCount } } } }", "process, source"),
        ("{ profiles { nodes { name } } }", "profile"),
        ("{ profiles { nodes { processes { totalCount } } } }", "process, profile"),
        ("{ viewer { seesAll } }", "profile"),
        ("{ executions { nodes { steps { action } } } }", "execution"),
    ],
)
def test_dependencies_of_an_admin(query: str, expected: str) -> None:
    assert depends(query) == expected


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        # The authorizations of a process are parts of it.
        (f"{{ {ONE} {{ name actions {{ action }} }} }}", "process 1"),
        (f"{{ {ONE} {{ executions {{ totalCount }} }} }}", "execution, process"),
        (f"{{ {ONE} {{ actions {{ source {{ name }} }} }} }}", "process 1"),
        ("{ execution(databaseId: 1) { status } }", "execution in the tree of 1, process"),
        (
            "{ execution(databaseId: 1) { steps { result } inDoubtSteps { id } root { id } } }",
            "execution in the tree of 1, process",
        ),
        ("{ executions { totalCount } }", "execution, process"),
        ("{ espaces { nodes { name } } }", "espace"),
        ("{ espaces { nodes { processes { totalCount } } } }", "espace, process"),
    ],
)
def test_dependencies_of_a_profile_that_sees_what_it_is_authorized_on(
    query: str, expected: str
) -> None:
    assert depends(query, AUTHORIZED) == expected


def all_reads() -> list[CompiledRead]:
    """Return the reads of the dialects, and of a query of everything, for every scope."""
    settings = settings_for_tests()
    dialects = dialects_of(settings, compiler_of(settings))
    legacy = [
        read
        for dialect in dialects
        for route in dialect.routes
        for read in route.operation.reads.values()
    ]
    tree = """espace { name } problems { code }
        actions { sourceName source { id } subprocess { id } }
        profiles { name } subprocesses { name } usedBy { name }
        executions { nodes { sequence inDoubt inDoubtSteps { id } root { id } replayOf { id }
            steps { result subprocess { id } subexecution { id } } } }"""
    queries = [
        f"{{ processes {{ nodes {{ {tree} }} totalCount }} }}",
        f"{{ process(databaseId: 1) {{ {tree} }} }}",
        f'{{ node(id: "UHJvY2Vzczox") {{ ... on Process {{ {tree} }} }} }}',
        "{ executions(where: {process: {espace: {name: {eq: null}}}}) { nodes { id } } }",
        "{ executions(where: {inDoubt: true, dryRun: false}) { nodes { deadline } } }",
        "{ execution(databaseId: 1) { steps { result attempts { error } } inDoubt sequence } }",
        "{ sources { nodes { processes { nodes { id } } } } }",
    ]
    return legacy + [compiled(query, scope) for query in queries for scope in SCOPES]


_READ = re.compile(r"\b(?:FROM|JOIN) ([a-z_]+)\b")


def test_no_table_of_a_statement_is_missing_from_its_dependencies() -> None:
    for read in all_reads():
        depends = read.statement.depends
        parts = depends.by_type.values() if isinstance(depends, OfNode) else [depends]
        found = {domain for part in parts for domain in _domains(part)}
        named = set(_READ.findall(read.statement.sql)) & DOMAINS.keys()
        if "nested_result(" in read.statement.sql:
            named |= {"execution", "execution_step"}
        assert {DOMAINS[name] for name in named} <= found


async def test_the_tables_that_functions_read_are_known(database: Database) -> None:
    """A function in a statement hides its tables. All functions of the migrations are looked at."""
    functions = await database.fetch(
        "SELECT proname, prosrc FROM pg_proc WHERE pronamespace = current_schema()::regnamespace"
        " AND prorettype <> 'trigger'::regtype"
    )
    reading = {
        row["proname"]: set(_READ.findall(row["prosrc"])) & DOMAINS.keys() for row in functions
    }
    assert {name: tables for name, tables in reading.items() if tables} == {
        name: set(tables) for name, tables in FUNCTIONS.items()
    }


def _domains(rows: OfRows) -> set[Domain]:
    return {*rows.domains, *([] if rows.row is None else [rows.row[0]])}


@pytest.mark.parametrize(
    "query",
    [
        f"{{ {ONE} {{ name espace {{ name }} }} }}",
        "{ process(databaseId: -5) { name } }",
        '{ process(reference: "leave") { name } }',
        '{ process(reference: "nothing") { name } }',
        "{ execution(databaseId: 1) { status } }",
        "{ execution(databaseId: 3) { sequence steps { result } } }",
        "{ execution(databaseId: 99) { sequence steps { result } } }",
        f"{{ {NODE % global_id('Process', 2)} {{ id }} }}",
        f"{{ {NODE % global_id('Execution', 2)} {{ id }} }}",
        f"{{ {NODE % global_id('ExecutionStep', 2**40)} {{ id }} }}",
        f"{{ {NODE % global_id('Nothing', 2)} {{ id }} }}",
        "{ processes { nodes { name profiles { name } } } }",
        "{ viewer { seesAll } }",
    ],
)
@pytest.mark.parametrize("scope", SCOPES)
async def test_the_statement_and_the_small_one_read_the_same_version(
    database: Database, query: str, scope: Scope
) -> None:
    await insert(database, ROWS)
    read = compiled(query, scope)
    arguments = read.arguments(RunValues({}, 1))
    dependencies = read.statement.dependencies(arguments)
    versions = []
    # The tokens of a shard are in the log, then in the table of compacted ones, then in both.
    compact, change_all = "SELECT compact_changes(0)", "SELECT log_unknown_changes()"
    for before in (change_all, compact, change_all, compact):
        await database.fetch(before)
        (row,) = await database.fetch(read.statement.versioned_sql, *arguments)
        answer, version = row.values()
        assert answer == await database.fetch_json(read.statement.sql, arguments)
        assert version == version_of(dependencies, await read_versions(database, dependencies))
        for known, expected in ((version, None), (version ^ 1, answer)):
            (row,) = await database.fetch(read.statement.changed_sql, *arguments, known)
            assert tuple(row.values()) == (expected, version)
        versions.append(version)
    changed, compacted, changed_again, compacted_again = versions
    assert compacted == changed
    assert compacted_again == changed_again
    # The version of nothing is 0, as is that of a row that does not exist.
    assert changed_again != changed or changed == 0


def only(row: Row) -> object:
    (value,) = row.values()
    return value


async def test_a_list_has_its_version_even_if_it_is_empty(database: Database) -> None:
    settings = settings_for_tests()
    (dialect, _) = dialects_of(settings, compiler_of(settings))
    (read,) = {
        route.operation.reads[ADMIN]
        for route in dialect.routes
        if str(route.route) == "GET /process"
    }
    for rows in (None, ROWS):
        if rows is not None:
            await insert(database, rows)
        found = [tuple(row.values()) for row in await database.fetch(read.statement.versioned_sql)]
        dependencies = read.statement.dependencies([])
        versions = await read_versions(database, dependencies)
        values = [*map(only, await database.fetch(read.statement.sql))]
        assert found == [(value, version_of(dependencies, versions)) for value in values or [None]]
        (row,) = await database.fetch(read.statement.version_sql)
        assert only(row) == found[0][1]
