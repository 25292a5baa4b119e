"""Subscribe through the Python client ``gql``, as ``subscribe.mjs`` does through those from npm."""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

from gql import Client, gql  # type: ignore[import-not-found]
from gql.transport.aiohttp_websockets import (  # type: ignore[import-not-found]
    AIOHTTPWebsocketsTransport,
)

_COUNT = gql("subscription { processes { totalCount } }")
_CREATE = gql(
    'mutation { createProcess(process: {reference: "lamp", name: "Lamp"})'
    " { process { reference } } }"
)


async def main(url: str, token: str) -> None:
    """Print two answers of a subscription, and that of a mutation in between."""
    transport = AIOHTTPWebsocketsTransport(
        url=url.replace("http", "ws"),
        init_payload={"Authorization": token},
        subprotocols=["graphql-transport-ws"],
    )
    answers: list[Any] = []
    mutated: Any = None
    async with Client(transport=transport) as session:
        async for answer in session.subscribe(_COUNT):
            answers.append(answer)
            if len(answers) == 2:
                break
            mutated = await session.execute(_CREATE)
    sys.stdout.write(json.dumps({"answers": answers, "mutated": mutated}))


asyncio.run(main(*sys.argv[1:]))
