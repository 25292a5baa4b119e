"""A client of one stream of events, which shows what it receives."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

import aiohttp

from tests.conftest import Gateway
from tests.gateway.http.live.sockets import SECONDS

EVENTS = "text/event-stream"
_EVENT_BYTES = 2**24
"""Up to how many bytes an event may have."""


@dataclass
class Stream:
    """The response to a request for a stream of events."""

    response: aiohttp.ClientResponse

    async def event(self, seconds: float | None = SECONDS) -> tuple[str, Any]:
        """Return the type and the data of the next event.

        Args:
            seconds: How long nothing may arrive, not even a comment; None for any time.
        """
        while True:
            async with asyncio.timeout(seconds):
                text = (await self.response.content.readuntil(b"\n\n")).decode()
            # Not `splitlines`, which also ends a line at characters that JSON leaves as they are.
            lines = [line.split(":", 1) for line in text.split("\n") if line]
            fields = {name: value.removeprefix(" ") for name, value in lines}
            if fields.keys() != {""}:  # a comment
                return fields["event"], json.loads(fields["data"]) if fields["data"] else None

    async def data(self) -> Any:
        """Return the data of the next answer."""
        kind, answer = await self.event()
        assert kind == "next", answer
        assert "errors" not in answer, answer
        return answer["data"]

    async def ends(self) -> bool:
        """Whether the stream ends with an event ``complete``."""
        assert await self.event() == ("complete", None)
        return not await self.response.content.read()


@contextlib.asynccontextmanager
async def streaming(
    gateway: Gateway,
    query: str,
    *,
    method: str = "POST",
    profile: str | None = "admin",
    token: str | None = None,
    accept: str = EVENTS,
    **members: Any,
) -> AsyncIterator[Stream]:
    """Send an operation, and yield the response when its head has arrived.

    Args:
        token: Instead of a new one of the profile.
    """
    headers = {"Accept": accept}
    if token is None and profile is not None:
        token = await gateway.token(profile)
    if token is not None:
        headers["Authorization"] = token
    url, body = f"{gateway.url}/graphql", {"query": query, **members}
    async with aiohttp.ClientSession(read_bufsize=_EVENT_BYTES) as session:
        if method == "GET":
            request = session.get(f"{url}?{urlencode(body)}", headers=headers)
        else:
            request = session.post(url, json=body, headers=headers)
        async with request as response:
            yield Stream(response)
