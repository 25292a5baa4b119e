"""Find the problems with arguments of fields and with values of variables: paths and messages."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from graphql import (
    is_input_object_type,
    is_list_type,
    is_non_null_type,
    is_required_input_field,
)

from tests.reference.messages import Path, Problem, not_storable, quoted
from tests.reference.model import LARGEST_ID, read_id
from tests.reference.pages import order_of, read_cursor
from tests.reference.times import EXPECTED, read_time

LARGEST_PAGE = 100


def page_problems(type_name: str, arguments: Mapping[str, Any], path: Path) -> Iterator[Problem]:
    first, last = arguments.get("first"), arguments.get("last")
    if first is not None and last is not None:
        yield (*path, "last"), "expected first or last, not both"
    for name, size in (("first", first), ("last", last)):
        if size is not None and not 0 <= size <= LARGEST_PAGE:
            yield (*path, name), f"expected a number from 0 to {LARGEST_PAGE}, got {size}"
    order = order_of(type_name, arguments.get("orderBy"))
    for name in ("after", "before"):
        if arguments.get(name) is not None:
            try:
                read_cursor(arguments[name], order)
            except ValueError as error:
                yield (*path, name), str(error)
    yield from filter_problems(arguments.get("where"), (*path, "where"))


def filter_problems(where: Any, path: Path) -> Iterator[Problem]:
    """Yield the operands of a filter that PostgreSQL cannot store."""
    for key, value in (where or {}).items():
        if isinstance(value, Mapping):
            yield from filter_problems(value, (*path, key))
            continue
        if not isinstance(value, list):
            if problem := not_storable(value):
                yield (*path, key), problem
            continue
        for index, item in enumerate(value):
            if isinstance(item, Mapping):
                yield from filter_problems(item, (*path, key, index))
            elif problem := not_storable(item):
                yield (*path, key, index), problem


def lookup_problems(type_name: str, arguments: Mapping[str, Any], path: Path) -> Iterator[Problem]:
    keys = {name: value for name, value in arguments.items() if value is not None}
    if len(keys) != 1:
        yield path, "expected exactly one argument to look it up by"
    for name, value in keys.items():
        if name == "id":
            decoded = read_id(value)
            if decoded is None:
                yield (*path, name), _invalid_id(value)
            elif decoded[0] != type_name:
                message = f"expected the id of a {type_name}, got the id of a {decoded[0]}"
                yield (*path, name), message
        elif problem := not_storable(value):
            yield (*path, name), problem


def node_problems(arguments: Mapping[str, Any], path: Path) -> Iterator[Problem]:
    if "id" in arguments and read_id(arguments["id"]) is None:
        yield (*path, "id"), _invalid_id(arguments["id"])
    ids = arguments.get("ids", [])
    if len(ids) > LARGEST_PAGE:
        yield (*path, "ids"), f"expected at most {LARGEST_PAGE} ids, got {len(ids)}"
        return
    for index, text in enumerate(ids):
        if read_id(text) is None:
            yield (*path, "ids", index), _invalid_id(text)


def _invalid_id(text: str) -> str:
    return f"expected an id that this API gave out, got {quoted(text)}"


# Values for variables ----------------------------------------------------------------------------


def value_problems(type_: Any, value: Any, path: Path) -> Iterator[Problem]:
    """Yield the problems of a value that does not match its type in the schema."""
    if is_non_null_type(type_):
        if value is None:
            yield path, "must not be null" if isinstance(path[-1], int) else "is required"
        else:
            yield from value_problems(type_.of_type, value, path)
    elif value is None:
        return
    elif is_list_type(type_):
        if isinstance(value, list):
            for index, item in enumerate(value):
                yield from value_problems(type_.of_type, item, (*path, index))
        else:  # GraphQL coerces a single value to a list
            yield from value_problems(type_.of_type, value, path)
    elif is_input_object_type(type_):
        yield from _object_problems(type_, value, path)
    elif expected := _misfit(type_, value):
        yield path, f"expected {expected}, got {_shown(value)}"


def _object_problems(type_: Any, value: Any, path: Path) -> Iterator[Problem]:
    if not isinstance(value, Mapping):
        yield path, f"expected an object, got {_shown(value)}"
        return
    for name, field in type_.fields.items():
        if name in value:
            yield from value_problems(field.type, value[name], (*path, name))
        elif is_required_input_field(field):
            yield (*path, name), "is required"
    for name in value:
        if name not in type_.fields:
            yield (*path, name), "is not a known field"


def _misfit(type_: Any, value: Any) -> str | None:
    """Return what a scalar or an enum accepts, or None if it accepts this value."""
    is_number = type(value) in (int, float)
    is_whole = is_number and value == int(value)
    match type_.name:
        case "Int" if is_whole:
            fits = -LARGEST_ID - 1 <= value <= LARGEST_ID
            return None if fits else f"an integer from {-LARGEST_ID - 1} to {LARGEST_ID}"
        case "Int":
            return "an integer"
        case "String":
            return None if isinstance(value, str) else "text"
        case "ID":
            return None if isinstance(value, str) or is_whole else "an id"
        case "Boolean":
            return None if isinstance(value, bool) else "true or false"
        case "DateTime":
            try:
                read_time(value)
            except ValueError:
                return EXPECTED
            return None
    fits = isinstance(value, str) and value in type_.values
    return None if fits else f"one of {', '.join(type_.values)}"


def _shown(value: Any) -> str:
    match value:
        case None | bool():
            return {None: "null", True: "true", False: "false"}[value]
        case str():
            return quoted(value)
        case list() | dict():
            return "a list" if isinstance(value, list) else "an object"
    return repr(value)
