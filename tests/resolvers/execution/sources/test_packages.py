"""Build the example package of docs/source-kinds.md, install it, and act with it."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from resolvers.execution.secrets import MASK
from tests.resolvers.execution.executions import HomeWith, execute, fails, results

EXAMPLE = Path(__file__).parents[4] / "docs" / "examples" / "blinds"


@pytest.fixture
def blinds(tmp_path: Path) -> Iterator[None]:
    """Install the package into a folder, as pip does, without a registry."""
    command = [sys.executable, "-m", "uv", "pip", "install", "--quiet", "--offline", "--no-deps"]
    command += ["--no-build-isolation", "--python", sys.executable]
    folder = tmp_path / "packages"
    subprocess.run([*command, "--target", str(folder), str(EXAMPLE)], check=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(folder)
        yield
    sys.modules.pop("blinds_source", None)


class Controller:
    """A controller of blinds, on a real port."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.answer = b"ok\n"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.lines.append((await reader.readline()).decode())
        writer.write(self.answer)
        writer.close()


async def test_a_package_adds_a_source_kind(home_with: HomeWith, blinds: None) -> None:
    controller = Controller()
    server = await asyncio.start_server(controller.serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server, home_with() as home:
        kinds = await home.graph.data(
            "{ sourceKinds { name secretSettings actions { name arguments { reference type } } } }"
        )
        assert {
            "name": "blinds",
            "secretSettings": ["key"],
            "actions": [
                {
                    "name": "move",
                    "arguments": [
                        {"reference": "blind", "type": "integer"},
                        {"reference": "position", "type": "integer"},
                    ],
                }
            ],
        } in kinds["sourceKinds"]
        settings = {"host": "127.0.0.1", "port": port, "key": "s3cret"}
        source = {"name": "attic", "kind": "blinds", "settings": settings}
        await home.do("createSource", source=source)
        move: dict[str, Any] = {
            "source": "attic",
            "action": "move",
            "arguments": [
                {"reference": "blind", "value": "3"},
                {"reference": "position", "value": "50"},
            ],
        }
        process = await home.process("shade", actions=[move])
        assert results(await execute(home, process)) == [{"position": 50}]
        assert controller.lines == ["move 3 50 key=s3cret\n"]
        controller.answer = b"error the key s3cret is wrong\n"
        _, execution = await fails(home, process)
        assert f"the controller refused: the key {MASK} is wrong" in execution["error"]
        assert len(controller.lines) == 2
