"""Compile the GraphQL operations of legacy routes at start-up, and run them for requests."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, cast

import orjson
from graphql import GraphQLObjectType

from resolvers.access.viewer import Viewer
from resolvers.errors.translate import as_gateway_error, from_graphql
from resolvers.graphql_adapter import permission_of
from resolvers.operations.compile import CompiledRead, OperationCompiler, compile_planned
from resolvers.operations.documents import Operation, read_document
from resolvers.operations.kept import Kept
from resolvers.operations.parameters import RunValues
from resolvers.operations.run import Operations
from resolvers.operations.variables import shape_of, with_references
from resolvers.values.enums import Permission
from rest_compat.entity_tags import known_tag, tag_of
from storage.database.stream import Parts
from storage.reads.plan import PageNodes, ReadOne, ReadPage, Scope, ValueFormat, Visibility
from storage.reads.statement import compile_read, compile_rows, compile_with_version
from storage.reads.versions import VERSION_LENGTH

_SCOPES = tuple(Scope(visibility, admin) for visibility in Visibility for admin in (True, False))


class RouteAnswer(NamedTuple):
    """The answer of a route."""

    parts: Parts | None
    """The JSON, in parts; None for null, or if the route has no answer."""
    tag: str | None = None
    """Identifies the answer to a read among all versions of it."""
    not_modified: bool = False
    """Whether the client has the answer with this tag, so that there are no parts."""
    kept: Kept | None = None
    """Where the answer is kept. Other forms of the body can be kept there."""


@dataclass(frozen=True, slots=True)
class LegacyOperation:
    """An operation of a legacy dialect, ready to run.

    It has one root field. The route's answer is the value at ``path`` in the data, with enum values
    and states written as the dialects write them. A mutation whose path is only the root field
    has no answer.
    """

    operation: Operation
    path: tuple[str, ...]
    permission: Permission | None
    reads: Mapping[Scope, CompiledRead]
    """The compiled query for each scope that a viewer can have; empty for a mutation."""
    as_rows: bool = False
    """Whether the answer is a list whose elements are read as separate rows."""
    tagged: bool = False
    """Whether the answer is a process, and is read with its version."""

    async def run(
        self,
        variables: Mapping[str, Any],
        operations: Operations,
        viewer: Viewer,
        known: Collection[str] = (),
    ) -> RouteAnswer:
        """Return the route's answer.

        Args:
            variables: coerced to their types. The route was checked to supply values that fit.
            viewer: the authenticated caller, whose permission was checked.
            known: the tags of the answers that the client has.

        Raises:
            GatewayError: the operation failed.
        """
        try:
            if self.reads:
                return await self._read(variables, operations, viewer, known)
            result = await operations.mutate(
                self.operation, variables, viewer, ValueFormat.LEGACY, permitted=True
            )
        except Exception as error:
            raise as_gateway_error(error) from error
        if result.errors:
            raise from_graphql(result.errors[0]) from result.errors[0]
        value: Any = result.data
        for key in self.path:
            value = value[key]
        has_answer = value is not None and len(self.path) > 1
        return RouteAnswer((orjson.dumps(value),) if has_answer else None)

    async def _read(
        self,
        variables: Mapping[str, Any],
        operations: Operations,
        viewer: Viewer,
        known: Collection[str],
    ) -> RouteAnswer:
        operations.queries.compiled += 1
        read, reads = self.reads[viewer.reading], operations.reads
        asked = reads.ask(read, read.arguments(RunValues(variables, viewer.profile_id)))
        if known:
            await reads.validate([asked])
            current = asked.current_tag
            tag = known_tag(known, current) if self.tagged else current
            if tag in known and reads.spared([asked]):
                return RouteAnswer(None, tag, not_modified=True)
        if self.as_rows:
            answer = await reads.answer_list(asked)
            return RouteAnswer((b"[", *(answer.parts or ()), b"]"), answer.tag, kept=answer.kept)
        answer = await reads.answer(asked)
        if answer.parts is None:
            return RouteAnswer(None, kept=answer.kept)
        if not self.tagged:
            return RouteAnswer(answer.parts, answer.tag, kept=answer.kept)
        (value,) = answer.parts
        assert isinstance(value, bytes)
        version, shown = value[:VERSION_LENGTH].decode(), value[VERSION_LENGTH:]
        return RouteAnswer((shown,), tag_of(version, answer.tag))


def compile_operation(
    compiler: OperationCompiler,
    text: str,
    name: str,
    path: Sequence[str],
    *,
    tagged: bool = False,
) -> LegacyOperation:
    """Validate and compile an operation of a legacy dialect.

    Args:
        text: a document with the operation.
        name: the operation's name.
        path: where in the data the route's answer is, as response keys.
        tagged: whether the answer is a process that is read with its version.

    Raises:
        ValueError: the operation does not fit the schema; the message names the field.
    """
    document = read_document(text, compiler.schema)
    if document.errors:
        raise ValueError("; ".join(error.message for error in document.errors))
    operation = document.operations[name]
    definition = operation.definition
    root = cast(GraphQLObjectType, compiler.schema.get_root_type(definition.operation))
    # Every variable of a legacy query is a single value that is always supplied.
    names = [variable.variable.name.value for variable in definition.variable_definitions or ()]
    references = with_references(shape_of(dict.fromkeys(names, "")))
    planner = compiler.planner(operation, references, unpaged=True)
    fields = planner.collect(root, [definition.selection_set])
    if list(fields) != [path[0]]:
        raise ValueError(f"expected the one root field {path[0]}, got {', '.join(fields)}")
    ((key, nodes),) = fields.items()
    field = root.fields[nodes[0].name.value]
    permission = permission_of(field)
    if not operation.is_query:
        return LegacyOperation(operation, tuple(path), permission, {})
    planned = planner.root(field, key, nodes)
    parts = planned.read.page.parts if isinstance(planned.read, ReadPage) else ()
    only_nodes = all(isinstance(part, PageNodes) for part in parts)
    if not only_nodes or tuple(path[1:]) != tuple(part.key for part in parts):
        raise ValueError(f"the operation selects more than {'.'.join(path)}")
    as_rows = isinstance(planned.read, ReadPage)
    if tagged and not (isinstance(planned.read, ReadOne) and planned.read.table == "process"):
        raise ValueError("expected the operation to select one process, whose version is the tag")
    compile_ = compile_rows if as_rows else compile_with_version if tagged else compile_read
    reads = {
        scope: compile_planned(planned.read, planned.slots, scope, ValueFormat.LEGACY, compile_)
        for scope in _SCOPES
    }
    return LegacyOperation(operation, tuple(path), permission, reads, as_rows, tagged)
