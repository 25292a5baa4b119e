"""Walk selection sets: the fields that are selected, with fragments expanded."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from graphql import (
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    InlineFragmentNode,
    OperationDefinitionNode,
    SelectionNode,
    SelectionSetNode,
)


def _always(_: Any) -> bool:
    return True


def operations_of(document: DocumentNode) -> list[OperationDefinitionNode]:
    """Return the operations of a document."""
    return [each for each in document.definitions if isinstance(each, OperationDefinitionNode)]


def fragments_of(document: DocumentNode) -> dict[str, FragmentDefinitionNode]:
    """Return the fragments of a document by name."""
    return {
        definition.name.value: definition
        for definition in document.definitions
        if isinstance(definition, FragmentDefinitionNode)
    }


def walk_selections(
    selection_sets: Iterable[SelectionSetNode | None],
    fragments: Mapping[str, FragmentDefinitionNode],
    *,
    includes: Callable[[SelectionNode], bool] = _always,
    applies: Callable[[str], bool] = _always,
    expanded: set[str] | None = None,
) -> Iterator[SelectionNode]:
    """Yield the selections of selection sets in document order, with fragments expanded.

    A field is yielded, but not what is selected below it.

    Args:
        fragments: The document's fragments by name. Missing ones are not expanded.
        includes: Whether a selection is included; by default, every one is.
        applies: Whether a fragment on the type with this name applies; by default it does.
        expanded: The names of the fragments that were expanded before, to which others are added.
            Each fragment is expanded once.
    """
    expanded = set() if expanded is None else expanded
    for selection_set in selection_sets:
        # A stack of iterators, so that the recursion limit does not apply to nested fragments.
        stack = [iter(selection_set.selections)] if selection_set is not None else []
        while stack:
            selection = next(stack[-1], None)
            if selection is None:
                stack.pop()
                continue
            if not includes(selection):
                continue
            yield selection
            if isinstance(selection, InlineFragmentNode):
                condition = selection.type_condition
                if condition is None or applies(condition.name.value):
                    stack.append(iter(selection.selection_set.selections))
            elif isinstance(selection, FragmentSpreadNode):
                name = selection.name.value
                if name not in expanded and name in fragments:
                    expanded.add(name)
                    fragment = fragments[name]
                    if applies(fragment.type_condition.name.value):
                        stack.append(iter(fragment.selection_set.selections))


def walk_fields(
    selection_sets: Iterable[SelectionSetNode | None],
    fragments: Mapping[str, FragmentDefinitionNode],
    *,
    includes: Callable[[SelectionNode], bool] = _always,
    applies: Callable[[str], bool] = _always,
) -> Iterator[FieldNode]:
    """Yield the fields among the selections that ``walk_selections`` yields."""
    selections = walk_selections(selection_sets, fragments, includes=includes, applies=applies)
    return (selection for selection in selections if isinstance(selection, FieldNode))


def by_response_key(fields: Iterable[FieldNode]) -> dict[str, list[FieldNode]]:
    """Group fields by their key in the response, in the order of first appearance."""
    grouped: dict[str, list[FieldNode]] = {}
    for field in fields:
        grouped.setdefault((field.alias or field.name).value, []).append(field)
    return grouped


def sub_selections(fields: Iterable[FieldNode]) -> list[SelectionSetNode | None]:
    """Return the selection sets of fields that share a response key."""
    return [field.selection_set for field in fields]
