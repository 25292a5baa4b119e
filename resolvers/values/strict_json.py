"""In charge of reading JSON that a client sent: strictly, and in words that the client can act on.

orjson does the reading. What it lets pass is refused here: a key that stands twice in an object
(the last would win, so that two readers of one body could see two requests) and NUL characters,
which PostgreSQL cannot store. The checks cost a few microseconds where there is nothing to find.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable

import orjson

from resolvers.errors.catalogue import GatewayError, bad_value

_STRING = (
    rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"'  # possessive: a long string costs no stack to step back on
)
_STRINGS = re.compile(_STRING)
_KEYS_AND_BRACKETS = re.compile(rb"(" + _STRING + rb")(\s*+:)?|[{}\[\]]")

_FORMS = {
    "application/x-www-form-urlencoded": "form-encoded",
    "multipart/form-data": "multipart",
}
"""Media types that HTML forms send, and what the message calls them."""

_SHOWN = 40
"""Characters of the client's own text that a message repeats."""

# What orjson calls its complaint, and what we do; {found} is the character at its place.
_COMPLAINTS: dict[str, str] = {
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


def loads(body: bytes, content_type: str = "") -> object:
    """Read the JSON value in ``body``, whatever its ``Content-Type``.

    Objects come as dicts, arrays as lists, strings as str, numbers as int or (with a fraction, an
    exponent, or beyond 64 bits) float.

    Args:
        content_type: The ``Content-Type`` of the body. It only affects the message for a body that
            is not JSON: a client that sent a form is told to send JSON instead.

    Raises:
        GatewayError: ``BAD_USER_INPUT`` when ``body`` is empty, not UTF-8, not JSON, nested deeper
            than 1,024 levels, holds a number beyond a double's range, a lone surrogate, a NUL
            character or the same key twice in one object. The message says where.
    """
    try:
        value: object = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise _refusal(body, error, content_type) from None
    if not _has_just_the_keys_of(value, body):
        key, offset = _first_duplicate(body)
        where = _place(body, offset)
        raise bad_value((), f"the body has the duplicate key {_quoted(key)} at {where}")
    if b"\\u0000" in body and (path := find_nul(value)) is not None:
        raise bad_value(path, "holds a NUL character (\\u0000)")
    return value


def find_nul(value: object) -> tuple[str | int, ...] | None:
    """The path of a string in ``value`` that holds a NUL character, or None.

    ``value`` is made of dicts, lists and scalars, nested however deep. A key that holds one is
    reported by the path of its object.
    """
    # A path is a chain of (the way to the parent, key) until it is wanted: writing each one out
    # would cost the depth of the value for every item in it.
    todo: list[tuple[_Way | None, object]] = [(None, value)]
    while todo:
        way, item = todo.pop()
        children: Iterable[tuple[str | int, object]]
        if isinstance(item, dict):
            if any("\0" in key for key in item):
                return _path(way)
            children = item.items()
        elif isinstance(item, list):
            children = enumerate(item)
        elif isinstance(item, str) and "\0" in item:
            return _path(way)
        else:
            continue
        todo += [
            ((way, key), child) for key, child in children if isinstance(child, (dict, list, str))
        ]
    return None


_Way = tuple["_Way | None", str | int]


def _path(way: _Way | None) -> tuple[str | int, ...]:
    keys = []
    while way is not None:
        way, key = way
        keys.append(key)
    return tuple(reversed(keys))


def _has_just_the_keys_of(value: object, body: bytes) -> bool:
    """Whether the JSON text that ``value`` was read from has no keys but those of ``value``."""
    try:
        # Most programs write JSON as orjson does. Written back, a key that stood twice is gone.
        if orjson.dumps(value) == body:
            return True
    except orjson.JSONEncodeError:
        pass  # orjson reads deeper nesting than it writes
    # Outside of strings a colon stands after each key and nowhere else. Counting is enough, as long
    # as no colon of a string is written as an escape.
    keys, strings = _keys_and_strings(value)
    colons = body.count(b":")
    if b"\\u003" not in body:
        return colons == keys + "".join(strings).count(":")
    return _STRINGS.sub(b"", body).count(b":") == keys


def _keys_and_strings(value: object) -> tuple[int, list[str]]:
    """How many keys ``value`` has, and all its strings, the keys among them."""
    keys = 0
    strings: list[str] = []
    todo = [value]
    while todo:
        item = todo.pop()
        if type(item) is str:
            strings.append(item)
        elif type(item) is dict:
            keys += len(item)
            strings += item
            todo += item.values()
        elif type(item) is list:
            todo += item
    return keys, strings


def _first_duplicate(body: bytes) -> tuple[str, int]:
    """The first key of ``body`` that its object has already, and its offset in bytes."""
    open_keys: list[set[str]] = []  # one set for each bracket that is open
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
    raise AssertionError("the keys were counted wrong")


def _refusal(body: bytes, error: orjson.JSONDecodeError, content_type: str) -> GatewayError:
    if not body.strip():
        return bad_value((), "the body is empty; expected a JSON value")
    media_type = content_type.partition(";")[0].strip().lower()
    # curl -d says form-encoded of anything. What starts like JSON is meant as JSON, and the client
    # is better served with the position of the mistake.
    if media_type in _FORMS and not body.lstrip().startswith((b"{", b"[")):
        return bad_value((), f"the body is {_FORMS[media_type]} ({media_type}); send JSON")
    try:
        text = body.decode()
    except UnicodeDecodeError as flaw:
        return bad_value((), f"the body is not valid UTF-8 at {_place(body, flaw.start)}")
    if text.startswith("\ufeff"):
        return bad_value((), "the body starts with a byte order mark; send it without one")
    complaint, _, expected = error.msg.partition(", expected ")
    found = _quoted(text[error.pos : error.pos + 1])
    # A complaint that a later orjson words anew still gets its place.
    words = _COMPLAINTS.get(complaint, "this is not JSON").format(expected=expected, found=found)
    where = _place(body, len(text[: error.pos].encode()))
    return bad_value((), f"the body is not valid JSON at {where}: {words}")


def _place(body: bytes, offset: int) -> str:
    """Where a byte stands, as an editor counts: lines and characters from 1."""
    line_start = body.rfind(b"\n", 0, offset) + 1
    line = body.count(b"\n", 0, offset) + 1
    column = len(body[line_start:offset].decode()) + 1
    return f"line {line}, column {column}"


def _quoted(text: str) -> str:
    shown = text if len(text) <= _SHOWN else text[:_SHOWN] + "…"
    return json.dumps(shown, ensure_ascii=False)
