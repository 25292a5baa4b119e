"""Derive the GraphQL inputs of mutations from the models in ``resolvers.rules.models``."""

from __future__ import annotations

import types
from collections.abc import Callable
from enum import Enum
from typing import Annotated, Any, TypeVar, Union, get_args, get_origin

import strawberry
from pydantic import BaseModel
from strawberry import UNSET

from resolvers.rules.fields import BulkItemModel, IdOf
from resolvers.rules.models import (
    ActionChangesModel,
    ArgumentModel,
    EspaceChangesModel,
    EspaceKey,
    InputChangesModel,
    InputValueModel,
    NewActionModel,
    NewEspaceModel,
    NewInputModel,
    NewProcessModel,
    NewProfileModel,
    NewSourceModel,
    ProcessChangesModel,
    ProcessTextsModel,
    ProfileChangesModel,
    ProfileKey,
    SourceChangesModel,
)

Class = TypeVar("Class", bound=type)
_INPUTS: dict[type[BaseModel], type] = {}


def graphql_input(
    model: type[BulkItemModel], description: str, *, one_of: bool = False
) -> Callable[[Class], Class]:
    """Return a decorator that makes an empty class the Strawberry input of a model."""

    def decorate(cls: Class) -> Class:
        cls.__annotations__ = {}
        for name, info in model.model_fields.items():
            type_ = _graphql_type(info.annotation, info.metadata)
            default = info.default if isinstance(info.default, Enum | int) else UNSET
            if info.is_required():
                value = strawberry.field(description=info.description)
            else:
                type_ = type_ | None
                value = strawberry.field(description=info.description, default=default)
            cls.__annotations__[name] = type_
            setattr(cls, name, value)
        _INPUTS[model] = input_type = strawberry.input(cls, description=description, one_of=one_of)
        return input_type

    return decorate


def _graphql_type(annotation: Any, metadata: Any = ()) -> Any:
    """Return the Strawberry type of a model's field, without the metadata for pydantic."""
    if any(isinstance(mark, IdOf) for mark in metadata):
        return strawberry.ID
    if get_origin(annotation) is Annotated:
        return _graphql_type(annotation.__origin__, annotation.__metadata__)
    if get_origin(annotation) in (Union, types.UnionType):
        (member,) = (part for part in get_args(annotation) if part is not type(None))
        return _graphql_type(member)
    if get_origin(annotation) is list:
        return list[_graphql_type(get_args(annotation)[0])]  # type: ignore[misc]
    if get_origin(annotation) is dict:
        return strawberry.scalars.JSON
    return _INPUTS.get(annotation, annotation)


@graphql_input(EspaceKey, "Key of an espace. Exactly one field must be set.", one_of=True)
class EspaceKeyInput: ...


@graphql_input(ProfileKey, "Key of a profile. Exactly one field must be set.", one_of=True)
class ProfileKeyInput: ...


@graphql_input(ArgumentModel, "Argument of an action.")
class ArgumentInput: ...


@graphql_input(NewActionModel, "Action to add to a process.")
class NewAction: ...


@graphql_input(NewInputModel, "Input to add to a process.")
class NewInput: ...


@graphql_input(NewProcessModel, "Process to create.")
class NewProcess: ...


@graphql_input(
    ProcessChangesModel, "Changes to a process. Fields that are left out keep their values."
)
class ProcessChanges: ...


@graphql_input(
    ProcessTextsModel,
    "Changes to the texts of one process. Fields that are left out keep their values.",
)
class ProcessTexts: ...


@graphql_input(
    ActionChangesModel, "Changes to an action. Fields that are left out keep their values."
)
class ActionChanges: ...


@graphql_input(
    InputChangesModel, "Changes to an input. Fields that are left out keep their values."
)
class InputChanges: ...


@graphql_input(InputValueModel, "Value of an input of the process to execute.")
class InputValue: ...


@graphql_input(NewEspaceModel, "Espace to create.")
class NewEspace: ...


@graphql_input(
    EspaceChangesModel, "Changes to an espace. Fields that are left out keep their values."
)
class EspaceChanges: ...


@graphql_input(NewProfileModel, "Profile to create.")
class NewProfile: ...


@graphql_input(
    ProfileChangesModel, "Changes to a profile. Fields that are left out keep their values."
)
class ProfileChanges: ...


@graphql_input(NewSourceModel, "Source to create.")
class NewSource: ...


@graphql_input(SourceChangesModel, "Changes to a source. Its kind cannot be changed.")
class SourceChanges: ...
