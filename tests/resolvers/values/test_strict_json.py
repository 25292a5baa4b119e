"""Test strict JSON parsing: accepted values, rejected bodies, and error messages."""

from __future__ import annotations

import json
import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resolvers.errors.catalogue import ErrorKind, GatewayError
from resolvers.values.strict_json import find_nul, loads

# No surrogates (not Unicode text) and no NUL: the parser rejects them on purpose.
TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))
# Text that could confuse a parser that does not know where strings end.
TRICKY = st.text(st.sampled_from('"\\:{}[],au0061 \n')) | TEXT
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | TRICKY
)
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner) | st.dictionaries(TRICKY, inner), max_leaves=30
)
LAYOUTS = st.fixed_dictionaries(
    {
        "ensure_ascii": st.booleans(),
        "indent": st.none() | st.integers(0, 3),
        "separators": st.sampled_from([(",", ":"), (" ,\t", " \r\n: ")]),
    }
)


def parse_error(body: bytes) -> GatewayError:
    with pytest.raises(GatewayError) as caught:
        loads(body)
    assert caught.value.kind is ErrorKind.BAD_USER_INPUT
    assert len(caught.value.problems) == 1
    return caught.value


def escaped(key: str) -> str:
    """Return the key as a JSON string in which every UTF-16 unit is escaped."""
    units = key.encode("utf-16-be").hex()
    return '"' + "".join(f"\\u{units[i : i + 4]}" for i in range(0, len(units), 4)) + '"'


@given(VALUES, LAYOUTS)
def test_parses_the_same_values_as_the_standard_library(
    value: object, layout: dict[str, object]
) -> None:
    text = json.dumps(value, **layout)  # type: ignore[arg-type]
    assert loads(text.encode()) == json.loads(text) == value


@given(st.dictionaries(TRICKY, VALUES, min_size=1), st.data())
def test_finds_every_duplicate(value: dict[str, object], data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(sorted(value)))
    key = data.draw(st.sampled_from([json.dumps(name), escaped(name)]))
    members = [f"{json.dumps(name)}: {json.dumps(item)}" for name, item in value.items()]
    index = data.draw(st.integers(0, len(members)))
    members.insert(index, f"{key}\n: 1")
    body = '{"outer": [[], {' + ", ".join(members) + "}, {}]}"
    assert "the body has the duplicate key " in parse_error(body.encode()).message


@pytest.mark.parametrize(
    "body",
    [
        '{"a": {"a": {"a": 1}}}',
        '[{"a": 1}, {"a": 2}]',
        '{"a": "\\"b\\": 1", "b": ": :", "": "\\\\"}',
        r'{"query": "{\"a\": 1, \"a\": 2}"}',
        '{"query": "query($id: ID!) { node(id: $id) { id } }", "variables": {"id": "x:y"}}',
        "7",
        '"::"',
    ],
)
def test_accepts_bodies_that_only_look_like_duplicates(body: str) -> None:
    assert loads(body.encode()) == json.loads(body)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", "the body is empty; expected a JSON value"),
        (b" \n\t", "the body is empty; expected a JSON value"),
        (b'{"a": "\xff"}', "the body is not valid UTF-8 at line 1, column 8"),
        (b'"\xed\xa0\x80"', "the body is not valid UTF-8 at line 1, column 2"),
        (b"\xef\xbb\xbf{}", "the body starts with a byte order mark; send it without one"),
        (b"[" * 1025 + b"]" * 1025, "at line 1, column 1026: it is nested deeper than 1,024"),
        (b"[" * 100_000, "at line 1, column 1026: it is nested deeper than 1,024 levels"),
        (b'{"a":' * 100_000, ": it is nested deeper than 1,024 levels"),
        (b"[" + b"9" * 5000 + b"]", "at line 1, column 2: a number is too large"),
        (b"-1e999", "at line 1, column 1: a number is too large"),
        (rb'{"a": "\ud800"}', "column 8: a string holds half of a surrogate pair"),
        (rb'"\udc00"', "a string holds half of a surrogate pair"),
        (rb'"\ud800A"', "a string holds half of a surrogate pair"),
        (rb'"\ud800\u0041"', "a string holds half of a surrogate pair"),
        (rb'"\x"', "a string holds an unknown or broken \\ escape"),
        (rb'"\u12"', "a string holds an unknown or broken \\ escape"),
        (b'"a\nb"', "column 3: a string holds an unescaped control character"),
        (b'"a\0b"', "column 3: a string holds an unescaped control character"),
        (b'{"a": 1', "column 8: it ends before it is complete"),
        (b'["abc', "it ends before it is complete"),
        (b"tru", "it ends before it is complete"),
        (b"nope", 'expected a value, found "n"'),
        (b"NaN", 'expected a JSON value, found "N"'),
        (b'{"a":}', 'expected a JSON value, found "}"'),
        ('{"é":\n  ß}'.encode(), 'at line 2, column 3: expected a JSON value, found "ß"'),
        (b"{'a': 1}", 'expected a string key, found "\'"'),
        (b"[1 2]", "expected ',' or ']', found \"2\""),
        (b"[1,]", "a comma must be followed by another item"),
        (b"{} {}", 'expected nothing after the value, found "{"'),
        (b"01", "a number may not start with 0"),
        (b"-Infinity", "expected a digit after the sign of a number"),
        (b'{"a": 1, "a": 1}', 'the body has the duplicate key "a" at line 1, column 10'),
        (b'{"query": 1,\n  "\\u0071uery": 2}', 'key "query" at line 2, column 3'),
        (b'[{"\xc3\xa9": {}, "b": {}, "\xc3\xa9": {}}]', 'duplicate key "é" at line 1, column 21'),
        (b'{"' + b"k" * 99 + b'":1,"' + b"k" * 99 + b'":1}', 'key "' + "k" * 40 + '…" at'),
    ],
    ids=lambda value: repr(value)[:40],
)
def test_error_messages_name_the_problem(body: bytes, message: str) -> None:
    assert message in parse_error(body).message


def test_accepts_1024_levels() -> None:
    assert loads(b"[" * 1024 + b"]" * 1024) is not None


def test_finds_a_duplicate_below_1000_levels() -> None:
    body = b'{"a":' * 1020 + b'{"b":1,"b":2}' + b"}" * 1020
    assert 'duplicate key "b"' in parse_error(body).message


@pytest.mark.parametrize("strings", [*range(985, 1005), 20_000])
def test_finds_a_duplicate_wherever_a_block_ends(strings: int) -> None:
    before = b"[" + b'"",' * strings
    body = before + b'{"a": 1, "b" : {}, "a" : 2}]'
    column = len(before + b'{"a": 1, "b" : {}, ') + 1
    assert f'duplicate key "a" at line 1, column {column}' in parse_error(body).message


@pytest.mark.parametrize("item", [b'"",', b"[],", b"{},", b'{"a":1},', b'{"a":"b"},'])
def test_does_not_search_all_of_a_body_for_a_duplicate(item: bytes) -> None:
    tokens = len(re.findall(rb'"\w*"|[{}\[\]]', item))
    before = b"[" + item * (25_000 // tokens)
    body = before + item * 50_000 + b'{"a":1,"a":2}]'
    match = re.fullmatch(
        r"the body has a duplicate key after line 1, column (\d+)", parse_error(body).message
    )
    assert match is not None
    assert abs(int(match[1]) - len(before)) <= len(item)


def test_reports_the_path_of_nul() -> None:
    error = parse_error(rb'{"variables": {"names": ["fine", "\u0000"]}}')
    assert error.problems[0].path == ("variables", "names", 1)
    assert error.message == "variables.names[1]: holds a NUL character (\\u0000)"


def test_accepts_an_escaped_backslash_before_u0000() -> None:
    assert loads(rb'"\\u0000"') == "\\u0000"


@pytest.mark.parametrize(
    ("value", "path"),
    [
        ("\0", ()),
        (["a", {"b": "c\0"}], (1, "b")),
        ({"a": {"b\0": 1}}, ("a",)),
        ({"a": ["", None, 0, 1.5, True]}, None),
        ("", None),
        (None, None),
    ],
)
def test_nul_is_located(value: object, path: tuple[str | int, ...] | None) -> None:
    assert find_nul(value) == path


def test_nul_is_located_at_any_depth() -> None:
    value: object = "\0"
    for _ in range(100_000):
        value = [value]
    path = find_nul(value)
    assert path is not None
    assert len(path) == 100_000


def test_large_bodies_are_parsed_quickly() -> None:
    names = [
        {"id": i, "name": f"Scene: {i}", "comment": "Locks, then: lights"} for i in range(150_000)
    ]
    bulk = json.dumps({"processes": names}).encode()
    hostile = b'{"a":' + b"[" * 1000 + rb'"\\u0000",' + b"1," * 500_000 + b"1" + b"]" * 1000 + b"}"
    for body in (bulk, hostile):
        start = time.process_time()
        loads(body)
        assert time.process_time() - start < 3  # seconds; about 0.5 here
