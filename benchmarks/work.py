"""Define the measured operations, their SQL, and the same requests for every contestant.

Every contestant has the same data, but not the same schema. An ``Adapter`` builds its requests,
and converts its responses to the gateway's schema, so that responses can be compared.
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
"""The numbers of complete trees on a page."""
ADMIN = Scope(Visibility.ALL, sources=True)
"""The scope of the benchmark's viewer: everything, as in the peers."""

_INTERVAL = 200
"""The number of rows between the starts of two requested pages."""


def documents(path: Path) -> dict[str, str]:
    """Return the operations of a file by name, each with the fragments that it needs.

    Clients send one operation at a time, and Mercurius caches one compiled operation per document.
    """
    operations = separate_operations(parse(path.read_text("utf-8")))
    return {name: print_ast(document) for name, document in operations.items()}


DOCUMENTS = documents(HERE / "work.graphql")
FRAGMENT = DOCUMENTS["Page"][DOCUMENTS["Page"].index("fragment") :]
"""The fragment that selects a complete tree."""


@dataclass(frozen=True, slots=True)
class Case:
    """A kind of request."""

    name: str
    title: str
    trees: int | None = None
    """The number of trees on the page, None for a single process."""


CASES = (
    Case("one", "one process by reference"),
    *(Case(f"page-{n}", f"page of {n} tree{'s' if n > 1 else ''}", n) for n in PAGES),
)


class Adapter(Protocol):
    """Builds the requests of a contestant and reads its responses."""

    def page(self, first: int, after: str) -> bytes:
        """Return the body of a request for a page. ``after`` is a cursor of the gateway."""
        ...

    def one(self, reference: str) -> bytes:
        """Return the body of a request for a single process."""
        ...

    def read(self, answer: bytes) -> object:
        """Return the data of a response in the gateway's schema, without cursors."""
        ...


def request_bodies(case: Case, adapter: Adapter, cursors: Sequence[str]) -> list[bytes]:
    """Return the request bodies of a case, which are sent in turn."""
    if case.trees is not None:
        return [adapter.page(case.trees, cursor) for cursor in cursors]
    numbers = range(1, len(cursors) * _INTERVAL, _INTERVAL)
    return [adapter.one(reference(number)) for number in numbers]


def reference(number: int) -> str:
    """Return the reference of a generated process (``storage.demo.load``)."""
    return f"load-{number:07}"


def collect_cursors(
    server: Server, documents: Mapping[str, str], field: str, count: int
) -> list[str]:
    """Page through ``count`` rows as a client does. Return the end cursor of each page."""
    cursors: list[str] = []
    after: str | None = None
    for _ in range(_INTERVAL, count, _INTERVAL):
        body = _body(documents, "Page", {"first": _INTERVAL, "after": after})
        page = orjson.loads(server.post(body))["data"][field]
        after = page["pageInfo"]["endCursor"]
        if after is None:
            raise ServerError("the pages ended too early")
        cursors.append(after)
    return cursors


def _body(documents: Mapping[str, str], name: str, variables: Mapping[str, object]) -> bytes:
    return orjson.dumps({"query": documents[name], "operationName": name, "variables": variables})


class GatewayAdapter:
    """Adapts the gateway, and the peers that implement its schema and cursors."""

    def page(self, first: int, after: str) -> bytes:
        """Return the body with the operation of ``work.graphql``."""
        return _body(DOCUMENTS, "Page", {"first": first, "after": after})

    def one(self, reference: str) -> bytes:
        """Return the body with the operation of ``work.graphql``."""
        return _body(DOCUMENTS, "One", {"reference": reference})

    def read(self, answer: bytes) -> object:
        """Return the data of a response without the cursor."""
        data = orjson.loads(answer)["data"]
        data.get("processes", {}).get("pageInfo", {}).pop("endCursor", None)
        return data


class LimitAdapter(GatewayAdapter):
    """Adapts the limit. Its requests are the parameters of the statements that the gateway runs."""

    def __init__(self, compiler: OperationCompiler) -> None:
        self._page = compiled(compiler, DOCUMENTS["Page"], {"first": 1, "after": _ANY_CURSOR})
        self._one = compiled(compiler, DOCUMENTS["One"], {"reference": ""})

    def statements(self) -> dict[str, str]:
        """Return the SQL of the statements by name."""
        return {"page": self._page.statement.sql, "one": self._one.statement.sql}

    def page(self, first: int, after: str) -> bytes:
        """Return the statement's parameters, so that the limit need not read the cursor."""
        values = RunValues({"first": first, "after": after}, profile_id=1)
        return self._body("page", "processes", self._page.arguments(values))

    def one(self, reference: str) -> bytes:
        """Return the statement's parameters."""
        values = RunValues({"reference": reference}, profile_id=1)
        return self._body("one", "process", self._one.arguments(values))

    def _body(self, name: str, field: str, parameters: Sequence[object]) -> bytes:
        return orjson.dumps({"name": name, "field": field, "parameters": parameters})


_ANY_CURSOR = "WyJkYXRhYmFzZV9pZCIsIDFd"  # ["database_id", 1]


def compiled(compiler: OperationCompiler, document: str, variables: dict[str, Any]) -> CompiledRead:
    """Compile an operation with one root field."""
    operation = compiler.read(document).operation(None)
    (field,) = compiler.query(operation, variables, ADMIN).fields
    assert field.read is not None, field.error
    return field.read


class PostGraphileAdapter:
    """Adapts PostGraphile, which derives its schema from the tables."""

    documents = documents(HERE / "peers" / "postgraphile.graphql")

    def __init__(self, cursors: Mapping[str, str]) -> None:
        """Create the adapter. ``cursors`` maps the gateway's cursors to PostGraphile's."""
        self._cursors = cursors

    def page(self, first: int, after: str) -> bytes:
        """Return the body with the operation of ``peers/postgraphile.graphql``."""
        return _body(self.documents, "Page", {"first": first, "after": self._cursors[after]})

    def one(self, reference: str) -> bytes:
        """Return the body with the operation of ``peers/postgraphile.graphql``."""
        return _body(self.documents, "One", {"reference": reference})

    def read(self, answer: bytes) -> object:
        """Return the data of a response in the gateway's schema, without cursors."""
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
        authorizations = node.pop("authorisationsByProcessId")["nodes"]
        return self._renamed(node, enabled="state") | {
            "mode": node["mode"].upper(),
            "espace": self._renamed(node["espaceByEspaceId"]),
            "actions": [
                self._renamed(action, enabled="runsWhen")
                | {"sourceName": action["sourceBySourceId"]["name"]}
                for action in actions
            ],
            "inputs": [self._renamed(part, enabled="askedWhen") for part in inputs],
            "profiles": [self._renamed(part["profileByProfileId"]) for part in authorizations],
        }

    def _renamed(self, row: dict[str, Any], enabled: str = "") -> dict[str, Any]:
        """Return a row with the gateway's names of its id and its state."""
        renamed = {name: value for name, value in row.items() if "By" not in name}
        renamed["databaseId"] = renamed.pop("rowId")
        if enabled:
            renamed[enabled] = "ENABLED" if renamed.pop("enabled") else "DISABLED"
        return renamed
