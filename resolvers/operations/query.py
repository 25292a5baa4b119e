"""Answer queries: check their cost, read their root fields, and join the results.

Each root field is one SQL statement. All that is known about the answers of an operation is
validated by one small statement before any of them is read.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping, Sequence
from functools import partial
from hashlib import blake2b
from types import MappingProxyType
from typing import Any, TypeAlias, cast

import orjson
from graphql import OperationDefinitionNode

from resolvers.access.viewer import Viewer
from resolvers.errors.catalogue import GatewayError, bad_input, bad_value
from resolvers.errors.translate import as_gateway_error
from resolvers.graphql_adapter import IntrospectionTooLongError, introspect
from resolvers.operations.answers import Answer, data_answer
from resolvers.operations.compile import CompiledField, CompiledQuery, OperationCompiler
from resolvers.operations.cost import check_cost
from resolvers.operations.documents import Operation
from resolvers.operations.parameters import RunValues, problems
from resolvers.operations.public import PublicDocuments
from resolvers.operations.reads import Asked, ReadAnswer, Reads
from storage.reads.plan import Scope, Visibility

_NONE: Mapping[str, bytes] = MappingProxyType({})
_MAX_CONNECTIONS = 4
"""Connections to the database that one operation uses at a time."""
_INTROSPECTED = "introspected"
"""What the answers to root fields that select the schema are kept as, with their operation."""
_NO_ACCESS = Scope(Visibility.NONE, sources=False)
"""The scope of a request without a token."""

Result: TypeAlias = "bytes | ReadAnswer | GatewayError"
"""The result of a root field: a constant, what was read, or its error."""


class Queries:
    """Answers the queries of one schema.

    Args:
        public: The budget and the cache of requests without a token.
    """

    def __init__(self, compiler: OperationCompiler, reads: Reads, public: PublicDocuments) -> None:
        self._compiler = compiler
        self._reads = reads
        self._public = public
        self.compiled = 0
        """The number of operations that ran as compiled SQL."""
        self.too_costly = 0
        """The number of queries that cost more than ``max_query_cost``."""

    async def answer(
        self,
        operation: Operation,
        variables: Mapping[str, Any],
        viewer: Viewer | None,
        known: Collection[str],
        *,
        shows_cost: bool,
    ) -> Answer:
        """Answer a query with coerced variables. ``Operations.run`` describes the arguments.

        Raises:
            GatewayError: ``BAD_USER_INPUT``, if it costs or introspects too much.
        """
        self.compiled += 1
        scope = _NO_ACCESS if viewer is None else viewer.reading
        query = self._compiler.query(operation, variables, scope)
        cost = self.check_cost(query, variables, viewer, shown=shows_cost)
        schema = _NONE
        if query.introspection is not None:
            schema = await self._introspect(query.introspection, operation, variables, viewer)
        fields = query.fields
        results = [self._prepared(field, variables, schema, viewer) for field in fields]
        tag = await self._known(results, known) if known and not shows_cost else None
        if tag is not None:
            return Answer((), tag=tag, not_modified=True)
        answers = await self._read(results)
        if shows_cost and cost is not None:
            maximum = self._compiler.limits.max_query_cost
            shown = {"cost": {"requested": cost, "maximum": maximum}}
            return data_answer(fields, map(_json_of, answers), shown)
        if len(answers) == 1 and isinstance(answer := answers[0], ReadAnswer):
            return data_answer(fields, [_json_of(answer)], tag=answer.tag, kept=answer.kept)
        return data_answer(fields, map(_json_of, answers), tag=_tag_of_answers(answers))

    def _prepared(
        self,
        field: CompiledField,
        variables: Mapping[str, Any],
        schema: Mapping[str, bytes],
        viewer: Viewer | None,
    ) -> bytes | Asked | GatewayError:
        """Return what is to be read for a root field, or its result if nothing is."""
        try:
            if field.constant is not None:
                return field.constant
            if field.key in schema:
                return schema[field.key]
            assert viewer is not None
            viewer.require(field.permission, field.node.name.value)
            if field.error is not None:
                return field.error
            assert field.read is not None
            values = RunValues(variables, viewer.profile_id)
            if field.problems:
                all_problems = (*field.problems, *problems(field.slots, values))
                raise bad_input(*dict.fromkeys(all_problems))
            return self._reads.ask(field.read, field.read.arguments(values))
        except Exception as error:
            return as_gateway_error(error)

    async def _known(
        self, results: Sequence[bytes | Asked | GatewayError], known: Collection[str]
    ) -> str | None:
        """Return the tag of the answer if the client has it, and it has not changed."""
        if any(isinstance(result, GatewayError) for result in results):
            return None
        asked = [result for result in results if isinstance(result, Asked)]
        if not asked:
            return None
        try:
            await self._reads.validate(asked)
        except Exception:  # it fails again when they are read, and is told there
            return None
        tags = (each.current_tag if isinstance(each, Asked) else each for each in results)
        tag = _tag_of(cast("list[bytes | str]", [*tags]))
        return tag if tag in known and self._reads.spared(asked) else None

    async def _read(self, results: Sequence[bytes | Asked | GatewayError]) -> list[Result]:
        """Read what has to be read, a few root fields at a time."""
        pending = [result for result in results if isinstance(result, Asked)]
        if len(pending) == 1:
            answer = await self._answer(pending[0])
            return [answer if isinstance(result, Asked) else result for result in results]
        kept = [asked for asked in pending if asked.kept is not None and asked.version is None]
        if kept:
            try:
                await self._reads.validate(kept)
            except Exception as error:
                failed = as_gateway_error(error)
                return [failed if isinstance(each, Asked) else each for each in results]
        answers: list[Any] = list(results)
        rest = iter(enumerate(results))

        async def read() -> None:
            for index, result in rest:
                if isinstance(result, Asked):
                    answers[index] = await self._answer(result)

        async with asyncio.TaskGroup() as group:
            for _ in range(min(len(pending), _MAX_CONNECTIONS)):
                group.create_task(read())
        return answers

    async def _answer(self, asked: Asked) -> ReadAnswer | GatewayError:
        try:
            return await self._reads.answer(asked)
        except Exception as error:
            return as_gateway_error(error)

    def check_cost(
        self,
        query: CompiledQuery,
        variables: Mapping[str, Any],
        viewer: Viewer | None,
        *,
        shown: bool,
    ) -> int | None:
        """Return what a query costs; None if that is switched off, or not asked for.

        Args:
            shown: Whether the answer shows the cost.

        Raises:
            GatewayError: ``BAD_USER_INPUT``, if it costs too much.
        """
        limits = self._compiler.limits
        if limits.cost_mode == "off" or viewer is None:
            return None
        if not shown and query.largest_cost <= limits.max_query_cost:
            return None
        if query.constant_cost is not None and query.constant_cost <= limits.max_query_cost:
            return query.constant_cost
        # The permission is judged before the cost: a field that may not be read costs nothing.
        estimates = [
            field.estimate
            for field in query.fields
            if field.permission is None or viewer.may(field.permission)
        ]
        try:
            cost = check_cost(estimates, RunValues(variables, viewer.profile_id), limits)
        except GatewayError:
            self.too_costly += 1
            raise
        self.too_costly += cost > limits.max_query_cost
        return cost

    async def _introspect(
        self,
        introspection: OperationDefinitionNode,
        operation: Operation,
        variables: Mapping[str, Any],
        viewer: Viewer | None,
    ) -> Mapping[str, bytes]:
        """Return the JSON of the root fields that select the schema.

        Args:
            introspection: The operation that selects them alone.
        """
        kept: Mapping[str, bytes] | None = operation.compiled.get(_INTROSPECTED)
        if kept is not None:
            return kept
        compute = partial(
            introspect, self._compiler.schema, introspection, operation.fragments, variables
        )
        if viewer is None:
            # In the worker, so that requests that wait there find what the ones before have left.
            compute = partial(self._public.budget.run, compute)
        try:
            data = await self._compiler.worker.compute(compute)
        except IntrospectionTooLongError:
            raise bad_value((), "the operation selects too much of the schema") from None
        answers = {key: orjson.dumps(value) for key, value in data.items()}
        if not operation.definition.variable_definitions:
            operation.compiled[_INTROSPECTED] = answers
            size = sum(map(len, answers.values()))
            self._compiler.cache.grow(operation, size)
            self._public.cache.grow(operation, size)
        return answers


def _json_of(result: Result) -> bytes | GatewayError:
    """Return the JSON of a root field, or its error."""
    if not isinstance(result, ReadAnswer):
        return result
    part: Any = b"null" if result.parts is None else result.parts[0]
    json: bytes = part
    return json


def _tag_of_answers(answers: Sequence[Result]) -> str | None:
    """Return the tag of an answer; None if it has an error, or nothing that was read."""
    tags = [each.tag if isinstance(each, ReadAnswer) else each for each in answers]
    if not any(isinstance(tag, str) for tag in tags):
        return None
    if any(isinstance(tag, GatewayError) for tag in tags):
        return None
    return _tag_of(cast("list[bytes | str]", tags))


def _tag_of(results: Sequence[bytes | str]) -> str:
    """Return the tag of an answer, given that of each result, or the result if it is constant."""
    if len(results) == 1 and isinstance(results[0], str):
        return results[0]
    digest = blake2b(digest_size=12)
    for result in results:
        text = result.encode() if isinstance(result, str) else result
        digest.update(b"%d:%b" % (len(text), text))
    return digest.hexdigest()
