"""Count what the operations of a document contain, with fragments expanded, before validation.

A fragment is counted once and its counts are used wherever it is spread, so that the time is linear
in the length of the document, however large the numbers become.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from graphql import (
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    InlineFragmentNode,
    SelectionSetNode,
)

from resolvers.errors.catalogue import GatewayError
from resolvers.operations.limits import Limits, limit_error
from resolvers.operations.selection import fragments_of, operations_of


class Size(NamedTuple):
    """What a selection set contains, with fragments expanded."""

    fields: int = 0
    aliases: int = 0
    directives: int = 0
    depth: int = 0
    """Levels of fields that have fields of their own. The fields of ``__schema`` and ``__type`` are
    not counted: introspection has a limit of its own."""
    own_fields: int = 0
    """Fields of the selection set itself."""


def size_error(document: DocumentNode, limits: Limits) -> GatewayError | None:
    """Return the error of the first operation that exceeds a limit; None if none does.

    The document need not be valid: unknown fragments, and those that spread themselves, count as
    empty.
    """
    definitions = len(document.definitions)
    if definitions > limits.max_query_definitions:
        return limit_error(
            "max_query_definitions",
            "operations and fragments",
            limits.max_query_definitions,
            definitions,
        )
    counter = _Counter(fragments_of(document))
    for definition in operations_of(document):
        size = counter.selections(definition.selection_set)
        directives = size.directives + len(definition.directives or ())
        for variable in definition.variable_definitions or ():
            directives += len(variable.directives or ())
        for setting, what, maximum, received in (
            ("max_query_depth", "levels of nested fields", limits.max_query_depth, size.depth),
            (
                "max_query_root_fields",
                "fields at its root",
                limits.max_query_root_fields,
                size.own_fields,
            ),
            ("max_query_aliases", "aliases", limits.max_query_aliases, size.aliases),
            ("max_query_directives", "directives", limits.max_query_directives, directives),
            ("max_query_fields", "fields", limits.max_query_fields, size.fields),
        ):
            if received > maximum:
                return limit_error(setting, what, maximum, received)
    return None


class _Counter:
    def __init__(self, fragments: Mapping[str, FragmentDefinitionNode]) -> None:
        self._fragments = fragments
        self._counted: dict[str, Size] = {}

    def selections(self, selection_set: SelectionSetNode) -> Size:
        """Count what a selection set contains."""
        fields = aliases = directives = depth = own_fields = 0
        for selection in selection_set.selections:
            directives += len(selection.directives or ())
            if isinstance(selection, FieldNode):
                fields += 1
                own_fields += 1
                aliases += selection.alias is not None
                if selection.selection_set is None:
                    continue
                below = self.selections(selection.selection_set)
                introspects = selection.name.value.startswith("__")
                below = below._replace(depth=0 if introspects else below.depth + 1, own_fields=0)
            elif isinstance(selection, FragmentSpreadNode):
                below = self._fragment(selection.name.value)
            elif isinstance(selection, InlineFragmentNode):
                below = self.selections(selection.selection_set)
            fields += below.fields
            aliases += below.aliases
            directives += below.directives
            depth = max(depth, below.depth)
            own_fields += below.own_fields
        return Size(fields, aliases, directives, depth, own_fields)

    def _fragment(self, name: str) -> Size:
        if name not in self._counted:
            self._counted[name] = Size()  # what it counts as if it spreads itself
            if name in self._fragments:
                self._counted[name] = self.selections(self._fragments[name].selection_set)
        return self._counted[name]
