"""In charge of checking input: the kinds of value that the model knows, and what is said of a wrong
one. Bodies of both dialects and inputs of GraphQL are pydantic models made of these kinds.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from resolvers.errors.catalogue import FieldProblem, bad_input
from resolvers.values.ids import MAX_DATABASE_ID
from resolvers.values.text import describe

Model = TypeVar("Model", bound=BaseModel)


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
        case "string_pattern_mismatch":
            return "must not contain the NUL character"
        case "database_id":
            if given is None:
                return "is required"
            return f"expected a whole number from 1 to {MAX_DATABASE_ID}, got {describe(given)}"
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
