"""Write the JSON of GraphQL responses."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import orjson
from graphql import ExecutionResult, GraphQLError, Node

from resolvers.errors.catalogue import ErrorKind, GatewayError
from resolvers.errors.translate import entry, entry_of_graphql
from resolvers.operations.compile import CompiledField
from resolvers.operations.kept import Kept

_ERRORS = b'{"errors":'
"""How the answer to a request begins that was not executed."""


class Answer(NamedTuple):
    """The body of a GraphQL response, and the kind of error that prevented its execution."""

    parts: tuple[bytes, ...]
    """The body in parts. The result of the database is one of them. It can be megabytes long, so it
    is not copied."""
    rejected: ErrorKind | None = None
    """The kind of error; None if the operation was executed, even if its fields have errors."""
    retry_after: int | None = None
    """Seconds to wait before the next request, if the client exceeded the rate limit."""
    tag: str | None = None
    """Identifies a query's answer among all versions of it; None if it has an error."""
    not_modified: bool = False
    """Whether the client has the answer with this tag, so that there is no body."""
    kept: Kept | None = None
    """Where the result of the one root field is kept. Other forms of the body can be kept there."""


def errors_of(answer: Answer) -> bytes:
    """Return the JSON list of errors in an answer to a request that was not executed."""
    assert answer.rejected is not None
    return b"".join(answer.parts).removeprefix(_ERRORS).removesuffix(b"}")


def error_answer(error: GatewayError, nodes: Iterable[Node] = ()) -> Answer:
    """Return the answer to a request that was not executed because of this error.

    Args:
        nodes: The parts of the document that the error is about.
    """
    locations = [location for node in nodes for location in _locations(node)]
    body = orjson.dumps({"errors": [entry(error, locations=locations)]})
    return Answer((body,), error.kind, error.retry_after)


def validation_answer(errors: Iterable[GraphQLError]) -> Answer:
    """Return the answer to an operation that is not valid."""
    body = orjson.dumps({"errors": [entry_of_graphql(error) for error in errors]})
    return Answer((body,), ErrorKind.BAD_USER_INPUT)


def executed_answer(result: ExecutionResult) -> Answer:
    """Return the answer to a mutation that was executed."""
    body: dict[str, Any] = {"data": result.data}
    if result.errors:
        body["errors"] = [entry_of_graphql(error) for error in result.errors]
    return Answer((orjson.dumps(body),))


def data_answer(
    fields: Sequence[CompiledField],
    results: Iterable[bytes | GatewayError],
    extensions: Mapping[str, Any] | None = None,
    *,
    tag: str | None = None,
    kept: Kept | None = None,
) -> Answer:
    """Return the answer with the results of a query's root fields.

    Args:
        results: The JSON of each field, or its error.
        extensions: The member ``extensions`` of the answer, if it has one.
        tag, kept: See ``Answer``.
    """
    parts = [b'{"data":{']
    errors: list[Mapping[str, Any]] = []
    data_is_null = False
    for field, result in zip(fields, results, strict=True):
        if isinstance(result, GatewayError):
            errors.append(entry(result, path=[field.key], locations=_locations(field.node)))
            data_is_null = data_is_null or field.non_null
            result = b"null"
        parts += (field.opening, result, b",")
    if len(parts) > 1:
        parts.pop()
    parts.append(b"}")
    if data_is_null:
        parts = [b'{"data":null']
    if errors:
        parts += (b',"errors":', orjson.dumps(errors))
    if extensions:
        parts += (b',"extensions":', orjson.dumps(extensions))
    parts.append(b"}")
    return Answer(tuple(parts), tag=tag, kept=kept)


def _locations(node: Node) -> list[dict[str, int]]:
    token = node.loc.start_token if node.loc else None
    return [{"line": token.line, "column": token.column}] if token else []
