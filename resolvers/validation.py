"""In charge of checking input: the kinds of value that the model knows, and what is said of a wrong
one. Bodies of both dialects and inputs of GraphQL are pydantic models made of these kinds.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, TypeVar

from pydantic import AfterValidator, BaseModel, StringConstraints, ValidationError
from pydantic_core import ErrorDetails

from resolvers.errors import FieldProblem, bad_input
from resolvers.ids import shorten

Model = TypeVar("Model", bound=BaseModel)


def storable(text: str) -> str:
    """The text, if PostgreSQL can hold it (CONTRACT.md §1: no NUL, no lone surrogate).

    Raises:
        ValueError: it cannot; the message can be shown.
    """
    if "\0" in text:
        raise ValueError("must not contain the NUL character")
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError:
            raise ValueError("must not contain a lone surrogate") from None
    return text


Text = Annotated[str, AfterValidator(storable)]
"""Any text that can be stored."""
ShortText = Annotated[str, StringConstraints(max_length=255), AfterValidator(storable)]
Name = Annotated[str, StringConstraints(min_length=1, max_length=255), AfterValidator(storable)]
"""1 to 255 characters; blanks at its ends are kept."""
Reference = Annotated[
    str,
    StringConstraints(min_length=1, max_length=255, strip_whitespace=True),
    AfterValidator(storable),
]
"""1 to 255 characters without blanks at its ends."""
Description = Annotated[str, StringConstraints(max_length=4000), AfterValidator(storable)]
InputType = Annotated[str, StringConstraints(min_length=1, max_length=64), AfterValidator(storable)]
"""The type of an input: any word of up to 64 characters, given back as it came."""


def validate(model: type[Model], value: object, at: Sequence[str | int] = ()) -> Model:
    """Check ``value`` against ``model``.

    Args:
        at: where the value stands in the request, put before each problem's path.

    Raises:
        GatewayError: ``BAD_USER_INPUT`` with every problem and its place.
    """
    try:
        return model.model_validate(value)
    except ValidationError as error:
        raise bad_input(*problems(error, at)) from None


def problems(error: ValidationError, at: Sequence[str | int] = ()) -> list[FieldProblem]:
    """What pydantic found, in this project's words."""
    found: dict[tuple[str | int, ...], FieldProblem] = {}
    for details in error.errors(include_url=False):
        # Places that pydantic adds for the members of a union are no part of the input.
        place = (*at, *(part for part in details["loc"] if not str(part).startswith("union:")))
        found.setdefault(place, FieldProblem(place, _message(details)))
    return list(found.values())


def _message(details: ErrorDetails) -> str:
    """What was expected and what came."""
    context, given = details.get("ctx", {}), details["input"]
    match details["type"]:
        case "missing":
            return "is required"
        case "extra_forbidden":
            return "is not a known field"
        case "value_error":
            return str(context["error"])
        case "string_too_short":
            return "must not be empty"
        case "string_too_long":
            return f"expected at most {context['max_length']:,} characters, got {len(given):,}"
        case "string_unicode":
            return "must not contain a lone surrogate"
        case "too_long":
            return f"expected at most {context['max_length']:,} items"
    expected = {
        "string_type": "text",
        "int_type": "an integer",
        "int_parsing": "an integer",
        "int_from_float": "an integer",
        "bool_type": "true or false",
        "list_type": "a list",
        "model_type": "an object",
        "dict_type": "an object",
        "model_attributes_type": "an object",
    }.get(details["type"])
    if expected is None:
        return details["msg"][:1].lower() + details["msg"][1:]
    return f"expected {expected}, got {describe(given)}"


def describe(value: object) -> str:
    """A JSON value in a few words, for error messages."""
    match value:
        case None:
            return "null"
        case bool():
            return "true" if value else "false"
        case dict():
            return "an object"
        case list():
            return "a list"
        case _:
            return shorten(value)
