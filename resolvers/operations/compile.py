"""In charge of compiling operations: parsed and validated once, and planned into SQL once for each
shape of their variables and each scope of a viewer. It asks no database.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple, cast

import orjson
import strawberry
from graphql import (
    FieldNode,
    FragmentDefinitionNode,
    GraphQLError,
    GraphQLObjectType,
    GraphQLSchema,
    NamedTypeNode,
    NonNullTypeNode,
    OperationDefinitionNode,
    OperationType,
    is_non_null_type,
    parse,
    validate,
)
from graphql.execution.values import VariableValues
from strawberry.printer import print_schema

from resolvers.errors.catalogue import GatewayError, bad_value
from resolvers.operations.context import permission_of
from resolvers.operations.limits import (
    introspects_too_much,
    refuse_long_documents,
    refuse_long_numbers,
    reworded,
)
from resolvers.operations.plan import Limits, Planner
from resolvers.operations.variables import marked, shape_of
from resolvers.values.enums import Permission
from storage.reads.objects import Statement, compile_read
from storage.reads.plan import PageNodes, ReadPage, Rendering, Scope, Visibility

_LARGEST_KEPT_DOCUMENT = 16 * 1024
"""Characters; a longer document is not kept, so that a cache's length bounds its memory."""

_SCHEMA_FIELDS = frozenset({"__schema", "__type"})
INTROSPECTION_FIELDS = _SCHEMA_FIELDS | {"__typename"}
"""Root fields that ask for nothing but the schema."""


_PLAIN_TYPES: Mapping[str, type] = {"Int": int, "String": str, "ID": str, "Boolean": bool}


class PlainVariable(NamedTuple):
    """A variable that is a single value of a plain type."""

    name: str
    type_: type
    nullable: bool
    has_default: bool


@dataclass(frozen=True, slots=True)
class Operation:
    """An operation of a valid document, with what every request for it is judged by."""

    definition: OperationDefinitionNode
    root_names: frozenset[str]
    """The names of its root fields, whatever ``@skip`` and ``@include`` say."""
    variables: tuple[PlainVariable, ...] | None
    """Its variables; None where one of them is an object, a list or an enum."""
    introspects_too_much: bool

    @property
    def introspects(self) -> bool:
        """Whether it asks for the schema; raises ``BAD_USER_INPUT`` if too often."""
        if self.introspects_too_much:
            raise bad_value((), "the operation asks for the schema too often")
        return not self.root_names.isdisjoint(_SCHEMA_FIELDS)

    @property
    def only_introspects(self) -> bool:
        """Whether it asks for nothing but the schema."""
        return self.root_names <= INTROSPECTION_FIELDS


@dataclass(frozen=True, slots=True)
class Document:
    """A parsed document: valid, or with the errors that it has."""

    operations: Mapping[str | None, Operation]
    """None of them where the document is not valid."""
    fragments: Mapping[str, FragmentDefinitionNode]
    errors: tuple[GraphQLError, ...] = ()

    def operation(self, name: str | None) -> Operation:
        """The operation to run; raises ``BAD_USER_INPUT`` where that is not clear."""
        if name is None and len(self.operations) == 1:
            return next(iter(self.operations.values()))
        if name is None or name not in self.operations:
            known = ", ".join(list(filter(None, self.operations))[:10])
            raise bad_value(
                ("operationName",),
                f"expected one of the document's operations: {known}"
                if known
                else "there is no such operation in the document",
            )
        return self.operations[name]


@dataclass(frozen=True, slots=True)
class CompiledField:
    """A root field of a query, ready to run."""

    key: str
    node: FieldNode
    non_null: bool
    opening: bytes
    """What stands before its value in an answer: the key as JSON, and a colon."""
    permission: Permission | None = None
    statement: Statement | None = None
    """None for ``__typename``, and where compiling found the arguments wrong."""
    constant: bytes = b"null"
    error: GatewayError | None = None


@dataclass(frozen=True, slots=True)
class LegacyOperation:
    """An operation of a legacy dialect, ready to run.

    It has one root field. What the route answers with is the value at ``path`` in the data, with
    words and states written as the dialects do.
    """

    document: Document
    definition: OperationDefinitionNode
    path: tuple[str, ...]
    permission: Permission | None
    statements: Mapping[Scope, Statement]
    """Of a query, for each scope that a viewer can have; empty for a mutation."""


class CacheInfo(NamedTuple):
    """The cache of compiled operations, since the start."""

    hits: int
    misses: int
    size: int


class OperationCompiler:
    """Compiles operations against one schema.

    Args:
        cache_size: how many documents, and how many compiled operations, are kept.
        max_tokens: lexical tokens that a document may have.
    """

    def __init__(
        self,
        schema: strawberry.Schema,
        limits: Limits,
        *,
        cache_size: int = 1000,
        max_tokens: int = 4000,
    ) -> None:
        self._strawberry = schema
        self.schema: GraphQLSchema = schema._schema
        self.limits = limits
        self._max_tokens = max_tokens
        self._kept_document = lru_cache(cache_size)(self._parse)
        self._kept_query = lru_cache(cache_size)(self._compile)

    def sdl(self) -> str:
        """The schema, printed."""
        return print_schema(self._strawberry)

    def cache_info(self) -> CacheInfo:
        """How well the compiled operations serve again."""
        info = self._kept_query.cache_info()
        return CacheInfo(info.hits, info.misses, info.currsize)

    def document(self, text: str) -> Document:
        """A document, parsed and validated; its errors are part of it."""
        if len(text) > _LARGEST_KEPT_DOCUMENT:
            return self._parse(text)
        return self._kept_document(text)

    def query(
        self, text: str, operation_name: str | None, variables: Mapping[str, Any], scope: Scope
    ) -> tuple[CompiledField, ...]:
        """A query's root fields, ready to run with any variables of the same shape.

        Args:
            text: a valid document.
            variables: coerced to their types.
        """
        compile_ = self._compile if len(text) > _LARGEST_KEPT_DOCUMENT else self._kept_query
        return compile_(text, operation_name, shape_of(variables), scope)

    def _parse(self, text: str) -> Document:
        return self._read(text, self._max_tokens)

    def _read(self, text: str, max_tokens: int | None = None) -> Document:
        try:
            refuse_long_documents(text)
            ast = parse(text, max_tokens=max_tokens)
            refuse_long_numbers(text, ast)
            errors = [reworded(error) for error in validate(self.schema, ast)]
        except GraphQLError as error:
            return Document({}, {}, (error,))
        except RecursionError:
            return Document({}, {}, (GraphQLError("the document is nested too deeply"),))
        if errors:
            return Document({}, {}, tuple(errors))
        fragments = {
            definition.name.value: definition
            for definition in ast.definitions
            if isinstance(definition, FragmentDefinitionNode)
        }
        operations = {
            definition.name.value if definition.name else None: _operation(definition, fragments)
            for definition in ast.definitions
            if isinstance(definition, OperationDefinitionNode)
        }
        return Document(operations, fragments)

    def _compile(
        self, text: str, operation_name: str | None, shape: Hashable, scope: Scope
    ) -> tuple[CompiledField, ...]:
        """Compile a query. Its arguments are all that the result depends on: the cache's key."""
        document = self.document(text)
        operation = document.operation(operation_name).definition
        root = cast(GraphQLObjectType, self.schema.query_type)
        planner = self._planner(document, shape)
        fields = planner.collect(root, [operation.selection_set])
        if len(fields) > self.limits.root_fields:
            most = self.limits.root_fields
            raise bad_value((), f"the operation has more than {most} fields at its root")
        compiled = []
        for key, nodes in fields.items():
            node, opening = nodes[0], b"%b:" % orjson.dumps(key)
            if node.name.value == "__typename":
                typename = orjson.dumps(root.name)
                compiled.append(CompiledField(key, node, True, opening, constant=typename))
                continue
            definition = root.fields[node.name.value]
            statement, wrong = None, None
            try:
                statement = compile_read(planner.root(definition, key, nodes), scope)
            except GatewayError as error:
                wrong = error
            except RecursionError:
                wrong = bad_value((), "the operation is nested too deeply")
            compiled.append(
                CompiledField(
                    key,
                    node,
                    is_non_null_type(definition.type),
                    opening,
                    permission_of(definition),
                    statement,
                    error=wrong,
                )
            )
        return tuple(compiled)

    def _planner(self, document: Document, shape: Hashable, *, unpaged: bool = False) -> Planner:
        variables = VariableValues({}, marked(shape))
        # What limits clients does not limit the gateway's own operations.
        limits = Limits() if unpaged else self.limits
        return Planner(self.schema, document.fragments, variables, limits, unpaged=unpaged)

    def prepare(self, text: str, name: str, path: Sequence[str]) -> LegacyOperation:
        """Validate and compile an operation of a legacy dialect.

        Args:
            text: the dialect's document of operations.
            name: the operation's name in it.
            path: where in the data the route's answer stands, as response keys.

        Raises:
            ValueError: the operation does not fit the schema; the message names the field.
        """
        document = self._read(text)
        if document.errors:
            raise ValueError("; ".join(error.message for error in document.errors))
        if name not in document.operations:
            raise ValueError(f"there is no operation {name}")
        operation = document.operations[name].definition
        root = cast(GraphQLObjectType, self.schema.get_root_type(operation.operation))
        # Every variable of a legacy query is a single value that is always given.
        shape = shape_of({v.variable.name.value: "" for v in operation.variable_definitions or ()})
        planner = self._planner(document, shape, unpaged=True)
        fields = planner.collect(root, [operation.selection_set])
        if list(fields) != [path[0]]:
            raise ValueError(f"expected the one root field {path[0]}, found {', '.join(fields)}")
        ((key, nodes),) = fields.items()
        definition = root.fields[nodes[0].name.value]
        statements = {}
        if operation.operation is OperationType.QUERY:
            read = planner.root(definition, key, nodes)
            parts = read.page.parts if isinstance(read, ReadPage) else ()
            shown = all(isinstance(part, PageNodes) for part in parts)
            if not shown or tuple(path[1:]) != tuple(part.key for part in parts):
                raise ValueError(f"the operation selects more than {'.'.join(path)}")
            statements = {
                scope: compile_read(read, scope, Rendering.LEGACY, listed=True)
                for scope in (Scope(seen, admin) for seen in Visibility for admin in (True, False))
            }
        return LegacyOperation(
            document, operation, tuple(path), permission_of(definition), statements
        )


def _operation(
    definition: OperationDefinitionNode, fragments: Mapping[str, FragmentDefinitionNode]
) -> Operation:
    names = _root_names(definition, fragments)
    too_much = not names.isdisjoint(_SCHEMA_FIELDS) and introspects_too_much(
        definition.selection_set, fragments
    )
    return Operation(definition, names, _plain_variables(definition), too_much)


def _root_names(
    definition: OperationDefinitionNode, fragments: Mapping[str, FragmentDefinitionNode]
) -> frozenset[str]:
    names: set[str] = set()
    pending: list[Any] = [definition.selection_set]
    spread: set[str] = set()
    while pending:
        for selection in pending.pop().selections:
            if isinstance(selection, FieldNode):
                names.add(selection.name.value)
            elif hasattr(selection, "selection_set"):
                pending.append(selection.selection_set)
            elif selection.name.value not in spread:
                spread.add(selection.name.value)
                pending.append(fragments[selection.name.value].selection_set)
    return frozenset(names)


def _plain_variables(definition: OperationDefinitionNode) -> tuple[PlainVariable, ...] | None:
    found = []
    for variable in definition.variable_definitions or ():
        type_, nullable = variable.type, True
        if isinstance(type_, NonNullTypeNode):
            type_, nullable = type_.type, False
        plain = _PLAIN_TYPES.get(type_.name.value) if isinstance(type_, NamedTypeNode) else None
        if plain is None:
            return None
        name, has_default = variable.variable.name.value, variable.default_value is not None
        found.append(PlainVariable(name, plain, nullable, has_default))
    return tuple(found)
