"""In charge of turning a plan into one SQL statement that answers with finished JSON.

The statement has one row and one column. An object is ``row_to_json`` of a sub-select whose column
names are the answer's keys, a list is ``json_agg`` of such rows; each relation is a sub-select that
refers to the row above it. A page is cut out by keyset comparison, never by OFFSET.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from storage.model import TABLES, Column, EmbeddedList, Relation, Table
from storage.plan import (
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
    PageInfo,
    PageNodes,
    PageOf,
    PagePart,
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
    TotalCount,
    Visibility,
)

_MAX_IDENTIFIER_BYTES = 63
"""PostgreSQL cuts longer names off (NAMEDATALEN - 1)."""
_MAX_COLUMNS = 1600
"""PostgreSQL takes at most 1,664 entries in a select list."""

_OPERATORS = {
    Comparison.EQUAL: "=",
    Comparison.LESS: "<",
    Comparison.LESS_OR_EQUAL: "<=",
    Comparison.GREATER: ">",
    Comparison.GREATER_OR_EQUAL: ">=",
    Comparison.STARTS_WITH: "^@",
}


@dataclass(frozen=True, slots=True)
class Statement:
    """One SQL statement and the values that each run of it brings."""

    sql: str
    slots: tuple[Slot, ...]

    def arguments(self, values: RunValues) -> list[object]:
        """The statement's parameters for one run; raises ``GatewayError`` where one is not valid."""
        return [slot.read(values) for slot in self.slots]


def compile_read(
    read: Read,
    scope: Scope,
    rendering: Rendering = Rendering.GRAPHQL,
    *,
    unwrap: bool = False,
) -> Statement:
    """The statement that answers ``read`` for viewers of this scope.

    With ``unwrap``, an object with a single field that ``read`` answers with gives way to that
    field's value: ``{"nodes": […]}`` becomes ``[…]``. Legacy routes use it.
    """
    compiler = _Compiler(scope, rendering)
    match read:
        case ReadPage(table, page):
            sql = compiler.page(page, _Rows(TABLES[table]), unwrap=unwrap)
        case ReadOne(table, fields, condition):
            sql = compiler.one(fields, TABLES[table], condition)
        case ReadNodes():
            sql = compiler.nodes(read)
    return Statement(f"SELECT {sql}", tuple(compiler.slots))


@dataclass(frozen=True, slots=True)
class _Rows:
    """Which rows of a table a sub-select is about."""

    table: Table
    relation: Relation | None = None
    """The relation that leads to them, where one does."""
    source: str = ""
    """The alias of the row that the relation starts from."""


def _name(key: str) -> str:
    """A key as an SQL name; GraphQL's names hold nothing that would have to be escaped."""
    return f'"{key}"'


def _text(value: str) -> str:
    """A text as an SQL literal."""
    return "'" + value.replace("'", "''") + "'"


class _Compiler:
    """The state of one compilation: aliases given out, slots collected."""

    def __init__(self, scope: Scope, rendering: Rendering) -> None:
        self.scope = scope
        self.rendering = rendering
        self.slots: list[Slot] = []
        self._profile_slot: str | None = None
        self._aliases = 0

    # Names and values --------------------------------------------------------------------------

    def alias(self) -> str:
        self._aliases += 1
        return f"t{self._aliases}"

    def slot(self, slot: Slot) -> str:
        self.slots.append(slot)
        return f"${len(self.slots)}::{slot.sql_type}"

    def profile(self) -> str:
        if self._profile_slot is None:
            self._profile_slot = self.slot(Slot(lambda values: values.profile_id, "integer"))
        return self._profile_slot

    # Objects and lists -------------------------------------------------------------------------

    def json_object(self, entries: Sequence[tuple[str, str]], rest: str) -> str:
        """A sub-select of one JSON object, of these keys and SQL values, from ``rest``."""
        if _fit_for_names(entries):
            alias = self.alias()
            return (
                f"(SELECT row_to_json({alias}) FROM (SELECT {_select_list(entries)}{rest}) {alias})"
            )
        return f"(SELECT {_concatenated(entries)}{rest})"

    def json_list(self, entries: Sequence[tuple[str, str]], rest: str) -> str:
        """A sub-select of a JSON array of such objects, one for each row of ``rest``."""
        alias = self.alias()
        if _fit_for_names(entries):
            rows, element = _select_list(entries), alias
        else:
            rows, element = f"{_concatenated(entries)} AS o", f"{alias}.o"
        return f"(SELECT coalesce(json_agg({element}), '[]') FROM (SELECT {rows}{rest}) {alias})"

    def entries(self, fields: Fields, table: Table, alias: str) -> list[tuple[str, str]]:
        """The keys and SQL values of an object that shows ``fields`` of the row ``alias``."""
        return [(field.key, self.value(field, table, alias)) for field in fields]

    def value(self, field: Field, table: Table, alias: str) -> str:
        """The SQL value of one field of the row ``alias``."""
        match field:
            case Constant(_, text):
                return _text(text) + "::text"
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
                return self.page(page, _Rows(TABLES[target.target], target, alias))

    def column(self, column: Column, alias: str) -> str:
        """The SQL value of a column, null where the viewer may not see it."""
        value = column.render(alias, self.rendering)
        predicate = self.seen(column.visible, alias)
        return f"CASE WHEN {predicate} THEN {value} END" if predicate else value

    def one(self, fields: Fields, table: Table, condition: Condition) -> str:
        alias = self.alias()
        entries = self.entries(fields, table, alias)
        where = self.where(_Rows(table), alias, condition)
        return self.json_object(entries, f" FROM {table.name} AS {alias}{where}")

    def related_one(self, fields: Fields, relation: Relation, source: str) -> str:
        target = TABLES[relation.target]
        if target.admin_only and not self.scope.sources:
            return "NULL::json"
        alias = self.alias()
        entries = self.entries(fields, target, alias)
        rows = _Rows(target, relation, source)
        return self.json_object(entries, self.rest(rows, alias))

    def related_many(self, fields: Fields, relation: Relation, source: str) -> str:
        target = TABLES[relation.target]
        alias, link = self.alias(), self.alias()
        entries = self.entries(fields, target, alias)
        rest = self.rest(_Rows(target, relation, source), alias, link)
        order = ", ".join(key.format(t=alias, link=link) for key in relation.order)
        return self.json_list(entries, f"{rest} ORDER BY {order}")

    def embedded(self, fields: Fields, stored: EmbeddedList, source: str) -> str:
        """A list that the row holds: as it is where it is wanted whole, else taken apart."""
        value = stored.sql.format(t=source)
        if tuple((f.key, f.column) for f in fields if isinstance(f, Scalar)) == tuple(
            (name, name) for name in stored.fields
        ) and len(fields) == len(stored.fields):
            return value
        element = self.alias()
        entries = [
            (f.key, _text(f.value) + "::text")
            if isinstance(f, Constant)
            else (f.key, f"{element}.value -> '{f.column}'")
            for f in fields
            if isinstance(f, Constant | Scalar)
        ]
        return self.json_list(
            entries,
            f" FROM json_array_elements({value}) WITH ORDINALITY AS {element}(value, place)"
            f" ORDER BY {element}.place",
        )

    def nodes(self, read: ReadNodes) -> str:
        """Objects of several types by their ids: a CASE that runs one branch for each id."""
        alias = self.alias()
        names, ids = self.slot(read.type_names), self.slot(read.ids)
        branches = ""
        for type_name, table_name, fields in read.choices:
            table = TABLES[table_name]
            if table.admin_only and not self.scope.sources:
                continue
            row = self.alias()
            entries = self.entries(fields, table, row)
            visible = self.seen(table.visible, row)
            where = f" WHERE {row}.id = {alias}.id" + (f" AND {visible}" if visible else "")
            found = self.json_object(entries, f" FROM {table.name} AS {row}{where}")
            branches += f" WHEN {_text(type_name)} THEN {found}"
        choice = f"CASE {alias}.type{branches} END" if branches else "NULL::json"
        given = f"unnest({names}, {ids}) WITH ORDINALITY AS {alias}(type, id, place)"
        if read.single:
            return f"(SELECT {choice} FROM {given})"
        return f"(SELECT coalesce(json_agg({choice} ORDER BY {alias}.place), '[]') FROM {given})"

    # Which rows --------------------------------------------------------------------------------

    def rest(
        self,
        rows: _Rows,
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
        rows: _Rows,
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
                rows = _Rows(TABLES[target.target], target, alias)
                return f"EXISTS (SELECT{self.rest(rows, self.alias(), condition=part)})"
            case Compare(name, comparison, slot):
                return self.compare(table.columns[name], alias, comparison, slot)

    def compare(self, column: Column, alias: str, comparison: Comparison, slot: Slot) -> str:
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

    def page(self, page: Page, rows: _Rows, *, unwrap: bool = False) -> str:
        """A connection: one keyset range of ``rows``, shown as its parts ask for."""
        return _PageCompiler(self, page, rows).compile(unwrap=unwrap)


class _PageCompiler:
    """A connection being compiled.

    Where one part shows rows and nothing asks what lies beyond them, the range is read straight
    into that part. Otherwise the range, and one row more, is read once into a CTE for all parts.
    """

    def __init__(self, compiler: _Compiler, page: Page, rows: _Rows) -> None:
        self.compiler = compiler
        self.page = page
        self.rows = rows
        self.table = rows.table
        self.columns = [self.table.columns[key.column] for key in page.order]
        self.limit = compiler.slot(page.limit) if page.limit is not None else None
        self.after = [compiler.slot(slot) for slot in page.after or ()]
        self.before = [compiler.slot(slot) for slot in page.before or ()]
        self.cte = ""

    def compile(self, *, unwrap: bool) -> str:
        showing = [p for p in self.page.parts if isinstance(p, PageNodes | PageEdges)]
        peeking = any(isinstance(p, PageInfo) for p in self.page.parts)
        prefix = ""
        if peeking or len(showing) > 1:
            self.cte = self.compiler.alias()
            prefix = f"WITH {self.cte} AS MATERIALIZED ({self.range('{t}.*', more=1)}) "
        entries = [(part.key, self.part(part)) for part in self.page.parts]
        if unwrap and len(entries) == 1:
            return f"({prefix}SELECT {entries[0][1]})"
        if _fit_for_names(entries):
            alias = self.compiler.alias()
            return f"({prefix}SELECT row_to_json({alias}) FROM (SELECT {_select_list(entries)}) {alias})"
        return f"({prefix}SELECT {_concatenated(entries)})"

    def part(self, part: PagePart) -> str:
        match part:
            case Constant(_, text):
                return _text(text) + "::text"
            case PageNodes(_, fields):
                return self.list_of(lambda alias: self.compiler.entries(fields, self.table, alias))
            case PageEdges():
                return self.list_of(lambda alias: self.edge(part, alias))
            case PageInfo():
                return self.compiler.json_object(
                    [
                        (f.key, _text(f.value) + "::text")
                        if isinstance(f, Constant)
                        else (f.key, self.fact(f.fact))
                        for f in part.fields
                    ],
                    "",
                )
            case TotalCount():
                alias = self.compiler.alias()
                rest = self.compiler.rest(self.rows, alias, condition=self.page.condition)
                return f"(SELECT count(*){rest})"

    def edge(self, part: PageEdges, alias: str) -> list[tuple[str, str]]:
        entries = []
        for field in part.fields:
            match field:
                case Constant(key, text):
                    entries.append((key, _text(text) + "::text"))
                case EdgeCursor(key):
                    entries.append((key, self.cursor(alias)))
                case EdgeNode(key, fields):
                    shown = self.compiler.entries(fields, self.table, alias)
                    entries.append((key, self.compiler.json_object(shown, "")))
        return entries

    def fact(self, fact: PageFact) -> str:
        """One field of ``pageInfo``: exact in both directions, at most one row read beyond."""
        match fact:
            case PageFact.HAS_NEXT:
                return self.beyond(ahead=True)
            case PageFact.HAS_PREVIOUS:
                return self.beyond(ahead=False)
            case PageFact.START_CURSOR | PageFact.END_CURSOR:
                alias = self.compiler.alias()
                order = self.order(alias, reverse=fact is PageFact.END_CURSOR)
                return f"(SELECT {self.cursor(alias)} FROM {self.shown(alias)} ORDER BY {order} LIMIT 1)"

    def beyond(self, *, ahead: bool) -> str:
        """Whether there are rows past the page's end (``ahead``) or before its start."""
        proofs = []
        if ahead is not self.page.backward and self.limit is not None:
            proofs.append(f"(SELECT count(*) FROM {self.cte}) > {self.limit}")
        bound = self.before if ahead else self.after
        if bound:
            alias, link = self.compiler.alias(), self.compiler.alias()
            past = self.keyset(alias, bound, after=ahead, inclusive=True)
            rest = self.compiler.rest(self.rows, alias, link, self.page.condition, [past])
            proofs.append(f"EXISTS (SELECT{rest})")
        return f"({' OR '.join(proofs)})" if proofs else "false"

    def list_of(self, entries: Callable[[str], list[tuple[str, str]]]) -> str:
        """The rows of the page as a JSON array; ``entries`` says what of a row, given its alias."""
        alias = self.compiler.alias()
        if self.cte or self.page.backward:
            rest = f" FROM {self.shown(alias)} ORDER BY {self.order(alias)}"
        else:
            rest = self.range_from(alias, more=0)
        return self.compiler.json_list(entries(alias), rest)

    def shown(self, alias: str) -> str:
        """The rows of the page as a FROM item, in no particular order."""
        if not self.cte:
            return f"({self.range('{t}.*', more=0)}) AS {alias}"
        if self.limit is None:
            return f"{self.cte} AS {alias}"
        inner = self.compiler.alias()
        order = self.order(inner, reverse=self.page.backward)
        return (
            f"(SELECT * FROM {self.cte} AS {inner} ORDER BY {order} LIMIT {self.limit}) AS {alias}"
        )

    def range(self, selected: str, *, more: int) -> str:
        """A SELECT of the page's rows and up to ``more`` rows beyond, from the end it counts from."""
        alias = self.compiler.alias()
        return f"SELECT {selected.format(t=alias)}{self.range_from(alias, more=more)}"

    def range_from(self, alias: str, *, more: int) -> str:
        link = self.compiler.alias()
        keysets = [
            self.keyset(alias, bound, after=after)
            for bound, after in ((self.after, True), (self.before, False))
            if bound
        ]
        rest = self.compiler.rest(self.rows, alias, link, self.page.condition, keysets)
        rest += f" ORDER BY {self.order(alias, reverse=self.page.backward)}"
        if self.limit is not None:
            rest += f" LIMIT {self.limit}" + (f" + {more}" if more else "")
        return rest

    def order(self, alias: str, *, reverse: bool = False) -> str:
        return ", ".join(
            column.sql.format(t=alias) + (" DESC" if key.descending is not reverse else "")
            for key, column in zip(self.page.order, self.columns, strict=True)
        )

    def keyset(
        self, alias: str, bound: Sequence[str], *, after: bool, inclusive: bool = False
    ) -> str:
        """That the row comes after (or before) the one with these values in the page's order."""
        columns = [column.sql.format(t=alias) for column in self.columns]
        ascending = [key.descending is not after for key in self.page.order]
        if len(set(ascending)) == 1:
            # One row comparison is one range of an index.
            operator = (">" if ascending[0] else "<") + ("=" if inclusive else "")
            return f"({', '.join(columns)}) {operator} ({', '.join(bound)})"
        cases = []
        for place in range(len(columns)):
            equal = [f"{c} = {b}" for c, b in zip(columns[:place], bound[:place], strict=True)]
            operator = ">" if ascending[place] else "<"
            if inclusive and place == len(columns) - 1:
                operator += "="
            cases.append(" AND ".join([*equal, f"{columns[place]} {operator} {bound[place]}"]))
        return f"({' OR '.join(cases)})"

    def cursor(self, alias: str) -> str:
        """The row's place in the order: base64 of a JSON array (``resolvers.ids`` reads it)."""
        values = ", ".join(column.sql.format(t=alias) for column in self.columns)
        array = f"json_build_array({_text(describe_order(self.page.order))}, {values})::text"
        return f"translate(encode(convert_to({array}, 'UTF8'), 'base64'), E'\\n', '')"


def describe_order(order: Sequence[OrderKey]) -> str:
    """The order in a word, such as ``name,-database_id``; cursors carry it, so that one that was
    made for another order is noticed.
    """
    return ",".join(("-" if key.descending else "") + key.column for key in order)


def _fit_for_names(entries: Sequence[tuple[str, str]]) -> bool:
    """Whether PostgreSQL can take these keys as column names, whole and all."""
    return len(entries) <= _MAX_COLUMNS and all(
        len(key) <= _MAX_IDENTIFIER_BYTES for key, _ in entries
    )


def _select_list(entries: Sequence[tuple[str, str]]) -> str:
    return ", ".join(f"{sql} AS {_name(key)}" for key, sql in entries)


def _concatenated(entries: Sequence[tuple[str, str]]) -> str:
    """The object written out as text: any number of keys of any length, at a higher cost."""
    members = " || ',' || ".join(
        f"{_text(json.dumps(key) + ':')} || coalesce(to_json({sql})::text, 'null')"
        for key, sql in entries
    )
    return f"('{{' || {members} || '}}')::json"
