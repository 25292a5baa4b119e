"""In charge of what reading a document may cost: the bounds that its length alone does not give."""

from __future__ import annotations

import re
from collections.abc import Mapping

from graphql import (
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLError,
    InlineFragmentNode,
    SelectionSetNode,
    TokenKind,
)
from graphql.validation.rules import overlapping_fields_can_be_merged
from graphql.validation.validate import ValidationAbortedError

# Comparing repeated fields pair by pair is the one validation rule that is not about linear. Its
# own bound allows a second of that; this one a tenth. Clients' documents stay far below it.
overlapping_fields_can_be_merged.MAX_COMPLEXITY_BUDGET = 20_000

_LONGEST_DOCUMENT = 100_000
"""Characters. Reading a megabyte of one token would take a fifth of a second."""

_LONGEST_NUMBER = 400
"""Digits of a number, more than a double can have before its point."""
_NUMBERS = (TokenKind.INT, TokenKind.FLOAT)
_LONG_NUMBER = re.compile(rf"[0-9]{{{_LONGEST_NUMBER}}}")

_INTROSPECTED = 200_000
"""Values that an introspection may answer with, by the estimate below: several whole schemas."""
_ITEMS: Mapping[str, int] = {
    "types": 100,
    "possibleTypes": 5,
    "fields": 10,
    "inputFields": 10,
    "enumValues": 3,
    "args": 2,
    "directives": 6,
}
"""About how many items the lists of an introspection have, if it is not one."""


def refuse_long_documents(text: str) -> None:
    """Raise ``GraphQLError`` where a document is too long to be read at once."""
    if len(text) > _LONGEST_DOCUMENT:
        raise GraphQLError(
            f"the document has more than {_LONGEST_DOCUMENT:,} characters;"
            " send long values as variables"
        )


def refuse_long_numbers(text: str, document: DocumentNode) -> None:
    """Raise ``GraphQLError`` where a number has more digits than any use has for them.

    Python refuses to read such a number, in words of its own.
    """
    if _LONG_NUMBER.search(text) is None:
        return
    token = document.loc.start_token if document.loc else None
    while token is not None:
        if token.kind in _NUMBERS and token.end - token.start > _LONGEST_NUMBER:
            message = f"Syntax Error: A number has more than {_LONGEST_NUMBER} characters."
            source = document.loc.source if document.loc else None
            raise GraphQLError(message, source=source, positions=[token.start])
        token = token.next


def reworded(error: GraphQLError) -> GraphQLError:
    """The error; where validation ran out of its budget, in words that say what to mend."""
    if isinstance(error, ValidationAbortedError) and error.message == "Validation aborted.":
        return GraphQLError("the document repeats fields, or spreads fragments, too often")
    return error


def introspects_too_much(
    selections: SelectionSetNode, fragments: Mapping[str, FragmentDefinitionNode]
) -> bool:
    """Whether an operation asks for the schema over and over.

    Args:
        selections: what a valid operation selects.
    """
    cost = 0
    pending = [([selections], 1)]
    while pending:
        merged, times = pending.pop()
        for nodes in _fields(merged, fragments):
            cost += times
            if cost > _INTROSPECTED:
                return True
            below = [node.selection_set for node in nodes if node.selection_set is not None]
            if below:
                pending.append((below, times * _ITEMS.get(nodes[0].name.value, 1)))
    return False


def _fields(
    selections: list[SelectionSetNode], fragments: Mapping[str, FragmentDefinitionNode]
) -> list[list[FieldNode]]:
    """The fields selected, those with the same response key together, fragments spread out."""
    fields: dict[str, list[FieldNode]] = {}
    spread: set[str] = set()
    pending = list(selections)
    while pending:
        for selection in pending.pop().selections:
            if isinstance(selection, FieldNode):
                key = (selection.alias or selection.name).value
                fields.setdefault(key, []).append(selection)
            elif isinstance(selection, InlineFragmentNode):
                pending.append(selection.selection_set)
            elif isinstance(selection, FragmentSpreadNode) and selection.name.value not in spread:
                spread.add(selection.name.value)
                pending.append(fragments[selection.name.value].selection_set)
    return list(fields.values())
