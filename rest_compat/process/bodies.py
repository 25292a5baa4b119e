"""In charge of the bodies of the /process dialect, in all the forms that its clients send.

What GET answers can be sent to POST: ``actions`` is accepted for ``sources``, objects for names and
ids, and keys that mean nothing there are ignored.
"""

from __future__ import annotations

from typing import Annotated, Any, TypeAlias

import orjson
from pydantic import (
    AfterValidator,
    AliasChoices,
    BeforeValidator,
    Field,
    PlainSerializer,
    WithJsonSchema,
    model_validator,
)

from resolvers.rules.models import MAX_PARTS
from resolvers.values.enums import ProcessMode, ProcessState
from resolvers.values.text import (
    Description,
    InputType,
    Name,
    Reference,
    ShortText,
    Text,
    describe,
    storable,
)
from rest_compat.body_model import KeyForms, NullableBody

# The kinds of value that have more forms than one ------------------------------------------------

_STATES = {"0": ProcessState.DISABLED, "1": ProcessState.ENABLED}
_MODES = {"simple": ProcessMode.SIMPLE, "button": ProcessMode.SIMPLE, "switch": ProcessMode.SWITCH}

_ESPACE = KeyForms(
    "the id or the reference of an espace, or an object with id, reference or name",
    {"id": "databaseId", "reference": "reference", "name": "name"},
    text="reference",
)
_PROFILE = KeyForms(
    "the id or the name of a profile, or an object with id or name",
    {"id": "databaseId", "name": "name"},
    text="name",
)
_SOURCE = KeyForms(
    "the name of a source, or an object with name, reference or id",
    {"name": "source", "reference": "source", "id": "sourceId"},
    text="source",
    digits_are_ids=False,
    opaque="Source",
)
_ACTION = KeyForms(
    "the name of an action, or an object with reference, name or id",
    {"reference": "action", "name": "action", "id": "subprocessId"},
    text="action",
    digits_are_ids=False,
    opaque="Process",
)


def _state(value: object) -> ProcessState:
    if isinstance(value, bool | int | str):
        state = _STATES.get(str(int(value)) if isinstance(value, bool) else str(value))
        if state is not None:
            return state
    raise ValueError(f"expected 0 or 1, got {describe(value)}")


def _mode(value: object) -> ProcessMode:
    if isinstance(value, str) and value in _MODES:
        return _MODES[value]
    raise ValueError(f"expected one of {', '.join(_MODES)}, got {describe(value)}")


def _value(value: object) -> object:
    """A number or a boolean as the text that JSON has for it."""
    return orjson.dumps(value).decode() if isinstance(value, int | float) else value


State: TypeAlias = Annotated[
    ProcessState,
    BeforeValidator(_state),
    WithJsonSchema({"enum": [0, 1, True, False, "0", "1"]}),
]
Mode: TypeAlias = Annotated[
    ProcessMode,
    BeforeValidator(_mode),
    WithJsonSchema({"enum": list(_MODES)}),
]
Scalar: TypeAlias = str | int | float | bool
Value: TypeAlias = Annotated[
    str, BeforeValidator(_value, json_schema_input_type=Scalar), AfterValidator(storable)
]
EspaceKey: TypeAlias = Annotated[dict[str, Any], _ESPACE]
ProfileKey: TypeAlias = Annotated[dict[str, Any], _PROFILE]


def _form(forms: KeyForms, key: str) -> tuple[BeforeValidator, WithJsonSchema]:
    """What makes a field take the forms that become this key, and leave out the others."""
    return (
        BeforeValidator(lambda value: forms.read(value).get(key)),
        WithJsonSchema(forms.json_schema()),
    )


_BY_SOURCE_NAME, _SOURCE_SCHEMA = _form(_SOURCE, "source")
_BY_SOURCE_ID, _ = _form(_SOURCE, "sourceId")
_BY_ACTION_NAME, _ACTION_SCHEMA = _form(_ACTION, "action")
_BY_PROCESS_ID, _ = _form(_ACTION, "subprocessId")


# Processes and their parts -----------------------------------------------------------------------


class ArgumentBody(NullableBody):
    """A value for an action."""

    reference: Reference = Field(validation_alias=AliasChoices("reference", "name"))
    value: Value


def _arguments(value: object) -> object:
    """Arguments, with those that are bare values named by their index."""
    if not isinstance(value, list):
        return value
    return [
        {"reference": str(place), "value": item} if isinstance(item, Scalar) else item
        for place, item in enumerate(value)
    ]


class ActionBody(NullableBody):
    """An action to add to a process."""

    source: Annotated[Name | None, _BY_SOURCE_NAME, _SOURCE_SCHEMA] = Field(
        validation_alias="source",
        description="The source to act on.",
    )
    source_id: Annotated[str | None, _BY_SOURCE_ID, _SOURCE_SCHEMA] = Field(
        validation_alias=AliasChoices("source"),
        serialization_alias="sourceId",
        description="The source to act on.",
    )
    action: Annotated[Name | None, _BY_ACTION_NAME, _ACTION_SCHEMA] = Field(
        validation_alias="action",
        description="What to do there; with the source process, the process to run.",
    )
    subprocess_id: Annotated[str | None, _BY_PROCESS_ID, _ACTION_SCHEMA] = Field(
        validation_alias=AliasChoices("action"),
        serialization_alias="subprocessId",
        description="What to do there; with the source process, the process to run.",
    )
    enable: State | None = Field(
        None,
        serialization_alias="runsWhen",
        description="The state in which a switch runs it; 1 where it is left out.",
    )
    arguments: Annotated[
        list[ArgumentBody],
        BeforeValidator(_arguments, json_schema_input_type=list[ArgumentBody | Scalar]),
    ] = Field(
        default_factory=list, max_length=MAX_PARTS, description="What to do it with, in order."
    )

    @model_validator(mode="before")
    @classmethod
    def _processes_go_by_id(cls, value: Any) -> Any:
        """A process is known by its reference or its id: as an action, its name says nothing."""
        if isinstance(value, dict) and isinstance(value.get("action"), dict):
            source, action = value.get("source"), value["action"]
            if isinstance(source, dict):
                source = source.get("name") or source.get("reference")
            if source == "process" and action.get("id") is not None:
                named = {key: member for key, member in action.items() if key != "name"}
                return value | {"action": named}
        return value


class InputBody(NullableBody):
    """An input to add to a process."""

    reference: Reference | None = Field(
        None, description="Unique in its process; made from the name where it is left out."
    )
    name: Name = Field(description="The name that people see.")
    type: InputType | None = Field(None, description="Any word; text where it is left out.")
    enable: State | None = Field(
        None,
        serialization_alias="askedWhen",
        description="The state in which a switch asks for it; 1 where it is left out.",
    )


class ProcessBody(NullableBody):
    """A process to create."""

    reference: Reference = Field(description="Short unique name.")
    name: Name = Field(description="The name that people see.")
    name_enable: ShortText | None = Field(None, description="The name while a switch is enabled.")
    name_disable: ShortText | None = Field(None, description="The name while it is disabled.")
    description: Description | None = Field(None, description="What it does.")
    espace: EspaceKey | None = Field(None, description="The espace to put it in.")
    icon: ShortText | None = Field(None, description="Name of its icon.")
    mode: Mode | None = Field(
        None, description="simple where it is left out; button means that too."
    )
    enable: State | None = Field(
        None, serialization_alias="state", description="The state to begin in; 0 where left out."
    )
    sources: list[ActionBody] | None = Field(
        None,
        max_length=MAX_PARTS,
        validation_alias=AliasChoices("sources", "actions"),
        serialization_alias="actions",
        description="What it does, in order. Also accepted as actions.",
    )
    inputs: list[InputBody] | None = Field(
        None, max_length=MAX_PARTS, description="What it asks for, in order."
    )
    profiles: list[ProfileKey] | None = Field(
        None, max_length=MAX_PARTS, description="The profiles to authorise on it."
    )

    @model_validator(mode="before")
    @classmethod
    def _one_list_of_actions(cls, value: Any) -> Any:
        if isinstance(value, dict) and None not in (value.get("sources"), value.get("actions")):
            raise ValueError("sources and actions are two names of one list: send one of them")
        return value


class ProfileBody(NullableBody):
    """A profile to authorise."""

    id_profile: ProfileKey = Field(
        serialization_alias="profile", description="The profile's id or name."
    )


class OptionalProfileBody(NullableBody):
    """A profile to take the authorisation from."""

    id_profile: ProfileKey | None = Field(
        None,
        serialization_alias="profile",
        description="The profile's id or name; all profiles where it is left out.",
    )


# Executing ---------------------------------------------------------------------------------------


class InputValueBody(NullableBody):
    """The value of an input."""

    reference: Text = Field(validation_alias=AliasChoices("reference", "name"))
    value: Value


InputForms: TypeAlias = list[InputValueBody] | list[Scalar] | dict[str, Scalar | None] | None


def _named(value: object) -> object:
    """The form of a list of references and values, and whatever is none of the three."""
    return None if _in_order(value) or _by_reference(value) is not None else value


def _in_order(value: object) -> object:
    """The form of a list of bare values."""
    bare = isinstance(value, list) and any(isinstance(item, Scalar) for item in value)
    return value if bare else None


def _by_reference(value: object) -> object:
    """The form of an object; null in it is the same as nothing."""
    if not isinstance(value, dict):
        return None
    return {reference: item for reference, item in value.items() if item is not None}


def _inputs(variable: str) -> Any:
    """A field that takes one form of ``inputs``."""
    return Field(
        None,
        max_length=MAX_PARTS,
        validation_alias="inputs",
        serialization_alias=variable,
        description="The values of the inputs: each with its reference, or bare in the order of the"
        " inputs that the process asks for in its state, or an object with a member for each.",
    )


def _with_references(values: dict[str, str] | None) -> list[dict[str, str]] | None:
    if values is None:
        return None
    return [{"reference": reference, "value": value} for reference, value in values.items()]


class ExecuteBody(NullableBody):
    """The values to execute a process with, in one of three forms."""

    named: Annotated[
        list[InputValueBody] | None,
        BeforeValidator(_named, json_schema_input_type=InputForms),
    ] = _inputs("inputs")
    in_order: Annotated[
        list[Value] | None, BeforeValidator(_in_order, json_schema_input_type=InputForms)
    ] = _inputs("values")
    by_reference: Annotated[
        dict[Text, Value] | None,
        BeforeValidator(_by_reference, json_schema_input_type=InputForms),
        PlainSerializer(_with_references),
    ] = _inputs("inputs")
