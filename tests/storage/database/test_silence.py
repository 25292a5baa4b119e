"""Test that a network that goes silent does not hold reads until their timeout.

A relay runs in a network namespace of its own. The way to it is broken without a sign to anybody:
its hardware address becomes a wrong one. That takes root and Linux.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import parse_qs, urlsplit

import pytest

from storage.database.errors import DatabaseUnavailableError
from storage.database.silence import SECONDS
from tests.hostile.attacked import eventually
from tests.storage.database.conftest import beside, connected

_RELAY = """
import asyncio, sys
async def pump(reader, writer):
    while data := await reader.read(65536):
        writer.write(data)
    writer.close()
async def serve(reader, writer):
    far_reader, far_writer = await asyncio.open_unix_connection(sys.argv[1])
    await asyncio.gather(pump(reader, far_writer), pump(far_reader, writer))
async def main():
    server = await asyncio.start_server(serve, sys.argv[2], 5432)
    print("ready", flush=True)
    await server.serve_forever()
asyncio.run(main())
"""

_NAMESPACE = _LINK = f"pg{os.getpid()}"
_NETWORK = f"10.231.{os.getpid() % 250}"

_ONCE_SLOW = """
SELECT to_json(count(*)) FROM pg_stat_activity,
pg_sleep((SELECT CASE count(*) WHEN 1 THEN 60 ELSE 0 END FROM pg_stat_activity
    WHERE state = 'active' AND query LIKE '%pg_sleep%' AND datname = current_database()))
WHERE query LIKE '%pg_sleep%'
"""
"""A statement that takes 60 s, and no time if it runs elsewhere meanwhile."""


def _ip(*arguments: str) -> bool:
    return subprocess.run(["ip", *arguments], capture_output=True, check=False).returncode == 0


class Far:
    """A way to the database that can be broken."""

    def __init__(self, url: str) -> None:
        self.url = url

    @contextmanager
    def silent(self) -> Iterator[None]:
        """Lose everything that is sent, in both directions."""
        wrong = (f"{_NETWORK}.2", "lladdr", "02:00:00:00:00:01", "dev", _LINK, "nud", "permanent")
        assert _ip("neigh", "replace", *wrong)
        try:
            yield
        finally:
            _ip("neigh", "del", f"{_NETWORK}.2", "dev", _LINK)


@pytest.fixture
def far(database_url: str) -> Iterator[Far]:
    if not shutil.which("ip") or os.geteuid() or not _ip("netns", "add", _NAMESPACE):
        pytest.skip("network namespaces need root and iproute2")
    inside = ("-n", _NAMESPACE)
    try:
        assert _ip(
            "link", "add", _LINK, "type", "veth", "peer", "name", "eth0", *("netns", _NAMESPACE)
        )
        assert _ip("addr", "add", f"{_NETWORK}.1/30", "dev", _LINK)
        assert _ip("link", "set", _LINK, "up")
        assert _ip(*inside, "addr", "add", f"{_NETWORK}.2/30", "dev", "eth0")
        assert _ip(*inside, "link", "set", "eth0", "up")
        parts = urlsplit(database_url)
        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        path = f"{query['host']}/.s.PGSQL.{query.get('port', 5432)}"
        address = f"{_NETWORK}.2"
        command = ["ip", "netns", "exec", _NAMESPACE, sys.executable, "-c", _RELAY, path, address]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as relay:
            assert relay.stdout
            assert relay.stdout.readline() == b"ready\n"
            yield Far(f"postgresql://{parts.username or query.get('user')}@{address}{parts.path}")
            relay.kill()
    finally:
        _ip("link", "del", _LINK)
        _ip("netns", "del", _NAMESPACE)


async def test_a_read_on_a_silent_network_is_run_again_when_it_is_noticed(
    far: Far, database_url: str
) -> None:
    async with connected(far.url, pool_timeout=10) as database, beside(database_url) as other:
        reading = asyncio.create_task(database.fetch_json(_ONCE_SLOW, []))

        async def runs() -> bool:
            return await other.running("%pg_sleep%") > 0

        assert await eventually(runs, 10)
        (session,) = database._pool._open
        lost = asyncio.Event()
        session.when_lost(lost.set)
        with far.silent():
            async with asyncio.timeout(2 * SECONDS):
                await lost.wait()
        async with asyncio.timeout(15):
            assert await reading == b"2"
        await other.terminate_all()


async def test_a_read_fails_when_the_network_stays_silent(far: Far) -> None:
    async with connected(far.url) as database:
        with far.silent():
            async with asyncio.timeout(3 * SECONDS):
                with pytest.raises(DatabaseUnavailableError):
                    await database.fetch_json("SELECT to_json(1)", [])


async def test_a_statement_that_is_slow_is_not_ended(far: Far) -> None:
    async with connected(far.url) as database:
        read = "SELECT to_json(1) FROM pg_sleep(%d)" % (SECONDS + 3)
        assert await database.fetch_json(read, []) == b"1"
