"""Attack the gateway as the security advisories of aiohttp of 2025 and 2026 describe.

Each test is named after the advisory. Those about aiohttp's client (CVE-2026-54275, CVE-2026-54276,
CVE-2026-54279) are about code that the gateway does not use: the last test checks that this is
still so.
"""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import re
import sys
import zlib
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import brotli
import pytest

from gateway.http.compression import encode
from tests.hostile.attacked import COUNT, Attacked, eventually, talk

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

MIB = 2**20
ROOT = Path(__file__).parents[2]


def statuses(received: bytes) -> list[int]:
    """Return the status of each response."""
    return [int(status) for status in re.findall(rb"HTTP/1\.[01] (\d{3}) ", received)]


@contextlib.contextmanager
def memory_below(target: Attacked, growth: int) -> Iterator[None]:
    """Check that the gateway uses at most ``growth`` bytes more than ever before."""
    before = target.peak_memory()
    yield
    grown = target.peak_memory() - before
    assert grown <= growth, f"{grown / MIB:.1f} MiB more"


def bomb(megabytes: int, opening: bytes = b'{"query": "') -> bytes:
    """Return a gzip member of some kilobytes that becomes that many megabytes of JSON."""
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    packed = [packer.compress(opening)]
    packed += [packer.compress(b" " * MIB) for _ in range(megabytes)]
    return b"".join([*packed, packer.flush()])


BOMB = bomb(64)
BLANKS = b'{"query": "' + b" " * (64 * MIB)
BOMBS = {
    "gzip": BOMB,
    "br": brotli.compress(BLANKS, quality=5),
    "zstd": encode(BLANKS, "zstd"),
    "br with a large window": brotli.compress(BLANKS, quality=5, lgwin=24),
    "zstd with a large window": zstd.compress(
        BLANKS, options={zstd.CompressionParameter.window_log: 27}
    ),
}


@pytest.mark.parametrize("name", BOMBS)
async def test_cve_2025_69223_zip_bomb(target: Attacked, name: str) -> None:
    """A compressed body was decompressed without a limit."""
    body = BOMBS[name]
    headers = (
        "Content-Type: application/json",
        f"Content-Encoding: {name.split()[0]}",
        f"Content-Length: {len(body)}",
        "Connection: close",
    )
    with memory_below(target, 24 * MIB):
        for path in ("/graphql", "/process"):
            received = await talk(target, target.head("POST", path, *headers), body)
            assert statuses(received) == [400]
            message = b"longer than 1,048,576 bytes" if name == "gzip" else b"gzip or deflate"
            assert message in received
        # A chunked bomb, in small pieces.
        sent = [
            b"%x\r\n%s\r\n" % (len(body[i : i + 512]), body[i : i + 512])
            for i in range(0, len(body), 512)
        ]
        chunked = target.head(
            "POST", "/graphql", *headers[:2], *headers[3:], "Transfer-Encoding: chunked"
        )
        received = await talk(target, chunked, *sent, b"0\r\n\r\n")
        assert statuses(received) == [400]


@pytest.mark.parametrize("name", BOMBS)
async def test_cve_2026_54278_zip_bomb_that_nobody_reads(target: Attacked, name: str) -> None:
    """An unread compressed body was decompressed in one piece when its request was over."""
    body = BOMBS[name]
    headers = (f"Content-Encoding: {name.split()[0]}", f"Content-Length: {len(body)}")
    with memory_below(target, 24 * MIB):
        for method, path in (("GET", "/health"), ("POST", "/health"), ("DELETE", "/process")):
            received = await talk(
                target,
                target.head(method, path, *headers),
                body,
                target.head("GET", "/health", "Connection: close"),
            )
            assert statuses(received)[0] in (200, 400, 405)
            assert len(statuses(received)) <= 2


@pytest.mark.parametrize("count", [200, 200_000])
async def test_cve_2026_22815_endless_trailers(target: Attacked, count: int) -> None:
    """The headers behind the last chunk of a body were not limited."""
    head = target.head(
        "POST", "/graphql", "Content-Type: application/json", "Transfer-Encoding: chunked"
    )
    with memory_below(target, 16 * MIB):
        received = await talk(
            target, head, b"2\r\n{}\r\n0\r\n", *[b"a: b\r\n" * 100] * (count // 100), b"\r\n"
        )
        assert statuses(received) == [400]


async def test_cve_2026_34525_two_hosts(target: Attacked) -> None:
    """Two Host headers were accepted: a proxy may have judged the other one."""
    for second in ("Host: other", "host: gateway", "HOST:"):
        received = await talk(target, target.head("GET", "/process/1", second))
        assert statuses(received) == [400]
        assert b'"code":"invalid"' in received


async def test_cve_2026_54273_endless_pipeline(target: Attacked) -> None:
    """Requests that were sent ahead were queued without a limit while one was being answered."""
    connection = await asyncpg.connect(target.database_url)
    reader, writer = await asyncio.open_connection(*target.address)
    try:
        async with connection.transaction():
            await connection.execute("LOCK TABLE process IN ACCESS EXCLUSIVE MODE")
            writer.write(target.head("GET", "/process/1"))
            ahead = b"GET /health HTTP/1.1\r\nHost: gateway\r\n\r\n" * 10_000
            with memory_below(target, 16 * MIB), contextlib.suppress(TimeoutError):
                async with asyncio.timeout(3):
                    for _ in range(400):  # 150 MB
                        writer.write(ahead)
                        await writer.drain()
        # The gateway stopped reading, and answers what it has read.
        assert (await reader.readline()).startswith(b"HTTP/1.1 ")
    finally:
        writer.transport.abort()
        await connection.close()


@pytest.mark.parametrize(
    ("opening", "status"),
    [
        (b"GET /process?", 414),
        (b"GET /process HTTP/1.1\r\nHost: gateway\r\nAuthorization: ", 431),
        (b"GET /process HTTP/1.1\r\nHost: gateway\r\n", 431),
    ],
)
async def test_cve_2026_54277_long_lines_in_pieces(
    target: Attacked, opening: bytes, status: int
) -> None:
    """A line that arrived in pieces could be longer than the limit."""
    with memory_below(target, 8 * MIB):
        received = await talk(target, opening, *[b"a" * 1500] * 200)
        assert statuses(received) == [status]
        assert b'"code":"invalid"' in received


async def test_cve_2026_54280_clients_that_leave_during_a_response(target: Attacked) -> None:
    """What a response holds was not released when its client left before the end."""

    async def is_over() -> bool:
        return not await target.active("COPY")

    for _ in range(2):  # a long list is streamed the second time
        assert statuses(await talk(target, target.head("GET", "/process", "Connection: close")))
    before = target.open_files()
    for read in (0, 1, 100_000) * 4:
        reader, writer = await asyncio.open_connection(*target.address, limit=1024)
        writer.write(target.head("GET", "/process"))
        if read:
            await reader.read(read)
        writer.transport.abort()
    assert await eventually(is_over, 2)

    async def are_closed() -> bool:
        return target.open_files() <= before + 16  # the pool may have grown

    assert await eventually(are_closed, 2)


@pytest.mark.parametrize("header", [b"\x01", b"\x81"], ids=["in fragments", "in one frame"])
async def test_cve_2026_54274_messages_of_websockets(target: Attacked, header: bytes) -> None:
    """The frames of a message were kept in memory beyond its largest size."""
    before = target.peak_memory()
    reader, writer = await asyncio.open_connection(*target.address)
    writer.write(
        target.head(
            *("GET", "/graphql", "Upgrade: websocket", "Connection: Upgrade"),
            *("Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="),
            "Sec-WebSocket-Protocol: graphql-transport-ws",
        )
    )
    assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 101 ")
    piece = 32 * 1024 if header == b"\x01" else 64 * MIB

    async def send() -> None:
        with contextlib.suppress(ConnectionError):
            for start in range(0, 64 * MIB, piece):
                # The mask is zero, so that the payload stays as it is.
                first = header if start == 0 else b"\x00"
                writer.write(first + b"\xff" + piece.to_bytes(8, "big") + bytes(4))
                for _ in range(piece // 32_768):
                    writer.write(b" " * 32_768)
                    await writer.drain()

    sending = asyncio.create_task(send())
    received = b""
    async with asyncio.timeout(15):
        with contextlib.suppress(ConnectionError):  # closed while it still sends
            received = await reader.read()
        await sending
    writer.close()
    # A close frame with the code 1009, unless the reset has overtaken it.
    assert not received or (received[0], int.from_bytes(received[2:4], "big")) == (0x88, 1009)
    assert target.peak_memory() - before < 16 * MIB


async def test_cve_2026_69243_smuggling_by_an_upgrade(target: Attacked) -> None:
    """The body of a request that asked for an upgrade was taken for the next request."""
    inner = target.head("GET", "/processes")
    for upgrade in ("websocket", "h2c", "tcp"):
        for path in ("/graphql", "/health", "/process/1"):
            head = target.head(
                *("POST", path, f"Upgrade: {upgrade}", "Connection: Upgrade"),
                *("Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="),
                *("Content-Type: application/json", f"Content-Length: {len(inner)}"),
            )
            last = target.head("GET", "/health", "Connection: close")
            # Together, and in pieces as a proxy may send them.
            for parts in ([head + inner + last], [head, inner, last], [head + inner, last]):
                received = await talk(target, *parts)
                assert statuses(received) in ([400, 200], [405, 200], [400], [405]), received
                assert b'{"processes":' not in received


async def test_a_client_that_asks_for_http_2_keeps_its_connection(target: Attacked) -> None:
    """Java's client asks for an upgrade with its first request, and goes on when it gets none."""
    upgrade = ("Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAEAAEAA")
    last = target.head("GET", "/health", "Connection: close")
    received = await talk(target, target.post(COUNT, *upgrade), target.post(COUNT, *upgrade), last)
    assert statuses(received) == [200, 200, 200]


def test_what_the_other_advisories_are_about_is_not_used() -> None:
    """No cookies or credentials are kept, and no key server is asked.

    Only the source kind ``http`` sends requests. It keeps no cookies, follows no redirect and sends
    to the address that it has judged (tests/resolvers/execution/sources).
    """
    unused = re.compile(r"(?<!Dummy)CookieJar|DigestAuth|PyJWK|import_module|__import__")
    client = re.compile(r"ClientSession|TCPConnector")
    kind = ROOT / "resolvers" / "execution" / "sources" / "http"
    for package in ("gateway", "rest_compat", "resolvers", "storage"):
        for module in (ROOT / package).rglob("*.py"):
            text = module.read_text(encoding="utf-8")
            assert not unused.search(text), module
            assert kind in module.parents or not client.search(text), module


def test_the_bomb_is_one() -> None:
    assert len(gzip.decompress(BOMB)) > 64 * MIB
    assert len(BOMB) < MIB / 10
