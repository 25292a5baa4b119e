"""In charge of turning a GraphQL selection into a plan of what to read.

A plan depends on an operation's text and on the *shape* of its variables (``resolvers.shapes``),
never on the values in it: those become slots, filled at each run. So it can be compiled once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any, cast

from graphql import (
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLField,
    GraphQLInterfaceType,
    GraphQLObjectType,
    GraphQLSchema,
    InlineFragmentNode,
    SelectionSetNode,
    get_named_type,
)
from graphql.execution.values import VariableValues, get_argument_values, get_directive_values
from graphql.type import GraphQLIncludeDirective, GraphQLSkipDirective
from pydantic.alias_generators import to_snake

from resolvers.errors.catalogue import bad_value
from resolvers.operations.variables import Given
from resolvers.values.ids import read_cursor, read_global_id
from resolvers.values.text import storable
from storage.reads.connections import describe_order
from storage.reads.model import SQL_TYPES, TABLES, ColumnKind, Table
from storage.reads.plan import (
    AllOf,
    AnyOf,
    Compare,
    Comparison,
    Condition,
    Constant,
    EdgeCursor,
    EdgeNode,
    Field,
    Fields,
    Many,
    Not,
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
    Read,
    ReadNodes,
    ReadOne,
    ReadPage,
    Related,
    RunValues,
    Scalar,
    Slot,
    TotalCount,
)

TABLE_OF_TYPE: Mapping[str, str] = {table.type_name: name for name, table in TABLES.items()}
"""The table behind each GraphQL object type."""

_PYTHON_TYPES = {ColumnKind.INTEGER: int, ColumnKind.TEXT: str}
"""What a cursor holds for each kind of column that can be ordered by."""

_LAST_CHARACTER = "\U0010ffff"
_PAST_ALL = _LAST_CHARACTER * 4001
"""Greater than every text that can be filtered by: none has more than 4,000 characters."""


@dataclass(frozen=True, slots=True)
class Limits:
    """How much a single operation may ask for."""

    default_page: int = 20
    largest_page: int = 100
    root_fields: int = 100
    """Fields at the root of a query, each of them a statement."""
    fields: int = 5000
    """Fields that a plan may have, fragments spread out."""
    depth: int = 20
    """Fields that may stand below each other, the root field included."""


def python_name(field: GraphQLField) -> str:
    """A schema field's name in snake case, which is its name in ``storage.model``."""
    return cast(str, field.extensions["strawberry-definition"].python_name)


class Planner:
    """Plans the root fields of one operation.

    Args:
        schema: the schema that the operation was validated against.
        fragments: the document's fragments by name.
        variables: coerced variables, with ``Given`` in place of what may differ from run to run.
        limits: what is refused as too much.
        unpaged: connections without ``first`` and ``last`` answer whole. Only for the operations
            of the legacy dialects, which have no pages.
    """

    def __init__(
        self,
        schema: GraphQLSchema,
        fragments: Mapping[str, FragmentDefinitionNode],
        variables: VariableValues,
        limits: Limits,
        *,
        unpaged: bool = False,
    ) -> None:
        self._schema = schema
        self._fragments = fragments
        self._variables = variables
        self._limits = limits
        self._unpaged = unpaged
        self._planned = 0
        self._path: list[str | int] = []

    # Selections --------------------------------------------------------------------------------

    def collect(
        self, type_: GraphQLObjectType, selections: Iterable[SelectionSetNode | None]
    ) -> dict[str, list[FieldNode]]:
        """The fields selected of an object of this type, by response key, fragments spread out."""
        fields: dict[str, list[FieldNode]] = {}
        seen: set[str] = set()
        for selection_set in selections:
            if selection_set is not None:
                self._collect(type_, selection_set, fields, seen)
        return fields

    def _collect(
        self,
        type_: GraphQLObjectType,
        selection_set: SelectionSetNode,
        fields: dict[str, list[FieldNode]],
        seen: set[str],
    ) -> None:
        for selection in selection_set.selections:
            if not self._included(selection):
                continue
            match selection:
                case FieldNode():
                    key = selection.alias.value if selection.alias else selection.name.value
                    fields.setdefault(key, []).append(selection)
                case InlineFragmentNode():
                    condition = selection.type_condition
                    if condition is None or self._applies(condition.name.value, type_):
                        self._collect(type_, selection.selection_set, fields, seen)
                case FragmentSpreadNode() if selection.name.value not in seen:
                    seen.add(selection.name.value)
                    fragment = self._fragments[selection.name.value]
                    if self._applies(fragment.type_condition.name.value, type_):
                        self._collect(type_, fragment.selection_set, fields, seen)

    def _included(self, node: Any) -> bool:
        """Whether ``@skip`` and ``@include`` let the selection stand."""
        if not node.directives:
            return True
        skip = get_directive_values(GraphQLSkipDirective, node, self._variables)
        if skip and skip["if"]:
            return False
        include = get_directive_values(GraphQLIncludeDirective, node, self._variables)
        return not include or bool(include["if"])

    def _applies(self, condition: str, type_: GraphQLObjectType) -> bool:
        """Whether a fragment on the type ``condition`` holds for objects of ``type_``."""
        return condition == type_.name or any(i.name == condition for i in type_.interfaces)

    def arguments(self, definition: GraphQLField, node: FieldNode) -> dict[str, Any]:
        """A field's arguments: constants, and ``Given`` where a run supplies the value."""
        return get_argument_values(definition, node, self._variables)

    def _count(self) -> None:
        self._planned += 1
        if self._planned > self._limits.fields:
            raise bad_value((), f"the operation selects more than {self._limits.fields:,} fields")

    # Root fields -------------------------------------------------------------------------------

    def root(self, definition: GraphQLField, key: str, nodes: Sequence[FieldNode]) -> Read:
        """The plan of a root field.

        Raises:
            GatewayError: ``BAD_USER_INPUT``, where an argument is not valid.
        """
        self._path = [key]
        name, arguments = python_name(definition), self.arguments(definition, nodes[0])
        selections = [node.selection_set for node in nodes]
        if name in ("node", "nodes"):
            return self._nodes(name, arguments, selections)
        type_ = cast(GraphQLObjectType, get_named_type(definition.type))
        if "nodes" in type_.fields:
            node_type = cast(GraphQLObjectType, get_named_type(type_.fields["nodes"].type))
            table = TABLE_OF_TYPE[node_type.name]
            return ReadPage(table, self._page(type_, TABLES[table], arguments, selections))
        table = TABLE_OF_TYPE[type_.name]
        if name == "viewer":
            slot = Slot(lambda values: values.profile_id, "integer")
            condition: Condition = Compare("database_id", Comparison.EQUAL, slot)
        else:
            condition = self._lookup(TABLES[table], arguments)
        return ReadOne(table, self.fields(type_, TABLES[table], selections), condition)

    def by_id(
        self, type_: GraphQLObjectType, nodes: Sequence[FieldNode], database_id: int
    ) -> ReadOne:
        """The plan of a field of a payload: one object, known by its id."""
        table = TABLE_OF_TYPE[type_.name]
        slot = Slot(lambda _: database_id, "integer")
        fields = self.fields(type_, TABLES[table], [node.selection_set for node in nodes])
        return ReadOne(table, fields, Compare("database_id", Comparison.EQUAL, slot))

    def _lookup(self, table: Table, arguments: Mapping[str, Any]) -> Condition:
        """What holds of the one row that a look-up by one of several keys wants."""
        given = {name: value for name, value in arguments.items() if value is not None}
        if len(given) != 1:
            raise bad_value(self._path, "expected exactly one argument to look it up by")
        ((name, value),) = given.items()
        if name == "id":
            slot = self._slot(value, "integer", _id_of(table.type_name), name)
            return Compare("database_id", Comparison.EQUAL, slot)
        column = to_snake(name)
        return self._compare(table, column, Comparison.EQUAL, value, name)

    def _nodes(
        self,
        name: str,
        arguments: Mapping[str, Any],
        selections: Sequence[SelectionSetNode | None],
    ) -> ReadNodes:
        interface = cast(GraphQLInterfaceType, self._schema.type_map["Node"])
        choices = []
        for type_ in self._schema.get_possible_types(interface):
            table = TABLE_OF_TYPE[type_.name]
            choices.append((type_.name, table, self.fields(type_, TABLES[table], selections)))
        single = name == "node"
        argument = "id" if single else "ids"
        given = arguments[argument]
        largest = self._limits.largest_page
        path = (*self._path, argument)

        def read(values: RunValues) -> list[tuple[str, int]]:
            ids = _value(given, values)
            ids = [ids] if single else ids
            if len(ids) > largest:
                raise bad_value(path, f"expected at most {largest} ids, got {len(ids)}")
            found = []
            for place, text in enumerate(ids):
                try:
                    found.append(read_global_id(text))
                except ValueError as error:
                    wrong = path if single else (*path, place)
                    raise bad_value(wrong, str(error)) from None
            return found

        return ReadNodes(
            tuple(choices),
            Slot(lambda values: [type_name for type_name, _ in read(values)], "text[]"),
            Slot(lambda values: [number for _, number in read(values)], "integer[]"),
            single,
        )

    # Objects -----------------------------------------------------------------------------------

    def fields(
        self,
        type_: GraphQLObjectType,
        table: Table,
        selections: Iterable[SelectionSetNode | None],
    ) -> Fields:
        """What is selected of a row that stands for an object of this type."""
        return tuple(
            self._field(type_, table, key, nodes)
            for key, nodes in self.collect(type_, selections).items()
        )

    def _field(
        self, type_: GraphQLObjectType, table: Table, key: str, nodes: Sequence[FieldNode]
    ) -> Field:
        self._count()
        if nodes[0].name.value == "__typename":
            return Constant(key, type_.name)
        definition = type_.fields[nodes[0].name.value]
        name = python_name(definition)
        if name in table.columns:
            return Scalar(key, name)
        target = cast(GraphQLObjectType, get_named_type(definition.type))
        selections = [node.selection_set for node in nodes]
        if name in table.embedded:
            fields = self._embedded(target, selections)
            return Many(key, name, fields)
        relation = table.relations[name]
        self._path.append(key)
        try:
            if len(self._path) > self._limits.depth:
                raise bad_value((), f"fields are nested deeper than {self._limits.depth} levels")
            if "nodes" in target.fields:
                arguments = self.arguments(definition, nodes[0])
                page = self._page(target, TABLES[relation.target], arguments, selections)
                return PageOf(key, name, page)
            fields = self.fields(target, TABLES[relation.target], selections)
            return Many(key, name, fields) if relation.many else One(key, name, fields)
        finally:
            self._path.pop()

    def _embedded(
        self, type_: GraphQLObjectType, selections: Iterable[SelectionSetNode | None]
    ) -> Fields:
        fields: list[Field] = []
        for key, nodes in self.collect(type_, selections).items():
            self._count()
            name = nodes[0].name.value
            if name == "__typename":
                fields.append(Constant(key, type_.name))
            else:
                fields.append(Scalar(key, python_name(type_.fields[name])))
        return tuple(fields)

    # Pages -------------------------------------------------------------------------------------

    def _page(
        self,
        type_: GraphQLObjectType,
        table: Table,
        arguments: Mapping[str, Any],
        selections: Iterable[SelectionSetNode | None],
    ) -> Page:
        given = {name: value for name, value in arguments.items() if value is not None}
        if "first" in given and "last" in given:
            raise bad_value([*self._path, "last"], "expected first or last, not both")
        order = _order(table, given.get("orderBy", ()))
        backward = "last" in given
        size = "last" if backward else "first"
        limit: Slot | None = None
        if size in given:
            limit = self._slot(given[size], "integer", self._page_size, size)
        elif not self._unpaged:
            limit = self._slot(self._limits.default_page, "integer", self._page_size, size)
        return Page(
            parts=tuple(
                self._part(type_, table, key, nodes)
                for key, nodes in self.collect(type_, selections).items()
            ),
            order=order,
            condition=self._condition(table, given.get("where", {})),
            limit=limit,
            after=self._cursor(table, order, given, "after"),
            before=self._cursor(table, order, given, "before"),
            backward=backward,
        )

    def _page_size(self, value: object) -> int:
        largest = self._limits.largest_page
        if not isinstance(value, int) or not 0 <= value <= largest:
            raise ValueError(f"expected a number from 0 to {largest}, got {value}")
        return value

    def _cursor(
        self,
        table: Table,
        order: Sequence[OrderKey],
        given: Mapping[str, Any],
        argument: str,
    ) -> tuple[Slot, ...] | None:
        """Slots for the order's columns, all read from one cursor; None where none is given."""
        if argument not in given:
            return None
        kinds = [table.columns[key.column].kind for key in order]
        types = tuple(_PYTHON_TYPES[kind] for kind in kinds)
        described = describe_order(order)

        def part(place: int) -> Callable[[Any], object]:
            def convert(value: Any) -> object:
                read = read_cursor(value, described, types)[place]
                return storable(read) if isinstance(read, str) else read

            return convert

        return tuple(
            self._slot(given[argument], SQL_TYPES[kind], part(place), argument)
            for place, kind in enumerate(kinds)
        )

    def _part(
        self, type_: GraphQLObjectType, table: Table, key: str, nodes: Sequence[FieldNode]
    ) -> PagePart:
        self._count()
        name = nodes[0].name.value
        if name == "__typename":
            return Constant(key, type_.name)
        selections = [node.selection_set for node in nodes]
        part_type = cast(GraphQLObjectType, get_named_type(type_.fields[name].type))
        self._path.append(key)
        try:
            match name:
                case "nodes":
                    return PageNodes(key, self.fields(part_type, table, selections))
                case "edges":
                    return PageEdges(key, self._edge(part_type, table, selections))
                case "pageInfo":
                    return PageInfo(key, self._page_info(part_type, selections))
                case _:
                    return TotalCount(key)
        finally:
            self._path.pop()

    def _edge(
        self,
        type_: GraphQLObjectType,
        table: Table,
        selections: Iterable[SelectionSetNode | None],
    ) -> tuple[Constant | EdgeCursor | EdgeNode, ...]:
        fields: list[Constant | EdgeCursor | EdgeNode] = []
        for key, nodes in self.collect(type_, selections).items():
            self._count()
            match nodes[0].name.value:
                case "__typename":
                    fields.append(Constant(key, type_.name))
                case "cursor":
                    fields.append(EdgeCursor(key))
                case _:
                    node_type = cast(GraphQLObjectType, get_named_type(type_.fields["node"].type))
                    selected = [node.selection_set for node in nodes]
                    self._path.append(key)
                    fields.append(EdgeNode(key, self.fields(node_type, table, selected)))
                    self._path.pop()
        return tuple(fields)

    def _page_info(
        self, type_: GraphQLObjectType, selections: Iterable[SelectionSetNode | None]
    ) -> tuple[Constant | PageFactField, ...]:
        fields: list[Constant | PageFactField] = []
        for key, nodes in self.collect(type_, selections).items():
            self._count()
            name = nodes[0].name.value
            if name == "__typename":
                fields.append(Constant(key, type_.name))
            else:
                fact = PageFact(python_name(type_.fields[name]))
                fields.append(PageFactField(key, fact))
        return tuple(fields)

    # Filters -----------------------------------------------------------------------------------

    def _condition(self, table: Table, where: Mapping[str, Any]) -> Condition:
        """What a filter says of rows of the table; a null part of it says nothing."""
        self._path.append("where")
        try:
            return self._conditions(table, where)
        finally:
            self._path.pop()

    def _conditions(self, table: Table, where: Mapping[str, Any]) -> Condition:
        found: list[Condition] = []
        if len(self._path) > 2 * self._limits.depth:
            raise bad_value((), f"filters are nested deeper than {2 * self._limits.depth} levels")
        for name, value in where.items():
            self._count()
            if value is None:
                continue
            self._path.append(name)
            column = to_snake(name)
            if name == "and":
                found += self._each(table, value)
            elif name == "or":
                found.append(AnyOf(tuple(self._each(table, value))))
            elif name == "not":
                found.append(Not(self._conditions(table, value)))
            elif column in table.relations:
                target = TABLES[table.relations[column].target]
                found.append(Related(column, self._conditions(target, value)))
            elif isinstance(value, Mapping):
                for op, operand in value.items():
                    if operand is not None:
                        found += self._comparisons(table, column, op, operand)
            else:
                found.append(self._compare(table, column, Comparison.EQUAL, value, ""))
            self._path.pop()
        return found[0] if len(found) == 1 else AllOf(tuple(found))

    def _each(self, table: Table, parts: Sequence[Mapping[str, Any]]) -> Iterator[Condition]:
        for place, part in enumerate(parts):
            self._path.append(place)
            yield self._conditions(table, part)
            self._path.pop()

    def _comparisons(self, table: Table, column: str, op: str, operand: Any) -> Iterable[Compare]:
        """What one operator of a filter says of a column."""
        if op == "startsWith":
            # A range of the column's index, whatever the prefix: the plan does not know it.
            slot = self._slot(operand, "text", _past_prefix, op)
            return (
                self._compare(table, column, Comparison.GREATER_OR_EQUAL, operand, op),
                Compare(column, Comparison.LESS, slot),
            )
        return (self._compare(table, column, Comparison(to_snake(op)), operand, op),)

    def _compare(
        self, table: Table, column: str, comparison: Comparison, operand: Any, name: str
    ) -> Compare:
        sql_type = SQL_TYPES[table.columns[column].kind]
        if comparison is Comparison.IN:
            return Compare(
                column, comparison, self._slot(operand, f"{sql_type}[]", _plain_list, name)
            )
        return Compare(column, comparison, self._slot(operand, sql_type, _plain, name))

    # Values ------------------------------------------------------------------------------------

    def _slot(
        self, value: Any, sql_type: str, convert: Callable[[Any], object], argument: str
    ) -> Slot:
        """A slot for an argument's value; a constant that is not valid is refused at once."""
        path = [*self._path, argument] if argument else list(self._path)

        def checked(given: Any) -> object:
            try:
                return convert(given)
            except ValueError as error:
                raise bad_value(path, str(error)) from None

        if _varies(value):
            return Slot(lambda values: checked(_value(value, values)), sql_type)
        constant = checked(value)
        return Slot(lambda _: constant, sql_type)


def _varies(value: Any) -> bool:
    """Whether the value, or an item of it, differs from run to run."""
    return isinstance(value, Given) or (isinstance(value, list) and any(map(_varies, value)))


def _value(value: Any, values: RunValues) -> Any:
    """An argument's value in one run."""
    if isinstance(value, Given):
        return value.read(values.variables)
    if isinstance(value, list):
        return [_value(item, values) for item in value]
    return value


def _plain(value: Any) -> object:
    """A filter's operand as the database compares it."""
    if isinstance(value, Enum):
        return value.value
    return storable(value) if isinstance(value, str) else value


def _plain_list(value: Any) -> list[object]:
    return [_plain(item) for item in value]


def _past_prefix(prefix: Any) -> str:
    """The least text, by code point, that is greater than every text with this prefix."""
    stem = storable(prefix).rstrip(_LAST_CHARACTER)
    if not stem:
        return _PAST_ALL
    # No text holds surrogates, so what follows U+D7FF is U+E000.
    following = 0xE000 if stem[-1] == "\ud7ff" else ord(stem[-1]) + 1
    return stem[:-1] + chr(following)


def _id_of(type_name: str) -> Callable[[Any], object]:
    """Reads the database id out of a global id of this type."""

    def convert(value: Any) -> int:
        found, database_id = read_global_id(value)
        if found != type_name:
            raise ValueError(f"expected the id of a {type_name}, got the id of a {found}")
        return database_id

    return convert


def _order(table: Table, keys: Iterable[Mapping[str, Any]]) -> tuple[OrderKey, ...]:
    """The order that ``orderBy`` asks for, ending with a unique column.

    What follows a unique column orders nothing. The id goes in the direction of the key before it,
    so that an index of both serves.
    """
    order: list[OrderKey] = []
    for key in keys:
        column = key["field"].value
        if column not in [known.column for known in order]:
            order.append(OrderKey(column, descending=key["direction"].value == "desc"))
        if column in ("database_id", "reference"):
            return tuple(order)
    if not order:
        return table.default_order
    return (*order, OrderKey("database_id", order[-1].descending))
