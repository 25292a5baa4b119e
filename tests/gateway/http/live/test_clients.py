"""Test that the clients in use subscribe: those from npm, and ``gql`` from PyPI."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Gateway
from tests.gateway.http.test_graphql_clients import run_script
from tests.rest_compat.openapi_tools import TOOLS, require_tools, run_tool

_GQL = Path(__file__).parents[1] / "clients" / "subscribe_gql.py"
EXPECTED = {
    "answers": [{"processes": {"totalCount": 0}}, {"processes": {"totalCount": 1}}],
    "mutated": {"createProcess": {"process": {"reference": "lamp"}}},
}


@pytest.fixture(autouse=True)
def _tools() -> None:
    require_tools()


def without_type_names(value: Any) -> Any:
    """Return an answer without ``__typename``, which Apollo and urql add to every selection."""
    match value:
        case dict():
            return {k: without_type_names(v) for k, v in value.items() if k != "__typename"}
        case list():
            return [without_type_names(item) for item in value]
    return value


@pytest.mark.parametrize(
    "client",
    [
        "graphql-ws",
        "graphql-sse",
        "apollo over graphql-ws",
        "urql over graphql-ws",
        "urql over events",
    ],
)
async def test_clients_from_npm_subscribe_and_mutate(gateway: Gateway, client: str) -> None:
    url, token = f"{gateway.url}/graphql", await gateway.token()
    assert without_type_names(await run_script("subscribe", client, url, token)) == EXPECTED


async def test_gql_subscribes_and_mutates(gateway: Gateway) -> None:
    url, token = f"{gateway.url}/graphql", await gateway.token()
    printed = await run_tool("python", "-W", "error", _GQL, url, token, cwd=TOOLS)
    assert json.loads(printed) == EXPECTED
