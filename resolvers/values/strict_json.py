"""Parse JSON from clients strictly, and report errors that clients can act on.

orjson parses the body. This module also rejects two things that orjson accepts: duplicate keys in
an object (orjson keeps the last value, so two readers of one body could see two different requests)
and NUL characters, which PostgreSQL cannot store. On valid input the checks cost a few
microseconds.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable

import orjson

from resolvers.errors.catalogue import GatewayError, bad_value

# Possessive quantifiers: the regex engine keeps no backtracking stack for a long string.
STRING = rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"'
"""Matches a string."""
_STRINGS = re.compile(STRING)
_KEYS_AND_BRACKETS = re.compile(rb"(" + STRING + rb")(\s*+:)?|[{}\[\]]")
_MANY = 1000
_MANY_OPENINGS = re.compile(rb'(?:[^"{\[]*+(?:%b[^"{\[]*+)*+[{\[]){%d}+' % (STRING, _MANY))
"""Matches everything up to the bracket that opens the thousandth object or list."""
_DEEP = re.compile(rb'(?:[^"{}\[\]]*+(?:%b[^"{}\[\]]*+)*+[{\[]){1025}+' % STRING)
"""Matches the opening brackets of too many levels at the start of a body."""
BRACKET = re.compile(rb'[^"{}\[\]]*+(?:%b[^"{}\[\]]*+)*+[{}\[\]]' % STRING)
"""Matches everything up to the next bracket that is not part of a string."""

_FORMS = {
    "application/x-www-form-urlencoded": "form-encoded",
    "multipart/form-data": "multipart",
}
"""Media types of HTML forms, and their names in error messages."""

_MAX_QUOTED = 40
"""Maximum number of characters of the client's text that a message quotes."""

# orjson's error messages, and ours. {found} is the character at the position of the error.
_PARSE_ERRORS: dict[str, str] = {
    "depth limit exceeded": "it is nested deeper than 1,024 levels",
    "invalid escaped sequence in string": "a string holds an unknown or broken \\ escape",
    "invalid high surrogate in string": "a string holds half of a surrogate pair",
    "invalid literal": "expected a value, found {found}",
    "invalid low surrogate in string": "a string holds half of a surrogate pair",
    "no digit after sign": "expected a digit after the sign of a number",
    "no low surrogate in string": "a string holds half of a surrogate pair",
    "number is infinity when parsed as double": "a number is too large",
    "number with leading zero is not allowed": "a number may not start with 0",
    "trailing comma is not allowed": "a comma must be followed by another item",
    "unexpected character": "expected {expected}, found {found}",
    "unexpected content after document": "expected nothing after the value, found {found}",
    "unexpected control character in string": "a string holds an unescaped control character",
    "unexpected end of data": "it ends before it is complete",
}


Path = tuple[str | int, ...]
"""The keys and indices that lead to a value."""


def loads(body: bytes, content_type: str = "", max_items: int | None = None) -> object:
    """Parse the JSON value in ``body``, independent of its ``Content-Type``.

    Objects become dict, arrays become list, strings become str, and numbers become int. A number
    with a fraction or an exponent, or beyond 64 bits, becomes float.

    Args:
        content_type: The ``Content-Type`` of the body. It only affects the message for a body that
            is not JSON: for a form, the message says to send JSON.
        max_items: The most items of all lists together; None for no limit.

    Raises:
        GatewayError: ``BAD_USER_INPUT`` if ``body`` is empty, not UTF-8, not JSON, or nested deeper
            than 1,024 levels, if it contains a number beyond the range of a double, a lone
            surrogate, a NUL character, or a duplicate key, or if it has too many items. The message
            gives the position.
    """
    if max_items is not None:
        check_containers(body, max_items)
    try:
        value = parse(body, lambda offset: position_in(body, offset))
    except NotJsonError as error:
        raise _body_error(body, content_type) or error.reported from None
    # An item takes two bytes at least, and all items but the first of a list follow a comma.
    if (
        max_items is not None
        and len(body) > 2 * max_items
        and body.count(b",") + body.count(b"[") > max_items
    ):
        check_items(value, body, max_items)
    return value


class NotJsonError(Exception):
    """A text is not JSON. ``reported`` is the error for the client."""

    def __init__(self, reported: GatewayError) -> None:
        super().__init__(reported.message)
        self.reported = reported


def parse(
    text: bytes,
    position: Callable[[int], str],
    located: Callable[[Path], Path] = lambda path: path,
) -> object:
    """Parse a body, or a part of one.

    Args:
        position: Returns where an offset in ``text`` is in the body, in words.
        located: Returns where the value at a path in ``text`` is in the body.

    Raises:
        NotJsonError: It is not JSON.
        GatewayError: It is JSON that is not accepted.
    """
    try:
        value: object = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise NotJsonError(_parse_error(text, error, position)) from None
    check_strictly(value, text, position, located)
    return value


def check_strictly(
    value: object,
    text: bytes,
    position: Callable[[int], str],
    located: Callable[[Path], Path],
) -> None:
    """Check the value that orjson has parsed from ``text`` for what it accepts; see ``parse``.

    Raises:
        GatewayError: ``BAD_USER_INPUT``, there is a duplicate key or a NUL character.
    """
    if not _has_only_keys_of(value, text):
        key, offset = _first_duplicate(text)
        raise bad_value((), f"the body has the duplicate key {_quoted(key)} at {position(offset)}")
    if b"\\u0000" in text and (path := find_nul(value)) is not None:
        raise bad_value(located(path), "holds a NUL character (\\u0000)")


# Limits ----------------------------------------------------------------------------------------

CONTAINERS_PER_ITEM = 4
"""The most objects and lists of a body, for each of its ``max_items``. Usual bodies have two: each
item is an object, and has a list of its own."""


def check_containers(body: bytes, max_items: int, before: int = 0) -> None:
    """Check the number of objects and lists in a body before it is parsed.

    They take most of the time of parsing: half a microsecond each, in which nothing else runs.

    Args:
        before: The number of objects and lists that were parsed before.

    Raises:
        GatewayError: ``BAD_USER_INPUT``, there are more than ``CONTAINERS_PER_ITEM`` for each of
            ``max_items``. They are counted by the thousand.
    """
    most = CONTAINERS_PER_ITEM * max_items
    # An object or list takes two bytes at least.
    if before + len(body) // 2 <= most or before + body.count(b"{") + body.count(b"[") <= most:
        return
    # Some of these brackets may be part of strings.
    count, offset = before, 0
    while many := _MANY_OPENINGS.match(body, offset):
        count, offset = count + _MANY, many.end()
        if count > most and not _DEEP.match(body):  # the parser says where it is too deep
            raise too_many_containers(most)


def containers_in(body: bytes, start: int, end: int) -> int:
    """Return the number of objects and lists in a short part of a body, from ``start`` to ``end``.

    The part begins and ends outside of strings.
    """
    outside = _STRINGS.sub(b"", body[start:end])
    return outside.count(b"{") + outside.count(b"[")


def too_many_containers(most: int) -> GatewayError:
    """Return the error for a body with more than ``most`` objects and lists."""
    return bad_value((), f"the body has more than {most:,} objects and lists")


def check_items(value: object, body: bytes, max_items: int) -> None:
    """Check the number of items of all lists together.

    Args:
        value: The value in the body.

    Raises:
        GatewayError: ``BAD_USER_INPUT``, there are more than ``max_items``.
    """
    lists = body.count(b"[")
    total = 0
    # The outer lists come first. Most bodies have few lists, and need not be searched to the end.
    pending: list[tuple[_PathLink | None, object]] = [(None, value)]
    for path, item in pending:
        children: Iterable[tuple[str | int, object]]
        if isinstance(item, list):
            total += len(item)
            if len(item) > max_items:
                raise too_many_items(_full_path(path), max_items, f"{len(item):,}")
            if total > max_items:
                raise bad_value(
                    (), f"at most {max_items:,} items are allowed in all lists together"
                )
            lists -= 1
            children = enumerate(item)
        elif isinstance(item, dict):
            children = item.items()
        else:
            continue
        if not lists:
            return
        pending += [
            ((path, key), child) for key, child in children if isinstance(child, (dict, list))
        ]


def too_many_items(path: Path, most: int, found: str) -> GatewayError:
    """Return the error for a list that is too long.

    Args:
        found: The number of its items in words, as far as it is known.
    """
    return bad_value(path, f"at most {most:,} items are allowed, and the request has {found}")


# Values ----------------------------------------------------------------------------------------


def find_nul(value: object) -> Path | None:
    """Return the path of a string in ``value`` that contains a NUL character, or None.

    ``value`` consists of dicts, lists, and scalars, nested to any depth. If a key contains NUL, the
    path is that of its object.
    """
    # While searching, a path is a linked list of (parent path, key). A full path for every item
    # would cost time proportional to its depth.
    pending: list[tuple[_PathLink | None, object]] = [(None, value)]
    while pending:
        path, item = pending.pop()
        children: Iterable[tuple[str | int, object]]
        if isinstance(item, dict):
            if any("\0" in key for key in item):
                return _full_path(path)
            children = item.items()
        elif isinstance(item, list):
            children = enumerate(item)
        elif isinstance(item, str) and "\0" in item:
            return _full_path(path)
        else:
            continue
        pending += [
            ((path, key), child) for key, child in children if isinstance(child, (dict, list, str))
        ]
    return None


_PathLink = tuple["_PathLink | None", str | int]


def _full_path(path: _PathLink | None) -> Path:
    keys = []
    while path is not None:
        path, key = path
        keys.append(key)
    return tuple(reversed(keys))


def _has_only_keys_of(value: object, body: bytes) -> bool:
    """Return whether ``body``, the JSON text of ``value``, has only the keys of ``value``."""
    try:
        # Most clients serialize JSON the way orjson does. Serializing drops duplicate keys.
        if orjson.dumps(value) == body:
            return True
    except orjson.JSONEncodeError:
        pass  # orjson parses deeper nesting than it serializes
    # Outside of strings, each key is followed by one colon, and there are no other colons. So it is
    # enough to count colons, unless a string contains an escaped one.
    keys, strings = _keys_and_strings(value)
    colons = body.count(b":")
    if b"\\u003" not in body:
        return colons == keys + "".join(strings).count(":")
    return _STRINGS.sub(b"", body).count(b":") == keys


def _keys_and_strings(value: object) -> tuple[int, list[str]]:
    """Return the number of keys in ``value``, and all of its strings, including the keys."""
    keys = 0
    strings: list[str] = []
    pending = [value]
    while pending:
        item = pending.pop()
        if type(item) is str:
            strings.append(item)
        elif type(item) is dict:
            keys += len(item)
            strings += item
            pending += item.values()
        elif type(item) is list:
            pending += item
    return keys, strings


def _first_duplicate(body: bytes) -> tuple[str, int]:
    """Return the first duplicate key in ``body``, and its offset in bytes."""
    open_keys: list[set[str]] = []  # one set for each open bracket
    for token in _KEYS_AND_BRACKETS.finditer(body):
        string, colon = token.groups()
        if colon:
            key: str = orjson.loads(string)
            if key in open_keys[-1]:
                return key, token.start()
            open_keys[-1].add(key)
        elif not string:
            if token[0] in b"{[":
                open_keys.append(set())
            else:
                open_keys.pop()
    raise AssertionError("the key count is wrong: there is no duplicate key")


def _body_error(body: bytes, content_type: str) -> GatewayError | None:
    """Return what is wrong with a whole body that is not JSON; None if only its JSON is."""
    if not body.strip():
        return bad_value((), "the body is empty; expected a JSON value")
    media_type = content_type.partition(";")[0].strip().lower()
    # curl -d labels every body as form-encoded. A body that starts like JSON is treated as JSON, so
    # that the client gets the position of its mistake.
    if media_type in _FORMS and not body.lstrip().startswith((b"{", b"[")):
        return bad_value((), f"the body is {_FORMS[media_type]} ({media_type}); send JSON")
    return None


def _parse_error(
    text: bytes, error: orjson.JSONDecodeError, position: Callable[[int], str]
) -> GatewayError:
    try:
        decoded = text.decode()
    except UnicodeDecodeError as decode_error:
        return bad_value((), f"the body is not valid UTF-8 at {position(decode_error.start)}")
    if decoded.startswith("\ufeff"):
        return bad_value((), "the body starts with a byte order mark; send it without one")
    summary, _, expected = error.msg.partition(", expected ")
    character = _quoted(decoded[error.pos : error.pos + 1])
    # If a later version of orjson changes a message, the position is still reported.
    template = _PARSE_ERRORS.get(summary, "this is not JSON")
    message = template.format(expected=expected, found=character)
    place = position(len(decoded[: error.pos].encode()))
    return bad_value((), f"the body is not valid JSON at {place}: {message}")


def position_in(body: bytes, offset: int) -> str:
    """Return the position of a byte as editors count it: lines and characters start at 1."""
    line_start = body.rfind(b"\n", 0, offset) + 1
    line = body.count(b"\n", 0, offset) + 1
    column = len(body[line_start:offset].decode()) + 1
    return f"line {line}, column {column}"


def _quoted(text: str) -> str:
    quoted = text if len(text) <= _MAX_QUOTED else text[:_MAX_QUOTED] + "…"
    return json.dumps(quoted, ensure_ascii=False)
