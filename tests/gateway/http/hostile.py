"""Define hostile and malformed GraphQL requests, and check the responses to them."""

from __future__ import annotations

import re
from typing import Any

from tests.conftest import Gateway, Reply

LIMIT = 1024 * 1024
LEAKS = re.compile(
    rb"asyncpg|postgres|psql|SELECT |INSERT |Traceback|File \\|\.py\b|site-packages|orjson|pydantic"
    rb"|sys\.|Exception|surrogates not allowed|codec|/(?:home|usr|root|tmp)/|localhost",
    re.IGNORECASE,
)


def bad(reply: Reply, *statuses: int) -> list[dict[str, Any]]:
    """Return the errors of a response, after checking their form and that they leak nothing."""
    assert reply.status in (statuses or (400,)), reply
    assert reply.headers["Content-Type"].startswith("application/")
    errors: list[dict[str, Any]] = reply.json["errors"]
    assert errors
    for error in errors:
        assert error["extensions"]["code"] == "BAD_USER_INPUT", error
        assert error["message"] not in ("", "None")
        assert len(error["message"]) < 2000
    leak = LEAKS.search(reply.body)
    assert leak is None, (leak, reply.body)
    return errors


async def post(gateway: Gateway, body: Any) -> Reply:
    return await gateway.call("POST", "/graphql", body)


async def send(gateway: Gateway, query: str, **variables: Any) -> Reply:
    return await post(gateway, {"query": query, "variables": variables})


DEEP = 100_000
VIEWER = "{ viewer { seesAll } }"
BODIES: dict[str, tuple[bytes, str]] = {
    "nothing": (b"", "the body is empty"),
    "blanks": (b" \n", "the body is empty"),
    "cut off": (b'{"query": "{ vie', "ends before it is complete"),
    "a word": (b"nul", "not valid JSON"),
    "null": (b"null", "expected an object with a query, got null"),
    "an array": (b"[]", "expected an object with a query, got a list"),
    "a batch": (b'[{"query": "{ viewer { seesAll } }"}]', "got a list"),
    "a number": (b"12", "got 12"),
    "a text": (b'"{ viewer { seesAll } }"', "expected an object"),
    "not UTF-8": (b'{"query": "\xff"}', "not valid UTF-8 at line 1, column 12"),
    "an overlong NUL": (b'{"query": "\xc0\x80"}', "not valid UTF-8"),
    "a surrogate in UTF-8": (b'{"query": "\xed\xa0\x80"}', "not valid UTF-8"),
    "a byte order mark": (b"\xef\xbb\xbf{}", "byte order mark"),
    "UTF-16": ('{"query": "{ viewer { seesAll } }"}'.encode("utf-16"), "not valid UTF-8"),
    "no query": (b"{}", "query: is required"),
    "query null": (b'{"query": null}', "query: is required"),
    "query a number": (b'{"query": 1}', "query: expected text, got 1"),
    "query a list": (b'{"query": ["{ viewer { seesAll } }"]}', "query: expected text, got a list"),
    "variables a list": (b'{"query": "{a}", "variables": []}', "variables: expected an object"),
    "variables a text": (b'{"query": "{a}", "variables": "{}"}', "variables: expected an object"),
    "name a number": (b'{"query": "{a}", "operationName": 1}', "operationName: expected text"),
    "name an object": (b'{"query": "{a}", "operationName": {}}', "operationName: expected text"),
    "query twice": (b'{"query": "{a}", "query": "{b}"}', 'duplicate key "query"'),
    "query twice, escaped": (b'{"query": "{a}", "qu\\u0065ry": "{b}"}', 'duplicate key "query"'),
    "a variable twice": (
        b'{"query": "{a}", "variables": {"a": {"b": 1, "c": [{}], "b": 2}}}',
        'duplicate key "b"',
    ),
    "deep arrays": (b"[" * DEEP, "nested deeper than 1,024 levels"),
    "deep objects": (b'{"a":' * DEEP, "nested deeper than 1,024 levels"),
    "deep variables": (
        b'{"query": "{a}", "variables": {"a": ' + b"[" * DEEP + b"]" * DEEP + b"}}",
        "nested deeper than 1,024 levels",
    ),
    "a long number": (
        b'{"query": "{a}", "variables": {"a": ' + b"9" * 5000 + b"}}",
        "a number is too large",
    ),
    "a large exponent": (b'{"query": "{a}", "variables": {"a": 1e999}}', "a number is too large"),
    "NaN": (b'{"query": "{a}", "variables": {"a": NaN}}', "not valid JSON"),
    "a comment": (b'{"query": "{a}" /* hello */}', "not valid JSON"),
    "a comma too many": (b'{"query": "{a}",}', "not valid JSON"),
    "two values": (b'{"query": "{a}"} {}', "not valid JSON"),
    "a NUL": (b'{"query": "{a}", "variables": {"a": ["\\u0000"]}}', "variables.a[0]: holds a NUL"),
    "a NUL in the query": (b'{"query": "{a}\\u0000"}', "query: holds a NUL"),
    "a raw NUL": (b'{"query": "{a}\0"}', "not valid JSON"),
    "half a pair": (b'{"query": "{a}", "variables": {"a": "\\ud800"}}', "half of a surrogate pair"),
    "the other half": (b'{"query": "\\udc00"}', "half of a surrogate pair"),
    "half a pair as a key": (b'{"\\ud83d": 1}', "half of a surrogate pair"),
}


def nested(opening: str, closing: str, levels: int, inside: str = "") -> str:
    return opening * levels + inside + closing * levels


def doubling(levels: int) -> str:
    """Return fragments that each spread the next one twice, in two fields."""
    fragments = "".join(
        f"fragment f{level} on Process {{ a: subprocesses {{ ...f{level + 1} }}"
        f" b: subprocesses {{ ...f{level + 1} }} }} "
        for level in range(levels)
    )
    return f"{fragments} fragment f{levels} on Process {{ name }}"


_ALL = "fields { name args { name type { name } } type { name ofType { name } } }"
DOCUMENTS: dict[str, str] = {
    "nothing": "",
    "blanks": " ,\n",
    "no braces": "viewer",
    "deep fields": nested("{a", "}", DEEP),
    "deep and cut off": "{a" * DEEP,
    "deep and few": nested("{a", "}", 900),
    "deep lists": "{ processes(where: " + "[" * DEEP,
    "deep values": "{ processes(where: " + nested("{not: ", "}", DEEP, "{}") + ") { totalCount } }",
    "deep, but few tokens": "{ processes { nodes {"
    + nested("subprocesses {", "}", 60, "name")
    + "} } }",
    "deep filters": "{ processes(where: "
    + nested("{subprocesses: ", "}", 150, "{}")
    + ") { totalCount } }",
    "a long number": "{ processes(first: " + "9" * 5000 + ") { totalCount } }",
    "a long number as an id": "{ node(id: " + "9" * 5000 + ") { id } }",
    "a long fraction": "{ processes(first: 1." + "9" * 5000 + ") { totalCount } }",
    "a long number as JSON": 'mutation { createSource(source: {name: "a", kind: "echo", settings:'
    " {a: " + "9" * 5000 + "}}) { source { id } } }",
    "a long default": "query($a: Int = " + "9" * 5000 + ") { processes(first: $a) { totalCount } }",
    "a long name": "{ " + "a" * 100_000 + " }",
    "a huge number": "{ process(databaseId: 2147483648) { id } }",
    "a negative page": "{ processes(first: -1) { totalCount } }",
    "an endless page": "{ processes(first: 101) { totalCount } }",
    "two keys": '{ process(databaseId: 1, reference: "a") { id } }',
    "a literal half of a pair": '{ process(reference: "\\uD800") { id } }',
    "a literal half in braces": '{ process(reference: "\\u{D800}") { id } }',
    "past Unicode": '{ process(reference: "\\u{110000}") { id } }',
    "an unknown field": "{ viewr { seesAll } }",
    "an unknown argument": "{ viewer(a: 1) { seesAll } }",
    "an unknown type": "query($a: Nothing) { viewer { seesAll } }",
    "an unknown directive": "{ viewer { seesAll @nothing } }",
    "an unknown fragment": "{ viewer { ...nothing } }",
    "a missing variable": "query($a: ID!) { node(id: $a) { id } }",
    "a subscription": "subscription { viewer { seesAll } }",
    "a definition": "type A { b: Int }",
    "a definition beside": "{ viewer { seesAll } } extend type Query { b: Int }",
    "a fragment alone": "fragment f on Viewer { seesAll }",
    "two without names": "{ viewer { seesAll } } { viewer { seesAll } }",
    "two to choose from": "query a { viewer { seesAll } } query b { viewer { seesAll } }",
    "a cycle": "{ viewer { ...f } } fragment f on Viewer { ...g } fragment g on Viewer { ...f }",
    "a cycle in itself": "{ viewer { ...f } } fragment f on Viewer { profile { processes { nodes"
    " { profiles { ...g } } } } }"
    " fragment g on Profile { processes { nodes { profiles { ...g } } } }",
    "2^16 fields": "{ processes { nodes { ...f0 } } } " + doubling(16),
    "2^60 fields": "{ processes { nodes { ...f0 } } } " + doubling(60),
    "10,000 aliases": "{" + " ".join(f"a{n}: __typename" for n in range(10_000)) + "}",
    "200 aliases": "{" + " ".join(f"a{n}: viewer {{ seesAll }}" for n in range(200)) + "}",
    "20,000 times a field": "{" + "viewer { seesAll } " * 20_000 + "}",
    "5,000 words": "{" + "a " * 5000 + "}",
    "300 times a field": "{" + "viewer { seesAll } " * 300 + "}",
    "400 conflicting fields": "{ viewer {"
    + "profile { name } " * 300
    + "seesAll " * 100
    + "profile { name: id } } }",
    "3,900 times a word": "{" + "__typename " * 3900 + "}",
    "fragments beside fragments": "{ viewer {"
    + " ".join(f"...f{n}" for n in range(200))
    + "} }"
    + "".join(f"fragment f{n} on Viewer {{ seesAll permissions }}" for n in range(200)),
    "the schema 100 times": "{"
    + " ".join(f"a{n}: __schema {{ ...s }}" for n in range(100))
    + "} fragment s on __Schema { types { "
    + _ALL
    + " } }",
    "all types 201 times": "{ __schema {"
    + " ".join(f"a{n}: types {{ ...t }}" for n in range(201))
    + "} } fragment t on __Type { "
    + _ALL
    + " }",
    "all types 190 times": "{ __schema {"
    + " ".join(f"a{n}: types {{ ...t }}" for n in range(190))
    + "} } fragment t on __Type { "
    + _ALL
    + " }",
    "types of types": "{ __schema { types "
    + nested("{ fields { type ", "} }", 12, "{ name }")
    + " } }",
    "1,900 directives": "{ viewer { seesAll " + "@skip(if: false) " * 600 + "} }",
    "400 operations": "".join(f"query q{n} {{ viewer {{ seesAll }} }}" for n in range(400)),
}
