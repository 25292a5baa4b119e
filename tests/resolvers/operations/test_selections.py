"""Test forms of a selection: aliases, fragments, directives, and long or many keys."""

from __future__ import annotations

import pytest

from gateway.services import open_services
from tests.conftest import Graph, body_of, settings_for_tests


async def test_fields_can_have_aliases(home: Graph) -> None:
    data = await home.data(
        """{ a: process(databaseId: 1) { x: name y: name name: reference }
             b: process(databaseId: 1) { list: actions { a: action } one: espace { n: name } }
             c: processes(first: 1) { all: totalCount page: pageInfo { more: hasNextPage }
                 e: edges { n: node { r: reference } } } }"""
    )
    assert data == {
        "a": {"x": "Leave home", "y": "Leave home", "name": "leave"},
        "b": {
            "list": [{"a": "lights-off"}, {"a": "lock"}, {"a": "lights-off"}, {"a": "arm"}],
            "one": {"n": "Light"},
        },
        "c": {"all": 12, "page": {"more": True}, "e": [{"n": {"r": "leave"}}]},
    }


async def test_selections_of_the_same_key_are_merged(home: Graph) -> None:
    answer = await home.answer(
        """query ($yes: Boolean!) {
            process(databaseId: 1) { name espace { name } ...A }
            ...R
            process(databaseId: 1) { espace { icon } actions { action } }
        }
        fragment R on Query { process(databaseId: 1) { espace { reference } ...A reference } }
        fragment A on Process {
            actions @include(if: $yes) { position }
            ... { mode }
            ... on Process { espace { databaseId } }
            ... on Node { id }
        }""",
        {"yes": True},
    )
    # Keys are in the order of their first occurrence.
    assert body_of(answer) == (
        b'{"data":{"process":{"name":"Leave home",'
        b'"espace":{"name":"Light","databaseId":1,"reference":"light","icon":"lamp"},'
        b'"actions":[{"position":1,"action":"lights-off"},{"position":2,"action":"lock"},'
        b'{"position":3,"action":"lights-off"},{"position":4,"action":"arm"}],'
        b'"mode":"SIMPLE","id":"UHJvY2Vzczox","reference":"leave"}}}'
    )


@pytest.mark.parametrize("skip", [True, False])
@pytest.mark.parametrize("include", [True, False])
async def test_skip_and_include_are_applied(home: Graph, skip: bool, include: bool) -> None:
    data = await home.data(
        """query ($skip: Boolean!, $include: Boolean = true) {
            process(databaseId: 1) @skip(if: $skip) { name @include(if: $include) id: databaseId }
            espace(databaseId: 1) {
                both: name @skip(if: $skip) @include(if: $include)
                ...F @include(if: $include)
                ... @skip(if: $skip) { icon }
                never: name @skip(if: true)
                always: reference @include(if: true)
            }
        }
        fragment F on Espace { name }""",
        {"skip": skip, "include": include},
    )
    process = {**({"name": "Leave home"} if include else {}), "id": 1}
    espace = {
        **({"both": "Light"} if include and not skip else {}),
        **({"name": "Light"} if include else {}),
        **({} if skip else {"icon": "lamp"}),
        "always": "light",
    }
    assert data == {**({} if skip else {"process": process}), "espace": espace}


async def test_completely_skipped_selections_are_empty(home: Graph) -> None:
    data = await home.data(
        """query ($no: Boolean!) {
            process(databaseId: 1) { name @include(if: $no) actions { id @include(if: $no) }
                espace { name @include(if: $no) } }
            processes(first: 2) { nodes { id @include(if: $no) } edges { cursor @include(if: $no) }
                pageInfo { hasNextPage @include(if: $no) } }
            espaces { totalCount @include(if: $no) }
            viewer @include(if: $no) { seesAll }
        }""",
        {"no": False},
    )
    assert data == {
        "process": {"actions": [{}, {}, {}, {}], "espace": {}},
        "processes": {"nodes": [{}, {}], "edges": [{}, {}], "pageInfo": {}},
        "espaces": {},
    }
    assert (
        await home.data(
            "query ($no: Boolean!) { viewer @include(if: $no) { seesAll } }", {"no": False}
        )
        == {}
    )


async def test_every_object_has_a_typename(home: Graph) -> None:
    data = await home.data(
        """{ __typename t: __typename
            viewer { __typename profile { __typename } }
            processes(first: 1) { __typename edges { __typename node { __typename } }
                pageInfo { __typename } nodes { __typename executions { __typename } } }
            executions(last: 1) { nodes { steps { __typename arguments { __typename } }
                inputs { __typename } } }
        }"""
    )
    assert data == {
        "__typename": "Query",
        "t": "Query",
        "viewer": {"__typename": "Viewer", "profile": {"__typename": "Profile"}},
        "processes": {
            "__typename": "ProcessConnection",
            "edges": [{"__typename": "ProcessEdge", "node": {"__typename": "Process"}}],
            "pageInfo": {"__typename": "PageInfo"},
            "nodes": [
                {"__typename": "Process", "executions": {"__typename": "ExecutionConnection"}}
            ],
        },
        "executions": {
            "nodes": [
                {
                    "steps": [
                        {
                            "__typename": "ExecutionStep",
                            "arguments": [{"__typename": "Argument"}],
                        }
                    ]
                    * 3,
                    "inputs": [{"__typename": "Argument"}],
                }
            ]
        },
    }


@pytest.mark.parametrize("length", [63, 64, 200])
async def test_keys_may_be_longer_than_postgresql_names(home: Graph, length: int) -> None:
    # The keys share their first 63 characters, where PostgreSQL truncates names.
    a, b = "k" * (length - 1) + "a", "k" * (length - 1) + "b"
    data = await home.data(
        f"""{{ {a}: process(databaseId: 1) {{ {a}: name {b}: reference }}
            {b}: processes(first: 1) {{ {a}: nodes {{ {a}: id {b}: espace {{ {a}: name }} }}
                {b}: totalCount {a}{a}: edges {{ {a}: cursor }} x: pageInfo {{ {a}: hasNextPage }}
            }} }}"""
    )
    assert data[a] == {a: "Leave home", b: "leave"}
    assert data[b][a] == [{a: "UHJvY2Vzczox", b: {a: "Light"}}]
    assert data[b][b] == 12
    assert data[b]["x"] == {a: True}


async def test_thousands_of_fields_can_be_selected(home: Graph) -> None:
    fields = " ".join(f"f{n}: name g{n}: databaseId" for n in range(1000))
    async with open_services(
        settings_for_tests(max_query_tokens=100_000, max_query_aliases=5000), home.database
    ) as services:
        graph = Graph(services)
        data = await graph.data(
            "{ process(databaseId: 1) { %s actions { a: action } } processes { nodes { %s } } }"
            % (fields, fields)
        )
    expected = {"f0": "Leave home", "g999": 1}
    for process in (data["process"], data["processes"]["nodes"][0]):
        assert {key: process[key] for key in expected} == expected
        assert len(process) >= 2000
