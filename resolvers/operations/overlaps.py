"""Check in linear time that the fields with the same response key can be merged.

graphql-core's rule "overlapping fields can be merged" compares such fields in pairs, so its time is
bounded by a budget that a valid document with many repeated fields can exceed. This check groups
them instead, as Sangria and GraphQL Java do (Simon Adameit, "Optimizing the GraphQL validation of
overlapping fields"). It only confirms that nothing conflicts; graphql-core words the errors.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TypeAlias

from graphql import (
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLInterfaceType,
    GraphQLNamedType,
    GraphQLNonNull,
    GraphQLObjectType,
    GraphQLOutputType,
    GraphQLSchema,
    GraphQLWrappingType,
    InlineFragmentNode,
    SelectionSetNode,
    get_named_type,
    is_leaf_type,
    print_ast,
)

from resolvers.operations.selection import fragments_of, operations_of

MAX_VISITS = 20_000
"""Fields and fragments that the check visits before it gives up, in about 0.02 s."""

_Parent: TypeAlias = "GraphQLNamedType | None"
_Selections: TypeAlias = "list[tuple[_Parent, SelectionSetNode]]"
_Field: TypeAlias = "tuple[_Parent, FieldNode]"


def is_free_of_conflicts(document: DocumentNode, schema: GraphQLSchema) -> bool:
    """Whether no two fields with the same response key conflict.

    The document need not be valid. False means that there may be a conflict: there is one, or the
    check would take too long.
    """
    return _Check(schema, fragments_of(document)).passes(document)


class _Check:
    def __init__(
        self, schema: GraphQLSchema, fragments: Mapping[str, FragmentDefinitionNode]
    ) -> None:
        self._schema = schema
        self._fragments = fragments
        self._visits = 0
        self._arguments: dict[int, str] = {}

    def passes(self, document: DocumentNode) -> bool:
        # Each item is a list of selection sets whose fields are merged. Their fields must agree in
        # name and arguments if their parents can be the same object, and always in shape.
        pending: list[tuple[bool, _Selections]] = []
        known: set[tuple[bool, frozenset[int]]] = set()

        def add(same_parents: bool, selections: _Selections) -> None:
            key = (same_parents, frozenset(id(selection_set) for _, selection_set in selections))
            if selections and key not in known:
                known.add(key)
                pending.append((same_parents, selections))

        roots: _Selections = [
            (self._schema.get_root_type(operation.operation), operation.selection_set)
            for operation in operations_of(document)
        ]
        # A conflict in a fragment that is not used is also an error.
        roots += [
            (self._schema.get_type(fragment.type_condition.name.value), fragment.selection_set)
            for fragment in self._fragments.values()
        ]
        for root in roots:
            for same_parents in (True, False):
                add(same_parents, [root])
        while pending:
            same_parents, selections = pending.pop()
            groups: dict[str, list[_Field]] = {}
            for parent, field in self._fields(selections):
                groups.setdefault((field.alias or field.name).value, []).append((parent, field))
            if self._visits > MAX_VISITS:
                return False
            for group in groups.values():
                for fields in _by_parent(group) if same_parents else [group]:
                    agree = self._same_call if same_parents else _same_shape
                    if len(fields) > 1 and not agree(fields):
                        return False
                    add(same_parents, _below(fields))
        return True

    def _fields(self, selections: _Selections) -> Iterator[_Field]:
        """Yield the fields of merged selection sets, with fragments expanded."""
        pending = list(selections)
        expanded: set[str] = set()
        while pending and self._visits <= MAX_VISITS:
            parent, selection_set = pending.pop()
            self._visits += len(selection_set.selections)
            for selection in selection_set.selections:
                if isinstance(selection, FieldNode):
                    yield parent, selection
                elif isinstance(selection, InlineFragmentNode):
                    condition = selection.type_condition
                    of_type = self._schema.get_type(condition.name.value) if condition else parent
                    pending.append((of_type, selection.selection_set))
                elif isinstance(selection, FragmentSpreadNode):
                    name = selection.name.value
                    if name in self._fragments and name not in expanded:
                        expanded.add(name)
                        fragment = self._fragments[name]
                        of_type = self._schema.get_type(fragment.type_condition.name.value)
                        pending.append((of_type, fragment.selection_set))

    def _same_call(self, fields: Iterable[_Field]) -> bool:
        """Whether fields have the same name and arguments."""
        return len({(field.name.value, self._printed(field)) for _, field in fields}) == 1

    def _printed(self, field: FieldNode) -> str:
        if not field.arguments:
            return ""
        printed = self._arguments.get(id(field))
        if printed is None:
            printed = " ".join(sorted(map(print_ast, field.arguments)))
            self._arguments[id(field)] = printed
        return printed


def _by_parent(group: list[_Field]) -> list[list[_Field]]:
    """Return the groups of fields whose parents can be the same object."""
    of_objects: dict[GraphQLObjectType, list[_Field]] = {}
    others: list[_Field] = []
    for parent, field in group:
        fields = (
            of_objects.setdefault(parent, []) if isinstance(parent, GraphQLObjectType) else others
        )
        fields.append((parent, field))
    return [[*fields, *others] for fields in of_objects.values()] if of_objects else [others]


def _same_shape(fields: Iterable[_Field]) -> bool:
    """Whether the types of fields have the same lists, non-nulls, and scalars or enums."""
    types = {_type_of(parent, field) for parent, field in fields} - {None}
    return len(types) <= 1 or len({_shape(type_) for type_ in types if type_ is not None}) == 1


def _shape(type_: GraphQLOutputType) -> tuple[str, GraphQLOutputType | None]:
    wrappers = ""
    while isinstance(type_, GraphQLWrappingType):
        wrappers += "!" if isinstance(type_, GraphQLNonNull) else "["
        type_ = type_.of_type
    return wrappers, type_ if is_leaf_type(type_) else None


def _type_of(parent: _Parent, field: FieldNode) -> GraphQLOutputType | None:
    """Return the type of a field; None for meta-fields and unknown fields, like graphql-core."""
    if isinstance(parent, GraphQLObjectType | GraphQLInterfaceType):
        definition = parent.fields.get(field.name.value)
        return definition.type if definition is not None else None
    return None


def _below(fields: Iterable[_Field]) -> _Selections:
    """Return what is selected below fields that are merged, each selection set once."""
    below = {
        id(field.selection_set): (get_named_type(_type_of(parent, field)), field.selection_set)
        for parent, field in fields
        if field.selection_set is not None
    }
    return list(below.values())
