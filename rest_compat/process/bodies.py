"""Models of the request bodies of the /process dialect, in every form that its clients send.

The answer of a GET route can be sent to the POST route: ``actions`` is accepted for ``sources``,
objects for names and IDs, and unknown keys are ignored. The OpenAPI document describes the
recommended form of each member with a plain type, and names the others in its text.
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

from resolvers.rules.fields import MAX_PARTS
from resolvers.values.enums import ProcessMode, ProcessState
from resolvers.values.ids import global_id
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
from rest_compat.body_model import (
    ID_SCHEMA,
    KEY_SCHEMA,
    SCHEMAS,
    KeyForms,
    NullableBody,
    read_id,
    whole,
)

# Values with several forms -----------------------------------------------------------------------

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
    value = whole(value)
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
    """Return a number or a boolean as its JSON text; other values unchanged."""
    return orjson.dumps(value).decode() if isinstance(value, int | float) else value


def _original(value: object) -> str | None:
    """Return the opaque ID of the process that a body is a copy of; None if it names none."""
    try:
        return global_id("Process", read_id(value))
    except ValueError:
        return None


State: TypeAlias = Annotated[
    ProcessState,
    BeforeValidator(_state),
    WithJsonSchema({"$ref": f"{SCHEMAS}ProcessState"}),
]
Mode: TypeAlias = Annotated[
    ProcessMode,
    BeforeValidator(_mode),
    WithJsonSchema({"$ref": f"{SCHEMAS}ProcessMode"}),
]
Scalar: TypeAlias = str | int | float | bool
Value: TypeAlias = Annotated[
    str, BeforeValidator(_value, json_schema_input_type=str), AfterValidator(storable)
]
_AS_TEXT = "Numbers and booleans are accepted and stored as text."
_PROFILE_FORMS = "An integer, or an object with `id` or `name`, is accepted."
_STATE_FORMS = 'Send 0 or 1; `true`, `false`, `"0"` and `"1"` are accepted.'
EspaceKey: TypeAlias = Annotated[dict[str, Any], _ESPACE]
ProfileKey: TypeAlias = Annotated[dict[str, Any], _PROFILE]


def _form(forms: KeyForms, key: str) -> tuple[BeforeValidator, WithJsonSchema]:
    """Return the metadata of a field that takes the forms for one GraphQL key and no others."""
    return (
        BeforeValidator(lambda value: forms.read(value).get(key)),
        WithJsonSchema(KEY_SCHEMA | {"maxLength": 255}),
    )


_BY_SOURCE_NAME, _SOURCE_SCHEMA = _form(_SOURCE, "source")
_BY_SOURCE_ID, _ = _form(_SOURCE, "sourceId")
_BY_ACTION_NAME, _ACTION_SCHEMA = _form(_ACTION, "action")
_BY_PROCESS_ID, _ = _form(_ACTION, "subprocessId")
_SOURCE_TEXT = (
    "The name of the source to act on. An object with `name`, `reference` or `id`, or the ID as an"
    " integer, is accepted."
)
_ACTION_TEXT = (
    "The action of the source; for the source `process`, the reference of the process to run. An"
    " object with `reference`, `name` or `id`, or the ID of the process as an integer, is accepted."
)


# Processes and their parts -----------------------------------------------------------------------


class ArgumentBody(NullableBody):
    """A value for an action."""

    reference: Reference = Field(
        validation_alias=AliasChoices("reference", "name"),
        description="The name of the argument. Also accepted as `name`.",
    )
    value: Value = Field(
        description="The value. `{reference}` in it is replaced by the value of that input."
        f" {_AS_TEXT}"
    )


def _arguments(value: object) -> object:
    """Return arguments with bare values named by their index."""
    if not isinstance(value, list):
        return value
    return [
        {"reference": str(index), "value": item} if isinstance(item, Scalar) else item
        for index, item in enumerate(value)
    ]


_Arguments = Annotated[list[ArgumentBody], Field(max_length=MAX_PARTS)]


class ActionBody(NullableBody):
    """An action to add to a process."""

    source: Annotated[Name | None, _BY_SOURCE_NAME, _SOURCE_SCHEMA] = Field(
        validation_alias="source",
        description=_SOURCE_TEXT,
    )
    source_id: Annotated[str | None, _BY_SOURCE_ID, _SOURCE_SCHEMA] = Field(
        validation_alias=AliasChoices("source"),
        serialization_alias="sourceId",
        description=_SOURCE_TEXT,
    )
    action: Annotated[Name | None, _BY_ACTION_NAME, _ACTION_SCHEMA] = Field(
        validation_alias="action",
        description=_ACTION_TEXT,
    )
    subprocess_id: Annotated[str | None, _BY_PROCESS_ID, _ACTION_SCHEMA] = Field(
        validation_alias=AliasChoices("action"),
        serialization_alias="subprocessId",
        description=_ACTION_TEXT,
    )
    enable: State | None = Field(
        None,
        serialization_alias="runsWhen",
        description="The state in which a process of mode `switch` runs the action. Default: 1."
        f" {_STATE_FORMS}",
    )
    arguments: Annotated[
        list[ArgumentBody],
        BeforeValidator(_arguments, json_schema_input_type=_Arguments),
    ] = Field(
        default_factory=list,
        max_length=MAX_PARTS,
        description="The arguments of the action, in order. A bare value is accepted for an"
        " argument; its reference is then its index: `0`, `1`, and so on.",
    )

    @model_validator(mode="before")
    @classmethod
    def _processes_go_by_id(cls, value: Any) -> Any:
        """Ignore the name of a subprocess that has an ID: names of processes are not unique."""
        if isinstance(value, dict) and isinstance(value.get("action"), dict):
            source, action = value.get("source"), value["action"]
            if isinstance(source, dict):
                source = source.get("name") or source.get("reference")
            if source == "process" and action.get("id") is not None:
                nameless = {key: member for key, member in action.items() if key != "name"}
                return value | {"action": nameless}
        return value


class InputBody(NullableBody):
    """An input to add to a process."""

    reference: Reference | None = Field(
        None, description="Unique in the process. Default: derived from the name."
    )
    name: Name = Field(description="The display name.")
    type: InputType | None = Field(
        None,
        description="The type of the value: `text`, `number`, `integer`, `boolean`, `choice`,"
        " `time`, `color`, or any other word, which is treated as text. Default: `text`.",
    )
    enable: State | None = Field(
        None,
        serialization_alias="askedWhen",
        description="The state in which a process of mode `switch` takes the input. Default: 1."
        f" {_STATE_FORMS}",
    )


class ProcessBody(NullableBody):
    """A process to create."""

    settings_of: Annotated[
        str | None, BeforeValidator(_original), WithJsonSchema(dict(ID_SCHEMA))
    ] = Field(
        None,
        validation_alias="id",
        serialization_alias="settingsOf",
        description="The ID of the process that it is a copy of, as in the response of GET. The new"
        " process takes over the settings that only GraphQL shows. Any other value is ignored.",
    )
    reference: Reference = Field(description="The unique short name.")
    name: Name = Field(description="The display name.")
    name_enable: ShortText | None = Field(
        None, description="The display name of an enabled switch."
    )
    name_disable: ShortText | None = Field(
        None, description="The display name of a disabled switch."
    )
    description: Description | None = Field(None, description="What the process does.")
    espace: EspaceKey | None = Field(
        None,
        description="The reference or the ID of the espace. An integer, or an object with `id`,"
        " `reference` or `name`, is accepted.",
    )
    icon: ShortText | None = Field(None, description="The name of the icon.")
    mode: Mode | None = Field(
        None, description="Default: `simple`. `button` is accepted for `simple`."
    )
    enable: State | None = Field(
        None,
        serialization_alias="state",
        description=f"The initial state. Default: 0. {_STATE_FORMS}",
    )
    sources: list[ActionBody] | None = Field(
        None,
        max_length=MAX_PARTS,
        validation_alias=AliasChoices("sources", "actions"),
        serialization_alias="actions",
        description="The actions, in order. Also accepted as `actions`.",
    )
    inputs: list[InputBody] | None = Field(
        None, max_length=MAX_PARTS, description="The inputs, in order."
    )
    profiles: list[ProfileKey] | None = Field(
        None,
        max_length=MAX_PARTS,
        description="The names or IDs of the profiles to authorize on the process. An integer, or"
        " an object with `id` or `name`, is accepted for each.",
    )

    @model_validator(mode="before")
    @classmethod
    def _one_list_of_actions(cls, value: Any) -> Any:
        if isinstance(value, dict) and None not in (value.get("sources"), value.get("actions")):
            raise ValueError("sources and actions are two names of one list: send one of them")
        return value


class ProfileBody(NullableBody):
    """A profile to authorize."""

    id_profile: ProfileKey = Field(
        serialization_alias="profile",
        description=f"The name or the ID of the profile. {_PROFILE_FORMS}",
    )


class OptionalProfileBody(NullableBody):
    """A profile whose authorization to withdraw."""

    id_profile: ProfileKey | None = Field(
        None,
        serialization_alias="profile",
        description="The name or the ID of the profile. Default: all profiles of the process."
        f" {_PROFILE_FORMS}",
    )


# Executing ---------------------------------------------------------------------------------------


class InputValueBody(NullableBody):
    """The value of an input."""

    reference: Text = Field(
        validation_alias=AliasChoices("reference", "name"),
        description="The reference of the input. Also accepted as `name`.",
    )
    value: Value = Field(description=f"The value. {_AS_TEXT}")


def _named(value: object) -> object:
    """Return a list of references and values, or a value that has none of the three forms."""
    return None if _in_order(value) or _by_reference(value) is not None else value


def _in_order(value: object) -> object:
    """Return a list of bare values; None for the other forms."""
    bare = isinstance(value, list) and any(isinstance(item, Scalar) for item in value)
    return value if bare else None


def _by_reference(value: object) -> object:
    """Return an object without its null members; None for the other forms."""
    if not isinstance(value, dict):
        return None
    return {reference: item for reference, item in value.items() if item is not None}


def _inputs(variable: str) -> Any:
    """Return a field that takes one form of ``inputs``."""
    return Field(
        None,
        max_length=MAX_PARTS,
        validation_alias="inputs",
        serialization_alias=variable,
        description="The values of the inputs. A list of bare values, in the order of the inputs"
        " that the process takes in its state, or an object with a member for each input, is"
        " accepted.",
    )


def _with_references(values: dict[str, str] | None) -> list[dict[str, str]] | None:
    if values is None:
        return None
    return [{"reference": reference, "value": value} for reference, value in values.items()]


_InputValues = Annotated[list[InputValueBody], Field(max_length=MAX_PARTS)]


class ExecuteBody(NullableBody):
    """The input values of an execution, in one of three forms."""

    named: Annotated[
        list[InputValueBody] | None,
        BeforeValidator(_named, json_schema_input_type=_InputValues),
    ] = _inputs("inputs")
    in_order: Annotated[
        list[Value] | None, BeforeValidator(_in_order, json_schema_input_type=_InputValues)
    ] = _inputs("values")
    by_reference: Annotated[
        dict[Text, Value] | None,
        BeforeValidator(_by_reference, json_schema_input_type=_InputValues),
        PlainSerializer(_with_references),
    ] = _inputs("inputs")
