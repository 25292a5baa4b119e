"""Run ``serve``: load the demo, open the port, print how to use it, and stop in order."""

from __future__ import annotations

import asyncio
import logging
from datetime import timedelta

from gateway.demo_broker import broker_url
from gateway.serve.listener import serving
from gateway.serve.workers import further_workers
from gateway.services import Services
from gateway.settings.model import Settings
from storage.database.database import Database
from storage.demo.home import load_home
from storage.writes.access import load_profiles

logger = logging.getLogger(__name__)

_DEMO_TOKEN_TTL = timedelta(days=7)

# README.md shows these commands with their output; a test runs them and compares.
_EXAMPLES_OF_DEVICES = """\
curl -s BASE/graphql -H "Authorization: Bearer $TOKEN" -H "Content-Type: application/json" \\
  -d '{"query":"mutation { executeProcess(id: \\"UHJvY2VzczoyOQ==\\", inputs: [\
{reference: \\"back_at\\", value: \\"18:00\\"}, \
{reference: \\"farewell\\", value: \\"Goodbye\\"}]) \
{ process { displayName } execution { status steps { action status } } } }"}'
curl -s DEVICES/lights
"""
_EXAMPLES = """\
curl -s BASE/graphql -H "Authorization: Bearer $TOKEN" -H "Content-Type: application/json" \\
  -d '{"query":"{ process(reference: \\"leave_home\\") { displayName subprocesses { reference\
 subprocesses { reference } } } }"}'
curl -s BASE/process/3 -H "Authorization: $TOKEN"
curl -s BASE/processes -H "Authorization: Bearer $TOKEN" | head -c 237
curl -s -X PUT BASE/processes/3 -H "Authorization: Bearer $TOKEN" -d '{"name":""}'"""


async def serve(settings: Settings, database: Database) -> None:
    """Serve until the task is canceled, then finish the requests in flight.

    Raises:
        SettingsError: The gateway cannot listen on the address.
        RouteError: A legacy route does not fit the schema.
    """
    if settings.demo and await load_home(
        database, settings.demo_devices, broker_url(settings.demo_devices)
    ):
        logger.info("loaded the demo home")
    further = settings.workers - 1
    async with (
        serving(settings, database, shared=further > 0) as listener,
        further_workers(
            settings, database, listener.port, further, listener.services.executions.look_around
        ) as stop_workers,
    ):
        print(await _greeting(listener.services, listener.port), flush=True)
        try:
            await asyncio.Event().wait()
        finally:
            logger.info("stopping")
            # All at the same time: the grace period is that of the whole gateway.
            await asyncio.gather(listener.stop(), stop_workers())


async def _greeting(services: Services, port: int) -> str:
    """Return the addresses and, for the embedded demo, a token and commands to try."""
    settings = services.settings
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    base = f"http://{host}:{port}"
    lines = [
        f"GraphQL        {base}/graphql"
        + (" (GraphiQL in a browser)" if settings.graphiql else ""),
        f"/process       {base}{settings.rest_base_path}/process",
        f"/processes     {base}{settings.rest_base_path}/processes",
        f"Documentation  {base}/docs",
        f"Health         {base}/health",
    ]
    if settings.demo and settings.database_url is None:
        # Only for the embedded database: the gateway never prints a token for an external one.
        async with services.database.transaction() as transaction:
            (admin,) = (p for p in await load_profiles(transaction) if p.name == "admin")
        token = services.keys.issue(admin.id, admin.name, _DEMO_TOKEN_TTL)
        examples = _EXAMPLES
        if settings.demo_devices:
            examples = _EXAMPLES_OF_DEVICES + examples
        examples = examples.replace("BASE", base).replace("DEVICES", settings.demo_devices)
        lines += [
            "",
            f"Admin token of the demo, valid for {_DEMO_TOKEN_TTL.days} days:",
            f"  TOKEN={token}",
            "",
            *(f"  {line}" for line in examples.splitlines()),
        ]
    return "\n".join(lines)
