"""Estimate what a read costs, from its plan and the sizes of its pages, before it runs.

The estimate follows IBM's GraphQL cost specification: the number of rows asked for times what is
selected of each, multiplied through nested lists. A list without pages counts with the size that
the read model assumes. One unit is about the time that PostgreSQL needs for one value.

An estimate is computed once for each plan. It is a polynomial in the page sizes, which are values
of the plan's slots, so a run needs a few multiplications.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from resolvers.errors.catalogue import ErrorKind, GatewayError
from resolvers.operations.limits import Limits
from resolvers.operations.parameters import RunValues, operand_value
from storage.reads.model import TABLES
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
    JsonField,
    JsonFields,
    Literal,
    Many,
    Not,
    One,
    Page,
    PageEdges,
    PageInfo,
    PageNodes,
    PageOf,
    Read,
    ReadJson,
    ReadNodes,
    ReadOne,
    ReadPage,
    Related,
    Scalar,
    Slot,
    TotalCount,
)
from storage.reads.tables import ColumnKind, EmbeddedList, Relation, Table

# The weights are measured with ``tests/hostile/worst_read.py``. For a unit, PostgreSQL takes at
# most 1 µs of processor time and 110 bytes of memory.

_VALUE = 1
_TEXT = 3
_LONG_TEXT = 32
"""A text of up to 4,000 characters."""
_KEY_CHARACTERS = 16
"""Characters of a response key that cost as much as a value: each row repeats the key."""
_CURSOR = 6
_ROW = 2
_EMBEDDED_LIST = 6
"""A list that is part of a row."""
_RELATED_ROW = 4
"""A sub-select for each row that leads to at most one row."""
_LIST = 14
"""A sub-select for each row that leads to a list."""
_TREE = 40
"""Looking through all that is nested in an execution."""
_PAGE = 80
"""A sub-select for each row that leads to a page."""
_PAGE_FACT = 10
"""A sub-select of a page that looks at its first or last row, or beyond it."""
_SORTED_ROW = 3
"""Reading and sorting a row, compared with reading it."""
_DIRECT_ROWS = 2
"""Rows that are read for one unit, unless another table leads to them: then it is one."""
_KINDS = 6
"""The number of source kinds, and of the actions of one, that the cost of a query assumes."""
_TEXTS = frozenset({ColumnKind.TEXT, ColumnKind.TEXTS, ColumnKind.PLAIN})
_LINKS = 2
"""Rows of a table from which the same related row is reached."""
_LONG_COLUMNS = frozenset(
    {"description", "result", "error", "settings", "version", "help", "choices", "default"}
)
"""Columns that cost as much as a long text. A version is the hash of such a text."""


@dataclass(frozen=True, slots=True)
class Repeated:
    """What a page adds to an estimate: something for each of its rows."""

    path: tuple[str | int, ...]
    """The argument that sets the size, for error messages."""
    size: Slot
    per_row: Estimate


@dataclass(frozen=True, slots=True)
class Estimate:
    """An estimate of a cost, as a polynomial in the sizes of pages."""

    fixed: int = 0
    pages: tuple[Repeated, ...] = ()

    def value(self, sizes: Sizes) -> int:
        """Return the cost for these sizes of pages."""
        total = self.fixed
        for page in self.pages:
            total += sizes(page) * page.per_row.value(sizes)
        return total

    def __add__(self, other: Estimate) -> Estimate:
        return Estimate(self.fixed + other.fixed, (*self.pages, *other.pages))

    def __mul__(self, count: int) -> Estimate:
        return Estimate(
            self.fixed * count,
            tuple(Repeated(p.path, p.size, p.per_row * count) for p in self.pages),
        )


NOTHING = Estimate()

Sizes = Callable[[Repeated], int]
"""Returns the number of rows of a page."""


def estimate(key: str, read: Read) -> Estimate:
    """Estimate the cost of a root field.

    Args:
        key: Its key in the response.
        read: Its plan.
    """
    match read:
        case ReadPage(name, page):
            table = TABLES[name]
            return _page(page, table, None, (key,))
        case ReadOne(name, fields):
            return Estimate(_RELATED_ROW) + _fields(fields, TABLES[name], (key,))
        case ReadJson(items, fields):
            rows = _KINDS if isinstance(items, Slot) else TABLES["source"].typical_rows
            return Estimate(_LIST) + _json(fields) * rows
        case ReadNodes():
            # Each ID leads to one row of one type. The most expensive type counts.
            choices = [_fields(fields, TABLES[name], (key,)) for _, name, fields in read.choices]
            row = Estimate(_RELATED_ROW) + max(choices, key=_with_full_pages)
            return row if read.single else Estimate(0, (Repeated((key, "ids"), read.ids, row),))


def _json(fields: JsonFields) -> Estimate:
    """Estimate the cost of an object in a list that is JSON."""
    total = Estimate(_ROW)
    for field in fields:
        total += Estimate(_TEXT + _key(field.key))
        if isinstance(field, JsonField) and field.fields is not None:
            total += _json(field.fields) * _KINDS
    return total


def _with_full_pages(estimate_: Estimate) -> int:
    return estimate_.value(lambda _: 100)


# Objects ---------------------------------------------------------------------------------------


def _fields(fields: Iterable[Field], table: Table, path: tuple[str, ...]) -> Estimate:
    total = Estimate()
    for field in fields:
        total += Estimate(_key(field.key)) + _field(field, table, (*path, field.key))
    return total


def _key(key: str) -> int:
    return len(key) // _KEY_CHARACTERS


def _field(field: Field, table: Table, path: tuple[str, ...]) -> Estimate:
    match field:
        case One(_, name, fields):
            target = TABLES[table.relations[name].target]
            return Estimate(_RELATED_ROW) + _fields(fields, target, path)
        case Many(_, name, fields) if name in table.embedded:
            # The list is one value of the row. Its items are cut out of it.
            embedded = table.embedded[name]
            item = _ROW + sum(_item(field, embedded) + _key(field.key) for field in fields)
            cost = _EMBEDDED_LIST + embedded.typical_rows * item
            return Estimate(cost + embedded.computing)
        case Many(_, name, fields):
            relation = table.relations[name]
            row = Estimate(_ROW) + _fields(fields, TABLES[relation.target], path)
            walked = _TREE if "RECURSIVE" in relation.joins else 0
            return Estimate(_LIST + walked) + row * relation.typical_rows
        case PageOf(_, name, page):
            relation = table.relations[name]
            target = TABLES[relation.target]
            return Estimate(_PAGE) + _page(page, target, relation, path)
        case Scalar(_, column):
            return Estimate(_column(column, table))
        case _:
            return Estimate(_VALUE)


def _item(field: Field, embedded: EmbeddedList) -> int:
    """Return the cost of a field of an object in a list that is part of a row."""
    if embedded.columns is not None and isinstance(field, Scalar):
        return _LONG_TEXT if field.column in _LONG_COLUMNS else _TEXT
    return _TEXT


def _column(name: str, table: Table) -> int:
    if name in _LONG_COLUMNS:
        return _LONG_TEXT
    column = table.columns[name]
    return _looked_up(column.sql) + (_TEXT if column.kind in _TEXTS else _VALUE)


def _looked_up(sql: str) -> int:
    """Return the cost of what a fragment of the model reads besides its row."""
    if "RECURSIVE" in sql:
        return _TREE
    return _RELATED_ROW if "SELECT" in sql else 0


# Pages -----------------------------------------------------------------------------------------


def _page(page: Page, table: Table, relation: Relation | None, path: tuple[str, ...]) -> Estimate:
    """Estimate a page of a whole table, or of the rows that a relation leads to."""
    total, per_row, lists = Estimate(), Estimate(), 0
    readings = 0
    for part in page.parts:
        below = (*path, part.key)
        total += Estimate(_key(part.key))
        match part:
            case PageNodes(_, fields):
                per_row += Estimate(_ROW) + _fields(fields, table, below)
                lists = 1
            case PageEdges(_, edge):
                per_row += Estimate(_ROW) + _edge(edge, table, below)
                lists = 1
            case PageInfo(_, facts):
                total += Estimate(sum(_PAGE_FACT + _key(fact.key) for fact in facts))
                readings += len(facts)
            case TotalCount():
                total += Estimate(_reading(page, table, relation, sorts=False))
            case _:
                total += Estimate(_VALUE)
    sorts = not _in_index_order(page, table, relation)
    if page.condition != AllOf() or sorts:
        total += Estimate((lists + readings) * _reading(page, table, relation, sorts=sorts))
    if page.limit is None:
        return total + per_row * (relation or table).typical_rows
    argument = "last" if page.backward else "first"
    return total + Estimate(0, (Repeated((*path, argument), page.limit, per_row),))


def _edge(
    fields: Iterable[Constant | EdgeCursor | EdgeNode], table: Table, path: tuple[str, ...]
) -> Estimate:
    total = Estimate()
    for field in fields:
        total += Estimate(_key(field.key))
        match field:
            case EdgeNode(key, node):
                total += _fields(node, table, (*path, key))
            case EdgeCursor():
                total += Estimate(_CURSOR)
            case _:
                total += Estimate(_VALUE)
    return total


def _in_index_order(page: Page, table: Table, relation: Relation | None) -> bool:
    """Whether the page can be read from an index without sorting its rows."""
    one_direction = len({key.descending for key in page.order}) == 1
    any_column = relation is None and len(page.order) <= 2
    indexed = any_column and one_direction and table.columns[page.order[0].column].indexed
    return page.order == table.default_order or indexed


def _reading(page: Page, table: Table, relation: Relation | None, *, sorts: bool) -> int:
    """Return the cost of reading all rows, to test a condition or to sort or count them."""
    rows = (relation or table).typical_rows
    cost = rows * (_SORTED_ROW if sorts else 1) + _condition(page.condition, table, rows)
    return cost if relation is not None and relation.is_linked else max(1, cost // _DIRECT_ROWS)


def _condition(condition: Condition, table: Table, rows: int) -> int:
    """Return the cost of testing a condition for rows, in units of reading a row."""
    match condition:
        case Compare(_, comparison):
            return 2 * rows if comparison is Comparison.CONTAINS else rows
        case AllOf(parts) | AnyOf(parts):
            return sum(_condition(part, table, rows) for part in parts)
        case Not(part):
            return _condition(part, table, rows)
        case Related(name, part):
            relation = table.relations[name]
            target = TABLES[relation.target]
            related = min(_LINKS * target.typical_rows, rows * relation.typical_rows)
            tested = related + _condition(part, target, related)
            return _RELATED_ROW * rows + tested * (_DIRECT_ROWS if relation.is_linked else 1)


# Runs ------------------------------------------------------------------------------------------


def _sizes_of(values: RunValues, largest: int) -> Sizes:
    """Return the sizes of pages in a run.

    Args:
        largest: The largest size. A size that is not valid counts as this; the field that it
            belongs to does not run.
    """

    def size(page: Repeated) -> int:
        value = _size(operand_value(page.size.operand, values))
        return value if 0 <= value <= largest else largest

    return size


def _size(value: Any) -> int:
    """Return the number of rows that a value of a slot asks for; -1 if it is not valid."""
    if isinstance(value, int):
        return value
    return len(value) if isinstance(value, list | tuple) else -1


def constant_cost(estimates: Iterable[Estimate]) -> int | None:
    """Return the sum of estimates; None if it depends on the variables of a run."""
    total = 0
    for each in estimates:
        if not _is_constant(each):
            return None
        total += each.value(_constant_size)
    return total


def largest_cost(estimates: Iterable[Estimate], limits: Limits) -> int:
    """Return the sum of estimates if each page has the largest size."""
    return sum(each.value(lambda _: limits.page_size_max) for each in estimates)


def _is_constant(each: Estimate) -> bool:
    return all(
        isinstance(page.size.operand, Literal) and _is_constant(page.per_row) for page in each.pages
    )


def _constant_size(page: Repeated) -> int:
    operand = page.size.operand
    return _size(operand.value) if isinstance(operand, Literal) else 0


def check_cost(estimates: Sequence[Estimate], values: RunValues, limits: Limits) -> int:
    """Return the cost of an operation, unless it exceeds the maximum.

    Raises:
        GatewayError: ``BAD_USER_INPUT``, if it exceeds the maximum and ``cost_mode`` is
            ``enforce``. ``extensions.cost`` has the cost, the maximum and, if making one page
            smaller is enough, the largest size of that page that fits.
    """
    sizes = _sizes_of(values, limits.page_size_max)
    cost, maximum = sum(each.value(sizes) for each in estimates), limits.max_query_cost
    if cost <= maximum or limits.cost_mode != "enforce":
        return cost
    details: dict[str, object] = {"requested": cost, "maximum": maximum}
    message = f"the operation costs {cost:,}, and at most {maximum:,} is allowed (max_query_cost)"
    fit = _largest_fit(estimates, sizes, maximum)
    if fit is None:
        message += "; select fewer fields or ask for smaller pages"
    else:
        path, size = fit
        message += f"; {'.'.join(map(str, path))}: {size} would fit"
        details["fits"] = {"path": list(path), "value": size}
    raise GatewayError(ErrorKind.BAD_USER_INPUT, message, details={"cost": details})


def _largest_fit(
    estimates: Sequence[Estimate], sizes: Sizes, maximum: int
) -> tuple[tuple[str | int, ...], int] | None:
    """Return the outermost page that can be made small enough, and its largest size that fits."""
    for page in _outermost_first(estimates):

        def cost(size: int, page: Repeated = page) -> int:
            def with_size(other: Repeated) -> int:
                return size if other.path == page.path else sizes(other)

            return sum(each.value(with_size) for each in estimates)

        low, high = 0, sizes(page)
        while low < high:
            middle = (low + high + 1) // 2
            low, high = (middle, high) if cost(middle) <= maximum else (low, middle - 1)
        if low > 0:
            return page.path, low
    return None


def _outermost_first(estimates: Iterable[Estimate]) -> Iterator[Repeated]:
    level = [page for each in estimates for page in each.pages]
    while level:
        yield from sorted(level, key=lambda page: -page.per_row.fixed)
        level = [below for page in level for below in page.per_row.pages]
