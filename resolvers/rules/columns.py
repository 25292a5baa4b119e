"""In charge of what writes mean: the rules of the model, one function for each thing to do.

Every function runs inside the caller's transaction; a ``GatewayError`` rolls all of it back. The
path that an error is located at is that of the mutation's arguments (``at``).
"""

from __future__ import annotations

from typing import Any

from resolvers.rules.models import (
    InputModel,
)
from resolvers.values.enums import ProcessMode, ProcessState


def columns_of(model: InputModel, exclude: set[str] | None = None) -> dict[str, Any]:
    """The columns that a model's given fields are stored in; null leaves a column as it is."""
    values: dict[str, Any] = {}
    for name in sorted(model.model_fields_set - (exclude or set())):
        value = getattr(model, name)
        match value:
            case None:
                pass
            case ProcessState():
                values["enabled"] = value.value
            case ProcessMode():
                values[name] = value.value
            case _:
                values[name] = value
    return values
