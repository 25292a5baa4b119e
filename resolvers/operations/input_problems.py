"""Describe values that do not fit their GraphQL types, as problems of the operation's arguments.

The problems have the paths of the values and say what was expected, in the words that are used for
all bad input. Values of variables are checked here; literals are checked by graphql-core.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, TypeAlias

from graphql import (
    ArgumentNode,
    BooleanValueNode,
    DocumentNode,
    EnumValueNode,
    FieldNode,
    FloatValueNode,
    FragmentDefinitionNode,
    GraphQLEnumType,
    GraphQLError,
    GraphQLInputObjectType,
    GraphQLInputType,
    GraphQLLeafType,
    GraphQLSchema,
    IntValueNode,
    ListValueNode,
    NullValueNode,
    ObjectValueNode,
    OperationDefinitionNode,
    OperationType,
    SelectionNode,
    SelectionSetNode,
    StringValueNode,
    Undefined,
    ValidationContext,
    ValueNode,
    ValuesOfCorrectTypeRule,
    VariableDefinitionNode,
    VariableNode,
    get_named_type,
    get_nullable_type,
    is_input_object_type,
    is_leaf_type,
    is_list_type,
    is_non_null_type,
    is_required_input_field,
    specified_rules,
    type_from_ast,
)
from graphql.language import VisitorAction
from graphql.utilities import validate_input_literal

from resolvers.errors.catalogue import FieldProblem
from resolvers.errors.translate import InvalidLiteralError
from resolvers.operations.selection import fragments_of, operations_of, walk_selections
from resolvers.values.text import describe

Path: TypeAlias = tuple[str | int, ...]
Fragments: TypeAlias = Mapping[str, FragmentDefinitionNode]

_MAX_PROBLEMS = 10_000
"""Problems after which checking stops: a body of 1 MB could have half a million."""

_SCALARS = {
    "Int": "an integer",
    "Float": "a number",
    "String": "text",
    "ID": "an id",
    "Boolean": "true or false",
    "DateTime": "a date and time with an offset, such as 2024-02-29T12:00:00Z",
}


class _Word(str):
    """A literal that is shown without quotes: an enum value, or a variable."""

    __slots__ = ()


# Variables -------------------------------------------------------------------------------------


def variable_problems(
    schema: GraphQLSchema,
    operation: OperationDefinitionNode,
    fragments: Fragments,
    values: Mapping[str, Any],
) -> tuple[list[VariableDefinitionNode], list[FieldProblem]]:
    """Return the variables whose values do not fit, and all problems with them.

    The path of a problem begins with the argument that the variable is first used for, or with the
    variable's own name if it is not used.

    Args:
        operation: An operation of a valid document.
        values: The values as the client sent them, by variable name.
    """
    paths = _variable_paths(operation, fragments)
    definitions: list[VariableDefinitionNode] = []
    problems: list[FieldProblem] = []
    for definition in operation.variable_definitions or ():
        name = definition.variable.name.value
        path = paths.get(name, (name,))
        count = len(problems)
        type_: Any = type_from_ast(schema, definition.type)
        if name in values:
            problems += islice(_value_problems(type_, values[name], path), _MAX_PROBLEMS - count)
        elif is_non_null_type(type_) and definition.default_value is None:
            problems.append(FieldProblem(path, "is required"))
        if len(problems) > count:
            definitions.append(definition)
    return definitions, problems


def _value_problems(type_: Any, value: Any, path: Path) -> Iterator[FieldProblem]:
    """Yield the problems with a value for a variable.

    graphql-core has such a function, but it writes the whole value into each message.
    """
    # A stack: no nesting of values is too deep for it.
    pending: list[tuple[Any, Any, Path]] = [(type_, value, path)]
    while pending:
        type_, value, path = pending.pop()
        if value is None:
            if is_non_null_type(type_):
                yield FieldProblem(path, _null_problem(path))
            continue
        type_ = get_nullable_type(type_)
        if is_list_type(type_):
            if isinstance(value, list):
                items = [(type_.of_type, item, (*path, i)) for i, item in enumerate(value)]
                pending += reversed(items)
            else:  # A list with one item may be written as that item.
                pending.append((type_.of_type, value, path))
        elif is_leaf_type(type_):
            if not _fits(type_, value):
                yield FieldProblem(path, _misfit(type_, value))
        elif not isinstance(value, dict):
            yield FieldProblem(path, _misfit(type_, value))
        else:
            for inner, message in _object_reasons(type_, value):
                yield FieldProblem((*path, *inner), message)
            known = [name for name in type_.fields if name in value]
            if type_.is_one_of and len(known) != 1:
                yield FieldProblem(path, _one_of_problem(type_))
            elif type_.is_one_of and value[known[0]] is None:
                yield FieldProblem((*path, known[0]), "must not be null")
            members = [(type_.fields[name].type, value[name], (*path, name)) for name in known]
            pending += reversed(members)


def _fits(type_: GraphQLLeafType, value: Any) -> bool:
    """Whether a scalar or an enum accepts a value that is not null."""
    try:
        return type_.coerce_input_value(value) is not Undefined
    except (GraphQLError, ValueError, TypeError):
        return False


def _variable_paths(operation: OperationDefinitionNode, fragments: Fragments) -> dict[str, Path]:
    """Return the path of the first use of each variable."""
    paths: dict[str, Path] = {}
    for argument_path, argument in _arguments(operation, fragments):
        pending: list[tuple[Path, ValueNode]] = [(argument_path, argument.value)]
        while pending:
            path, node = pending.pop()
            if isinstance(node, VariableNode):
                paths.setdefault(node.name.value, path)
            elif isinstance(node, ListValueNode):
                items = [((*path, index), item) for index, item in enumerate(node.values)]
                pending += reversed(items)
            elif isinstance(node, ObjectValueNode):
                members = [((*path, field.name.value), field.value) for field in node.fields]
                pending += reversed(members)
    return paths


def _arguments(
    operation: OperationDefinitionNode, fragments: Fragments
) -> Iterator[tuple[Path, ArgumentNode]]:
    """Yield every argument of an operation with its path, in document order.

    A path has the response keys of the fields that lead to the argument, as the paths of the
    planner have them, except that of a mutation's root field: the path of the error names it.
    """
    expanded: set[str] = set()

    def walk(selection_set: SelectionSetNode) -> Iterator[SelectionNode]:
        return walk_selections([selection_set], fragments, expanded=expanded)

    root: Path | None = None if operation.operation is OperationType.MUTATION else ()
    # A stack of iterators: no nesting of fields is too deep for it.
    stack = [(root, walk(operation.selection_set))]
    while stack:
        above, selections = stack[-1]
        selection = next(selections, None)
        if selection is None:
            stack.pop()
            continue
        path = above or ()
        if isinstance(selection, FieldNode):
            key = (selection.alias or selection.name).value
            path = () if above is None else (*above, key)
            for argument in selection.arguments or ():
                yield (*path, argument.name.value), argument
            if selection.selection_set is not None:
                stack.append((path, walk(selection.selection_set)))
        for directive in selection.directives or ():
            for argument in directive.arguments or ():
                yield (*path, f"@{directive.name.value}", argument.name.value), argument


# Literals --------------------------------------------------------------------------------------


class LiteralValuesRule(ValuesOfCorrectTypeRule):
    """Report literals that do not fit their types, each with its path in the arguments."""

    def __init__(self, context: ValidationContext) -> None:
        super().__init__(context)
        self._holder: ArgumentNode | VariableDefinitionNode | None = None
        self._paths: dict[int, Path] | None = None

    def enter_argument(self, node: ArgumentNode, *_: Any) -> None:
        """Remember the argument that the next literals are part of."""
        self._holder = node

    def enter_variable_definition(self, node: VariableDefinitionNode, *_: Any) -> None:
        """Remember the variable that the next literal is the default value of."""
        self._holder = node

    def is_valid_value_node(
        self, node: ValueNode, input_type: GraphQLInputType | None
    ) -> VisitorAction:
        """Report the problems with one literal as one error."""
        if input_type is None:
            return super().is_valid_value_node(node, input_type)
        errors: list[tuple[GraphQLError, Path]] = []

        def on_error(error: GraphQLError, inner: Sequence[str | int]) -> None:
            errors.append((error, tuple(inner)))

        validate_input_literal(node, input_type, on_error)
        if errors:
            reasons = _Reasons(input_type, _plain(node), self._path())
            problems = [reasons.next_at(inner) for _, inner in errors]
            self.report_error(InvalidLiteralError([error for error, _ in errors], problems))
        return super().is_valid_value_node(node, None)

    def _path(self) -> Path:
        """Return the path of the argument, or the name of the variable, that has the literal."""
        if isinstance(self._holder, VariableDefinitionNode):
            return (self._holder.variable.name.value,)
        if self._holder is None:
            return ()
        if self._paths is None:
            self._paths = _argument_paths(self.context.document)
        return self._paths.get(id(self._holder), (self._holder.name.value,))


VALIDATION_RULES = tuple(
    LiteralValuesRule if rule is ValuesOfCorrectTypeRule else rule for rule in specified_rules
)
"""The validation rules of GraphQL. The rule for literals also reports the paths of problems."""


def _argument_paths(document: DocumentNode) -> dict[int, Path]:
    """Return the path of every argument of every operation, by the identity of its node."""
    fragments = fragments_of(document)
    paths: dict[int, Path] = {}
    for definition in operations_of(document):
        for path, argument in _arguments(definition, fragments):
            paths.setdefault(id(argument), path)
    return paths


def _plain(node: ValueNode) -> Any:
    """Return the value of a literal, for messages."""
    match node:
        case NullValueNode():
            return None
        case ObjectValueNode():
            return {field.name.value: _plain(field.value) for field in node.fields}
        case ListValueNode():
            return [_plain(item) for item in node.values]
        case StringValueNode() | BooleanValueNode():
            return node.value
        case IntValueNode():
            return int(node.value)
        case FloatValueNode():
            return float(node.value)
        case EnumValueNode():
            return _Word(node.value)
        case VariableNode():
            return _Word(f"${node.name.value}")
    raise TypeError(f"unknown literal {node.kind}")


# Messages --------------------------------------------------------------------------------------


class _Reasons:
    """Describes the errors that graphql-core reports about one value, in its order."""

    def __init__(self, type_: GraphQLInputType, value: Any, path: Path) -> None:
        self._type = type_
        self._value = value
        self._path = path
        self._pending: dict[Path, Iterator[tuple[Path, str]]] = {}

    def next_at(self, inner: Path) -> FieldProblem:
        """Return the problem behind the next error that is reported at a path in the value."""
        if inner not in self._pending:
            self._pending[inner] = self._at(inner)
        below, message = next(self._pending[inner])
        return FieldProblem((*self._path, *inner, *below), message)

    def _at(self, inner: Path) -> Iterator[tuple[Path, str]]:
        type_, value = self._type, self._value
        for part in inner:
            type_, value = _type_below(type_, part), value[part]
        named: Any = get_named_type(type_)
        if value is None:
            path = (*self._path, *inner)
            yield (), _null_problem(path) if is_non_null_type(type_) else "must not be null"
        elif is_input_object_type(named) and isinstance(value, dict):
            yield from _object_reasons(named, value)
            if named.is_one_of:
                yield (), _one_of_problem(named)
        while True:
            yield (), _misfit(named, value)


def _null_problem(path: Path) -> str:
    """Return the problem of a null at a path that may not have one."""
    return "must not be null" if isinstance(path[-1], int) else "is required"


def _misfit(type_: Any, value: Any) -> str:
    """Return the problem of a value that a named type does not accept."""
    shown = str(value) if isinstance(value, _Word) else describe(value)
    return f"expected {_expected(type_, value)}, got {shown}"


def _one_of_problem(type_: GraphQLInputObjectType) -> str:
    return f"expected exactly one of {', '.join(type_.fields)}"


def _object_reasons(
    type_: GraphQLInputObjectType, value: Mapping[str, Any]
) -> Iterator[tuple[Path, str]]:
    """Yield which fields of an object are missing, and which are unknown."""
    for name, field in type_.fields.items():
        if name not in value and is_required_input_field(field):
            yield (name,), "is required"
    for name in value:
        if name not in type_.fields:
            yield (name,), "is not a known field"


def _type_below(type_: GraphQLInputType, part: str | int) -> Any:
    """Return the type of a list's item, or of an object's field."""
    inner: Any = get_nullable_type(type_)
    if isinstance(part, int):
        return inner.of_type
    # A list with one item may be written as that item.
    while is_list_type(inner):
        inner = get_nullable_type(inner.of_type)
    return inner.fields[part].type


def _expected(type_: Any, value: Any) -> str:
    """Return what a named type expects instead of a value."""
    if isinstance(type_, GraphQLEnumType):
        return f"one of {', '.join(type_.values)}"
    if isinstance(type_, GraphQLInputObjectType):
        return "an object"
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if type_.name == "Int" and is_number and value == value // 1:
        return "an integer from -2147483648 to 2147483647"
    return _SCALARS.get(type_.name, f"a value of type {type_.name}")
