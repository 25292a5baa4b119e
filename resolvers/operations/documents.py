"""Parse and validate GraphQL documents, within limits that bound the cost of hostile ones."""

from __future__ import annotations

import re
from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field
from typing import Any

from graphql import (
    DocumentNode,
    FragmentDefinitionNode,
    GraphQLError,
    GraphQLSchema,
    GraphQLSyntaxError,
    OperationDefinitionNode,
    OperationType,
    OverlappingFieldsCanBeMergedRule,
    TokenKind,
    parse,
    validate,
)

from resolvers.errors.catalogue import GatewayError, bad_value
from resolvers.graphql_adapter import (
    is_error_limit_reached,
    is_token_limit_exceeded,
    is_validation_aborted,
)
from resolvers.operations.input_problems import VALIDATION_RULES
from resolvers.operations.limits import UNLIMITED, Limits, limit_error
from resolvers.operations.overlaps import is_free_of_conflicts
from resolvers.operations.selection import fragments_of, operations_of, walk_fields
from resolvers.operations.size import size_error
from resolvers.operations.variables import PlainVariable, plain_variables

_MAX_ERRORS = 5
"""Validation errors of a document that are reported."""

_RULES_BUT_OVERLAPS = tuple(
    rule for rule in VALIDATION_RULES if rule is not OverlappingFieldsCanBeMergedRule
)

_MAX_NUMBER = 400
"""Digits of a number, more than a double can have before its point."""
_NUMBERS = (TokenKind.INT, TokenKind.FLOAT)
_LONG_NUMBER = re.compile(rf"[0-9]{{{_MAX_NUMBER}}}")

SCHEMA_FIELDS = frozenset({"__schema", "__type"})
"""Root fields that select the schema."""
INTROSPECTION_FIELDS = SCHEMA_FIELDS | {"__typename"}
"""Root fields that select only the schema or the name of its root type."""


@dataclass(frozen=True, slots=True, eq=False)
class Operation:
    """An operation of a valid document, with the facts that every request for it needs.

    Operations are compared by identity, so that they serve as keys of a cache.
    """

    definition: OperationDefinitionNode
    fragments: Mapping[str, FragmentDefinitionNode]
    root_names: frozenset[str]
    """The names of its root fields, without regard to ``@skip`` and ``@include``."""
    plain_variables: tuple[PlainVariable, ...] | None
    """Its variables; None if one of them is an object, a list or an enum."""
    text: str
    """The text of its document."""
    tokens: int
    """The number of lexical tokens of its document."""
    compiled: dict[Hashable, Any] = field(default_factory=dict)
    """What was computed for it, and is kept as long as its document."""

    @property
    def is_query(self) -> bool:
        """Whether it is a query."""
        return self.definition.operation is OperationType.QUERY

    @property
    def is_mutation(self) -> bool:
        """Whether it is a mutation."""
        return self.definition.operation is OperationType.MUTATION

    @property
    def is_subscription(self) -> bool:
        """Whether it is a subscription."""
        return self.definition.operation is OperationType.SUBSCRIPTION

    @property
    def introspects(self) -> bool:
        """Whether it selects the schema."""
        return not self.root_names.isdisjoint(SCHEMA_FIELDS)


@dataclass(frozen=True, slots=True)
class Document:
    """A parsed document: its operations if it is valid, or else its errors."""

    operations: Mapping[str | None, Operation] = field(default_factory=dict)
    errors: tuple[GraphQLError, ...] = ()
    text: str = ""
    tokens: int = 0
    """The number of its lexical tokens."""

    def operation(self, name: str | None) -> Operation:
        """Return the operation to run; raise ``BAD_USER_INPUT`` if the name identifies none."""
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


def parse_document(text: str, limits: Limits) -> DocumentNode:
    """Parse a document and check its size.

    Raises:
        GraphQLError: The document is malformed, or exceeds a limit.
    """
    if len(text) > limits.max_query_characters:
        raise _exceeds(
            limit_error(
                "max_query_characters", "characters", limits.max_query_characters, len(text)
            )
        )
    try:
        document = parse(text, max_tokens=limits.max_query_tokens)
    except GraphQLSyntaxError as error:
        if not is_token_limit_exceeded(error):
            raise
        maximum = limits.max_query_tokens
        raise _exceeds(limit_error("max_query_tokens", "tokens", maximum)) from error
    _require_short_numbers(text, document)
    too_large = size_error(document, limits)
    if too_large is not None:
        raise _exceeds(too_large)
    return document


def validate_document(
    text: str, document: DocumentNode, schema: GraphQLSchema, *, suggestions: bool = True
) -> Document:
    """Validate a parsed document; the errors are part of the result.

    Args:
        suggestions: Whether an error of an unknown name suggests known ones.
    """
    free = is_free_of_conflicts(document, schema)
    errors = validate(
        schema,
        document,
        _RULES_BUT_OVERLAPS if free else VALIDATION_RULES,
        max_errors=_MAX_ERRORS,
        hide_suggestions=not suggestions,
    )
    if errors:
        shown = (error for error in errors if not is_error_limit_reached(error))
        return Document(errors=tuple(map(_reworded, shown)))
    fragments = fragments_of(document)
    operations = {
        definition.name.value if definition.name else None: Operation(
            definition,
            fragments,
            root_names(definition, fragments),
            plain_variables(definition),
            text,
            document.token_count,
        )
        for definition in operations_of(document)
    }
    return Document(operations, text=text, tokens=document.token_count)


def read_document(
    text: str, schema: GraphQLSchema, limits: Limits = UNLIMITED, *, suggestions: bool = True
) -> Document:
    """Parse and validate a document; the errors are part of the result."""
    try:
        return validate_document(
            text, parse_document(text, limits), schema, suggestions=suggestions
        )
    except GraphQLError as error:
        return Document(errors=(error,))
    except RecursionError:
        return Document(errors=(GraphQLError("the document is nested too deeply"),))


def root_names(
    definition: OperationDefinitionNode, fragments: Mapping[str, FragmentDefinitionNode]
) -> frozenset[str]:
    """Return the names of an operation's root fields, without regard to ``@skip``."""
    nodes = walk_fields([definition.selection_set], fragments)
    return frozenset(node.name.value for node in nodes)


def _exceeds(error: GatewayError) -> GraphQLError:
    return GraphQLError(error.message, original_error=error)


def _require_short_numbers(text: str, document: DocumentNode) -> None:
    """Raise ``GraphQLError`` if a number has too many digits.

    Python does not parse such numbers, and raises an error with a message of its own.
    """
    if _LONG_NUMBER.search(text) is None:
        return
    token = document.loc.start_token if document.loc else None
    while token is not None:
        if token.kind in _NUMBERS and token.end - token.start > _MAX_NUMBER:
            message = f"Syntax Error: A number has more than {_MAX_NUMBER} characters."
            source = document.loc.source if document.loc else None
            raise GraphQLError(message, source=source, positions=[token.start])
        token = token.next


def _reworded(error: GraphQLError) -> GraphQLError:
    """Return the error. If validation was aborted, its message says what to change."""
    if is_validation_aborted(error):
        return GraphQLError("the document repeats fields, or spreads fragments, too often")
    return error
