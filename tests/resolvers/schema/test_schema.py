"""Test the schema: descriptions, the printed ``schema.graphql``, and ``storage.reads.model``."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from graphql import (
    GraphQLArgument,
    GraphQLEnumType,
    GraphQLField,
    GraphQLInputField,
    GraphQLInputObjectType,
    GraphQLInterfaceType,
    GraphQLNamedType,
    GraphQLObjectType,
    get_named_type,
    is_introspection_type,
    is_non_null_type,
    is_specified_scalar_type,
)
from graphql.type import GraphQLList, get_nullable_type

from resolvers.graphql_adapter import python_name
from resolvers.operations.compile import OperationCompiler
from resolvers.operations.limits import Limits
from resolvers.operations.plan import TABLE_OF_TYPE
from resolvers.schema.build import build_schema
from storage.reads.model import TABLES
from storage.reads.tables import SQL_TYPES, ColumnKind, Table

COMPILER = OperationCompiler(build_schema(), Limits())
SCHEMA = COMPILER.schema
TYPES = [type_ for type_ in SCHEMA.type_map.values() if not is_introspection_type(type_)]
OBJECTS = {name: (SCHEMA.type_map[name], TABLES[table]) for name, table in TABLE_OF_TYPE.items()}
FILTERS = {
    name.removesuffix("Where"): type_
    for name, type_ in SCHEMA.type_map.items()
    if name.endswith("Where")
}
ORDERS = {
    name.removesuffix("OrderField"): type_
    for name, type_ in SCHEMA.type_map.items()
    if name.endswith("OrderField")
}

# Columns of the model that are not fields of the object.
HIDDEN_COLUMNS = {"Viewer": {"database_id"}}


def schema_elements() -> Iterator[tuple[str, object]]:
    """Yield everything that can have a description, with its schema coordinate."""
    for type_ in TYPES:
        if is_specified_scalar_type(type_):
            continue
        yield type_.name, type_
        match type_:
            case GraphQLObjectType() | GraphQLInterfaceType():
                for name, field in type_.fields.items():
                    yield f"{type_.name}.{name}", field
                    for argument, definition in field.args.items():
                        yield f"{type_.name}.{name}({argument}:)", definition
            case GraphQLInputObjectType():
                for name, input_field in type_.fields.items():
                    yield f"{type_.name}.{name}", input_field
            case GraphQLEnumType():
                for name, value in type_.values.items():
                    yield f"{type_.name}.{name}", value


def test_everything_is_described() -> None:
    missing = [
        coordinate
        for coordinate, element in schema_elements()
        if not getattr(element, "description", None)
    ]
    assert missing == []


def test_descriptions_are_sentences() -> None:
    # Strawberry describes its own scalars.
    exempt = ("JSON",)
    assert [
        coordinate
        for coordinate, element in schema_elements()
        if coordinate not in exempt and not str(getattr(element, "description", None)).endswith(".")
    ] == []


def test_the_printed_schema_is_up_to_date() -> None:
    printed = Path(__file__).parents[3] / "schema.graphql"
    assert printed.read_text(encoding="utf-8").strip() == COMPILER.sdl().strip(), (
        "run `make schema`"
    )


# The schema and the model ------------------------------------------------------------------------


@pytest.mark.parametrize("name", OBJECTS)
def test_objects_have_the_fields_of_the_model(name: str) -> None:
    type_, table = OBJECTS[name]
    assert isinstance(type_, GraphQLObjectType)
    fields = {python_name(field): field for field in type_.fields.values()}
    expected = table.columns.keys() | table.relations.keys() | table.embedded.keys()
    assert fields.keys() == expected - HIDDEN_COLUMNS.get(name, set())
    for column_name, field in fields.items():
        target = get_named_type(field.type)
        if column_name in table.columns:
            column = table.columns[column_name]
            hidden = column.nullable or column.visible is not None
            assert is_non_null_type(field.type) is not hidden, column_name
            assert _fits(column.kind, target), column_name
        elif column_name in table.embedded:
            assert isinstance(target, GraphQLObjectType)
            stored = tuple(python_name(part) for part in target.fields.values())
            assert stored == table.embedded[column_name].fields
        else:
            _check_relation(table, column_name, field)


def _fits(kind: ColumnKind, type_: GraphQLNamedType) -> bool:
    """Return whether a column of this kind can have this GraphQL type."""
    match kind:
        case ColumnKind.INTEGER:
            return type_.name == "Int"
        case ColumnKind.BIG_INTEGER:
            return type_.name == "BigInt"
        case ColumnKind.NUMBER:
            return type_.name == "Float"
        case ColumnKind.BOOLEAN:
            return type_.name == "Boolean"
        case ColumnKind.WORD | ColumnKind.WORDS | ColumnKind.STATE:
            return isinstance(type_, GraphQLEnumType)
        case ColumnKind.TIME:
            return type_.name == "DateTime"
        case ColumnKind.JSON:
            return type_.name == "JSON"
        case _:
            return type_.name in ("String", "ID")


def _check_relation(table: Table, name: str, field: GraphQLField) -> None:
    relation = table.relations[name]
    target = get_named_type(field.type)
    assert isinstance(target, GraphQLObjectType)
    if "nodes" in target.fields:
        assert relation.many
        assert field.args.keys() == {"where", "orderBy", "first", "after", "last", "before"}
        target = get_named_type(target.fields["nodes"].type)
    else:
        is_list = isinstance(get_nullable_type(field.type), GraphQLList)
        assert is_list is relation.many
        assert field.args == {}
    assert target.name == TABLES[relation.target].type_name


def test_every_table_has_an_object_type() -> None:
    assert {id(table) for _, table in OBJECTS.values()} == {id(table) for table in TABLES.values()}
    interface = SCHEMA.type_map["Node"]
    assert isinstance(interface, GraphQLInterfaceType)
    nodes = {type_.name for type_ in SCHEMA.get_possible_types(interface)}
    assert nodes == OBJECTS.keys() - {"Viewer"}


@pytest.mark.parametrize("name", FILTERS)
def test_filters_have_columns_and_relations_of_the_model(name: str) -> None:
    table = OBJECTS[name][1]
    filter_ = FILTERS[name]
    assert isinstance(filter_, GraphQLInputObjectType)
    for key, field in filter_.fields.items():
        field_type = get_named_type(field.type)
        if key in ("and", "or", "not"):
            assert field_type is filter_
        elif isinstance(field_type, GraphQLInputObjectType) and field_type.name in (
            f"{other}Where" for other in FILTERS
        ):
            relation = table.relations[_snake(key)]
            assert field_type.name == f"{TABLES[relation.target].type_name}Where"
            # Otherwise callers could infer values that only admins may see.
            assert not TABLES[relation.target].admin_only
        else:
            column = table.columns[_snake(key)]
            # Columns that some viewers cannot see are not filterable. All filterable columns have a
            # type that PostgreSQL can compare.
            assert column.visible is None
            assert column.kind in SQL_TYPES
            assert is_non_null_type(field.type) is False


@pytest.mark.parametrize("name", ORDERS)
def test_sort_orders_use_columns_that_cursors_can_encode(name: str) -> None:
    table = OBJECTS[name][1]
    order = ORDERS[name]
    assert isinstance(order, GraphQLEnumType)
    for value in order.values.values():
        column = table.columns[value.value]
        assert column.kind in (ColumnKind.INTEGER, ColumnKind.TEXT, ColumnKind.TIME)
        assert not column.nullable or column.kind is ColumnKind.TIME
        assert column.visible is None


def test_every_filter_and_sort_order_is_used() -> None:
    used = {
        get_named_type(argument.type).name
        for type_ in TYPES
        if isinstance(type_, GraphQLObjectType)
        for field in type_.fields.values()
        for argument in field.args.values()
    }
    inner = {
        get_named_type(field.type).name
        for type_ in TYPES
        if isinstance(type_, GraphQLInputObjectType)
        for field in type_.fields.values()
    }
    assert {f"{name}Where" for name in FILTERS} <= used | inner
    assert {f"{name}OrderField" for name in ORDERS} <= inner


def test_only_node_and_nodes_have_required_arguments() -> None:
    query = SCHEMA.query_type
    assert query is not None
    for name, field in query.fields.items():
        arguments: dict[str, GraphQLArgument | GraphQLInputField] = dict(field.args)
        required = {key for key, value in arguments.items() if is_non_null_type(value.type)}
        assert required == {"node": {"id"}, "nodes": {"ids"}}.get(name, set())


def test_every_field_of_a_query_can_be_subscribed() -> None:
    query, subscription = SCHEMA.query_type, SCHEMA.subscription_type
    assert query is not None
    assert subscription is not None
    assert list(subscription.fields) == list(query.fields)
    for name, field in query.fields.items():
        live = subscription.fields[name]
        assert str(live.type) == str(field.type)
        assert {key: str(argument.type) for key, argument in live.args.items()} == {
            key: str(argument.type) for key, argument in field.args.items()
        }


def _snake(name: str) -> str:
    return "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in name)
