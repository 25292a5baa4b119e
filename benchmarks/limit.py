"""Serve the gateway's own SQL with a minimal HTTP handler: the limit of what Python can reach.

A bare aiohttp handler on uvloop reads the POSTed parameters with orjson, runs the statement and
sends the bytes. It has no GraphQL, no tokens and no rate limit. Connections are opened as in the
gateway, so that PostgreSQL plans and runs the statements in the same way.

Usage: ``python limit.py PORT DATABASE_URL STATEMENTS``, where STATEMENTS is a JSON file that maps
names to SQL.
"""

from __future__ import annotations

import sys
from pathlib import Path

import orjson
import uvloop
from aiohttp import web

from connections import open_pool


async def application(url: str, statements: dict[str, str]) -> web.Application:
    """Return the application."""
    pool = await open_pool(url)

    async def handle(request: web.Request) -> web.Response:
        call = orjson.loads(await request.read())
        async with pool.acquire() as connection:
            value = await connection.fetchval(statements[call["name"]], *call["parameters"])
        body = b'{"data":{"%b":%b}}' % (call["field"].encode(), value)
        return web.Response(body=body, content_type="application/json")

    app = web.Application()
    app.router.add_post("/", handle)
    return app


if __name__ == "__main__":
    port, database_url, path = sys.argv[1:]
    web.run_app(
        application(database_url, orjson.loads(Path(path).read_bytes())),
        host="127.0.0.1",
        port=int(port),
        access_log=None,
        print=None,
        loop=uvloop.new_event_loop(),
    )
