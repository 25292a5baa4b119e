"""Parse and validate GraphQL documents, within limits that bound the cost of hostile ones."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from graphql import (
    DocumentNode,
    FragmentDefinitionNode,
    GraphQLError,
    GraphQLSchema,
    OperationDefinitionNode,
    OperationType,
    TokenKind,
    parse,
    validate,
)

from resolvers.errors.catalogue import bad_value
from resolvers.graphql_adapter import is_validation_aborted
from resolvers.operations.input_problems import VALIDATION_RULES
from resolvers.operations.selection import walk_fields
from resolvers.operations.variables import PlainVariable, plain_variables

_MAX_DOCUMENT = 100_000
"""Characters. Reading one megabyte of a single token would take a fifth of a second."""

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
    cacheable: bool
    """Whether its compiled queries are cached, because its document is short enough."""

    @property
    def is_query(self) -> bool:
        """Whether it is a query."""
        return self.definition.operation is OperationType.QUERY

    @property
    def introspects(self) -> bool:
        """Whether it selects the schema."""
        return not self.root_names.isdisjoint(SCHEMA_FIELDS)

    @property
    def only_introspects(self) -> bool:
        """Whether it selects only the schema."""
        return self.root_names <= INTROSPECTION_FIELDS


@dataclass(frozen=True, slots=True)
class Document:
    """A parsed document: its operations if it is valid, or else its errors."""

    operations: Mapping[str | None, Operation] = field(default_factory=dict)
    errors: tuple[GraphQLError, ...] = ()

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


def read_document(
    text: str, schema: GraphQLSchema, *, max_tokens: int | None = None, cacheable: bool = True
) -> Document:
    """Parse and validate a document; the errors are part of the result.

    Args:
        max_tokens: The maximum number of lexical tokens; None for no limit.
        cacheable: Whether the compiled queries of its operations are cached.
    """
    try:
        _require_readable(text)
        ast = parse(text, max_tokens=max_tokens)
        _require_short_numbers(text, ast)
        errors = [_reworded(error) for error in validate(schema, ast, VALIDATION_RULES)]
    except GraphQLError as error:
        return Document(errors=(error,))
    except RecursionError:
        return Document(errors=(GraphQLError("the document is nested too deeply"),))
    if errors:
        return Document(errors=tuple(errors))
    fragments = {
        definition.name.value: definition
        for definition in ast.definitions
        if isinstance(definition, FragmentDefinitionNode)
    }
    return Document(
        {
            definition.name.value if definition.name else None: Operation(
                definition,
                fragments,
                frozenset(
                    node.name.value for node in walk_fields([definition.selection_set], fragments)
                ),
                plain_variables(definition),
                cacheable,
            )
            for definition in ast.definitions
            if isinstance(definition, OperationDefinitionNode)
        }
    )


def _require_readable(text: str) -> None:
    """Raise ``GraphQLError`` if a document is too long."""
    if len(text) > _MAX_DOCUMENT:
        raise GraphQLError(
            f"the document has more than {_MAX_DOCUMENT:,} characters;"
            " send long values as variables"
        )


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
