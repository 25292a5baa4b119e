"""Compare the OpenAPI documents with the requests and responses of the dialects."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import jsonschema
import openapi_spec_validator
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter

from resolvers.errors.catalogue import ErrorKind
from resolvers.operations.compile import OperationCompiler
from resolvers.operations.limits import Limits
from resolvers.schema.build import build_schema
from resolvers.values.text import Reference
from rest_compat.body_model import ID_OR_KEY_SCHEMA, KeyForms
from rest_compat.dialects import build_dialects
from rest_compat.errors import ERROR_CODES
from rest_compat.handler import CompiledDialect
from rest_compat.openapi.document import openapi_document
from rest_compat.process.envelope import DialectStatus
from tests.rest_compat.api import UNKNOWN_ID, Api, run, say
from tests.rest_compat.documents import (
    Document,
    check,
    content_of,
    examples,
    operations,
    resolve,
)


def dialects(statuses: DialectStatus = "http") -> tuple[CompiledDialect, ...]:
    compiler = OperationCompiler(build_schema(), Limits())
    return build_dialects(compiler, process_dialect_status=statuses)


def documents(statuses: DialectStatus = "http") -> dict[str, Document]:
    """Return the document of each dialect by its name."""
    return {
        dialect.name: openapi_document(dialect, version="1.2.3", base_path="/api")
        for dialect in dialects(statuses)
    }


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


def test_has_every_response() -> None:
    document = documents()["process"]
    everywhere = {"200", "401", "429", "500", "503"}
    expected = {
        ("GET", "/espaces"): {"304"},
        ("GET", "/process"): {"304", "403"},
        ("POST", "/process"): {"400", "403", "409"},
        ("DELETE", "/process/{idProcess}"): {"400", "403", "404", "409"},
        ("POST", "/process/{id}/execute"): {"400", "403", "404", "409", "502"},
    }
    by_route = {(method, path): operation for method, path, operation in operations(document)}
    for route, statuses in expected.items():
        assert set(by_route[route]["responses"]) == everywhere | statuses
    unauthorized = content_of(by_route["GET", "/process"]["responses"]["401"], document)
    assert set(unauthorized["examples"]) == {"unauthenticated", "token_expired"}


def test_has_the_codes_that_the_legacy_page_lists() -> None:
    listed = {
        ("GET", "/processes"): {1006, 2002, 2004, 3001, 6001},
        ("PUT", "/processes"): {1001, 1006, 2002, 2004, 3001, 6001},
        ("PUT", "/processes/{id}"): {1001, 1005, 1006, 2002, 2004, 3001, 6001},
    }
    document = documents()["processes"]
    for method, path, operation in operations(document):
        codes = {
            example["code"]
            for status, response in operation["responses"].items()
            if status != "200"
            for example in examples(content_of(response, document))
        }
        assert codes == listed[method, path]


@pytest.mark.parametrize("statuses", ["http", "always-200"])
def test_every_body_and_response_has_a_valid_example(statuses: DialectStatus) -> None:
    for document in documents(statuses).values():
        for _, _, operation in operations(document):
            parts = list(operation["responses"].values())
            parts += [operation["requestBody"]] if "requestBody" in operation else []
            for content in filter(None, (content_of(part, document) for part in parts)):
                assert content["examples"]
                for value in examples(content):
                    check(value, content["schema"], document)


def test_every_example_belongs_to_an_operation() -> None:
    for dialect in dialects():
        assert dialect.dialect.examples.keys() == {c.route.operation for c in dialect.routes}


def test_every_tag_is_described() -> None:
    for document in documents().values():
        described = {tag["name"]: tag["description"] for tag in document["tags"]}
        used = {tag for _, _, operation in operations(document) for tag in operation["tags"]}
        assert described.keys() == used
        assert all(described.values())


def test_has_contact_and_license() -> None:
    for document in documents().values():
        assert document["info"]["contact"]["name"]
        assert document["info"]["license"]["name"]


@pytest.mark.parametrize("statuses", ["http", "always-200"])
def test_every_schema_has_a_plain_type(statuses: DialectStatus) -> None:
    for document in documents(statuses).values():
        for name, schema in document["components"]["schemas"].items():
            assert list(unusual(schema, name)) == []


def unusual(schema: Document, where: str) -> Iterator[str]:
    """Yield the paths of schemas that client generators do not support reliably."""
    if "anyOf" in schema:
        reference, null = schema["anyOf"]
        if "$ref" not in reference or null != {"type": "null"}:
            yield f"{where}: anyOf"
    elif not schema.keys() & {"$ref", "type"} and not where.endswith((".result", ".path[]")):
        yield f"{where}: no type"
    if "enum" in schema:
        types = {"string": str, "integer": int}
        if any(type(value) is not types[schema["type"]] for value in schema["enum"]):
            yield f"{where}: mixed enum"
    for name, member in schema.get("properties", {}).items():
        yield from unusual(member, f"{where}.{name}")
    if schema.get("type") == "array":
        yield from unusual(schema["items"], f"{where}[]")


async def test_describes_real_responses(api: Api) -> None:
    by_dialect = documents()
    known = {
        (method, path): operation
        for document in by_dialect.values()
        for method, path, operation in operations(document)
    }
    covered: set[tuple[str, str]] = set()

    async def ask(method: str, path: str, body: Any = None, **ids: Any) -> Any:
        document = by_dialect["processes" if path.startswith("/processes") else "process"]
        operation = known[method, path]
        reply = await api.call(method, path.format(**ids), body)
        response = operation["responses"][str(reply.status)]
        if reply.body:
            check(reply.json, content_of(response, document)["schema"], document)
            for name in resolve(response, document).get("headers", {}):
                assert name.lower() in {received.lower() for received in reply.headers}
        else:
            assert "content" not in response
        if reply.status == 200:
            covered.add((method, path))
        return reply.json if reply.body else None

    await api.espace("light")
    sub = (await ask("POST", "/process", {"reference": "sub", "name": "Sub"}))["data"]["id"]
    body = {
        "reference": "a",
        "name": "A",
        "espace": {"name": "Light"},
        "mode": "switch",
        "enable": "1",
        "sources": [say(), run({"id": sub}), {"source": "echo", "action": "x", "arguments": [1]}],
        "inputs": [{"name": "x", "enable": False}],
        "profiles": ["guest", 2],
    }
    process_id = (await ask("POST", "/process", body))["data"]["id"]
    ids = {"idProcess": process_id, "id": process_id}
    await ask("POST", "/process", body)
    await ask("POST", "/process", {"reference": "b", "name": "b", "sources": [run("none")]})
    await ask("GET", "/espaces")
    await ask("GET", "/process")
    shown = (await ask("GET", "/process/{idProcess}", **ids))["data"]
    await ask("GET", "/process/{idProcess}", idProcess=UNKNOWN_ID)
    await ask("POST", "/process", shown | {"reference": "copy"})
    action = (await ask("POST", "/process/{idProcess}/actions", say(), **ids))["data"]["id"]
    input_ = (await ask("POST", "/process/{idProcess}/inputs", {"name": "y"}, **ids))["data"]["id"]
    for inputs in ({"y": 1}, [1], [{"name": "y", "value": "1"}]):
        await ask("POST", "/process/{id}/execute", {"inputs": inputs}, **ids)
    await ask("DELETE", "/process/{idProcess}/actions/{idAction}", idAction=action, **ids)
    await ask("DELETE", "/process/{idProcess}/inputs/{idInput}", idInput=input_, **ids)
    await ask("POST", "/process/{idProcess}/profiles", {"idProfile": {"name": "admin"}}, **ids)
    await ask("DELETE", "/process/{idProcess}/profiles/{idProfile}", idProfile=3, **ids)
    await ask("DELETE", "/process/{idProcess}/profiles", {"idProfile": "2"}, **ids)
    await ask("GET", "/processes")
    await ask("PUT", "/processes", {"processes": [{"id": sub, "name": "x"}]})
    await ask("PUT", "/processes", {"processes": [{"id": UNKNOWN_ID, "comment": "x"}]})
    await ask("PUT", "/processes/{id}", {"name": "x"}, id=sub)
    await ask("PUT", "/processes/{id}", {"name": "x"}, id=UNKNOWN_ID)
    await ask("DELETE", "/process/{idProcess}", idProcess=sub)
    await ask("DELETE", "/process/{idProcess}", **ids)
    assert covered == known.keys()


async def test_describes_the_recommended_form_of_bodies(api: Api) -> None:
    """Every body that the schema allows is accepted. The reverse need not hold."""
    document = documents()["process"]
    process = document["components"]["schemas"]["ProcessBody"]
    espace = await api.espace("light")
    echo = {"source": "echo", "action": "x", "arguments": [{"reference": "a", "value": "1"}]}
    fitting: list[Document] = [
        {"sources": [say()]},
        {"sources": [echo]},
        {"sources": [{**say(), "enable": 0}], "mode": "switch", "enable": 1},
        {"espace": "light"},
        {"espace": str(espace)},
        {"inputs": [{"name": "x", "type": "anything", "enable": 0}]},
        {"profiles": ["guest", "2"]},
    ]
    for number, members in enumerate(fitting):
        body = {"reference": f"fitting-{number}", "name": "b", **members}
        check(body, process, document)
        await api.ok("POST", "/process", body)
    lenient: list[Document] = [
        {"espace": espace},
        {"espace": None},
        {"mode": "button"},
        {"enable": "1"},
        {"actions": [say()]},
        {"sources": [{**echo, "arguments": ["a", 1, True]}]},
        {"profiles": [{"id": 2}]},
    ]
    for number, members in enumerate(lenient):
        body = {"reference": f"lenient-{number}", "name": "b", **members}
        with pytest.raises(jsonschema.ValidationError):
            check(body, process, document)
        await api.ok("POST", "/process", body)
    misfits: list[Document] = [{"mode": "x"}, {"enable": 2}, {"sources": [{}]}, {"espace": []}]
    for members in [*misfits, {"name": 5}]:
        body = {"reference": "misfit", "name": "b", **members}
        with pytest.raises(jsonschema.ValidationError):
            check(body, process, document)
        await api.invalid("POST", "/process", body)


def test_names_every_kind_of_error() -> None:
    document = documents()["process"]
    codes = document["components"]["schemas"]["Code"]["enum"]
    assert codes == ["ok", *filter(None, (ERROR_CODES[kind].process for kind in ErrorKind))]


KEYS = st.one_of(
    st.from_regex(r"\A[0-9]{1,11}\Z"),
    st.text(st.characters(exclude_characters="\0", categories=None, exclude_categories=["Cs"])),
)


@given(KEYS)
def test_each_key_that_is_described_has_a_form_that_is_accepted(text: str) -> None:
    described = re.search(ID_OR_KEY_SCHEMA["pattern"], text) is not None and text != ""
    forms = KeyForms("a key", {"id": "databaseId"}, text="name")
    try:
        key = forms.read(text)
    except ValueError:
        assert not described
    else:
        # Long ids and leading zeros are accepted, too.
        assert described or (text.isdecimal() and key == {"databaseId": int(text)})


REFERENCES: TypeAdapter[str] = TypeAdapter(Reference)


@given(st.text(st.sampled_from("\t\n \x1c\x85\xa0\u2028\u3000\ufeffa"), max_size=3))
def test_each_reference_that_is_described_is_accepted(text: str) -> None:
    try:
        jsonschema.validate(text, REFERENCES.json_schema())
    except jsonschema.ValidationError:
        return
    assert REFERENCES.validate_python(text) == text.strip("\t\n \x85\xa0\u2028\u3000")


@pytest.mark.parametrize(
    ("path", "name"), [("/process", "espace"), ("/process/{idProcess}/profiles", "idProfile")]
)
def test_no_key_is_described_that_is_no_id(path: str, name: str) -> None:
    document = documents()["process"]
    body = document["paths"][path]["post"]["requestBody"]["content"]["application/json"]["schema"]
    schema = document["components"]["schemas"][body["$ref"].rpartition("/")[2]]
    validator = jsonschema.Draft202012Validator(schema["properties"][name])
    for text, valid in {"0": False, "00": False, "7": True, "attic": True, "": False}.items():
        assert validator.is_valid(text) is valid
