"""Define the interface of objects that have an ID, and the types of pages of them."""

from __future__ import annotations

from typing import Any, Generic, TypeVar

import strawberry


@strawberry.interface(description="An object that can be looked up by its opaque ID.")
class Node:
    id: strawberry.ID = strawberry.field(description="Opaque ID, unique across all types.")


def answered_by_sql() -> Any:
    """Stand in for a resolver: the statement of the root field answers the field."""
    raise AssertionError("no field of a query is resolved")


@strawberry.type(description="Pagination details of a page.")
class PageInfo:
    has_next_page: bool = strawberry.field(description="Whether more items follow this page.")
    has_previous_page: bool = strawberry.field(description="Whether items precede this page.")
    start_cursor: str | None = strawberry.field(
        description="Cursor of the first item. Null if the page is empty."
    )
    end_cursor: str | None = strawberry.field(
        description="Cursor of the last item. Null if the page is empty."
    )


NodeType = TypeVar("NodeType", bound=Node)


@strawberry.type(description="An item of a page, with its cursor.")
class Edge(Generic[NodeType]):
    cursor: str = strawberry.field(description="Cursor of the item, for `after` and `before`.")
    node: NodeType = strawberry.field(description="The item.")


@strawberry.type(description="A page of results.")
class Connection(Generic[NodeType]):
    edges: list[Edge[NodeType]] = strawberry.field(
        description="Items on this page, each with its cursor."
    )
    nodes: list[NodeType] = strawberry.field(description="Items on this page.")
    page_info: PageInfo = strawberry.field(description="Pagination details of this page.")
    total_count: int = strawberry.field(
        description="Number of items on all pages. Counted only if this field is selected."
    )
