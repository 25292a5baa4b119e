"""Test that a large body holds nobody up: the event loop stays free while it is read and checked.

A heartbeat measures the processor time that the process spends between two turns of the event loop.
Other processes do not affect it. The requests are sent by a process of their own.
"""

from __future__ import annotations

import asyncio
import gc
import json
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Gateway

MIB = 1024 * 1024

_SEND = """
import http.client, json, sys
url, method, path, token, file = sys.argv[1:]
connection = http.client.HTTPConnection(url)
with open(file, "rb") as body:
    headers = {"Authorization": token, "Content-Type": "application/json"}
    connection.request(method, path, body.read(), headers)
response = connection.getresponse()
sys.stdout.buffer.write(b"%d " % response.status + response.read())
"""


@dataclass
class Held:
    """The longest time that the event loop was held, in seconds of processor time."""

    seconds: float = 0.0


@asynccontextmanager
async def heartbeat() -> AsyncIterator[Held]:
    """Measure how long the event loop is held while the block runs."""
    held = Held()

    async def beat() -> None:
        before = time.process_time()
        while True:
            await asyncio.sleep(0.001)
            now = time.process_time()
            held.seconds = max(held.seconds, now - before)
            before = now

    beating = asyncio.create_task(beat())
    await asyncio.sleep(0.01)
    try:
        yield held
    finally:
        await asyncio.sleep(0.01)
        beating.cancel()


def fifty_milliseconds() -> float:
    """Return what a computation takes now that took 50 ms on an idle machine."""
    start = time.process_time()
    sum(number * number for number in range(700_000))
    return time.process_time() - start


def items(count: int, item: bytes) -> bytes:
    return b'{"processes":[' + b",".join([item] * count) + b"]}"


def numbered(count: int, comment: str) -> bytes:
    """Return changes to processes that do not exist."""
    texts = json.dumps(comment)
    return (
        '{"processes":['
        + ",".join(f'{{"id":{10**6 + n},"name":"n","comment":{texts}}}' for n in range(count))
        + "]}"
    ).encode()


def process(arguments: str, actions: int) -> bytes:
    action = f'{{"source":"echo","action":"say","arguments":[{arguments}]}}'
    return f'{{"reference":"r","name":"n","sources":[{",".join([action] * actions)}]}}'.encode()


def named(count: int) -> str:
    return ",".join(f'{{"reference":"a{number}","value":"v"}}' for number in range(count))


def variables(text: str) -> bytes:
    query = "mutation($c: [ProcessTexts!]!) { updateProcesses(changes: $c) { updatedCount } }"
    return f'{{"query":{json.dumps(query)},"variables":{{"c":{text}}}}}'.encode()


Body = Callable[[], bytes]
TOO_MANY = "at most 20,000 items are allowed"

PUT: dict[str, tuple[Body, str]] = {
    "two million objects": (lambda: items(2_000_000, b'{"a":1}'), f"{TOO_MANY}, and the request"),
    "two million numbers": (lambda: items(2_000_000, b"1"), "only for a list of objects"),
    "350,000 objects in 1 MB": (lambda: items(349_000, b"{}"), "objects and lists"),
    "500,000 numbers in 1 MB": (lambda: items(520_000, b"1"), "the request has 520,000"),
    "20,000 wrong items": (
        lambda: items(20_000, b'{"id":"x","name":5,"comment":[]}'),
        "and 59,980 more",
    ),
    "20,000 long names": (
        lambda: items(20_000, b'{"id":1,"name":"' + b"x" * 256 + b'"}'),
        "and 19,980 more",
    ),
    "20,000 unknown processes, 15 MB": (lambda: numbered(20_000, "c" * 700), "and 19,980 more"),
    "20,000 escaped texts, 15 MB": (lambda: numbered(20_000, "\n" * 350), "and 19,980 more"),
    "20,000 accented texts, 15 MB": (lambda: numbered(20_000, "é" * 115), "and 19,980 more"),
    "an id 20,000 times": (lambda: items(20_000, b'{"id":1,"name":"n"}'), "and 19,979 more"),
    "15 MB of lists in one item": (
        lambda: items(1, b'{"x":[' + b",".join([b"[]"] * 5_000_000) + b"]}"),
        "objects and lists",
    ),
    "15 MB of lists in many items": (
        lambda: items(500, b'{"x":[' + b",".join([b"[]"] * 10_000) + b"]}"),
        "all lists together",
    ),
    "12 MB of objects in many items": (
        lambda: items(500, b'{"x":{' + b",".join(b'"%d":{}' % key for key in range(3000)) + b"}}"),
        "objects and lists",
    ),
    "12 MB of members in many items": (
        lambda: items(15_000, b"{" + b",".join(b'"k%d":1' % key for key in range(100)) + b"}"),
        "members of objects",
    ),
    "15 MB of numbers in many items": (
        lambda: items(700, b'{"x":[' + b",".join([b"1"] * 10_000) + b"]}"),
        "all lists together",
    ),
    "15 MB of a broken text": (
        lambda: b'{"processes":[{"a":"' + b"x" * 15 * MIB,
        "only for a list",
    ),
    "15 MB of braces": (lambda: b'{"processes":[' + b"{" * 15 * MIB, "objects and lists"),
    "15 MB of quotes": (lambda: b'{"processes":[' + b'""' * 7 * MIB, "only for a list"),
    "15 MB of members": (lambda: b"{" + b'"":1,' * 3 * MIB, "only for a list"),
    "15 MB of blanks": (lambda: b" " * 15 * MIB, "a JSON body is required"),
}
"""Bodies of PUT /processes, each with a part of the error."""

OTHERS: dict[str, tuple[str, str, Body, str]] = {
    "500,000 arguments": ("POST", "/process", lambda: process("1," * 999 + "1", 500), TOO_MANY),
    "20,000 wrong arguments": (
        *("POST", "/process"),
        lambda: process("{}," * 18 + "{}", 1000),
        "and 37,980 more",
    ),
    "1 MB of lists in POST /process": (
        *("POST", "/process"),
        lambda: b'{"x":[' + b"[]," * 349_000 + b"[]]}",
        "objects and lists",
    ),
    "1 MB of keys": (
        *("POST", "/process"),
        lambda: b"{" + b",".join(b'"%d":1' % number for number in range(90_000)) + b',"7":1}',
        "a duplicate key after",
    ),
    "350,000 values of inputs": (
        *("POST", "/process/1/execute"),
        lambda: b'{"inputs":[' + b"{}," * 349_000 + b"{}]}",
        "objects and lists",
    ),
    "350,000 objects in variables": (
        *("POST", "/graphql"),
        lambda: variables("[" + "{}," * 349_000 + "{}]"),
        "objects and lists",
    ),
    "500,000 numbers in variables": (
        *("POST", "/graphql"),
        lambda: variables("[" + "1," * 520_000 + "1]"),
        f"variables.c: {TOO_MANY}",
    ),
}
"""Requests to other routes, each with its method, path and body, and a part of the error."""

ATTACKS = {name: ("PUT", "/processes", *attack) for name, attack in PUT.items()} | OTHERS


async def send(gateway: Gateway, method: str, path: str, body: bytes, folder: Path) -> Any:
    """Send a request from another process; return the status and the body of the response."""
    file = folder / "body"
    file.write_bytes(body)
    host = gateway.url.removeprefix("http://")
    arguments = (host, method, path, await gateway.token(), str(file))
    sender = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", _SEND, *arguments), stdout=asyncio.subprocess.PIPE
    )
    output, _ = await sender.communicate()
    file.unlink()
    status, _, answer = output.partition(b" ")
    return int(status), answer


async def held_by(
    gateway: Gateway, method: str, path: str, body: bytes, folder: Path
) -> tuple[float, int, bytes]:
    """Send a request; return how long it held the event loop, its status and its response."""
    gc.collect()
    gc.freeze()  # as the server does after its start: the objects of the tests are not its own
    try:
        async with heartbeat() as held:
            status, answer = await send(gateway, method, path, body, folder)
    finally:
        gc.unfreeze()
    return held.seconds, status, answer


@pytest.mark.parametrize("name", ATTACKS)
async def test_a_large_body_is_refused_while_the_event_loop_stays_free(
    empty_gateway: Gateway, name: str, tmp_path: Path
) -> None:
    method, path, body, message = ATTACKS[name]
    unit = fifty_milliseconds()
    held, status, answer = await held_by(empty_gateway, method, path, body(), tmp_path)
    assert status == 400
    assert message in answer.decode()
    assert len(answer) < 16_000
    assert held < 2 * unit, f"held for {held:.3f} s"


async def test_a_large_process_is_created_while_the_event_loop_stays_free(
    empty_gateway: Gateway, tmp_path: Path
) -> None:
    unit = fifty_milliseconds()
    body = process(named(18), 1000)
    held, status, _ = await held_by(empty_gateway, "POST", "/process", body, tmp_path)
    assert status == 200
    assert held < 2 * unit, f"held for {held:.3f} s"
