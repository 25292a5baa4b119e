"""Serve GraphQL over HTTP: read an operation from a request, and write the response.

The rules: https://graphql.github.io/graphql-over-http/draft/, which the audits of ``graphql-http``
check. In ``application/json``, every answer to a well-formed request has the status 200. A client
that asks for ``application/graphql-response+json`` gets the status of the error instead.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from functools import lru_cache, partial
from typing import Any

from aiohttp import hdrs, web
from multidict import CIMultiDict

from gateway.http.body_intake import BodyIntake
from gateway.http.etags import NO_STORE, add_tag, is_known
from gateway.http.negotiation import qualities
from gateway.http.request_body import read_body
from gateway.http.response_body import body_of
from resolvers.errors.catalogue import ErrorKind, GatewayError, bad_value
from resolvers.operations.answers import Answer, error_answer
from resolvers.operations.run import GraphQLRequest, Operations
from resolvers.values import strict_json
from resolvers.values.text import describe, shorten
from rest_compat.errors import http_status
from rest_compat.http import retry_after

_JSON = "application/json"
_GRAPHQL_JSON = "application/graphql-response+json"
_REQUEST_ERRORS = (
    ErrorKind.BAD_USER_INPUT,
    ErrorKind.FORBIDDEN,
    ErrorKind.PERSISTED_QUERY_NOT_SUPPORTED,
)
"""Errors of a well-formed request that are about its operation, and not about HTTP or the server.
The others keep their status in every media type: 401, 429 and 503 tell proxies and clients what to
do."""
_NOT_SUPPORTED = "PersistedQueryNotSupported"
"""The message for a request that has only a hash. The links of urql read the message, those of
Apollo the message or the code. They repeat the request with its query, and send no hashes again."""


def _headers(media_type: str) -> CIMultiDict[str]:
    return CIMultiDict(
        {
            hdrs.CONTENT_TYPE: f"{media_type}; charset=utf-8",
            hdrs.CACHE_CONTROL: NO_STORE,
            hdrs.VARY: hdrs.ACCEPT,
        }
    )


# Headers of every response. Copying a multidict takes a tenth of the time of building it.
_JSON_HEADERS = _headers(_JSON)
_GRAPHQL_JSON_HEADERS = _headers(_GRAPHQL_JSON)


# The request -----------------------------------------------------------------------------------


class UnsupportedMediaTypeError(GatewayError):
    """A body that is not declared as JSON. Its status is 415."""

    def __init__(self, content_type: str) -> None:
        received = f", got {shorten(content_type)}" if content_type else ""
        message = f"expected the header 'Content-Type: {_JSON}'{received}"
        super().__init__(ErrorKind.BAD_USER_INPUT, message)


async def read_request(
    request: web.BaseRequest, largest_body: int, intake: BodyIntake, operations: Operations
) -> GraphQLRequest:
    """Return the operation in a GET or POST request.

    Raises:
        GatewayError: ``BAD_USER_INPUT``, ``PERSISTED_QUERY_NOT_SUPPORTED``, or ``RATE_LIMITED``.
    """
    if request.method == hdrs.METH_POST:
        content_type = request.headers.get(hdrs.CONTENT_TYPE, "")
        if not _is_json(content_type):
            raise UnsupportedMediaTypeError(content_type)
        body = await read_body(request, largest_body, intake)
        parse = partial(strict_json.loads, body, max_items=operations.max_items)
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


@lru_cache(maxsize=64)
def _is_json(content_type: str) -> bool:
    """Whether a body is declared as JSON in UTF-8, which a browser sends only after a preflight."""
    media_type, *parameters = (part.strip().lower() for part in content_type.split(";"))
    charsets = [part for part in parameters if part.startswith("charset=")]
    return media_type == _JSON and all(
        charset.removeprefix("charset=").strip('"') in ("utf-8", "utf8") for charset in charsets
    )


def request_of(members: object, size: int) -> GraphQLRequest:
    """Return the operation in the members of a request.

    Args:
        size: Bytes of the request.

    Raises:
        GatewayError: ``BAD_USER_INPUT`` or ``PERSISTED_QUERY_NOT_SUPPORTED``.
    """
    if isinstance(members, list):
        raise bad_value(
            (),
            "expected an object with a query, got a list: batches are not supported, so send each"
            " operation in a request of its own",
        )
    if not isinstance(members, dict):
        raise bad_value((), f"expected an object with a query, got {describe(members)}")
    query, name = members.get("query"), members.get("operationName")
    variables, extensions = members.get("variables"), members.get("extensions")
    if query is None and _has_hash(extensions):
        raise GatewayError(ErrorKind.PERSISTED_QUERY_NOT_SUPPORTED, _NOT_SUPPORTED)
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


def _has_hash(extensions: object) -> bool:
    """Whether a request names its document by a hash (automatic persisted queries)."""
    return isinstance(extensions, dict) and isinstance(extensions.get("persistedQuery"), dict)


# The response ----------------------------------------------------------------------------------


def _asks_for_graphql_json(request: web.BaseRequest | None) -> bool:
    return request is not None and _names_graphql_json(request.headers.get(hdrs.ACCEPT, ""))


@lru_cache(maxsize=64)
def _names_graphql_json(accept: str) -> bool:
    """Whether ``Accept`` names ``application/graphql-response+json``, and does not prefer
    ``application/json``. A wildcard alone does not ask for it: older clients send one.
    """
    accepted = qualities(accept)
    named = accepted.get(_GRAPHQL_JSON, 0.0)
    plain = [accepted[name] for name in (_JSON, "application/*", "*/*") if name in accepted]
    return named > 0 and named >= (plain[0] if plain else 0)


def respond(
    request: web.BaseRequest | None, answer: Answer, known: Collection[str] = ()
) -> web.Response:
    """Return the HTTP response for the answer to a well-formed request.

    Its media type is the one that the client accepts, and ``application/json`` by default.

    Args:
        request: The request; None if what arrived was none.
        known: The tags of the answers that the client has.
    """
    graphql_json = _asks_for_graphql_json(request)
    rejected = answer.rejected
    if answer.tag is not None and request is not None:
        headers = (_GRAPHQL_JSON_HEADERS if graphql_json else _JSON_HEADERS).copy()
        add_tag(request, headers, answer.tag)
        if answer.not_modified or is_known(request, known, answer.tag):
            del headers[hdrs.CONTENT_TYPE]
            return web.Response(status=304, headers=headers)
        return web.Response(body=body_of(answer.parts), headers=headers)
    if rejected is None or (rejected in _REQUEST_ERRORS and not graphql_json):
        return _response(answer, 200, graphql_json=graphql_json)
    return _response(answer, http_status(rejected), graphql_json=graphql_json)


def error_response(request: web.BaseRequest | None, error: GatewayError) -> web.Response:
    """Return the response to what is not a well-formed request, or not even one.

    Args:
        request: As for ``respond``.
    """
    answer = error_answer(error)
    if error.kind is ErrorKind.PERSISTED_QUERY_NOT_SUPPORTED:
        return respond(request, answer)
    status = 415 if isinstance(error, UnsupportedMediaTypeError) else http_status(error.kind)
    return _response(answer, status, graphql_json=_asks_for_graphql_json(request))


def _response(answer: Answer, status: int, *, graphql_json: bool) -> web.Response:
    headers = _GRAPHQL_JSON_HEADERS if graphql_json else _JSON_HEADERS
    response = web.Response(status=status, body=body_of(answer.parts), headers=headers)
    if status == 401:
        response.headers[hdrs.WWW_AUTHENTICATE] = "Bearer"
    if answer.retry_after is not None:
        response.headers.update(retry_after(answer.retry_after))
    return response


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
