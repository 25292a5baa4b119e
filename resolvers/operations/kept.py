"""Keep the answers of statements, bounded by the memory that they take.

This module only stores them. ``resolvers.operations.reads`` decides whether one still holds.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from dataclasses import dataclass, field
from typing import TypeAlias

Key: TypeAlias = "tuple[bytes, tuple[object, ...]]"
"""A statement and its arguments. The scope of the viewer is part of the statement, and its profile
is an argument where it matters."""

_BYTES = 1000
"""Memory of a kept answer besides its parts and its key."""
_LARGEST_SHARE = 2
"""One answer may take this fraction of the memory: complete lists are long."""
_REMEMBERED = 10_000
"""Keys that are remembered at least, to notice that they are asked for again."""


@dataclass(slots=True, eq=False)
class Kept:
    """The answer of a statement, and what tells whether it still holds."""

    key: Key
    parts: tuple[bytes, ...] | None
    """The JSON in parts; None if the statement returned no value."""
    version: int
    """The version of its dependencies, of the same snapshot."""
    tag: str
    """Identifies the answer among all versions of it and all others."""
    server: int
    """``Database.server_changes`` when it was read."""
    size: int
    """Bytes of memory, as estimated."""
    changes: int = 0
    """How many times in a row it has changed between two requests."""
    forms: dict[Hashable, bytes] = field(default_factory=dict)
    """Other forms of the body that it was sent in, such as compressed ones. ``KeptAnswers`` counts
    their bytes."""


class KeptAnswers:
    """Answers by their keys. The least recently used ones are dropped first.

    Args:
        max_bytes: The memory that they may take, as estimated; 0 to keep none.
    """

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._entries: OrderedDict[Key, Kept] = OrderedDict()
        self._asked: set[int] = set()
        self._asked_before: set[int] = set()
        self.bytes = 0
        """Memory that the answers take, as estimated."""

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, key: Key) -> Kept | None:
        """Return the answer with this key, if it is kept."""
        kept = self._entries.get(key)
        if kept is not None:
            self._entries.move_to_end(key)
        return kept

    def asked_again(self, key: Key) -> bool:
        """Whether there was a request for this key not long ago. Remembers this one.

        What is asked for once only, such as most pages of a long list, is not kept.
        """
        if not self._max_bytes:
            return False
        number = hash(key)
        if number in self._asked:
            return True
        known = number in self._asked_before
        self._asked.add(number)
        if len(self._asked) >= _REMEMBERED:
            self._asked, self._asked_before = set(), self._asked
        return known

    def add(self, kept: Kept) -> None:
        """Keep an answer in place of the one with the same key, unless it is too large."""
        self.drop(kept.key)
        if kept.size <= self._max_bytes // _LARGEST_SHARE:
            self._entries[kept.key] = kept
            self._grow(kept.size)

    def add_form(self, kept: Kept, name: Hashable, body: bytes) -> None:
        """Keep another form of an answer, as long as the answer itself."""
        if self._entries.get(kept.key) is kept and name not in kept.forms:
            kept.forms[name] = body
            kept.size += len(body)
            self._grow(len(body))

    def drop(self, key: Key) -> None:
        """Drop the answer with this key, if there is one."""
        kept = self._entries.pop(key, None)
        if kept is not None:
            self.bytes -= kept.size

    def clear(self) -> None:
        """Drop all answers."""
        self._entries.clear()
        self.bytes = 0

    def _grow(self, size: int) -> None:
        self.bytes += size
        while self.bytes > self._max_bytes:
            _, dropped = self._entries.popitem(last=False)
            self.bytes -= dropped.size


def size_of(parts: tuple[bytes, ...] | None, key: Key) -> int:
    """Return the memory that an answer takes, as estimated."""
    return _BYTES + len(repr(key[1])) + sum(map(len, parts or ()))
