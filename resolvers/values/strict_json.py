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
from itertools import islice

import orjson

from resolvers.errors.catalogue import GatewayError, bad_value
from resolvers.values.json_limits import (
    STRING,
    Path,
    PathLink,
    RawJson,
    Size,
    check_containers,
    check_items,
    full_path,
)

_STRINGS = re.compile(STRING)
_TOKENS = re.compile(rb'[^"{}\[\]]*+(?:(%b)(?:\s*+(:))?|([{\[])|[}\]])' % STRING)
"""Matches what is before a string or a bracket, and this: a string is in the first group, the colon
of a key in the second, and a bracket that opens in the third."""
_BLOCK = re.compile(rb'(?:[^"{}\[\]]*+(?:%b\s*+:?|[{}\[\]])){1,1000}+' % STRING)
"""Matches up to 1,000 strings and brackets, and what is before each."""
_MOST_BLOCKS = 25
"""Maximum number of blocks that are searched for a duplicate key, which takes about 25 ms."""
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


def loads(body: RawJson, content_type: str = "", max_items: int | None = None) -> object:
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
        check_items(value, max_items)
    return value


class NotJsonError(Exception):
    """A text is not JSON. ``reported`` is the error for the client."""

    def __init__(self, reported: GatewayError) -> None:
        super().__init__(reported.message)
        self.reported = reported


def parse(
    text: RawJson,
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
    text: RawJson,
    position: Callable[[int], str],
    located: Callable[[Path], Path],
) -> None:
    """Check the value that orjson has parsed from ``text`` for what it accepts; see ``parse``.

    Raises:
        GatewayError: ``BAD_USER_INPUT``, there is a duplicate key or a NUL character.
    """
    if not _has_only_keys_of(value, text):
        key, offset = _first_duplicate(text)
        found = "a duplicate key after" if key is None else f"the duplicate key {_quoted(key)} at"
        raise bad_value((), f"the body has {found} {position(offset)}")
    if b"\\u0000" in text and (path := find_nul(value)) is not None:
        raise bad_value(located(path), "holds a NUL character (\\u0000)")


# Values ----------------------------------------------------------------------------------------


def find_nul(value: object) -> Path | None:
    """Return the path of a string in ``value`` that contains a NUL character, or None.

    ``value`` consists of dicts, lists, and scalars, nested to any depth. If a key contains NUL, the
    path is that of its object.
    """
    # While searching, a path is a linked list of (parent path, key). A full path for every item
    # would cost time proportional to its depth.
    pending: list[tuple[PathLink | None, object]] = [(None, value)]
    while pending:
        path, item = pending.pop()
        children: Iterable[tuple[str | int, object]]
        if isinstance(item, dict):
            if any("\0" in key for key in item):
                return full_path(path)
            children = item.items()
        elif isinstance(item, list):
            children = enumerate(item)
        elif isinstance(item, str) and "\0" in item:
            return full_path(path)
        else:
            continue
        pending += [
            ((path, key), child) for key, child in children if isinstance(child, (dict, list, str))
        ]
    return None


def _has_only_keys_of(value: object, body: RawJson) -> bool:
    """Return whether ``body``, the JSON text of ``value``, has only the keys of ``value``."""
    try:
        written = orjson.dumps(value)
    except orjson.JSONEncodeError:  # orjson parses deeper nesting than it serializes
        return _STRINGS.sub(b"", body).count(b":") == Size().add([value])
    # Most clients serialize JSON the way orjson does. Serializing drops duplicate keys.
    if written == body:
        return True
    # Outside of strings, each key is followed by one colon, and there are no other colons. So both
    # have the same colons, unless one in a string is escaped.
    if b"\\u003" not in body:
        return body.count(b":") == written.count(b":")
    return _STRINGS.sub(b"", body).count(b":") == Size().add([value])


def _first_duplicate(body: RawJson) -> tuple[str | None, int]:
    """Return the first duplicate key in ``body``, and its offset in bytes.

    If it is not among the first ``_MOST_BLOCKS`` blocks, return None and where they end.
    """
    outer: list[set[str]] = []
    keys: set[str] = set()  # of the innermost open bracket
    start = 0
    for _ in range(_MOST_BLOCKS):
        block = _BLOCK.match(body, start)
        assert block is not None, "the key count is wrong: there is no duplicate key"
        # Tuples of the tokens take less time than a match object for each of them, and to parse the
        # keys at once less than one by one.
        tokens = _TOKENS.findall(body, start, block.end())
        names = orjson.loads(b"[%b]" % b",".join([text for text, colon, _ in tokens if colon]))
        name = iter(names)
        for index, (string, colon, opens) in enumerate(tokens):
            if colon:
                key = next(name)
                if key in keys:
                    matches = _TOKENS.finditer(body, start, block.end())
                    return key, next(islice(matches, index, None)).start(1)
                keys.add(key)
            elif opens:
                outer.append(keys)
                keys = set()
            elif not string:
                keys = outer.pop()
        start = block.end()
    return None, start


def _body_error(body: RawJson, content_type: str) -> GatewayError | None:
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
    text: RawJson, error: orjson.JSONDecodeError, position: Callable[[int], str]
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


def position_in(body: RawJson, offset: int) -> str:
    """Return the position of a byte as editors count it: lines and characters start at 1."""
    line_start = body.rfind(b"\n", 0, offset) + 1
    line = body.count(b"\n", 0, offset) + 1
    column = len(body[line_start:offset].decode()) + 1
    return f"line {line}, column {column}"


def _quoted(text: str) -> str:
    quoted = text if len(text) <= _MAX_QUOTED else text[:_MAX_QUOTED] + "…"
    return json.dumps(quoted, ensure_ascii=False)
