"""In charge of ``serve``: what comes before the first request and after the last."""

from __future__ import annotations

import asyncio
import logging
from datetime import timedelta

from gateway.serve.listener import serving
from gateway.serve.workers import further_workers
from gateway.services import Services
from gateway.settings.model import Settings
from storage.database.database import Database
from storage.demo.home import load_home
from storage.writes.access import load_profiles

logger = logging.getLogger(__name__)

_DEMO_TOKEN_TTL = timedelta(days=7)


async def serve(settings: Settings, database: Database) -> None:
    """Serve until the task is cancelled; requests in flight are finished then.

    Raises:
        SettingsError: the address cannot be listened on.
        RouteError: a legacy route does not fit the schema.
    """
    if settings.demo and await load_home(database):
        logger.info("loaded the demo home")
    further = settings.workers - 1
    async with (
        serving(settings, database, shared=further > 0) as (services, port),
        further_workers(settings, database.url, port, further),
    ):
        print(await _greeting(services, port), flush=True)
        try:
            await asyncio.Event().wait()
        finally:
            logger.info("stopping")


async def _greeting(services: Services, port: int) -> str:
    """What a person needs to begin: the addresses and, for the embedded demo, a token to try."""
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
        # Only here: on a database of its own the gateway gives nobody a token unasked.
        async with services.database.transaction() as transaction:
            (admin,) = (p for p in await load_profiles(transaction) if p.name == "admin")
        token = services.keys.issue(admin.id, admin.name, _DEMO_TOKEN_TTL)
        query = '{"query":"{ processes(first: 2) { totalCount nodes { reference displayName } } }"}'
        lines += [
            "",
            f"Admin token of the demo, good for {_DEMO_TOKEN_TTL.days} days:",
            f"  TOKEN={token}",
            "",
            f"  curl -s {base}/graphql -H \"Authorization: Bearer $TOKEN\" -d '{query}'",
            f'  curl -s {base}/process/1 -H "Authorization: $TOKEN"',
            f'  curl -s {base}/processes -H "Authorization: Bearer $TOKEN"',
        ]
    return "\n".join(lines)
