"""Coerce an operation's variables, and compute the shape that its compiled query depends on.

The shape contains everything that determines the SQL: which variables and keys are
present, how long lists of objects are, booleans and enum values. Numbers and texts are left out.
``LEAF`` stands in their place, and in the compiled query a ``VariableRef`` that takes the value
from each run.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from enum import Enum
from typing import Any, Final, NamedTuple

from graphql import NamedTypeNode, NonNullTypeNode, OperationDefinitionNode

from resolvers.values.ids import MAX_DATABASE_ID
from storage.reads.plan import VariableRef

# Coercion --------------------------------------------------------------------------------------

_PLAIN_TYPES: Mapping[str, type] = {"Int": int, "String": str, "ID": str, "Boolean": bool}


class PlainVariable(NamedTuple):
    """A variable that is a single value of a plain type."""

    name: str
    type_: type
    nullable: bool
    has_default: bool


def plain_variables(definition: OperationDefinitionNode) -> tuple[PlainVariable, ...] | None:
    """Return an operation's variables; None if one of them is not of a plain type."""
    variables = []
    for variable in definition.variable_definitions or ():
        type_, nullable = variable.type, True
        if isinstance(type_, NonNullTypeNode):
            type_, nullable = type_.type, False
        plain = _PLAIN_TYPES.get(type_.name.value) if isinstance(type_, NamedTypeNode) else None
        if plain is None:
            return None
        name, has_default = variable.variable.name.value, variable.default_value is not None
        variables.append(PlainVariable(name, plain, nullable, has_default))
    return tuple(variables)


def without_coercion(
    variables: Sequence[PlainVariable] | None, values: Mapping[str, Any]
) -> dict[str, Any] | None:
    """Return the variables if each value is of exactly its type, so that nothing has to be coerced.

    None if one is not: graphql-core then has to coerce them, which takes ten times as long.

    Args:
        variables: The operation's variables; None if one of them is not of a plain type.
        values: The variables as the client sent them.
    """
    if variables is None:
        return None
    coerced: dict[str, Any] = {}
    for name, type_, nullable, has_default in variables:
        value = values.get(name)
        if value is None:
            if not nullable or (has_default and name not in values):
                return None
            if name in values:
                coerced[name] = None
            continue
        if type(value) is not type_:
            return None
        if isinstance(value, int) and not -MAX_DATABASE_ID - 1 <= value <= MAX_DATABASE_ID:
            return None
        coerced[name] = value
    return coerced


# Shapes ----------------------------------------------------------------------------------------

# Shapes are plain tuples, distinguished by their first item: each query is looked up by one, and
# tuples are hashed and compared without any Python code.
LEAF: Final = "leaf"
"""The shape of a number, a text, or a list of them."""
_OBJECT: Final = "object"
_LIST: Final = "list"

_LEAVES = frozenset({int, str, float})


def shape_of(value: object) -> Hashable:
    """Return the shape of a coerced variable, or of all of them as a dict."""
    if type(value) in _LEAVES:
        return LEAF
    if isinstance(value, dict):
        return (
            _OBJECT,
            *[
                (key, LEAF if type(member) in _LEAVES else shape_of(member))
                for key, member in value.items()
            ],
        )
    if isinstance(value, list):
        items = [shape_of(item) for item in value]
        return LEAF if items and all(item is LEAF for item in items) else (_LIST, *items)
    if value is None or isinstance(value, bool | Enum):
        # 1 == True == 1.0 in Python: the type keeps their shapes apart.
        return (type(value), value)
    return LEAF


def with_references(shape: Any, path: tuple[str | int, ...] = ()) -> Any:
    """Return a value of this shape, with a ``VariableRef`` in place of each leaf."""
    if shape == LEAF:
        return VariableRef(path)
    kind, *parts = shape
    if kind == _OBJECT:
        return {key: with_references(member, (*path, key)) for key, member in parts}
    if kind == _LIST:
        return [with_references(item, (*path, index)) for index, item in enumerate(parts)]
    (constant,) = parts
    return constant
