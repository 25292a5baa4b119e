"""Compute the expected response to a GraphQL query in plain Python.

This package implements visibility, filters, sort orders, pages, cursors, and errors a second time,
as directly as possible and without the SQL or the planner of the product. graphql-core's executor
resolves the operation field by field over plain objects.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any, cast

from graphql import (
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    GraphQLField,
    GraphQLInterfaceType,
    GraphQLObjectType,
    GraphQLSchema,
    InlineFragmentNode,
    ListValueNode,
    ObjectValueNode,
    OperationDefinitionNode,
    SelectionSetNode,
    ValueNode,
    VariableNode,
    execute_sync,
    get_named_type,
    is_non_null_type,
    type_from_ast,
)
from graphql.execution.values import (
    VariableValues,
    get_argument_values,
    get_directive_values,
    get_variable_values,
)
from graphql.type import GraphQLIncludeDirective, GraphQLSkipDirective

from tests.reference.arguments import lookup_problems, node_problems, page_problems, value_problems
from tests.reference.messages import (
    Error,
    Path,
    Problem,
    of_missing_permission,
    of_operation_name,
    of_problems,
)
from tests.reference.model import PERMISSIONS, Rows, may
from tests.reference.sight import Sight

Composite = GraphQLObjectType | GraphQLInterfaceType


@dataclass(frozen=True)
class Expected:
    """The expected response to a request."""

    status: int
    body: Mapping[str, Any]
    """The response without ``errors``."""
    errors: Sequence[Sequence[Error]] = ()
    """For each error, all forms that it may have. If several values are invalid, the response may
    name any one of them."""


class Reference:
    """Computes the expected responses for one viewer.

    Args:
        schema: The schema of the API.
        rows: All rows of all tables.
        profile_id: The profile of the viewer.
    """

    def __init__(self, schema: GraphQLSchema, rows: Rows, profile_id: int) -> None:
        self.schema = schema
        self.sight = Sight(rows, profile_id)

    def answer(
        self, document: DocumentNode, variables: Mapping[str, Any], operation_name: str | None
    ) -> Expected:
        """Return the expected response to a request with a valid document of queries."""
        operations = {
            definition.name.value if definition.name else None: definition
            for definition in document.definitions
            if isinstance(definition, OperationDefinitionNode)
        }
        if operation_name not in operations and (operation_name is not None or len(operations) > 1):
            known = [name for name in operations if name is not None]
            return Expected(400, {}, [[of_operation_name(known)]])
        if operation_name is None:
            definition = next(iter(operations.values()))
        else:
            definition = operations[operation_name]
        operation = _Operation(self.schema, document, definition)
        coerced = get_variable_values(
            self.schema,
            definition.variable_definitions or (),
            dict(variables),
        )
        if isinstance(coerced, VariableValues):
            operation.variables = coerced
            return self._executed(operation, document, operation_name, variables)
        return self._invalid_variables(operation, variables)

    def _invalid_variables(self, operation: _Operation, variables: Mapping[str, Any]) -> Expected:
        """Return the expected response to invalid variables. Missing permissions come first."""
        forbidden = [self._forbidden(name) for name in operation.root_names]
        if any(forbidden):
            return Expected(403, {}, [[error for error in forbidden if error is not None]])
        invalid: list[Problem] = []
        locations = []
        for definition in operation.node.variable_definitions or ():
            name = definition.variable.name.value
            path = operation.first_uses.get(name, (name,))
            type_: Any = type_from_ast(self.schema, definition.type)
            if name not in variables:
                missing = is_non_null_type(type_) and definition.default_value is None
                problems = [(path, "is required")] if missing else []
            else:
                problems = list(value_problems(type_, variables[name], path))
            if problems:
                invalid += problems
                assert definition.loc is not None
                token = definition.loc.start_token
                locations.append({"line": token.line, "column": token.column})
        return Expected(400, {}, [[of_problems(invalid) | {"locations": locations}]])

    def _forbidden(self, field: str) -> Error | None:
        permission, viewer = PERMISSIONS.get(field), self.sight.viewer
        if permission is None or may(viewer, permission):
            return None
        return of_missing_permission(field, permission, viewer["name"])

    def _executed(
        self,
        operation: _Operation,
        document: DocumentNode,
        operation_name: str | None,
        variables: Mapping[str, Any],
    ) -> Expected:
        errors: dict[str, list[Error]] = {}
        for key, field in operation.roots.items():
            forbidden = self._forbidden(field.name.value)
            problems = list(dict.fromkeys(operation.problems(key)))
            if forbidden or problems:
                assert field.loc is not None
                token = field.loc.start_token
                location = {"line": token.line, "column": token.column}
                members = {"path": [key], "locations": [location]}
                errors[key] = [(forbidden or of_problems(problems)) | members]
        data = None
        if not any(
            is_non_null_type(operation.definition(operation.roots[key]).type) for key in errors
        ):

            def null_on_error(value: Any, info: Any, **arguments: Any) -> Any:
                if info.path.key in errors:
                    return None
                return value(info, **arguments) if callable(value) else value

            result = execute_sync(
                self.schema,
                document,
                {name: partial(null_on_error, value) for name, value in self.sight.root.items()},
                variable_values=dict(variables),
                operation_name=operation_name,
            )
            assert not result.errors, result.errors
            data = result.data
        return Expected(200, {"data": data}, list(errors.values()))


class _Operation:
    """An operation: its root fields, and the problems with the arguments of each."""

    def __init__(
        self, schema: GraphQLSchema, document: DocumentNode, node: OperationDefinitionNode
    ) -> None:
        self.schema = schema
        self.node = node
        self.fragments = {
            definition.name.value: definition
            for definition in document.definitions
            if isinstance(definition, FragmentDefinitionNode)
        }
        query = schema.query_type
        assert query is not None
        self.query = query
        self.variables: VariableValues | None = None
        """The coerced variables. While this is None, @skip and @include are ignored."""

    @property
    def root_names(self) -> set[str]:
        """The names of the root fields, regardless of @skip and @include."""
        assert self.variables is None
        return {field.name.value for _, field in self._root_fields()}

    def _root_fields(self) -> Iterator[tuple[Composite, FieldNode]]:
        return self.fields(self.query, {self.query.name}, self.node.selection_set)

    @cached_property
    def first_uses(self) -> dict[str, Path]:
        """The path of the first use of each variable, regardless of @skip and @include."""
        paths: dict[str, Path] = {}
        self._uses(self.node.selection_set, (), paths, set())
        return paths

    def _uses(
        self, selected: SelectionSetNode, path: Path, paths: dict[str, Path], spread: set[str]
    ) -> None:
        for selection in selected.selections:
            inner: Path = path
            below: SelectionSetNode | None = None
            if isinstance(selection, FieldNode):
                inner = (*path, _key(selection))
                for argument in selection.arguments or ():
                    _variables(argument.value, (*inner, argument.name.value), paths)
            for directive in selection.directives or ():
                for argument in directive.arguments or ():
                    where = (*inner, f"@{directive.name.value}", argument.name.value)
                    _variables(argument.value, where, paths)
            if isinstance(selection, FieldNode | InlineFragmentNode):
                below = selection.selection_set
            elif (name := cast("Any", selection).name.value) not in spread:
                spread.add(name)
                below = self.fragments[name].selection_set
            if below is not None:
                self._uses(below, inner, paths, spread)

    @cached_property
    def selected(self) -> list[tuple[Composite, FieldNode]]:
        assert self.variables is not None
        return list(self._root_fields())

    @cached_property
    def roots(self) -> dict[str, FieldNode]:
        """The first field of each response key, in order."""
        fields: dict[str, FieldNode] = {}
        for _, field in self.selected:
            fields.setdefault(_key(field), field)
        return {key: field for key, field in fields.items() if field.name.value != "__typename"}

    def definition(self, root: FieldNode) -> GraphQLField:
        field: GraphQLField = self.query.fields[root.name.value]
        return field

    def fields(
        self, type_: Composite, possible: set[str], selection_set: SelectionSetNode
    ) -> Iterator[tuple[Composite, FieldNode]]:
        """Yield the selected fields, each with the type that it is selected on.

        Args:
            possible: The names of the possible object types.
        """
        for selection in selection_set.selections:
            if not self.included(selection):
                continue
            if isinstance(selection, FieldNode):
                yield type_, selection
                continue
            inner: Any = (
                selection
                if isinstance(selection, InlineFragmentNode)
                else self.fragments[cast("Any", selection).name.value]
            )
            narrowed: Any = type_
            if inner.type_condition is not None:
                narrowed = self.schema.type_map[inner.type_condition.name.value]
            remaining = possible & self.object_types(narrowed)
            if remaining:
                yield from self.fields(narrowed, remaining, inner.selection_set)

    def object_types(self, type_: Composite) -> set[str]:
        if isinstance(type_, GraphQLInterfaceType):
            return {possible.name for possible in self.schema.get_possible_types(type_)}
        return {type_.name}

    def included(self, node: Any) -> bool:
        if self.variables is None:
            return True
        skip = get_directive_values(GraphQLSkipDirective, node, self.variables)
        include = get_directive_values(GraphQLIncludeDirective, node, self.variables)
        return not (skip and skip["if"]) and bool(include is None or include["if"])

    def problems(self, key: str) -> Iterator[Problem]:
        """Yield the problems with the arguments of a root field and of all fields below it."""
        for type_, field in self.selected:
            if _key(field) == key:
                yield from self._problems(type_, field, ())

    def _problems(self, type_: Composite, field: FieldNode, parent: Path) -> Iterator[Problem]:
        if field.name.value == "__typename":
            return
        definition, path = type_.fields[field.name.value], (*parent, _key(field))
        arguments = get_argument_values(definition, field, self.variables)
        target: Any = get_named_type(definition.type)
        if "first" in definition.args:
            node: Any = get_named_type(target.fields["nodes"].type)
            yield from page_problems(node.name, arguments, path)
        elif type_ is self.query and field.name.value in ("node", "nodes"):
            yield from node_problems(arguments, path)
        elif type_ is self.query and definition.args:
            yield from lookup_problems(target.name, arguments, path)
        if field.selection_set is not None:
            inner = self.fields(target, self.object_types(target), field.selection_set)
            for inner_type, selected in inner:
                yield from self._problems(inner_type, selected, path)


def _key(field: FieldNode) -> str:
    return field.alias.value if field.alias else field.name.value


def _variables(value: ValueNode, path: Path, paths: dict[str, Path]) -> None:
    """Add the paths of the variables in a value that were not used before."""
    match value:
        case VariableNode():
            paths.setdefault(value.name.value, path)
        case ListValueNode():
            for index, item in enumerate(value.values):
                _variables(item, (*path, index), paths)
        case ObjectValueNode():
            for field in value.fields:
                _variables(field.value, (*path, field.name.value), paths)
