"""In charge of turning a plan into one SQL statement that answers with finished JSON.

The statement has one row and one column, the answer as UTF-8 bytes; a whole table has a row for
each element. An object is text put together from the row's values (``storage.json_text``), a list
is such texts aggregated; each relation is a sub-select that refers to the row above it.
``storage.pages`` does the same for connections.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from storage.reads.connections import PageCompiler
from storage.reads.json_text import Pieces, Sql, elements, members, or_null, quoted, string, text_of
from storage.reads.model import TABLES, Column, EmbeddedList, Relation, Table
from storage.reads.plan import (
    AllOf,
    AnyOf,
    Compare,
    Comparison,
    Condition,
    Constant,
    Field,
    Fields,
    Many,
    Not,
    One,
    Page,
    PageOf,
    Read,
    ReadNodes,
    ReadOne,
    ReadPage,
    Related,
    Rendering,
    RunValues,
    Scalar,
    Scope,
    Slot,
    Visibility,
)

_OPERATORS = {
    Comparison.EQUAL: "=",
    Comparison.LESS: "<",
    Comparison.LESS_OR_EQUAL: "<=",
    Comparison.GREATER: ">",
    Comparison.GREATER_OR_EQUAL: ">=",
}


@dataclass(frozen=True, slots=True)
class Statement:
    """One SQL statement and the values that each run of it brings."""

    sql: str
    slots: tuple[Slot, ...]
    judged: tuple[Slot, ...] = ()
    """Values that the SQL has no use for, such as the size of a page of which only the total count
    is wanted. They have to be valid all the same."""
    listed: bool = False
    """Whether the answer is a list, and each of its elements comes as a row of its own."""

    def arguments(self, values: RunValues) -> list[object]:
        """The parameters for one run; raises ``GatewayError`` where one is not valid."""
        for slot in self.judged:
            slot.read(values)
        return [slot.read(values) for slot in self.slots]


def compile_read(
    read: Read,
    scope: Scope,
    rendering: Rendering = Rendering.GRAPHQL,
    *,
    listed: bool = False,
) -> Statement:
    """The statement that answers ``read`` for viewers of this scope.

    With ``listed``, a page that shows nothing but its nodes is answered with those alone, a row for
    each. Whole tables are read so: putting megabytes together costs PostgreSQL more than sending
    them as they come.
    """
    compiler = Compiler(scope, rendering)
    match read:
        case ReadPage(table, page):
            rows = Rows(TABLES[table])
            if listed:
                nodes = PageCompiler(compiler, page, rows).nodes()
                sql = f"SELECT convert_to(o, 'UTF8') FROM ({nodes}) AS {compiler.alias()}"
                return Statement(sql, tuple(compiler.slots), tuple(compiler.judged), listed=True)
            sql = compiler.page(page, rows)
        case ReadOne(table, fields, condition):
            sql = compiler.one(fields, TABLES[table], condition)
        case ReadNodes():
            sql = compiler.nodes(read)
    # As bytes: asyncpg would decode a text, only for it to be encoded again.
    return Statement(
        f"SELECT convert_to({sql}, 'UTF8')", tuple(compiler.slots), tuple(compiler.judged)
    )


@dataclass(frozen=True, slots=True)
class Rows:
    """Which rows of a table a sub-select is about."""

    table: Table
    relation: Relation | None = None
    """The relation that leads to them, where one does."""
    source: str = ""
    """The alias of the row that the relation starts from."""


class Compiler:
    """The state of one compilation: aliases given out, slots collected."""

    def __init__(self, scope: Scope, rendering: Rendering) -> None:
        self.scope = scope
        self.rendering = rendering
        self.slots: list[Slot] = []
        self.judged: list[Slot] = []
        self._profile_slot: str | None = None
        self._aliases = 0

    # Names and values --------------------------------------------------------------------------

    def alias(self) -> str:
        """An alias that nothing else in the statement has."""
        self._aliases += 1
        return f"t{self._aliases}"

    def slot(self, slot: Slot) -> str:
        """A parameter that each run fills with the slot's value."""
        self.slots.append(slot)
        return f"${len(self.slots)}::{slot.sql_type}"

    def aside(self) -> Compiler:
        """A compiler for SQL that will not be run: the values in it are judged, no more."""
        aside = Compiler(self.scope, self.rendering)
        aside.slots = aside.judged = self.judged
        return aside

    def profile(self) -> str:
        """The parameter with the viewer's profile."""
        if self._profile_slot is None:
            self._profile_slot = self.slot(Slot(lambda values: values.profile_id, "integer"))
        return self._profile_slot

    # Objects and lists -------------------------------------------------------------------------

    def object(self, fields: Fields, table: Table, alias: str) -> Pieces:
        """A JSON object that shows ``fields`` of the row ``alias``."""
        return members((field.key, self.value(field, table, alias)) for field in fields)

    def value(self, field: Field, table: Table, alias: str) -> Pieces:
        """The JSON text of one field of the row ``alias``."""
        match field:
            case Constant(_, text):
                return string(text)
            case Scalar(_, column):
                return self.column(table.columns[column], alias)
            case One(_, relation, fields):
                return self.related_one(fields, table.relations[relation], alias)
            case Many(_, relation, fields) if relation in table.embedded:
                return self.embedded(fields, table.embedded[relation], alias)
            case Many(_, relation, fields):
                return self.related_many(fields, table.relations[relation], alias)
            case PageOf(_, relation, page):
                target = table.relations[relation]
                rows = Rows(TABLES[target.target], target, alias)
                return (Sql(self.page(page, rows)),)

    def column(self, column: Column, alias: str) -> Pieces:
        """The JSON text of a column, null where the viewer may not see it."""
        value = column.render(alias, self.rendering)
        predicate = self.seen(column.visible, alias)
        if predicate is None:
            return value
        return (Sql(f"CASE WHEN {predicate} THEN {text_of(value)} ELSE 'null' END"),)

    def one(self, fields: Fields, table: Table, condition: Condition) -> str:
        """The one row of a table that meets the condition, or null."""
        alias = self.alias()
        shown = text_of(self.object(fields, table, alias))
        return f"(SELECT {shown}{self.rest(Rows(table), alias, condition=condition)})"

    def related_one(self, fields: Fields, relation: Relation, source: str) -> Pieces:
        """The row at the other end of a to-one relation, or null."""
        target = TABLES[relation.target]
        if target.admin_only and not self.scope.sources:
            self.aside().object(fields, target, source)
            return ("null",)
        alias = self.alias()
        shown = text_of(self.object(fields, target, alias))
        return or_null(f"(SELECT {shown}{self.rest(Rows(target, relation, source), alias)})")

    def related_many(self, fields: Fields, relation: Relation, source: str) -> Pieces:
        """All rows at the other end of a to-many relation."""
        target = TABLES[relation.target]
        alias, link = self.alias(), self.alias()
        shown = text_of(self.object(fields, target, alias))
        rest = self.rest(Rows(target, relation, source), alias, link)
        order = ", ".join(key.format(t=alias, link=link) for key in relation.order)
        return elements(f"SELECT {shown} AS o{rest} ORDER BY {order}", self.alias())

    def embedded(self, fields: Fields, stored: EmbeddedList, source: str) -> Pieces:
        """A list that the row holds: as it is where it is wanted whole, else taken apart."""
        value = stored.sql.format(t=source)
        if fields == tuple(Scalar(name, name) for name in stored.fields):
            return (Sql(value),)
        element = self.alias()
        shown = members(
            (f.key, string(f.value))
            if isinstance(f, Constant)
            else (f.key, (Sql(f"{element}.value -> '{f.column}'"),))
            for f in fields
            if isinstance(f, Constant | Scalar)
        )
        each = f"json_array_elements({value}) WITH ORDINALITY AS {element}(value, place)"
        rows = f"SELECT {text_of(shown)} AS o FROM {each} ORDER BY {element}.place"
        return elements(rows, self.alias())

    def nodes(self, read: ReadNodes) -> str:
        """Objects of several types by their ids: a CASE that runs one branch for each id."""
        alias = self.alias()
        names, ids = self.slot(read.type_names), self.slot(read.ids)
        branches = ""
        for type_name, table_name, fields in read.choices:
            table = TABLES[table_name]
            row = self.alias()
            if table.admin_only and not self.scope.sources:
                self.aside().object(fields, table, row)
                continue
            shown = text_of(self.object(fields, table, row))
            visible = self.seen(table.visible, row)
            where = f" WHERE {row}.id = {alias}.id" + (f" AND {visible}" if visible else "")
            found = f"(SELECT {shown} FROM {table.name} AS {row}{where})"
            branches += f" WHEN {quoted(type_name)} THEN {found}"
        given = f"unnest({names}, {ids}) WITH ORDINALITY AS {alias}(type, id, place)"
        # A CASE needs a branch; no object has a type without a name.
        choice = f"CASE {alias}.type WHEN '' THEN 'null'{branches} END"
        if read.single:
            return f"(SELECT {choice} FROM {given})"
        rows = f"SELECT coalesce({choice}, 'null') AS o FROM {given} ORDER BY {alias}.place"
        return text_of(elements(rows, self.alias()))

    # Which rows --------------------------------------------------------------------------------

    def rest(
        self,
        rows: Rows,
        alias: str,
        link: str = "",
        condition: Condition | None = None,
        keysets: Sequence[str] = (),
    ) -> str:
        """FROM and WHERE of a sub-select over ``rows``."""
        source = f" FROM {rows.table.name} AS {alias}"
        if rows.relation is not None and rows.relation.link is not None:
            link = link or self.alias()
            joined = rows.relation.link.format(t=alias, s=rows.source, link=link)
            source += f" JOIN {joined}"
        return source + self.where(rows, alias, condition or AllOf(), link, keysets)

    def where(
        self,
        rows: Rows,
        alias: str,
        condition: Condition,
        link: str = "",
        keysets: Sequence[str] = (),
    ) -> str:
        """What holds of ``rows``: the relation, that the viewer may see them, the condition."""
        table, relation = rows.table, rows.relation
        predicates: list[str] = []
        if relation is not None:
            predicates.append(relation.joins.format(t=alias, s=rows.source, link=link))
        if relation is None or not relation.owned:
            visible = self.seen(table.visible, alias)
            if visible:
                predicates.append(visible)
        if table.admin_only and not self.scope.sources:
            predicates.append("false")
        if condition != AllOf():
            predicates.append(self.condition(condition, table, alias))
        predicates += keysets
        predicates = [predicate for predicate in predicates if predicate != "true"]
        return f" WHERE {' AND '.join(predicates)}" if predicates else ""

    def seen(self, predicate: str | None, alias: str) -> str | None:
        """A predicate of visibility for this scope; None where everything is visible."""
        if predicate is None or self.scope.processes is Visibility.ALL:
            return None
        if self.scope.processes is Visibility.NONE:
            return "false"
        return predicate.format(t=alias, profile=self.profile())

    def condition(self, condition: Condition, table: Table, alias: str) -> str:
        """A condition on the row ``alias`` as an SQL predicate; never null."""
        match condition:
            case AllOf(conditions):
                parts = [self.condition(part, table, alias) for part in conditions]
                return f"({' AND '.join(parts)})" if parts else "true"
            case AnyOf(conditions):
                parts = [self.condition(part, table, alias) for part in conditions]
                return f"({' OR '.join(parts)})" if parts else "false"
            case Not(part):
                return f"NOT {self.condition(part, table, alias)}"
            case Related(relation, part):
                target = table.relations[relation]
                rows = Rows(TABLES[target.target], target.tested or target, alias)
                return f"EXISTS (SELECT{self.rest(rows, self.alias(), condition=part)})"
            case Compare(name, comparison, slot):
                return self.compare(table.columns[name], alias, comparison, slot)

    def compare(self, column: Column, alias: str, comparison: Comparison, slot: Slot) -> str:
        """A column compared with a slot; never null."""
        value = "name" if column.compared_within else column.sql.format(t=alias)
        given = self.slot(slot)
        match comparison:
            case Comparison.IN:
                predicate = f"{value} = ANY ({given})"
            case Comparison.CONTAINS:
                # strpos, unlike LIKE, has no characters that mean something else.
                predicate = f"strpos({value}, {given}) > 0"
            case _:
                predicate = f"{value} {_OPERATORS[comparison]} {given}"
        if column.compared_within:
            return column.compared_within.format(t=alias, comparison=predicate)
        # A null value meets no comparison, and meets the NOT of it.
        return f"coalesce({predicate}, false)" if column.nullable else f"({predicate})"

    # Pages -------------------------------------------------------------------------------------

    def page(self, page: Page, rows: Rows) -> str:
        """A connection: one keyset range of ``rows``, shown as its parts ask for."""
        return PageCompiler(self, page, rows).compile()
