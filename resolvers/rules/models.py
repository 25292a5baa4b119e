"""In charge of what mutations take: pydantic models, and the GraphQL inputs made of them.

The models are the one description of the input: ``graphql_input`` makes the Strawberry type, and
``accept`` checks what came. In all of them null is the same as leaving a field out, except where a
field's type allows it.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from functools import cache
from typing import Annotated, Any, get_args

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    TypeAdapter,
    ValidationError,
    model_validator,
)
from pydantic.alias_generators import to_camel, to_snake

from resolvers.errors.catalogue import bad_input, bad_value
from resolvers.values.enums import Permission, ProcessMode, ProcessState
from resolvers.values.ids import MAX_DATABASE_ID, read_global_id
from resolvers.values.text import Description, InputType, Name, Reference, ShortText, Text, storable
from resolvers.values.validation import Model, problems, validate

DatabaseId = Annotated[int, Field(strict=True, gt=0, le=MAX_DATABASE_ID)]

MAX_PARTS = 1000
"""Actions, or inputs, that one process may have."""


@dataclass(frozen=True, slots=True)
class IdOf:
    """Marks a global id of this type; the model holds the database id in it."""

    type_name: str

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> Any:
        return handler(Annotated[str, AfterValidator(self._read)])

    def _read(self, text: str) -> int:
        found, database_id = read_global_id(text)
        if found != self.type_name:
            raise ValueError(f"expected the id of a {self.type_name}, got the id of a {found}")
        return database_id


EspaceId = Annotated[int, IdOf("Espace")]
ProfileId = Annotated[int, IdOf("Profile")]
SourceId = Annotated[int, IdOf("Source")]
ProcessId = Annotated[int, IdOf("Process")]


class BulkItemModel(BaseModel):
    """What all inputs have in common: names in camel case, no unknown fields.

    An item of a long list, all of whose optional fields are null by default, needs no more: a look
    for null in each of 10,000 items would cost as much as a third of checking them.
    """

    model_config = ConfigDict(
        alias_generator=to_camel, populate_by_name=True, extra="forbid", frozen=True
    )


class InputModel(BulkItemModel):
    """An input in which null is the same as leaving a field out."""

    @model_validator(mode="before")
    @classmethod
    def _leave_out_null(cls, value: Any) -> Any:
        if not isinstance(value, dict) or None not in value.values():
            return value
        nullable = {
            name
            for name, info in cls.model_fields.items()
            if type(None) in get_args(info.annotation)
        }
        return {
            key: member
            for key, member in value.items()
            if member is not None or key in nullable or to_snake(key) in nullable
        }


# Keys ------------------------------------------------------------------------------------------


class EspaceKey(InputModel):
    """One of the keys of an espace."""

    id: EspaceId | None = Field(None, description="By its opaque id.")
    database_id: DatabaseId | None = Field(None, description="By its id in the legacy dialects.")
    reference: Text | None = Field(None, description="By its reference.")
    name: Text | None = Field(None, description="By its name, where no other espace has it.")


class ProfileKey(InputModel):
    """One of the keys of a profile."""

    id: ProfileId | None = Field(None, description="By its opaque id.")
    database_id: DatabaseId | None = Field(None, description="By its id in the legacy dialects.")
    name: Text | None = Field(None, description="By its name.")


# Processes -------------------------------------------------------------------------------------


class ArgumentModel(InputModel):
    reference: Reference = Field(description="What the value is for; once in an action.")
    value: Text = Field(
        description="The value: a template in which {input} stands for that input's value."
    )


class NewActionModel(InputModel):
    source: Name | None = Field(None, description="The name of the source to act on.")
    source_id: SourceId | None = Field(
        None, description="The opaque id of the source, instead of its name."
    )
    action: Name | None = Field(
        None,
        description="What to do there; with the source process, the process's reference.",
    )
    subprocess_id: ProcessId | None = Field(
        None,
        description="The opaque id of the process to run, instead of action; the source may then"
        " be left out.",
    )
    runs_when: ProcessState = Field(
        ProcessState.ENABLED, description="The state in which a switch runs it."
    )
    arguments: list[ArgumentModel] = Field(
        default_factory=list, max_length=MAX_PARTS, description="What to do it with, in order."
    )

    @model_validator(mode="after")
    def _names_one_thing(self) -> NewActionModel:
        if self.source is not None and self.source_id is not None:
            raise ValueError("expected either source or sourceId, got both")
        if (self.action is None) is (self.subprocess_id is None):
            raise ValueError("expected either action or subprocessId")
        if self.source is None and self.source_id is None and self.subprocess_id is None:
            raise ValueError("expected source or sourceId")
        return self

    @model_validator(mode="after")
    def _references_differ(self) -> NewActionModel:
        _require_unique([argument.reference for argument in self.arguments], "argument")
        return self


class NewInputModel(InputModel):
    reference: Reference | None = Field(
        None,
        description="Short name, unique in its process; made from the name where it is left out.",
    )
    name: Name = Field(description="The name that people see.")
    type: InputType = Field(
        "text",
        description="Its type: text, number, integer, boolean, choice, time, color; another word"
        " is checked as a text.",
    )
    asked_when: ProcessState = Field(
        ProcessState.ENABLED, description="The state in which a switch asks for it."
    )

    @property
    def short_name(self) -> str:
        """The reference, or the one made from the name."""
        return self.reference or reference_from(self.name)


class NewProcessModel(InputModel):
    reference: Reference = Field(description="Short unique name; other processes call it by this.")
    name: Name = Field(description="The name that people see.")
    name_enable: ShortText = Field("", description="The name to show while a switch is enabled.")
    name_disable: ShortText = Field("", description="The name to show while a switch is disabled.")
    description: Description = Field("", description="What it does.")
    espace: EspaceKey | None = Field(None, description="The espace to put it in.")
    icon: ShortText = Field("", description="Name of its icon.")
    mode: ProcessMode = Field(
        ProcessMode.SIMPLE, description="How its actions depend on its state."
    )
    state: ProcessState = Field(ProcessState.DISABLED, description="The state to begin in.")
    actions: list[NewActionModel] = Field(
        default_factory=list, max_length=MAX_PARTS, description="What it does, in order."
    )
    inputs: list[NewInputModel] = Field(
        default_factory=list, max_length=MAX_PARTS, description="What it asks for, in order."
    )
    profiles: list[ProfileKey] = Field(
        default_factory=list, max_length=MAX_PARTS, description="The profiles to authorise on it."
    )

    @model_validator(mode="after")
    def _references_differ(self) -> NewProcessModel:
        _require_unique([given.short_name for given in self.inputs], "input")
        return self


class ProcessChangesModel(InputModel):
    reference: Reference | None = Field(None, description="A new reference; callers follow it.")
    name: Name | None = Field(None, description="A new name.")
    name_enable: ShortText | None = Field(None, description="A new name while enabled.")
    name_disable: ShortText | None = Field(None, description="A new name while disabled.")
    description: Description | None = Field(None, description="A new description.")
    espace: EspaceKey | None = Field(
        None, description="Another espace; null takes it out of its espace."
    )
    icon: ShortText | None = Field(None, description="Another icon.")
    mode: ProcessMode | None = Field(None, description="Another mode.")
    state: ProcessState | None = Field(None, description="Another state.")


class ProcessTextsModel(BulkItemModel):
    database_id: DatabaseId = Field(description="The id of the process in the legacy dialects.")
    name: Name | None = Field(None, description="A new name.")
    name_enable: ShortText | None = Field(None, description="A new name while enabled.")
    name_disable: ShortText | None = Field(None, description="A new name while disabled.")
    description: Description | None = Field(None, description="A new description.")
    icon: ShortText | None = Field(None, description="Another icon.")


class ActionChangesModel(InputModel):
    source: Name | None = Field(None, description="The name of another source.")
    action: Name | None = Field(None, description="What to do there instead.")
    runs_when: ProcessState | None = Field(
        None, description="Another state in which a switch runs it."
    )
    arguments: list[ArgumentModel] | None = Field(
        None, max_length=MAX_PARTS, description="All arguments anew."
    )

    @model_validator(mode="after")
    def _references_differ(self) -> ActionChangesModel:
        _require_unique([argument.reference for argument in self.arguments or ()], "argument")
        return self


class InputChangesModel(InputModel):
    reference: Reference | None = Field(None, description="Another reference.")
    name: Name | None = Field(None, description="Another name.")
    type: InputType | None = Field(None, description="Another type.")
    asked_when: ProcessState | None = Field(
        None, description="Another state in which a switch asks for it."
    )


class InputValueModel(InputModel):
    reference: Text = Field(description="The reference of the input.")
    value: Text = Field(
        description="Its value, written as text: 21.5, true, 07:30, #ff8800, and so on."
    )


# The rest --------------------------------------------------------------------------------------


class NewEspaceModel(InputModel):
    reference: Reference = Field(description="Short unique name.")
    name: Name = Field(description="The name that people see.")
    description: Description = Field("", description="What it is for.")
    icon: ShortText = Field("", description="Name of its icon.")


class EspaceChangesModel(InputModel):
    reference: Reference | None = Field(None, description="Another reference.")
    name: Name | None = Field(None, description="Another name.")
    description: Description | None = Field(None, description="Another description.")
    icon: ShortText | None = Field(None, description="Another icon.")


class NewProfileModel(InputModel):
    name: Name = Field(description="Unique name.")
    permissions: list[Permission] = Field(
        default_factory=lambda: [Permission.PROCESS_READ, Permission.PROCESS_EXECUTE],
        description="What it allows; PROCESS_READ and PROCESS_EXECUTE where it is left out.",
    )


class ProfileChangesModel(InputModel):
    name: Name | None = Field(None, description="Another name.")
    permissions: list[Permission] | None = Field(None, description="All permissions anew.")


class NewSourceModel(InputModel):
    name: Name = Field(description="Unique name.")
    kind: Name = Field(description="What it is: a kind that this gateway knows.")
    settings: dict[str, Any] = Field(
        default_factory=dict, description="How to reach it, secrets among it; the kind says what."
    )


class SourceChangesModel(InputModel):
    name: Name | None = Field(None, description="Another name.")
    settings: dict[str, Any] | None = Field(
        None,
        description="All settings anew; a secret that is left out stays, one that is null goes.",
    )


def _require_unique(references: list[str], what: str) -> None:
    seen: set[str] = set()
    for reference in references:
        if reference in seen:
            raise ValueError(f'the {what} reference "{reference}" is given twice')
        seen.add(reference)


def reference_from(name: str) -> str:
    """A reference made from a name: ``Température du salon`` gives ``temperature_du_salon``."""
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
    made = re.sub(r"[^a-z0-9]+", "_", plain).strip("_")
    # A name in another script leaves nothing to make it from.
    return made or name.strip() or "input"


def accept(model: type[Model], given: Any, argument: str) -> Model:
    """Check an argument of a mutation.

    Args:
        given: the argument, coerced to its GraphQL type.
        argument: its name, which stands before each problem's path.

    Raises:
        GatewayError: ``BAD_USER_INPUT`` with every problem and its place.
    """
    return validate(model, given, (argument,))


def accept_all(model: type[Model], given: list[Any], argument: str) -> list[Model]:
    """Check an argument that is a list; raises like ``accept``."""
    try:
        return list_of(model).validate_python(given)
    except ValidationError as error:
        raise bad_input(*problems(error, (argument,))) from None


@cache
def list_of(model: type[Model]) -> TypeAdapter[list[Model]]:
    """What reads and writes lists of such inputs."""
    return TypeAdapter(list[model])  # type: ignore[valid-type]


def accept_text(given: str, *place: str | int) -> str:
    """Check a text that stands at this place among the arguments; raises like ``accept``."""
    try:
        return storable(given)
    except ValueError as error:
        raise bad_value(place, str(error)) from None


def accept_texts(given: list[str], argument: str) -> list[str]:
    """Check an argument that is a list of texts; raises like ``accept``."""
    return [accept_text(text, argument, place) for place, text in enumerate(given)]
