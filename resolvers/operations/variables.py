"""In charge of what of an operation's variables a compiled operation depends on: their shape.

The shape has everything that decides which SQL is written: which variables and keys are given, how
long lists of objects are, booleans and enum values. Numbers and texts are left out; in their place
stands ``LEAF``, and in the compiled operation a ``Given`` that takes the value from each run.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final

# Shapes are plain tuples, told apart by what comes first: each query is looked up by one, and
# tuples are hashed and compared without any Python code.
LEAF: Final = "leaf"
"""The shape of a number, a text, or a list of such."""
_OBJECT: Final = "object"
_LIST: Final = "list"

_LEAVES = frozenset({int, str, float})


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
    if type(value) in _LEAVES:
        return LEAF
    if isinstance(value, dict):
        return (_OBJECT, *[(key, shape_of(member)) for key, member in value.items()])
    if isinstance(value, list):
        items = [shape_of(item) for item in value]
        return LEAF if items and all(item is LEAF for item in items) else (_LIST, *items)
    if value is None or isinstance(value, bool | Enum):
        # 1 == True == 1.0 in Python: with its type, so that no two shapes are mistaken for one.
        return (type(value), value)
    return LEAF


def marked(shape: Any, path: tuple[str | int, ...] = ()) -> Any:
    """A value of this shape, with ``Given`` in place of every leaf."""
    if shape == LEAF:
        return Given(path)
    kind, *parts = shape
    if kind == _OBJECT:
        return {key: marked(member, (*path, key)) for key, member in parts}
    if kind == _LIST:
        return [marked(item, (*path, place)) for place, item in enumerate(parts)]
    (constant,) = parts
    return constant
