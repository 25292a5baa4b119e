"""Test that a list that is parsed in pieces gives what it gives as a whole, errors included."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resolvers.errors.catalogue import GatewayError
from resolvers.values.json_limits import RawJson
from resolvers.values.json_pieces import loads_list
from resolvers.values.strict_json import loads
from tests.resolvers.values.test_strict_json import LAYOUTS, SCALARS, TRICKY

INNER = st.lists(SCALARS, max_size=3) | st.dictionaries(TRICKY, SCALARS, max_size=3)
ITEMS = st.dictionaries(TRICKY, SCALARS | INNER, max_size=3)
BODIES = st.tuples(
    st.dictionaries(TRICKY, st.none() | st.integers(-9, 9) | TRICKY, max_size=2),
    TRICKY,
    st.lists(ITEMS, max_size=12),
    st.dictionaries(TRICKY, SCALARS | INNER, max_size=2),
)
"""Members before a list, the key of the list, its items, and members after it."""


def result(body: bytes, *, pieces: bool, most: int = 1000) -> object:
    """Return the value of a body, or the message of the error. The body is long in any case."""
    found = _result(body, pieces=pieces, most=most)
    assert _result(bytearray(body), pieces=pieces, most=most) == found
    return found


def _result(body: RawJson, *, pieces: bool, most: int) -> object:
    try:
        if not pieces:
            return loads(body, max_items=most)
        # Longer than any item, and shorter than any body that is worth the test.
        return loads_list(body, "", most, long=len(body) // 2, piece=1)
    except GatewayError as error:
        return error.message


def text_of(parts: tuple[Any, ...], layout: dict[str, Any]) -> bytes:
    before, key, items, after = parts
    members = {name: value for name, value in before.items() if name != key}
    members |= {key: items}
    members |= {name: value for name, value in after.items() if name not in members}
    return json.dumps(members, **layout).encode()


@given(BODIES, LAYOUTS)
def test_pieces_give_the_same_value(parts: tuple[Any, ...], layout: dict[str, Any]) -> None:
    body = text_of(parts, layout)
    value = result(body, pieces=True)
    if isinstance(value, str):  # an item, or what follows the list, is longer than the half
        assert "are allowed only for a list of objects" in value
    else:
        assert value == json.loads(body)


LIST = [{"id": number, "name": 'x{}["', "deep": [1, {"b": []}]} for number in range(200)]
BODY = json.dumps({"first": 1, "items": LIST, "last": [1]}, separators=(",", ":")).encode()
SPACED = json.dumps({"first": 1, "items": LIST, "last": [1]}, indent=2).encode()
AT_150 = b'"id":150'


@pytest.mark.parametrize("body", [BODY, SPACED], ids=["compact", "indented"])
def test_both_ways_parse_a_list(body: bytes) -> None:
    assert result(body, pieces=True) == result(body, pieces=False) == json.loads(body)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (BODY.replace(AT_150, AT_150 + b',"id":1'), 'duplicate key "id" at line 1, column '),
        (BODY.replace(b'"last"', b'"items"'), 'duplicate key "items" at line 1, column '),
        (BODY.replace(b'"first"', b'"items"'), 'duplicate key "items" at line 1, column '),
        (BODY.replace(AT_150, b'"id":015'), "may not start with 0"),
        (BODY.replace(b"{" + AT_150, b",{" + AT_150), 'found ","'),
        (BODY.replace(b",{" + AT_150, b"{" + AT_150), "expected ',' or ']'"),
        (BODY.replace(b'"items":[', b'"items":[,'), 'found ","'),
        (BODY.replace(b'],"last"', b',],"last"'), "a comma must be followed by another item"),
        (BODY[:-10], "it ends before it is complete"),
        (BODY + b"x", 'found "x"'),
        (BODY.replace(AT_150, b'"id":"\\u0000"'), "items[150].id: holds a NUL character"),
        (BODY.replace(AT_150, b'"id":"\xff"'), "not valid UTF-8 at line 1, column "),
        (BODY.replace(AT_150, b'"id":"\\ud800"'), "half of a surrogate pair"),
        (BODY.replace(AT_150, b'"id":1e999'), "a number is too large"),
        (BODY.replace(AT_150, b'"id":"\n"'), "an unescaped control character"),
        (SPACED.replace(b'"id": 150,', b'"id": 150'), "line 1"),
    ],
)
def test_both_ways_report_the_same_error_at_the_same_place(body: bytes, message: str) -> None:
    found = result(body, pieces=True)
    assert found == result(body, pieces=False)
    assert message in str(found)


def test_a_list_that_is_too_long_is_rejected_before_its_end() -> None:
    flat = json.dumps({"items": [{"id": number} for number in range(300)]}).encode()
    message = "items: at most 100 items are allowed, and the request has "
    assert result(flat, pieces=False, most=100) == message + "300"
    assert result(flat, pieces=True, most=100) == message + "more"
    broken = flat.replace(b'"id": 290', b"oops")
    assert result(broken, pieces=True, most=100) == message + "more"


def test_objects_and_lists_are_counted_over_all_pieces() -> None:
    deep = {"a": {"b": {"c": {}, "d": []}, "e": {}}, "f": 'a"{['}
    items = [{"id": number, "deep": deep} for number in range(1000)]
    body = json.dumps({"items": items, "last": [{}] * 500}).encode()  # 7,503 of them
    for pieces in (True, False):
        assert result(body, pieces=pieces, most=9000) == json.loads(body)
        message = result(body, pieces=pieces, most=1500)
        assert message == "the body has more than 6,000 objects and lists"
    beside = {"items": items[:800], "last": [{}] * 1400}  # more than in the list alone
    assert result(json.dumps(beside).encode(), pieces=True, most=1500) == message
    quoted = json.dumps({"items": ["{[" * 20] * 200, "last": '"\\'}).encode()
    assert result(quoted, pieces=False, most=200) == json.loads(quoted)


def test_members_and_items_are_counted_over_all_pieces() -> None:
    items: list[dict[str, Any]] = [
        {"id": number, **{f"k{key}": ":" for key in range(40)}} for number in range(100)
    ]
    body = json.dumps({"items": items}).encode()  # 4,100 members
    assert result(body, pieces=True, most=250) == json.loads(body)
    message = "the body has more than 4,000 members of objects"
    assert result(body, pieces=True, most=200) == message
    lists = json.dumps({"items": [{"a": [1, 2, 3]}] * 100, "last": [1] * 100}).encode()
    for pieces in (True, False):
        assert result(lists, pieces=pieces, most=500) == json.loads(lists)
        message = "at most 499 items are allowed in all lists together"
        assert result(lists, pieces=pieces, most=499) == message
        message = "at most 300 items are allowed in all lists together"
        assert result(lists, pieces=pieces, most=300) == message


class Collected:
    """A check that replaces the items by their number."""

    key = "items"

    def __init__(self) -> None:
        self.items: list[Any] = []

    def add(self, items: list[Any]) -> None:
        self.items += items

    def accepted(self) -> list[Any]:
        return [len(self.items)]


@pytest.mark.parametrize("body", [BODY, SPACED], ids=["compact", "indented"])
@pytest.mark.parametrize("piece", [1, 500, 10**6])
def test_a_check_takes_all_items_in_their_order(body: bytes, piece: int) -> None:
    check = Collected()
    value = loads_list(body, "", 1000, check, long=len(body) // 2, piece=piece)
    if piece < len(body):  # otherwise the caller checks the list that it gets
        assert value == {"first": 1, "items": [200], "last": [1]}
        assert check.items == LIST
    check = Collected()
    check.key = "other"
    assert loads_list(body, "", 1000, check, long=len(body) // 2, piece=piece) == json.loads(body)
    assert not check.items


@pytest.mark.parametrize(
    "body",
    [
        b'[{"a":1},{"a":1},{"a":1},{"a":1}]',
        b'{"a":{"b":[{},{},{},{},{},{},{}]}}',
        b'{"a":[1,2,3,4,5,6,7,8,9,10,11,12,13,14,15]}',
        b'{"a":[{}],"b":"' + b"x" * 50 + b'"}',
        b'{"a":[{"b":"' + b"x" * 50 + b'"}]}',
        b'{"a":["' + b"x" * 50 + b'"]}',
        b'{"a":["' + b"x" * 50,
        b" " * 50,
        b"\xef\xbb\xbf" + BODY,
        b"",
    ],
)
def test_a_long_body_that_is_no_list_of_objects_is_rejected(body: bytes) -> None:
    with pytest.raises(GatewayError) as caught:
        loads_list(body, "", 1000, long=16, piece=1)
    if body:
        assert "more than 16 are allowed only for a list of objects" in caught.value.message
