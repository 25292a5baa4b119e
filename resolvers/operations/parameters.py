"""Fill the slots of a plan with the values of one run, converted and checked."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from enum import Enum
from typing import Any, NamedTuple

from resolvers.errors.catalogue import FieldProblem, bad_input
from resolvers.values.ids import read_cursor, read_global_id, read_id_of
from resolvers.values.text import storable
from storage.reads.plan import (
    Conversion,
    CursorKey,
    GlobalId,
    GlobalIds,
    IdPart,
    ListOf,
    Literal,
    Operand,
    PageSize,
    PrefixEnd,
    Slot,
    Stored,
    VariableRef,
)

_LAST_CHARACTER = "\U0010ffff"
_PAST_ALL = _LAST_CHARACTER * 4001
"""Greater than every text that can be filtered by: none has more than 4,000 characters."""


class RunValues(NamedTuple):
    """The values of one run."""

    variables: Mapping[str, Any]
    """The operation's coerced variables."""
    profile_id: int
    """The viewer's profile."""


class ItemsError(ValueError):
    """Some items of a list are not valid. ``messages`` has a message for each, by index."""

    def __init__(self, messages: Mapping[int, str]) -> None:
        super().__init__(messages)
        self.messages = messages


def fill(slots: Iterable[Slot], values: RunValues) -> list[object]:
    """Return the values of slots, in order.

    Raises:
        GatewayError: ``BAD_USER_INPUT``, if any of them is not valid.
    """
    slots = tuple(slots)
    try:
        return [_value(slot, values) for slot in slots]
    except ValueError:
        raise bad_input(*problems(slots, values)) from None


def problems(slots: Iterable[Slot], values: RunValues) -> list[FieldProblem]:
    """Return the problems with the values of slots, each problem once."""
    distinct: dict[FieldProblem, None] = {}
    for slot in slots:
        try:
            _value(slot, values)
        except ValueError as error:
            distinct |= dict.fromkeys(problems_of(slot.path, error))
    return list(distinct)


def problems_of(path: tuple[str | int, ...], error: ValueError) -> list[FieldProblem]:
    """Return the problems in an error of a conversion, for the argument at this path."""
    if isinstance(error, ItemsError):
        return [FieldProblem((*path, index), text) for index, text in error.messages.items()]
    return [FieldProblem(path, str(error))]


def convert(conversion: Conversion, value: Any) -> object:
    """Convert a value for a slot; raise ``ValueError`` if it is not valid."""
    return _CONVERSIONS[type(conversion)](conversion, value)


def _value(slot: Slot, values: RunValues) -> object:
    value = operand_value(slot.operand, values)
    conversion = slot.conversion
    return value if conversion is None else _CONVERSIONS[type(conversion)](conversion, value)


def operand_value(operand: Operand, values: RunValues) -> Any:
    """Return the value of an operand in a run, before any conversion."""
    if isinstance(operand, VariableRef):
        value: Any = values.variables
        for part in operand.path:
            value = value[part]
        return value
    if isinstance(operand, Literal):
        return operand.value
    if isinstance(operand, ListOf):
        return [operand_value(item, values) for item in operand.items]
    return values.profile_id


# Conversions -----------------------------------------------------------------------------------


def _stored(conversion: Stored, value: Any) -> object:
    if isinstance(value, str):
        return storable(value)
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, list):
        return _each(lambda item: _stored(conversion, item), value)
    return value


def _each(convert_item: Callable[[Any], object], items: Iterable[Any]) -> tuple[object, ...]:
    """Convert each item of a list; raise ``ItemsError`` with every item that is not valid."""
    converted: list[object] = []
    messages: dict[int, str] = {}
    for index, item in enumerate(items):
        try:
            converted.append(convert_item(item))
        except ValueError as error:
            messages[index] = str(error)
    if messages:
        raise ItemsError(messages)
    return tuple(converted)


def _prefix_end(_: PrefixEnd, prefix: str) -> str:
    stem = storable(prefix).rstrip(_LAST_CHARACTER)
    if not stem:
        return _PAST_ALL
    # No text contains surrogates, so the character after U+D7FF is U+E000.
    following = 0xE000 if stem[-1] == "\ud7ff" else ord(stem[-1]) + 1
    return stem[:-1] + chr(following)


def _page_size(conversion: PageSize, value: object) -> int:
    if not isinstance(value, int) or not 0 <= value <= conversion.maximum:
        raise ValueError(f"expected a number from 0 to {conversion.maximum}, got {value}")
    return value


def _global_id(conversion: GlobalId, text: str) -> int:
    return read_id_of(text, conversion.type_name)


def _global_ids(conversion: GlobalIds, value: Any) -> tuple[object, ...]:
    if isinstance(value, str):  # ``node(id:)``
        return (_part(conversion, value),)
    if len(value) > conversion.maximum:
        raise ValueError(f"expected at most {conversion.maximum} ids, got {len(value)}")
    return _each(lambda text: _part(conversion, text), value)


def _part(conversion: GlobalIds, text: str) -> object:
    type_name, row_id = read_global_id(text)
    return type_name if conversion.part is IdPart.TYPE_NAME else row_id


def _cursor_key(conversion: CursorKey, text: str) -> object:
    value = read_cursor(text, conversion.order, conversion.types)[conversion.index]
    return storable(value) if isinstance(value, str) else value


_CONVERSIONS: Mapping[type, Callable[[Any, Any], object]] = {
    Stored: _stored,
    PrefixEnd: _prefix_end,
    PageSize: _page_size,
    GlobalId: _global_id,
    GlobalIds: _global_ids,
    CursorKey: _cursor_key,
}
