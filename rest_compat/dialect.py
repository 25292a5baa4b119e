"""In charge of what a legacy dialect consists of: routes, bodies and an envelope, as data."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from resolvers.errors.catalogue import ErrorKind, GatewayError
from resolvers.values.ids import MAX_DATABASE_ID, global_id
from rest_compat.body_model import Body, JsonSchema
from rest_compat.http import Parts


class RouteError(ValueError):
    """A route does not fit the schema; the message names the route and what does not fit."""


# Paths -----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class PathValue:
    """A variable of the operation that a part of the path gives."""

    variable: str
    is_id: bool = True
    """Whether it is a positive 32-bit integer; any text otherwise."""
    opaque: str | None = None
    """The type whose opaque id GraphQL wants in the place of the number."""
    key: str | None = None
    """The member that it becomes of the variable, where that is an object."""

    def read(self, text: str) -> object | None:
        """The variable's value; None where the text can be none."""
        value: object = text
        if self.is_id:
            value = number = database_id(text)
            if number is not None and self.opaque is not None:
                value = global_id(self.opaque, number)
        if not value:
            return None
        return value if self.key is None else {self.key: value}


def database_id(text: str) -> int | None:
    """The id that a part of a path stands for."""
    number = int(text) if re.fullmatch(r"[0-9]{1,10}", text) else 0
    return number if 0 < number <= MAX_DATABASE_ID else None


# Routes ----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class BodyRule:
    """What a route takes besides its path."""

    model: type[Body]
    variable: str | None = None
    """The variable that the body becomes; None where its members are variables themselves."""
    required: bool = True
    """Whether there has to be a body."""
    bulk: bool = False
    """Whether it may be as long as ``max_bulk_body_bytes`` allows."""
    in_query: tuple[str, ...] = ()
    """Members that may stand in the query string instead."""
    repeats: Mapping[str, str] = field(default_factory=dict)
    """Members that say again what a part of the path says, by that part's name."""


@dataclass(frozen=True, slots=True)
class Route:
    """A method and a path of a dialect, and the operation that they stand for."""

    method: str
    path: str
    """With the names of its variable parts in braces: ``/process/{idProcess}``."""
    operation: str
    """The operation's name in the dialect's document."""
    answer: tuple[str, ...]
    """Where in the operation's data the route's answer stands, as response keys."""
    summary: str
    description: str = ""
    variables: Mapping[str, tuple[PathValue, ...]] = field(default_factory=dict)
    """By each variable part of the path, what it can stand for: the first that exists is meant."""
    body: BodyRule | None = None
    """None where a body is not even read."""
    has_data: bool = True
    """Whether the caller is told what the operation answers."""
    errors: frozenset[ErrorKind] = frozenset()
    """What can go wrong besides what follows from the rest of the route."""

    def __str__(self) -> str:
        return f"{self.method} {self.path}"


class Envelope(Protocol):
    """How a dialect puts what it has to say."""

    def status(self, kind: ErrorKind) -> int:
        """The HTTP status of an error."""
        ...

    def success(self, data: Parts | None) -> Parts:
        """The body of a success in parts, around JSON in parts; both may be none."""
        ...

    def failure(self, error: GatewayError) -> bytes:
        """The body of an error, which is located in the client's own words."""
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

    Sent in the order of the routes to a gateway with the demo home, each request succeeds as it
    stands.
    """

    answer: object = None
    """The data of the answer; None where the route has none. Lists show their first items."""
    path: Mapping[str, int | str] = field(default_factory=dict)
    """A value for each variable part of the path."""
    body: object = None
    """The body; None where the route takes none."""


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
    """By the name of the operation."""
