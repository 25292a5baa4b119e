"""Choose arguments of fields from the values in the database, and turn some into variables."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, timezone
from functools import cached_property
from typing import Any, cast

from graphql import (
    BooleanValueNode,
    EnumValueNode,
    FieldNode,
    GraphQLEnumType,
    GraphQLField,
    GraphQLInputType,
    GraphQLInterfaceType,
    GraphQLObjectType,
    GraphQLSchema,
    IntValueNode,
    ListValueNode,
    NameNode,
    NullValueNode,
    ObjectFieldNode,
    ObjectValueNode,
    StringValueNode,
    ValueNode,
    VariableDefinitionNode,
    VariableNode,
    get_named_type,
    parse_type,
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


@dataclass
class ArgumentWriter:
    """Choose arguments, and declare the variables that some of them become."""

    schema: GraphQLSchema
    rows: Rows
    twists: Twists
    chance: random.Random
    declared: list[VariableDefinitionNode] = field(default_factory=list)
    values: dict[str, Any] = field(default_factory=dict)
    misfitting: bool = False

    def happens(self, probability: float, twist: bool = True) -> bool:
        return twist and self.chance.random() < probability

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
                            name=to_name(name),
                            value=self.input(type_.fields[name].type, depth + 1),
                        )
                        for name in dict.fromkeys(names)
                    )
                )
        match get_named_type(type_).name:
            case "Int":
                return _int(self.chance.randint(0, 12))
            case "Boolean":
                return BooleanValueNode(value=self.happens(0.5))
            case "DateTime":
                return StringValueNode(value=self.time())
        text = self.chance.choice(self.texts)
        start = self.chance.choice((0, 0, len(text) // 2))
        end = self.chance.choice((len(text), start + 1))
        return StringValueNode(value=text[start:end])

    def time(self) -> str:
        """Return a time in the database, or one that is a microsecond away from it."""
        moment = self.chance.choice(self.times)
        moment += timedelta(microseconds=self.chance.choice((0, 0, 1, -1)))
        zone = timezone(timedelta(minutes=self.chance.choice((0, 90, -480))))
        text = moment.astimezone(zone).isoformat()
        return text.replace("+00:00", self.chance.choice(("Z", "z", "-00:00")))

    @cached_property
    def times(self) -> list[datetime]:
        """All times in the database, and another one."""
        times = {
            value
            for table in self.rows.values()
            for row in table
            for value in row.values()
            if isinstance(value, datetime)
        }
        return sorted(times | {datetime(2024, 2, 29, tzinfo=UTC)})

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

    # Variables -----------------------------------------------------------------------------------

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
                variable=VariableNode(name=to_name(name)),
                type=parse_type(type_),
                # Values that become variables contain no variables themselves.
                default_value=cast("Any", value) if by_default else None,
                directives=(),
            )
        )
        return VariableNode(name=to_name(name))


def to_name(value: str) -> NameNode:
    return NameNode(value=value)


def _int(value: int) -> IntValueNode:
    return IntValueNode(value=str(value))
