"""The limit: the least that an HTTP server in Python can do around the gateway's own SQL.

A bare aiohttp handler on uvloop that reads the POSTed parameters with orjson, runs the statement
and sends the bytes. It knows no GraphQL, no token and no limit. Connections are opened as the
gateway opens them, so that PostgreSQL plans and runs the statements in the same way.

``python limit.py PORT DATABASE_URL STATEMENTS``: the last is a JSON file of SQL by name.
"""

from __future__ import annotations

import sys
from pathlib import Path

import orjson
import uvloop
from aiohttp import web

from storage.database.pool import open_pool


async def application(url: str, statements: dict[str, str]) -> web.Application:
    """The application with its one handler."""
    pool = await open_pool(url)

    async def answer(request: web.Request) -> web.Response:
        asked = orjson.loads(await request.read())
        async with pool.acquire() as connection:
            found = await connection.fetchval(statements[asked["name"]], *asked["parameters"])
        body = b'{"data":{"%b":%b}}' % (asked["field"].encode(), found)
        return web.Response(body=body, content_type="application/json")

    app = web.Application()
    app.router.add_post("/", answer)
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
