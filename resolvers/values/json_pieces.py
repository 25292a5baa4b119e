"""Parse a long list in a body piece by piece, so that no step takes long.

orjson parses in one step, in which no other thread runs: 0.1 s for 16 MiB, and more if the body was
written to take long. A piece is as many items of the list as fit into 32 KiB. It ends at a ``},``
that proves to be the end of an item: what is between the ends of two items is JSON. If it does not,
brackets are counted, which takes longer.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import orjson

from resolvers.errors.catalogue import GatewayError, bad_value
from resolvers.values.strict_json import (
    BRACKET,
    CONTAINERS_PER_ITEM,
    STRING,
    NotJsonError,
    Path,
    check_containers,
    check_items,
    check_strictly,
    containers_in,
    loads,
    parse,
    position_in,
    too_many_containers,
    too_many_items,
)

LONG = 1024 * 1024
"""Bytes from which on a body is parsed in pieces. Each item, and what follows the list, is shorter.
"""
_PIECE = 32 * 1024
"""Bytes of a piece at the most, unless an item is longer."""

# The start of an object up to its first list. The members before it are plain values.
_OPENING = re.compile(
    rb"\s*+\{\s*+(?:%b\s*+:\s*+(?:%b|[^\"{}\[\],\s]++)\s*+,\s*+)*+(%b)\s*+:\s*+\["
    % (STRING, STRING, STRING)
)
_COMMA = re.compile(rb"\s*+,")

# An item before those of a piece: a comma that no item follows is then an error in the piece, too.
# A piece is as deep as the list in its object.
_PIECE_START, _PIECE_END = b"[[0,", b"]]"


def loads_list(
    body: bytes, content_type: str, max_items: int, *, long: int = LONG, piece: int = _PIECE
) -> object:
    """Parse a body that may have a long list of objects, like ``strict_json.loads``.

    Args:
        long: The longest body, in bytes, that is parsed as a whole.
        piece: The longest piece, in bytes, if its items are not longer.

    Raises:
        GatewayError: ``BAD_USER_INPUT``, like ``strict_json.loads``. Also if a body of more than
            ``long`` bytes is not an object with a list of objects that are each shorter.
    """
    if len(body) <= long:
        return loads(body, content_type, max_items)
    opening = _OPENING.match(body, 0, long)
    if opening is None:
        raise _not_a_list(len(body), long)
    try:
        value = _LongList(body, opening, max_items, long, piece).parsed()
    except NotJsonError as error:
        raise error.reported from None
    check_items(value, body, max_items)
    return value


def _not_a_list(length: int, long: int) -> GatewayError:
    return bad_value(
        (),
        f"the body has {length:,} bytes; more than {long:,} are allowed only for a list of objects"
        " that are each shorter than that",
    )


@dataclass(slots=True)
class _LongList:
    """A body that is an object with a long list."""

    body: bytes
    opening: re.Match[bytes]
    """The body up to and including the bracket that opens the list."""
    max_items: int
    long: int
    piece: int
    _containers: int = 0
    """The objects and lists in the pieces so far, or more: see ``_uncounted``."""
    _uncounted: list[tuple[int, int]] = field(default_factory=list)
    """The pieces in which each bracket was counted, even those in texts."""

    def parsed(self) -> dict[str, Any]:
        """Return the object."""
        body = self.body
        key: Any = parse(self.opening[1], self._position(self.opening.start(1)))
        items: list[Any] = []
        start = self.opening.end()
        before = b""
        while len(body) - start > self.long and before != b"0":
            position = self._position(start - len(_PIECE_START))
            located = _located(key, len(items) - 1)
            end, found = self._likely_piece(start)
            if found is None:
                end = self._end(start)
                found = parse(self._text(start, end), position, located)
            else:
                self._count(start, end)
                check_strictly(found, self._text(start, end), position, located)
            items += found[0][1:]
            if len(items) > self.max_items:
                raise too_many_items((key,), self.max_items, "more")
            comma = _COMMA.match(body, end)
            # Without a comma it was the last item, or what follows is an error.
            start, before = (comma.end(), b"0,") if comma else (end, b"0")
        if len(body) - start > self.long:
            raise _not_a_list(len(body), self.long)
        opening = self.opening[0] + before
        text = opening + body[start:]
        if self._containers + text.count(b"{") + text.count(b"[") > self._most:
            self._count_exactly()
        check_containers(text, self.max_items, self._containers)
        position = self._position(start - len(opening), self.opening.end())
        value: Any = parse(text, position, _located(key, len(items) - 1 if items else 0))
        if items:
            value[key] = items + value[key][1:]
        parsed: dict[str, Any] = value
        return parsed

    def _text(self, start: int, end: int) -> bytes:
        return _PIECE_START + self.body[start:end] + _PIECE_END

    def _likely_piece(self, start: int) -> tuple[int, Any]:
        """Return where the last item that fits into a piece ends, and the parsed piece.

        None instead of the piece if the end is not found at once.

        Args:
            start: Where an item starts.
        """
        bracket = self.body.rfind(b"}", start, start + self.piece)
        if bracket < 0 or not _COMMA.match(self.body, bracket + 1):
            bracket = self.body.rfind(b"},", start, start + self.piece)
        if bracket < 0:
            return start, None
        try:
            lists = orjson.loads(self._text(start, bracket + 1))
        except orjson.JSONDecodeError:
            return start, None
        # If the list ends before, no other list follows it: a list is followed by a key.
        return bracket + 1, lists if len(lists) == 1 else None

    def _end(self, start: int) -> int:
        """Return where the last item that fits into a piece ends, or the first if it is longer.

        Args:
            start: Where an item starts.
        """
        depth = containers = 0
        offset = end = start
        while offset - start < self.piece or end == start:
            bracket = BRACKET.match(self.body, offset, start + self.long)
            if bracket is None:
                break
            offset = bracket.end()
            if self.body[offset - 1] in b"{[":
                depth += 1
                containers += 1
                self._require_few(containers)
                continue
            depth -= 1
            if depth < 0:
                break
            if depth == 0:
                end = offset
        if end == start:
            raise _not_a_list(len(self.body), self.long)
        self._containers += containers
        return end

    def _count(self, start: int, end: int) -> None:
        """Count the objects and lists of a piece."""
        body = self.body
        self._uncounted.append((start, end))
        self._containers += body.count(b"{", start, end) + body.count(b"[", start, end)
        self._require_few(0)

    def _require_few(self, more: int) -> None:
        """Check the number of objects and lists so far, and ``more``."""
        if self._containers + more > self._most:
            self._count_exactly()
            if self._containers + more > self._most:
                raise too_many_containers(self._most)

    @property
    def _most(self) -> int:
        return CONTAINERS_PER_ITEM * self.max_items

    def _count_exactly(self) -> None:
        """Count the pieces again in which brackets may be parts of texts."""
        for start, end in self._uncounted:
            self._containers -= self.body.count(b"{", start, end)
            self._containers -= self.body.count(b"[", start, end)
            self._containers += containers_in(self.body, start, end)
        self._uncounted.clear()

    def _position(self, shift: int, shifted_from: int = 0) -> Callable[[int], str]:
        """Return a function that says where an offset in a piece is in the body.

        Args:
            shift: What to add to the offset.
            shifted_from: The first offset that it is added to.
        """
        return lambda offset: position_in(
            self.body, offset if offset < shifted_from else max(offset + shift, 0)
        )


def _located(key: str, shift: int) -> Callable[[Path], Path]:
    """Return a function that says where a value in a piece is in the body.

    Args:
        key: The key of the list in the body.
        shift: What to add to the index of an item.
    """

    def located(path: Path) -> Path:
        if len(path) > 1 and path[0] in (0, key) and isinstance(path[1], int):
            return (key, path[1] + shift, *path[2:])
        return path

    return located
