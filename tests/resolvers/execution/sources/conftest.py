"""Fixtures for tests of source kinds: a device, and a function that acts on it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest

from resolvers.execution.sources.http.kind import HttpKind
from resolvers.execution.sources.http.settings import HttpSettings
from resolvers.execution.sources.protocol import ActionFailedError, Call
from tests.resolvers.execution.sources.device import LOOPBACK, Device, running_device

Act = Callable[..., Awaitable[Any]]


@pytest.fixture
async def device() -> AsyncIterator[Device]:
    async with running_device() as device:
        yield device


@pytest.fixture
async def kind() -> AsyncIterator[HttpKind]:
    kind = HttpKind()
    yield kind
    await kind.close()


@pytest.fixture
def act(device: Device, kind: HttpKind) -> Act:
    """Return a function that performs one attempt of an action on the device.

    ``settings`` replaces settings of the source; the other arguments are those of the action.
    """

    async def acted(
        action: str,
        arguments: dict[str, str] | None = None,
        settings: dict[str, Any] | None = None,
        seconds: float = 10.0,
    ) -> Any:
        checked = HttpSettings.model_validate(
            {"base_url": device.base_url, "allow_networks": LOOPBACK, **(settings or {})}
        )
        call = Call(
            action,
            list((arguments or {}).items()),
            checked,
            step_key="a-key",
            seconds=seconds,
        )
        return await kind.act(call)

    return acted


async def failure(attempt: Awaitable[Any]) -> ActionFailedError:
    """Return how an attempt failed."""
    with pytest.raises(ActionFailedError) as caught:
        await attempt
    return caught.value
