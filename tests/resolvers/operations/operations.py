"""Writes operations for the proof: what hypothesis-graphql drew, made sensible and then awkward.

hypothesis-graphql gives every field every argument and knows no fragments, aliases, directives or
variables. Here the arguments get values that mean something in the database at hand, and the rest
is worked in.
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
"""How often a connection has these arguments. Many filters let little through, and there are many
connections below each other."""
DEEPEST = 8
"""How many selections an operation has inside each other, at most."""


@dataclass(frozen=True)
class Twists:
    """Which kinds of awkwardness an operation may have: some have none, and most have a few."""

    aliases: bool
    fragments: bool
    directives: bool
    variables: bool
    typenames: bool
    repeats: bool
    growth: int
    """How many more fields than hypothesis-graphql drew, at most."""
    mistakes: bool
    """Arguments that are to be refused."""
    misfits: bool
    """Variables whose values are not of their types."""
    names: bool
    """Names of operations, one of which is asked for."""


@dataclass(frozen=True)
class Operation:
    """A document of queries, the one that is asked for, and the values of its variables."""

    document: DocumentNode
    name: str | None
    variables: dict[str, Any]

    @cached_property
    def text(self) -> str:
        return print_ast(self.document)


def write(
    schema: GraphQLSchema, drawn: DocumentNode, rows: Rows, twists: Twists, chance: random.Random
) -> Operation:
    """The operation that these choices make of what hypothesis-graphql drew."""
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
    room: int = 0
    misfitting: bool = False

    def write(self, drawn: DocumentNode) -> Operation:
        (operation,) = drawn.definitions
        assert isinstance(operation, OperationDefinitionNode)
        query = self.schema.query_type
        assert query is not None
        self.room = self.twists.growth
        self.misfitting = self.happens(0.3, self.twists.misfits)
        name, others = self.names()
        selections = self.selections(query, operation.selection_set, 1)
        written = OperationDefinitionNode(
            operation=OperationType.QUERY,
            name=None if name is None else _name(name),
            selection_set=selections,
            variable_definitions=tuple(self.declared),
        )
        definitions = (*self.fragments, written, *others)
        shuffled = self.chance.sample(definitions, len(definitions))
        return Operation(
            DocumentNode(definitions=tuple(shuffled)), self.asked(name, others), self.values
        )

    def names(self) -> tuple[str | None, list[OperationDefinitionNode]]:
        """The operation's name, if it has one, and the other operations of the document."""
        if not self.happens(0.5, self.twists.names):
            return None, []
        viewer = FieldNode(name=_name("viewer"), selection_set=_selected("seesAll"))
        other = OperationDefinitionNode(
            operation=OperationType.QUERY,
            name=_name("B"),
            selection_set=SelectionSetNode(selections=(viewer,)),
        )
        return "A", [other] if self.happens(0.5) else []

    def asked(self, name: str | None, others: Sequence[OperationDefinitionNode]) -> str | None:
        """The operation to run, sometimes one that is not there, or none of several."""
        if self.happens(0.15, self.twists.names):
            return self.chance.choice(("A", "B", "C", None))
        return name if others or self.happens(0.5) else None

    def happens(self, probability: float, twist: bool = True) -> bool:
        return twist and self.chance.random() < probability

    # Selections --------------------------------------------------------------------------------

    def selections(self, type_: Composite, drawn: SelectionSetNode, depth: int) -> SelectionSetNode:
        written: list[SelectionNode] = [
            self.field(type_, selection, depth)
            if isinstance(selection, FieldNode)
            else self.narrowed(selection, depth)
            for selection in drawn.selections
        ]
        while self.happens(0.6, depth < DEEPEST and self.room > 0):
            self.room -= 1
            written.append(self.field(type_, self.grown(type_), depth))
        if self.happens(0.2, self.twists.typenames):
            place = self.chance.randint(0, len(written))
            written.insert(place, FieldNode(name=_name("__typename"), directives=()))
        if self.happens(0.15, self.twists.repeats):
            written.append(self.chance.choice(written))
        if self.happens(0.25, self.twists.fragments):
            start = self.chance.randrange(len(written))
            end = self.chance.randint(start + 1, len(written))
            written[start:end] = self.wrapped(type_, written[start:end])
        return SelectionSetNode(selections=tuple(written))

    def grown(self, type_: Composite) -> FieldNode:
        """A field that was not drawn, mostly one that leads on; selections make more of it."""
        names = [
            name
            for name in type_.fields
            if name not in ("node", "nodes") or type_ is not self.schema.query_type
        ]
        leading = [name for name in names if _composite(type_.fields[name])]
        name = self.chance.choice(leading if leading and self.happens(0.7) else names)
        definition = type_.fields[name]
        return FieldNode(
            name=_name(name),
            alias=self.alias(),  # the same field may be there already, with other arguments
            # What they are is for ``arguments`` to say.
            arguments=tuple(
                ArgumentNode(name=_name(argument), value=NullValueNode())
                for argument in definition.args
            ),
            selection_set=self.leaves(definition) if _composite(definition) else None,
        )

    def leaves(self, definition: GraphQLField) -> SelectionSetNode:
        """Some fields that lead nowhere."""
        target: Any = get_named_type(definition.type)
        names = [name for name, inner in target.fields.items() if not _composite(inner)]
        chosen = self.chance.sample(names, min(len(names), self.chance.randint(1, 6)))
        return _selected(*chosen or ["__typename"])

    def alias(self) -> NameNode:
        """A new key, sometimes longer than any name in PostgreSQL, and alike as far as those go."""
        self.aliases += 1
        return _name("a" * self.chance.choice((1, 1, 70)) + str(self.aliases))

    def narrowed(self, drawn: SelectionNode, depth: int) -> InlineFragmentNode:
        assert isinstance(drawn, InlineFragmentNode)
        assert drawn.type_condition is not None
        type_: Any = self.schema.type_map[drawn.type_condition.name.value]
        return InlineFragmentNode(
            type_condition=drawn.type_condition,
            directives=self.directives(),
            selection_set=self.selections(type_, drawn.selection_set, depth),
        )

    def wrapped(self, type_: Composite, inner: list[SelectionNode]) -> list[SelectionNode]:
        """The same selections in a fragment, inline or named, which may stand there twice."""
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
        # Mostly such that the selection stays.
        stays = self.happens(0.7)
        value = stays is (directive == "include")
        if self.happens(0.3):
            return BooleanValueNode(value=value)
        return self.variable("Boolean!", BooleanValueNode(value=value))

    # Arguments ---------------------------------------------------------------------------------

    def arguments(
        self, type_: Composite, drawn: FieldNode, definition: GraphQLField
    ) -> Mapping[str, ValueNode]:
        given = {argument.name.value: argument.value for argument in drawn.arguments or ()}
        if "first" in definition.args:
            return self.page(definition, given)
        if type_ is not self.schema.query_type or not given:
            return given
        mistaken = self.happens(0.1, self.twists.mistakes)
        if mistaken or self.happens(0.1):
            # As it was drawn: as a rule of nothing, or of too many keys.
            return given if mistaken else dict([self.chance.choice(list(given.items()))])
        match drawn.name.value:
            case "node":
                return {"id": self.real_id()}
            case "nodes":
                ids = [self.real_id() for _ in range(self.chance.randint(0, 4))]
                return {"ids": ListValueNode(values=tuple(ids))}
            case _:
                return self.real_key(get_named_type(definition.type).name, list(given))

    def real_id(self) -> StringValueNode:
        """The id of an object that exists."""
        known = [(name, row["id"]) for name, table in TABLES.items() for row in self.rows[table]]
        return StringValueNode(value=global_id(*self.chance.choice(known)))

    def real_key(self, type_name: str, names: list[str]) -> Mapping[str, ValueNode]:
        """One of the keys of an object that exists, if there is any."""
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
        given: dict[str, ValueNode] = {}
        for name, probability in CHOICES.items():
            if self.happens(probability):
                value = drawn.get(name, NullValueNode())
                if isinstance(value, NullValueNode) and self.happens(0.9):
                    value = self.input(definition.args[name].type)
                given[name] = value
        order = order_of(type_name, self.orders(given.get("orderBy")))
        mistaken = self.happens(0.05, self.twists.mistakes)
        for name in self.chance.choice((["first"], ["first"], ["last"], ["last"], [])):
            given[name] = _int(self.chance.choice((0, 1, 2, 2, 3, 5, 7, 100)))
        if mistaken and self.happens(0.5):
            given["first"] = _int(self.chance.choice((101, -1, 5)))
        rows = self.rows[TABLES[type_name]]
        for name in ("after", "before"):
            if rows and self.happens(0.25):
                place: dict[str, Any] = dict(self.chance.choice(rows))
                if self.happens(0.2):
                    # Of a row that is gone, between those that are there.
                    place["id"] += self.chance.choice((-1, 1))
                if mistaken:
                    other = [{"field": "DATABASE_ID", "direction": "DESC"}]
                    text = self.chance.choice(("", "x", cursor_of(place, order_of("", other))))
                else:
                    text = cursor_of(place, order)
                given[name] = StringValueNode(value=text)
        shuffled = list(given.items())
        self.chance.shuffle(shuffled)
        return dict(shuffled)

    def input(self, type_: GraphQLInputType, depth: int = 0) -> ValueNode:
        """A random value of an input type, with the texts and numbers of this database."""
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
                # Conditions on conditions come to an end.
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
        """Every short text of the database."""
        found = {
            value
            for table in self.rows.values()
            for row in table
            for value in row.values()
            if isinstance(value, str)
        }
        return sorted(found)

    def orders(self, drawn: ValueNode | None) -> Sequence[Mapping[str, str]]:
        """What an ``orderBy`` says."""
        value = None if drawn is None else value_from_ast_untyped(drawn)
        keys = [value] if isinstance(value, dict) else value or []
        return [{"direction": "ASC"} | key for key in keys]

    # Values and variables ------------------------------------------------------------------------

    def value(self, type_: GraphQLInputType, drawn: ValueNode) -> ValueNode:
        """The value itself, a variable that has it, or such inside of it."""
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
        """A new variable of this type and value, given or by default."""
        name = f"v{len(self.declared)}"
        plain = value_from_ast_untyped(value)
        by_default = not isinstance(value, NullValueNode) and self.happens(0.2)
        if not by_default and (type_.endswith("!") or plain is not None or self.happens(0.5)):
            # Not given at all is another thing than null.
            self.values[name] = plain
        if self.happens(0.1 if type_ == "Boolean!" else 0.4, self.misfitting):
            self.values[name] = misfit(plain, self.chance)
            if self.happens(0.1):
                del self.values[name]
        self.declared.append(
            VariableDefinitionNode(
                variable=VariableNode(name=_name(name)),
                type=parse_type(type_),
                # Nothing that is made a variable has variables in it.
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
    """Fields without arguments."""
    return SelectionSetNode(
        selections=tuple(FieldNode(name=_name(name), directives=()) for name in names)
    )


def _int(value: int) -> IntValueNode:
    return IntValueNode(value=str(value))
