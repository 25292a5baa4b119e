"""Keep profiles and revoked tokens in memory, and follow their changes in the database."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Mapping

from resolvers.access.viewer import Viewer
from resolvers.errors.catalogue import ErrorKind, GatewayError
from resolvers.values.enums import Permission
from storage.database.database import Database
from storage.database.errors import DatabaseUnavailableError
from storage.database.listen import Listener
from storage.writes.access import ACCESS_CHANNEL, load_profiles, load_revocations

logger = logging.getLogger(__name__)

_LISTEN_RETRY = 30.0
"""Seconds to wait after a failed attempt to listen before the next one."""


class AccessDirectory:
    """An in-memory copy of profiles and revoked tokens, so that authentication needs no query.

    The database sends a notification on every change. While the listening connection is alive, the
    copy is current. If the connection is lost, notifications may be missed, so the copy is reloaded
    for each request until listening works again.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._profiles: Mapping[int, Viewer] = {}
        self._revoked: frozenset[str] = frozenset()
        self._stale = True
        self._listener: Listener | None = None
        self._listen_after = 0.0
        self._reload: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Start listening, and load the profiles and revocations.

        Raises:
            DatabaseUnavailableError: The database cannot be reached.
        """
        await self._reload_once()

    async def close(self) -> None:
        """Stop listening."""
        if self._listener is not None:
            await self._listener.close()

    async def viewer(self, profile_id: int, token_id: str) -> Viewer:
        """Return the viewer that a token identifies.

        Args:
            profile_id: The profile that the token was issued for.
            token_id: The ID of the token, as stored when the token is revoked.

        Raises:
            GatewayError: ``UNAUTHENTICATED`` if the token was revoked or its profile was deleted.
            DatabaseUnavailableError: The copy is stale and the database cannot be reached.
        """
        if not self._listening:
            await self._reload_once()
        while self._stale:
            await self._reload_once()
        if token_id in self._revoked:
            raise GatewayError(ErrorKind.UNAUTHENTICATED, "the token was revoked")
        viewer = self._profiles.get(profile_id)
        if viewer is None:
            raise GatewayError(
                ErrorKind.UNAUTHENTICATED,
                "the profile that the token was issued for no longer exists",
            )
        return viewer

    def changed(self) -> None:
        """Mark the copy as stale, so that it is reloaded before the next token is checked.

        Call this after a write in this process. Other processes are notified shortly after the
        transaction commits.
        """
        self._stale = True

    @property
    def _listening(self) -> bool:
        return self._listener is not None and self._listener.alive

    async def _reload_once(self) -> None:
        """Reload the copy, or wait for the reload in progress.

        If the database hangs, concurrent requests share one reload instead of queueing one each.
        """
        if self._reload is None or self._reload.done():
            self._reload = asyncio.create_task(self._load())
        await asyncio.shield(self._reload)

    async def _load(self) -> None:
        if not self._listening:
            self._stale = True
            await self._listen()
        # Reset before loading: a change that happens during the load must cause another one.
        self._stale = False
        try:
            async with self._database.transaction() as transaction:
                profiles = await load_profiles(transaction)
                self._revoked = await load_revocations(transaction)
        except BaseException:
            self._stale = True
            raise
        self._profiles = {
            profile.id: Viewer(
                profile.id,
                profile.name,
                frozenset(Permission(value) for value in profile.permissions),
                profile.built_in,
            )
            for profile in profiles
        }

    async def _listen(self) -> None:
        """Start listening, unless an attempt failed within the last ``_LISTEN_RETRY`` seconds."""
        if time.monotonic() < self._listen_after:
            return
        try:
            self._listener = await self._database.listen(ACCESS_CHANNEL, self.changed)
        except DatabaseUnavailableError:
            # Connection poolers in transaction mode do not forward notifications.
            self._listen_after = time.monotonic() + _LISTEN_RETRY
            logger.warning("cannot listen for changes of profiles; reloading them for each request")
