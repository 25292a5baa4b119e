"""Run schemathesis against the three APIs: random requests that fit their schemas, or do not.

Each API is tested for a few seconds, and for a minute in ``make chaos``.
"""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

import pytest

from storage.database.database import Database
from storage.demo.home import load_home
from tests.conftest import StartGateway

_ROOT = Path(__file__).parents[2]
_CONFIGURATION = Path(__file__).with_name("schemathesis.toml")
_SECONDS = 60 if os.environ.get("CHAOS") else 3
_SEED = 20_261_127

SCHEMAS = {
    "graphql": "/graphql",
    "process": "/openapi/process.json",
    "processes": "/openapi/processes.json",
}
"""The path of the schema of each API."""


@pytest.mark.timeout(_SECONDS + 120)
@pytest.mark.parametrize("api", SCHEMAS)
async def test_random_requests_are_answered_as_documented(
    start_gateway: StartGateway, database: Database, api: str, tmp_path: Path
) -> None:
    assert await load_home(database)
    async with start_gateway() as gateway:
        tester = await asyncio.create_subprocess_exec(
            *(Path(sys.executable).with_name("st"), "--config-file", _CONFIGURATION, "--no-color"),
            *("run", f"{gateway.url}{SCHEMAS[api]}"),
            *("-H", f"Authorization: {await gateway.token()}"),
            *("--max-time", str(_SECONDS), "--seed", str(_SEED)),
            cwd=tmp_path,
            env=os.environ | {"PYTHONPATH": str(_ROOT)},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        output, _ = await tester.communicate()
    assert tester.returncode == 0, output.decode()
