"""Read the operations of an OpenAPI document and their example requests.

Imports nothing outside the standard library: the scripts of this folder run in an environment that
does not have the project.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Call:
    """An operation and its example request."""

    method: str
    template: str
    """The path with the names of its parameters in braces."""
    operation: str
    tag: str
    names: list[str]
    """The names of the path parameters, in order."""
    path: list[Any]
    """The examples of the path parameters, in the same order."""
    body: Any
    """The example of the body; None for an operation without a body."""
    body_schema: str
    """The name of the body's schema; empty for an operation without a body."""

    @property
    def url(self) -> str:
        """The path with the examples of its parameters."""
        return self.template.format(**dict(zip(self.names, self.path, strict=True)))


def calls(document: dict[str, Any]) -> Iterator[Call]:
    """Yield a call for each operation, in the order of the document.

    Raises:
        KeyError: An operation lacks an example of its body or of a path parameter.
    """
    for template, methods in document["paths"].items():
        for method, operation in methods.items():
            parameters = [
                parameter
                for parameter in operation.get("parameters", ())
                if parameter["in"] == "path"
            ]
            body, schema = None, ""
            if "requestBody" in operation:
                content = operation["requestBody"]["content"]["application/json"]
                body = content["examples"]["request"]["value"]
                schema = content["schema"]["$ref"].rpartition("/")[2]
            yield Call(
                method.upper(),
                template,
                operation["operationId"],
                operation["tags"][0],
                [parameter["name"] for parameter in parameters],
                [parameter["example"] for parameter in parameters],
                body,
                schema,
            )


def snake_case(name: str) -> str:
    """Return a name in PascalCase as generators write it in Python."""
    return re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower()
