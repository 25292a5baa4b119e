"""Keep profiles and revoked tokens in memory, and follow their changes in the database."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Mapping

from resolvers.access.viewer import Viewer
from resolvers.errors.catalogue import ErrorKind, GatewayError
from resolvers.values.enums import Permission
from storage.database.database import Database
from storage.database.errors import DatabaseUnavailableError, StorageError
from storage.database.listen import Listener
from storage.database.rows import Reader
from storage.writes.access import ACCESS_CHANNEL, ProfileRow, load_profiles, load_revocations

logger = logging.getLogger(__name__)

_CHECK = 2.0
"""Seconds between two checks that the listening connection is not dead. With the two that an answer
may take, its loss is noticed within five. Where notifications do not arrive, the copy is reloaded
as often."""

_RELOAD = 6.0
"""Seconds after which the copy is reloaded without a notification."""

_TOO_OLD = 10.0
"""Seconds after which the copy is not used any more (docs/contract.md §2)."""

_LOAD_SECONDS = 4.0
"""Seconds that a load may take."""

_LISTEN_RETRY = 30.0
"""Seconds between two attempts to listen where notifications do not arrive."""


class AccessDirectory:
    """An in-memory copy of profiles and revoked tokens, so that authentication needs no query.

    The database sends a notification on every change, and the next token that is checked then waits
    for a reload. Since a notification can be missed, the copy is also reloaded in the background,
    at the latest when its connection turns out to be dead. A copy that is too old is not used.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._profiles: Mapping[int, Viewer] = {}
        self._revoked: frozenset[str] = frozenset()
        self.generation = 0
        """Grows whenever a profile or the revoked tokens turn out to have changed."""
        self._stale = True  # it is known to differ from the database
        self._loaded_at = -_TOO_OLD  # when the load began that the copy is from
        self._reload: asyncio.Task[None] | None = None
        self._listener: Listener | None = None
        self._listen_after = 0.0
        self._deaf = False
        self._lost = asyncio.Event()
        self._following: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Load the profiles and revocations, and follow their changes until ``close``.

        Raises:
            DatabaseUnavailableError: The database cannot be reached.
        """
        with contextlib.suppress(StorageError):  # then the load fails, or the next attempt succeeds
            await self._listen()
        await self._reload_once()
        self._following = asyncio.create_task(self._follow())

    async def close(self) -> None:
        """Stop following changes."""
        tasks = [task for task in (self._following, self._reload) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._listener is not None:
            await self._listener.close()

    async def viewer(self, profile_id: int, token_id: str) -> Viewer:
        """Return the viewer that a token identifies.

        Args:
            profile_id: The profile that the token was issued for.
            token_id: The ID of the token, as stored when the token is revoked.

        Raises:
            GatewayError: ``UNAUTHENTICATED`` if the token was revoked or its profile was deleted.
            StorageError: The copy cannot be used, and the database cannot be read.
        """
        if not self._usable:
            await self.refresh()
        return self.known(profile_id, token_id)

    async def refresh(self) -> None:
        """Reload the copy if it is stale or too old. Raises ``StorageError`` if that fails."""
        while not self._usable:
            await self._reload_once()

    def known(self, profile_id: int, token_id: str) -> Viewer:
        """Return the viewer that a token identifies, as far as the copy knows.

        Raises:
            GatewayError: As ``viewer``.
        """
        if token_id in self._revoked:
            raise GatewayError(ErrorKind.UNAUTHENTICATED, "the token was revoked")
        viewer = self._profiles.get(profile_id)
        if viewer is None:
            raise GatewayError(
                ErrorKind.UNAUTHENTICATED,
                "the profile that the token was issued for no longer exists",
            )
        return viewer

    @property
    def _usable(self) -> bool:
        return not self._stale and time.monotonic() - self._loaded_at <= _TOO_OLD

    def changed(self) -> None:
        """Mark the copy as stale, so that it is reloaded before the next token is checked.

        Call this after a write in this process. Other processes are notified shortly after the
        transaction commits.
        """
        self._stale = True

    # Loading -------------------------------------------------------------------------------------

    async def _reload_once(self) -> None:
        """Reload the copy, or wait for the reload in progress.

        If the database hangs, concurrent requests share one reload instead of queueing one each.
        """
        if self._reload is None or self._reload.done():
            self._reload = asyncio.create_task(self._load())
        await asyncio.shield(self._reload)

    async def _load(self) -> None:
        began = time.monotonic()
        # Reset before loading: a change that happens during the load must cause another one.
        was_stale, self._stale = self._stale, False
        try:
            async with asyncio.timeout(_LOAD_SECONDS):
                rows, revoked = await self._read()
        except BaseException as error:
            self._stale = self._stale or was_stale
            if isinstance(error, TimeoutError):
                raise DatabaseUnavailableError("profiles cannot be loaded") from error
            raise
        profiles = {row.id: viewer_of(row) for row in rows}
        if profiles != self._profiles or revoked != self._revoked:
            # Viewers that have not changed stay the same objects.
            before = self._profiles
            self._profiles = {
                key: before[key] if before.get(key) == viewer else viewer
                for key, viewer in profiles.items()
            }
            self._revoked = revoked
            self.generation += 1
        self._loaded_at = began

    async def _read(self) -> tuple[list[ProfileRow], frozenset[str]]:
        """Read the rows on the listening connection, which no other request can keep busy."""

        async def read(reader: Reader) -> tuple[list[ProfileRow], frozenset[str]]:
            return await load_profiles(reader), await load_revocations(reader)

        if self._listener is not None and self._listener.alive:
            with contextlib.suppress(DatabaseUnavailableError):
                return await read(self._listener)
        return await read(self._database)

    # Following changes ---------------------------------------------------------------------------

    async def _follow(self) -> None:
        """Keep the listening connection alive and the copy young."""
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_CHECK):
                    await self._lost.wait()
            self._lost.clear()
            try:
                await self._follow_once()
            except StorageError as error:
                logger.debug("cannot follow changes of profiles: %s", error)
            except Exception:
                logger.exception("cannot follow changes of profiles")

    async def _follow_once(self) -> None:
        listener = self._listener
        if listener is None or not listener.alive:
            try:
                await self._listen()
            finally:  # even if it failed: other connections may be alive
                await self._reload_once()
            return
        if not listener.hears:
            if time.monotonic() > self._listen_after:
                await self._listen()
        elif not self._stale and time.monotonic() - self._loaded_at < _RELOAD:
            await listener.check()
            return
        await self._reload_once()

    async def _listen(self) -> None:
        """Open a new listening connection. A change before that is only seen by a reload."""
        listener, self._listener = self._listener, None
        if listener is not None:
            await listener.close()
        self._listener = await self._database.listen(ACCESS_CHANNEL, self.changed, self._lost.set)
        if not self._listener.hears:
            self._listen_after = time.monotonic() + _LISTEN_RETRY
            if not self._deaf:
                logger.warning(
                    "notifications do not arrive: changes of profiles and revoked tokens are"
                    " noticed by reloading them every %g s",
                    _CHECK,
                )
        self._deaf = not self._listener.hears


def viewer_of(profile: ProfileRow) -> Viewer:
    """Return the viewer with a stored profile."""
    permissions = frozenset(Permission(value) for value in profile.permissions)
    return Viewer(profile.id, profile.name, permissions, profile.built_in)
