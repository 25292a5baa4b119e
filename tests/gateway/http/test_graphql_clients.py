"""Test GraphQL over HTTP with programs from npm: the audits of graphql-http, and clients."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Gateway
from tests.rest_compat.openapi_tools import TOOLS, require_tools, run_tool

_CLIENTS = Path(__file__).parent / "clients"


@pytest.fixture(autouse=True)
def _tools() -> None:
    require_tools()


async def run_script(name: str, *arguments: str) -> Any:
    """Run a script of the folder ``clients``, and return the JSON that it prints."""
    script = (_CLIENTS / f"{name}.mjs").read_text()
    return json.loads(
        await run_tool("node", "--input-type=module", "--eval", script, "--", *arguments, cwd=TOOLS)
    )


async def test_all_audits_of_graphql_over_http_pass(empty_gateway: Gateway) -> None:
    results = await run_script("audit", f"{empty_gateway.url}/graphql", await empty_gateway.token())
    assert len(results) == 61
    assert [result for result in results if result["status"] != "ok"] == []


@pytest.mark.parametrize("accept", ["", "application/json", "application/graphql-response+json"])
@pytest.mark.parametrize("client", ["apollo POST", "apollo GET", "urql POST", "urql GET"])
async def test_clients_that_send_hashes_fall_back_to_queries(
    empty_gateway: Gateway, client: str, accept: str
) -> None:
    url, token = f"{empty_gateway.url}/graphql", await empty_gateway.token()
    result = await run_script("persisted", client, url, token, accept)
    for answer in result["answers"]:
        assert answer["error"] is None
        assert answer["data"]["processes"]["totalCount"] == 0
    first, *others = result["requests"]
    # The first request has a hash alone. The client notices that it is not supported, and sends
    # only queries from then on.
    assert (first["query"], first["hash"]) == (False, True)
    assert first["method"] == client.split()[1]
    assert [(other["query"], other["hash"]) for other in others] == [(True, False)] * 2
