"""Define the data that describes a legacy dialect: routes, bodies and an envelope."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from resolvers.errors.catalogue import ErrorKind, GatewayError
from resolvers.rules.items import ItemsCheck
from resolvers.values.ids import MAX_DATABASE_ID, global_id
from rest_compat.body_model import Body, JsonSchema
from storage.database.stream import Parts


class RouteError(ValueError):
    """A route does not fit the schema. The message names the route and the mismatch."""


# Paths -----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class PathValue:
    """A variable of the operation that a segment of the path supplies."""

    variable: str
    is_id: bool = True
    """Whether the value is a positive 32-bit integer. Otherwise any text is accepted."""
    opaque: str | None = None
    """The type of the opaque ID that GraphQL takes instead of the number; None for the number."""
    key: str | None = None
    """The member of the variable that the value is stored in, if the variable is an object."""

    def read(self, text: str) -> object | None:
        """Return the variable's value; None if the text is not a valid value."""
        value: object = text
        if self.is_id:
            value = number = database_id(text)
            if number is not None and self.opaque is not None:
                value = global_id(self.opaque, number)
        if not value:
            return None
        return value if self.key is None else {self.key: value}


def database_id(text: str) -> int | None:
    """Return the ID in a segment of a path; None if there is none."""
    number = int(text) if re.fullmatch(r"[0-9]{1,10}", text) else 0
    return number if 0 < number <= MAX_DATABASE_ID else None


# Routes ----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class BodyRule:
    """The body that a route takes."""

    model: type[Body]
    variable: str | None = None
    """The variable that holds the body; None if each member is a variable of its own."""
    required: bool = True
    """Whether the body is required."""
    bulk: bool = False
    """Whether the limit ``max_bulk_body_bytes`` applies instead of ``max_body_bytes``."""
    check: Callable[[], ItemsCheck] | None = None
    """Returns what validates the list of a bulk body while it is parsed."""
    in_query: tuple[str, ...] = ()
    """Members that may be sent in the query string instead."""
    repeats: Mapping[str, str] = field(default_factory=dict)
    """Members that have to equal a segment of the path, with the name of that segment."""


@dataclass(frozen=True, slots=True)
class Route:
    """A method and a path of a dialect, and the operation that they run."""

    method: str
    path: str
    """The path, with the names of variable segments in braces: ``/process/{idProcess}``."""
    operation: str
    """The operation's name in the dialect's document."""
    answer: tuple[str, ...]
    """The response keys that lead to the route's answer in the operation's data."""
    summary: str
    description: str = ""
    variables: Mapping[str, tuple[PathValue, ...]] = field(default_factory=dict)
    """The meanings of each variable segment. The first that identifies an object is used."""
    body: BodyRule | None = None
    """The body of the route; None if a body is not read."""
    has_data: bool = True
    """Whether the response contains the answer of the operation."""
    tagged: bool = False
    """Whether the answer is a process, whose version is the ``ETag`` of the response."""
    if_match: str | None = None
    """The variable that takes the version in the header ``If-Match``; None if it is ignored."""
    idempotency_key: str | None = None
    """The variable that takes the header ``Idempotency-Key``; None if it is ignored."""
    errors: frozenset[ErrorKind] = frozenset()
    """Kinds of errors in addition to those that follow from the rest of the route."""

    def __str__(self) -> str:
        return f"{self.method} {self.path}"


class Envelope(Protocol):
    """The format of a dialect's responses."""

    def status(self, kind: ErrorKind) -> int:
        """Return the HTTP status of an error."""
        ...

    def success(self, data: Parts | None) -> Parts:
        """Return the body of a successful response around the data. Both are JSON in parts.

        ``data`` is None if the route has no answer. The body has no parts if it is empty.
        """
        ...

    def failure(self, error: GatewayError) -> bytes:
        """Return the body of an error, whose paths refer to the client's request."""
        ...

    def success_schema(self, data: JsonSchema | None) -> JsonSchema | None:
        """Return the JSON Schema of ``success`` around that of the data; None for an empty body.

        Errors that are sent with status 200 have to fit it too.
        """
        ...

    def failure_schema(self) -> JsonSchema:
        """Return the JSON Schema of ``failure``."""
        ...

    def code_schema(self) -> JsonSchema:
        """Return the JSON Schema of the codes, the component ``Code`` that both refer to."""
        ...


@dataclass(frozen=True, slots=True)
class RouteExample:
    """A request to a route and its answer, as the OpenAPI document shows them.

    All requests succeed if they are sent to a gateway with the demo home, in the order of the
    routes.
    """

    answer: object = None
    """The data of the answer; None if the route has none. Lists show their first items."""
    path: Mapping[str, int | str] = field(default_factory=dict)
    """A value for each variable segment of the path."""
    body: object = None
    """The body; None if the route takes none."""


@dataclass(frozen=True, slots=True)
class Dialect:
    """A legacy API."""

    name: str
    title: str
    description: str
    roots: tuple[str, ...]
    """The first segments of its paths."""
    document: str
    """Its operations, in GraphQL."""
    routes: tuple[Route, ...]
    envelope: Envelope
    tags: Mapping[str, str] = field(default_factory=dict)
    """Descriptions of the groups of routes, by the last fixed segment of their paths."""
    examples: Mapping[str, RouteExample] = field(default_factory=dict)
    """An example for each operation, by name."""
