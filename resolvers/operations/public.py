"""Read the documents of requests without a token, which may only introspect, within a budget.

Everybody can send such requests, so their documents are small and are not cached. Only queries of
the whole schema, as tools send them, are cached together with their answers.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import TypeVar

from graphql import (
    FieldNode,
    FragmentDefinitionNode,
    GraphQLError,
    GraphQLSchema,
    OperationDefinitionNode,
    OperationType,
    SelectionSetNode,
)

from resolvers.errors.catalogue import ErrorKind, GatewayError, missing_token
from resolvers.operations.cache import DocumentCache
from resolvers.operations.documents import (
    INTROSPECTION_FIELDS,
    Document,
    parse_document,
    root_names,
    validate_document,
)
from resolvers.operations.limits import Limits
from resolvers.operations.selection import fragments_of, operations_of, walk_selections

Result = TypeVar("Result")

MAX_PUBLIC_BODY = 16 * 1024
"""Bytes of the body of a request without a token."""
_LIMITS = Limits(max_query_characters=8 * 1024, max_query_tokens=1000)
"""A query of the whole schema has up to 400 tokens."""
_CACHE_BYTES = 8 * 1024 * 1024

_WHOLE_SCHEMA = frozenset({"queryType", "types", "directives"})
_TYPE_REFERENCES = frozenset({"type", "interfaces", "possibleTypes", "ofType"})
_TYPE_NAME = frozenset({"kind", "name", "ofType", "__typename"})


class ProcessorBudget:
    """Processor time that requests without a token may use together.

    Args:
        share: Processor seconds for each second.
        burst: Processor seconds that may be used at once.
        clock: A monotonic clock, in seconds.
    """

    def __init__(
        self,
        share: float = 0.1,
        burst: float = 0.5,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._share = share
        self._burst = burst
        self._clock = clock
        self._left = burst
        self._since = clock()

    def require(self) -> None:
        """Check that time is left. Raises ``RATE_LIMITED`` with the seconds to wait."""
        now = self._clock()
        self._left = min(self._burst, self._left + (now - self._since) * self._share)
        self._since = now
        if self._left <= 0:
            wait = math.floor(-self._left / self._share) + 1
            raise GatewayError(
                ErrorKind.RATE_LIMITED,
                f"too many requests without a token; send one, or try again in {wait} s",
                retry_after=wait,
            )

    def spend(self, seconds: float) -> None:
        """Use processor time, which may be more than is left."""
        self._left -= seconds

    def run(self, compute: Callable[[], Result]) -> Result:
        """Return what ``compute`` returns, and use its processor time. Raises like ``require``."""
        self.require()
        started = time.thread_time()
        try:
            return compute()
        finally:
            self.spend(time.thread_time() - started)


class PublicDocuments:
    """Reads documents for requests without a token."""

    def __init__(self, schema: GraphQLSchema) -> None:
        self._schema = schema
        self.budget = ProcessorBudget()
        self.cache = DocumentCache(_CACHE_BYTES)

    def read(self, text: str) -> Document:
        """Return the document of a request, which has no errors and only introspects.

        Raises:
            GatewayError: ``UNAUTHENTICATED`` if it needs a token; ``RATE_LIMITED`` if the budget is
                used up.
        """
        document = self.cache.get(text)
        if document is None:
            document = self.budget.run(partial(self._read, text))
        return document

    def _read(self, text: str) -> Document:
        try:
            parsed = parse_document(text, _LIMITS)
            fragments = fragments_of(parsed)
            operations = operations_of(parsed)
            if not all(_only_introspects(operation, fragments) for operation in operations):
                raise missing_token()
            document = validate_document(text, parsed, self._schema)
        except (GraphQLError, RecursionError):
            raise missing_token() from None
        if document.errors:
            raise missing_token()
        if len(operations) == 1 and _selects_whole_schema(operations[0], fragments):
            self.cache.add(document)
        return document


def _only_introspects(
    operation: OperationDefinitionNode, fragments: Mapping[str, FragmentDefinitionNode]
) -> bool:
    is_query = operation.operation is OperationType.QUERY
    return is_query and root_names(operation, fragments) <= INTROSPECTION_FIELDS


# Queries of the whole schema -------------------------------------------------------------------


def _selects_whole_schema(
    operation: OperationDefinitionNode, fragments: Mapping[str, FragmentDefinitionNode]
) -> bool:
    """Whether an operation is like the introspection query of GraphQL's reference implementation.

    There are few such operations and their answers are of moderate size: nothing is selected twice
    or under another name, and of the types that a type refers to only the names.
    """
    if operation.variable_definitions:
        return False
    root = _plain_fields(operation.selection_set, fragments)
    schema = root.get("__schema") if root is not None and len(root) == 1 else None
    members = _plain_fields(schema, fragments) if schema is not None else None
    return (
        members is not None
        and members.keys() >= _WHOLE_SCHEMA
        and all(_is_plain(name, below, fragments) for name, below in members.items())
    )


def _is_plain(
    name: str,
    selection_set: SelectionSetNode | None,
    fragments: Mapping[str, FragmentDefinitionNode],
) -> bool:
    """Whether each field below a field is selected once, and only names of referred types."""
    if selection_set is None:
        return True
    fields = _plain_fields(selection_set, fragments)
    if fields is None or (name in _TYPE_REFERENCES and not fields.keys() <= _TYPE_NAME):
        return False
    return all(_is_plain(below, inner, fragments) for below, inner in fields.items())


def _plain_fields(
    selection_set: SelectionSetNode, fragments: Mapping[str, FragmentDefinitionNode]
) -> dict[str, SelectionSetNode | None] | None:
    """Return the fields of a selection set by name; None if one is selected twice or renamed."""
    selections = list(walk_selections([selection_set], fragments))
    fields = [each for each in selections if isinstance(each, FieldNode)]
    plain = {field.name.value: field.selection_set for field in fields}
    renamed = any(field.alias is not None for field in fields)
    if renamed or len(plain) < len(fields) or any(each.directives for each in selections):
        return None
    return plain
