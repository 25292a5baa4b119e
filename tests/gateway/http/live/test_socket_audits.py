"""Test the audits of the WebSocket (docs/live-audits.md): the rules of ``graphql-transport-ws``."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import aiohttp
import pytest
from aiohttp import WSMsgType

from tests.conftest import Gateway, StartGateway
from tests.gateway.http.live.sockets import ACK, COUNT, NONE, PLAIN, PROTOCOL, connected, talking
from tests.gateway.http.wire import first, head
from tests.resolvers.home import Home

NEW = "mutation($p: NewProcess!) { createProcess(process: $p) { process { name } } }"

# Opening -----------------------------------------------------------------------------------------


async def test_live_001_the_subprotocol_is_selected(empty_gateway: Gateway) -> None:
    async with connected(empty_gateway, protocols=("graphql-ws", PROTOCOL)) as client:
        assert client.socket.protocol == PROTOCOL


@pytest.mark.parametrize("protocols", [(), ("graphql-ws",), ("GRAPHQL-TRANSPORT-WS",)])
async def test_live_002_another_subprotocol_closes_with_4406(
    empty_gateway: Gateway, protocols: tuple[str, ...]
) -> None:
    async with connected(empty_gateway, protocols=protocols) as client:
        assert await client.closed() == 4406


@pytest.mark.parametrize("form", ["Bearer {}", "{}", "bearer {}"])
@pytest.mark.parametrize("name", ["Authorization", "authorization"])
async def test_live_003_the_token_is_in_the_payload_of_connection_init(
    empty_gateway: Gateway, form: str, name: str
) -> None:
    async with connected(empty_gateway) as client:
        token = form.format(await empty_gateway.token())
        await client.send("connection_init", payload={name: token})
        assert await client.receive() == ACK


@pytest.mark.parametrize("payload", [{}, {"payload": None}, {"payload": {"other": 1}}])
async def test_live_004_the_token_may_be_in_the_header(
    empty_gateway: Gateway, payload: dict[str, object]
) -> None:
    async with connected(empty_gateway, Authorization=await empty_gateway.token()) as client:
        await client.send("connection_init", **payload)
        assert await client.receive() == ACK


async def test_live_005_the_payload_comes_before_the_header(empty_gateway: Gateway) -> None:
    async with connected(empty_gateway, Authorization=await empty_gateway.token()) as client:
        await client.send("connection_init", payload={"Authorization": "x"})
        assert await client.closed() == 4403


@pytest.mark.parametrize("payload", [None, {}, {"Authorization": ""}])
async def test_live_006_no_token_closes_with_4401(
    empty_gateway: Gateway, payload: dict[str, str] | None
) -> None:
    async with connected(empty_gateway) as client:
        await client.send("connection_init", payload=payload)
        assert await client.closed() == 4401


@pytest.mark.parametrize("token", ["x", "Basic a b", 1, ["x"], "x" * 5000])
async def test_live_007_a_token_that_is_not_valid_closes_with_4403(
    empty_gateway: Gateway, token: object
) -> None:
    async with connected(empty_gateway) as client:
        await client.send("connection_init", payload={"Authorization": token})
        assert await client.closed() == 4403


async def test_live_008_an_expired_token_closes_with_4403(empty_gateway: Gateway) -> None:
    async with connected(empty_gateway) as client:
        token = await empty_gateway.token(ttl=timedelta(seconds=-1))
        await client.send("connection_init", payload={"Authorization": token})
        assert await client.closed() == 4403


async def test_live_009_no_connection_init_closes_with_4408(empty_gateway: Gateway) -> None:
    async with connected(empty_gateway) as client:
        await client.send("ping")
        assert await client.receive() == {"type": "pong"}
        assert await client.closed() == 4408


async def test_live_010_a_second_connection_init_closes_with_4429(empty_gateway: Gateway) -> None:
    async with talking(empty_gateway) as client:
        await client.send("connection_init", payload={"Authorization": await empty_gateway.token()})
        assert await client.closed() == 4429


async def test_live_011_subscribe_before_the_acknowledgment_closes_with_4401(
    empty_gateway: Gateway,
) -> None:
    async with connected(empty_gateway, Authorization=await empty_gateway.token()) as client:
        await client.subscribe(COUNT)
        assert await client.closed() == 4401


async def test_live_012_a_malformed_handshake_is_a_bad_request(empty_gateway: Gateway) -> None:
    upgrade = ("Upgrade: websocket", "Connection: Upgrade", f"Sec-WebSocket-Protocol: {PROTOCOL}")
    for more in (
        ("Sec-WebSocket-Version: 13",),
        ("Sec-WebSocket-Version: 12", "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA=="),
        ("Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: short"),
    ):
        asking = await head(empty_gateway, "GET", "/graphql", *upgrade, *more)
        reply = await first(empty_gateway, asking)
        assert reply.status == 400
        assert reply.json["errors"][0]["extensions"]["code"] == "BAD_USER_INPUT"


@pytest.mark.parametrize("origin", ["https://other.example", "null", "http://127.0.0.1:1"])
async def test_live_013_a_page_of_another_origin_cannot_open_a_socket(
    empty_gateway: Gateway, origin: str
) -> None:
    with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
        async with connected(empty_gateway, Origin=origin):
            pass
    assert refused.value.status == 403
    async with connected(empty_gateway, Origin=empty_gateway.url) as client:
        await client.init(await empty_gateway.token())


async def test_live_014_an_allowed_origin_can_open_a_socket(start_gateway: StartGateway) -> None:
    app = "https://app.example"
    async with (
        start_gateway(cors_origins=app) as gateway,
        connected(gateway, Origin=app) as client,
    ):
        await client.init(await gateway.token())


# Pings -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("payload", [{}, {"payload": None}, {"payload": {"a": 1}}])
async def test_live_015_ping_is_answered_with_pong_at_any_time(
    empty_gateway: Gateway, payload: dict[str, object]
) -> None:
    async with connected(empty_gateway) as client:
        await client.send("ping", **payload)
        assert await client.receive() == {"type": "pong"}
        await client.init(await empty_gateway.token())
        await client.send("ping", **payload)
        assert await client.receive() == {"type": "pong"}


async def test_live_016_pong_is_accepted_at_any_time(empty_gateway: Gateway) -> None:
    async with connected(empty_gateway) as client:
        await client.send("pong")
        await client.init(await empty_gateway.token())
        await client.send("pong", payload={"a": 1})
        await client.send("ping")
        assert await client.receive() == {"type": "pong"}


async def test_live_017_ping_frames_are_answered(empty_gateway: Gateway) -> None:
    async with talking(empty_gateway) as client:
        await client.socket.ping(b"are you there")
        message = await client.socket.receive()
        assert (message.type, message.data) == (WSMsgType.PONG, b"are you there")


async def test_live_018_a_silent_client_is_pinged_and_then_cut_off(
    start_gateway: StartGateway,
) -> None:
    async with start_gateway(socket_ping_interval=1) as gateway, talking(gateway) as client:
        async with asyncio.timeout(10):
            assert (await client.socket.receive()).type is WSMsgType.PING
            await client.socket.pong()
            assert (await client.socket.receive()).type is WSMsgType.PING
            assert (await client.socket.receive()).type is WSMsgType.CLOSED


# Operations --------------------------------------------------------------------------------------


async def test_live_019_a_query_gets_next_and_complete(empty_gateway: Gateway) -> None:
    async with talking(empty_gateway) as client:
        await client.subscribe(PLAIN, "a")
        assert await client.data("a") == NONE
        assert await client.receive() == {"id": "a", "type": "complete"}
        await client.subscribe(PLAIN, "a")  # the ID is free again
        assert await client.data("a") == NONE


async def test_live_020_a_mutation_gets_next_and_complete(gateway: Gateway) -> None:
    async with talking(gateway) as client:
        new = {"p": {"reference": "lamp", "name": "Lamp"}}
        await client.subscribe(NEW, variables=new)
        assert await client.data() == {"createProcess": {"process": {"name": "Lamp"}}}
        assert await client.receive() == {"id": "1", "type": "complete"}


async def test_live_021_an_error_of_a_field_is_part_of_next(gateway: Gateway) -> None:
    async with talking(gateway, "guest") as client:
        for kind in ("query", "subscription"):
            await client.subscribe(f"{kind} {{ sources {{ totalCount }} }}", kind)
            message = await client.receive()
            assert (message["type"], message["id"]) == ("next", kind)
            assert message["payload"]["data"] == {"sources": None}
            (error,) = message["payload"]["errors"]
            assert (error["extensions"]["code"], error["path"]) == ("FORBIDDEN", ["sources"])
            if kind == "query":
                assert await client.receive() == {"id": kind, "type": "complete"}


@pytest.mark.parametrize(
    "query",
    [
        "{",
        "{ unknown }",
        "subscription { unknown }",
        "subscription { processes { totalCount } espaces { totalCount } }",
        "subscription { __typename }",
        "subscription { process { name } }",
        'subscription { process(id: "x", databaseId: 1) { name } }',
        'subscription { process(id: "x") { name } }',
        "subscription { processes(first: 1000) { totalCount } }",
        "subscription($n: Int!) { processes(first: $n) { totalCount } }",
        "subscription a { espaces { totalCount } } subscription b { espaces { totalCount } }",
    ],
)
async def test_live_022_an_operation_that_cannot_be_executed_gets_error_and_no_complete(
    hostile: Gateway, query: str
) -> None:
    async with talking(hostile) as client:
        await client.subscribe(query)
        assert await client.errors() == ["BAD_USER_INPUT"]
        await client.subscribe(PLAIN)  # the ID is free, the socket open
        assert await client.data() == NONE


async def test_live_023_a_subscription_that_costs_too_much_gets_error(
    start_gateway: StartGateway,
) -> None:
    async with start_gateway(max_query_cost=1000) as gateway, talking(gateway) as client:
        await client.subscribe("subscription { processes(first: 100) { nodes { description } } }")
        message = await client.receive()
        assert message["type"] == "error"
        assert message["payload"][0]["extensions"]["cost"]["maximum"] == 1000


async def test_live_024_variables_and_operation_name_are_used(gateway: Gateway) -> None:
    await Home(gateway).process("hall")
    async with talking(gateway) as client:
        await client.subscribe(
            "query a { espaces { totalCount } }"
            " subscription b($r: String) { process(reference: $r) { reference } }",
            variables={"r": "hall"},
            operationName="b",
        )
        assert await client.data() == {"process": {"reference": "hall"}}


async def test_live_025_a_subscription_is_answered_at_once_and_after_each_change(
    gateway: Gateway,
) -> None:
    home = Home(gateway)
    async with talking(gateway) as client:
        await client.subscribe(COUNT)
        assert await client.data() == {"processes": {"totalCount": 0}}
        await home.process("hall")
        assert await client.data() == {"processes": {"totalCount": 1}}
        await gateway.run("DELETE FROM process")
        assert await client.data() == {"processes": {"totalCount": 0}}


async def test_live_026_a_change_that_the_answer_does_not_show_is_no_event(
    gateway: Gateway,
) -> None:
    home = Home(gateway)
    process = await home.process("hall")
    async with talking(gateway) as client:
        await client.subscribe(COUNT)
        assert await client.data() == {"processes": {"totalCount": 1}}
        await home.do("updateProcess", id=process, changes={"name": "Other"})
        assert await client.is_silent()


async def test_live_027_a_duplicate_id_closes_with_4409(gateway: Gateway) -> None:
    async with talking(gateway) as client:
        await client.subscribe(COUNT)
        await client.data()
        await client.subscribe(PLAIN)
        assert await client.closed() == 4409


async def test_live_028_complete_ends_a_subscription_and_frees_its_id(gateway: Gateway) -> None:
    async with talking(gateway) as client:
        await client.subscribe(COUNT)
        await client.data()
        await client.send("complete", id="1")
        await Home(gateway).process("hall")
        await client.subscribe("subscription { espaces { totalCount } }")
        assert await client.data() == {"espaces": {"totalCount": 0}}
        assert await client.is_silent()


async def test_live_029_complete_for_an_unknown_id_is_ignored(empty_gateway: Gateway) -> None:
    async with talking(empty_gateway) as client:
        await client.send("complete", id="unknown")
        await client.subscribe(PLAIN)
        await client.data()
        await client.receive()
        await client.send("complete", id="1")
        await client.send("ping")
        assert await client.receive() == {"type": "pong"}


async def test_live_030_subscriptions_of_one_socket_do_not_affect_each_other(
    gateway: Gateway,
) -> None:
    async with talking(gateway) as client:
        await client.subscribe(COUNT, "a")
        await client.data("a")
        await client.subscribe(COUNT, "b")
        await client.data("b")
        await client.send("complete", id="a")
        await Home(gateway).process("hall")
        assert await client.data("b") == {"processes": {"totalCount": 1}}
        assert await client.is_silent()


async def test_live_031_a_socket_has_a_limited_number_of_operations(
    start_gateway: StartGateway,
) -> None:
    async with start_gateway(max_socket_subscriptions=2) as gateway, talking(gateway) as client:
        for id_ in "ab":
            await client.subscribe(COUNT, id_)
            await client.data(id_)
        await client.subscribe(COUNT, "c")
        message = await client.receive()
        assert (message["id"], message["type"]) == ("c", "error")
        assert message["payload"][0]["extensions"] == {
            "code": "BAD_USER_INPUT",
            "limit": {"name": "max_socket_subscriptions", "maximum": 2},
        }
        await client.send("complete", id="a")
        await client.subscribe(COUNT, "c")
        await client.data("c")


async def test_live_032_a_token_has_a_limited_number_of_sockets(
    start_gateway: StartGateway,
) -> None:
    async with start_gateway(max_sockets_token=1) as gateway:
        token = await gateway.token()
        async with connected(gateway) as one, connected(gateway) as two:
            await one.init(token)
            await two.send("connection_init", payload={"Authorization": token})
            assert await two.closed() == 1013
            async with talking(gateway):  # another token
                pass
            await one.socket.close()
        async with connected(gateway) as three:
            await three.init(token)


async def test_live_033_rates_apply_to_operations_on_the_socket(
    start_gateway: StartGateway,
) -> None:
    async with start_gateway(rate_limit_token="3/minute") as gateway, talking(gateway) as client:
        for id_ in "ab":
            await client.subscribe(PLAIN, id_)
            await client.data(id_)
            await client.receive()
        await client.subscribe(PLAIN, "c")
        assert await client.errors("c") == ["RATE_LIMITED"]


async def test_live_034_the_cost_is_shown_on_request(empty_gateway: Gateway) -> None:
    async with talking(empty_gateway) as client:
        await client.subscribe(COUNT, extensions={"cost": True})
        message = await client.receive()
        assert message["payload"]["extensions"]["cost"]["requested"] > 0


async def test_live_035_the_hash_of_a_persisted_query_alone_gets_error(
    empty_gateway: Gateway,
) -> None:
    async with talking(empty_gateway) as client:
        hashed = {"persistedQuery": {"version": 1, "sha256Hash": "0" * 64}}
        await client.send("subscribe", id="1", payload={"extensions": hashed})
        assert await client.errors() == ["PERSISTED_QUERY_NOT_SUPPORTED"]
