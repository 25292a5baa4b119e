"""A gateway in a process of its own, which the attacks share."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.hostile.attacked import Attacked, attacked_on_copy


@pytest.fixture(scope="session")
async def target(postgres: str, template: str) -> AsyncIterator[Attacked]:
    """A gateway with a list of several megabytes."""
    async with attacked_on_copy(postgres, template) as started:
        yield started
