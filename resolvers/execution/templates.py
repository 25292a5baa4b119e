"""Fill the values of inputs into the arguments of actions, and bound how long they become."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping, Sequence

from resolvers.execution.definition import ActionDefinition

MAX_ARGUMENT = 64 * 1024
"""Bytes of an argument in UTF-8, as it is written and with its values filled in."""
MAX_ARGUMENTS = 256 * 1024
"""Bytes of all arguments of one action."""

_PLACEHOLDER = re.compile(r"\{([^{}]+)\}")

_PIECE = 64 * 1024
"""Bytes of templates that are measured before others may run. It takes a few milliseconds."""


class ArgumentTooLongError(Exception):
    """An argument of an action is too long. The message says of which, and what is allowed."""


def fill_in(template: str, values: Mapping[str, str]) -> str:
    """Return a template with each ``{reference}`` replaced by the value of that input.

    Braces around anything else stay, so that a value can be JSON. Placeholders in values that are
    filled in are not replaced.
    """
    if "{" not in template:
        return template
    return _PLACEHOLDER.sub(lambda match: values.get(match[1], match[0]), template)


async def check_lengths(actions: Sequence[ActionDefinition], values: Mapping[str, str]) -> None:
    """Check how long the arguments of actions will be, without filling them in.

    A short template can name an input so often that a short value becomes megabytes.

    Args:
        actions: The actions that will run.
        values: The values of the inputs, by reference.

    Raises:
        ArgumentTooLongError: An argument, or all of one action together, are too long.
    """
    sizes = {reference: _size(value) for reference, value in values.items()}
    measured = 0
    for position, action in enumerate(actions, start=1):
        total = 0
        for reference, template in action.arguments:
            written = _size(template)
            length = max(written, _filled_size(template, written, sizes))
            if length > MAX_ARGUMENT:
                raise ArgumentTooLongError(
                    f'the argument "{reference}" of action {position} ("{action.source.name}")'
                    f" would have {length:,} bytes, and at most {MAX_ARGUMENT:,} are allowed"
                )
            total += length
            measured += written
        if total > MAX_ARGUMENTS:
            raise ArgumentTooLongError(
                f'the arguments of action {position} ("{action.source.name}") would have'
                f" {total:,} bytes together, and at most {MAX_ARGUMENTS:,} are allowed"
            )
        if measured > _PIECE:
            measured = 0
            await asyncio.sleep(0)


def _size(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode())


def _filled_size(template: str, size: int, sizes: Mapping[str, int]) -> int:
    """Return the bytes of a template of ``size`` bytes with the values filled in.

    Args:
        sizes: The bytes of the value of each input.
    """
    if "{" not in template or size > MAX_ARGUMENT:
        return size
    for match in _PLACEHOLDER.finditer(template):
        filled = sizes.get(match[1])
        if filled is not None:
            size += filled - _size(match[0])
    return size
