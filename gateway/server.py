"""In charge of serving: from the open port to the last answer."""

from __future__ import annotations

import asyncio
import errno
import logging
import os
from datetime import timedelta

from aiohttp import web

from gateway.app import create_app
from gateway.services import Services, open_services
from gateway.settings import Settings, SettingsError
from storage.access import load_profiles
from storage.database import Database
from storage.demo import load_home

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
    async with open_services(settings, database) as services:
        runner = web.AppRunner(
            create_app(services),
            access_log=None,
            handle_signals=False,
            shutdown_timeout=settings.shutdown_grace,
        )
        await runner.setup()
        try:
            await _listen(runner, settings)
            print(await _greeting(services, runner.addresses[0][1]), flush=True)
            try:
                await asyncio.Event().wait()
            finally:
                logger.info("stopping")
        finally:
            await runner.cleanup()


async def _listen(runner: web.AppRunner, settings: Settings) -> None:
    try:
        await web.TCPSite(runner, settings.host, settings.port, backlog=1024).start()
    except OSError as error:
        name = "port" if error.errno in (errno.EADDRINUSE, errno.EACCES) else "host"
        # Event loops put long words of their own here; resolvers of names count from -1 down.
        number = error.errno or 0
        reason = os.strerror(number) if number > 0 else error.strerror
        raise SettingsError(
            f"{name}: cannot listen on {settings.host}:{settings.port}: {reason}"
        ) from error


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
