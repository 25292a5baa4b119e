"""Serve a device that answers every request with the same JSON: aiohttp's server alone."""

from __future__ import annotations

import sys

import uvloop
from aiohttp import web


async def _handle(request: web.Request) -> web.Response:
    await request.read()
    return web.Response(body=b'{"on":true,"level":40}', content_type="application/json")


def _application() -> web.Application:
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", _handle)
    return app


if __name__ == "__main__":
    web.run_app(
        _application(),
        host="127.0.0.1",
        port=int(sys.argv[1]),
        access_log=None,
        print=None,
        loop=uvloop.new_event_loop(),
    )
