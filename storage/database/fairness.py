"""Queue the borrowers that wait for a connection, fairly between the callers they work for."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from contextvars import ContextVar
from typing import Generic, TypeVar

borrower: ContextVar[str] = ContextVar("borrower", default="")
"""Whom the current task works for, such as the ID of a token. It is only read where a connection
has to be waited for."""

_Item = TypeVar("_Item")


class FairQueue(Generic[_Item]):
    """Places that are served in turn: one of each owner, and the oldest of an owner first.

    An owner with one place waits for at most one item of each other owner, however many places
    those have. ``waiting`` is the number of places.
    """

    def __init__(self) -> None:
        self._owners: OrderedDict[str, dict[asyncio.Future[_Item], None]] = OrderedDict()
        self.waiting = 0

    def join(self, owner: str) -> asyncio.Future[_Item]:
        """Return a new place at the end of the owner's. Await it; leave it if that fails."""
        place: asyncio.Future[_Item] = asyncio.get_running_loop().create_future()
        self._owners.setdefault(owner, {})[place] = None
        self.waiting += 1
        return place

    def leave(self, owner: str, place: asyncio.Future[_Item]) -> None:
        """Give up a place, unless it was served already."""
        places = self._owners.get(owner)
        if places is None or place not in places:
            return
        del places[place]
        if not places:
            del self._owners[owner]
        self.waiting -= 1

    def next(self) -> asyncio.Future[_Item] | None:
        """Remove the place that is served next, and return it; None if nobody waits."""
        while self._owners:
            owner, places = next(iter(self._owners.items()))
            place = next(iter(places))
            self.leave(owner, place)
            if owner in self._owners:
                self._owners.move_to_end(owner)
            if not place.done():  # its borrower was canceled, and has not left yet
                return place
        return None
