"""The messages and close codes of the WebSocket subprotocol ``graphql-transport-ws``.

https://github.com/enisdenjo/graphql-ws/blob/master/PROTOCOL.md defines it, and
docs/live-audits.md lists its rules, each with its test. This module is pure: text in, messages out.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any, TypeAlias

import orjson

from gateway.http.graphql import request_of
from resolvers.errors.catalogue import ErrorKind, GatewayError
from resolvers.operations.run import GraphQLRequest
from resolvers.values import strict_json
from resolvers.values.text import describe, shorten

SUBPROTOCOL = "graphql-transport-ws"

_LONGEST_ID = 255
"""Characters of the ID of an operation, which the gateway keeps and repeats."""
_LONGEST_REASON = 123
"""Bytes of the reason of a close frame (RFC 6455 §5.5)."""


class CloseCode(Enum):
    """Why the gateway closes a WebSocket: the code, and the reason unless there is a better one."""

    GOING_AWAY = 1001, "the gateway stops"
    INTERNAL = 1011, "something went wrong in the gateway"
    TRY_AGAIN = 1013, "try again later"
    BAD_MESSAGE = 4400, "invalid message"
    UNAUTHORIZED = 4401, "Unauthorized"
    FORBIDDEN = 4403, "Forbidden"
    BAD_SUBPROTOCOL = 4406, "Subprotocol not acceptable"
    INIT_TIMEOUT = 4408, "Connection initialisation timeout"
    DUPLICATE = 4409, "Subscriber already exists"
    TOO_MANY_INITS = 4429, "Too many initialisation requests"


class SocketClosed(Exception):  # noqa: N818 - it is not always an error
    """The gateway has a reason to close the WebSocket."""

    def __init__(self, code: CloseCode, reason: str = "") -> None:
        super().__init__(code, reason)
        self.code: int = code.value[0]
        # Never cut in the middle of a character.
        cut = (reason or code.value[1]).encode()[:_LONGEST_REASON]
        self.reason = cut.decode(errors="ignore")


@dataclass(frozen=True, slots=True)
class Init:
    """``connection_init``: opens the conversation."""

    payload: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Ping:
    """``ping``: asks for a ``pong``."""


@dataclass(frozen=True, slots=True)
class Pong:
    """``pong``: answers a ``ping``, or is a sign of life."""


@dataclass(frozen=True, slots=True)
class Subscribe:
    """``subscribe``: asks for an operation to be run, whatever its kind."""

    id: str
    request: GraphQLRequest | GatewayError
    """The operation, or why it is none although the message is well-formed."""


@dataclass(frozen=True, slots=True)
class Complete:
    """``complete``: the client wants no more of an operation."""

    id: str


Message: TypeAlias = "Init | Ping | Pong | Subscribe | Complete"

ACK = b'{"type":"connection_ack"}'
PONG = b'{"type":"pong"}'


def read_message(text: bytes, max_items: int | None = None) -> Message:
    """Return the message in a text frame.

    Args:
        text: The payload of the frame.
        max_items: The most items of all lists of a message together; None for no limit.

    Raises:
        SocketClosed: 4400, if it is none.
    """
    try:
        return _message(strict_json.loads(text, max_items=max_items), len(text))
    except GatewayError as error:
        raise SocketClosed(CloseCode.BAD_MESSAGE, error.message) from None


def _message(value: object, size: int) -> Message:
    if not isinstance(value, dict):
        raise _bad(f"expected an object with a type, got {describe(value)}")
    kind, payload = value.get("type"), value.get("payload")
    match kind:
        case "connection_init":
            return Init(_object(payload))
        case "ping":
            _object(payload)
            return Ping()
        case "pong":
            _object(payload)
            return Pong()
        case "subscribe":
            id_ = _id(value)
            if not isinstance(payload, dict):
                raise _bad(f"payload: expected an object with a query, got {describe(payload)}")
            return Subscribe(id_, _request(payload, size))
        case "complete":
            return Complete(_id(value))
    received = shorten(kind) if isinstance(kind, str) else describe(kind)
    raise _bad(f"type: a client does not send {received}")


def _request(payload: Mapping[str, Any], size: int) -> GraphQLRequest | GatewayError:
    try:
        return request_of(payload, size)
    except GatewayError as error:
        if error.kind is ErrorKind.PERSISTED_QUERY_NOT_SUPPORTED:
            return error
        raise


def _object(payload: object) -> Mapping[str, Any]:
    if payload is not None and not isinstance(payload, dict):
        raise _bad(f"payload: expected an object, got {describe(payload)}")
    return payload or {}


def _id(value: Mapping[str, Any]) -> str:
    id_ = value.get("id")
    if not isinstance(id_, str) or not 0 < len(id_) <= _LONGEST_ID:
        raise _bad(f"id: expected a text of 1 to {_LONGEST_ID} characters, got {describe(id_)}")
    return id_


def _bad(reason: str) -> SocketClosed:
    return SocketClosed(CloseCode.BAD_MESSAGE, reason)


# Messages of the gateway -----------------------------------------------------------------------

# Each is written in parts, so that an answer that many sockets share is not copied for each.


def next_message(id_: str, answer: bytes) -> tuple[bytes, ...]:
    """Return ``next``, which carries an answer."""
    return b'{"id":%b,"type":"next","payload":' % orjson.dumps(id_), answer, b"}"


def error_message(id_: str, errors: bytes) -> tuple[bytes, ...]:
    """Return ``error``: the operation was not executed. ``errors`` is a JSON list."""
    return b'{"id":%b,"type":"error","payload":' % orjson.dumps(id_), errors, b"}"


def complete_message(id_: str) -> tuple[bytes, ...]:
    """Return ``complete``: the operation has ended."""
    return (b'{"id":%b,"type":"complete"}' % orjson.dumps(id_),)
