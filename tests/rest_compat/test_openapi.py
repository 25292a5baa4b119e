"""In charge of holding the OpenAPI documents to what the dialects really take and answer."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import jsonschema
import openapi_spec_validator
import pytest

from resolvers.errors.catalogue import ErrorKind
from resolvers.operations.compile import OperationCompiler
from resolvers.operations.limits import Limits
from resolvers.schema.build import build_schema
from rest_compat.dialects import build_dialects
from rest_compat.errors import ERROR_CODES
from rest_compat.handler import CompiledDialect
from rest_compat.openapi import openapi_document
from rest_compat.process.envelope import DialectStatus
from tests.rest_compat.api import NOBODY, Api, run, say

Document = dict[str, Any]


def dialects(statuses: DialectStatus = "http") -> tuple[CompiledDialect, ...]:
    compiler = OperationCompiler(build_schema(), Limits())
    return build_dialects(compiler, process_dialect_status=statuses)


def documents(statuses: DialectStatus = "http") -> dict[str, Document]:
    """The document of each dialect, by its name."""
    return {
        dialect.name: openapi_document(dialect, version="1.2.3", base_path="/api")
        for dialect in dialects(statuses)
    }


def operations(document: Document) -> Iterator[tuple[str, str, Document]]:
    """Every method, path and operation of a document."""
    for path, item in document["paths"].items():
        for method, operation in item.items():
            yield method.upper(), path, operation


@pytest.mark.parametrize("statuses", ["http", "always-200"])
def test_is_a_valid_document(statuses: DialectStatus) -> None:
    for document in documents(statuses).values():
        openapi_spec_validator.validate(document)
        assert json.loads(json.dumps(document)) == document
        assert document["info"]["version"] == "1.2.3"
        assert [server["url"] for server in document["servers"]] == ["/", "/api"]


def test_has_every_route_once() -> None:
    for dialect in dialects():
        document = openapi_document(dialect, version="1")
        routes = [(c.route.method, c.route.path) for c in dialect.routes]
        assert sorted((method, path) for method, path, _ in operations(document)) == sorted(routes)
        ids = [operation["operationId"] for _, _, operation in operations(document)]
        assert len(set(ids)) == len(ids)


def test_has_every_error_answer() -> None:
    document = documents()["process"]
    everywhere = {"200", "401", "429", "500", "503"}
    expected = {
        ("GET", "/espaces"): set(),
        ("GET", "/process"): {"403"},
        ("POST", "/process"): {"400", "403", "409"},
        ("DELETE", "/process/{idProcess}"): {"403", "404", "409"},
        ("POST", "/process/{id}/execute"): {"400", "403", "404", "502"},
    }
    found = {(method, path): operation for method, path, operation in operations(document)}
    for route, statuses in expected.items():
        assert set(found[route]["responses"]) == everywhere | statuses
    examples = found["GET", "/process"]["responses"]["401"]["content"]["application/json"][
        "examples"
    ]
    assert set(examples) == {"unauthenticated", "token_expired"}


def test_has_the_codes_that_the_legacy_page_lists() -> None:
    listed = {
        ("GET", "/processes"): {1006, 2002, 2004, 3001, 6001},
        ("PUT", "/processes"): {1001, 1006, 2002, 2004, 3001, 6001},
        ("PUT", "/processes/{id}"): {1001, 1005, 1006, 2002, 2004, 3001, 6001},
    }
    for method, path, operation in operations(documents()["processes"]):
        codes = {
            example["value"]["code"]
            for status, response in operation["responses"].items()
            if status != "200"
            for example in response["content"]["application/json"]["examples"].values()
        }
        assert codes == listed[method, path]


def test_shows_examples_that_fit() -> None:
    for statuses in ("http", "always-200"):
        for document in documents(statuses).values():
            for _, _, operation in operations(document):
                for response in operation["responses"].values():
                    for media in response.get("content", {}).values():
                        for example in media.get("examples", {}).values():
                            check(example["value"], media["schema"], document)


def check(value: Any, schema: Document, document: Document) -> None:
    """Check a value against a schema of a document; raises where it does not fit."""
    jsonschema.Draft202012Validator({**schema, "components": document["components"]}).validate(
        value
    )


async def test_describes_real_answers(api: Api) -> None:
    found = documents()
    known = {
        (method, path): operation
        for document in found.values()
        for method, path, operation in operations(document)
    }
    covered: set[tuple[str, str]] = set()

    async def ask(method: str, path: str, body: Any = None, **ids: Any) -> Any:
        document = found["processes" if path.startswith("/processes") else "process"]
        operation = known[method, path]
        if body is not None:
            check(body, operation["requestBody"]["content"]["application/json"]["schema"], document)
        reply = await api.call(method, path.format(**ids), body)
        response = operation["responses"][str(reply.status)]
        if reply.body:
            check(reply.json, response["content"]["application/json"]["schema"], document)
            for name in response.get("headers", {}):
                assert name in reply.headers
        else:
            assert "content" not in response
        if reply.status == 200:
            covered.add((method, path))
        return reply.json if reply.body else None

    await api.espace("light")
    sub = (await ask("POST", "/process", {"reference": "sub", "name": "Sub"}))["data"]["id"]
    whole = {
        "reference": "a",
        "name": "A",
        "espace": {"name": "Light"},
        "mode": "switch",
        "enable": "1",
        "sources": [say(), run({"id": sub}), {"source": "echo", "action": "x", "arguments": [1]}],
        "inputs": [{"name": "x", "enable": False}],
        "profiles": ["guest", 2],
    }
    made = (await ask("POST", "/process", whole))["data"]["id"]
    ids = {"idProcess": made, "id": made}
    await ask("POST", "/process", whole)
    await ask("POST", "/process", {"reference": "b", "name": "b", "sources": [run("none")]})
    await ask("GET", "/espaces")
    await ask("GET", "/process")
    shown = (await ask("GET", "/process/{idProcess}", **ids))["data"]
    await ask("GET", "/process/{idProcess}", idProcess=NOBODY)
    await ask("POST", "/process", shown | {"reference": "copy"})
    action = (await ask("POST", "/process/{idProcess}/actions", say(), **ids))["data"]["id"]
    asked = (await ask("POST", "/process/{idProcess}/inputs", {"name": "y"}, **ids))["data"]["id"]
    for inputs in ({"y": 1}, [1], [{"name": "y", "value": "1"}]):
        await ask("POST", "/process/{id}/execute", {"inputs": inputs}, **ids)
    await ask("DELETE", "/process/{idProcess}/actions/{idAction}", idAction=action, **ids)
    await ask("DELETE", "/process/{idProcess}/inputs/{idInput}", idInput=asked, **ids)
    await ask("POST", "/process/{idProcess}/profiles", {"idProfile": {"name": "admin"}}, **ids)
    await ask("DELETE", "/process/{idProcess}/profiles/{idProfile}", idProfile=3, **ids)
    await ask("DELETE", "/process/{idProcess}/profiles", {"idProfile": "2"}, **ids)
    await ask("GET", "/processes")
    await ask("PUT", "/processes", {"processes": [{"id": sub, "name": "x"}]})
    await ask("PUT", "/processes", {"processes": [{"id": NOBODY, "comment": "x"}]})
    await ask("PUT", "/processes/{id}", {"name": "x"}, id=sub)
    await ask("PUT", "/processes/{id}", {"name": "x"}, id=NOBODY)
    await ask("DELETE", "/process/{idProcess}", idProcess=sub)
    await ask("DELETE", "/process/{idProcess}", **ids)
    assert covered == known.keys()


def test_describes_every_body_that_it_takes() -> None:
    document = documents()["process"]
    process = document["components"]["schemas"]["ProcessBody"]
    shared: Document = {"reference": "a", "name": "b"}
    for right in (
        {"actions": [say()]},
        {"espace": 3},
        {"espace": None},
        {"mode": "button"},
        {"sources": [{"source": 3, "action": {"reference": "x"}, "arguments": ["a", 1, True]}]},
    ):
        check(shared | right, process, document)
    wrongs: list[Document] = [{"mode": "x"}, {"enable": 2}, {"sources": [{}]}, {"espace": []}]
    for wrong in [*wrongs, {"name": 5}]:
        with pytest.raises(jsonschema.ValidationError):
            check(shared | wrong, process, document)


def test_names_every_kind_of_error() -> None:
    document = documents()["process"]
    codes = document["components"]["schemas"]["Error"]["properties"]["code"]["enum"]
    assert codes == [ERROR_CODES[kind].process for kind in ErrorKind]
