"""Shrink an operation that reveals a fault, as far as it still reveals the fault."""

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

TIME_LIMIT = 30.0
"""Seconds after which shrinking stops."""

_TYPENAME = SelectionSetNode(
    selections=(FieldNode(name=NameNode(value="__typename"), directives=()),)
)


async def smallest(
    schema: GraphQLSchema, operation: Operation, fault: Callable[[Operation], Awaitable[object]]
) -> Operation:
    """Return the smallest operation that still reveals the fault.

    Args:
        fault: Returns the fault in the answer to an operation, or None if the answer is correct.
    """
    end = time.monotonic() + TIME_LIMIT
    again = True
    while again:
        again, index = False, 0
        cuts = _cuts(operation.document)
        while index < len(cuts) and time.monotonic() < end:
            smaller = _without(operation, cuts[index])
            if not validate(schema, smaller.document) and await fault(smaller) is not None:
                # Another cut has this index now.
                operation, again = smaller, True
                cuts = _cuts(operation.document)
            else:
                index += 1
    return operation


def _cuts(document: DocumentNode) -> list[int]:
    """Return the numbers of all possible cuts of a document, outermost first."""
    counted = _Cut(document)
    visit(document, counted)
    return sorted(range(len(counted.depths)), key=counted.depths.__getitem__)


def _without(operation: Operation, number: int) -> Operation:
    """Apply the cut with this number to the operation."""
    document, used = tidied(visit(operation.document, _Cut(operation.document, number)))
    variables = {name: value for name, value in operation.variables.items() if name in used}
    return replace(operation, document=document, variables=variables)


class _Cut(Visitor):
    """Counts the possible cuts of a document, and applies the one with a certain number."""

    def __init__(self, document: DocumentNode, number: int | None = None) -> None:
        super().__init__()
        self.number = number
        self.depths: list[int] = []
        """The depth of each cut."""
        self.fragments = {
            definition.name.value: definition.selection_set
            for definition in document.definitions
            if isinstance(definition, FragmentDefinitionNode)
        }
        self.operations = len(document.definitions) - len(self.fragments)

    def enter(self, node: Node, _key: Any, parent: Any, _path: Any, above: Sequence[Any]) -> Any:
        for smaller in self.smaller(node, parent):
            if len(self.depths) == self.number:
                # The replacement is visited too, and must stay unchanged.
                self.number = None
                return smaller
            self.depths.append(len(above))
        return None

    def smaller(self, node: Node, parent: Any) -> Iterator[Any]:
        """Yield the possible replacements of a node."""
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
                for index, selection in enumerate(node.selections):
                    inner = self.inside(selection)
                    selections = (*node.selections[:index], *inner, *node.selections[index + 1 :])
                    if inner:
                        yield replace(node, selections=selections)
            case ListValueNode():
                for index in range(len(node.values)):
                    yield replace(node, values=node.values[:index] + node.values[index + 1 :])

    def inside(self, selection: SelectionNode) -> tuple[SelectionNode, ...]:
        """Return the selections of a fragment."""
        match selection:
            case InlineFragmentNode():
                return selection.selection_set.selections
            case FragmentSpreadNode():
                return self.fragments[selection.name.value].selections
        return ()


def tidied(document: DocumentNode) -> tuple[DocumentNode, set[str]]:
    """Remove unused fragments and variables. Return the document and the used variables."""
    while True:
        used = _Used()
        visit(document, used)
        definitions: list[DefinitionNode] = []
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
                    definitions.append(replace(definition, variable_definitions=declared))
                case _:
                    definitions.append(definition)
        tidy = len(definitions) == len(document.definitions)
        document = DocumentNode(definitions=tuple(definitions))
        if tidy:
            return document, used.variables


class _Used(Visitor):
    """Collects the fragments and the variables that are used."""

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
