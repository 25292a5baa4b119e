"""Makes an operation that shows a fault as small as it can be while it still shows it."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

from graphql import (
    REMOVE,
    ArgumentNode,
    DefinitionNode,
    DirectiveNode,
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLSchema,
    InlineFragmentNode,
    ListValueNode,
    NameNode,
    Node,
    ObjectFieldNode,
    OperationDefinitionNode,
    SelectionNode,
    SelectionSetNode,
    VariableDefinitionNode,
    VariableNode,
    Visitor,
    validate,
    visit,
)

from tests.resolvers.operations.operations import Operation

LONGEST = 30.0
"""Seconds after which what is small enough by then has to do."""

_TYPENAME = SelectionSetNode(
    selections=(FieldNode(name=NameNode(value="__typename"), directives=()),)
)


async def smallest(
    schema: GraphQLSchema, operation: Operation, fault: Callable[[Operation], Awaitable[object]]
) -> Operation:
    """The operation without all that it shows the fault without.

    Args:
        fault: what is wrong with the answer to an operation; None where it is right.
    """
    end = time.monotonic() + LONGEST
    again = True
    while again:
        again, place = False, 0
        cuts = _cuts(operation.document)
        while place < len(cuts) and time.monotonic() < end:
            smaller = _without(operation, cuts[place])
            if not validate(schema, smaller.document) and await fault(smaller) is not None:
                # Another thing has this place now.
                operation, again = smaller, True
                cuts = _cuts(operation.document)
            else:
                place += 1
    return operation


def _cuts(document: DocumentNode) -> list[int]:
    """The numbers of the things that a document can be without: first those that are outermost."""
    counted = _Cut(document)
    visit(document, counted)
    return sorted(range(len(counted.depths)), key=counted.depths.__getitem__)


def _without(operation: Operation, number: int) -> Operation:
    """The operation without the thing that has this number."""
    document, used = _tidied(visit(operation.document, _Cut(operation.document, number)))
    given = {name: value for name, value in operation.variables.items() if name in used}
    return replace(operation, document=document, variables=given)


class _Cut(Visitor):
    """Counts what a document can be without, and takes out what has the number."""

    def __init__(self, document: DocumentNode, number: int | None = None) -> None:
        super().__init__()
        self.number = number
        self.depths: list[int] = []
        """How far inside each thing is."""
        self.fragments = {
            definition.name.value: definition.selection_set
            for definition in document.definitions
            if isinstance(definition, FragmentDefinitionNode)
        }
        self.operations = len(document.definitions) - len(self.fragments)

    def enter(self, node: Node, _key: Any, parent: Any, _path: Any, above: Sequence[Any]) -> Any:
        for smaller in self.smaller(node, parent):
            if len(self.depths) == self.number:
                # What stands in its place is gone through too, and is to stay as it is.
                self.number = None
                return smaller
            self.depths.append(len(above))
        return None

    def smaller(self, node: Node, parent: Any) -> Iterator[Any]:
        """What can stand in the place of a node."""
        match node:
            case FieldNode():
                if len(parent) > 1:
                    yield REMOVE
                if node.selection_set not in (None, _TYPENAME):
                    yield replace(node, selection_set=_TYPENAME)
                if node.alias is not None:
                    yield replace(node, alias=None)
            case OperationDefinitionNode() if self.operations > 1:
                yield REMOVE
            case InlineFragmentNode() | FragmentSpreadNode() if len(parent) > 1:
                yield REMOVE
            case DirectiveNode() | ArgumentNode() | ObjectFieldNode():
                yield REMOVE
            case SelectionSetNode():
                for place, selection in enumerate(node.selections):
                    inner = self.inside(selection)
                    selections = (*node.selections[:place], *inner, *node.selections[place + 1 :])
                    if inner:
                        yield replace(node, selections=selections)
            case ListValueNode():
                for place in range(len(node.values)):
                    yield replace(node, values=node.values[:place] + node.values[place + 1 :])

    def inside(self, selection: SelectionNode) -> tuple[SelectionNode, ...]:
        """What a fragment selects."""
        match selection:
            case InlineFragmentNode():
                return selection.selection_set.selections
            case FragmentSpreadNode():
                return self.fragments[selection.name.value].selections
        return ()


def _tidied(document: DocumentNode) -> tuple[DocumentNode, set[str]]:
    """The document without what nothing refers to any longer, and the variables left."""
    while True:
        used = _Used()
        visit(document, used)
        left: list[DefinitionNode] = []
        for definition in document.definitions:
            match definition:
                case FragmentDefinitionNode() if definition.name.value not in used.fragments:
                    continue
                case OperationDefinitionNode():
                    declared = tuple(
                        variable
                        for variable in definition.variable_definitions or ()
                        if variable.variable.name.value in used.variables
                    )
                    left.append(replace(definition, variable_definitions=declared))
                case _:
                    left.append(definition)
        tidy = len(left) == len(document.definitions)
        document = DocumentNode(definitions=tuple(left))
        if tidy:
            return document, used.variables


class _Used(Visitor):
    """Finds the fragments and the variables that something refers to."""

    def __init__(self) -> None:
        super().__init__()
        self.fragments: set[str] = set()
        self.variables: set[str] = set()

    def enter(self, node: Node, _key: Any, parent: Any, *_: Any) -> None:
        match node:
            case FragmentSpreadNode():
                self.fragments.add(node.name.value)
            case VariableNode() if not isinstance(parent, VariableDefinitionNode):
                self.variables.add(node.name.value)
