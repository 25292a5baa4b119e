"""Declare which column stores each field of the input models, and how its value is written."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from enum import Enum
from typing import Any, NamedTuple

from pydantic import BaseModel

from resolvers.rules.models import (
    ActionChangesModel,
    ArgumentModel,
    EspaceChangesModel,
    InputChangesModel,
    NewEspaceModel,
    NewProcessModel,
    NewProfileModel,
    NewSourceModel,
    ProcessChangesModel,
    ProfileChangesModel,
    SourceChangesModel,
)
from resolvers.rules.profiles import permission_words
from storage.writes.arguments import arguments_json


class Column(NamedTuple):
    """A column, and the function that converts a field's value for it."""

    name: str
    stored: Callable[[Any], object] = lambda value: value
    clearable: bool = False
    """Whether null, if it is given, removes the value. Otherwise it is the same as leaving the
    field out."""


def _enum_value(member: Enum) -> object:
    return member.value


def write_arguments(arguments: Sequence[ArgumentModel]) -> bytes:
    """Return an action's arguments in the form that they are stored in."""
    return arguments_json([(argument.reference, argument.value) for argument in arguments])


def _same(*names: str) -> dict[str, Column]:
    """Return the columns of fields that are stored unchanged in a column of the same name."""
    return {name: Column(name) for name in names}


def _clearable(*names: str) -> dict[str, Column]:
    """Return such columns that null is written to."""
    return {name: Column(name, clearable=True) for name in names}


_ESPACE = _same("reference", "name", "description", "icon")
_PROCESS = {
    **_same("reference", "name", "name_enable", "name_disable", "description", "icon"),
    "mode": Column("mode", _enum_value),
    "state": Column("enabled", _enum_value),
    "concurrency": Column("concurrency", _enum_value),
    **_clearable("timeout"),
}
_ACTION_CHANGES = {
    "runs_when": Column("enabled", _enum_value),
    "arguments": Column("arguments", write_arguments),
    **_same("retries"),
    **_clearable("timeout", "idempotent"),
    "on_failure": Column("on_failure", _enum_value),
}
_INPUT_CHANGES = {
    **_same("reference", "name", "type", "label", "help", "required", "unit", "choices"),
    "asked_when": Column("enabled", _enum_value),
    **_clearable("min", "max", "step", "pattern"),
    "default": Column("default_value", clearable=True),
}
_PROFILE = {**_same("name"), "permissions": Column("permissions", permission_words)}

COLUMNS: Mapping[type[BaseModel], Mapping[str, Column]] = {
    NewEspaceModel: _ESPACE,
    EspaceChangesModel: _ESPACE,
    NewProcessModel: _PROCESS,
    ProcessChangesModel: _PROCESS,
    ActionChangesModel: _ACTION_CHANGES,
    InputChangesModel: _INPUT_CHANGES,
    NewProfileModel: _PROFILE,
    ProfileChangesModel: _PROFILE,
    NewSourceModel: _same("name", "kind"),
    SourceChangesModel: _same("name"),
}
"""The column of each field, by model. Fields that are not listed need a look-up or a check first:
keys of other objects, the target of an action, the settings of a source.
"""


def columns_of(model: BaseModel) -> dict[str, object]:
    """Return the columns that store a model's fields.

    A field that is null has no column, unless it is clearable and was given.
    """
    columns: dict[str, object] = {}
    for field, column in COLUMNS[type(model)].items():
        value = getattr(model, field)
        if value is not None:
            columns[column.name] = column.stored(value)
        elif column.clearable and field in model.model_fields_set:
            columns[column.name] = None
    return columns
