"""In charge of who asks and what they may do: permissions, viewers, and the profiles in memory."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from resolvers.enums import Permission
from resolvers.errors import ErrorKind, GatewayError, forbidden
from storage.access import ACCESS_CHANNEL, load_profiles, load_revocations
from storage.database import Database, DatabaseUnavailableError, Listener
from storage.plan import Scope, Visibility

logger = logging.getLogger(__name__)

_LISTEN_RETRY = 30.0
"""Seconds after which listening is tried again where it failed."""


@dataclass(frozen=True)
class Viewer:
    """Whoever a request is made for: a profile and what it may do."""

    profile_id: int
    profile_name: str
    permissions: frozenset[Permission]
    built_in: bool

    def may(self, permission: Permission) -> bool:
        """Whether the viewer has the permission; an admin has all."""
        return permission in self.permissions or Permission.ADMIN in self.permissions

    def require(self, permission: Permission | None, what: str) -> None:
        """Raise ``FORBIDDEN`` unless the viewer may do ``what``."""
        if permission is not None and not self.may(permission):
            raise forbidden(
                f"{what} needs the permission {permission.value},"
                f" which the profile {self.profile_name} does not have"
            )

    @property
    def sees_all(self) -> bool:
        """Whether every process exists for this viewer, or only those it is authorised on."""
        return self.built_in or Permission.ADMIN in self.permissions

    @property
    def only_profile(self) -> int | None:
        """The profile whose authorisations limit what the viewer sees; None for no limit."""
        return None if self.sees_all else self.profile_id

    def scope(self, permission: Permission) -> Scope:
        """What statements that run on this permission may show to the viewer."""
        if not self.may(permission):
            processes = Visibility.NONE
        else:
            processes = Visibility.ALL if self.sees_all else Visibility.AUTHORISED
        return Scope(processes, sources=Permission.ADMIN in self.permissions)

    @cached_property
    def reading(self) -> Scope:
        """What reads may show to the viewer."""
        return self.scope(Permission.PROCESS_READ)


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
