"""Compare the reference pages of the dialects in ``docs/`` with the routes that they describe."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from pydantic import AliasChoices

from resolvers.operations.compile import OperationCompiler
from resolvers.operations.limits import Limits
from resolvers.schema.build import build_schema
from rest_compat.dialect import BodyRule, Route
from rest_compat.dialects import build_dialects
from rest_compat.openapi.document import openapi_document
from rest_compat.process.routes import process_dialect
from rest_compat.processes.routes import processes_dialect
from tests.rest_compat.documents import Document, content_of, examples, resolve

DOCS = Path(__file__).parents[2] / "docs"
PAGES = {"process": "process-dialect.md", "processes": "processes-dialect.md"}
"""The page of each dialect."""

_HEADING = re.compile(r"^### (.+)$", re.MULTILINE)
_NEXT_HEADING = re.compile(r"^##", re.MULTILINE)
_EXAMPLE = re.compile(
    r"^(Request|Response)(?: \([^)\n]+\))?:\n\n?```json\n(.*?)^```$", re.MULTILINE | re.DOTALL
)
_JSON_BLOCK = re.compile(r"^```json$", re.MULTILINE)
_MEMBER = re.compile(r"^\| (`\w+`(?: or `\w+`)*) \| [^|]+ \| (yes|no) \|", re.MULTILINE)
_ERROR = re.compile(r"^\| `(\w+)` \| (?:[^|]+ \| )?(\d{3}) \|", re.MULTILINE)
_CODE = re.compile(r"`(\w+)`")


def page(name: str) -> str:
    """The page of a dialect."""
    return (DOCS / PAGES[name]).read_text("utf-8")


@dataclass(frozen=True, slots=True)
class Section:
    """The description of one route on a page, and in the product."""

    page: str
    route: Route
    permission: str | None
    operation: Document
    """Of the OpenAPI document."""
    document: Document
    """The OpenAPI document."""

    @property
    def text(self) -> str:
        """The text below the route's heading."""
        _, _, after = self.page.partition(f"\n### {self.route}\n")
        return _NEXT_HEADING.split(after, maxsplit=1)[0]

    def line(self, label: str) -> str:
        """The rest of the one line that starts with this label."""
        (text,) = re.findall(rf"^{label}: (.*)$", self.text, re.MULTILINE)
        return str(text)

    def examples(self, label: str) -> list[Any]:
        """The JSON blocks below a line such as ``Request:`` or ``Request (bare values):``."""
        return [json.loads(block) for name, block in _EXAMPLE.findall(self.text) if name == label]

    def members(self) -> dict[str, bool]:
        """The members in the tables of the body, each with whether it is required."""
        return {
            name: required == "yes"
            for names, required in _MEMBER.findall(self.text)
            for name in _CODE.findall(names)
        }

    def errors(self) -> set[tuple[str, str]]:
        """The code and the HTTP status of each error that the route can return."""
        return {
            (str(example["code"]), status)
            for status, response in self.operation["responses"].items()
            if status != "200"
            for example in examples(content_of(response, self.document))
        }

    def body_members(self) -> tuple[dict[str, bool], set[str]]:
        """The members of the body, each with whether it is required, and those of objects in it."""
        if "requestBody" not in self.operation:
            return {}, set()
        content = content_of(self.operation["requestBody"], self.document)
        schema = resolve(content["schema"], self.document)
        required = schema.get("required", [])
        members = {name: name in required for name in schema["properties"]}
        return members, set(self._inner_members(schema)) - members.keys()

    def _inner_members(self, schema: Any) -> Iterator[str]:
        for part in schema.values() if isinstance(schema, dict) else schema:
            if isinstance(part, dict | list):
                inner = resolve(part, self.document) if isinstance(part, dict) else part
                if isinstance(inner, dict) and isinstance(inner.get("properties"), dict):
                    yield from inner["properties"]
                yield from self._inner_members(inner)


def _sections() -> Iterator[Section]:
    compiler = OperationCompiler(build_schema(), Limits())
    for dialect in build_dialects(compiler, process_dialect_status="http"):
        document = openapi_document(dialect, version="1")
        for compiled in dialect.routes:
            route, permission = compiled.route, compiled.operation.permission
            yield Section(
                page(dialect.name),
                route,
                permission.value if permission is not None else None,
                document["paths"][route.path][route.method.lower()],
                document,
            )


SECTIONS = list(_sections())
each_section = pytest.mark.parametrize(
    "section", SECTIONS, ids=[str(section.route) for section in SECTIONS]
)
each_page = pytest.mark.parametrize("name", PAGES)


def errors_of_every_route(text: str) -> set[tuple[str, str]]:
    """The code and the HTTP status of each error that all routes of a page can return."""
    return set.intersection(*(section.errors() for section in SECTIONS if section.page == text))


# Routes ----------------------------------------------------------------------------------------


@each_page
def test_every_route_has_a_heading_and_every_heading_a_route(name: str) -> None:
    dialect = process_dialect("http") if name == "process" else processes_dialect()
    assert _HEADING.findall(page(name)) == [str(route) for route in dialect.routes]


@each_section
def test_a_section_names_the_permission(section: Section) -> None:
    expected_line = (
        f"`{section.permission}`." if section.permission else "none. Any valid token is accepted."
    )
    assert section.line("Permission") == expected_line


# Bodies ----------------------------------------------------------------------------------------


def other_names(rule: BodyRule | None) -> set[str]:
    """The other names of members, which the OpenAPI document leaves out."""
    fields = rule.model.model_fields.values() if rule is not None else ()
    aliases = [info.validation_alias for info in fields]
    choices = [alias.choices for alias in aliases if isinstance(alias, AliasChoices)]
    return {name for names in choices for name in names if isinstance(name, str)}


@each_section
def test_a_section_has_every_member_of_the_body(section: Section) -> None:
    known, inner = section.body_members()
    shown = section.members()
    assert {name: shown.get(name) for name in known} == known
    assert shown.keys() <= known.keys() | inner | other_names(section.route.body)
    assert [name for name in sorted(inner) if f"`{name}`" not in section.page] == []


@each_section
def test_every_request_is_a_valid_body(section: Section) -> None:
    rule, requests = section.route.body, section.examples("Request")
    assert bool(requests) is (rule is not None)
    for request in requests:
        assert rule is not None
        rule.model.model_validate(request)
        # The model ignores unknown members, so a misspelled one would pass.
        assert request.keys() <= section.body_members()[0].keys()


# Responses -------------------------------------------------------------------------------------


@each_section
def test_every_response_is_valid_for_the_route(section: Section) -> None:
    contents = [
        content_of(response, section.document)
        for response in section.operation["responses"].values()
    ]
    schemas = [content["schema"] for content in contents if content]
    schema = {"anyOf": schemas, "components": section.document["components"]}
    responses = section.examples("Response")
    assert responses
    for response in responses:
        jsonschema.Draft202012Validator(schema).validate(response)
    # Every block has one of the two labels.
    blocks = _JSON_BLOCK.findall(section.text)
    assert len(blocks) == len(responses) + len(section.examples("Request"))


# Errors ----------------------------------------------------------------------------------------


@each_section
def test_a_section_lists_the_errors_that_only_some_routes_return(section: Section) -> None:
    common = {code for code, _ in errors_of_every_route(section.page)}
    own = {code for code, _ in section.errors()} - common
    assert set(_CODE.findall(section.line("Errors"))) == own


@each_page
def test_a_page_lists_every_error(name: str) -> None:
    text = page(name)
    errors = {error for section in SECTIONS if section.page == text for error in section.errors()}
    assert sorted(_ERROR.findall(text)) == sorted(errors)
    (common,) = re.findall(r"^Every route can return ([^.]+)\.", text, re.MULTILINE)
    assert set(_CODE.findall(common)) == {code for code, _ in errors_of_every_route(text)}
