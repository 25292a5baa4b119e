"""Parse a long list in a body piece by piece, so that no step takes long.

orjson parses in one step, in which no other thread runs: 0.1 s for 16 MiB, and more if the body was
written to take long. A piece is as many items of the list as fit into 128 KiB. Their ends are found
by counting brackets, so that there are not too many items before the first of them is parsed.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from resolvers.errors.catalogue import GatewayError, bad_value
from resolvers.values.strict_json import (
    BRACKET,
    CONTAINERS_PER_ITEM,
    STRING,
    NotJsonError,
    Path,
    check_containers,
    check_items,
    loads,
    parse,
    position_in,
    too_many_containers,
    too_many_items,
)

LONG = 1024 * 1024
"""Bytes from which on a body is parsed in pieces. Each item, and what follows the list, is shorter.
"""
_PIECE = 128 * 1024
"""Bytes after which a piece ends with the next item."""

# The start of an object up to its first list. The members before it are plain values.
_OPENING = re.compile(
    rb"\s*+\{\s*+(?:%b\s*+:\s*+(?:%b|[^\"{}\[\],\s]++)\s*+,\s*+)*+(%b)\s*+:\s*+\["
    % (STRING, STRING, STRING)
)
_COMMA = re.compile(rb"\s*+,")

# An item before those of a piece: a comma that no item follows is then an error in the piece, too.
_BEFORE = b"0,"
_PIECE_START, _PIECE_END = b"[[" + _BEFORE, b"]]"
"""As deep as the list in its object."""


def loads_list(
    body: bytes, content_type: str, max_items: int, *, long: int = LONG, piece: int = _PIECE
) -> object:
    """Parse a body that may have a long list of objects, like ``strict_json.loads``.

    Args:
        long: The longest body, in bytes, that is parsed as a whole.
        piece: The bytes after which a piece ends with the next item.

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
    check_items(value, max_items)
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
    containers: int = 0
    """The number of objects and lists in the pieces so far."""

    def parsed(self) -> dict[str, Any]:
        """Return the object."""
        key: Any = parse(self.opening[1], self._position(self.opening.start(1)))
        items: list[Any] = []
        start = self.opening.end()
        for end, following in self._pieces(key):
            text = _PIECE_START + self.body[start:end] + _PIECE_END
            position = self._position(start - len(_PIECE_START))
            piece: Any = parse(text, position, _located(key, len(items) - 1))
            items += piece[0][1:]
            start = following
        opening = self.opening[0] + (_BEFORE if items else b"")
        text = opening + self.body[start:]
        check_containers(text, self.max_items, self.containers)
        position = self._position(start - len(opening), self.opening.end())
        value: Any = parse(text, position, _located(key, len(items) - 1 if items else 0))
        if items:
            value[key] = items + value[key][1:]
        parsed: dict[str, Any] = value
        return parsed

    def _pieces(self, key: str) -> Iterator[tuple[int, int]]:
        """Yield where each piece ends, and where the next one begins.

        The last piece is not among them: it is parsed together with what surrounds the list.
        """
        body, most = self.body, CONTAINERS_PER_ITEM * self.max_items
        start = offset = self.opening.end()
        depth = items = containers = 0
        while len(body) - start > self.long:
            bracket = BRACKET.match(body, offset, start + self.long)
            if bracket is None:
                raise _not_a_list(len(body), self.long)
            offset = bracket.end()
            if body[offset - 1] in b"{[":
                depth += 1
                containers += 1
                if containers > most:
                    raise too_many_containers(most)
                continue
            depth -= 1
            if depth < 0:  # the list ends, and something long follows
                raise _not_a_list(len(body), self.long)
            if depth:
                continue
            items += 1
            if items > self.max_items:
                raise too_many_items((key,), self.max_items, "more")
            if offset - start >= self.piece and (comma := _COMMA.match(body, offset)):
                self.containers = containers
                yield offset, comma.end()
                start = offset = comma.end()

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
