"""Parse a long list in a body piece by piece, so that no step takes long.

orjson parses in one step, in which no other thread runs: 0.1 s for 16 MiB, and more if the body was
written to take long. A piece is as many items of the list as fit into 32 KiB. It ends at a ``},``
that proves to be the end of an item: what is between the ends of two items is JSON. If it does not,
a regular expression finds the end, or brackets are counted, which takes longer.

Each piece is counted and checked before the next one is parsed, so that a body that has too much of
something costs no more than what is allowed of it.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

import orjson

from resolvers.errors.catalogue import GatewayError, bad_value
from resolvers.values.json_limits import (
    CONTAINERS_PER_ITEM,
    MEMBERS_PER_ITEM,
    STRING,
    Path,
    RawJson,
    Size,
    check_containers,
    check_items,
    has_more_containers,
    too_many_containers,
    too_many_in_all,
    too_many_items,
    too_many_members,
)
from resolvers.values.strict_json import (
    BRACKET,
    NotJsonError,
    check_strictly,
    loads,
    parse,
    position_in,
)

LONG = 1024 * 1024
"""Bytes from which on a body is parsed only in pieces. Each item, and what follows the list, is
shorter."""
_PIECE = 32 * 1024
"""Bytes of a piece at the most, unless an item is longer."""
_MANY = 200
"""Members of a piece, at the least, for which its brackets are counted and not its values."""


class ItemsCheck(Protocol):
    """Takes the items of a list while it is parsed."""

    key: str
    """The key of the list in the body."""

    def add(self, items: list[Any]) -> None:
        """Take further items, and remember what is wrong with them."""

    def accepted(self) -> list[Any]:
        """Return what takes the place of the list.

        Raises:
            GatewayError: ``BAD_USER_INPUT``, some items are wrong.
        """


_FOLLOWED = 256
_COUNTED = 512
"""To follow a bracket takes as long as to count the brackets in so many bytes twice. They are
counted that far ahead when ``_FOLLOWED`` of them have been followed, and twice as many, and so on.
"""

# The start of an object up to its first list. The members before it are plain values.
_OPENING = re.compile(
    rb"\s*+\{\s*+(?:%b\s*+:\s*+(?:%b|[^\"{}\[\],\s]++)\s*+,\s*+)*+(%b)\s*+:\s*+\["
    % (STRING, STRING, STRING)
)
_COMMA = re.compile(rb"\s*+,")
_DEEPER = rb'[^"{}\[\]]*+(?:(?:%b|[{\[]%b[}\]])[^"{}\[\]]*+)*+'
_FLAT = rb'[^"{}\[\]]*+(?:%b[^"{}\[\]]*+)*+' % STRING
"""What is inside of an object whose members are plain values."""
_ITEMS = re.compile(rb"(?:\s*+\{%b\}\s*+,)++" % (_DEEPER % (STRING, _DEEPER % (STRING, _FLAT))))
"""Matches items, each with a comma, whose members are at most two levels deep."""

# An item before those of a piece: a comma that no item follows is then an error in the piece, too.
# A piece is as deep as the list in its object.
_PIECE_START, _PIECE_END = b"[[0,", b"]]"


def loads_list(
    body: RawJson,
    content_type: str,
    max_items: int,
    check: ItemsCheck | None = None,
    *,
    long: int = LONG,
    piece: int = _PIECE,
) -> object:
    """Parse a body that may have a long list of objects, like ``strict_json.loads``.

    Args:
        check: Takes the items of the list, if the body is an object that begins with it.
        long: The longest body, in bytes, that may be anything else.
        piece: The longest piece, in bytes, if its items are not longer.

    Raises:
        GatewayError: ``BAD_USER_INPUT``, like ``strict_json.loads``. Also if a body of more than
            ``long`` bytes is not an object with a list of objects that are each shorter, or has
            more than ``MEMBERS_PER_ITEM`` members for each of ``max_items``.
    """
    if len(body) <= piece:
        return loads(body, content_type, max_items)
    opening = _OPENING.match(body, 0, long)
    if opening is None:
        if len(body) <= long:
            return loads(body, content_type, max_items)
        raise _not_a_list(len(body), long)
    if len(body) <= long:
        check_containers(body, max_items)
    try:
        return _LongList(body, opening, max_items, check, long, piece).parsed()
    except NotJsonError as error:
        raise error.reported from None


def _not_a_list(length: int, long: int) -> GatewayError:
    return bad_value(
        (),
        f"the body has {length:,} bytes; more than {long:,} are allowed only for a list of objects"
        " that are each shorter than that",
    )


@dataclass(slots=True)
class _LongList:
    """A body that is an object with a long list."""

    body: RawJson
    opening: re.Match[bytes]
    """The body up to and including the bracket that opens the list."""
    max_items: int
    check: ItemsCheck | None
    long: int
    piece: int
    _size: Size = field(default_factory=Size)
    """Of the items so far."""
    _is_canonical: bool = True
    """Whether the piece before was written as orjson writes it."""

    def parsed(self) -> dict[str, Any]:
        """Return the object."""
        body = self.body
        key: Any = parse(self.opening[1], self._position(self.opening.start(1)))
        check = self.check if self.check is not None and self.check.key == key else None
        items: list[Any] = []
        count = 0
        start = self.opening.end()
        before = b""
        while len(body) - start > self.piece and before != b"0":
            located = _located(key, count - 1)
            end, found = self._likely_piece(start)
            proven = found is None
            if found is None:
                end = self._end(start)
                if end == start:
                    break
                position = self._position(start - len(_PIECE_START))
                found = parse(self._text(start, end), position, located)
            new = found[0][1:]
            count += len(new)
            members = self._count(new, start, end)
            self._require_little(key, count)
            if not proven:
                self._check_strictly(found, start, end, members, located)
            if check is None:
                items += new
            else:
                check.add(new)
            comma = _COMMA.match(body, end)
            # Without a comma it was the last item, or what follows is an error.
            start, before = (comma.end(), b"0,") if comma else (end, b"0")
        if len(body) - start > self.long:
            raise _not_a_list(len(body), self.long)
        opening = self.opening[0] + before
        text = opening + body[start:]
        check_containers(text, self.max_items, self._size.containers)
        position = self._position(start - len(opening), self.opening.end())
        value: Any = parse(text, position, _located(key, count - 1 if count else 0))
        if count:
            value[key] = value[key][1:]
        listed = value[key]
        if count + len(listed) > self.max_items:
            raise too_many_items((key,), self.max_items, f"{count + len(listed):,}")
        check_items(value, self.max_items, count + self._size.items)
        if check is None:
            value[key] = items + listed
        else:
            check.add(listed)
            value[key] = check.accepted()
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

        ``start`` if the list ends there, or the rest of the body is short and is no item.

        Args:
            start: Where an item starts.
        """
        body = self.body
        if found := _ITEMS.match(body, start, start + self.piece):
            return body.rfind(b"}", start, found.end()) + 1
        limit = start + self.long
        depth, offset, end = 0, start, start
        followed, next_count = 0, _FOLLOWED
        while offset - start < self.piece or end == start:
            if followed == next_count:
                next_count *= 2
                left = self._most_containers - self._size.containers
                ahead = min(start + followed * _COUNTED, limit)
                if has_more_containers(body, left, start, ahead):
                    if len(body) - start <= self.long:
                        return start  # ``check_containers`` knows what to say
                    raise too_many_containers(self._most_containers)
            bracket = BRACKET.match(body, offset, limit)
            if bracket is None:
                break
            offset = bracket.end()
            followed += 1
            if body[offset - 1] in b"{[":
                depth += 1
                continue
            depth -= 1
            if depth < 0:
                break
            if depth == 0:
                end = offset
        if end == start and len(body) - start > self.long:
            raise _not_a_list(len(body), self.long)
        return end

    def _count(self, items: list[Any], start: int, end: int) -> int:
        """Count the items of a piece, and all that is in them. Return the number of members.

        Args:
            start, end: Where the piece is in the body.
        """
        if all(type(item) is dict for item in items):
            members = sum(map(len, items))
            # Objects whose only brackets are their own have nothing in them. To count the brackets
            # takes less time than to look at many values.
            if (
                members >= _MANY
                and self.body.find(b"[", start, end) < 0
                and self.body.count(b"{", start, end) == len(items)
            ):
                self._size.add_flat(len(items), members)
                return members
        return self._size.add(items)

    def _check_strictly(
        self, found: Any, start: int, end: int, members: int, located: Callable[[Path], Path]
    ) -> None:
        """Check a piece like ``strict_json.check_strictly``, in less time for usual ones.

        Args:
            found: The parsed piece.
            start, end: Where it is in the body.
            members: The number of the members of its objects.
            located: See ``strict_json.parse``.
        """
        text = self._text(start, end)
        if b"\\u0000" not in text:
            # No key is in it twice if it has no colons but those of the members.
            if text.count(b":") == members:
                return
            if self._is_canonical:
                self._is_canonical = _is_dumped(found, text)
                if self._is_canonical:
                    return
        check_strictly(found, text, self._position(start - len(_PIECE_START)), located)

    @property
    def _most_containers(self) -> int:
        return CONTAINERS_PER_ITEM * self.max_items

    def _require_little(self, key: str, count: int) -> None:
        """Check that what was parsed so far is not too much.

        Args:
            key: The key of the list.
            count: The number of its items so far.
        """
        size, most = self._size, self.max_items
        if count > most:
            raise too_many_items((key,), most, "more")
        if size.containers > self._most_containers:
            raise too_many_containers(self._most_containers)
        if size.members > MEMBERS_PER_ITEM * most:
            raise too_many_members(MEMBERS_PER_ITEM * most)
        if count + size.items > most:
            raise too_many_in_all(most)

    def _position(self, shift: int, shifted_from: int = 0) -> Callable[[int], str]:
        """Return a function that says where an offset in a piece is in the body.

        Args:
            shift: What to add to the offset.
            shifted_from: The first offset that it is added to.
        """
        return lambda offset: position_in(
            self.body, offset if offset < shifted_from else max(offset + shift, 0)
        )


def _is_dumped(value: object, text: bytes) -> bool:
    """Return whether a text is what orjson writes for its value."""
    try:
        return orjson.dumps(value) == text
    except orjson.JSONEncodeError:
        return False  # orjson parses deeper nesting than it serializes


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
