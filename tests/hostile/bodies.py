"""Define the largest bodies that PUT /processes accepts, each costly in another way, and send them.

``python -m tests.hostile.bodies URL TOKEN NAME CLIENTS`` sends one again and again until it is
terminated. It is a process of its own, so that it does not delay the client whose times are taken.
"""

from __future__ import annotations

import asyncio
import io
import sys
from collections.abc import Callable, Mapping

import aiohttp

SIZE = 16 * 1024 * 1024
"""The default of ``max_bulk_body_bytes``."""

_START, _END = b'{"processes":[', b"]}"


def _filled(item: bytes) -> bytes:
    """Return a list of as many equal items as fit."""
    count = (SIZE - len(_START) - len(_END)) // (len(item) + 1)
    return _START + b",".join([item] * count) + _END


def _unknown_ids() -> bytes:
    item = b'{"id":%d,"name":"' + b"n" * 200 + b'","comment":"' + b"c" * 550 + b'"}'
    return _START + b",".join(item % number for number in range(100_000, 120_000)) + _END


BODIES: Mapping[str, Callable[[], bytes]] = {
    "2,000,000 wrong items": lambda: _filled(b"{}"),
    "numbers": lambda: _filled(b"1"),
    "nested lists": lambda: _filled(b'{"a":' + b"[" * 60 + b"]" * 60 + b"}"),
    "large wrong items": lambda: _filled(
        b'{"id":"x","name":"' + b"n" * 700 + b'","comment":"' + b"c" * 100 + b'"}'
    ),
    "escapes": lambda: _filled(b'{"id":1,"name":"' + b"\\u0041" * 130 + b'","comment":"x"}'),
    "brackets in texts": lambda: _filled(b'{"id":1,"name":"' + b"}{" * 400 + b'","comment":"x"}'),
    "one text": lambda: b'{"processes":"' + b"x" * (SIZE - 16) + b'"}',
    "many keys": lambda: _filled(
        b"{" + b",".join(b'"k%d":1' % number for number in range(100)) + b"}"
    ),
    "20,000 processes that do not exist": _unknown_ids,
}


async def _send(url: str, token: str, name: str, clients: int) -> None:
    body = BODIES[name]()
    headers = {"Authorization": token, "Content-Type": "application/json"}

    async def client() -> None:
        async with aiohttp.ClientSession(headers=headers) as session:
            while True:
                async with session.put(f"{url}/processes", data=io.BytesIO(body)) as response:
                    await response.read()
                    sys.stdout.write(f"{response.status}\n")
                    sys.stdout.flush()

    async with asyncio.TaskGroup() as group:
        for _ in range(clients):
            group.create_task(client())


if __name__ == "__main__":
    asyncio.run(_send(sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4])))
