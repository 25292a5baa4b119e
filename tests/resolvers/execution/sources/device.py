"""A device with an HTTP API that counts its requests, and misbehaves where a test asks for that."""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import gzip
import ipaddress
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

from aiohttp import web
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

LOOPBACK = ["127.0.0.0/8", "::1/128"]

Behaviour = Callable[["Device", web.Request], Awaitable[web.StreamResponse]]


@dataclass(frozen=True)
class Received:
    """A request as the device received it."""

    method: str
    path: str
    """The path and the query, still escaped."""
    headers: dict[str, str]
    body: str
    peer: tuple[str, int]


@dataclass
class Device:
    """The device, on a real port."""

    base_url: str = ""
    received: list[Received] = field(default_factory=list)
    behave: Behaviour | None = None
    """How it answers; None to answer with what it received."""
    asked: asyncio.Event = field(default_factory=asyncio.Event)
    released: asyncio.Event = field(default_factory=asyncio.Event)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        body = await request.text()
        assert request.transport is not None
        peer = request.transport.get_extra_info("peername")
        self.received.append(
            Received(request.method, request.raw_path, dict(request.headers), body, peer[:2])
        )
        self.asked.set()
        if self.behave is not None:
            return await self.behave(self, request)
        return web.json_response({"method": request.method, "path": request.raw_path, "body": body})

    @property
    def last(self) -> Received:
        return self.received[-1]


@contextlib.asynccontextmanager
async def running_device(trust: ssl.SSLContext | None = None) -> AsyncIterator[Device]:
    device = Device()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", device.handle)
    runner = web.AppRunner(app, shutdown_timeout=0.1, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=trust)
    await site.start()
    port = runner.addresses[0][1]
    device.base_url = f"{'https' if trust else 'http'}://127.0.0.1:{port}"
    try:
        yield device
    finally:
        device.released.set()
        await runner.cleanup()


# How it misbehaves ------------------------------------------------------------------------------


def raw(data: bytes) -> Behaviour:
    """Send these bytes instead of an answer, and close the connection."""

    async def behave(device: Device, request: web.Request) -> web.StreamResponse:
        transport = cast(asyncio.Transport, request.transport)
        transport.write(data)
        transport.close()
        return web.Response()

    return behave


def answers(status: int, body: bytes = b"", **headers: str) -> Behaviour:
    """Answer with this status, body and headers; ``_`` in their names stands for ``-``."""

    async def behave(device: Device, request: web.Request) -> web.StreamResponse:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return web.Response(status=status, body=body, headers=named)

    return behave


async def hangs(device: Device, request: web.Request) -> web.StreamResponse:
    await device.released.wait()
    return web.Response()


async def hangs_in_the_middle(device: Device, request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Type": "application/json"})
    await response.prepare(request)
    await response.write(b'{"half":')
    await device.released.wait()
    return response


async def sends_100_megabytes(device: Device, request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Type": "text/plain"})
    await response.prepare(request)
    with contextlib.suppress(ConnectionError):
        for _ in range(1600):
            await response.write(b"x" * 65536)
    return response


def gzip_bomb() -> Behaviour:
    """200 MB of zeros, in 200 KB."""
    packed = gzip.compress(bytes(200_000_000), 6)
    return answers(200, packed, Content_Type="text/plain", Content_Encoding="gzip")


# Certificates -----------------------------------------------------------------------------------


def certificate(folder: Path, *names: str) -> tuple[str, ssl.SSLContext]:
    """Make a certificate for names and addresses. Returns it, and the context of its server."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "a test")])
    now = datetime.datetime.now(datetime.UTC)
    alternatives: list[x509.GeneralName] = []
    for name in names:
        with contextlib.suppress(ValueError):
            alternatives.append(x509.IPAddress(ipaddress.ip_address(name)))
            continue
        alternatives.append(x509.DNSName(name))
    built = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = built.public_bytes(serialization.Encoding.PEM)
    both = folder / "server.pem"
    both.write_bytes(
        pem
        + key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(both)
    return pem.decode(), context
