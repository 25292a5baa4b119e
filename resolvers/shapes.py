"""In charge of what of an operation's variables a compiled operation depends on: their shape.

The shape has everything that decides which SQL is written: which variables and keys are given, how
long lists of objects are, booleans and enum values. Numbers and texts are left out; in their place
stands ``LEAF``, and in the compiled operation a ``Given`` that takes the value from each run.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any


class _Leaf(Enum):
    """Stands for a number, a text, or a list of such."""

    LEAF = "leaf"


LEAF = _Leaf.LEAF


@dataclass(frozen=True, slots=True)
class _Object:
    members: tuple[tuple[str, Hashable], ...]


@dataclass(frozen=True, slots=True)
class _List:
    items: tuple[Hashable, ...]


@dataclass(frozen=True, slots=True)
class Given:
    """A value that each run takes from its variables."""

    path: tuple[str | int, ...]

    def read(self, variables: Mapping[str, Any]) -> Any:
        """The value in these variables."""
        value: Any = variables
        for part in self.path:
            value = value[part]
        return value


def shape_of(value: object) -> Hashable:
    """The shape of a coerced variable, or of all of them as a dict."""
    if value is None or isinstance(value, bool | Enum):
        # 1 == True == 1.0 in Python: wrapped, so that no two shapes are mistaken for one.
        return (type(value), value)
    if isinstance(value, dict):
        return _Object(tuple((key, shape_of(member)) for key, member in value.items()))
    if isinstance(value, list):
        items = tuple(shape_of(item) for item in value)
        return LEAF if items and all(item is LEAF for item in items) else _List(items)
    return LEAF


def marked(shape: Hashable, path: tuple[str | int, ...] = ()) -> Any:
    """A value of this shape, with ``Given`` in place of every leaf."""
    match shape:
        case _Leaf():
            return Given(path)
        case _Object(members):
            return {key: marked(member, (*path, key)) for key, member in members}
        case _List(items):
            return [marked(item, (*path, place)) for place, item in enumerate(items)]
        case (_, constant):
            return constant
    raise TypeError(shape)
