"""Turn a GraphQL selection into a plan of what to read.

A plan depends on an operation's text and on the shape of its variables (``variables.shape_of``),
not on the values: those become slots, which each run fills. So a plan is compiled only once.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, cast

from graphql import (
    FieldNode,
    GraphQLField,
    GraphQLInterfaceType,
    GraphQLObjectType,
    GraphQLSchema,
    SelectionSetNode,
    get_named_type,
)
from pydantic.alias_generators import to_snake

from resolvers.errors.catalogue import FieldProblem
from resolvers.graphql_adapter import python_name
from resolvers.operations.conditions import compare, plan_order, plan_where
from resolvers.operations.planning import Planning
from resolvers.operations.selection import sub_selections
from storage.reads.json_lists import JSON_LISTS
from storage.reads.model import TABLES
from storage.reads.plan import (
    VIEWER_PROFILE,
    AllOf,
    Compare,
    Comparison,
    Condition,
    Constant,
    CursorKey,
    EdgeCursor,
    EdgeNode,
    Field,
    Fields,
    GlobalId,
    GlobalIds,
    IdPart,
    JsonField,
    JsonFields,
    Literal,
    Many,
    One,
    OrderKey,
    Page,
    PageEdges,
    PageFact,
    PageFactField,
    PageInfo,
    PageNodes,
    PageOf,
    PagePart,
    PageSize,
    Read,
    ReadJson,
    ReadNodes,
    ReadOne,
    ReadPage,
    Scalar,
    Slot,
    TotalCount,
    VariableRef,
    describe_order,
)
from storage.reads.tables import SQL_TYPES, Column, ColumnKind, Table

TABLE_OF_TYPE: Mapping[str, str] = {table.type_name: name for name, table in TABLES.items()}
"""The table of each GraphQL object type."""

_PYTHON_TYPES: Mapping[ColumnKind, type] = {
    ColumnKind.INTEGER: int,
    ColumnKind.TEXT: str,
    ColumnKind.TIME: datetime,
}
"""The type of a cursor's key for each kind of column that can be ordered by."""

ROW_ID = "row ID"
"""The name under which a run supplies the ID of a payload's object."""

Selections = Iterable[SelectionSetNode | None]


@dataclass(frozen=True, slots=True)
class PlannedField:
    """The plan of a root field."""

    read: Read
    slots: tuple[Slot, ...]
    """The slots whose values each run supplies. All of the values have to be valid."""
    problems: tuple[FieldProblem, ...]
    """Problems with the field's constant arguments. If there are any, the plan is not run."""


class Planner:
    """Plans the root fields of one operation.

    Args:
        schema: The schema that the operation was validated against.
        unpaged: Whether connections without ``first`` and ``last`` return all rows. Only for the
            operations of the legacy dialects, which have no pages.
        source_kinds: The source kinds of this gateway, as JSON.
    """

    def __init__(
        self,
        schema: GraphQLSchema,
        planning: Planning,
        *,
        unpaged: bool = False,
        source_kinds: str = "[]",
    ) -> None:
        self._source_kinds = source_kinds
        self._schema = schema
        self._planning = planning
        self._unpaged = unpaged

    def collect(
        self, type_: GraphQLObjectType, selections: Selections
    ) -> dict[str, list[FieldNode]]:
        """Return the fields selected of an object of this type, by response key."""
        return self._planning.collect(type_, selections)

    # Root fields -------------------------------------------------------------------------------

    def root(self, definition: GraphQLField, key: str, nodes: Sequence[FieldNode]) -> PlannedField:
        """Plan a root field.

        Raises:
            GatewayError: ``BAD_USER_INPUT``, if it selects too much.
        """
        self._planning.start()
        with self._planning.at(key):
            return self._planned(self._root(definition, nodes))

    def _planned(self, read: Read) -> PlannedField:
        return PlannedField(read, tuple(self._planning.slots), tuple(self._planning.problems))

    def _root(self, definition: GraphQLField, nodes: Sequence[FieldNode]) -> Read:
        name = python_name(definition)
        arguments = self._planning.arguments(definition, nodes[0])
        selections = sub_selections(nodes)
        if name == "node":
            return self._nodes(arguments["id"], "id", selections, single=True)
        if name == "nodes":
            return self._nodes(arguments["ids"], "ids", selections, single=False)
        type_ = cast(GraphQLObjectType, get_named_type(definition.type))
        if name == "source_kinds":
            kinds = Slot(Literal(self._source_kinds), "text")
            return ReadJson(kinds, self._json(type_, selections))
        if name in JSON_LISTS:
            return ReadJson(name, self._json(type_, selections))
        if "nodes" in type_.fields:
            node_type = cast(GraphQLObjectType, get_named_type(type_.fields["nodes"].type))
            table = TABLE_OF_TYPE[node_type.name]
            return ReadPage(table, self._page(type_, TABLES[table], arguments, selections))
        table = TABLE_OF_TYPE[type_.name]
        if name == "viewer":
            condition: Condition = Compare("database_id", Comparison.EQUAL, VIEWER_PROFILE)
        else:
            condition = self._lookup(TABLES[table], arguments)
        return ReadOne(table, self._fields(type_, TABLES[table], selections), condition)

    def by_id(self, type_: GraphQLObjectType, key: str, nodes: Sequence[FieldNode]) -> PlannedField:
        """Plan a field of a payload: one object, whose ID the run supplies as ``ROW_ID``."""
        self._planning.start()
        table = TABLE_OF_TYPE[type_.name]
        with self._planning.at(key):
            fields = self._fields(type_, TABLES[table], sub_selections(nodes))
        slot = Slot(VariableRef((ROW_ID,)), "integer")
        read = ReadOne(table, fields, Compare("database_id", Comparison.EQUAL, slot))
        return self._planned(read)

    def _lookup(self, table: Table, arguments: Mapping[str, Any]) -> Condition:
        """Plan the look-up of one row by one of several keys."""
        conditions: list[Condition] = []
        for name, value in arguments.items():
            if value is None:
                continue
            if name == "id":
                slot = self._planning.slot(value, "integer", GlobalId(table.type_name), name)
                conditions.append(Compare("database_id", Comparison.EQUAL, slot))
            else:
                column = to_snake(name)
                conditions.append(
                    compare(self._planning, table, column, Comparison.EQUAL, value, name)
                )
        if len(conditions) != 1:
            self._planning.problem("expected exactly one argument to look it up by")
            return AllOf()
        return conditions[0]

    def _nodes(self, ids: Any, argument: str, selections: Selections, *, single: bool) -> ReadNodes:
        interface = cast(GraphQLInterfaceType, self._schema.type_map["Node"])
        selections = list(selections)
        choices = []
        for type_ in self._schema.get_possible_types(interface):
            table = TABLE_OF_TYPE[type_.name]
            choices.append((type_.name, table, self._fields(type_, TABLES[table], selections)))
        largest = self._planning.limits.page_size_max
        return ReadNodes(
            tuple(choices),
            self._planning.slot(ids, "text[]", GlobalIds(IdPart.TYPE_NAME, largest), argument),
            self._planning.slot(ids, "bigint[]", GlobalIds(IdPart.ROW_ID, largest), argument),
            single,
        )

    # Objects -----------------------------------------------------------------------------------

    def _fields(self, type_: GraphQLObjectType, table: Table, selections: Selections) -> Fields:
        """Plan the fields selected of a row that stands for an object of this type."""
        return tuple(
            self._field(type_, table, key, nodes)
            for key, nodes in self.collect(type_, selections).items()
        )

    def _field(
        self, type_: GraphQLObjectType, table: Table, key: str, nodes: Sequence[FieldNode]
    ) -> Field:
        self._planning.count_field()
        if nodes[0].name.value == "__typename":
            return Constant(key, type_.name)
        definition = type_.fields[nodes[0].name.value]
        name = python_name(definition)
        if name in table.columns:
            return Scalar(key, name)
        target = cast(GraphQLObjectType, get_named_type(definition.type))
        selections = sub_selections(nodes)
        if name in table.embedded:
            kinds = self._planning.kinds if table.embedded[name].computing else None
            return Many(key, name, self._embedded(target, selections), kinds)
        relation = table.relations[name]
        with self._planning.at(key):
            if "nodes" in target.fields:
                arguments = self._planning.arguments(definition, nodes[0])
                page = self._page(target, TABLES[relation.target], arguments, selections)
                return PageOf(key, name, page)
            fields = self._fields(target, TABLES[relation.target], selections)
            return Many(key, name, fields) if relation.many else One(key, name, fields)

    def _embedded(self, type_: GraphQLObjectType, selections: Selections) -> Fields:
        fields: list[Field] = []
        for key, nodes in self.collect(type_, selections).items():
            self._planning.count_field()
            name = nodes[0].name.value
            if name == "__typename":
                fields.append(Constant(key, type_.name))
            else:
                fields.append(Scalar(key, python_name(type_.fields[name])))
        return tuple(fields)

    def _json(self, type_: GraphQLObjectType, selections: Selections) -> JsonFields:
        """Plan the members selected of JSON objects."""
        fields: list[JsonField | Constant] = []
        for key, nodes in self.collect(type_, selections).items():
            self._planning.count_field()
            name = nodes[0].name.value
            if name == "__typename":
                fields.append(Constant(key, type_.name))
                continue
            target = get_named_type(type_.fields[name].type)
            inner = (
                self._json(target, sub_selections(nodes))
                if isinstance(target, GraphQLObjectType)
                else None
            )
            fields.append(JsonField(key, name, inner))
        return tuple(fields)

    # Pages -------------------------------------------------------------------------------------

    def _page(
        self,
        type_: GraphQLObjectType,
        table: Table,
        arguments: Mapping[str, Any],
        selections: Selections,
    ) -> Page:
        present = {name: value for name, value in arguments.items() if value is not None}
        order = plan_order(self._planning, table, present.get("orderBy", ()))
        return Page(
            parts=tuple(
                self._part(type_, table, key, nodes)
                for key, nodes in self.collect(type_, selections).items()
            ),
            order=order,
            condition=plan_where(self._planning, table, present.get("where", {})),
            limit=self._limit(present),
            after=self._cursor(table, order, present, "after"),
            before=self._cursor(table, order, present, "before"),
            backward="last" in present,
        )

    def _limit(self, arguments: Mapping[str, Any]) -> Slot | None:
        """Plan the size of a page; None for all rows."""
        size = PageSize(self._planning.limits.page_size_max)
        slots = [
            self._planning.slot(arguments[name], "integer", size, name)
            for name in ("first", "last")
            if name in arguments
        ]
        if len(slots) == 2:
            self._planning.problem("expected first or last, not both", "last")
        if slots:
            return slots[-1]
        if self._unpaged:
            return None
        return Slot(Literal(self._planning.limits.page_size_default), "integer")

    def _cursor(
        self,
        table: Table,
        order: tuple[OrderKey, ...],
        arguments: Mapping[str, Any],
        argument: str,
    ) -> tuple[Slot, ...] | None:
        """Plan slots for the order's columns, all read from one cursor; None without a cursor."""
        if argument not in arguments:
            return None
        columns = [table.columns[key.column] for key in order]
        types = tuple(_key_types(column) for column in columns)
        return tuple(
            self._planning.slot(
                arguments[argument],
                SQL_TYPES[column.kind],
                CursorKey(describe_order(order), types, index),
                argument,
            )
            for index, column in enumerate(columns)
        )

    def _part(
        self, type_: GraphQLObjectType, table: Table, key: str, nodes: Sequence[FieldNode]
    ) -> PagePart:
        self._planning.count_field()
        name = nodes[0].name.value
        if name == "__typename":
            return Constant(key, type_.name)
        selections = sub_selections(nodes)
        part_type = cast(GraphQLObjectType, get_named_type(type_.fields[name].type))
        with self._planning.at(key):
            match name:
                case "nodes":
                    return PageNodes(key, self._fields(part_type, table, selections))
                case "edges":
                    return PageEdges(key, self._edge(part_type, table, selections))
                case "pageInfo":
                    return PageInfo(key, self._page_info(part_type, selections))
                case _:
                    return TotalCount(key)

    def _edge(
        self, type_: GraphQLObjectType, table: Table, selections: Selections
    ) -> tuple[Constant | EdgeCursor | EdgeNode, ...]:
        fields: list[Constant | EdgeCursor | EdgeNode] = []
        for key, nodes in self.collect(type_, selections).items():
            self._planning.count_field()
            match nodes[0].name.value:
                case "__typename":
                    fields.append(Constant(key, type_.name))
                case "cursor":
                    fields.append(EdgeCursor(key))
                case _:
                    node_type = cast(GraphQLObjectType, get_named_type(type_.fields["node"].type))
                    with self._planning.at(key):
                        node = self._fields(node_type, table, sub_selections(nodes))
                    fields.append(EdgeNode(key, node))
        return tuple(fields)

    def _page_info(
        self, type_: GraphQLObjectType, selections: Selections
    ) -> tuple[Constant | PageFactField, ...]:
        fields: list[Constant | PageFactField] = []
        for key, nodes in self.collect(type_, selections).items():
            self._planning.count_field()
            name = nodes[0].name.value
            if name == "__typename":
                fields.append(Constant(key, type_.name))
            else:
                fields.append(PageFactField(key, PageFact(python_name(type_.fields[name]))))
        return tuple(fields)


def _key_types(column: Column) -> tuple[type, ...]:
    """Return the types that a cursor's key of a column may have."""
    type_ = _PYTHON_TYPES[column.kind]
    return (type_, type(None)) if column.nullable else (type_,)
