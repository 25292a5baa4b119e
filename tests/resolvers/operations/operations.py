"""Generate operations for the proof from documents that hypothesis-graphql draws.

hypothesis-graphql passes every argument to every field, and generates no fragments, aliases,
directives, or variables. This module replaces argument values with values from the database, and
adds the missing features.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, cast

from graphql import (
    ArgumentNode,
    BooleanValueNode,
    DirectiveNode,
    DocumentNode,
    EnumValueNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLEnumType,
    GraphQLField,
    GraphQLInputType,
    GraphQLInterfaceType,
    GraphQLObjectType,
    GraphQLSchema,
    InlineFragmentNode,
    IntValueNode,
    ListValueNode,
    NamedTypeNode,
    NameNode,
    NullValueNode,
    ObjectFieldNode,
    ObjectValueNode,
    OperationDefinitionNode,
    OperationType,
    SelectionNode,
    SelectionSetNode,
    StringValueNode,
    ValueNode,
    VariableDefinitionNode,
    VariableNode,
    get_named_type,
    is_leaf_type,
    parse_type,
    print_ast,
    value_from_ast_untyped,
)
from graphql import (
    is_required_input_field as is_required,
)
from graphql.type import GraphQLInputObjectType, GraphQLList, get_nullable_type

from tests.reference.model import TABLES, global_id
from tests.reference.pages import cursor_of, order_of
from tests.reference.rows import Row, Rows
from tests.resolvers.operations.misfits import misfit

Composite = GraphQLObjectType | GraphQLInterfaceType

CHOICES = {"where": 0.3, "orderBy": 0.6}
"""The probability that a connection has an argument. Connections are nested, and many filters would
leave few rows."""
MAX_DEPTH = 8
"""Maximum depth of nested selections."""


@dataclass(frozen=True)
class Twists:
    """The features that an operation may use. Some operations use none, and most use a few."""

    aliases: bool
    fragments: bool
    directives: bool
    variables: bool
    typenames: bool
    repeats: bool
    growth: int
    """Maximum number of fields to add to those that hypothesis-graphql drew."""
    mistakes: bool
    """Invalid arguments."""
    misfits: bool
    """Variables whose values do not match their types."""
    names: bool
    """Named operations, with an operation name in the request."""


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
class _Writer:
    schema: GraphQLSchema
    rows: Rows
    twists: Twists
    chance: random.Random
    declared: list[VariableDefinitionNode] = field(default_factory=list)
    values: dict[str, Any] = field(default_factory=dict)
    fragments: list[FragmentDefinitionNode] = field(default_factory=list)
    aliases: int = 0
    remaining_fields: int = 0
    misfitting: bool = False

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
            name=None if name is None else _name(name),
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
        viewer = FieldNode(name=_name("viewer"), selection_set=_selected("seesAll"))
        other = OperationDefinitionNode(
            operation=OperationType.QUERY,
            name=_name("B"),
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

    def happens(self, probability: float, twist: bool = True) -> bool:
        return twist and self.chance.random() < probability

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
            selections.insert(index, FieldNode(name=_name("__typename"), directives=()))
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
            name=_name(name),
            alias=self.alias(),  # the same field may be selected with other arguments
            # ``arguments`` replaces these values.
            arguments=tuple(
                ArgumentNode(name=_name(argument), value=NullValueNode())
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
        return _name("a" * self.chance.choice((1, 1, 70)) + str(self.aliases))

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
        condition = NamedTypeNode(name=_name(type_.name))
        if self.happens(0.5):
            inline = InlineFragmentNode(
                type_condition=condition if self.happens(0.5) else None,
                directives=self.directives(),
                selection_set=selection_set,
            )
            return [inline]
        name = _name(f"F{len(self.fragments)}")
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
                ArgumentNode(name=_name(name), value=self.value(definition.args[name].type, value))
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
                name=_name(name),
                arguments=(ArgumentNode(name=_name("if"), value=self.condition(name)),),
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

    # Arguments ---------------------------------------------------------------------------------

    def arguments(
        self, type_: Composite, drawn: FieldNode, definition: GraphQLField
    ) -> Mapping[str, ValueNode]:
        values = {argument.name.value: argument.value for argument in drawn.arguments or ()}
        if "first" in definition.args:
            return self.page(definition, values)
        if type_ is not self.schema.query_type or not values:
            return values
        mistaken = self.happens(0.1, self.twists.mistakes)
        if mistaken or self.happens(0.1):
            # The drawn values usually match no object. All of them together are too many keys.
            return values if mistaken else dict([self.chance.choice(list(values.items()))])
        match drawn.name.value:
            case "node":
                return {"id": self.real_id()}
            case "nodes":
                ids = [self.real_id() for _ in range(self.chance.randint(0, 4))]
                return {"ids": ListValueNode(values=tuple(ids))}
            case _:
                return self.real_key(get_named_type(definition.type).name, list(values))

    def real_id(self) -> StringValueNode:
        """Return the id of an existing object."""
        known = [(name, row["id"]) for name, table in TABLES.items() for row in self.rows[table]]
        return StringValueNode(value=global_id(*self.chance.choice(known)))

    def real_key(self, type_name: str, names: list[str]) -> Mapping[str, ValueNode]:
        """Return one of the keys of an existing object, if there is one."""
        name, known = self.chance.choice(names), self.rows[TABLES[type_name]]
        row: Row = self.chance.choice(known) if known else {"id": 1, "name": "", "reference": ""}
        match name:
            case "id":
                return {name: StringValueNode(value=global_id(type_name, row["id"]))}
            case "databaseId":
                return {name: _int(row["id"])}
            case _:
                return {name: StringValueNode(value=row[name])}

    def page(
        self, definition: GraphQLField, drawn: Mapping[str, ValueNode]
    ) -> Mapping[str, ValueNode]:
        connection: Any = get_named_type(definition.type)
        type_name = get_named_type(connection.fields["nodes"].type).name
        arguments: dict[str, ValueNode] = {}
        for name, probability in CHOICES.items():
            if self.happens(probability):
                value = drawn.get(name, NullValueNode())
                if isinstance(value, NullValueNode) and self.happens(0.9):
                    value = self.input(definition.args[name].type)
                arguments[name] = value
        order = order_of(type_name, self.orders(arguments.get("orderBy")))
        mistaken = self.happens(0.05, self.twists.mistakes)
        for name in self.chance.choice((["first"], ["first"], ["last"], ["last"], [])):
            arguments[name] = _int(self.chance.choice((0, 1, 2, 2, 3, 5, 7, 100)))
        if mistaken and self.happens(0.5):
            arguments["first"] = _int(self.chance.choice((101, -1, 5)))
        rows = self.rows[TABLES[type_name]]
        for name in ("after", "before"):
            if rows and self.happens(0.25):
                row: dict[str, Any] = dict(self.chance.choice(rows))
                if self.happens(0.2):
                    # The cursor of a deleted row, between existing ones.
                    row["id"] += self.chance.choice((-1, 1))
                if mistaken:
                    other = [{"field": "DATABASE_ID", "direction": "DESC"}]
                    text = self.chance.choice(("", "x", cursor_of(row, order_of("", other))))
                else:
                    text = cursor_of(row, order)
                arguments[name] = StringValueNode(value=text)
        shuffled = list(arguments.items())
        self.chance.shuffle(shuffled)
        return dict(shuffled)

    def input(self, type_: GraphQLInputType, depth: int = 0) -> ValueNode:
        """Return a random value of an input type, with strings and numbers of this database."""
        type_ = get_nullable_type(type_)  # type: ignore[assignment]
        match type_:
            case GraphQLList():
                count = self.chance.choice((0, 1, 1, 2))
                return ListValueNode(
                    values=tuple(self.input(type_.of_type, depth) for _ in range(count))
                )
            case GraphQLEnumType():
                return EnumValueNode(value=self.chance.choice(list(type_.values)))
            case GraphQLInputObjectType():
                names = [name for name, part in type_.fields.items() if is_required(part)]
                # Limit the depth of nested filters.
                others = [
                    name
                    for name, part in type_.fields.items()
                    if depth < 3 or not get_named_type(part.type).name.endswith("Where")
                ]
                names += self.chance.sample(others, min(len(others), self.chance.choice((1, 1, 2))))
                return ObjectValueNode(
                    fields=tuple(
                        ObjectFieldNode(
                            name=_name(name), value=self.input(type_.fields[name].type, depth + 1)
                        )
                        for name in dict.fromkeys(names)
                    )
                )
        match get_named_type(type_).name:
            case "Int":
                return _int(self.chance.randint(0, 12))
            case "Boolean":
                return BooleanValueNode(value=self.happens(0.5))
        text = self.chance.choice(self.texts)
        start = self.chance.choice((0, 0, len(text) // 2))
        end = self.chance.choice((len(text), start + 1))
        return StringValueNode(value=text[start:end])

    @cached_property
    def texts(self) -> list[str]:
        """All strings in the database."""
        texts = {
            value
            for table in self.rows.values()
            for row in table
            for value in row.values()
            if isinstance(value, str)
        }
        return sorted(texts)

    def orders(self, drawn: ValueNode | None) -> Sequence[Mapping[str, str]]:
        """Return the keys of an ``orderBy`` argument."""
        value = None if drawn is None else value_from_ast_untyped(drawn)
        keys = [value] if isinstance(value, dict) else value or []
        return [{"direction": "ASC"} | key for key in keys]

    # Values and variables ------------------------------------------------------------------------

    def value(self, type_: GraphQLInputType, drawn: ValueNode) -> ValueNode:
        """Return the value, or use variables for it or for parts of it."""
        if self.happens(0.5, self.misfitting) or self.happens(0.15, self.twists.variables):
            return self.variable(str(type_), drawn)
        bare: Any = get_nullable_type(type_)
        if isinstance(drawn, ObjectValueNode) and isinstance(bare, GraphQLInputObjectType):
            return ObjectValueNode(
                fields=tuple(
                    ObjectFieldNode(
                        name=part.name,
                        value=self.value(bare.fields[part.name.value].type, part.value),
                    )
                    for part in drawn.fields
                )
            )
        if isinstance(drawn, ListValueNode) and isinstance(bare, GraphQLList):
            return ListValueNode(
                values=tuple(self.value(bare.of_type, part) for part in drawn.values)
            )
        return drawn

    def variable(self, type_: str, value: ValueNode) -> VariableNode:
        """Declare a variable with this value, either in the request or as its default."""
        name = f"v{len(self.declared)}"
        plain = value_from_ast_untyped(value)
        by_default = not isinstance(value, NullValueNode) and self.happens(0.2)
        if not by_default and (type_.endswith("!") or plain is not None or self.happens(0.5)):
            # Otherwise the variable is omitted, which differs from null.
            self.values[name] = plain
        if self.happens(0.1 if type_ == "Boolean!" else 0.4, self.misfitting):
            self.values[name] = misfit(plain, self.chance)
            if self.happens(0.1):
                del self.values[name]
        self.declared.append(
            VariableDefinitionNode(
                variable=VariableNode(name=_name(name)),
                type=parse_type(type_),
                # Values that become variables contain no variables themselves.
                default_value=cast("Any", value) if by_default else None,
                directives=(),
            )
        )
        return VariableNode(name=_name(name))


def _composite(definition: GraphQLField) -> bool:
    return not is_leaf_type(get_named_type(definition.type))


def _name(value: str) -> NameNode:
    return NameNode(value=value)


def _selected(*names: str) -> SelectionSetNode:
    """Select fields without arguments."""
    return SelectionSetNode(
        selections=tuple(FieldNode(name=_name(name), directives=()) for name in names)
    )


def _int(value: int) -> IntValueNode:
    return IntValueNode(value=str(value))
