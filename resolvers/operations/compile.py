"""Compile queries to SQL, once for each shape of their variables and each scope of a viewer."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple, cast

import orjson
import strawberry
from graphql import (
    FieldNode,
    GraphQLField,
    GraphQLObjectType,
    OperationDefinitionNode,
    OperationType,
    SelectionSetNode,
    is_non_null_type,
)

from resolvers.errors.catalogue import FieldProblem, GatewayError, bad_value
from resolvers.graphql_adapter import core_schema, permission_of, print_schema
from resolvers.operations.documents import SCHEMA_FIELDS, Document, Operation, read_document
from resolvers.operations.limits import Limits
from resolvers.operations.parameters import RunValues, fill
from resolvers.operations.plan import Planner
from resolvers.operations.planning import Planning
from resolvers.operations.variables import shape_of, with_references
from resolvers.values.enums import Permission
from storage.reads.plan import Read, Scope, Slot, ValueFormat
from storage.reads.statement import Statement, compile_read

_MAX_CACHED_DOCUMENT = 16 * 1024
"""Characters. A longer document is not cached, so that the cache's length bounds its memory."""


@dataclass(frozen=True, slots=True)
class CompiledRead:
    """A root field's plan, compiled to SQL."""

    statement: Statement
    validated_only: tuple[Slot, ...] = ()
    """Slots that have to be valid although the SQL does not use them, such as the size of a page of
    which only the total count is selected."""

    def arguments(self, values: RunValues) -> list[object]:
        """Return the parameters of one run; raise ``BAD_USER_INPUT`` if one is not valid."""
        slots = self.statement.slots
        if not self.validated_only:
            return fill(slots, values)
        return fill((*slots, *self.validated_only), values)[: len(slots)]


@dataclass(frozen=True, slots=True)
class CompiledField:
    """A root field of a query, ready to run.

    It is answered by its ``constant``, its ``error``, or its ``read``, which is not run if there
    are ``problems`` with its arguments. Without any of them it selects the schema.
    """

    key: str
    node: FieldNode
    non_null: bool
    opening: bytes
    """What precedes its value in an answer: the key as JSON, and a colon."""
    permission: Permission | None = None
    constant: bytes | None = None
    error: GatewayError | None = None
    read: CompiledRead | None = None
    problems: tuple[FieldProblem, ...] = ()
    slots: tuple[Slot, ...] = ()
    """Slots whose values may have further problems."""


@dataclass(frozen=True, slots=True)
class CompiledQuery:
    """A query, ready to run with any variables of one shape by any viewer of one scope."""

    fields: tuple[CompiledField, ...]
    introspection: OperationDefinitionNode | None
    """The operation that selects its root fields ``__schema`` and ``__type`` alone, if any."""


class CacheInfo(NamedTuple):
    """Statistics of the cache of compiled queries, since the start."""

    hits: int
    misses: int
    size: int


class OperationCompiler:
    """Compiles operations against one schema.

    Args:
        cache_size: The number of documents, and of compiled queries, to cache.
        max_tokens: The maximum number of lexical tokens of a document.
    """

    def __init__(
        self,
        schema: strawberry.Schema,
        limits: Limits,
        *,
        cache_size: int = 1000,
        max_tokens: int = 4000,
    ) -> None:
        self._strawberry_schema = schema
        self.schema = core_schema(schema)
        self.limits = limits
        self._max_tokens = max_tokens
        self._cached_document = lru_cache(cache_size)(self._read_document)
        self._cached_query = lru_cache(cache_size)(self._compile)

    def sdl(self) -> str:
        """Print the schema in the schema definition language."""
        return print_schema(self._strawberry_schema)

    def cache_info(self) -> CacheInfo:
        """Return the statistics of the cache of compiled queries."""
        info = self._cached_query.cache_info()
        return CacheInfo(info.hits, info.misses, info.currsize)

    def document(self, text: str) -> Document:
        """Parse and validate a document; the errors are part of the result."""
        if len(text) > _MAX_CACHED_DOCUMENT:
            return self._read_document(text, cacheable=False)
        return self._cached_document(text)

    def query(
        self, operation: Operation, variables: Mapping[str, Any], scope: Scope
    ) -> CompiledQuery:
        """Return a query, ready to run with any variables of the same shape.

        The cache's key is the operation, the shape of its variables and the scope. Nothing else
        affects the compiled query.

        Args:
            variables: Coerced to their types.

        Raises:
            GatewayError: ``BAD_USER_INPUT``, if it has too many root fields.
        """
        compile_ = self._cached_query if operation.cacheable else self._compile
        return compile_(operation, shape_of(variables), scope)

    def planner(
        self, operation: Operation, variables: Mapping[str, Any], *, unpaged: bool = False
    ) -> Planner:
        """Return the planner of an operation's root fields.

        Args:
            variables: Coerced, with references in place of what each run supplies.
            unpaged: Whether connections return all rows, as the legacy operations need. Those
                are part of the gateway, so the limits for clients do not apply to them.
        """
        limits = Limits() if unpaged else self.limits
        planning = Planning(operation.fragments, variables, limits)
        return Planner(self.schema, planning, unpaged=unpaged)

    def _read_document(self, text: str, *, cacheable: bool = True) -> Document:
        return read_document(text, self.schema, max_tokens=self._max_tokens, cacheable=cacheable)

    def _compile(self, operation: Operation, shape: Hashable, scope: Scope) -> CompiledQuery:
        query = cast(GraphQLObjectType, self.schema.query_type)
        planner = self.planner(operation, with_references(shape))
        fields = planner.collect(query, [operation.definition.selection_set])
        if len(fields) > self.limits.root_fields:
            most = self.limits.root_fields
            raise bad_value((), f"the operation has more than {most} fields at its root")
        schema_nodes = [
            node for nodes in fields.values() for node in nodes if node.name.value in SCHEMA_FIELDS
        ]
        return CompiledQuery(
            tuple(self._compile_field(planner, key, nodes, scope) for key, nodes in fields.items()),
            _select_only(operation.definition, schema_nodes) if schema_nodes else None,
        )

    def _compile_field(
        self, planner: Planner, key: str, nodes: Sequence[FieldNode], scope: Scope
    ) -> CompiledField:
        node, opening = nodes[0], b"%b:" % orjson.dumps(key)
        query = cast(GraphQLObjectType, self.schema.query_type)
        name = node.name.value
        if name == "__typename":
            return CompiledField(key, node, True, opening, constant=orjson.dumps(query.name))
        if name in SCHEMA_FIELDS:
            return CompiledField(key, node, name == "__schema", opening)
        definition: GraphQLField = query.fields[name]
        non_null, permission = is_non_null_type(definition.type), permission_of(definition)
        try:
            planned = planner.root(definition, key, nodes)
            read = compile_planned(planned.read, planned.slots, scope)
        except GatewayError as error:
            return CompiledField(key, node, non_null, opening, permission, error=error)
        except RecursionError:
            too_deep = bad_value((), "the operation is nested too deeply")
            return CompiledField(key, node, non_null, opening, permission, error=too_deep)
        return CompiledField(
            key,
            node,
            non_null,
            opening,
            permission,
            read=read,
            problems=planned.problems,
            slots=planned.slots,
        )


def compile_planned(
    read: Read,
    slots: Sequence[Slot],
    scope: Scope,
    value_format: ValueFormat = ValueFormat.GRAPHQL,
    compile_: Callable[[Any, Scope, ValueFormat], Statement] = compile_read,
) -> CompiledRead:
    """Compile a planned read. All ``slots`` have to be valid, even those that the SQL omits."""
    statement = compile_(read, scope, value_format)
    used = frozenset(statement.slots)
    return CompiledRead(statement, tuple(slot for slot in slots if slot not in used))


def _select_only(
    definition: OperationDefinitionNode, nodes: Sequence[FieldNode]
) -> OperationDefinitionNode:
    """Return the operation with only these root fields."""
    return OperationDefinitionNode(
        operation=OperationType.QUERY,
        variable_definitions=definition.variable_definitions,
        selection_set=SelectionSetNode(selections=tuple(nodes)),
    )
