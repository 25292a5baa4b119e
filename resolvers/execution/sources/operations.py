"""Arguments that operations of sources declare, and templates that are filled with their values."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Literal, Protocol, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from resolvers.execution.sources.protocol import (
    ActionFailedError,
    Catalogue,
    CatalogueAction,
    CatalogueArgument,
)
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


class Operation(Protocol):
    """What the operations of all kinds have in common."""

    @property
    def name(self) -> str:
        """The name by which actions call it."""

    @property
    def description(self) -> str:
        """What it does."""

    @property
    def arguments(self) -> Sequence[OperationArgument]:
        """The arguments that it declares."""


Declared = TypeVar("Declared", bound=Operation)
Described = TypeVar("Described", bound=BaseModel)


def find_operation(operations: Iterable[Declared], action: str) -> Declared | None:
    """Return the operation that an action names, or None."""
    return next((each for each in operations if each.name == action), None)


def described_operation(
    model: type[Described], action: str, references: Sequence[str], what: str, **members: str
) -> Described:
    """Return the operation that an action describes instead of naming one.

    Args:
        model: The model of the kind's operations.
        action: The action.
        references: The references of its arguments, which it declares by having them.
        what: What an action has to be, such as ``a request``.
        members: The members of the operation that the action describes.

    Raises:
        ActionFailedError: It describes none.
    """
    arguments = [OperationArgument(reference=reference) for reference in references]
    try:
        return model.model_validate({"name": action, "arguments": arguments, **members})
    except ValidationError as error:
        cause = error.errors(include_url=False)[0]
        reason = str(cause.get("ctx", {}).get("error", cause["msg"]))
        raise ActionFailedError(f"the action is not {what}: {reason}") from None


def catalogue_of(
    operations: Iterable[Declared],
    default_description: Callable[[Declared], str],
    is_idempotent: Callable[[Declared], bool],
    *,
    only_operations: bool,
) -> Catalogue:
    """Return the catalogue of a source that declares operations."""
    actions = tuple(
        CatalogueAction(
            each.name,
            each.description or default_description(each),
            catalogue_arguments(each.arguments),
            is_idempotent(each),
        )
        for each in operations
    )
    return Catalogue(actions, takes_any_action=not only_operations, takes_any_argument=False)


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
