"""Test the audits of event streams (docs/live-audits.md): the rules of ``graphql-sse``."""

from __future__ import annotations

import asyncio

import aiohttp
import pytest

from gateway.http.live import events
from tests.conftest import Gateway, StartGateway
from tests.gateway.http.live.sockets import COUNT, NONE, PLAIN, SECONDS
from tests.gateway.http.live.streams import EVENTS, Stream, streaming
from tests.resolvers.home import Home

NEW = 'mutation { createProcess(process: {reference: "lamp", name: "Lamp"}) { process { name } } }'


async def test_live_101_a_stream_has_the_status_200_and_its_media_type(gateway: Gateway) -> None:
    async with streaming(gateway, COUNT) as stream:
        assert stream.response.status == 200
        assert stream.response.content_type == EVENTS
        assert stream.response.headers["Cache-Control"] == "private, no-store"
        assert stream.response.headers["Server"] == "process-gateway"


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_live_102_a_subscription_gets_next_at_once_and_after_each_change(
    gateway: Gateway, method: str
) -> None:
    async with streaming(gateway, COUNT, method=method) as stream:
        assert await stream.data() == {"processes": {"totalCount": 0}}
        await Home(gateway).process("hall")
        assert await stream.data() == {"processes": {"totalCount": 1}}


async def test_live_103_a_query_gets_next_and_complete(empty_gateway: Gateway) -> None:
    async with streaming(empty_gateway, PLAIN) as stream:
        assert await stream.data() == NONE
        assert await stream.ends()


async def test_live_104_a_mutation_gets_next_and_complete(gateway: Gateway) -> None:
    async with streaming(gateway, NEW) as stream:
        assert await stream.data() == {"createProcess": {"process": {"name": "Lamp"}}}
        assert await stream.ends()


async def test_live_105_a_mutation_requires_post(gateway: Gateway) -> None:
    async with streaming(gateway, NEW, method="GET") as stream:
        assert stream.response.status == 405
    assert await gateway.run("SELECT FROM process") == []


@pytest.mark.parametrize(
    "query", ["{ unknown }", "subscription { unknown }", "subscription { process { name } }"]
)
async def test_live_106_an_operation_that_cannot_be_executed_gets_next_with_errors(
    hostile: Gateway, query: str
) -> None:
    async with streaming(hostile, query) as stream:
        assert stream.response.status == 200
        kind, answer = await stream.event()
        assert kind == "next"
        assert [error["extensions"]["code"] for error in answer["errors"]] == ["BAD_USER_INPUT"]
        assert await stream.ends()


async def test_live_107_a_request_without_a_valid_token_gets_401(empty_gateway: Gateway) -> None:
    async with streaming(empty_gateway, COUNT, profile=None) as stream:
        assert stream.response.status == 401
        assert stream.response.content_type == "application/json"


@pytest.mark.parametrize("body", [b"{", b"[]", b'{"query": 1}', b"", b"null"])
async def test_live_108_a_malformed_request_gets_400(empty_gateway: Gateway, body: bytes) -> None:
    reply = await empty_gateway.call("POST", "/graphql", body, headers={"Accept": EVENTS})
    assert reply.status == 400


@pytest.mark.parametrize(
    "accept",
    [
        "application/json, text/event-stream",
        "text/event-stream, application/graphql-response+json",
        "text/event-stream, */*",
    ],
)
async def test_live_109_clients_that_read_json_too_get_events_for_subscriptions_alone(
    empty_gateway: Gateway, accept: str
) -> None:
    async with streaming(empty_gateway, PLAIN, accept=accept) as stream:
        assert stream.response.content_type in (
            "application/json",
            "application/graphql-response+json",
        )
        assert (await stream.response.json(content_type=None))["data"] == NONE
    async with streaming(empty_gateway, COUNT, accept=accept) as stream:
        assert stream.response.content_type == EVENTS
        assert await stream.data() == {"processes": {"totalCount": 0}}


async def test_live_110_a_subscription_that_does_not_accept_events_is_bad_input(
    empty_gateway: Gateway,
) -> None:
    async with streaming(empty_gateway, COUNT, accept="application/json") as stream:
        answer = await stream.response.json()
        assert "data" not in answer
        (error,) = answer["errors"]
        assert error["extensions"]["code"] == "BAD_USER_INPUT"
        assert "text/event-stream" in error["message"]


async def test_live_111_comments_show_that_a_stream_is_alive(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events, "_ALIVE_INTERVAL", 0.1)
    async with streaming(gateway, COUNT) as stream:
        await stream.event()
        for _ in range(3):
            async with asyncio.timeout(SECONDS):
                assert await stream.response.content.readuntil(b"\n\n") == b":\n\n"


async def test_live_112_a_page_of_an_allowed_origin_may_read_a_stream(
    start_gateway: StartGateway,
) -> None:
    async with start_gateway(cors_origins="https://app.example") as gateway:
        headers = {
            "Accept": EVENTS,
            "Authorization": await gateway.token(),
            "Origin": "https://app.example",
        }
        async with (
            aiohttp.ClientSession() as session,
            session.post(f"{gateway.url}/graphql", json={"query": COUNT}, headers=headers) as got,
        ):
            assert got.headers["Access-Control-Allow-Origin"] == "https://app.example"
            assert await Stream(got).data() == {"processes": {"totalCount": 0}}


async def test_live_113_streams_count_as_sockets_of_their_token(
    start_gateway: StartGateway,
) -> None:
    async with start_gateway(max_sockets_token=1) as gateway:
        token = await gateway.token()
        headers = {"Accept": EVENTS, "Authorization": token}
        async with (
            aiohttp.ClientSession(headers=headers) as session,
            session.post(f"{gateway.url}/graphql", json={"query": COUNT}) as one,
        ):
            assert one.status == 200
            async with session.post(f"{gateway.url}/graphql", json={"query": COUNT}) as two:
                assert two.status == 429
                assert (await two.json())["errors"][0]["extensions"]["code"] == "RATE_LIMITED"
            one.close()


@pytest.mark.parametrize(
    "text",
    ["\n\n", "\r", "\r\n", "\v\f", "\x1c\x1d\x1e", "\x85", "\u2028", "\u2029"],
    ids=["lf", "cr", "crlf", "vt-ff", "separators", "nel", "line", "paragraph"],
)
async def test_live_114_an_answer_is_one_event_whatever_its_texts_contain(
    gateway: Gateway, text: str
) -> None:
    await Home(gateway).process("hall", description=f"a{text}data: b")
    async with streaming(gateway, "subscription { processes { nodes { description } } }") as stream:
        nodes = [{"description": f"a{text}data: b"}]
        assert await stream.data() == {"processes": {"nodes": nodes}}
