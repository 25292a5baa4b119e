"""Derive JSON Schemas of answers from the selections of a dialect's operations.

Client generators name a class after each schema, so every object and enum becomes a named component
and only lists and scalars are written inline.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from graphql import (
    FieldNode,
    GraphQLEnumType,
    GraphQLField,
    GraphQLList,
    GraphQLNonNull,
    GraphQLObjectType,
    GraphQLOutputType,
    GraphQLSchema,
    OperationType,
    SelectionSetNode,
    get_named_type,
)

from resolvers.operations.selection import by_response_key, walk_fields
from rest_compat.body_model import INTEGER_SCHEMA, SCHEMAS, STATE_SCHEMA, JsonSchema
from rest_compat.routing import CompiledRoute

_SCALARS: Mapping[str, JsonSchema] = {
    "ID": {"type": "string"},
    "String": {"type": "string"},
    "Int": INTEGER_SCHEMA,
    "BigInt": {"type": "integer", "format": "int64"},
    "Float": {"type": "number"},
    "Boolean": STATE_SCHEMA,
    "DateTime": {"type": "string", "format": "date-time"},
    # Without a type: any JSON value, null included. An `anyOf` with null makes generators fail.
    "JSON": {},
}
"""The JSON Schema of each GraphQL scalar, as the dialects write it."""


class AnswerSchemas:
    """The schemas of a dialect's answers; ``components`` collects the named ones."""

    def __init__(self, schema: GraphQLSchema) -> None:
        self._schema = schema
        self.components: dict[str, JsonSchema] = {}

    def add(self, compiled: CompiledRoute) -> JsonSchema:
        """Return the schema of the data that a route answers, and collect its components.

        Raises:
            ValueError: Two operations select different fields of one type.
        """
        operation = compiled.operation.operation
        shapes = _Shapes(operation.fragments, self.components)
        kind = operation.definition.operation
        type_: GraphQLOutputType = self._schema.get_root_type(kind)  # type: ignore[assignment]
        selections: Sequence[SelectionSetNode | None] = [operation.definition.selection_set]
        for key in compiled.operation.path:
            parent = get_named_type(type_)
            assert isinstance(parent, GraphQLObjectType)
            nodes = shapes.fields(selections)[key]
            type_ = parent.fields[nodes[0].name.value].type
            selections = [node.selection_set for node in nodes]
        # A null answer is sent as "not found".
        if isinstance(type_, GraphQLNonNull):
            type_ = type_.of_type
        # A mutation answers with a few fields of the type; the type's own name is the whole object.
        if kind is OperationType.MUTATION and isinstance(type_, GraphQLObjectType):
            return shapes.object(type_, selections, f"{compiled.route.operation}Result", None)
        return shapes.non_null(type_, selections)


class _Shapes:
    """The JSON Schemas of the selections of one operation."""

    def __init__(self, fragments: Mapping[str, Any], components: dict[str, JsonSchema]) -> None:
        self._fragments = fragments
        self._components = components

    def fields(self, selections: Sequence[SelectionSetNode | None]) -> dict[str, list[FieldNode]]:
        """Return the selected fields by their keys in the answer."""
        return by_response_key(walk_fields(selections, self._fragments))

    def non_null(
        self, type_: GraphQLOutputType, selections: Sequence[SelectionSetNode | None]
    ) -> JsonSchema:
        """Return the schema of a value that is not null."""
        match type_:
            case GraphQLList():
                return {"type": "array", "items": self._nullable(type_.of_type, selections)}
            case GraphQLObjectType():
                return self.object(type_, selections, type_.name, type_.description)
            case GraphQLEnumType():
                return self._component(type_.name, _enum(type_))
        return dict(_SCALARS[get_named_type(type_).name])

    def object(
        self,
        type_: GraphQLObjectType,
        selections: Sequence[SelectionSetNode | None],
        name: str,
        description: str | None,
    ) -> JsonSchema:
        """Return a reference to the schema of an object, which becomes a component."""
        properties = {
            key: self._field(type_.fields[nodes[0].name.value], nodes)
            for key, nodes in self.fields(selections).items()
        }
        schema: JsonSchema = {
            "type": "object",
            "properties": properties,
            "required": list(properties),
        }
        return self._component(name, _described(schema, description))

    def _nullable(
        self, type_: GraphQLOutputType, selections: Sequence[SelectionSetNode | None]
    ) -> JsonSchema:
        if isinstance(type_, GraphQLNonNull):
            return self.non_null(type_.of_type, selections)
        schema = self.non_null(type_, selections)
        if "$ref" in schema:
            return {"anyOf": [schema, {"type": "null"}]}
        return schema | ({"type": [schema["type"], "null"]} if "type" in schema else {})

    def _field(self, field: GraphQLField, nodes: Sequence[FieldNode]) -> JsonSchema:
        schema = self._nullable(field.type, [node.selection_set for node in nodes])
        return _described(schema, field.description)

    def _component(self, name: str, schema: JsonSchema) -> JsonSchema:
        if self._components.setdefault(name, schema) != schema:
            raise ValueError(f"two operations of the dialect select different fields of {name}")
        return {"$ref": SCHEMAS + name}


def _described(schema: JsonSchema, description: str | None) -> JsonSchema:
    return schema | ({"description": description} if description else {})


def _enum(type_: GraphQLEnumType) -> JsonSchema:
    """Return the schema of an enum as the dialects write it: states as 0 and 1, others as words."""
    plain = [getattr(value.value, "value", value.value) for value in type_.values.values()]
    if all(isinstance(value, bool) for value in plain):
        return _described(dict(STATE_SCHEMA), type_.description)
    schema: JsonSchema = {"type": "string", "enum": sorted(map(str, plain))}
    return _described(schema, type_.description)
