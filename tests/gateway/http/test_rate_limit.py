"""Test the rate limit: the errors of each API, and the token bucket."""

from __future__ import annotations

import asyncio

import pytest

from gateway.http.rate_limit import RateLimiter
from resolvers.errors.catalogue import GatewayError
from tests.conftest import StartGateway
from tests.gateway.http.wire import JSON, code


async def test_every_api_reports_the_rate_limit(start_gateway: StartGateway) -> None:
    async with start_gateway(rate_limit=0.1, rate_burst=2) as gateway:
        for _ in range(2):
            assert (await gateway.call("GET", "/health", profile=None)).status == 200
        # The rate limit is checked before the token.
        for path, expected in {
            "/process": "rate_limited",
            "/processes": 6001,
            "/graphql": "RATE_LIMITED",
        }.items():
            reply = await gateway.call("GET", path, profile=None)
            assert (reply.status, code(reply)) == (429, expected)
            assert 0 < int(reply.headers["Retry-After"]) <= 10
            assert reply.headers["Content-Type"] == JSON
        assert reply.json["errors"][0]["extensions"]["retryAfter"] <= 10


async def test_requests_are_accepted_again_after_a_while(start_gateway: StartGateway) -> None:
    async with start_gateway(rate_limit=5, rate_burst=1) as gateway:
        statuses = [(await gateway.call("GET", "/processes")).status for _ in range(3)]
        assert statuses == [200, 429, 429]
        await asyncio.sleep(0.25)
        assert (await gateway.call("GET", "/processes")).status == 200


def test_a_bucket_is_refilled_up_to_its_size() -> None:
    now = 0.0
    limiter = RateLimiter(rate=2, burst=3, clock=lambda: now)

    def retry_after(address: str) -> float | None:
        try:
            limiter.spend(address)
        except GatewayError as error:
            return error.retry_after
        return None

    assert [retry_after("a") for _ in range(5)] == [None, None, None, 1, 1]
    assert retry_after("b") is None, "each address has a bucket of its own"
    now = 0.5
    assert [retry_after("a") for _ in range(2)] == [None, 1]
    now = 100.0
    assert [retry_after("a") for _ in range(4)] == [None, None, None, 1], (
        "a bucket does not overflow"
    )
    assert all(RateLimiter(0, 1).spend("a") is None for _ in range(100))  # type: ignore[func-returns-value]


def test_the_limiter_forgets_the_least_recent_address() -> None:
    limiter = RateLimiter(rate=0.001, burst=1, clock=lambda: 0)
    for number in range(10_001):
        limiter.spend(str(number))
    limiter.spend("0")
    with pytest.raises(GatewayError):
        limiter.spend("10000")
