"""In charge of what mutations take: pydantic models, and the GraphQL inputs made of them.

The models are the one description of the input: ``graphql_input`` makes the Strawberry type, and
``accept`` checks what came. In all of them null is the same as leaving a field out, except where a
field's type allows it.
"""

from __future__ import annotations

import types
from collections.abc import Callable
from enum import Enum
from typing import Annotated, Any, TypeVar, Union, get_args, get_origin

import strawberry
from pydantic import (
    BaseModel,
)
from strawberry import UNSET

from resolvers.rules.models import (
    ActionChangesModel,
    ArgumentModel,
    BulkItemModel,
    EspaceChangesModel,
    EspaceKey,
    IdOf,
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

# GraphQL inputs --------------------------------------------------------------------------------

Class = TypeVar("Class", bound=type)
_INPUTS: dict[type[BaseModel], type] = {}


def graphql_input(
    model: type[BulkItemModel], description: str, *, one_of: bool = False
) -> Callable[[Class], Class]:
    """Make the decorated, empty class the Strawberry input of this model, field for field."""

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
        _INPUTS[model] = made = strawberry.input(cls, description=description, one_of=one_of)
        return made

    return decorate


def _graphql_type(annotation: Any, metadata: Any = ()) -> Any:
    """The Strawberry type of a model's field, without what only pydantic looks at."""
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


@graphql_input(EspaceKey, "An espace, by exactly one of its keys.", one_of=True)
class EspaceKeyInput: ...


@graphql_input(ProfileKey, "A profile, by exactly one of its keys.", one_of=True)
class ProfileKeyInput: ...


@graphql_input(ArgumentModel, "A value for an action.")
class ArgumentInput: ...


@graphql_input(NewActionModel, "An action to add to a process.")
class NewAction: ...


@graphql_input(NewInputModel, "An input to add to a process.")
class NewInput: ...


@graphql_input(NewProcessModel, "A process to create, with all that it consists of.")
class NewProcess: ...


@graphql_input(ProcessChangesModel, "What to change of a process; the rest stays as it is.")
class ProcessChanges: ...


@graphql_input(ProcessTextsModel, "Texts to change of one of many processes.")
class ProcessTexts: ...


@graphql_input(ActionChangesModel, "What to change of an action; the rest stays as it is.")
class ActionChanges: ...


@graphql_input(InputChangesModel, "What to change of an input; the rest stays as it is.")
class InputChanges: ...


@graphql_input(InputValueModel, "The value of an input of a process to execute.")
class InputValue: ...


@graphql_input(NewEspaceModel, "An espace to create.")
class NewEspace: ...


@graphql_input(EspaceChangesModel, "What to change of an espace; the rest stays as it is.")
class EspaceChanges: ...


@graphql_input(NewProfileModel, "A profile to create.")
class NewProfile: ...


@graphql_input(ProfileChangesModel, "What to change of a profile; the rest stays as it is.")
class ProfileChanges: ...


@graphql_input(NewSourceModel, "A source to create.")
class NewSource: ...


@graphql_input(SourceChangesModel, "What to change of a source; its kind stays as it is.")
class SourceChanges: ...
