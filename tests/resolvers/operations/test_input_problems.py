"""Values that do not fit their GraphQL types: every problem, with its path in the arguments."""

from __future__ import annotations

from typing import Any

import pytest

from resolvers.errors.catalogue import FieldProblem
from tests.conftest import Graph, body_of

Path = tuple[str | int, ...]

CREATE = "mutation($process: NewProcess!) { createProcess(process: $process) { process { id } } }"


async def errors_of(
    graph: Graph, query: str, variables: dict[str, Any] | None = None
) -> list[dict[str, Any]]:
    """The errors of an operation that is not executed."""
    response = await graph.ask(query, variables or {}, profile="admin")
    assert "data" not in response
    errors: list[dict[str, Any]] = response["errors"]
    assert all(error["extensions"]["code"] == "BAD_USER_INPUT" for error in errors)
    return errors


async def problems_of(
    graph: Graph, query: str, variables: dict[str, Any]
) -> list[tuple[Path, str]]:
    """The problems of the one error for variables that do not fit."""
    (error,) = await errors_of(graph, query, variables)
    problems = error["extensions"]["problems"]
    assert error["message"] == "; ".join(
        str(FieldProblem(tuple(problem["path"]), problem["message"])) for problem in problems
    )
    return [(tuple(problem["path"]), problem["message"]) for problem in problems]


NEW = {"reference": "new", "name": "New"}


@pytest.mark.parametrize(
    ("process", "path", "message"),
    [
        (None, (), "is required"),
        (5, (), "expected an object, got 5"),
        ([], (), "expected an object, got a list"),
        ({"reference": "new"}, ("name",), "is required"),
        ({**NEW, "name": None}, ("name",), "is required"),
        ({**NEW, "name": 5}, ("name",), "expected text, got 5"),
        ({**NEW, "nameOn": "x"}, ("nameOn",), "is not a known field"),
        ({**NEW, "mode": "FOO"}, ("mode",), 'expected one of SIMPLE, SWITCH, got "FOO"'),
        ({**NEW, "mode": "simple"}, ("mode",), 'expected one of SIMPLE, SWITCH, got "simple"'),
        ({**NEW, "actions": 1}, ("actions",), "expected an object, got 1"),
        ({**NEW, "actions": [None]}, ("actions", 0), "must not be null"),
        (
            {**NEW, "actions": [{"action": "a", "runsWhen": "ON"}]},
            ("actions", 0, "runsWhen"),
            'expected one of ENABLED, DISABLED, got "ON"',
        ),
        (
            {**NEW, "actions": [{}, {"arguments": [{"reference": "a"}]}]},
            ("actions", 1, "arguments", 0, "value"),
            "is required",
        ),
        (
            {**NEW, "espace": {}},
            ("espace",),
            "expected exactly one of id, databaseId, reference, name",
        ),
        (
            {**NEW, "espace": {"name": "a", "reference": "b"}},
            ("espace",),
            "expected exactly one of id, databaseId, reference, name",
        ),
        ({**NEW, "espace": {"name": None}}, ("espace", "name"), "must not be null"),
        (
            {**NEW, "espace": {"databaseId": "x"}},
            ("espace", "databaseId"),
            'expected an integer, got "x"',
        ),
        (
            {**NEW, "espace": {"databaseId": 2**31}},
            ("espace", "databaseId"),
            "expected an integer from -2147483648 to 2147483647, got 2147483648",
        ),
        ({**NEW, "espace": {"id": 1.5}}, ("espace", "id"), "expected an id, got 1.5"),
    ],
)
async def test_an_invalid_variable_is_located(
    home: Graph, process: Any, path: Path, message: str
) -> None:
    problems = await problems_of(home, CREATE, {"process": process})
    assert problems == [(("process", *path), message)]


async def test_a_missing_variable_is_required(home: Graph) -> None:
    assert await problems_of(home, CREATE, {}) == [(("process",), "is required")]


async def test_all_problems_of_all_variables_are_reported(home: Graph) -> None:
    query = (
        "mutation($process: NewProcess!, $id: ID!, $changes: ProcessChanges!) {"
        " createProcess(process: $process) { process { id } }"
        " updateProcess(id: $id, changes: $changes) { process { id } } }"
    )
    variables = {"process": {"mode": "FOO"}, "id": None, "changes": {"state": "ON", "x": 1}}
    (error,) = await errors_of(home, query, variables)
    messages = [
        "process.reference: is required",
        "process.name: is required",
        'process.mode: expected one of SIMPLE, SWITCH, got "FOO"',
        "id: is required",
        "changes.x: is not a known field",
        'changes.state: expected one of ENABLED, DISABLED, got "ON"',
    ]
    assert error["message"] == "; ".join(messages)
    assert len(error["extensions"]["problems"]) == 6
    assert [location["column"] for location in error["locations"]] == [10, 33, 43]


async def test_at_most_20_problems_are_listed(home: Graph) -> None:
    actions = [{"runsWhen": "ON"}] * 1000
    problems = await problems_of(home, CREATE, {"process": {**NEW, "actions": actions}})
    assert len(problems) == 21
    assert problems[19][0] == ("process", "actions", 19, "runsWhen")
    assert problems[20] == ((), "and 980 more")


@pytest.mark.parametrize(
    ("query", "path"),
    [
        (
            'mutation($v: Int!) { createProcess(process: {reference: "a", name: "b",'
            ' profiles: [{name: "c"}, {databaseId: $v}]}) { process { id } } }',
            ("process", "profiles", 1, "databaseId"),
        ),
        # The first use in the document counts, fragments spread out.
        (
            "query($v: Int) { ...F b: espaces(last: $v) { totalCount } }"
            " fragment F on Query { a: espaces(first: $v) { totalCount } }",
            ("a", "first"),
        ),
        (
            "query($v: Int!) { processes(where: {or: [{}, {databaseId: {gt: $v}}]}) {"
            " totalCount } }",
            ("processes", "where", "or", 1, "databaseId", "gt"),
        ),
        (
            "query($v: Boolean!) { viewer { seesAll @skip(if: $v) } }",
            ("viewer", "seesAll", "@skip", "if"),
        ),
    ],
)
async def test_the_path_is_the_first_use_of_a_variable(home: Graph, query: str, path: Path) -> None:
    ((located, _),) = await problems_of(home, query, {"v": "text"})
    assert located == path


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        (
            'mutation { createProcess(process: {reference: 5, mode: FOO, nam: "x", espace: {},'
            ' actions: [{runsWhen: "ON"}]}) { process { id } } }',
            [
                (("process", "reference"), "expected text, got 5"),
                (("process", "name"), "is required"),
                (("process", "mode"), "expected one of SIMPLE, SWITCH, got FOO"),
                (("process", "nam"), "is not a known field"),
                (
                    ("process", "espace"),
                    "expected exactly one of id, databaseId, reference, name",
                ),
                (
                    ("process", "actions", 0, "runsWhen"),
                    'expected one of ENABLED, DISABLED, got "ON"',
                ),
            ],
        ),
        (
            "{ a: processes { nodes { ...F } } } fragment F on Process { id ...G }"
            " fragment G on Process { espace { processes(first: 1.5) { totalCount } } }",
            [(("a", "nodes", "espace", "processes", "first"), "expected an integer, got 1.5")],
        ),
        (
            'query($n: Int = "x") { processes(first: $n) { totalCount } }',
            [(("n",), 'expected an integer, got "x"')],
        ),
    ],
)
async def test_an_invalid_literal_is_located(
    home: Graph, query: str, expected: list[tuple[Path, str]]
) -> None:
    errors = await errors_of(home, query)
    assert all(error["locations"] for error in errors)
    problems = [problem for error in errors for problem in error["extensions"]["problems"]]
    actual = [(tuple(problem["path"]), problem["message"]) for problem in problems]
    assert sorted(actual, key=str) == sorted(expected, key=str)


async def test_half_a_million_invalid_values_are_rejected_quickly(home: Graph) -> None:
    variables = {"process": {**NEW, "actions": [1] * 500_000}}
    answer = await home.answer(CREATE, variables)
    assert b"and 9,980 more" in body_of(answer)


async def test_an_object_of_60_000_unknown_members_is_rejected_quickly(home: Graph) -> None:
    members = {f"x{n}": "text" for n in range(60_000)}
    answer = await home.answer(CREATE, {"process": {**NEW, **members}})
    assert b"process.x0: is not a known field" in body_of(answer)
    assert b"and 9,980 more" in body_of(answer)


async def test_variables_that_are_nested_too_deeply_are_rejected(home: Graph) -> None:
    where: dict[str, Any] = {}
    for _ in range(400):
        where = {"not": where}
    query = "query($where: ProcessWhere) { processes(where: $where) { totalCount } }"
    (error,) = await errors_of(home, query, {"where": where})
    assert error["message"] == "the variables are nested too deeply"


@pytest.mark.parametrize(
    "query",
    [
        'query($v: ID = "x") { node(id: $v) { id } }',
        "query($v: Boolean = true) { viewer { seesAll @skip(if: $v) } }",
        "query($v: Boolean = true) { viewer @include(if: $v) { seesAll } }",
        'query($v: String = "Process") { __type(name: $v) { name } }',
        "query($v: Boolean = true) { __schema { types { name @include(if: $v) } } }",
        'mutation($v: Boolean = true) { createProfile(profile: {name: "new"}) {'
        " profile { name @skip(if: $v) } } }",
    ],
)
async def test_a_null_variable_where_null_is_not_accepted_is_rejected(
    home: Graph, query: str
) -> None:
    response = await home.ask(query, {"v": None}, profile="admin")
    (error,) = response["errors"]
    assert error["extensions"]["code"] == "BAD_USER_INPUT"
    assert "$v" in error["message"]
    assert not await home.database.fetch_json(
        "SELECT convert_to(id::text, 'UTF8') FROM profile WHERE name = 'new'", []
    )


async def test_a_problem_in_the_selection_of_a_payload_is_located(home: Graph) -> None:
    query = (
        'mutation { createProcess(process: {reference: "new", name: "New"}) {'
        " made: process { espace { processes(first: 1000) { totalCount } } } } }"
    )
    response = await home.ask(query, {}, profile="admin")
    (error,) = response["errors"]
    (problem,) = error["extensions"]["problems"]
    assert problem["path"] == ["made", "espace", "processes", "first"]


@pytest.mark.parametrize("argument", ["where: {or: $parts}", "orderBy: $parts"])
async def test_the_parts_of_filters_and_orders_are_limited(home: Graph, argument: str) -> None:
    type_, part = (
        ("ProcessWhere", {})
        if "where" in argument
        else ("ProcessOrder", {"field": "NAME", "direction": "ASC"})
    )
    query = f"query($parts: [{type_}!]) {{ processes({argument}) {{ totalCount }} }}"
    response = await home.ask(query, {"parts": [part] * 10_000}, profile="admin")
    (error,) = response["errors"]
    assert "more than 5,000 fields and parts of filters" in error["message"]
