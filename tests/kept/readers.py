"""Read from gateways that keep answers, and compare with the reference."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, TypeAlias
from urllib.parse import urlencode

from graphql import GraphQLSchema, parse

from tests.conftest import Gateway, Reply
from tests.proof import read_json, written
from tests.reference import dialects
from tests.reference.answers import Reference
from tests.reference.rows import Rows
from tests.reference.sight import Sight
from tests.resolvers.operations.operations import Operation
from tests.resolvers.operations.test_proof import compared

_LONGEST_URL = 6000


class Moment:
    """The rows of all tables at a moment, and what viewers see of them."""

    def __init__(self, schema: GraphQLSchema, rows: Rows) -> None:
        self.schema = schema
        self.rows = rows
        self._references: dict[int, Reference] = {}

    def reference(self, profile_id: int) -> Reference:
        """Return the reference for a viewer."""
        if profile_id not in self._references:
            self._references[profile_id] = Reference(self.schema, self.rows, profile_id)
        return self._references[profile_id]

    def sight(self, profile_id: int) -> Sight:
        """Return what a viewer sees."""
        return self.reference(profile_id).sight


@dataclass(frozen=True, eq=False)
class Query:
    """A GraphQL operation."""

    operation: Operation
    profile: str
    profile_id: int
    by_get: bool

    @cached_property
    def request(self) -> tuple[str, str, Any]:
        """The method, the path and the body."""
        members = {"query": self.operation.text, "variables": json.dumps(self.operation.variables)}
        if self.operation.name is not None:
            members["operationName"] = self.operation.name
        path = f"/graphql?{urlencode(members)}" if self.by_get else ""
        if self.by_get and len(path) < _LONGEST_URL:
            return "GET", path, None
        return "POST", "/graphql", {**members, "variables": self.operation.variables}

    def difference(self, reply: Reply, moment: Moment) -> str | None:
        """Return how a reply differs from what was to be seen at a moment, or None."""
        reference = moment.reference(self.profile_id)
        operation = self.operation
        expected = reference.answer(parse(operation.text), operation.variables, operation.name)
        return compared((reply.status, reply.body), expected)


@dataclass(frozen=True, eq=False)
class Route:
    """A GET of a legacy route."""

    path: str
    profile: str
    profile_id: int

    @property
    def request(self) -> tuple[str, str, Any]:
        """The method, the path and the body."""
        return "GET", self.path, None

    def difference(self, reply: Reply, moment: Moment) -> str | None:
        """Return how a reply differs from what was to be seen at a moment, or None."""
        expected = dialects.answer(moment.sight(self.profile_id), "GET", self.path)
        want = f"{expected.status} {written(expected.body)}"
        got = f"{reply.status} {written(read_json(reply.body))}"
        return None if want == got else f"expected {want}, got {got}"


Read: TypeAlias = "Query | Route"


@dataclass
class Client:
    """Sends reads to gateways, and remembers what it got, as browsers do."""

    tokens: Mapping[str, str]
    bodies: dict[tuple[Read, str], Reply] = field(default_factory=dict)
    """The replies by the read and the tag."""
    last: dict[Read, str] = field(default_factory=dict)
    """The last tag of each read."""
    not_modified: int = 0

    async def get(self, gateway: Gateway, read: Read, *, conditional: bool) -> Reply:
        """Send a read. Return the reply, or that from before of which the gateway says it holds."""
        method, path, body = read.request
        headers = {"Authorization": self.tokens[read.profile]}
        if isinstance(read, Query):  # so that the status is that of the error
            headers["Accept"] = "application/graphql-response+json"
        if conditional and read in self.last and method == "GET":
            headers["If-None-Match"] = self.last[read]
        reply = await gateway.call(
            method, path, body, profile=None, headers=headers, encoded=method == "GET"
        )
        if reply.status == 304:
            self.not_modified += 1
            assert reply.body == b""
            assert reply.headers["Etag"] == headers["If-None-Match"]
            return self.bodies[read, headers["If-None-Match"]]
        tag = reply.headers.get("Etag")
        if tag is not None:
            before = self.bodies.setdefault((read, tag), reply)
            assert before.body == reply.body, "the same tag stands for two bodies"
            self.last[read] = tag
        return reply


def unavailable(reply: Reply) -> bool:
    """Whether a read failed, or a root field of it, because the database was unavailable."""
    if reply.status == 503:
        return True
    errors = reply.json.get("errors") or () if isinstance(reply.json, dict) else ()
    return any(error["extensions"].get("code") == "DATABASE_UNAVAILABLE" for error in errors)


def first_difference(read: Read, reply: Reply, moments: Collection[Moment]) -> str | None:
    """Return how a reply differs from the last of these moments, or None if it is that of one.

    Each root field of an operation has a moment of its own, so several of them are not judged if
    there are several moments.
    """
    difference = None
    for moment in moments:
        difference = read.difference(reply, moment)
        if difference is None:
            return None
    if len(moments) > 1 and isinstance(read, Query) and len(reply.json.get("data") or ()) > 1:
        return None
    return difference
