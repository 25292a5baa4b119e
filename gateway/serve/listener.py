"""In charge of the open port: a gateway that answers on it, until it is closed."""

from __future__ import annotations

import contextlib
import errno
import gc
import os
from collections.abc import AsyncIterator

from aiohttp import web

from gateway.http.dispatch import create_server
from gateway.services import Services, open_services
from gateway.settings.model import Settings, SettingsError
from storage.database.database import Database


@contextlib.asynccontextmanager
async def serving(
    settings: Settings, database: Database, *, shared: bool
) -> AsyncIterator[tuple[Services, int]]:
    """The gateway, answering on a port; at the end, requests in flight are finished.

    Args:
        shared: whether other processes listen on the same port.

    Raises:
        SettingsError: the address cannot be listened on.
        RouteError: a legacy route does not fit the schema.
    """
    async with open_services(settings, database) as services:
        runner = web.ServerRunner(
            create_server(services),
            handle_signals=False,
            shutdown_timeout=settings.shutdown_grace,
        )
        await runner.setup()
        try:
            await _listen(runner, settings, shared=shared)
            # What is there now stays. Without this, a full collection goes through the whole schema
            # whenever a large request has made many objects: 0.1 s for 10,000 rows.
            gc.collect()
            gc.freeze()
            # Nor is it worth looking for cycles every 700 objects: a list of 10,000 is 70,000
            # objects that all go when it has been answered.
            gc.set_threshold(10_000, 20, 50)
            yield services, runner.addresses[0][1]
        finally:
            await runner.cleanup()


async def _listen(runner: web.ServerRunner, settings: Settings, *, shared: bool) -> None:
    site = web.TCPSite(
        runner, settings.host, settings.port, backlog=1024, reuse_port=shared or None
    )
    try:
        await site.start()
    except OSError as error:
        name = "port" if error.errno in (errno.EADDRINUSE, errno.EACCES) else "host"
        # Event loops put long words of their own here; resolvers of names count from -1 down.
        number = error.errno or 0
        reason = os.strerror(number) if number > 0 else error.strerror
        raise SettingsError(
            f"{name}: cannot listen on {settings.host}:{settings.port}: {reason}"
        ) from error
