"""Perform one attempt of an action to try a source, without recording it."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import orjson
from pydantic import ValidationError

from resolvers.execution.attempts import Attempt
from resolvers.execution.secrets import SecretBox, SecretError, perform
from resolvers.execution.sources.protocol import Call, SourceKind


@dataclass(frozen=True, slots=True)
class Trial:
    """What came of an attempt."""

    milliseconds: int
    result: Any = None
    """A JSON value; None if it failed."""
    error: str | None = None
    in_doubt: bool = False
    """Whether the effect may or may not have happened."""


async def try_source(
    kind: SourceKind,
    source_id: int,
    stored: tuple[bytes, bytes],
    box: SecretBox,
    action: str,
    arguments: Sequence[tuple[str, str]],
    seconds: float,
) -> Trial:
    """Perform one attempt of an action, and return what came of it.

    Args:
        stored: The settings and the secrets of the source, as JSON.
        seconds: Seconds that it may take.
    """
    settings, secrets = map(orjson.loads, stored)
    try:
        checked = kind.settings.model_validate({**settings, **box.open(source_id, secrets)})
    except ValidationError:
        return Trial(0, error="the settings of the source do not fit its kind")
    except SecretError as error:
        return Trial(0, error=str(error))
    call = Call(action, arguments, checked, seconds=seconds)
    begin = time.monotonic()
    outcome = await Attempt(perform(kind, call)).outcome(seconds)
    milliseconds = round((time.monotonic() - begin) * 1000)
    if outcome.result is None:
        return Trial(milliseconds, error=outcome.error, in_doubt=outcome.in_doubt)
    return Trial(milliseconds, orjson.loads(outcome.result))
