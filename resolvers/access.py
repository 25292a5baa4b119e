"""In charge of who asks and what they may do: permissions, viewers, and the profiles in memory."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import dataclass

from resolvers.enums import Permission
from resolvers.errors import ErrorKind, GatewayError, forbidden
from storage.access import ACCESS_CHANNEL, load_profiles, load_revocations
from storage.database import Database, DatabaseUnavailableError, Listener
from storage.plan import Scope, Visibility

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
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
        self._reading = asyncio.Lock()

    async def start(self) -> None:
        """Begin to listen and read for the first time; raises ``DatabaseUnavailableError``."""
        await self._refresh()

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
        if self._stale or self._listener is None or not self._listener.alive:
            await self._refresh()
        if token_id in self._revoked:
            raise GatewayError(ErrorKind.UNAUTHENTICATED, "the token was revoked")
        viewer = self._profiles.get(profile_id)
        if viewer is None:
            raise GatewayError(
                ErrorKind.UNAUTHENTICATED, "the profile that the token was made for is gone"
            )
        return viewer

    def _changed(self) -> None:
        self._stale = True

    async def _refresh(self) -> None:
        async with self._reading:
            if self._listener is None or not self._listener.alive:
                self._stale = True
                try:
                    self._listener = await self._database.listen(ACCESS_CHANNEL, self._changed)
                except DatabaseUnavailableError:
                    # Some poolers cannot listen; the copy is then read for every request.
                    logger.warning("profiles cannot be listened for; reading them each time")
            if not self._stale:
                return
            # Before reading: a change while reading must lead to another reading.
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
