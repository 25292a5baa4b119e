"""A client of one WebSocket, which sends what it is told and shows what it receives."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import aiohttp
from aiohttp import WSMsgType

from tests.conftest import Gateway

PROTOCOL = "graphql-transport-ws"
COUNT = "subscription { processes { totalCount } }"
NAMES = "subscription { processes { nodes { name } } }"
PLAIN = "{ espaces { totalCount } }"
NONE = {"espaces": {"totalCount": 0}}
"""The data of ``PLAIN`` where there are no espaces."""
ACK = {"type": "connection_ack"}
SECONDS = 20.0
"""Seconds that anything may take that a test waits for."""


@dataclass
class SocketClient:
    """One WebSocket, and the conversation on it."""

    socket: aiohttp.ClientWebSocketResponse

    async def send(self, type_: str, **members: Any) -> None:
        await self.socket.send_json({"type": type_, **members})

    async def init(self, token: str | None = None) -> None:
        """Open the conversation."""
        payload = {} if token is None else {"Authorization": token}
        await self.send("connection_init", payload=payload)
        assert await self.receive() == ACK

    async def subscribe(self, query: str, id_: str = "1", **members: Any) -> None:
        await self.send("subscribe", id=id_, payload={"query": query, **members})

    async def receive(self) -> Any:
        """Return the next message."""
        async with asyncio.timeout(SECONDS):
            while (message := await self.socket.receive()).type is WSMsgType.PING:
                await self.socket.pong(message.data)
        assert message.type is WSMsgType.TEXT, message
        return json.loads(message.data)

    async def data(self, id_: str = "1") -> Any:
        """Return the data of the next answer to an operation."""
        message = await self.receive()
        assert (message["type"], message["id"]) == ("next", id_), message
        assert "errors" not in message["payload"], message
        return message["payload"]["data"]

    async def errors(self, id_: str = "1") -> Any:
        """Return the codes of the errors with which an operation is rejected."""
        message = await self.receive()
        assert (message["type"], message["id"]) == ("error", id_), message
        return [error["extensions"]["code"] for error in message["payload"]]

    async def closed(self) -> int:
        """Return the code that the gateway closes the socket with; nothing may arrive before."""
        async with asyncio.timeout(SECONDS):
            message = await self.socket.receive()
        assert message.type in (WSMsgType.CLOSE, WSMsgType.CLOSED), message
        assert self.socket.close_code is not None
        return self.socket.close_code

    async def is_silent(self, seconds: float = 0.3) -> bool:
        """Whether nothing arrives for a time."""
        try:
            async with asyncio.timeout(seconds):
                await self.socket.receive()
        except TimeoutError:
            return True
        return False


@contextlib.asynccontextmanager
async def connected(
    gateway: Gateway, *, protocols: tuple[str, ...] = (PROTOCOL,), **headers: str
) -> AsyncIterator[SocketClient]:
    """Open a WebSocket, and nothing more."""
    async with (
        aiohttp.ClientSession() as session,
        session.ws_connect(
            f"{gateway.url}/graphql", protocols=protocols, headers=headers, autoping=False
        ) as socket,
    ):
        yield SocketClient(socket)


@contextlib.asynccontextmanager
async def talking(gateway: Gateway, profile: str = "admin") -> AsyncIterator[SocketClient]:
    """Open a WebSocket, and a conversation with a token of a profile."""
    async with connected(gateway) as client:
        await client.init(await gateway.token(profile))
        yield client


async def metrics(gateway: Gateway) -> dict[str, float]:
    """Return the metrics of a gateway by name."""
    reply = await gateway.call("GET", "/metrics")
    lines = [line for line in reply.body.decode().splitlines() if not line.startswith("#")]
    return {name: float(value) for name, value in (line.rsplit(" ", 1) for line in lines)}
