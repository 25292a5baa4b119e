"""Limit how much there is in a JSON body: objects and lists, members, and items of lists.

What can be counted before the body is parsed is counted then.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from resolvers.errors.catalogue import GatewayError, bad_value

# Possessive quantifiers: the regex engine keeps no backtracking stack for a long string.
STRING = rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"'
"""Matches a string."""
_MANY = 1000
_MANY_OPENINGS = re.compile(rb'(?:[^"{\[]*+(?:%b[^"{\[]*+)*+[{\[]){%d}+' % (STRING, _MANY))
"""Matches everything up to the bracket that opens the thousandth object or list."""
_DEEP = re.compile(rb'(?:[^"{}\[\]]*+(?:%b[^"{}\[\]]*+)*+[{\[]){1025}+' % STRING)
"""Matches the opening brackets of too many levels at the start of a body."""

RawJson = bytes | bytearray
"""A JSON text in UTF-8. A large body is a ``bytearray``, since it would take long to copy it."""

Path = tuple[str | int, ...]
"""The keys and indices that lead to a value."""
PathLink = tuple["PathLink | None", str | int]


def full_path(path: PathLink | None) -> Path:
    """Return the path that a link ends."""
    keys = []
    while path is not None:
        path, key = path
        keys.append(key)
    return tuple(reversed(keys))


CONTAINERS_PER_ITEM = 4
"""The most objects and lists of a body, for each of its ``max_items``. Usual bodies have two: each
item is an object, and has a list of its own."""
MEMBERS_PER_ITEM = 20
"""The most members of the objects in a long list, for each of ``max_items``. The longest objects
that a client can read have 13."""


def check_containers(body: RawJson, max_items: int, before: int = 0) -> None:
    """Check the number of objects and lists in a body before it is parsed.

    They take most of the time of parsing: half a microsecond each, in which nothing else runs.

    Args:
        before: The number of objects and lists that were parsed before.

    Raises:
        GatewayError: ``BAD_USER_INPUT``, there are more than ``CONTAINERS_PER_ITEM`` for each of
            ``max_items``. They are counted by the thousand.
    """
    most = CONTAINERS_PER_ITEM * max_items
    # The parser says where it is too deep.
    if has_more_containers(body, most - before, 0, len(body)) and not _DEEP.match(body):
        raise too_many_containers(most)


def has_more_containers(body: RawJson, most: int, start: int, end: int) -> bool:
    """Return whether a part of a body has more than ``most`` objects and lists.

    They are counted by the thousand.

    Args:
        start: Where the part starts, outside of strings.
        end: Where it ends.
    """
    # An object or list takes two bytes at least.
    if (end - start) // 2 <= most:
        return False
    if body.count(b"{", start, end) + body.count(b"[", start, end) <= most:
        return False
    # Some of these brackets may be part of strings.
    count, offset = 0, start
    while many := _MANY_OPENINGS.match(body, offset, end):
        count, offset = count + _MANY, many.end()
        if count > most:
            return True
    return False


def too_many_containers(most: int) -> GatewayError:
    """Return the error for a body with more than ``most`` objects and lists."""
    return bad_value((), f"the body has more than {most:,} objects and lists")


_CONTAINERS = frozenset({dict, list})


@dataclass(slots=True)
class Size:
    """How much there is in some values."""

    containers: int = 0
    """Objects and lists."""
    members: int = 0
    """Members of objects."""
    items: int = 0
    """Items of lists."""

    def add(self, values: list[Any], most_items: float = math.inf) -> int:
        """Count some values, and all that is in them. Return the number of members.

        Args:
            most_items: Stop counting when there are more items.
        """
        before = self.members
        while values:
            dicts = [value for value in values if type(value) is dict]
            lists = [value for value in values if type(value) is list]
            self.containers += len(dicts) + len(lists)
            self.members += sum(map(len, dicts))
            self.items += sum(map(len, lists))
            if self.items > most_items:
                break
            values = [
                inner
                for members in dicts
                for inner in members.values()
                if type(inner) in _CONTAINERS
            ]
            values += [inner for items in lists for inner in items if type(inner) in _CONTAINERS]
        return self.members - before

    def add_flat(self, objects: int, members: int) -> None:
        """Count objects that have no objects or lists in them."""
        self.containers += objects
        self.members += members


def check_items(value: object, max_items: int, before: int = 0) -> None:
    """Check the number of items of all lists together.

    Args:
        before: The number of items that were parsed before.

    Raises:
        GatewayError: ``BAD_USER_INPUT``, there are more than ``max_items``.
    """
    size = Size(items=before)
    size.add([value], max_items)
    if size.items <= max_items:
        return
    # The outer lists come first.
    pending: list[tuple[PathLink | None, object]] = [(None, value)]
    for path, item in pending:
        children: Iterable[tuple[str | int, object]]
        if isinstance(item, list):
            before += len(item)
            if len(item) > max_items:
                raise too_many_items(full_path(path), max_items, f"{len(item):,}")
            if before > max_items:
                break
            children = enumerate(item)
        elif isinstance(item, dict):
            children = item.items()
        else:
            continue
        pending += [((path, key), child) for key, child in children if type(child) in _CONTAINERS]
    raise too_many_in_all(max_items)


def too_many_in_all(most: int) -> GatewayError:
    """Return the error for a body whose lists have too many items together."""
    return bad_value((), f"at most {most:,} items are allowed in all lists together")


def too_many_members(most: int) -> GatewayError:
    """Return the error for a body whose objects have too many members."""
    return bad_value((), f"the body has more than {most:,} members of objects")


def too_many_items(path: Path, most: int, found: str) -> GatewayError:
    """Return the error for a list that is too long.

    Args:
        found: The number of its items in words, as far as it is known.
    """
    return bad_value(path, f"at most {most:,} items are allowed, and the request has {found}")
