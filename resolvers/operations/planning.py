"""Hold the state of planning one operation: selections, limits, and the slots of its plans."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from graphql import (
    FieldNode,
    FragmentDefinitionNode,
    GraphQLField,
    GraphQLObjectType,
    SelectionSetNode,
)

from resolvers.errors.catalogue import FieldProblem
from resolvers.graphql_adapter import Variables
from resolvers.operations.limits import Limits, limit_error
from resolvers.operations.parameters import convert, problems_of
from resolvers.operations.selection import by_response_key, walk_fields
from storage.reads.plan import Conversion, ListOf, Literal, Operand, Slot, VariableRef


class Planning:
    """The state of planning one operation.

    Args:
        fragments: The document's fragments by name.
        variables: Coerced variables, with a ``VariableRef`` in place of each value that may differ
            from run to run.
        limits: The limits on the size of the operation.
        kinds: The names of the source kinds that are installed.
    """

    def __init__(
        self,
        fragments: Mapping[str, FragmentDefinitionNode],
        variables: Mapping[str, Any],
        limits: Limits,
        kinds: Sequence[str] = (),
    ) -> None:
        self.limits = limits
        self.kinds = Slot(Literal(tuple(kinds)), "text[]")
        """The source kinds that are installed. They do not change while the gateway runs."""
        self._fragments = fragments
        self._variables = Variables(variables)
        self._fields = 0
        self._path: list[str | int] = []
        self.slots: list[Slot] = []
        """The slots of the root field that is being planned, whose values each run supplies."""
        self.problems: list[FieldProblem] = []
        """Problems with the constant arguments of that root field."""

    def start(self) -> None:
        """Start planning a root field."""
        self.slots, self.problems = [], []

    # Selections --------------------------------------------------------------------------------

    def collect(
        self, type_: GraphQLObjectType, selection_sets: Iterable[SelectionSetNode | None]
    ) -> dict[str, list[FieldNode]]:
        """Return the fields selected of an object of this type, by response key."""
        names = {type_.name, *(interface.name for interface in type_.interfaces)}
        return by_response_key(
            walk_fields(
                selection_sets,
                self._fragments,
                includes=self._variables.includes,
                applies=names.__contains__,
            )
        )

    def arguments(self, definition: GraphQLField, node: FieldNode) -> dict[str, Any]:
        """Return a field's arguments: constants, and references where a run supplies the value."""
        return self._variables.arguments(definition, node)

    def count_field(self) -> None:
        """Count a field or a part of a filter; raise ``BAD_USER_INPUT`` if there are too many."""
        self._fields += 1
        if self._fields > self.limits.max_query_fields:
            raise limit_error(
                "max_query_fields",
                "fields and parts of filters",
                self.limits.max_query_fields,
            )

    # Paths -------------------------------------------------------------------------------------

    @contextmanager
    def at(self, part: str | int) -> Iterator[None]:
        """Append a part to the current path for the duration of a ``with`` block."""
        self._path.append(part)
        try:
            yield
        finally:
            self._path.pop()

    @property
    def depth(self) -> int:
        """The number of parts of the current path."""
        return len(self._path)

    # Values ------------------------------------------------------------------------------------

    def problem(self, message: str, argument: str = "") -> None:
        """Record a problem with an argument of the field at the current path."""
        self.problems.append(FieldProblem(self._argument(argument), message))

    def slot(self, value: Any, sql_type: str, conversion: Conversion, argument: str = "") -> Slot:
        """Return a slot for the value of an argument of the field at the current path.

        A constant is converted now, and a constant that is not valid is recorded as a problem.
        """
        path, operand = self._argument(argument), _operand(value)
        if isinstance(operand, Literal):
            try:
                return Slot(Literal(convert(conversion, operand.value)), sql_type)
            except ValueError as error:
                self.problems += problems_of(path, error)
                return Slot(Literal(None), sql_type)
        slot = Slot(operand, sql_type, conversion, path)
        self.slots.append(slot)
        return slot

    def _argument(self, name: str) -> tuple[str | int, ...]:
        return (*self._path, name) if name else tuple(self._path)


def _operand(value: Any) -> Operand:
    if isinstance(value, VariableRef):
        return value
    if isinstance(value, list):
        items = tuple(_operand(item) for item in value)
        if not all(isinstance(item, Literal) for item in items):
            return ListOf(items)
    return Literal(value)
