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
from pydantic import ValidationError

from resolvers.execution.sources.http.settings import (
    CONTROL,
    METHODS,
    PLACEHOLDER,
    SECRET,
    HttpSettings,
    Operation,
    OperationArgument,
    has_dot_segment,
)
from resolvers.execution.sources.protocol import ActionFailedError
from resolvers.execution.sources.values import read_value

_REQUEST = re.compile(rf"({'|'.join(METHODS)}) (/.*)", re.DOTALL)
_LEFT_OUT = object()
"""The place of an argument that is optional and was not given."""


@dataclass(frozen=True, slots=True)
class Request:
    """A request as it is sent."""

    method: str
    url: str
    headers: Mapping[str, str]
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
    for operation in settings.operations:
        if operation.name == action:
            return operation
    if settings.only_operations:
        raise ActionFailedError(f'the source has no operation "{action}"')
    match = _REQUEST.fullmatch(action)
    if match is None:
        raise ActionFailedError(
            f'the source has no operation "{action}", and that is no request such as'
            ' "GET /lamps/{lamp}"'
        )
    described = [OperationArgument(reference=reference) for reference in references]
    try:
        return Operation.model_validate(
            {"name": action, "method": match[1], "path": match[2], "arguments": described}
        )
    except ValidationError as error:
        cause = error.errors(include_url=False)[0]
        reason = str(cause.get("ctx", {}).get("error", cause["msg"]))
        raise ActionFailedError(f"the action is not a request: {reason}") from None


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
    texts = _check_arguments(operation, arguments)
    path, _, query = operation.path.partition("?")
    address = _base_url(settings) + _fill_path(path, texts)
    pairs = [pair for pair in query.split("&") if pair]
    filled = [found for pair in pairs if (found := _fill(pair, texts, _escape)) is not None]
    placed = operation.placeholders()
    body: Any = _LEFT_OUT
    others = {reference: text for reference, text in texts.items() if reference not in placed}
    if operation.method in ("GET", "HEAD", "DELETE"):
        filled += [f"{_escape(name)}={_escape(text)}" for name, text in others.items()]
    elif operation.body is not None:
        body = _fill_json(operation.body, _Values(operation, texts))
    elif others:
        values = _Values(operation, texts)
        body = {reference: values.typed(reference) for reference in others}
    headers = {"Accept": "application/json, text/*;q=0.9, */*;q=0.1"}
    headers |= _source_headers(settings) | _fill_headers(operation.headers, texts)
    if body is not _LEFT_OUT and not any(name.lower() == "content-type" for name in headers):
        headers["Content-Type"] = "application/json"
    url = f"{address}?{'&'.join(filled)}" if filled else address
    return operation, Request(
        operation.method, url, headers, None if body is _LEFT_OUT else orjson.dumps(body)
    )


def _check_arguments(operation: Operation, arguments: Sequence[tuple[str, str]]) -> dict[str, str]:
    """Return the values of arguments by their references."""
    texts = dict(arguments)
    known = {argument.reference for argument in operation.arguments}
    for reference in texts:
        if reference not in known:
            raise ActionFailedError(
                f'the operation "{operation.name}" has no argument "{reference}"'
            )
    for argument in operation.arguments:
        if argument.required and argument.reference not in texts:
            raise ActionFailedError(f'the argument "{argument.reference}" is missing')
        if argument.reference in texts and argument.type != "text":
            _Values(operation, texts).typed(argument.reference)
    return texts


class _Values:
    """The values of the arguments of an operation."""

    def __init__(self, operation: Operation, texts: Mapping[str, str]) -> None:
        self.texts = texts
        self._types = {argument.reference: argument.type for argument in operation.arguments}

    def typed(self, reference: str) -> Any:
        """Return a value of its declared type, or ``_LEFT_OUT``."""
        if reference not in self.texts:
            return _LEFT_OUT
        try:
            return read_value(self._types[reference], self.texts[reference])
        except ValueError as error:
            raise ActionFailedError(f'the argument "{reference}": {error}') from None


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
    if not all(reference in texts for reference in PLACEHOLDER.findall(template)):
        return None
    return PLACEHOLDER.sub(lambda match: encode(texts[match[1]]), template)


def _fill_json(template: Any, values: _Values) -> Any:
    """Return a JSON value with its placeholders filled in.

    What is exactly one placeholder becomes the typed value. It is left out of its object or list if
    it was not given. In a longer text, such a placeholder stands for nothing.
    """
    match template:
        case str():
            whole = PLACEHOLDER.fullmatch(template)
            if whole is not None:
                return values.typed(whole[1])
            return PLACEHOLDER.sub(lambda match: values.texts.get(match[1], ""), template)
        case list():
            items = [_fill_json(item, values) for item in template]
            return [item for item in items if item is not _LEFT_OUT]
        case dict():
            members = {name: _fill_json(item, values) for name, item in template.items()}
            return {name: item for name, item in members.items() if item is not _LEFT_OUT}
    return template
