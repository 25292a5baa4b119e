"""Test subscriptions while the database fails, and while the gateway stops."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass

import aiohttp
import asyncpg
import pytest

from tests.conftest import Gateway, running_gateway
from tests.gateway.http.live.sockets import COUNT, SECONDS, metrics, talking
from tests.gateway.http.live.streams import EVENTS, Stream, streaming
from tests.resolvers.home import Home, until
from tests.storage.database.conftest import connected as opened
from tests.storage.database.proxy import Proxy, proxied, swallow

SLOW = 'mutation { createProcess(process: {reference: "a", name: "A"}) { process { id } } }'
PROTOCOLS = ["graphql-transport-ws"]


@dataclass
class Behind:
    """A gateway whose connections to the database pass a proxy, and the database itself."""

    gateway: Gateway
    proxy: Proxy
    directly: asyncpg.Connection[asyncpg.Record]

    def fail(self) -> None:
        """Cut all connections, and swallow what new ones carry."""
        self.proxy.requests = swallow
        self.proxy.cut()

    def recover(self) -> None:
        self.proxy.requests = lambda _, data: data
        self.proxy.cut()

    async def add(self, reference: str) -> None:
        await self.directly.execute(
            "INSERT INTO process (reference, name) VALUES ($1, $1)", reference
        )


@pytest.fixture
async def behind(database_url: str) -> AsyncIterator[Behind]:
    directly = await asyncpg.connect(database_url)
    async with (
        proxied(database_url) as (proxy, url),
        opened(url, pool_max=4, statement_timeout=1) as database,
        running_gateway(database) as gateway,
    ):
        yield Behind(gateway, proxy, directly)
        proxy.requests = lambda _, data: data
    await directly.close()


# Outages -----------------------------------------------------------------------------------------


async def test_an_outage_that_ends_is_followed_by_what_was_missed(behind: Behind) -> None:
    async with talking(behind.gateway) as client:
        await client.subscribe(COUNT)
        assert await client.data() == {"processes": {"totalCount": 0}}
        for number in (1, 2):
            behind.fail()
            await behind.add(f"p{number}")
            await asyncio.sleep(1.5)
            behind.recover()
            assert await client.data() == {"processes": {"totalCount": number}}
        assert await client.is_silent(0.5)


async def test_an_outage_without_a_change_is_not_seen(behind: Behind) -> None:
    async with talking(behind.gateway) as client:
        await client.subscribe(COUNT)
        await client.data()
        behind.fail()
        await asyncio.sleep(1)
        behind.recover()
        assert await client.is_silent(2)
        await behind.add("a")
        assert await client.data() == {"processes": {"totalCount": 1}}


async def test_one_that_begins_in_an_outage_gets_the_error_and_later_the_answer(
    behind: Behind,
) -> None:
    async with talking(behind.gateway) as client:
        behind.fail()
        await client.subscribe(COUNT)
        message = await client.receive()
        assert message["type"] == "next"
        assert message["payload"]["data"] == {"processes": None}
        (error,) = message["payload"]["errors"]
        assert error["extensions"]["code"] == "DATABASE_UNAVAILABLE"
        behind.recover()
        assert await client.data() == {"processes": {"totalCount": 0}}


async def test_connections_that_are_cut_all_the_time_lose_no_change(behind: Behind) -> None:
    async with talking(behind.gateway) as client:
        await client.subscribe(COUNT)
        await client.data()
        for number in range(20):
            await behind.add(f"p{number}")
            behind.proxy.cut()
            await asyncio.sleep(0.02)
        while (await client.data()) != {"processes": {"totalCount": 20}}:
            pass


# Stopping ----------------------------------------------------------------------------------------


async def test_stopping_closes_sockets_with_1001_and_ends_streams(
    gateway: Gateway, database_url: str
) -> None:
    async with opened(database_url, pool_max=4) as database, aiohttp.ClientSession() as session:
        async with running_gateway(database) as stopping:
            token = await stopping.token()
            idle, waiting, unread = [
                await session.ws_connect(f"{stopping.url}/graphql", protocols=PROTOCOLS)
                for _ in range(3)
            ]
            for socket in (idle, unread):
                await socket.send_json(
                    {"type": "connection_init", "payload": {"Authorization": token}}
                )
                await socket.receive()
            await unread.send_json({"type": "subscribe", "id": "1", "payload": {"query": COUNT}})
            response = await session.post(
                f"{stopping.url}/graphql",
                json={"query": COUNT},
                headers={"Accept": EVENTS, "Authorization": token},
            )
            assert await Stream(response).data() == {"processes": {"totalCount": 0}}
            readers = [asyncio.create_task(_close_code(each)) for each in (idle, waiting, unread)]
            began = time.monotonic()
        assert time.monotonic() - began < 5
        assert await asyncio.gather(*readers) == [1001, 1001, 1001]
        # Without an event `complete`, so that the client connects again.
        assert await response.content.read() == b""


async def _close_code(socket: aiohttp.ClientWebSocketResponse) -> int | None:
    async with asyncio.timeout(SECONDS):
        async for _ in socket:
            pass
    return socket.close_code


async def test_an_operation_in_flight_is_answered_before_its_socket_is_closed(
    database_url: str,
) -> None:
    async with opened(database_url, pool_max=4) as database, aiohttp.ClientSession() as session:
        directly = await asyncpg.connect(database_url)
        async with running_gateway(database) as stopping:
            socket = await session.ws_connect(f"{stopping.url}/graphql", protocols=PROTOCOLS)
            payload = {"Authorization": await stopping.token()}
            await socket.send_json({"type": "connection_init", "payload": payload})
            await socket.receive()
            transaction = directly.transaction()
            await transaction.start()
            await directly.execute("LOCK TABLE process")
            await socket.send_json({"type": "subscribe", "id": "1", "payload": {"query": SLOW}})
            await until(lambda: _waits_for_a_lock(directly))
            asyncio.get_running_loop().call_later(
                0.5, lambda: asyncio.ensure_future(transaction.rollback())
            )
            reading = asyncio.create_task(_all_types(socket))
        assert await reading == ["next", "complete", 1001]
        assert await directly.fetchval("SELECT count(*) FROM process") == 1
        await directly.close()


async def _waits_for_a_lock(connection: asyncpg.Connection[asyncpg.Record]) -> bool:
    waits = "SELECT count(*) FROM pg_locks WHERE NOT granted"
    return bool(await connection.fetchval(waits))


async def _all_types(socket: aiohttp.ClientWebSocketResponse) -> list[object]:
    types: list[object] = []
    async with asyncio.timeout(SECONDS):
        async for message in socket:
            types.append(message.json()["type"])  # noqa: PERF401
    return [*types, socket.close_code]


# Metrics -----------------------------------------------------------------------------------------


async def test_metrics_count_sockets_subscriptions_and_events(gateway: Gateway) -> None:
    before = await metrics(gateway)
    async with talking(gateway) as one, talking(gateway) as two, streaming(gateway, COUNT) as three:
        for client in (one, two):
            await client.subscribe(COUNT)
            await client.data()
        await three.data()
        await Home(gateway).process("hall")
        for client in (one, two):
            await client.data()
        await three.data()
        after = await metrics(gateway)
    changed = {name: value - before[name] for name, value in after.items() if name in before}
    assert changed["gateway_sockets"] == 2
    assert changed["gateway_event_streams"] == 1
    assert changed["gateway_subscriptions"] == 3
    assert changed["gateway_live_answers"] == 1
    assert changed["gateway_subscription_events_total"] == 6
    assert changed["gateway_live_reads_total"] == 2
    assert changed["gateway_watch_ticks_total"] >= 2
    assert 0 < changed["gateway_watch_seconds_total"] < 5
