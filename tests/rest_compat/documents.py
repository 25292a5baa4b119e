"""Read OpenAPI documents and check values against their schemas."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import jsonschema

Document = dict[str, Any]


def operations(document: Document) -> Iterator[tuple[str, str, Document]]:
    """Yield the method, the path and the operation object of each operation."""
    for path, item in document["paths"].items():
        for method, operation in item.items():
            yield method.upper(), path, operation


def resolve(part: Document, document: Document) -> Document:
    """Return a part of a document, or the component that it refers to."""
    if "$ref" not in part:
        return part
    node: Any = document
    for key in part["$ref"].removeprefix("#/").split("/"):
        node = node[key]
    result: Document = node
    return result


def content_of(part: Document, document: Document) -> Document:
    """Return the JSON content of a request body or of a response; empty if it has none."""
    content: Document = resolve(part, document).get("content", {}).get("application/json", {})
    return content


def examples(content: Document) -> list[Any]:
    """Return the examples of a content."""
    return [example["value"] for example in content.get("examples", {}).values()]


def answer_example(document: Document, operation_id: str) -> Any:
    """Return the example of an operation's success; None if the answer has no body."""
    for _, _, operation in operations(document):
        if operation["operationId"] == operation_id:
            content = content_of(operation["responses"]["200"], document)
            return content["examples"]["success"]["value"] if content else None
    raise KeyError(operation_id)


def is_beginning(example: Any, answer: Any) -> bool:
    """Whether an answer equals its example, except that its top list may be longer."""
    if isinstance(example, dict) and isinstance(answer, dict):
        return example.keys() == answer.keys() and all(
            answer[key][: len(value)] == value if isinstance(value, list) else answer[key] == value
            for key, value in example.items()
        )
    return bool(example == answer)


def check(value: Any, schema: Document, document: Document) -> None:
    """Check a value against a schema of a document.

    Every property of an object has to be described, although the document leaves room for others:
    clients should accept members that a later version adds.

    Raises:
        jsonschema.ValidationError: The value does not fit.
    """
    components = _closed(document["components"])
    jsonschema.Draft202012Validator({**_closed(schema), "components": components}).validate(value)


def _closed(schema: Any) -> Any:
    if isinstance(schema, list):
        return [_closed(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    closed = {key: _closed(item) for key, item in schema.items()}
    return closed | (
        {"additionalProperties": False} if isinstance(schema.get("properties"), dict) else {}
    )
