"""Build the message of an action of an ``mqtt`` source."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import orjson

from resolvers.execution.sources.mqtt.settings import MqttSettings, Operation, check_topic
from resolvers.execution.sources.operations import (
    CONTROL,
    PLACEHOLDER,
    Arguments,
    described_operation,
    find_operation,
)
from resolvers.execution.sources.protocol import ActionFailedError

PAYLOAD = "payload"
"""The argument whose value is the whole payload."""


@dataclass(frozen=True, slots=True)
class Message:
    """A message as it is published."""

    topic: str
    payload: bytes
    retain: bool


def operation_of(action: str, settings: MqttSettings, references: Sequence[str] = ()) -> Operation:
    """Return the operation that an action names, or the one for the topic that it is.

    Args:
        references: The references of the action's arguments, which an action that is a topic
            declares by having them.

    Raises:
        ActionFailedError: The action is neither.
    """
    operation = find_operation(settings.operations, action)
    if operation is not None:
        return operation
    if settings.only_operations:
        raise ActionFailedError(f'the source has no operation "{action}"')
    return described_operation(Operation, action, references, "a topic", topic=action)


def build_message(
    action: str, arguments: Sequence[tuple[str, str]], settings: MqttSettings
) -> Message:
    """Return the message of an action.

    Of the arguments that no placeholder names, ``payload`` alone is the payload as it is. Others
    are the members of a JSON object. Without any, the payload is empty.

    Raises:
        ActionFailedError: The action or its arguments do not fit.
    """
    operation = operation_of(action, settings, [reference for reference, _ in arguments])
    filled = Arguments(operation.name, operation.arguments, arguments)
    others = filled.others(operation.placeholders())
    if operation.payload is not None:
        payload = orjson.dumps(filled.fill_json(operation.payload))
    elif set(others) == {PAYLOAD}:
        payload = filled.texts[PAYLOAD].encode()
    else:
        payload = orjson.dumps(others) if others else b""
    retain = settings.retain if operation.retain is None else operation.retain
    return Message(_fill_topic(operation.topic, filled), payload, retain)


def _fill_topic(template: str, filled: Arguments) -> str:
    """Fill in a topic. A value is a part of one level, and is not empty."""
    for reference in PLACEHOLDER.findall(template):
        value = filled.texts[reference]
        if not value or CONTROL.search(value) or any(sign in value for sign in "+#/"):
            raise ActionFailedError(
                f'the argument "{reference}" would leave its place in the topic: it must not be'
                " empty, or contain +, #, / or a control character"
            )
    topic = PLACEHOLDER.sub(lambda match: filled.texts[match[1]], template)
    if topic.startswith("$") and not template.startswith("$"):
        raise ActionFailedError("the topic would begin with $, which the broker keeps for itself")
    try:
        return check_topic(topic)
    except ValueError as error:
        raise ActionFailedError(str(error)) from None
