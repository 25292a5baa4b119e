"""Define documents that try to cost the gateway much processor time, and measure it."""

from __future__ import annotations

import time
from collections.abc import Mapping

from graphql import get_introspection_query

from resolvers.operations.compile import OperationCompiler

INTROSPECTION = get_introspection_query(
    specified_by_url=True, directive_is_repeatable=True, input_value_deprecation=True
)


def _repeat(count: int, text: str) -> str:
    return " ".join(text.replace("#", str(number)) for number in range(count))


def _chain(count: int, body: str) -> str:
    """Fragments that each spread the next one."""
    return _repeat(count - 1, f"fragment f# on Process {{ {body} ...g# }}")


REJECTED: Mapping[str, str] = {
    "doubling fragments": "{ processes { nodes { ...f0 } } }"
    + " ".join(
        f"fragment f{n} on Process {{ a: subprocesses {{ ...f{n + 1} }}"
        f" b: subprocesses {{ ...f{n + 1} }} }}"
        for n in range(16)
    )
    + " fragment f16 on Process { name }",
    "fragments in a circle": "{ processes { nodes { ...f0 } } }"
    + " ".join(f"fragment f{n} on Process {{ name ...f{(n + 1) % 40} }}" for n in range(40)),
    "a fragment in itself": "{ viewer { ...f } } fragment f on Viewer { ...f }",
    "20,000 fields": "{" + "viewer { seesAll } " * 20_000 + "}",
    "20,000 short fields": "{" + "a " * 20_000 + "}",
    "10,000 aliases": "{" + _repeat(10_000, "a#: __typename") + "}",
    "600 aliases": "{ viewer {" + _repeat(600, "a#: seesAll") + "} }",
    "overlapping fields": "{ viewer {" + "profile { name } " * 340 + "profile { name: id } } }",
    "overlapping fragments": "{ processes { nodes {"
    + _repeat(40, "...f#")
    + "name: icon } } }"
    + _repeat(40, "fragment f# on Process { espace { name } name reference icon }"),
    "overlapping inline fragments": "{ processes { nodes {"
    + "... { ... { name espace { name } } } " * 110
    + "name: icon } } }",
    "nested inline fragments": "{ processes { nodes "
    + "{ name ... { name ... " * 100
    + "{ name }"
    + "} }" * 100
    + "} }",
    "5,000 directives": "{ viewer { seesAll " + "@skip(if: false) " * 5000 + "} }",
    "300 directives": "{ viewer { seesAll " + "@include(if: true) " * 300 + "} }",
    "3,900 unknown fields": "{ viewer {" + _repeat(3900, "unknown#") + "} }",
    "1,400 unknown fields": "{ viewer {" + _repeat(1400, "unknown#") + "} }",
    "unknown arguments": "{ viewer { seesAll(" + _repeat(480, "a#: 1") + ") } }",
    "unknown types": "query(" + _repeat(350, "$a#: Nothing#") + ") { viewer { seesAll } }",
    "unused variables": "query(" + _repeat(350, "$a#: Int") + ") { viewer { seesAll } }",
    "unused fragments": "{ viewer { seesAll } }" + _repeat(49, "fragment f# on Viewer { seesAll }"),
    "400 operations": _repeat(400, "query q# { viewer { seesAll } }"),
    "deep filters": "{ processes(where: "
    + "{subprocesses: " * 400
    + "{}"
    + "}" * 400
    + ") { totalCount } }",
    "wrong filters": "{ processes(where: {or: ["
    + _repeat(150, "{name: {eq: 1}}")
    + "]}) { totalCount } }",
    "comments": "{ viewer { seesAll } }" + "#\n" * 40_000,
    "a long text": '{ process(reference: "' + "a" * 200_000 + '") { id } }',
    "deep selections": "{ processes { nodes "
    + "{ subprocesses " * 400
    + "{ name }"
    + "}" * 400
    + "} }",
    "deep lists": "{ processes(where: " + "[" * 900 + "]" * 900 + ") { totalCount } }",
}
"""Documents that are rejected, by what they try."""

REPEATING: Mapping[str, str] = {
    "fields": "{ viewer {" + "profile { name } " * 350 + "} }",
    "aliases": "{ processes { nodes {"
    + "a: espace { a: processes { a: nodes { b: name } } } " * 45
    + "} } }",
    "fragments": "{ processes { nodes {"
    + _repeat(40, "...f#")
    + "} } }"
    + _repeat(40, "fragment f# on Process { espace { name } name reference icon }"),
    "inline fragments": "{ processes { nodes {"
    + "... { ... { name espace { name } } } " * 110
    + "} } }",
}
"""Valid documents that repeat what they select as often as the limits allow."""


def processor_time(compiler: OperationCompiler, text: str) -> float:
    """Return the seconds that reading a document takes: the least of seven."""
    times = []
    for _ in range(7):
        started = time.thread_time()
        compiler.read(text)
        times.append(time.thread_time() - started)
    return min(times)
