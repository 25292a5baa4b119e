"""Serve GraphQL over HTTP: read an operation from a request, and write the response."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

from aiohttp import hdrs, web
from multidict import CIMultiDict

from gateway.http.request_body import read_body
from gateway.http.response_body import body_of
from resolvers.errors.catalogue import ErrorKind, GatewayError, bad_value
from resolvers.operations.answers import Answer, error_answer
from resolvers.operations.run import GraphQLRequest, Operations
from resolvers.values import strict_json
from resolvers.values.text import describe, shorten
from rest_compat.errors import http_status
from rest_compat.http import retry_after

_GRAPHQL_JSON = "application/graphql-response+json"


def _headers(media_type: str) -> CIMultiDict[str]:
    content_type = f"{media_type}; charset=utf-8"
    return CIMultiDict({hdrs.CONTENT_TYPE: content_type, hdrs.CACHE_CONTROL: "private, no-store"})


# Headers of every response. Copying a multidict takes a tenth of the time of building it.
_JSON_HEADERS = _headers("application/json")
_GRAPHQL_JSON_HEADERS = _headers(_GRAPHQL_JSON)


async def read_request(
    request: web.BaseRequest, largest_body: int, operations: Operations
) -> GraphQLRequest:
    """Return the operation in a GET or POST request. Raises ``BAD_USER_INPUT``."""
    if request.method == hdrs.METH_POST:
        body = await read_body(request, largest_body)
        content_type = request.headers.get(hdrs.CONTENT_TYPE, "")
        parse = partial(strict_json.loads, body, content_type, operations.max_items)
        return request_of(await operations.worker.run(len(body), parse), len(body))
    for name in request.query:
        if len(request.query.getall(name)) > 1:
            raise bad_value((name,), "is given more than once")
    members: dict[str, Any] = dict(request.query)
    for name in ("variables", "extensions"):
        if members.get(name):
            try:
                text = members[name].encode()
            except UnicodeEncodeError:
                raise bad_value((name,), "is not valid UTF-8") from None
            members[name] = strict_json.loads(text)
    return request_of(members, 0)


def request_of(members: object, size: int) -> GraphQLRequest:
    """Return the operation in the members of a request. Raises ``BAD_USER_INPUT``.

    Args:
        size: Bytes of the request.
    """
    if not isinstance(members, dict):
        raise bad_value((), f"expected an object with a query, got {describe(members)}")
    query, name = members.get("query"), members.get("operationName")
    variables, extensions = members.get("variables"), members.get("extensions")
    if not isinstance(query, str):
        problem = "is required" if query is None else f"expected text, got {describe(query)}"
        raise bad_value(("query",), problem)
    if name is not None and not isinstance(name, str):
        raise bad_value(("operationName",), f"expected text, got {describe(name)}")
    if variables is not None and not isinstance(variables, dict):
        raise bad_value(("variables",), f"expected an object, got {describe(variables)}")
    if extensions is not None and not isinstance(extensions, dict):
        raise bad_value(("extensions",), f"expected an object, got {describe(extensions)}")
    # Some clients send "" for no operation name.
    return GraphQLRequest(query, name or None, variables or {}, extensions or {}, size)


def respond(request: web.BaseRequest | None, answer: Answer) -> web.Response:
    """Return the HTTP response for an answer, in the media type that the client accepts.

    Args:
        request: The request; None if what arrived was none.
    """
    wants_graphql_json = request is not None and _GRAPHQL_JSON in request.headers.get(
        hdrs.ACCEPT, ""
    )
    headers = _GRAPHQL_JSON_HEADERS if wants_graphql_json else _JSON_HEADERS
    status = 200 if answer.rejected is None else http_status(answer.rejected)
    response = web.Response(status=status, body=body_of(answer.parts), headers=headers)
    if status == 401:
        response.headers[hdrs.WWW_AUTHENTICATE] = "Bearer"
    if answer.retry_after is not None:
        response.headers.update(retry_after(answer.retry_after))
    return response


def error_response(request: web.BaseRequest | None, error: GatewayError) -> web.Response:
    """Return the response to what did not become an operation, or not even a request."""
    return respond(request, error_answer(error))


def method_not_allowed(
    request: web.BaseRequest, allowed: Sequence[str], message: str = ""
) -> web.Response:
    """Return the response to a request whose method the path or the operation does not take."""
    methods = ", ".join(allowed)
    message = message or f"this path does not take {shorten(request.method)}, only {methods}"
    response = error_response(request, GatewayError(ErrorKind.BAD_USER_INPUT, message))
    response.set_status(405)
    response.headers[hdrs.ALLOW] = methods
    return response
