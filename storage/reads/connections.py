"""Compile connections: keyset ranges of rows, and what ``pageInfo`` reports about them.

A page is a range of an index that starts at a cursor's keys, never an OFFSET.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

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
from storage.reads.plan import (
    Constant,
    EdgeCursor,
    EdgeNode,
    Fields,
    Page,
    PageEdges,
    PageFact,
    PageInfo,
    PageNodes,
    PagePart,
    Slot,
    TotalCount,
    describe_order,
)
from storage.reads.rows import Compilation, Rows, from_where


class ConnectionCompiler:
    """A connection that is being compiled.

    If one part shows rows and no part asks what lies beyond them, the range is read directly into
    that part. Otherwise the range and one more row are read once into a CTE that all parts share.

    Args:
        page: The range of rows, and the parts of the connection that are selected.
        rows: The rows that the range is taken from.
        node: Compiles the JSON object of a row, given its fields and its alias.
    """

    def __init__(
        self,
        compilation: Compilation,
        page: Page,
        rows: Rows,
        node: Callable[[Fields, str], Pieces],
    ) -> None:
        self._compilation = compilation
        self._page = page
        self._rows = rows
        self._node = node
        self._columns = [rows.table.columns[key.column] for key in page.order]
        self._cte = ""
        self._limit: str | None = None
        self._after: list[str] = []
        self._before: list[str] = []
        # Where only the total count is selected, the page's size and position mean nothing.
        if not all(isinstance(part, Constant | TotalCount) for part in page.parts):
            if page.limit is not None:
                self._limit = compilation.parameter(page.limit)
            self._after = self._bound(page.after)
            self._before = self._bound(page.before)

    def _bound(self, slots: Sequence[Slot] | None) -> list[str]:
        """Add parameters for the keys of a cursor; return them as SQL expressions."""
        return [
            column.bound(self._compilation.parameter(slot))
            for column, slot in zip(self._columns, slots or (), strict=False)
        ]

    def object(self) -> str:
        """Compile the connection to one SQL expression: its JSON text."""
        lists = [part for part in self._page.parts if isinstance(part, PageNodes | PageEdges)]
        has_page_info = any(isinstance(part, PageInfo) for part in self._page.parts)
        prefix = ""
        if has_page_info or len(lists) > 1:
            self._cte = self._compilation.alias()
            prefix = f"WITH {self._cte} AS MATERIALIZED ({self._range('{t}.*', more=1)}) "
        text = text_of(members((part.key, self._part(part)) for part in self._page.parts))
        return f"({prefix}SELECT {text})"

    def node_rows(self) -> str:
        """Compile a SELECT of the nodes as JSON text ``o``; the page selects nothing else."""
        (part,) = self._page.parts
        assert isinstance(part, PageNodes)
        return self._select(lambda alias: self._node(part.fields, alias))

    def _part(self, part: PagePart) -> Pieces:
        """Compile one field of the connection."""
        match part:
            case Constant(_, text):
                return string(text)
            case PageNodes(_, fields):
                return self._list_of(lambda alias: self._node(fields, alias))
            case PageEdges():
                return self._list_of(lambda alias: self._edge(part, alias))
            case PageInfo(_, facts):
                return members(
                    (f.key, string(f.value) if isinstance(f, Constant) else self._fact(f.fact))
                    for f in facts
                )
            case TotalCount():
                alias = self._compilation.alias()
                tail = from_where(
                    self._compilation, self._rows, alias, condition=self._page.condition
                )
                return (Sql(f"(SELECT count(*){tail})"),)

    def _edge(self, part: PageEdges, alias: str) -> Pieces:
        """Compile the edge of the row ``alias``."""
        entries: list[tuple[str, Pieces]] = []
        for field in part.fields:
            match field:
                case Constant(key, text):
                    entries.append((key, string(text)))
                case EdgeCursor(key):
                    entries.append((key, ('"', Sql(self._cursor(alias)), '"')))
                case EdgeNode(key, fields):
                    entries.append((key, self._node(fields, alias)))
        return members(entries)

    def _fact(self, fact: PageFact) -> Pieces:
        """Compile a field of ``pageInfo``, which reads at most one row beyond the page."""
        match fact:
            case PageFact.HAS_NEXT:
                return (Sql(f"({self._beyond(ahead=True)})::text"),)
            case PageFact.HAS_PREVIOUS:
                return (Sql(f"({self._beyond(ahead=False)})::text"),)
            case PageFact.START_CURSOR | PageFact.END_CURSOR:
                alias = self._compilation.alias()
                order = self._order(alias, reverse=fact is PageFact.END_CURSOR)
                cursor = text_of(('"', Sql(self._cursor(alias)), '"'))
                return or_null(
                    f"(SELECT {cursor} FROM {self._page_rows(alias)} ORDER BY {order} LIMIT 1)"
                )

    def _beyond(self, *, ahead: bool) -> str:
        """Test for rows past the page's end (``ahead``) or before its start."""
        tests = []
        if ahead is not self._page.backward and self._limit is not None:
            tests.append(f"(SELECT count(*) FROM {self._cte}) > {self._limit}")
        bound = self._before if ahead else self._after
        if bound:
            alias, link = self._compilation.alias(), self._compilation.alias()
            past = self._keyset(alias, bound, after=ahead, inclusive=True)
            tail = from_where(
                self._compilation, self._rows, alias, link, self._page.condition, [past]
            )
            tests.append(f"EXISTS (SELECT{tail})")
        return " OR ".join(tests) or "false"

    def _list_of(self, item: Callable[[str], Pieces]) -> Pieces:
        """Compile the page's rows to a JSON array; ``item`` compiles a row, given its alias."""
        return elements(self._select(item), self._compilation.alias())

    def _select(self, item: Callable[[str], Pieces]) -> str:
        """Compile a SELECT of the page's rows, each as JSON text ``o``."""
        alias = self._compilation.alias()
        if self._cte or self._page.backward:
            tail = f" FROM {self._page_rows(alias)} ORDER BY {self._order(alias)}"
        else:
            tail = self._range_from(alias, more=0)
        return f"SELECT {text_of(item(alias))} AS o{tail}"

    def _page_rows(self, alias: str) -> str:
        """Compile the page's rows to a FROM item, in no particular order."""
        if not self._cte:
            return f"({self._range('{t}.*', more=0)}) AS {alias}"
        if self._limit is None:
            return f"{self._cte} AS {alias}"
        inner = self._compilation.alias()
        order = self._order(inner, reverse=self._page.backward)
        rows = f"SELECT * FROM {self._cte} AS {inner} ORDER BY {order} LIMIT {self._limit}"
        return f"({rows}) AS {alias}"

    def _range(self, selected: str, *, more: int) -> str:
        """Compile a SELECT of the page's rows and of up to ``more`` rows beyond its end."""
        alias = self._compilation.alias()
        return f"SELECT {selected.format(t=alias)}{self._range_from(alias, more=more)}"

    def _range_from(self, alias: str, *, more: int) -> str:
        """Compile FROM, WHERE, ORDER BY and LIMIT of such a SELECT."""
        link = self._compilation.alias()
        keysets = [
            self._keyset(alias, bound, after=after)
            for bound, after in ((self._after, True), (self._before, False))
            if bound
        ]
        tail = from_where(self._compilation, self._rows, alias, link, self._page.condition, keysets)
        tail += f" ORDER BY {self._order(alias, reverse=self._page.backward)}"
        if self._limit is not None:
            tail += f" LIMIT {self._limit}" + (f" + {more}" if more else "")
        return tail

    def _order(self, alias: str, *, reverse: bool = False) -> str:
        """Compile the keys to order rows by: in the page's order, or in reverse."""
        return ", ".join(
            column.ordered(alias) + (" DESC" if key.descending is not reverse else "")
            for key, column in zip(self._page.order, self._columns, strict=True)
        )

    def _keyset(
        self, alias: str, bound: Sequence[str], *, after: bool, inclusive: bool = False
    ) -> str:
        """Test whether the row is after (or before) these keys in the page's order."""
        columns = [column.ordered(alias) for column in self._columns]
        ascending = [key.descending is not after for key in self._page.order]
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

    def _cursor(self, alias: str) -> str:
        """Compile the row's cursor: base64 of a JSON array (``resolvers.values.ids`` reads it)."""
        values = ", ".join(column.in_cursor(alias) for column in self._columns)
        array = f"json_build_array({quoted(describe_order(self._page.order))}, {values})::text"
        return f"translate(encode(convert_to({array}, 'UTF8'), 'base64'), E'\\n', '')"
