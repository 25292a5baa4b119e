"""Test what a WebSocket may be sent: nothing of it disturbs the gateway or other clients."""

from __future__ import annotations

import asyncio
import json
from urllib.parse import urlsplit

import pytest

from tests.conftest import Gateway, StartGateway
from tests.gateway.http.live.sockets import COUNT, NONE, PLAIN, connected, metrics, talking
from tests.gateway.http.live.test_readers import SlowClient, frame
from tests.gateway.http.wire import head

MALFORMED = [
    "",
    "{",
    "null",
    "[]",
    "1",
    '"ping"',
    "{}",
    '{"type": 1}',
    '{"type": "unknown"}',
    '{"type": "start", "id": "1", "payload": {"query": "{ __typename }"}}',
    '{"type": "connection_ack"}',
    '{"type": "next", "id": "1", "payload": {}}',
    '{"type": "ping", "payload": "x"}',
    '{"type": "ping", "type": "pong"}',
    '{"type": "pong", "payload": [1]}',
    '{"type": "complete"}',
    '{"type": "complete", "id": 1}',
    '{"type": "subscribe", "payload": {"query": "{ __typename }"}}',
    '{"type": "subscribe", "id": "", "payload": {"query": "{ __typename }"}}',
    '{"type": "subscribe", "id": 1, "payload": {"query": "{ __typename }"}}',
    '{"type": "subscribe", "id": "1"}',
    '{"type": "subscribe", "id": "1", "payload": null}',
    '{"type": "subscribe", "id": "1", "payload": "{ __typename }"}',
    '{"type": "subscribe", "id": "1", "payload": {}}',
    '{"type": "subscribe", "id": "1", "payload": {"query": 1}}',
    '{"type": "subscribe", "id": "1", "payload": {"query": "{ a }", "variables": []}}',
    '{"type": "subscribe", "id": "1", "payload": {"query": "{ a }", "operationName": 1}}',
    '{"type": "subscribe", "id": "1", "payload": {"query": "{ a }", "extensions": 1}}',
    '{"type": "ping", "payload": {"a": "\\ud800"}}',
    '{"type": "ping", "payload": {"a": "\\u0000"}}',
    '{"type": "ping", "payload": {"a": 1e999}}',
    "[" * 100_000,
    '{"type": "subscribe", "id": "%s", "payload": {"query": "{ __typename }"}}' % ("x" * 256),
    '{"type": "%s"}' % ("ü" * 300),
]


@pytest.mark.parametrize("text", MALFORMED, ids=range(len(MALFORMED)))
async def test_a_malformed_message_closes_with_4400(empty_gateway: Gateway, text: str) -> None:
    async with talking(empty_gateway) as client:
        await client.socket.send_str(text)
        assert await client.closed() == 4400


@pytest.mark.parametrize("text", ["", "{", '{"type": "connection_init", "payload": 1}'])
async def test_a_malformed_message_before_connection_init_closes_with_4400(
    empty_gateway: Gateway, text: str
) -> None:
    async with connected(empty_gateway) as client:
        await client.socket.send_str(text)
        assert await client.closed() == 4400


async def test_large_messages_are_taken_in_at_a_bounded_rate(empty_gateway: Gateway) -> None:
    """As large bodies are. Meanwhile, others are answered."""
    async with talking(empty_gateway) as client, talking(empty_gateway) as other:
        size, count = 1_000_000, 40

        async def flood() -> None:
            for _ in range(count):
                await client.send("ping", payload={"a": "x" * size})

        flooding = asyncio.create_task(flood())
        answered = pongs = 0

        async def read() -> None:
            nonlocal pongs
            while pongs < count:
                assert await client.receive() == {"type": "pong"}
                pongs += 1

        reading = asyncio.create_task(read())
        while not reading.done():
            await other.subscribe(PLAIN)
            assert await other.data() == NONE
            await other.receive()
            answered += 1
        await flooding
        assert answered > count


async def test_a_binary_frame_closes_with_4400(empty_gateway: Gateway) -> None:
    async with talking(empty_gateway) as client:
        await client.socket.send_bytes(b'{"type": "ping"}')
        assert await client.closed() == 4400


async def test_a_message_larger_than_a_body_may_be_closes_with_1009(
    start_gateway: StartGateway,
) -> None:
    async with start_gateway(max_body_bytes=1000) as gateway, talking(gateway) as client:
        await client.send("ping", payload={"a": "x" * 1000})
        assert await client.closed() == 1009


async def test_a_message_with_too_many_items_closes_with_4400(
    start_gateway: StartGateway,
) -> None:
    async with start_gateway(max_items=10) as gateway, talking(gateway) as client:
        await client.subscribe(PLAIN, variables={"a": [1] * 11})
        assert await client.closed() == 4400


async def test_a_frame_that_is_not_masked_closes_the_socket(empty_gateway: Gateway) -> None:
    url = urlsplit(empty_gateway.url)
    reader, writer = await asyncio.open_connection(url.hostname, url.port)
    writer.write(
        await head(
            empty_gateway,
            *("GET", "/graphql", "Upgrade: websocket", "Connection: Upgrade"),
            *("Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA=="),
            "Sec-WebSocket-Protocol: graphql-transport-ws",
        )
    )
    assert b" 101 " in await reader.readuntil(b"\r\n\r\n")
    # A reserved opcode, reserved bits, a control frame that is too long, a close code of nobody.
    writer.write(b"\xff\xff" + b"\xff" * 100)
    async with asyncio.timeout(10):
        assert (await reader.read())[:1] == b"\x88"
    writer.close()


async def test_ten_thousand_ids_get_errors_above_the_limit(
    start_gateway: StartGateway,
) -> None:
    count, most = 10_000, 100
    async with start_gateway(max_socket_subscriptions=most) as gateway, talking(gateway) as client:
        kinds: dict[str, int] = {"next": 0, "error": 0}

        async def read() -> None:
            while sum(kinds.values()) < count:
                kinds[(await client.receive())["type"]] += 1

        reading = asyncio.create_task(read())
        for number in range(count):
            await client.subscribe(COUNT, str(number))
        await reading
        assert kinds == {"next": most, "error": count - most}
        values = await metrics(gateway)
        assert values["gateway_subscriptions"] == most
        assert values["gateway_live_answers"] == 1


@pytest.mark.parametrize(
    ("fields", "text", "count"), [(1400, "", 120), (1, "x" * 900_000, 90)], ids=["long", "large"]
)
async def test_documents_and_variables_that_a_token_holds_are_limited(
    start_gateway: StartGateway, fields: int, text: str, count: int
) -> None:
    async with (
        start_gateway(max_socket_subscriptions=1000) as gateway,
        talking(gateway) as client,
        talking(gateway) as other,
    ):
        selection = " ".join(["name"] * fields)
        codes: list[str | None] = []
        for number in range(count):
            query = (
                f"subscription A{number}($x: String) {{ process(reference: $x) {{ {selection} }} }}"
            )
            await client.subscribe(query, str(number), variables={"x": text})
            payload = (await client.receive())["payload"]
            codes.append(payload[0]["extensions"]["code"] if isinstance(payload, list) else None)
        held = codes.index("RATE_LIMITED")
        assert 50 < held < count - 5
        assert codes == [None] * held + ["RATE_LIMITED"] * (count - held)
        await other.subscribe(COUNT)  # another token
        await other.data()
        for number in range(count):
            await client.send("complete", id=str(number))
        await client.subscribe(COUNT, "again")
        await client.data("again")


@pytest.mark.parametrize("reads", [True, False])
async def test_a_flood_of_pings_does_not_delay_others(
    empty_gateway: Gateway, *, reads: bool
) -> None:
    flood = 50_000
    async with talking(empty_gateway) as pinging, talking(empty_gateway) as other:

        async def ping() -> None:
            for number in range(flood):
                await pinging.send("ping")
                if number % 50 == 0:
                    await asyncio.sleep(0)  # the gateway runs in this process, too

        pongs = 0

        async def count() -> None:
            nonlocal pongs
            while pongs < flood:
                assert await pinging.receive() == {"type": "pong"}
                pongs += 1

        tasks = [asyncio.create_task(ping())]
        if reads:
            tasks.append(asyncio.create_task(count()))
        answered = 0
        while not all(task.done() for task in tasks) and answered < 200:
            await other.subscribe(PLAIN)
            assert await other.data() == NONE
            await other.receive()
            answered += 1
        assert answered > 10
        if reads:
            await asyncio.gather(*tasks)
            assert pongs == flood
        for task in tasks:
            task.cancel()


async def test_a_burst_of_messages_is_handled_in_turns_with_others(
    empty_gateway: Gateway,
) -> None:
    burst = 4000
    bursting = SlowClient(empty_gateway, buffer=1024 * 1024)
    await bursting.subscribe(await empty_gateway.token(), COUNT)
    assert (await bursting.message())["type"] == "connection_ack"
    assert (await bursting.message())["type"] == "next"
    async with talking(empty_gateway) as other:
        await asyncio.get_running_loop().sock_sendall(
            bursting.socket, frame({"type": "ping"}) * burst
        )
        await other.subscribe(PLAIN)
        assert await other.data() == NONE
        pongs = bursting.socket.recv(1024 * 1024).count(b"pong")
        assert pongs < burst / 4
    bursting.socket.close()


async def test_complete_for_ten_thousand_unknown_ids_is_ignored(empty_gateway: Gateway) -> None:
    async with talking(empty_gateway) as client:
        for number in range(10_000):
            await client.send("complete", id=str(number))
        await client.send("ping")
        assert await client.receive() == {"type": "pong"}


async def test_an_id_is_repeated_as_it_was_sent(empty_gateway: Gateway) -> None:
    async with talking(empty_gateway) as client:
        for id_ in ("x" * 255, 'a "quoted" \\ id\n', "ü😀", " "):
            await client.subscribe(PLAIN, id_)
            assert await client.data(id_) == NONE
            assert await client.receive() == {"id": id_, "type": "complete"}


async def test_the_reason_of_a_close_is_text_of_at_most_123_bytes(empty_gateway: Gateway) -> None:
    async with talking(empty_gateway) as client:
        await client.socket.send_str(json.dumps({"type": "ü" * 200}, ensure_ascii=False))
        message = await client.socket.receive()
        assert message.data == 4400
        assert isinstance(message.extra, str)
        assert len(message.extra.encode()) <= 123
