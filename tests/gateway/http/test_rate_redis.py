"""Test rate limits that several gateways share through a Redis server."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import socket
import subprocess
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from gateway.http.rate_limit import RateLimits
from resolvers.errors.catalogue import GatewayError
from storage.database.database import Database
from tests.conftest import running_gateway, settings_for_tests
from tests.gateway.http.wire import code
from tests.gateway.programs import free_port, require_program, until


class Redis:
    """A Redis server that tests can stop and freeze."""

    def __init__(self, folder: Path) -> None:
        self._program = require_program("redis-server")
        self._folder = folder
        self._port = free_port()
        self.url = f"redis://:geheim@127.0.0.1:{self._port}/0"
        self.start()

    def start(self) -> None:
        self._process = subprocess.Popen(
            [
                *(self._program, "--port", str(self._port), "--bind", "127.0.0.1"),
                *("--requirepass", "geheim", "--save", "", "--dir", str(self._folder)),
            ],
            stdout=subprocess.DEVNULL,
        )
        until(self._answers, "Redis")

    def _answers(self) -> bool:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self._port), 1):
            return True
        return False

    def stop(self) -> None:
        self._process.kill()
        self._process.wait(10)

    def freeze(self) -> None:
        os.kill(self._process.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        os.kill(self._process.pid, signal.SIGCONT)


@pytest.fixture(scope="module")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Redis]:
    """A Redis server of this module."""
    server = Redis(tmp_path_factory.mktemp("redis"))
    yield server
    server.stop()


@contextlib.asynccontextmanager
async def shared_limits(redis: Redis, rate: str) -> AsyncIterator[RateLimits]:
    """Limits of an address that are counted in Redis."""
    settings = settings_for_tests(rate_limit_address=rate, redis_url=redis.url)
    limits = RateLimits.from_settings(settings)
    try:
        yield limits
    finally:
        await limits.close()


async def wait_of(limits: RateLimits, address: str) -> int:
    """Count a request. Return 0 if it is accepted, otherwise the announced wait in seconds."""
    try:
        await limits.spend_address(address)
    except GatewayError as error:
        return error.retry_after or 1
    return 0


async def accepted(limits: RateLimits, address: str) -> bool:
    return not await wait_of(limits, address)


async def test_gateways_share_the_limits(redis: Redis, database: Database) -> None:
    settings = {"redis_url": redis.url, "rate_limit_token": "4/minute"}
    async with (
        running_gateway(database, **settings) as one,
        running_gateway(database, **settings) as two,
    ):
        headers = {"Authorization": await one.token()}
        replies = [
            await gateway.call("GET", "/processes", headers=headers) for gateway in (one, two) * 3
        ]
        assert sorted(reply.status for reply in replies) == [200, 200, 200, 200, 429, 429]
        for gateway in (one, two):
            limited = await gateway.call("POST", "/graphql", b"{}", headers=headers)
            assert (limited.status, code(limited)) == (429, "RATE_LIMITED")
            assert 0 < int(limited.headers["Retry-After"]) <= 120
        assert (await one.call("GET", "/processes")).status == 200  # another token


async def test_the_announced_wait_is_enough(redis: Redis) -> None:
    async with shared_limits(redis, "5/second") as limits:
        for _ in range(3):
            while not (wait := await wait_of(limits, "patient")):
                pass
            assert 1 <= wait <= 2
            await asyncio.sleep(wait)
            assert await accepted(limits, "patient")


async def test_requests_neither_fail_nor_wait_while_redis_is_gone(
    redis: Redis, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.http.rate_storage._REDIS_RETRY", 0.5)
    caplog.set_level(logging.INFO)
    async with shared_limits(redis, "50/minute") as limits:
        assert await accepted(limits, "a")
        assert caplog.messages == []
        redis.stop()
        started_at = time.monotonic()
        # In memory from now on, where 50 more are accepted.
        results = [await accepted(limits, "a") for _ in range(60)]
        assert time.monotonic() - started_at < 1
        assert results == [True] * 50 + [False] * 10
        (line,) = caplog.messages
        assert line.startswith("Redis is out of reach, rates are counted here: ")
        assert "geheim" not in line
        redis.start()
        await asyncio.sleep(0.6)
        assert await accepted(limits, "b")
        assert caplog.messages[1:] == ["Redis is in reach again"]


async def test_requests_do_not_wait_long_for_a_redis_that_hangs(
    redis: Redis, caplog: pytest.LogCaptureFixture
) -> None:
    async with shared_limits(redis, "50/minute") as limits:
        assert await accepted(limits, "c")
        redis.freeze()
        try:
            started_at = time.monotonic()
            together = await asyncio.gather(*(accepted(limits, "c") for _ in range(40)))
            assert together == [True] * 40
            waited = time.monotonic() - started_at
            assert waited < 40 * 0.25 / 4  # they wait at the same time
            started_at = time.monotonic()
            assert await accepted(limits, "c")
            assert time.monotonic() - started_at < waited / 2  # Redis is not asked again
        finally:
            redis.thaw()
        assert len(caplog.messages) == 1


async def test_a_redis_that_was_never_there_is_no_reason_to_fail(tmp_path: Path) -> None:
    url = f"redis://127.0.0.1:{free_port()}/0"
    settings = settings_for_tests(rate_limit_address="2/minute", redis_url=url)
    limits = RateLimits.from_settings(settings)
    assert [await accepted(limits, "a") for _ in range(3)] == [True, True, False]
    await limits.close()
