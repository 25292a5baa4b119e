"""Test filters: each operator, combinations, relations, and exact string matching."""

from __future__ import annotations

from typing import Any

import pytest

from resolvers.operations.parameters import convert
from storage.reads.plan import PrefixEnd
from tests.conftest import Graph
from tests.resolvers.operations.home import ASTRAL, WIDE


async def ids(graph: Graph, where: str, *, root: str = "processes", profile: str = "admin") -> Any:
    """Return the ids of the rows that match a filter, which is written in GraphQL."""
    query = (
        "{ rows: %s(where: %s, orderBy: {field: DATABASE_ID}) { nodes { databaseId } totalCount } }"
    )
    page = (await graph.data(query % (root, where), profile=profile))["rows"]
    assert page["totalCount"] == len(page["nodes"])
    return [node["databaseId"] for node in page["nodes"]]


EVERY = list(range(1, 13))
EXECUTIONS = list(range(1, 8))


@pytest.mark.parametrize(
    ("where", "expected"),
    [
        # No conditions.
        ("null", EVERY),
        ("{}", EVERY),
        ("{and: null, or: null, not: null, name: null, espace: null}", EVERY),
        ("{name: {}}", EVERY),
        ("{name: {eq: null, in: null, contains: null, startsWith: null}}", EVERY),
        ("{mode: {eq: null}, state: null}", EVERY),
        # Strings, matched exactly.
        ('{name: {eq: "Same"}}', [4, 5, 6]),
        ('{name: {eq: "same"}}', []),
        ('{name: {eq: "Same "}}', []),
        ('{name: {eq: ""}}', []),
        ('{name: {in: ["Same", "Lock_up", "nothing"]}}', [3, 4, 5, 6]),
        ("{name: {in: []}}", []),
        ('{name: {in: "Same"}}', [4, 5, 6]),
        ('{name: {contains: "ff"}}', [2, 10, 11]),
        ('{name: {contains: ""}}', EVERY),
        ('{name: {contains: "%"}}', [9]),
        ('{name: {contains: "_"}}', [3]),
        ('{name: {contains: "L%"}}', []),
        ('{description: {contains: "\\\\"}}', [9, 12]),
        ('{description: {contains: "\\n"}}', [12]),
        ('{description: {contains: "\\u0001"}}', [12]),
        ('{description: {contains: "\'"}}', []),
        ('{name: {startsWith: ""}}', EVERY),
        ('{name: {startsWith: "L"}}', [1, 2, 3]),
        ('{name: {startsWith: "L_"}}', []),
        ('{name: {startsWith: "50%"}}', [9]),
        ('{name: {startsWith: "Same"}}', [4, 5, 6]),
        ('{name: {startsWith: "Same!"}}', []),
        ('{reference: {startsWith: "zoo"}}', [5, 6]),
        ('{description: {startsWith: "100% "}}', [2, 9]),
        # Unicode: compared by code point, without normalization.
        ('{name: {eq: "Öffnen"}}', [10]),
        ('{name: {startsWith: "O\u0308"}}', [11]),
        (f'{{name: {{eq: "{ASTRAL}"}}}}', [7]),
        ('{name: {startsWith: "\U0001f3e0"}}', [7]),
        ('{name: {contains: "\U0001f3e0"}}', [7]),
        (f'{{name: {{eq: "{WIDE}"}}}}', [8]),
        ('{name: {startsWith: "\U0010ffff"}}', []),
        # All conditions must match.
        ('{name: {startsWith: "S", contains: "am", in: ["Same"]}, reference: {eq: "zoo"}}', [5]),
        ('{name: {eq: "Same"}, databaseId: {gt: 4, lt: 6}}', [5]),
        # Numbers.
        ("{databaseId: {eq: 3}}", [3]),
        ("{databaseId: {in: [3, 1, 99]}}", [1, 3]),
        ("{databaseId: {lt: 3}}", [1, 2]),
        ("{databaseId: {lte: 3}}", [1, 2, 3]),
        ("{databaseId: {gt: 11}}", [12]),
        ("{databaseId: {gte: 11}}", [11, 12]),
        ("{databaseId: {gt: -2147483648, lt: 2147483647}}", EVERY),
        # Enums.
        ("{mode: {eq: SWITCH}}", [3, 5, 6]),
        ("{mode: {in: [SIMPLE, SWITCH]}}", EVERY),
        ("{mode: {in: []}}", []),
        ("{state: {eq: ENABLED}}", [3]),
        ("{state: {in: [DISABLED]}, mode: {eq: SWITCH}}", [5, 6]),
        # And, or, not.
        ("{and: []}", EVERY),
        ("{or: []}", []),
        ("{not: {}}", []),
        ("{not: {or: []}}", EVERY),
        ("{and: [{}]}", EVERY),
        ("{or: [{}]}", EVERY),
        ("{and: [{databaseId: {gt: 2}}, {databaseId: {lt: 5}}]}", [3, 4]),
        ('{or: [{databaseId: {eq: 2}}, {name: {eq: "Same"}}], databaseId: {lt: 6}}', [2, 4, 5]),
        ("{or: [{databaseId: {eq: 2}}, {databaseId: {eq: 5}, mode: {eq: SIMPLE}}]}", [2]),
        ("{not: {databaseId: {lte: 9}}}", [10, 11, 12]),
        ("{not: {not: {databaseId: {eq: 1}}}}", [1]),
        ("{not: {and: [{databaseId: {gt: 2}}, {or: [{mode: {eq: SIMPLE}}]}]}}", [1, 2, 3, 5, 6]),
        # To-one relations: a process without an espace matches no espace filter.
        ('{espace: {reference: {eq: "security"}}}', [3, 6, 9]),
        ("{espace: {}}", [1, 2, 3, 4, 6, 8, 9, 10, 11]),
        ("{not: {espace: {}}}", [5, 7, 12]),
        ('{espace: {not: {name: {eq: "Light"}}}}', [3, 6, 9]),
        ('{not: {espace: {name: {eq: "Light"}}}}', [3, 5, 6, 7, 9, 12]),
        # To-many relations: at least one row must match.
        ("{actions: {}}", [1, 2, 3, 4, 5]),
        ('{actions: {sourceName: {eq: "lamps"}}}', [2, 5]),
        ('{actions: {sourceName: {in: ["siren", "echo"]}}}', [1, 4]),
        ('{actions: {sourceName: {startsWith: "l", contains: "amp"}}}', [2, 5]),
        ('{actions: {not: {sourceName: {eq: "process"}}}}', [1, 2, 4, 5]),
        ('{not: {actions: {sourceName: {eq: "process"}}}}', [4, 6, 7, 8, 9, 10, 11, 12]),
        ('{actions: {action: {eq: "on"}, runsWhen: {eq: DISABLED}}}', [5]),
        ('{actions: {action: {eq: "on"}, runsWhen: {eq: ENABLED}}}', []),
        ("{actions: {runsWhen: {in: [DISABLED]}}}", [1, 5]),
        ('{inputs: {reference: {eq: "a"}}}', [1, 4]),
        ('{inputs: {type: {eq: "Farbe"}}}', [1]),
        ('{inputs: {name: {in: ["A"]}, askedWhen: {eq: DISABLED}}}', [4]),
        ('{profiles: {name: {eq: "occupant"}}}', [1]),
        ("{profiles: {databaseId: {gte: 1}}}", [1, 2, 5, 9, 10]),
        ('{subprocesses: {reference: {eq: "Zoo"}}}', [2, 3]),
        ('{usedBy: {reference: {eq: "leave"}}}', [2, 3]),
        ("{usedBy: {}}", [1, 2, 3, 4]),
        # Relations of relations.
        ('{usedBy: {usedBy: {reference: {eq: "zoo"}}}}', [2, 3]),
        ('{subprocesses: {subprocesses: {subprocesses: {name: {eq: "Same"}}}}}', [5]),
        ('{espace: {processes: {actions: {sourceName: {eq: "siren"}}}}}', [1, 2, 4, 8, 10, 11]),
        ('{profiles: {processes: {reference: {eq: "percent"}}}}', [1, 2, 5, 9, 10]),
    ],
)
async def test_processes_are_filtered(home: Graph, where: str, expected: list[int]) -> None:
    assert await ids(home, where) == expected


@pytest.mark.parametrize(
    ("root", "where", "expected"),
    [
        ("espaces", '{name: {eq: "Light"}}', [1, 4]),
        ("espaces", '{description: {contains: "ck"}}', [2]),
        ("espaces", "{processes: {mode: {eq: SWITCH}}}", [2]),
        ("espaces", "{not: {processes: {}}}", [3, 4]),
        ("profiles", '{name: {startsWith: "c"}}', [4, 5]),
        ("profiles", '{processes: {reference: {eq: "leave"}}}', [2, 4, 5]),
        ("sources", '{kind: {in: ["http", "mqtt"]}}', [3, 4]),
        ("sources", '{processes: {reference: {eq: "zoo"}}}', [1, 3]),
        ("sources", '{not: {name: {contains: "a"}}}', [1, 2, 4]),
        ("executions", '{processReference: {eq: "lights-off"}}', [2, 4]),
        ("executions", "{status: {eq: FAILED}}", [1, 3]),
        ("executions", "{status: {in: [RUNNING]}}", [6]),
        ("executions", '{askedBy: {startsWith: "occ"}}', [1, 2, 3]),
        ("executions", "{nested: true}", [2, 3]),
        ("executions", "{nested: false}", [1, 4, 5, 6, 7]),
        ("executions", "{nested: null}", [1, 2, 3, 4, 5, 6, 7]),
        ("executions", "{process: {}}", [1, 2, 3, 4]),
        ("executions", '{startedAt: {lt: "2024-02-29T10:00:00.000002Z"}}', EXECUTIONS),
        ("executions", '{startedAt: {lt: "2024-02-29T10:00:00.000001Z"}}', []),
        ("executions", '{startedAt: {lte: "2024-02-29T10:00:00.000001+00:00"}}', EXECUTIONS),
        ("executions", '{startedAt: {eq: "2024-02-29t05:00:00.000001-05:00"}}', EXECUTIONS),
        ("executions", '{startedAt: {gt: "2024-02-29T10:00:00Z", lt: null}}', EXECUTIONS),
        ("executions", '{finishedAt: {gte: "0001-01-01T00:00:00Z"}}', [1, 2, 3, 4, 5, 7]),
        ("executions", '{finishedAt: {lte: "9999-12-31T23:59:59.999999Z"}}', [1, 2, 3, 4, 5, 7]),
        ("executions", '{not: {finishedAt: {gt: "0001-01-01T00:00:00Z"}}}', [6]),
        ("executions", "{finishedAt: {}}", EXECUTIONS),
        ("processes", '{createdAt: {gte: "2024-03-03T00:00:00Z"}}', [2, 5, 8, 11]),
        ("processes", '{createdAt: {gt: "2024-03-03T00:00:00Z"}}', [5, 11]),
        ("processes", '{updatedAt: {lt: "2024-04-01T12:00:00.000001Z"}}', [4, 8, 12]),
        ("executions", "{not: {process: {mode: {eq: SWITCH}}}}", [1, 2, 4, 5, 6, 7]),
    ],
)
async def test_other_types_are_filtered(
    home: Graph, root: str, where: str, expected: list[int]
) -> None:
    assert await ids(home, where, root=root) == expected


async def test_nested_filters_apply_to_their_own_rows(home: Graph) -> None:
    data = await home.data(
        """{ espaces(where: {processes: {name: {eq: "Same"}}}) { nodes {
            reference processes(where: {name: {eq: "Same"}}) { nodes { reference } totalCount }
        } } }"""
    )
    assert data["espaces"]["nodes"] == [
        {"reference": "light", "processes": {"nodes": [{"reference": "Zoo"}], "totalCount": 1}},
        {"reference": "security", "processes": {"nodes": [{"reference": "zoo2"}], "totalCount": 1}},
    ]


@pytest.mark.parametrize(
    ("where", "expected"),
    [
        ({"name": {"eq": "Same"}}, 3),
        ({"name": {"in": ["Same", "Lock_up"]}}, 4),
        ({"name": {"in": []}}, 0),
        ({"name": {"startsWith": "\ud7ff"}}, 0),
        ({"mode": {"eq": "SWITCH"}, "state": {"in": ["ENABLED"]}}, 1),
        ({"databaseId": {"in": [1, 2]}, "name": None}, 2),
        ({"or": [{"databaseId": {"eq": 1}}, {"not": {"espace": {}}}]}, 4),
        (None, 12),
    ],
)
async def test_filters_can_be_variables(home: Graph, where: Any, expected: int) -> None:
    query = "query ($where: ProcessWhere) { processes(where: $where) { totalCount } }"
    assert await home.data(query, {"where": where}) == {"processes": {"totalCount": expected}}


async def test_filters_can_contain_variables(home: Graph) -> None:
    query = """query ($name: String!, $other: String, $names: [String!], $mode: ProcessMode) {
        a: processes(where: {name: {in: [$name, "Lock_up"]}}) { totalCount }
        b: processes(where: {name: {in: $names}, mode: {eq: $mode}}) { totalCount }
        c: processes(where: {or: [{name: {eq: $name}}, {name: {eq: $other}}]}) { totalCount }
    }"""
    everything = {"name": "Same", "names": ["Same"], "mode": "SWITCH", "other": "Lock_up"}
    data = await home.data(query, everything)
    assert [data[key]["totalCount"] for key in "abc"] == [4, 2, 4]
    # An omitted or null variable is the same as an omitted condition.
    data = await home.data(query, {"name": "Same"})
    assert [data[key]["totalCount"] for key in "abc"] == [4, 12, 12]
    data = await home.data(query, {"name": "Same", "names": None, "mode": None, "other": None})
    assert [data[key]["totalCount"] for key in "abc"] == [4, 12, 12]


@pytest.mark.parametrize(
    ("where", "path"),
    [
        ({"name": {"eq": "\0"}}, ["name", "eq"]),
        ({"name": {"contains": "a\0b"}}, ["name", "contains"]),
        ({"name": {"startsWith": "\0"}}, ["name", "startsWith"]),
        ({"name": {"eq": "\ud800"}}, ["name", "eq"]),
        ({"name": {"in": ["a", "\udfff"]}}, ["name", "in", 1]),
        ({"espace": {"name": {"eq": "\0"}}}, ["espace", "name", "eq"]),
        ({"and": [{}, {"name": {"eq": "\0"}}]}, ["and", 1, "name", "eq"]),
        ({"or": [{"not": {"name": {"eq": "\0"}}}]}, ["or", 0, "not", "name", "eq"]),
        ({"actions": {"sourceName": {"eq": "\0"}}}, ["actions", "sourceName", "eq"]),
    ],
)
@pytest.mark.parametrize("selection", ["nodes { id }", "totalCount", "__typename"])
async def test_strings_that_cannot_be_stored_are_bad_input(
    home: Graph, where: Any, path: list[str], selection: str
) -> None:
    query = "query ($where: ProcessWhere) { rows: processes(where: $where) { %s } }" % selection
    error = await home.error(query, {"where": where})
    assert error["extensions"]["code"] == "BAD_USER_INPUT"
    assert [problem["path"] for problem in error["extensions"]["problems"]] == [
        ["rows", "where", *path]
    ]


@pytest.mark.parametrize(
    ("prefix", "upper_bound"),
    [
        ("a", "b"),
        ("ab", "ac"),
        ("a\U0010ffff", "b"),
        ("a\ud7ff", "a\ue000"),
        ("\uffff", "\U00010000"),
        ("\U0010fffe", "\U0010ffff"),
    ],
)
def test_prefixes_have_an_upper_bound(prefix: str, upper_bound: str) -> None:
    assert convert(PrefixEnd(), prefix) == upper_bound


@pytest.mark.parametrize("prefix", ["", "\U0010ffff", "\U0010ffff" * 3])
def test_prefixes_without_an_upper_bound_are_matched(prefix: str) -> None:
    longest = "\U0010ffff" * 4000
    assert str(convert(PrefixEnd(), prefix)) > longest


async def test_prefixes_at_the_edges_of_unicode_are_matched(graph: Graph) -> None:
    names = [
        "a",
        "a\ud7ff",
        "a\ud7ff!",
        "a\ue000",
        "a\U0010ffff",
        "a\U0010ffffb",
        "b",
        "\U0010ffff",
    ]
    await graph.run(
        "INSERT INTO espace (reference, name)"
        " SELECT position, name FROM unnest($1::text[]) WITH ORDINALITY AS t(name, position)",
        names,
    )
    query = "query ($p: String!) { espaces(where: {name: {startsWith: $p}}) { nodes { name } } }"
    for prefix in ["", *names]:
        data = await graph.data(query, {"p": prefix})
        matches = [node["name"] for node in data["espaces"]["nodes"]]
        assert matches == [name for name in names if name.startswith(prefix)], prefix


async def test_filters_respect_visibility(home: Graph) -> None:
    # The cleaner sees 1, 2, 5, 9, and 10, but not 3 and 4, which these run.
    async def matches(where: str, root: str = "processes") -> Any:
        return await ids(home, where, root=root, profile="cleaner")

    assert await matches("{}") == [1, 2, 5, 9, 10]
    assert await matches("{subprocesses: {}}") == [1, 5]
    assert await matches('{subprocesses: {reference: {eq: "lock"}}}') == []
    assert await matches("{not: {subprocesses: {}}}") == [2, 9, 10]
    assert await matches("{usedBy: {}}") == [1, 2]
    assert await matches("{not: {databaseId: {in: [3, 4]}}}") == [1, 2, 5, 9, 10]
    assert await matches('{espace: {processes: {reference: {eq: "Zoo"}}}}') == []
    # An action shows the reference of the process that it runs, so filters may use it.
    assert await matches('{actions: {action: {eq: "Zoo"}}}') == [2]
    assert await matches("{processes: {mode: {eq: SWITCH}}}", "espaces") == []
    assert await matches('{processes: {reference: {eq: "leave"}}}', "profiles") == [2, 4, 5]
    assert await matches('{processes: {reference: {eq: "Zoo"}}}', "profiles") == []
    assert await matches("{process: {}}", "executions") == [1, 2, 4]
    # The clerk has no permission to read processes.
    assert await ids(home, "{processes: {}}", root="espaces", profile="clerk") == []
    assert await ids(home, "{not: {processes: {}}}", root="espaces", profile="clerk") == [
        1,
        2,
        3,
        4,
    ]
