"""Compile JSON objects and lists: each is text that is concatenated from the columns of its row.

A relation is a sub-select that refers to the row above it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from storage.reads.connections import ConnectionCompiler
from storage.reads.json_text import (
    Pieces,
    Sql,
    elements,
    members,
    or_null,
    quoted,
    string,
    text_of,
)
from storage.reads.model import TABLES
from storage.reads.plan import (
    Condition,
    Constant,
    Field,
    Fields,
    Many,
    One,
    Page,
    PageOf,
    ReadNodes,
    Scalar,
)
from storage.reads.rows import Compilation, Rows, from_where
from storage.reads.tables import Column, EmbeddedList, Relation, Table


def object_of(compilation: Compilation, fields: Fields, table: Table, alias: str) -> Pieces:
    """Compile a JSON object with ``fields`` of the row ``alias``."""
    return members((field.key, _value(compilation, field, table, alias)) for field in fields)


def _value(compilation: Compilation, field: Field, table: Table, alias: str) -> Pieces:
    """Compile the JSON text of one field of the row ``alias``."""
    match field:
        case Constant(_, text):
            return string(text)
        case Scalar(_, name):
            return _column(compilation, table.columns[name], alias)
        case One(_, name, fields):
            return _related_one(compilation, fields, table.relations[name], alias)
        case Many(_, name) if name in table.embedded:
            return _embedded(compilation, field, table.embedded[name], alias)
        case Many(_, name, fields):
            return _related_many(compilation, fields, table.relations[name], alias)
        case PageOf(_, name, page):
            relation = table.relations[name]
            rows = Rows(TABLES[relation.target], relation, alias)
            return (Sql(connection(compilation, page, rows).object()),)


def _column(compilation: Compilation, column: Column, alias: str) -> Pieces:
    """Compile the JSON text of a column, which is null if the viewer may not see it."""
    return _visible(compilation, column, alias, alias)


def _visible(compilation: Compilation, column: Column, alias: str, source: str) -> Pieces:
    """Compile a column of ``alias``, which is null if the viewer may not see it of ``source``."""
    visible = compilation.visibility(column.visible, source)
    if visible == "false":
        return ("null",)
    profile = compilation.profile if "{profile}" in column.sql else ""
    value = column.render(alias, compilation.value_format, profile)
    if visible is None:
        return value
    return (Sql(f"CASE WHEN {visible} THEN {text_of(value)} ELSE 'null' END"),)


def one(
    compilation: Compilation,
    fields: Fields,
    table: Table,
    condition: Condition,
    before: Sequence[str] = (),
) -> str:
    """Compile the one row of a table that matches the condition, or null.

    Args:
        before: Columns whose plain values precede the JSON.
    """
    alias = compilation.alias()
    prefix = [Sql(table.columns[name].sql.format(t=alias)) for name in before]
    text = text_of((*prefix, *object_of(compilation, fields, table, alias)))
    tail = from_where(compilation, Rows(table), alias, condition=condition)
    return f"(SELECT {text}{tail})"


def connection(compilation: Compilation, page: Page, rows: Rows) -> ConnectionCompiler:
    """Start compiling a page of rows."""

    def node(fields: Fields, alias: str) -> Pieces:
        return object_of(compilation, fields, rows.table, alias)

    return ConnectionCompiler(compilation, page, rows, node)


def nodes(compilation: Compilation, read: ReadNodes) -> str:
    """Compile objects of several types by their IDs: a CASE that runs one branch for each ID."""
    alias = compilation.alias()
    type_names = compilation.parameter(read.type_names)
    row_ids = compilation.parameter(read.ids)
    branches = ""
    for type_name, table_name, fields in read.choices:
        table = TABLES[table_name]
        if compilation.hides(table):
            continue
        row = compilation.alias()
        text = text_of(object_of(compilation, fields, table, row))
        visible = compilation.visibility(table.visible, row)
        where = f" WHERE {row}.id = {alias}.id" + (f" AND {visible}" if visible else "")
        branches += (
            f" WHEN {quoted(type_name)} THEN (SELECT {text} FROM {table.name} AS {row}{where})"
        )
    ids = f"unnest({type_names}, {row_ids}) WITH ORDINALITY AS {alias}(type, id, place)"
    # A CASE needs a branch; no object has a type without a name.
    choice = f"CASE {alias}.type WHEN '' THEN 'null'{branches} END"
    if read.single:
        return f"(SELECT {choice} FROM {ids})"
    rows = f"SELECT coalesce({choice}, 'null') AS o FROM {ids} ORDER BY {alias}.place"
    return text_of(elements(rows, compilation.alias()))


def _related_one(
    compilation: Compilation, fields: Fields, relation: Relation, source: str
) -> Pieces:
    """Compile the row at the other end of a to-one relation, or null."""
    target = TABLES[relation.target]
    if compilation.hides(target):
        return ("null",)
    alias = compilation.alias()
    text = text_of(object_of(compilation, fields, target, alias))
    tail = from_where(compilation, Rows(target, relation, source), alias)
    return or_null(f"(SELECT {text}{tail})")


def _related_many(
    compilation: Compilation, fields: Fields, relation: Relation, source: str
) -> Pieces:
    """Compile all rows at the other end of a to-many relation."""
    target = TABLES[relation.target]
    alias, link = compilation.alias(), compilation.alias()
    text = text_of(object_of(compilation, fields, target, alias))
    tail = from_where(compilation, Rows(target, relation, source), alias, link)
    order = ", ".join(key.format(t=alias, link=link) for key in relation.order)
    return elements(f"SELECT {text} AS o{tail} ORDER BY {order}", compilation.alias())


def _embedded(compilation: Compilation, field: Many, embedded: EmbeddedList, source: str) -> Pieces:
    """Compile a list that the row holds: as stored if it is selected whole, else item by item."""
    fields, given = field.fields, {}
    if embedded.columns is not None:
        return _embedded_rows(compilation, fields, embedded, embedded.columns, source)
    if field.kinds is not None:
        given = {
            "kinds": compilation.parameter(field.kinds),
            "reader": compilation.reader,
            "viewer": compilation.profile,
        }
    value = embedded.sql.format(t=source, **given)
    if fields == tuple(Scalar(name, name) for name in embedded.fields):
        return (Sql(value),)
    item = compilation.alias()
    text = members(
        (f.key, string(f.value))
        if isinstance(f, Constant)
        else (f.key, (Sql(f"{item}.value -> '{f.column}'"),))
        for f in fields
        if isinstance(f, Constant | Scalar)
    )
    items = f"json_array_elements({value}) WITH ORDINALITY AS {item}(value, place)"
    rows = f"SELECT {text_of(text)} AS o FROM {items} ORDER BY {item}.place"
    return elements(rows, compilation.alias())


def _embedded_rows(
    compilation: Compilation,
    fields: Fields,
    embedded: EmbeddedList,
    columns: Mapping[str, Column],
    source: str,
) -> Pieces:
    """Compile a list that the row holds and whose objects have columns."""
    item = compilation.alias()
    text = members(
        (f.key, string(f.value))
        if isinstance(f, Constant)
        else (f.key, _visible(compilation, columns[f.column], item, source))
        for f in fields
        if isinstance(f, Constant | Scalar)
    )
    rows = f"({embedded.sql.format(s=source)}) AS {item}"
    ordered = f"SELECT {text_of(text)} AS o FROM {rows} ORDER BY {item}.{embedded.order}"
    return elements(ordered, compilation.alias())
