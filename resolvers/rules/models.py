"""Define the pydantic models of the input of mutations.

``resolvers.schema.inputs`` derives the GraphQL inputs from these models, and ``accept`` validates
arguments against them. Null is the same as leaving a field out, unless the field's type allows it.
"""

from __future__ import annotations

import re
import unicodedata
from functools import cache
from typing import Annotated, Any

from pydantic import Field, TypeAdapter, ValidationError, model_validator

from resolvers.errors.catalogue import FieldProblem, bad_input, bad_value
from resolvers.rules.fields import (
    MAX_CHOICES,
    MAX_PARTS,
    ActionSeconds,
    BulkItemModel,
    DatabaseId,
    DefaultValue,
    EspaceId,
    InputModel,
    Pattern,
    ProcessId,
    ProcessSeconds,
    ProfileId,
    Retries,
    SourceId,
)
from resolvers.values.enums import (
    OnFailure,
    Permission,
    ProcessConcurrency,
    ProcessMode,
    ProcessState,
)
from resolvers.values.text import (
    MAX_REFERENCE,
    Description,
    InputType,
    Name,
    Reference,
    ShortText,
    Text,
    storable,
)
from resolvers.values.validation import Model, rejected, validate

# Keys ------------------------------------------------------------------------------------------


class EspaceKey(InputModel):
    """One of the keys of an espace."""

    id: EspaceId | None = Field(None, description="Opaque ID.")
    database_id: DatabaseId | None = Field(None, description="ID in the legacy dialects.")
    reference: Text | None = Field(None, description="Reference.")
    name: Text | None = Field(None, description="Name. Must be unique among espaces.")


class ProfileKey(InputModel):
    """One of the keys of a profile."""

    id: ProfileId | None = Field(None, description="Opaque ID.")
    database_id: DatabaseId | None = Field(None, description="ID in the legacy dialects.")
    name: Text | None = Field(None, description="Name.")


# Processes -------------------------------------------------------------------------------------


class ArgumentModel(InputModel):
    reference: Reference = Field(description="Name of the argument, unique in its action.")
    value: Text = Field(
        description="Value of the argument. {input} is replaced by the value of that input."
    )


class NewActionModel(InputModel):
    source: Name | None = Field(None, description="Name of the source to act on.")
    source_id: SourceId | None = Field(
        None, description="Opaque ID of the source. Use it instead of source."
    )
    action: Name | None = Field(
        None,
        description="What the source does. For the source process, the reference of a process.",
    )
    subprocess_id: ProcessId | None = Field(
        None,
        description="Opaque ID of the process to run. Use it instead of action; the source is then"
        " optional.",
    )
    runs_when: ProcessState = Field(
        ProcessState.ENABLED, description="State in which a switch runs it."
    )
    arguments: list[ArgumentModel] = Field(
        default_factory=list, max_length=MAX_PARTS, description="Arguments, in order."
    )
    timeout: ActionSeconds | None = Field(
        None,
        description="Seconds that one attempt may take, from 0.1 to 3,600. Defaults to that of the"
        " gateway.",
    )
    retries: Retries = Field(
        0, description="How often it is repeated at the most if it fails, from 0 to 5."
    )
    on_failure: OnFailure = Field(
        OnFailure.STOP, description="What happens to the execution if it fails."
    )
    idempotent: bool | None = Field(
        None,
        description="Whether it has the same effect if it is repeated. By default, its source"
        " decides.",
    )

    @model_validator(mode="after")
    def _has_one_target(self) -> NewActionModel:
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
        description="Short name, unique in its process. Defaults to one derived from the name.",
    )
    name: Name = Field(description="Display name.")
    type: InputType = Field(
        "text",
        description="Type: text, number, integer, boolean, choice, time or color. Values of any"
        " other type are accepted as text.",
    )
    asked_when: ProcessState = Field(
        ProcessState.ENABLED, description="State in which a switch asks for it."
    )
    label: ShortText = Field("", description="Label in a form. Defaults to the name.")
    help: Description = Field("", description="Explanation in a form.")
    required: bool = Field(True, description="Whether an execution needs a value.")
    min: float | None = Field(
        None,
        description="Least value of a number or an integer; of a time, in seconds since midnight.",
    )
    max: float | None = Field(
        None,
        description="Greatest value of a number or an integer; of a time, in seconds since"
        " midnight.",
    )
    step: float | None = Field(
        None, description="Values are min, or else 0, and a multiple of this more or less."
    )
    unit: ShortText = Field("", description="Unit of the value to show.")
    pattern: Pattern | None = Field(
        None,
        description="Regular expression (RE2) that the whole value has to match, of up to 255"
        " characters.",
    )
    choices: list[Name] = Field(
        default_factory=list,
        max_length=MAX_CHOICES,
        description="The only values that are accepted, in order, at most 1,000.",
    )
    default: DefaultValue | None = Field(
        None, description="Value if the caller supplies none. Must be one that is accepted."
    )

    @property
    def short_name(self) -> str:
        """The reference, or one derived from the name."""
        return self.reference or reference_from(self.name)


class NewProcessModel(InputModel):
    reference: Reference = Field(description="Short unique name, by which other processes call it.")
    name: Name = Field(description="Display name.")
    name_enable: ShortText = Field("", description="Display name while a switch is enabled.")
    name_disable: ShortText = Field("", description="Display name while a switch is disabled.")
    description: Description = Field("", description="Description.")
    espace: EspaceKey | None = Field(None, description="Espace that the process belongs to.")
    icon: ShortText = Field("", description="Icon name.")
    mode: ProcessMode = Field(
        ProcessMode.SIMPLE, description="How its actions depend on its state."
    )
    state: ProcessState = Field(ProcessState.DISABLED, description="Initial state.")
    concurrency: ProcessConcurrency | None = Field(
        None,
        description="What happens to an execution while another one runs. Defaults to PARALLEL, and"
        " to QUEUED for a switch, which cannot be PARALLEL.",
    )
    timeout: ProcessSeconds | None = Field(
        None,
        description="Seconds that an execution may take, from 1 to 86,400. Defaults to that of the"
        " gateway.",
    )
    actions: list[NewActionModel] = Field(
        default_factory=list, max_length=MAX_PARTS, description="Actions, in order."
    )
    inputs: list[NewInputModel] = Field(
        default_factory=list, max_length=MAX_PARTS, description="Inputs, in order."
    )
    profiles: list[ProfileKey] = Field(
        default_factory=list, max_length=MAX_PARTS, description="Profiles to authorize on it."
    )
    settings_of: ProcessId | None = Field(
        None,
        description="Opaque ID of a process that it is a copy of. It takes over concurrency and"
        " timeout, and the settings of the actions and inputs that both have, instead of those"
        " given here. Ignored if there is no such process.",
    )

    @model_validator(mode="after")
    def _references_differ(self) -> NewProcessModel:
        _require_unique([part.short_name for part in self.inputs], "input")
        return self


class ProcessChangesModel(InputModel):
    reference: Reference | None = Field(
        None, description="New reference. Actions that call the process follow the change."
    )
    name: Name | None = Field(None, description="New display name.")
    name_enable: ShortText | None = Field(None, description="New display name while enabled.")
    name_disable: ShortText | None = Field(None, description="New display name while disabled.")
    description: Description | None = Field(None, description="New description.")
    espace: EspaceKey | None = Field(
        None, description="New espace. Null removes the process from its espace."
    )
    icon: ShortText | None = Field(None, description="New icon name.")
    mode: ProcessMode | None = Field(None, description="New mode.")
    state: ProcessState | None = Field(None, description="New state.")
    concurrency: ProcessConcurrency | None = Field(
        None, description="New concurrency. A switch cannot be PARALLEL."
    )
    timeout: ProcessSeconds | None = Field(
        None,
        description="New seconds that an execution may take. Null for the default of the gateway.",
    )


class ProcessTextsModel(BulkItemModel):
    database_id: DatabaseId = Field(description="ID of the process in the legacy dialects.")
    name: Name | None = Field(None, description="New display name.")
    name_enable: ShortText | None = Field(None, description="New display name while enabled.")
    name_disable: ShortText | None = Field(None, description="New display name while disabled.")
    description: Description | None = Field(None, description="New description.")
    icon: ShortText | None = Field(None, description="New icon name.")
    if_version: Text | None = Field(
        None, description="Version that the process must have. Defaults to any version."
    )


class ActionChangesModel(InputModel):
    source: Name | None = Field(None, description="Name of the new source.")
    action: Name | None = Field(None, description="What the source does instead.")
    runs_when: ProcessState | None = Field(None, description="New state in which a switch runs it.")
    arguments: list[ArgumentModel] | None = Field(
        None, max_length=MAX_PARTS, description="New arguments. They replace all existing ones."
    )
    timeout: ActionSeconds | None = Field(
        None,
        description="New seconds that one attempt may take. Null for the default of the gateway.",
    )
    retries: Retries | None = Field(None, description="New number of retries.")
    on_failure: OnFailure | None = Field(
        None, description="What happens to the execution if it fails, from now on."
    )
    idempotent: bool | None = Field(
        None,
        description="Whether it has the same effect if it is repeated. With null, its source"
        " decides.",
    )

    @model_validator(mode="after")
    def _references_differ(self) -> ActionChangesModel:
        _require_unique([argument.reference for argument in self.arguments or ()], "argument")
        return self


class InputChangesModel(InputModel):
    reference: Reference | None = Field(None, description="New reference.")
    name: Name | None = Field(None, description="New display name.")
    type: InputType | None = Field(None, description="New type.")
    asked_when: ProcessState | None = Field(
        None, description="New state in which a switch asks for it."
    )
    label: ShortText | None = Field(None, description="New label in a form.")
    help: Description | None = Field(None, description="New explanation in a form.")
    required: bool | None = Field(None, description="Whether an execution needs a value.")
    min: float | None = Field(None, description="New least value. Null removes it.")
    max: float | None = Field(None, description="New greatest value. Null removes it.")
    step: float | None = Field(None, description="New step. Null removes it.")
    unit: ShortText | None = Field(None, description="New unit.")
    pattern: Pattern | None = Field(
        None, description="New regular expression (RE2). Null removes it."
    )
    choices: list[Name] | None = Field(
        None,
        max_length=MAX_CHOICES,
        description="New choices. They replace all existing ones.",
    )
    default: DefaultValue | None = Field(None, description="New default. Null removes it.")


class InputValueModel(InputModel):
    reference: Text = Field(description="Reference of the input.")
    value: Text = Field(description="Value, as text. Examples: 21.5, true, 07:30, #ff8800.")


# Espaces, profiles, sources --------------------------------------------------------------------


class NewEspaceModel(InputModel):
    reference: Reference = Field(description="Short unique name.")
    name: Name = Field(description="Display name.")
    description: Description = Field("", description="Description.")
    icon: ShortText = Field("", description="Icon name.")


class EspaceChangesModel(InputModel):
    reference: Reference | None = Field(None, description="New reference.")
    name: Name | None = Field(None, description="New display name.")
    description: Description | None = Field(None, description="New description.")
    icon: ShortText | None = Field(None, description="New icon name.")


class NewProfileModel(InputModel):
    name: Name = Field(description="Unique name.")
    permissions: list[Permission] = Field(
        default_factory=lambda: [Permission.PROCESS_READ, Permission.PROCESS_EXECUTE],
        description="Permissions. Defaults to PROCESS_READ and PROCESS_EXECUTE.",
    )


class ProfileChangesModel(InputModel):
    name: Name | None = Field(None, description="New name.")
    permissions: list[Permission] | None = Field(
        None, description="New permissions. They replace all existing ones."
    )


class NewSourceModel(InputModel):
    name: Name = Field(description="Unique name.")
    kind: Name = Field(description="Source kind, one of those that this gateway knows.")
    settings: dict[str, Any] = Field(
        default_factory=dict,
        description="Settings, including secrets. The kind defines which ones it has.",
    )


class SourceChangesModel(InputModel):
    name: Name | None = Field(None, description="New name.")
    settings: dict[str, Any] | None = Field(
        None,
        description="New settings. They replace all existing ones, except that a secret that is"
        " left out is kept; a secret that is null is removed.",
    )


def _require_unique(references: list[str], noun: str) -> None:
    known: set[str] = set()
    for reference in references:
        if reference in known:
            raise ValueError(f'the {noun} reference "{reference}" is given twice')
        known.add(reference)


def reference_from(name: str) -> str:
    """Derive a reference from a name: ``Température du salon`` becomes ``temperature_du_salon``."""
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
    reference = re.sub(r"[^a-z0-9]+", "_", plain).strip("_")
    # Nothing is left of a name in a script other than Latin. Some characters become several.
    return (reference or name.strip() or "input")[:MAX_REFERENCE]


# Validation of arguments -----------------------------------------------------------------------


def accept(model: type[Model], value: Any, argument: str) -> Model:
    """Validate an argument of a mutation.

    Args:
        value: The argument, coerced to its GraphQL type.
        argument: Its name, which begins the path of each problem.

    Raises:
        GatewayError: ``BAD_USER_INPUT`` with every problem and its path.
    """
    return validate(model, value, (argument,))


def accept_all(model: type[Model], values: list[Any], argument: str) -> list[Model]:
    """Validate a list of values for parts of a process; raise like ``accept``."""
    try:
        return _list_of(model).validate_python(values)
    except ValidationError as error:
        raise rejected(error, (argument,)) from None


@cache
def _list_of(model: type[Model]) -> TypeAdapter[list[Model]]:
    """Return the adapter that reads lists of a model."""
    parts: Any = Annotated[list[model], Field(max_length=MAX_PARTS)]  # type: ignore[valid-type]  # a type that is known only here
    return TypeAdapter(parts)


def accept_text(text: str, *path: str | int) -> str:
    """Validate a text at a path in the arguments; raise like ``accept``."""
    try:
        return storable(text)
    except ValueError as error:
        raise bad_value(path, str(error)) from None


def accept_texts(texts: list[str], argument: str) -> list[str]:
    """Validate a list of texts for parts of a process; raise like ``accept``."""
    if len(texts) > MAX_PARTS:
        raise bad_value((argument,), f"expected at most {MAX_PARTS:,} items")
    accepted, invalid = [], []
    for index, text in enumerate(texts):
        try:
            accepted.append(storable(text))
        except ValueError as error:
            invalid.append(FieldProblem((argument, index), str(error)))
    if invalid:
        raise bad_input(*invalid)
    return accepted
