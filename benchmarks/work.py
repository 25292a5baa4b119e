"""In charge of what is asked: the operations, their SQL, and the same request for each contestant.

Every contestant has the same data in its own words. ``Words`` says which: how it puts a request,
and how its answer reads in the gateway's words, so that the answers can be compared.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import orjson
from graphql import parse, print_ast, separate_operations

from resolvers.operations.compile import CompiledRead, OperationCompiler
from resolvers.operations.parameters import RunValues
from servers import Server, ServerError
from storage.reads.plan import Scope, Visibility

HERE = Path(__file__).parent
PAGES = (1, 10, 50, 200)
"""Whole trees on a page."""
ADMIN = Scope(Visibility.ALL, sources=True)
"""What the viewer of the benchmark sees: everything, as the peers' only one does."""

_STARTS = 200
"""Rows from the start of one page that is asked for to the start of the next."""


def documents(path: Path) -> dict[str, str]:
    """The operations of a file, each with the fragments that it needs, by their names.

    Clients send one operation at a time, and Mercurius keeps one compiled operation a document.
    """
    operations = separate_operations(parse(path.read_text("utf-8")))
    return {name: print_ast(document) for name, document in operations.items()}


DOCUMENTS = documents(HERE / "work.graphql")
FRAGMENT = DOCUMENTS["Page"][DOCUMENTS["Page"].index("fragment") :]
"""All of a tree."""


@dataclass(frozen=True, slots=True)
class Case:
    """One kind of request."""

    name: str
    title: str
    trees: int | None = None
    """On a page; None for a single process."""


CASES = (
    Case("one", "one process by reference"),
    *(Case(f"page-{n}", f"page of {n} tree{'s' if n > 1 else ''}", n) for n in PAGES),
)


class Words(Protocol):
    """How a contestant is asked and how it answers."""

    def page(self, first: int, after: str) -> bytes:
        """The body of a request for a page; ``after`` is the gateway's cursor."""
        ...

    def one(self, reference: str) -> bytes:
        """The body of a request for a single process."""
        ...

    def read(self, answer: bytes) -> object:
        """An answer as JSON in the gateway's words, cursors left out."""
        ...


def bodies(case: Case, words: Words, cursors: Sequence[str]) -> list[bytes]:
    """The requests of a case, which are asked in turn."""
    if case.trees is not None:
        return [words.page(case.trees, cursor) for cursor in cursors]
    numbers = range(1, len(cursors) * _STARTS, _STARTS)
    return [words.one(reference(number)) for number in numbers]


def reference(number: int) -> str:
    """The reference of a generated process (``storage.demo``)."""
    return f"load-{number:07}"


def walk(server: Server, documents: Mapping[str, str], field: str, count: int) -> list[str]:
    """The cursors of every so many rows of ``count``, as a client finds them: page by page."""
    found: list[str] = []
    after: str | None = None
    for _ in range(_STARTS, count, _STARTS):
        body = _body(documents, "Page", {"first": _STARTS, "after": after})
        page = orjson.loads(server.ask(body))["data"][field]
        after = page["pageInfo"]["endCursor"]
        if after is None:
            raise ServerError("the walk through the pages came to an early end")
        found.append(after)
    return found


def _body(documents: Mapping[str, str], name: str, variables: Mapping[str, object]) -> bytes:
    return orjson.dumps({"query": documents[name], "operationName": name, "variables": variables})


class OwnWords:
    """Of the gateway, and of the peers that were given its schema and its cursors."""

    def page(self, first: int, after: str) -> bytes:
        """The operation of ``work.graphql``."""
        return _body(DOCUMENTS, "Page", {"first": first, "after": after})

    def one(self, reference: str) -> bytes:
        """The operation of ``work.graphql``."""
        return _body(DOCUMENTS, "One", {"reference": reference})

    def read(self, answer: bytes) -> object:
        """As it is, but for the cursor."""
        data = orjson.loads(answer)["data"]
        data.get("processes", {}).get("pageInfo", {}).pop("endCursor", None)
        return data


class LimitWords(OwnWords):
    """Of the limit: the parameters of the very statements that the gateway runs."""

    def __init__(self, compiler: OperationCompiler) -> None:
        self._page = compiled(compiler, DOCUMENTS["Page"], {"first": 1, "after": _ANY_CURSOR})
        self._one = compiled(compiler, DOCUMENTS["One"], {"reference": ""})

    def statements(self) -> dict[str, str]:
        """Their SQL, by name."""
        return {"page": self._page.statement.sql, "one": self._one.statement.sql}

    def page(self, first: int, after: str) -> bytes:
        """Reading the cursor is not for the limit to do."""
        values = RunValues({"first": first, "after": after}, profile_id=1)
        return self._body("page", "processes", self._page.arguments(values))

    def one(self, reference: str) -> bytes:
        """As a page."""
        values = RunValues({"reference": reference}, profile_id=1)
        return self._body("one", "process", self._one.arguments(values))

    def _body(self, name: str, field: str, parameters: Sequence[object]) -> bytes:
        return orjson.dumps({"name": name, "field": field, "parameters": parameters})


_ANY_CURSOR = "WyJkYXRhYmFzZV9pZCIsIDFd"  # ["database_id", 1]


def compiled(compiler: OperationCompiler, document: str, variables: dict[str, Any]) -> CompiledRead:
    """What the gateway runs for an operation of one root field."""
    operation = compiler.document(document).operation(None)
    (field,) = compiler.query(operation, variables, ADMIN).fields
    assert field.read is not None, field.error
    return field.read


class PostGraphileWords:
    """Of a schema that follows from the tables."""

    documents = documents(HERE / "peers" / "postgraphile.graphql")

    def __init__(self, cursors: Mapping[str, str]) -> None:
        """``cursors`` has PostGraphile's for each of the gateway's."""
        self._cursors = cursors

    def page(self, first: int, after: str) -> bytes:
        """The operation of ``peers/postgraphile.graphql``."""
        return _body(self.documents, "Page", {"first": first, "after": self._cursors[after]})

    def one(self, reference: str) -> bytes:
        """The operation of ``peers/postgraphile.graphql``."""
        return _body(self.documents, "One", {"reference": reference})

    def read(self, answer: bytes) -> object:
        """The same trees in the gateway's words."""
        data = orjson.loads(answer)["data"]
        if "processByReference" in data:
            return {"process": self._process(data["processByReference"])}
        page = data["allProcesses"]
        return {
            "processes": {
                "nodes": [self._process(node) for node in page["nodes"]],
                "pageInfo": {"hasNextPage": page["pageInfo"]["hasNextPage"]},
            }
        }

    def _process(self, node: dict[str, Any]) -> dict[str, Any]:
        actions = node.pop("actionsByProcessId")["nodes"]
        inputs = node.pop("inputsByProcessId")["nodes"]
        authorised = node.pop("authorisationsByProcessId")["nodes"]
        return self._renamed(node, enabled="state") | {
            "mode": node["mode"].upper(),
            "espace": self._renamed(node["espaceByEspaceId"]),
            "actions": [
                self._renamed(action, enabled="runsWhen")
                | {"sourceName": action["sourceBySourceId"]["name"]}
                for action in actions
            ],
            "inputs": [self._renamed(part, enabled="askedWhen") for part in inputs],
            "profiles": [self._renamed(part["profileByProfileId"]) for part in authorised],
        }

    def _renamed(self, row: dict[str, Any], enabled: str = "") -> dict[str, Any]:
        """A row with the gateway's names for its id and its state."""
        kept = {name: value for name, value in row.items() if "By" not in name}
        kept["databaseId"] = kept.pop("rowId")
        if enabled:
            kept[enabled] = "ENABLED" if kept.pop("enabled") else "DISABLED"
        return kept
