"""Compile operations to SQL, once for each shape of their variables and each scope of a viewer."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

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
from resolvers.operations.cache import CacheInfo, DocumentCache
from resolvers.operations.cost import NOTHING, Estimate, constant_cost, estimate, largest_cost
from resolvers.operations.documents import SCHEMA_FIELDS, Document, Operation, read_document
from resolvers.operations.limits import UNLIMITED, Limits
from resolvers.operations.parameters import RunValues, fill
from resolvers.operations.plan import Planner
from resolvers.operations.planning import Planning
from resolvers.operations.variables import shape_of, with_references
from resolvers.operations.worker import Worker
from resolvers.values.enums import Permission
from storage.reads.plan import Read, Scope, Slot, ValueFormat
from storage.reads.statement import Statement, compile_read

_LONG_DOCUMENT = 2000
"""Characters from which a document is read in a thread: it may take several milliseconds."""
_BYTES_PER_QUERY = 1000
_BYTES_PER_SQL_CHARACTER = 5
"""Memory of a compiled query for each character of its SQL, with the slots."""


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
    estimate: Estimate = NOTHING
    """What it costs."""


@dataclass(frozen=True, slots=True)
class CompiledQuery:
    """A query or subscription, ready to run with variables of one shape by viewers of one scope."""

    fields: tuple[CompiledField, ...]
    introspection: OperationDefinitionNode | None
    """The operation that selects its root fields ``__schema`` and ``__type`` alone, if any."""
    constant_cost: int | None
    """What it costs; None if that depends on its variables."""
    largest_cost: int
    """What it costs at most, with any variables."""


class OperationCompiler:
    """Compiles operations against one schema.

    Args:
        cache_bytes: The memory for documents and compiled queries that are cached.
        source_kinds: The source kinds of this gateway, as JSON.
        suggestions: Whether an error of an unknown name suggests known ones.
        kinds: The names of the source kinds that are installed.
    """

    def __init__(
        self,
        schema: strawberry.Schema,
        limits: Limits,
        *,
        cache_bytes: int = 64 * 1024 * 1024,
        source_kinds: str = "[]",
        suggestions: bool = True,
        kinds: Sequence[str] = (),
    ) -> None:
        self._strawberry_schema = schema
        self.schema = core_schema(schema)
        self.limits = limits
        self._source_kinds = source_kinds
        self._suggestions = suggestions
        self.kinds = tuple(sorted(kinds))
        self.cache = DocumentCache(cache_bytes)
        self.worker = Worker("large-requests")
        """Runs long computations, of all parts that use this compiler."""
        self.hits = 0
        """The number of queries whose compiled form was cached."""
        self.misses = 0
        """The number of queries that had to be compiled."""

    def sdl(self) -> str:
        """Print the schema in the schema definition language."""
        return print_schema(self._strawberry_schema)

    def cache_info(self) -> CacheInfo:
        """Return the statistics of the cache of documents."""
        return self.cache.info()

    async def document(self, text: str) -> Document:
        """Parse and validate a document; the errors are part of the result."""
        document = self.cache.get(text)
        if document is None:
            if len(text) > _LONG_DOCUMENT:
                document = await self.worker.compute(partial(self.read, text))
            else:
                document = self.read(text)
            if not document.errors:
                self.cache.add(document)
        return document

    def read(self, text: str) -> Document:
        """Parse and validate a document without the cache; the errors are part of the result."""
        return read_document(text, self.schema, self.limits, suggestions=self._suggestions)

    def query(
        self, operation: Operation, variables: Mapping[str, Any], scope: Scope
    ) -> CompiledQuery:
        """Return a query, ready to run with any variables of the same shape.

        It is kept with the operation, by the shape of the variables and the scope. Nothing else
        affects the compiled query.

        Args:
            variables: Coerced to their types.
        """
        key = (shape_of(variables), scope)
        query: CompiledQuery | None = operation.compiled.get(key)
        if query is None:
            self.misses += 1
            query = self._compile(operation, key[0], scope)
            reads = [field.read.statement for field in query.fields if field.read is not None]
            self.keep(operation, key, query, reads)
        else:
            self.hits += 1
        return query

    def keep(
        self, operation: Operation, key: Hashable, compiled: object, statements: Sequence[Statement]
    ) -> None:
        """Keep what was compiled for an operation as long as its document is cached.

        Args:
            statements: The statements in it, for an estimate of its memory.
        """
        operation.compiled[key] = compiled
        characters = sum(len(each.sql) for each in statements)
        self.cache.grow(operation, _BYTES_PER_QUERY + characters * _BYTES_PER_SQL_CHARACTER)

    def planner(
        self, operation: Operation, variables: Mapping[str, Any], *, unpaged: bool = False
    ) -> Planner:
        """Return the planner of an operation's root fields.

        Args:
            variables: Coerced, with references in place of what each run supplies.
            unpaged: Whether connections return all rows, as the legacy operations need. Those
                are part of the gateway, so the limits for clients do not apply to them.
        """
        limits = UNLIMITED if unpaged else self.limits
        planning = Planning(operation.fragments, variables, limits, self.kinds)
        return Planner(self.schema, planning, unpaged=unpaged, source_kinds=self._source_kinds)

    def _compile(self, operation: Operation, shape: Hashable, scope: Scope) -> CompiledQuery:
        root = self.schema.get_root_type(operation.definition.operation)
        assert root is not None
        planner = self.planner(operation, with_references(shape))
        fields = planner.collect(root, [operation.definition.selection_set])
        schema_nodes = [
            node for nodes in fields.values() for node in nodes if node.name.value in SCHEMA_FIELDS
        ]
        compiled = tuple(
            self._compile_field(planner, root, key, nodes, scope) for key, nodes in fields.items()
        )
        estimates = [field.estimate for field in compiled]
        return CompiledQuery(
            compiled,
            _select_only(operation.definition, schema_nodes) if schema_nodes else None,
            constant_cost(estimates),
            largest_cost(estimates, self.limits),
        )

    def _compile_field(
        self,
        planner: Planner,
        root: GraphQLObjectType,
        key: str,
        nodes: Sequence[FieldNode],
        scope: Scope,
    ) -> CompiledField:
        node, opening = nodes[0], b"%b:" % orjson.dumps(key)
        name = node.name.value
        if name == "__typename":
            return CompiledField(key, node, True, opening, constant=orjson.dumps(root.name))
        if name in SCHEMA_FIELDS:
            return CompiledField(key, node, name == "__schema", opening)
        definition: GraphQLField = root.fields[name]
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
            estimate=estimate(key, planned.read),
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
