"""Run the linters and client generators that the OpenAPI documents are tested with, and programs
from npm.

``make .venv-openapi/ready`` installs them from the lock files in ``tests/rest_compat/clients``.
"""

from __future__ import annotations

import asyncio
import json
import os
from pathlib import Path
from typing import Any

import pytest

_ROOT = Path(__file__).parents[2]
TOOLS = _ROOT / ".venv-openapi"
"""The environment of the tools."""
_PATH = (TOOLS / "bin", TOOLS / "node_modules" / ".bin")


def require_tools() -> None:
    """Skip the test where the tools are not installed; fail instead in CI."""
    if not (TOOLS / "ready").exists():
        if not os.environ.get("CI"):
            pytest.skip("the OpenAPI tools are not installed: run make .venv-openapi/ready")
        pytest.fail("the OpenAPI tools are not installed")


async def run_tool(*command: object, cwd: Path | None = None) -> str:
    """Run a command of the tools' environment to its end and return its standard output.

    The event loop stays free, so that a gateway of the test can answer meanwhile.
    """
    path = os.pathsep.join([*map(str, _PATH), os.environ["PATH"]])
    process = await asyncio.create_subprocess_exec(
        *map(str, command),
        cwd=cwd,
        env={
            **{name: value for name, value in os.environ.items() if name != "PYTHONPATH"},
            "PATH": path,
            "REDOCLY_TELEMETRY": "off",
            "REDOCLY_SUPPRESS_UPDATE_NOTICE": "true",
        },
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    output, errors = await process.communicate()
    printed = output.decode()
    assert process.returncode == 0, f"{command[0]}:\n{printed[-4000:]}\n{errors.decode()[-4000:]}"
    return printed


async def generate(language: str, document: Path, folder: Path, *options: str) -> None:
    """Generate a client with openapi-generator."""
    await run_tool(
        "openapi-generator-cli", "generate", "-i", document, "-g", language, "-o", folder, *options
    )


async def call_all(script: str, *arguments: object) -> list[dict[str, Any]]:
    """Run a script that calls every operation through a generated client; return its answers."""
    module = f"tests.rest_compat.clients.{script}"
    printed = await run_tool("python", "-W", "error", "-m", module, *arguments, cwd=_ROOT)
    answers: list[dict[str, Any]] = json.loads(printed)
    return answers
