"""In charge of who asks and what they may do: permissions, viewers, and the profiles in memory."""

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
"""Seconds after which listening is tried again where it failed."""


class AccessDirectory:
    """Profiles and revoked tokens in memory, so that judging a token asks no database.

    Every change of them in the database is notified; until a notification could have been missed
    (the listening connection was cut) the copy is current. After that it is read anew for each
    request until listening works again.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._profiles: Mapping[int, Viewer] = {}
        self._revoked: frozenset[str] = frozenset()
        self._stale = True
        self._listener: Listener | None = None
        self._listen_after = 0.0
        self._reading: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Begin to listen and read for the first time; raises ``DatabaseUnavailableError``."""
        await self._read_once()

    async def close(self) -> None:
        """Stop listening."""
        if self._listener is not None:
            await self._listener.close()

    async def viewer(self, profile_id: int, token_id: str) -> Viewer:
        """The viewer that a token speaks for.

        Raises:
            GatewayError: ``UNAUTHENTICATED`` where the token was revoked or its profile is gone.
            DatabaseUnavailableError: that cannot be told now.
        """
        if not self._listening:
            await self._read_once()
        while self._stale:
            await self._read_once()
        if token_id in self._revoked:
            raise GatewayError(ErrorKind.UNAUTHENTICATED, "the token was revoked")
        viewer = self._profiles.get(profile_id)
        if viewer is None:
            raise GatewayError(
                ErrorKind.UNAUTHENTICATED, "the profile that the token was made for is gone"
            )
        return viewer

    def changed(self) -> None:
        """Read anew before the next token is judged.

        What this process has written is told here at once; other processes hear of it a moment
        after it is committed.
        """
        self._stale = True

    @property
    def _listening(self) -> bool:
        return self._listener is not None and self._listener.alive

    async def _read_once(self) -> None:
        """Read anew, or wait for the reading that is under way: when the database hangs, a
        thousand requests wait for one answer together, not for a thousand in turn.
        """
        if self._reading is None or self._reading.done():
            self._reading = asyncio.create_task(self._read())
        await asyncio.shield(self._reading)

    async def _read(self) -> None:
        if not self._listening:
            self._stale = True
            await self._listen()
        # Before reading: a change while reading has to lead to another reading.
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
                frozenset(Permission(word) for word in profile.permissions),
                profile.built_in,
            )
            for profile in profiles
        }

    async def _listen(self) -> None:
        """Listen again, unless that failed a moment ago."""
        if time.monotonic() < self._listen_after:
            return
        try:
            self._listener = await self._database.listen(ACCESS_CHANNEL, self.changed)
        except DatabaseUnavailableError:
            # Poolers in transaction mode never pass notifications on.
            self._listen_after = time.monotonic() + _LISTEN_RETRY
            logger.warning("changes of profiles are not heard; reading them for each request")
