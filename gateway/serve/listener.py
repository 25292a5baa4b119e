"""Listen on the port of the gateway until the server stops."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import gc
import os
from collections.abc import AsyncIterator

from aiohttp import web

from gateway.engine import OnLease, ignore_lease
from gateway.http.dispatch import create_server
from gateway.services import Services, open_services
from gateway.settings.model import Settings, SettingsError
from storage.database.database import Database


class Listener:
    """A server that listens on a port.

    Args:
        services: What the requests use.
        grace: Seconds in which the requests in flight must end when the server stops.
    """

    def __init__(self, services: Services, grace: float) -> None:
        self.services = services
        self._grace = grace
        self._runner = web.ServerRunner(
            create_server(services), handle_signals=False, shutdown_timeout=grace
        )
        self._stopped = False

    @property
    def port(self) -> int:
        """The port."""
        port: int = self._runner.addresses[0][1]
        return port

    async def start(self, settings: Settings, *, shared: bool) -> None:
        """Listen on the address of the settings. Raises ``SettingsError`` if that fails."""
        await self._runner.setup()
        await _listen(self._runner, settings, shared=shared)

    async def stop(self) -> None:
        """Stop listening, and finish what is in flight, or cut it off after the grace period.

        Mutations whose clients have left are finished, too. Only the first call does anything.
        """
        if self._stopped:
            return
        self._stopped = True
        deadline = asyncio.get_running_loop().time() + self._grace
        # Executions are given up at once, so that the requests that wait for them get an answer.
        await asyncio.gather(self._runner.cleanup(), self.services.executions.drain(self._grace))
        left = deadline - asyncio.get_running_loop().time()
        await self.services.operations.finish(max(0.0, left))


@contextlib.asynccontextmanager
async def serving(
    settings: Settings, database: Database, *, shared: bool, on_lease: OnLease = ignore_lease
) -> AsyncIterator[Listener]:
    """Serve the gateway on a port. At the end, stop unless the caller has stopped it already.

    Args:
        settings: The settings in force.
        database: An open database.
        shared: Whether other processes listen on the same port.
        on_lease: Called with the ID of this worker whenever it gets a new lease.

    Raises:
        SettingsError: The gateway cannot listen on the address.
        RouteError: A legacy route does not fit the schema.
    """
    async with open_services(settings, database, on_lease) as services:
        listener = Listener(services, settings.shutdown_grace)
        try:
            await listener.start(settings, shared=shared)
            # Everything allocated so far stays. Without this, a full collection traverses the
            # schema whenever a large request has created many objects: 0.1 s for 10,000 rows.
            gc.collect()
            gc.freeze()
            # Looking for cycles every 700 objects is not worth it either: a list of 10,000 is
            # 70,000 objects, all freed when the response has been sent.
            gc.set_threshold(10_000, 20, 50)
            yield listener
        finally:
            await listener.stop()


async def _listen(runner: web.ServerRunner, settings: Settings, *, shared: bool) -> None:
    site = web.TCPSite(
        runner, settings.host, settings.port, backlog=1024, reuse_port=shared or None
    )
    try:
        await site.start()
    except OSError as error:
        name = "port" if error.errno in (errno.EADDRINUSE, errno.EACCES) else "host"
        # Event loops set a long message of their own here. Name resolution errors are negative.
        number = error.errno or 0
        reason = os.strerror(number) if number > 0 else error.strerror
        raise SettingsError(
            f"{name}: cannot listen on {settings.host}:{settings.port}: {reason}"
        ) from error
