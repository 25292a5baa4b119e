"""Fixtures for tests of the engine itself."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.resolvers.execution.engine import Bench
from tests.resolvers.execution.scripted import ScriptedKind
from tests.resolvers.home import Home


@pytest.fixture
async def bench(home: Home) -> AsyncIterator[Bench]:
    """An empty home with a scripted source."""
    opened = Bench(home, await home.graph.viewer("admin"))
    kinds = opened.engine.kinds
    assert isinstance(kinds, dict)
    kinds["scripted"] = ScriptedKind()
    await home.do("createSource", source={"name": "scripted", "kind": "scripted"})
    try:
        yield opened
    finally:
        ScriptedKind.script.clear()
        ScriptedKind.calls.clear()
        del kinds["scripted"]
