"""Test the rate limits: their order, the errors of each API, and the counters in memory."""

from __future__ import annotations

import asyncio
import contextlib
import time
import tracemalloc

import pytest
from limits import parse
from limits.strategies import SlidingWindowCounterRateLimiter

from gateway.http.rate_limit import RateLimits
from gateway.http.rate_storage import BoundedMemory, seconds_to_wait
from resolvers.errors.catalogue import GatewayError
from tests.conftest import StartGateway
from tests.gateway.http.wire import COUNT, JSON, code

LIMITED = {"/process": "rate_limited", "/processes": 6001, "/graphql": "RATE_LIMITED"}


async def test_every_api_reports_the_limit_of_an_address(start_gateway: StartGateway) -> None:
    async with start_gateway(rate_limit_address="2/minute") as gateway:
        for _ in range(2):
            assert (await gateway.call("GET", "/health", profile=None)).status == 200
        # It is checked before the token.
        for path, expected in (LIMITED | {"/health": "RATE_LIMITED"}).items():
            reply = await gateway.call("GET", path, profile=None)
            assert (reply.status, code(reply)) == (429, expected)
            wait = int(reply.headers["Retry-After"])
            assert 0 < wait <= 120
            assert f"try again in {wait} s" in reply.body.decode() or path == "/processes"
            assert reply.headers["Content-Type"] == JSON
        assert reply.json["errors"][0]["extensions"]["retryAfter"] == wait


async def test_every_api_reports_the_limit_of_a_token(start_gateway: StartGateway) -> None:
    async with start_gateway(rate_limit_token="3/minute") as gateway:
        token, other = await gateway.token(), await gateway.token()
        for _ in range(3):
            for each in (token, other):
                reply = await gateway.call("GET", "/process", headers={"Authorization": each})
                assert reply.status == 200
        for path, expected in LIMITED.items():
            # Before permission and shape: the body is not even JSON.
            for method in ("GET", "POST" if path != "/processes" else "PUT"):
                headers = {"Authorization": token}
                body = b"{" if method != "GET" else None
                reply = await gateway.call(method, path, body, headers=headers)
                assert (reply.status, code(reply)) == (429, expected)
                assert 0 < int(reply.headers["Retry-After"]) <= 120
        # A new token of the same profile is another one; a wrong one never counts.
        assert (await gateway.call("GET", "/process")).status == 200
        for _ in range(5):
            wrong = {"Authorization": token[:-2]}
            assert (await gateway.call("GET", "/process", headers=wrong)).status == 401


async def test_failed_authentications_count_at_the_address(start_gateway: StartGateway) -> None:
    async with start_gateway(rate_limit_address="4/minute") as gateway:
        wrong = {"Authorization": "sesame"}
        replies = [await gateway.call("GET", "/process", headers=wrong) for _ in range(6)]
        assert [reply.status for reply in replies] == [401, 401, 401, 401, 429, 429]
        assert (await gateway.call("GET", "/process")).status == 429


async def test_requests_are_accepted_again_after_the_wait(start_gateway: StartGateway) -> None:
    async with start_gateway(rate_limit_address="2/second; 100/minute") as gateway:
        replies = [await gateway.call("POST", "/graphql", COUNT) for _ in range(4)]
        assert {reply.status for reply in replies} == {200, 429}
        wait = int(replies[-1].headers["Retry-After"])
        await asyncio.sleep(wait)
        assert (await gateway.call("GET", "/processes")).status == 200


# Counters ----------------------------------------------------------------------------------------


class Clock:
    """A clock that the test sets."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.mark.parametrize("rate", ["1/second", "3/second", "5/10second", "100/minute", "7/hour"])
def test_the_announced_wait_is_enough_and_not_too_long(rate: str) -> None:
    """A client that always waits as it is told is accepted, and a little earlier it is not."""
    limit, clock = parse(rate), Clock()
    memory = BoundedMemory(clock=clock)
    strategy = SlidingWindowCounterRateLimiter(memory)
    window = limit.get_expiry()
    for round_ in range(40):
        while strategy.hit(limit, "a"):
            clock.now += window * (round_ % 7) / 40 / limit.amount
        stats = memory.get_sliding_window(limit.key_for("a"), window)
        wait = seconds_to_wait(limit, *stats)
        assert 0 < wait <= 2 * window
        if wait > 0.01:
            clock.now += wait * 0.99
            assert not strategy.test(limit, "a")
            clock.now += wait * 0.01 + 1e-6
        else:
            clock.now += wait + 1e-6
        assert strategy.hit(limit, "a"), round_


@pytest.mark.parametrize("rate", ["3/second", "10/10second", "50/minute"])
def test_no_window_has_much_more_than_the_limit(rate: str) -> None:
    limit, clock = parse(rate), Clock()
    strategy = SlidingWindowCounterRateLimiter(BoundedMemory(clock=clock))
    window = limit.get_expiry()
    accepted = []
    for _ in range(2000):
        clock.now += window / limit.amount / 9
        if strategy.hit(limit, "a"):
            accepted.append(clock.now)
    most = max(sum(at <= other < at + window for other in accepted) for at in accepted)
    assert most <= 2 * limit.amount
    average = len(accepted) / (accepted[-1] - accepted[0]) * window
    assert limit.amount * 0.7 <= average <= limit.amount * 1.25


def test_keys_and_limits_are_counted_apart() -> None:
    strategy = SlidingWindowCounterRateLimiter(BoundedMemory())
    two, three = parse("2/hour"), parse("3/hour")
    assert [strategy.hit(two, "a") for _ in range(3)] == [True, True, False]
    assert strategy.hit(two, "b")
    assert [strategy.hit(three, "a") for _ in range(4)] == [True, True, True, False]


async def test_100_000_addresses_take_little_memory_and_time() -> None:
    def address(number: int) -> str:
        return f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}"

    limits = RateLimits(address=[parse("10/hour")])
    await limits.spend_address("192.0.2.1")
    started_at = time.process_time()
    for number in range(100_000):
        await limits.spend_address(address(number))
    assert time.process_time() - started_at < 10  # a walk over all keys each time takes an hour
    assert len(limits._memory._counters) == 50_000

    memory = BoundedMemory(most=1000)
    strategy = SlidingWindowCounterRateLimiter(memory)
    tracemalloc.start()
    try:
        for number in range(5000):
            strategy.hit(parse("10/hour"), "address", address(number))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak / 1000 < 800  # bytes for each key: 40 MB for 50,000


async def test_the_key_that_was_not_used_longest_is_forgotten() -> None:
    memory = BoundedMemory(most=2)
    strategy, limit = SlidingWindowCounterRateLimiter(memory), parse("1/hour")
    assert [strategy.hit(limit, key) for key in "abab"] == [True, True, False, False]
    assert strategy.hit(limit, "c")
    assert [strategy.hit(limit, key) for key in "ba"] == [False, True]


async def test_nothing_is_counted_without_a_limit() -> None:
    limits = RateLimits()
    assert not limits.limits_addresses
    assert not limits.limits_tokens
    for _ in range(100):
        await limits.spend_address("a")
        await limits.spend_token("a")


async def test_several_limits_apply_together() -> None:
    limits = RateLimits(address=[parse("2/second"), parse("3/hour")])

    accepted = 0
    for _ in range(30):
        with contextlib.suppress(GatewayError):
            await limits.spend_address("a")
            accepted += 1
        await asyncio.sleep(0.1)
    assert accepted == 3
