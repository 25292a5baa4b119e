"""Build the request of an action of an ``http`` source.

The value of an argument is encoded for the place that it goes to, and cannot leave it: a part of a
path stays one segment, a part of a query one value, and JSON is built and never concatenated.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import orjson
from multidict import CIMultiDict

from resolvers.execution.sources.http.settings import (
    METHODS,
    SECRET,
    HttpSettings,
    Operation,
    has_dot_segment,
)
from resolvers.execution.sources.operations import (
    CONTROL,
    LEFT_OUT,
    PLACEHOLDER,
    Arguments,
    described_operation,
    find_operation,
)
from resolvers.execution.sources.protocol import ActionFailedError

_REQUEST = re.compile(rf"({'|'.join(METHODS)}) (/.*)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Request:
    """A request as it is sent."""

    method: str
    url: str
    headers: CIMultiDict[str]
    body: bytes | None


def operation_of(action: str, settings: HttpSettings, references: Sequence[str] = ()) -> Operation:
    """Return the operation that an action names, or the one that it describes.

    Args:
        action: The name of an operation, or a method and a path: ``GET /lamps/{lamp}``.
        references: The references of the action's arguments, which an action that describes a
            request declares by having them.

    Raises:
        ActionFailedError: The action is neither.
    """
    operation = find_operation(settings.operations, action)
    if operation is not None:
        return operation
    if settings.only_operations:
        raise ActionFailedError(f'the source has no operation "{action}"')
    match = _REQUEST.fullmatch(action)
    if match is None:
        raise ActionFailedError(
            f'the source has no operation "{action}", and that is no request such as'
            ' "GET /lamps/{lamp}"'
        )
    return described_operation(
        Operation, action, references, "a request", method=match[1], path=match[2]
    )


def build_request(
    action: str, arguments: Sequence[tuple[str, str]], settings: HttpSettings
) -> tuple[Operation, Request]:
    """Return the operation of an action, and the request that performs it.

    Arguments that no placeholder names become the query of a GET, HEAD or DELETE request, and the
    members of the JSON body of any other.

    Raises:
        ActionFailedError: The action or its arguments do not fit.
    """
    operation = operation_of(action, settings, [reference for reference, _ in arguments])
    filled = Arguments(operation.name, operation.arguments, arguments)
    texts = filled.texts
    path, _, query = operation.path.partition("?")
    address = _base_url(settings) + _fill_path(path, texts)
    pairs = [_fill(pair, texts, _escape) for pair in query.split("&") if pair]
    body: Any = LEFT_OUT
    if operation.method in ("GET", "HEAD", "DELETE"):
        others = filled.others(operation.placeholders())
        pairs += [f"{_escape(name)}={_escape(texts[name])}" for name in others]
    elif operation.body is not None:
        body = filled.fill_json(operation.body)
    else:
        body = filled.others(operation.placeholders()) or LEFT_OUT
    query = "&".join(pair for pair in pairs if pair is not None)
    headers = CIMultiDict({"Accept": "application/json, text/*;q=0.9, */*;q=0.1"})
    headers.update(_source_headers(settings))
    headers.update(_fill_headers(operation.headers, texts))
    if body is not LEFT_OUT:
        headers.setdefault("Content-Type", "application/json")
    url = f"{address}?{query}" if query else address
    return operation, Request(
        operation.method, url, headers, None if body is LEFT_OUT else orjson.dumps(body)
    )


def _escape(text: str) -> str:
    return quote(text, safe="")


def _secret(settings: HttpSettings) -> str:
    return "" if settings.secret is None else settings.secret.get_secret_value()


def _base_url(settings: HttpSettings) -> str:
    return settings.base_url.replace(SECRET, _escape(_secret(settings)))


def _source_headers(settings: HttpSettings) -> dict[str, str]:
    secret = _secret(settings)
    return {name: value.replace(SECRET, secret) for name, value in settings.headers.items()}


def _fill_headers(headers: Mapping[str, str], texts: Mapping[str, str]) -> dict[str, str]:
    filled = {}
    for name, template in headers.items():
        for reference in PLACEHOLDER.findall(template):
            if CONTROL.search(texts.get(reference, "")):
                raise ActionFailedError(
                    f'the argument "{reference}" contains a control character,'
                    " which a header cannot hold"
                )
        value = _fill(template, texts, str)
        if value is not None:
            filled[name] = value
    return filled


def _fill_path(path: str, texts: Mapping[str, str]) -> str:
    """Fill in a path. Each segment with a placeholder stays one segment, and is not empty."""
    segments = []
    for segment in path.split("/"):
        references = PLACEHOLDER.findall(segment)
        for reference in references:
            if CONTROL.search(texts[reference]):
                raise ActionFailedError(
                    f'the argument "{reference}" contains a control character,'
                    " which a path cannot hold"
                )
        filled = _fill(segment, texts, _escape)
        assert filled is not None  # arguments in a path are required
        if references and (not filled or has_dot_segment(filled)):
            raise ActionFailedError(
                f'the argument "{references[0]}" would leave its place in the path:'
                " it must not be empty, or have a part . or .."
            )
        segments.append(filled)
    return "/".join(segments)


def _fill(template: str, texts: Mapping[str, str], encode: Any) -> str | None:
    """Return a text with its placeholders filled in, or None if one of them was not given."""
    if "{" not in template:
        return template
    if not all(reference in texts for reference in PLACEHOLDER.findall(template)):
        return None
    return PLACEHOLDER.sub(lambda match: encode(texts[match[1]]), template)
