"""Count the effects of actions: an HTTP server that is told what to do at each request."""

from __future__ import annotations

import asyncio
import contextlib
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable

from aiohttp import web

Meanwhile = Callable[[], Awaitable[bool]]
"""Returns whether a request has its effect."""


class Effects:
    """Counts requests by their path.

    The first request to a path that contains ``busy`` is refused, and has no effect.
    """

    def __init__(self) -> None:
        self.url = ""
        self.keys: defaultdict[str, list[str]] = defaultdict(list)
        """The idempotency keys of the requests that had an effect."""
        self._refused: set[str] = set()
        self._before: dict[str, Meanwhile] = {}
        self._after: dict[str, Meanwhile] = {}

    def meet(self, name: str, do: Meanwhile, *, after: bool) -> None:
        """Do something at the first request to a path, before or after its effect."""
        (self._after if after else self._before)[name] = do

    async def serve(self, request: web.BaseRequest) -> web.StreamResponse:
        """Count a request."""
        name = request.path[1:]
        if (do := self._before.pop(name, None)) and not await do():
            return web.Response(status=500)
        if "busy" in name and name not in self._refused:
            self._refused.add(name)
            return web.Response(status=503)
        self.keys[name].append(request.headers["Idempotency-Key"])
        if do := self._after.pop(name, None):
            await do()
        return web.json_response({"count": len(self.keys[name])})


@contextlib.asynccontextmanager
async def counting() -> AsyncIterator[Effects]:
    """Run a server that counts."""
    effects = Effects()
    runner = web.ServerRunner(web.Server(effects.serve))
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        effects.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        yield effects
    finally:
        with contextlib.suppress(asyncio.CancelledError):
            await runner.cleanup()
