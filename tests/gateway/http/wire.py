"""Send raw bytes to a gateway, read the responses, and serve something else beside it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any
from urllib.parse import urlsplit

from aiohttp import web

from tests.conftest import Gateway, Reply

JSON = "application/json; charset=utf-8"
GRAPHQL_JSON = "application/graphql-response+json; charset=utf-8"
COUNT = {"query": "{ processes { totalCount } }"}
NEW = {"reference": "lamp", "name": "Lamp"}


def code(reply: Reply) -> Any:
    """Return the error code of a response of any of the APIs."""
    body = reply.json
    return body["errors"][0]["extensions"]["code"] if "errors" in body else body["code"]


async def raw(gateway: Gateway, *parts: bytes) -> bytes:
    """Send bytes, and return everything received until the gateway closes the connection."""
    async with sending(gateway, *parts) as reader:
        return await reader.read()


async def first(gateway: Gateway, *parts: bytes) -> Reply:
    """Send bytes, and return the first response."""
    async with sending(gateway, *parts) as reader:
        lines = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        headers = dict(line.split(": ", 1) for line in lines[1:-2])
        body = await reader.readexactly(int(headers["Content-Length"]))
        return Reply(int(lines[0].split()[1]), headers, body)


@contextlib.asynccontextmanager
async def sending(gateway: Gateway, *parts: bytes) -> AsyncIterator[asyncio.StreamReader]:
    """Send the parts one by one, and yield a reader of the response."""
    url = urlsplit(gateway.url)
    reader, writer = await asyncio.open_connection(url.hostname, url.port)
    try:
        for part in parts:
            writer.write(part)
            await asyncio.sleep(0.02)
        async with asyncio.timeout(10):
            yield reader
    finally:
        writer.close()


async def head(gateway: Gateway, method: str, path: str, *more: str) -> bytes:
    """Return the request line and headers of a request by an admin, with a JSON body if any."""
    token = await gateway.token()
    lines = [f"{method} {path} HTTP/1.1", "Host: gateway", f"Authorization: {token}", *more]
    if not any(line.startswith("Content-Type:") for line in more):
        lines.append("Content-Type: application/json")
    return "\r\n".join([*lines, "", ""]).encode()


def body_of_response(response: bytes) -> bytes:
    """Return the body of a raw response, with its chunks joined."""
    headers, _, body = response.partition(b"\r\n\r\n")
    if b"Transfer-Encoding: chunked" not in headers:
        return body
    chunks = []
    while body:
        size, _, body = body.partition(b"\r\n")
        chunks.append(body[: int(size, 16)])
        body = body[int(size, 16) + 2 :]
    return b"".join(chunks)


@contextlib.asynccontextmanager
async def other_server(
    handle: Callable[[web.BaseRequest], Awaitable[web.StreamResponse]],
) -> AsyncIterator[str]:
    """Serve something else than a gateway on a port of this machine, and yield its origin."""
    runner = web.ServerRunner(web.Server(handle))
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()
