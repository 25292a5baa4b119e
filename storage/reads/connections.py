"""In charge of the SQL of connections: keyset ranges of rows, and what ``pageInfo`` says of them.

A page is cut out by comparing with the keys of a cursor, never by OFFSET.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from storage.reads.json_text import Pieces, Sql, elements, members, or_null, quoted, string, text_of
from storage.reads.plan import (
    Constant,
    EdgeCursor,
    EdgeNode,
    OrderKey,
    Page,
    PageEdges,
    PageFact,
    PageInfo,
    PageNodes,
    PagePart,
    TotalCount,
)

if TYPE_CHECKING:
    from storage.reads.objects import Compiler, Rows


class PageCompiler:
    """A connection being compiled.

    Where one part shows rows and nothing asks what lies beyond them, the range is read straight
    into that part. Otherwise the range, and one row more, is read once into a CTE for all parts.
    """

    def __init__(self, compiler: Compiler, page: Page, rows: Rows) -> None:
        self.compiler = compiler
        self.page = page
        self.rows = rows
        self.table = rows.table
        self.columns = [self.table.columns[key.column] for key in page.order]
        shows_rows = not all(isinstance(part, Constant | TotalCount) for part in page.parts)
        values = compiler if shows_rows else compiler.aside()
        self.limit = values.slot(page.limit) if page.limit is not None else None
        self.after = [values.slot(slot) for slot in page.after or ()]
        self.before = [values.slot(slot) for slot in page.before or ()]
        self.cte = ""

    def compile(self) -> str:
        """The connection as one SQL expression: JSON text."""
        showing = [p for p in self.page.parts if isinstance(p, PageNodes | PageEdges)]
        peeking = any(isinstance(p, PageInfo) for p in self.page.parts)
        prefix = ""
        if peeking or len(showing) > 1:
            self.cte = self.compiler.alias()
            prefix = f"WITH {self.cte} AS MATERIALIZED ({self.range('{t}.*', more=1)}) "
        if all(isinstance(part, Constant) for part in self.page.parts):
            self.compiler.aside().condition(self.page.condition, self.table, "")
        shown = members((part.key, self.part(part)) for part in self.page.parts)
        return f"({prefix}SELECT {text_of(shown)})"

    def nodes(self) -> str:
        """A SELECT of the nodes as JSON text ``o``, for a connection that shows nothing else."""
        (part,) = self.page.parts
        assert isinstance(part, PageNodes)
        return self.select(lambda alias: self.compiler.object(part.fields, self.table, alias))

    def part(self, part: PagePart) -> Pieces:
        """One field of the connection."""
        match part:
            case Constant(_, text):
                return string(text)
            case PageNodes(_, fields):
                return self.list_of(lambda alias: self.compiler.object(fields, self.table, alias))
            case PageEdges():
                return self.list_of(lambda alias: self.edge(part, alias))
            case PageInfo(_, facts):
                return members(
                    (f.key, string(f.value) if isinstance(f, Constant) else self.fact(f.fact))
                    for f in facts
                )
            case TotalCount():
                alias = self.compiler.alias()
                rest = self.compiler.rest(self.rows, alias, condition=self.page.condition)
                return (Sql(f"(SELECT count(*){rest})"),)

    def edge(self, part: PageEdges, alias: str) -> Pieces:
        """One edge, of the row ``alias``."""
        entries: list[tuple[str, Pieces]] = []
        for field in part.fields:
            match field:
                case Constant(key, text):
                    entries.append((key, string(text)))
                case EdgeCursor(key):
                    entries.append((key, ('"', Sql(self.cursor(alias)), '"')))
                case EdgeNode(key, fields):
                    entries.append((key, self.compiler.object(fields, self.table, alias)))
        return members(entries)

    def fact(self, fact: PageFact) -> Pieces:
        """One field of ``pageInfo``: exact in both directions, at most one row read beyond."""
        match fact:
            case PageFact.HAS_NEXT:
                return (Sql(f"({self.beyond(ahead=True)})::text"),)
            case PageFact.HAS_PREVIOUS:
                return (Sql(f"({self.beyond(ahead=False)})::text"),)
            case PageFact.START_CURSOR | PageFact.END_CURSOR:
                alias = self.compiler.alias()
                order = self.order(alias, reverse=fact is PageFact.END_CURSOR)
                cursor = text_of(('"', Sql(self.cursor(alias)), '"'))
                return or_null(
                    f"(SELECT {cursor} FROM {self.shown(alias)} ORDER BY {order} LIMIT 1)"
                )

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
        return " OR ".join(proofs) or "false"

    def list_of(self, shown: Callable[[str], Pieces]) -> Pieces:
        """The rows of the page as a JSON array; ``shown`` is what of a row, given its alias."""
        return elements(self.select(shown), self.compiler.alias())

    def select(self, shown: Callable[[str], Pieces]) -> str:
        """A SELECT of the rows of the page, each as JSON text ``o``."""
        alias = self.compiler.alias()
        if self.cte or self.page.backward:
            rest = f" FROM {self.shown(alias)} ORDER BY {self.order(alias)}"
        else:
            rest = self.range_from(alias, more=0)
        return f"SELECT {text_of(shown(alias))} AS o{rest}"

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
        """A SELECT of the page's rows, and of up to ``more`` rows beyond its end."""
        alias = self.compiler.alias()
        return f"SELECT {selected.format(t=alias)}{self.range_from(alias, more=more)}"

    def range_from(self, alias: str, *, more: int) -> str:
        """FROM, WHERE, ORDER BY and LIMIT of such a SELECT."""
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
        """The keys to order rows by: in the page's order, or from its end."""
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
        array = f"json_build_array({quoted(describe_order(self.page.order))}, {values})::text"
        return f"translate(encode(convert_to({array}, 'UTF8'), 'base64'), E'\\n', '')"


def describe_order(order: Sequence[OrderKey]) -> str:
    """The order in a word, such as ``name,-database_id``; cursors carry it, so that one that was
    made for another order is noticed.
    """
    return ",".join(("-" if key.descending else "") + key.column for key in order)
