"""Validate input against pydantic models, and describe the problems in the gateway's own words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from resolvers.errors.catalogue import FieldProblem, bad_input
from resolvers.values.ids import MAX_DATABASE_ID
from resolvers.values.text import describe

Model = TypeVar("Model", bound=BaseModel)


def validate(model: type[Model], value: object, path: Sequence[str | int] = ()) -> Model:
    """Return ``value`` as an instance of ``model``.

    Args:
        path: Path of the value in the request, which begins the path of each problem.

    Raises:
        GatewayError: ``BAD_USER_INPUT`` with every problem and its path.
    """
    try:
        return model.model_validate(value)
    except ValidationError as error:
        raise bad_input(*problems(error, path)) from None


def problems(error: ValidationError, path: Sequence[str | int] = ()) -> list[FieldProblem]:
    """Return the problems that pydantic found, one for each path.

    Args:
        path: Path of the validated value in the request.
    """
    by_path: dict[tuple[str | int, ...], FieldProblem] = {}
    for details in error.errors(include_url=False):
        # pydantic adds parts for the members of a union, which are not part of the input.
        inner = (part for part in details["loc"] if not str(part).startswith("union:"))
        full = (*path, *inner)
        by_path.setdefault(full, FieldProblem(full, _message(details)))
    return list(by_path.values())


def _message(details: ErrorDetails) -> str:
    """Return what was expected and what was received."""
    context, value = details.get("ctx", {}), details["input"]
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
            return f"expected at most {context['max_length']:,} characters, got {len(value):,}"
        case "string_pattern_mismatch":
            return "must not contain the NUL character"
        case "database_id":
            if value is None:
                return "is required"
            return f"expected a whole number from 1 to {MAX_DATABASE_ID}, got {describe(value)}"
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
    return f"expected {expected}, got {describe(value)}"
