"""What is wrong with the arguments of fields: every place, and what is said of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from tests.reference.messages import Path, Problem, not_storable, quoted
from tests.reference.model import read_id
from tests.reference.pages import order_of, read_cursor

LARGEST_PAGE = 100


def wrong_page(type_name: str, arguments: Mapping[str, Any], path: Path) -> Iterator[Problem]:
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
    yield from wrong_where(arguments.get("where"), (*path, "where"))


def wrong_where(where: Any, path: Path) -> Iterator[Problem]:
    """The operands of a filter that no database can hold."""
    for key, value in (where or {}).items():
        if isinstance(value, Mapping):
            yield from wrong_where(value, (*path, key))
            continue
        if not isinstance(value, list):
            if problem := not_storable(value):
                yield (*path, key), problem
            continue
        for place, item in enumerate(value):
            if isinstance(item, Mapping):
                yield from wrong_where(item, (*path, key, place))
            elif problem := not_storable(item):
                yield (*path, key, place), problem


def wrong_lookup(type_name: str, arguments: Mapping[str, Any], path: Path) -> Iterator[Problem]:
    given = {name: value for name, value in arguments.items() if value is not None}
    if len(given) != 1:
        yield path, "expected exactly one argument to look it up by"
    for name, value in given.items():
        if name == "id":
            found = read_id(value)
            if found is None:
                yield (*path, name), _no_id(value)
            elif found[0] != type_name:
                message = f"expected the id of a {type_name}, got the id of a {found[0]}"
                yield (*path, name), message
        elif problem := not_storable(value):
            yield (*path, name), problem


def wrong_nodes(arguments: Mapping[str, Any], path: Path) -> Iterator[Problem]:
    if "id" in arguments and read_id(arguments["id"]) is None:
        yield (*path, "id"), _no_id(arguments["id"])
    ids = arguments.get("ids", [])
    if len(ids) > LARGEST_PAGE:
        yield (*path, "ids"), f"expected at most {LARGEST_PAGE} ids, got {len(ids)}"
        return
    for place, text in enumerate(ids):
        if read_id(text) is None:
            yield (*path, "ids", place), _no_id(text)


def _no_id(text: str) -> str:
    return f"expected an id that this API gave out, got {quoted(text)}"
