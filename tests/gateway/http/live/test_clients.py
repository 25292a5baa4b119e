"""Test that the clients in use subscribe: those from npm, and ``gql`` from PyPI."""

from __future__ import annotations

import asyncio
import json
import os
import re
from pathlib import Path
from typing import Any

import pytest

from storage.demo.home import load_home
from tests.conftest import Gateway
from tests.gateway.http.live.sockets import SECONDS
from tests.gateway.http.test_graphql_clients import run_script
from tests.gateway.programs import require_program
from tests.rest_compat.openapi_tools import TOOLS, require_tools, run_tool

_ROOT = Path(__file__).parents[4]
_GQL = Path(__file__).parents[1] / "clients" / "subscribe_gql.py"
EXPECTED = {
    "answers": [{"processes": {"totalCount": 0}}, {"processes": {"totalCount": 1}}],
    "mutated": {"createProcess": {"process": {"reference": "lamp"}}},
}


@pytest.fixture
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


@pytest.mark.usefixtures("_tools")
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


@pytest.mark.usefixtures("_tools")
async def test_gql_subscribes_and_mutates(gateway: Gateway) -> None:
    url, token = f"{gateway.url}/graphql", await gateway.token()
    printed = await run_tool("python", "-W", "error", _GQL, url, token, cwd=TOOLS)
    assert json.loads(printed) == EXPECTED


async def test_curl_prints_what_the_readme_shows(gateway: Gateway) -> None:
    await load_home(gateway.database)
    section = (_ROOT / "README.md").read_text("utf-8").partition("## Subscriptions")[2]
    command, shown = re.findall(r"^```(?:sh)?\n(.*?)^```", section, re.DOTALL | re.MULTILINE)[:2]
    require_program("curl")
    url = command.replace("http://127.0.0.1:8080", gateway.url)
    curl = await asyncio.create_subprocess_shell(
        f"exec {url}",
        env=os.environ | {"TOKEN": await gateway.token()},
        stdout=asyncio.subprocess.PIPE,
    )
    assert curl.stdout is not None
    async with asyncio.timeout(SECONDS):
        assert await curl.stdout.readuntil(b"\n\n") == shown.encode() + b"\n"
        await gateway.run("UPDATE process SET name = 'Darkness' WHERE id = 3")
        assert b"Darkness" in await curl.stdout.readuntil(b"\n\n")
    curl.terminate()
    await curl.wait()
