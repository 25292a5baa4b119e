"""Define queries that took much before their costs were limited."""

from __future__ import annotations

_DEEP = "processes(first: PAGE) { nodes { espace { processes(first: 100) { %s } } } }"
_WIDE = "%s(first: PAGE) { nodes { %s } }"
_TREE = (
    "id reference name displayName description icon actions { id sourceName action arguments {"
    " reference value } } inputs { id reference name } profiles { id name }"
)


def _times(count: int, text: str) -> str:
    return " ".join(text.replace("#", f"a{number}") for number in range(count))


KNOWN = (
    _DEEP % "nodes { name }",
    _DEEP % "nodes { a: description b: description c: description d: description }",
    _DEEP % f"nodes {{ {_times(60, '#: displayName')} }}",
    _DEEP % f"nodes {{ {_times(60, '#: id')} }}",
    _DEEP % f"edges {{ {_times(60, '#: cursor')} }}",
    _DEEP % f"nodes {{ {_times(40, '#: espace { name }')} }}",
    _DEEP % f"nodes {{ {_times(20, '#: actions { sourceName }')} }}",
    _DEEP % f"nodes {{ {_times(20, '#: profiles { name }')} }}",
    _DEEP % f"nodes {{ {_times(20, '#: usedBy { name }')} }}",
    _DEEP % "nodes { actions { arguments { value } } }",
    _WIDE % ("processes", f"{_TREE} subprocesses {{ {_TREE} subprocesses {{ {_TREE} }} }}"),
    _WIDE % ("processes", _times(90, "#: espace { processes(first: 1) { nodes { id } } }")),
    _WIDE
    % ("processes", _times(90, "#: espace { processes(first: 1) { pageInfo { endCursor } } }")),
    _WIDE
    % ("processes", f"profiles {{ {_times(60, '#: processes(first: 1) { nodes { id } }')} }}"),
    _WIDE % ("profiles", _times(90, "#: processes(first: 100) { nodes { id } }")),
    _WIDE % ("profiles", _times(90, "#: processes(orderBy: {field: NAME}) { nodes { id } }")),
    _WIDE % ("profiles", _times(90, "#: processes { totalCount }")),
    _WIDE % ("sources", _times(90, "#: processes { totalCount }")),
    _times(20, "#: processes { totalCount }"),
    _times(20, '#: processes(where: {description: {contains: "zzz"}}) { nodes { id } }'),
    "processes(where: {or: [%s]}) { nodes { id } }" % _times(60, '{description: {contains: "#"}}'),
    "processes(where: {or: [%s]}) { nodes { id } }"
    % _times(20, '{actions: {action: {contains: "#"}}}'),
    "profiles(where: {or: [%s]}) { nodes { id } }"
    % _times(16, '{processes: {name: {contains: "#"}}}'),
    "sources(where: {or: [%s]}) { nodes { id } }"
    % _times(16, '{processes: {name: {contains: "#"}}}'),
    "espaces(where: {or: [%s]}) { nodes { id } }"
    % _times(40, '{processes: {actions: {action: {contains: "#"}}}}'),
    "processes(where: {or: [%s]}) { nodes { id } }"
    % _times(20, '{profiles: {processes: {name: {contains: "#"}}}}'),
    "processes(where: {not: {or: [%s]}}) { nodes { id } }"
    % _times(20, '{espace: {processes: {name: {contains: "#"}}}}'),
    'processes(first: 25, where: {profiles: {processes: {name: {contains: "zzz"}}}})'
    " { nodes { id profiles { processes(last: 5) { totalCount } } } }",
)
"""Queries that took much before their costs were limited; PAGE is as large as they may be."""
