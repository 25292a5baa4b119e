"""Match requests to the routes of a dialect."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from urllib.parse import unquote_to_bytes

from rest_compat.dialect import Route
from rest_compat.operation import LegacyOperation

_PARAMETER = re.compile(r"\{(\w+)\}")


@dataclass(frozen=True, slots=True)
class CompiledRoute:
    """A route, and its operation ready to run."""

    route: Route
    operation: LegacyOperation
    segments: tuple[str | None, ...]
    """The segments of its path; None for each variable segment."""
    parameters: tuple[str, ...]
    """The names of the variable segments, in order."""


@dataclass(frozen=True, slots=True)
class Match:
    """The route of a request, and the values of its path."""

    compiled: CompiledRoute
    parameters: Mapping[str, str]
    """The values by name; empty for a segment that is not valid text."""


@dataclass(frozen=True, slots=True)
class NoMatch:
    """No route matches the request."""

    allowed: tuple[str, ...]
    """The methods that the path accepts; empty for an unknown path."""


def parameters_of(path: str) -> tuple[str, ...]:
    """Return the names of a route's variable segments, in order."""
    return tuple(_PARAMETER.findall(path))


def segments_of(path: str) -> tuple[str | None, ...]:
    """Return the segments of a route's path; None for each variable segment."""
    return tuple(None if _PARAMETER.fullmatch(part) else part for part in path.split("/")[1:])


def match(routes: Iterable[CompiledRoute], method: str, path: str) -> Match | NoMatch:
    """Return the route of a request.

    Args:
        path: Percent-encoded, without the base path and the query. A trailing slash is ignored.
    """
    parts = path.removesuffix("/").split("/")[1:]
    if not all(parts):
        return NoMatch(())
    segments = [_decoded(part) for part in parts]
    allowed: list[str] = []
    for compiled in routes:
        values = _values(compiled.segments, segments)
        if values is None:
            continue
        expected = compiled.route.method
        if method == expected or (method == "HEAD" and expected == "GET"):
            return Match(compiled, dict(zip(compiled.parameters, values, strict=True)))
        allowed += ["GET", "HEAD"] if expected == "GET" else [expected]
    return NoMatch(tuple(allowed))


def _decoded(segment: str) -> str:
    """Decode a segment. Return an empty string if it is not valid text."""
    try:
        text = unquote_to_bytes(segment).decode()
    except UnicodeDecodeError:
        return ""
    return "" if "\0" in text else text


def _values(pattern: tuple[str | None, ...], segments: list[str]) -> list[str] | None:
    """Return the variable segments of a path; None if it does not match the pattern."""
    if len(pattern) != len(segments):
        return None
    values = []
    for expected, segment in zip(pattern, segments, strict=True):
        if expected is None:
            values.append(segment)
        elif expected != segment:
            return None
    return values
