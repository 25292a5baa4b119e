"""Arguments that operations of sources declare, and templates that are filled with their values."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from resolvers.execution.sources.protocol import ActionFailedError, CatalogueArgument
from resolvers.execution.sources.values import read_value
from resolvers.values.text import Description, Name

PLACEHOLDER = re.compile(r"\{([A-Za-z_][A-Za-z0-9_.-]*)\}")
"""Where the value of an argument goes. Other braces are text."""
CONTROL = re.compile("[\0-\x08\x0a-\x1f\x7f]")
"""Control characters, CR, LF and NUL among them, except the tab."""
LEFT_OUT = object()
"""The value of an argument that is optional and was not given."""


class Part(BaseModel):
    """Base of the models of settings."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class OperationArgument(Part):
    """An argument of an operation."""

    reference: Name = Field(description="Name of the argument.")
    type: Literal["text", "number", "integer", "boolean", "choice", "time", "color", "json"] = (
        Field("text", description="Type. It decides how the value is written in JSON.")
    )
    required: bool = Field(True, description="Whether an action must have it.")
    description: Description = Field("", description="Description.")


class Arguments:
    """The arguments of an action, checked against those that its operation declares.

    Args:
        operation: The name of the operation.
        declared: The arguments that it declares.
        given: The references and values of the action.

    Raises:
        ActionFailedError: An argument is unknown, missing or not of its type.
    """

    def __init__(
        self,
        operation: str,
        declared: Iterable[OperationArgument],
        given: Sequence[tuple[str, str]],
    ) -> None:
        self.texts: Mapping[str, str] = dict(given)
        self._types = {argument.reference: argument.type for argument in declared}
        for reference in self.texts:
            if reference not in self._types:
                raise ActionFailedError(
                    f'the operation "{operation}" has no argument "{reference}"'
                )
        for argument in declared:
            if argument.required and argument.reference not in self.texts:
                raise ActionFailedError(f'the argument "{argument.reference}" is missing')
            self.value(argument.reference)

    def value(self, reference: str) -> Any:
        """Return a value of its declared type, or ``LEFT_OUT``."""
        if reference not in self.texts:
            return LEFT_OUT
        try:
            return read_value(self._types[reference], self.texts[reference])
        except ValueError as error:
            raise ActionFailedError(f'the argument "{reference}": {error}') from None

    def others(self, placed: set[str]) -> dict[str, Any]:
        """Return the values of the arguments that have no place in a template."""
        return {name: self.value(name) for name in self.texts if name not in placed}

    def fill_json(self, template: Any) -> Any:
        """Return a JSON value with its placeholders filled in.

        What is exactly one placeholder becomes the typed value. It is left out of its object or
        list if it was not given. In a longer text, such a placeholder stands for nothing.
        """
        match template:
            case str():
                whole = PLACEHOLDER.fullmatch(template)
                if whole is not None:
                    return self.value(whole[1])
                return PLACEHOLDER.sub(lambda match: self.texts.get(match[1], ""), template)
            case list():
                items = [self.fill_json(item) for item in template]
                return [item for item in items if item is not LEFT_OUT]
            case dict():
                members = {name: self.fill_json(item) for name, item in template.items()}
                return {name: item for name, item in members.items() if item is not LEFT_OUT}
        return template


def declared_references(arguments: Iterable[OperationArgument], used: set[str]) -> set[str]:
    """Return the references that an operation declares.

    Args:
        used: The references that its templates name.

    Raises:
        ValueError: One is declared twice, or a placeholder names none of them.
    """
    references = [argument.reference for argument in arguments]
    declared = set(references)
    if len(declared) < len(references):
        raise ValueError("an argument is declared twice")
    for reference in sorted(used - declared):
        raise ValueError(f'{{{reference}}} names no argument: "{reference}" is not declared')
    return declared


def texts_in(value: Any) -> list[str]:
    """Return the texts in a JSON value, without the names of members."""
    found, left = [], [value]
    while left:
        match left.pop():
            case str() as text:
                found.append(text)
            case list() as items:
                left.extend(items)
            case dict() as members:
                left.extend(members.values())
    return found


def catalogue_arguments(arguments: Iterable[OperationArgument]) -> tuple[CatalogueArgument, ...]:
    """Return declared arguments as the catalogue shows them."""
    return tuple(
        CatalogueArgument(item.reference, item.type, item.required, item.description)
        for item in arguments
    )
