"""Generate operations for the proof from documents that hypothesis-graphql draws.

hypothesis-graphql passes every argument to every field, and generates no fragments, aliases,
directives, or variables. This module replaces argument values with values from the database, and
adds the missing features.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from graphql import (
    ArgumentNode,
    BooleanValueNode,
    DirectiveNode,
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLField,
    GraphQLSchema,
    InlineFragmentNode,
    NamedTypeNode,
    NameNode,
    NullValueNode,
    OperationDefinitionNode,
    OperationType,
    SelectionNode,
    SelectionSetNode,
    ValueNode,
    get_named_type,
    is_leaf_type,
    print_ast,
)

from tests.reference.rows import Rows
from tests.resolvers.operations.arguments import ArgumentWriter, Composite, Twists, to_name

MAX_DEPTH = 8
"""Maximum depth of nested selections."""


@dataclass(frozen=True)
class Operation:
    """A document of queries, the name of the one to run, and the values of its variables."""

    document: DocumentNode
    name: str | None
    variables: dict[str, Any]

    @cached_property
    def text(self) -> str:
        return print_ast(self.document)


def write(
    schema: GraphQLSchema, drawn: DocumentNode, rows: Rows, twists: Twists, chance: random.Random
) -> Operation:
    """Generate an operation from a drawn document."""
    return _Writer(schema, rows, twists, chance).write(drawn)


@dataclass
class _Writer(ArgumentWriter):
    fragments: list[FragmentDefinitionNode] = field(default_factory=list)
    aliases: int = 0
    remaining_fields: int = 0

    def write(self, drawn: DocumentNode) -> Operation:
        (operation,) = drawn.definitions
        assert isinstance(operation, OperationDefinitionNode)
        query = self.schema.query_type
        assert query is not None
        self.remaining_fields = self.twists.growth
        self.misfitting = self.happens(0.3, self.twists.misfits)
        name, others = self.names()
        selections = self.selections(query, operation.selection_set, 1)
        query_definition = OperationDefinitionNode(
            operation=OperationType.QUERY,
            name=None if name is None else to_name(name),
            selection_set=selections,
            variable_definitions=tuple(self.declared),
        )
        definitions = (*self.fragments, query_definition, *others)
        shuffled = self.chance.sample(definitions, len(definitions))
        return Operation(
            DocumentNode(definitions=tuple(shuffled)),
            self.requested_name(name, others),
            self.values,
        )

    def names(self) -> tuple[str | None, list[OperationDefinitionNode]]:
        """Choose the name of the operation, if any, and the other operations of the document."""
        if not self.happens(0.5, self.twists.names):
            return None, []
        viewer = FieldNode(name=to_name("viewer"), selection_set=_selected("seesAll"))
        other = OperationDefinitionNode(
            operation=OperationType.QUERY,
            name=to_name("B"),
            selection_set=SelectionSetNode(selections=(viewer,)),
        )
        return "A", [other] if self.happens(0.5) else []

    def requested_name(
        self, name: str | None, others: Sequence[OperationDefinitionNode]
    ) -> str | None:
        """Choose the operation name of the request. Sometimes it is unknown or missing."""
        if self.happens(0.15, self.twists.names):
            return self.chance.choice(("A", "B", "C", None))
        return name if others or self.happens(0.5) else None

    # Selections --------------------------------------------------------------------------------

    def selections(self, type_: Composite, drawn: SelectionSetNode, depth: int) -> SelectionSetNode:
        selections: list[SelectionNode] = [
            self.field(type_, selection, depth)
            if isinstance(selection, FieldNode)
            else self.inline_fragment(selection, depth)
            for selection in drawn.selections
        ]
        while self.happens(0.6, depth < MAX_DEPTH and self.remaining_fields > 0):
            self.remaining_fields -= 1
            selections.append(self.field(type_, self.extra_field(type_), depth))
        if self.happens(0.2, self.twists.typenames):
            index = self.chance.randint(0, len(selections))
            selections.insert(index, FieldNode(name=to_name("__typename"), directives=()))
        if self.happens(0.15, self.twists.repeats):
            selections.append(self.chance.choice(selections))
        if self.happens(0.25, self.twists.fragments):
            start = self.chance.randrange(len(selections))
            end = self.chance.randint(start + 1, len(selections))
            selections[start:end] = self.in_fragment(type_, selections[start:end])
        return SelectionSetNode(selections=tuple(selections))

    def extra_field(self, type_: Composite) -> FieldNode:
        """Return an additional field, usually one with a selection set."""
        names = [
            name
            for name in type_.fields
            if name not in ("node", "nodes") or type_ is not self.schema.query_type
        ]
        composite = [name for name in names if _composite(type_.fields[name])]
        name = self.chance.choice(composite if composite and self.happens(0.7) else names)
        definition = type_.fields[name]
        return FieldNode(
            name=to_name(name),
            alias=self.alias(),  # the same field may be selected with other arguments
            # ``arguments`` replaces these values.
            arguments=tuple(
                ArgumentNode(name=to_name(argument), value=NullValueNode())
                for argument in definition.args
            ),
            selection_set=self.scalar_fields(definition) if _composite(definition) else None,
        )

    def scalar_fields(self, definition: GraphQLField) -> SelectionSetNode:
        """Choose some scalar fields of a field's type."""
        target: Any = get_named_type(definition.type)
        names = [name for name, inner in target.fields.items() if not _composite(inner)]
        chosen = self.chance.sample(names, min(len(names), self.chance.randint(1, 6)))
        return _selected(*chosen or ["__typename"])

    def alias(self) -> NameNode:
        """Return a new alias. Some are longer than PostgreSQL's names and share a prefix."""
        self.aliases += 1
        return to_name("a" * self.chance.choice((1, 1, 70)) + str(self.aliases))

    def inline_fragment(self, drawn: SelectionNode, depth: int) -> InlineFragmentNode:
        assert isinstance(drawn, InlineFragmentNode)
        assert drawn.type_condition is not None
        type_: Any = self.schema.type_map[drawn.type_condition.name.value]
        return InlineFragmentNode(
            type_condition=drawn.type_condition,
            directives=self.directives(),
            selection_set=self.selections(type_, drawn.selection_set, depth),
        )

    def in_fragment(self, type_: Composite, inner: list[SelectionNode]) -> list[SelectionNode]:
        """Wrap selections in an inline fragment, or in a named one that may be spread twice."""
        selection_set = SelectionSetNode(selections=tuple(inner))
        condition = NamedTypeNode(name=to_name(type_.name))
        if self.happens(0.5):
            inline = InlineFragmentNode(
                type_condition=condition if self.happens(0.5) else None,
                directives=self.directives(),
                selection_set=selection_set,
            )
            return [inline]
        name = to_name(f"F{len(self.fragments)}")
        self.fragments.append(
            FragmentDefinitionNode(
                name=name, type_condition=condition, directives=(), selection_set=selection_set
            )
        )
        return [
            FragmentSpreadNode(name=name, directives=self.directives())
            for _ in range(self.chance.choice((1, 1, 2)))
        ]

    def field(self, type_: Composite, drawn: FieldNode, depth: int) -> FieldNode:
        if drawn.name.value == "__typename":
            return drawn
        definition = type_.fields[drawn.name.value]
        arguments = self.arguments(type_, drawn, definition)
        target: Any = get_named_type(definition.type)
        alias = self.alias() if self.happens(0.2, self.twists.aliases) else drawn.alias
        return FieldNode(
            name=drawn.name,
            alias=alias,
            arguments=tuple(
                ArgumentNode(
                    name=to_name(name), value=self.value(definition.args[name].type, value)
                )
                for name, value in arguments.items()
            ),
            directives=self.directives(),
            selection_set=self.selections(target, drawn.selection_set, depth + 1)
            if drawn.selection_set
            else None,
        )

    def directives(self) -> tuple[DirectiveNode, ...]:
        if not self.happens(0.12, self.twists.directives):
            return ()
        names = self.chance.choice((["skip"], ["include"], ["skip", "include"]))
        return tuple(
            DirectiveNode(
                name=to_name(name),
                arguments=(ArgumentNode(name=to_name("if"), value=self.condition(name)),),
            )
            for name in names
        )

    def condition(self, directive: str) -> ValueNode:
        # Keep the selection in most cases.
        stays = self.happens(0.7)
        value = stays is (directive == "include")
        if self.happens(0.3):
            return BooleanValueNode(value=value)
        return self.variable("Boolean!", BooleanValueNode(value=value))


def _composite(definition: GraphQLField) -> bool:
    return not is_leaf_type(get_named_type(definition.type))


def _selected(*names: str) -> SelectionSetNode:
    """Select fields without arguments."""
    return SelectionSetNode(
        selections=tuple(FieldNode(name=to_name(name), directives=()) for name in names)
    )
