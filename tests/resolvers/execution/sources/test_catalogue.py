"""Test what GraphQL shows of source kinds and sources, and the mutation ``testSource``."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from resolvers.execution.secrets import MASK
from resolvers.execution.sources.registry import installed_kinds
from resolvers.execution.stored_sources import prepare_sources
from resolvers.values.ids import global_id
from tests.resolvers.execution.sources.device import LOOPBACK, Device, raw
from tests.resolvers.home import Home

PAGE = Path(__file__).parents[4] / "docs" / "sources.md"

ACTIONS = """actions {
    name description idempotent arguments { reference type required description }
} takesAnyAction takesAnyArgument"""


def lamp(device_url: str, **settings: Any) -> dict[str, Any]:
    return {
        "name": "lamps",
        "kind": "http",
        "settings": {
            "base_url": device_url,
            "headers": {"Authorization": "Bearer {secret}"},
            "secret": "s3cret",
            "allow_networks": LOOPBACK,
            "operations": [
                {
                    "name": "set",
                    "method": "PUT",
                    "path": "/lamps/{lamp}",
                    "arguments": [
                        {"reference": "lamp", "description": 'its "name"'},
                        {"reference": "on", "type": "boolean", "required": False},
                    ],
                },
                {"name": "toggle", "method": "POST", "path": "/", "description": "Toggle é."},
            ],
            **settings,
        },
    }


SET = {
    "name": "set",
    "description": "PUT /lamps/{lamp}",
    "idempotent": True,
    "arguments": [
        {"reference": "lamp", "type": "text", "required": True, "description": 'its "name"'},
        {"reference": "on", "type": "boolean", "required": False, "description": ""},
    ],
}
TOGGLE = {"name": "toggle", "description": "Toggle é.", "idempotent": False, "arguments": []}
ANYTHING = {"actions": [], "takesAnyAction": True, "takesAnyArgument": True}


async def test_the_kinds_are_shown(home: Home) -> None:
    query = "{ all: sourceKinds { is: __typename name settings secretSettings %s } }" % ACTIONS
    kinds = {kind["name"]: kind for kind in (await home.graph.data(query))["all"]}
    assert list(kinds) == ["echo", "http", "lamp", "mqtt", "trouble"]
    assert kinds["echo"] == {
        "is": "SourceKind",
        "name": "echo",
        "settings": installed_kinds()["echo"].settings.model_json_schema(),
        "secretSettings": [],
        **ANYTHING,
    }
    assert kinds["http"]["secretSettings"] == ["secret"]
    assert kinds["mqtt"]["secretSettings"] == ["client_key", "password"]
    properties = kinds["http"]["settings"]["properties"]
    assert properties["base_url"]["description"].startswith("Address of the API")


async def test_sources_show_their_own_actions(home: Home) -> None:
    created = await home.do("createSource", source=lamp("http://lamps.example"))
    query = "{ availableSources { name kind builtIn %s } }" % ACTIONS

    async def shown() -> Any:
        return (await home.graph.data(query))["availableSources"]

    assert await shown() == [
        {"name": "echo", "kind": "echo", "builtIn": True, **ANYTHING},
        {
            "name": "lamps",
            "kind": "http",
            "builtIn": False,
            "actions": [SET, TOGGLE],
            "takesAnyAction": True,
            "takesAnyArgument": False,
        },
        {"name": "process", "kind": "process", "builtIn": True, **ANYTHING},
    ]
    settings = {"base_url": "http://lamps.example", "headers": {"A": "{secret}"}}
    changes = {"name": "a lamp", "settings": settings | {"only_operations": True}}
    await home.do("updateSource", id=created["source"]["id"], changes=changes)
    first = (await shown())[0]
    assert (first["name"], first["actions"], first["takesAnyAction"]) == ("a lamp", [], False)


async def test_whoever_writes_processes_sees_what_sources_offer(home: Home) -> None:
    await home.do("createSource", source=lamp("http://lamps.example"))
    writer = {"name": "writer", "permissions": ["PROCESS_READ", "PROCESS_WRITE"]}
    await home.do("createProfile", profile=writer)
    query = "{ availableSources { name } sourceKinds { name } }"
    data = await home.graph.data(query, profile="writer")
    assert [source["name"] for source in data["availableSources"]] == ["echo", "lamps", "process"]
    assert len(data["sourceKinds"]) == 5
    error = await home.graph.error("{ availableSources { name } }", profile="guest")
    assert error["message"] == (
        "availableSources needs the permission process:write, which the profile guest does not have"
    )


async def test_catalogues_follow_the_installed_kinds(home: Home) -> None:
    await home.do("createSource", source=lamp("http://lamps.example"))
    await home.graph.run("UPDATE source SET catalogue = '{}' WHERE name = 'lamps'")
    opened = home.graph.services.executions.secrets
    await prepare_sources(home.graph.database, installed_kinds(), opened)
    rows = await home.graph.run("SELECT catalogue FROM source WHERE name = 'lamps'")
    assert json.loads(rows[0]["catalogue"])["actions"] == [SET, TOGGLE]


# Trying a source ---------------------------------------------------------------------------------

TEST = """mutation($id: ID!, $action: String!, $arguments: [ArgumentInput!]) {
    testSource(id: $id, action: $action, arguments: $arguments) {
        result error inDoubt milliseconds __typename
    }
}"""


async def trial(home: Home, source: str, action: str, **arguments: str) -> Any:
    given = [{"reference": name, "value": value} for name, value in arguments.items()]
    variables = {"id": source, "action": action, "arguments": given}
    return (await home.graph.data(TEST, variables))["testSource"]


async def test_a_source_is_tried(home: Home, device: Device) -> None:
    created = await home.do("createSource", source=lamp(device.base_url))
    source = created["source"]["id"]
    tried = await trial(home, source, "set", lamp="hall", on="true")
    assert tried.pop("milliseconds") >= 0
    body = {"method": "PUT", "path": "/lamps/hall", "body": '{"on":true}'}
    assert tried == {
        "result": {"status": 200, "body": body},
        "error": None,
        "inDoubt": False,
        "__typename": "TestSourcePayload",
    }
    assert device.last.headers["Authorization"] == "Bearer s3cret"
    tried = await trial(home, source, "GET /s3cret")
    assert tried["result"]["body"]["path"] == f"/{MASK}"
    tried = await trial(home, source, "set")
    assert (tried["result"], tried["error"]) == (None, 'the argument "lamp" is missing')
    device.behave = raw(b"")
    tried = await trial(home, source, "toggle")
    assert tried["error"] == "the connection was lost before the answer was complete"
    assert tried["inDoubt"] is True
    assert await home.graph.run("SELECT FROM execution") == []


async def test_a_source_that_cannot_be_tried(home: Home) -> None:
    query = """mutation($id: ID!) { testSource(id: $id, action: "x") { result error } }"""
    error = await home.graph.error(query, {"id": global_id("Source", 4711)})
    assert error["message"] == "there is no such source"
    error = await home.graph.error(query, {"id": global_id("Source", 1)})
    assert error["message"] == 'this gateway cannot act on sources of the kind "process"'
    error = await home.graph.error(query, {"id": "nothing"})
    assert error["extensions"]["code"] == "BAD_USER_INPUT"
    created = await home.do("createSource", source=lamp("http://lamps.example"))
    await home.graph.run("UPDATE source SET settings = '{}' WHERE name = 'lamps'")
    variables = {"id": created["source"]["id"]}
    data = await home.graph.data(query, variables)
    expected = {"result": None, "error": "the settings of the source do not fit its kind"}
    assert data["testSource"] == expected
    await home.graph.run(
        'UPDATE source SET secrets = \'{"secret": {"sealed": "x"}}\' WHERE name = \'lamps\''
    )
    data = await home.graph.data(query, variables)
    assert data["testSource"]["error"] == (
        "the secret secret was encrypted with a key that is not known here"
    )


async def test_the_documentation_shows_how_to_add_a_source(home: Home) -> None:
    section = PAGE.read_text("utf-8").partition("## Adding a source")[2].partition("\n## ")[0]
    create, use = re.findall(r"```graphql\n(.*?)```", section, re.DOTALL)
    (shown,) = re.findall(r"```json\n(.*?)```", section, re.DOTALL)
    created = await home.graph.data(create)
    assert created["createSource"]["source"]["secretSettings"] == ["secret"]
    assert {"data": await home.graph.data(use)} == json.loads(shown)
