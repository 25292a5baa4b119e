"""Define the base of request body models, and translate paths of errors to paths in the body.

A field of a model has two names: the dialect's (``validation_alias``) and GraphQL's
(``serialization_alias``). A model dumps the variables of its operation, and the path of an error in
those variables is translated to a path in the body.
"""

from __future__ import annotations

import re
import types
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, Union, get_args, get_origin

from graphql import (
    GraphQLInputObjectType,
    GraphQLInputType,
    get_named_type,
    is_required_input_field,
)
from pydantic import (
    AliasChoices,
    BaseModel,
    ConfigDict,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    model_validator,
)
from pydantic.alias_generators import to_camel
from pydantic.fields import FieldInfo
from pydantic_core import CoreSchema, core_schema

from resolvers.values.ids import MAX_DATABASE_ID, global_id
from resolvers.values.text import describe, storable

JsonSchema = dict[str, Any]

SCHEMAS = "#/components/schemas/"
"""The prefix of references to named schemas in the OpenAPI document."""
INTEGER_SCHEMA: JsonSchema = {"type": "integer", "format": "int32"}
ID_SCHEMA: JsonSchema = INTEGER_SCHEMA | {"minimum": 1, "maximum": MAX_DATABASE_ID}
STATE_SCHEMA: JsonSchema = INTEGER_SCHEMA | {"enum": [0, 1]}
KEY_SCHEMA: JsonSchema = {"type": "string", "minLength": 1}
"""The documented form of a reference to an existing object; the field's text has the others."""
ID_OR_KEY_SCHEMA: JsonSchema = KEY_SCHEMA | {"pattern": r"^([1-9][0-9]{0,8}|[\s\S]*[^0-9][\s\S]*)$"}
"""As above, if a string of digits is an ID. Longer IDs are accepted, too, up to the largest one."""
_DIGITS = re.compile(r"[0-9]+")


class Body(BaseModel):
    """An object in a body. Unknown keys are ignored.

    Null means the same as leaving a member out. If null is the default of every optional member, as
    in the items of long lists, the items need not be searched for nulls.
    """

    model_config = ConfigDict(alias_generator=to_camel, extra="ignore", frozen=True)

    @classmethod
    def __get_pydantic_json_schema__(
        cls, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchema:
        """Describe the documented name and form of each member.

        The other names and forms are in the descriptions of the fields. Null means the same as
        an absent member, so no member is described as nullable.
        """
        described = handler.resolve_ref_schema(handler(schema))
        described.pop("title", None)
        properties = described.get("properties", {})
        for name, member in properties.items():
            member.pop("title", None)
            if member.get("default", ...) is None:
                del member["default"]
            forms = [form for form in member.pop("anyOf", ()) if form != {"type": "null"}]
            if forms:
                assert len(forms) == 1, f"{cls.__name__}.{name} is described with several forms"
                properties[name] = forms[0] | member
        # Two fields may read different forms of the same member.
        if "required" in described:
            described["required"] = list(dict.fromkeys(described["required"]))
        return described

    def variables(self) -> dict[str, Any]:
        """Return the members that the client sent, as GraphQL variables after coercion."""
        return self.model_dump(by_alias=True, exclude_unset=True, exclude_none=True)


class NullableBody(Body):
    """An object in a body in which null is accepted for every member that may be left out."""

    @model_validator(mode="before")
    @classmethod
    def _leave_out_null(cls, value: Any) -> Any:
        if not isinstance(value, dict) or None not in value.values():
            return value
        return {key: member for key, member in value.items() if member is not None}


@dataclass(frozen=True, slots=True)
class KeyForms:
    """The forms in which a body may refer to an existing object, and the GraphQL key of each.

    As the metadata of a field, it converts any of the forms to an object with one GraphQL key.
    """

    expected: str
    """The expected forms, for error messages."""
    members: Mapping[str, str] = field(hash=False)
    """The GraphQL key for each member of the object form; the first that is present counts."""
    text: str
    """The GraphQL key for a bare string."""
    digits_are_ids: bool = True
    """Whether a bare string of digits is an ID."""
    opaque: str | None = None
    """The type of the opaque ID that GraphQL takes instead of the number; None for the number."""

    def read(self, value: object) -> dict[str, object]:
        """Return the GraphQL key and its value.

        Raises:
            ValueError: The value has none of the forms.
        """
        match value:
            case dict():
                for member, key in self.members.items():
                    name = value.get(member)
                    if name is not None:
                        return {key: self._id(name) if member == "id" else _text(name)}
            case str() if not (self.digits_are_ids and _DIGITS.fullmatch(value)):
                return {self.text: _text(value)}
            case str() | int() | float() if not isinstance(value, bool):
                return {self.members["id"]: self._id(value)}
        raise ValueError(f"expected {self.expected}, got {describe(value)}")

    def _id(self, value: object) -> object:
        number = read_id(value)
        return global_id(self.opaque, number) if self.opaque else number

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(self.read)

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchema:
        return dict(ID_OR_KEY_SCHEMA if self.digits_are_ids else KEY_SCHEMA)


def read_id(value: object) -> int:
    """Return an ID from an integer or a string of digits.

    Raises:
        ValueError: The value is not a positive 32-bit integer.
    """
    if isinstance(value, str) and _DIGITS.fullmatch(value) and len(value) <= 10:
        value = int(value)
    value = whole(value)
    if isinstance(value, int) and not isinstance(value, bool) and 0 < value <= MAX_DATABASE_ID:
        return value
    raise ValueError(f"expected an id from 1 to {MAX_DATABASE_ID}, got {describe(value)}")


def whole(value: object) -> object:
    """Return an integer for a float without a fraction: JSON does not tell 1 from 1.0."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError(f"expected text, got {describe(value)}")  # noqa: TRY004 (pydantic's)
    if not value:
        raise ValueError("must not be empty")
    return storable(value)


# From a body to an operation and back ----------------------------------------------------------


def graphql_fields(model: type[Body]) -> list[tuple[str, FieldInfo]]:
    """Return the fields of a model that an operation takes, each with its GraphQL name.

    Two fields may have the same name if they read different forms of the same member.
    """
    return [
        (info.serialization_alias or name, info)
        for name, info in model.model_fields.items()
        if not info.exclude
    ]


def required_members(model: type[Body]) -> list[str]:
    """Return the names of the required members of a body."""
    names = [_client_names(info)[0] for info in model.model_fields.values() if info.is_required()]
    return list(dict.fromkeys(names))


def client_path(
    model: type[Body], path: Sequence[str | int], value: object
) -> tuple[str | int, ...]:
    """Return the path in a body that corresponds to a path in the input of an operation.

    Args:
        model: The model of the body.
        path: GraphQL keys and list indices.
        value: The body. It determines which name the client used for a member that has two names.
    """
    translated: list[str | int] = []
    inside: type[Body] | KeyForms | None = model
    for part in path:
        if isinstance(part, str) and inside is not None:
            if isinstance(inside, KeyForms):
                break  # the client sent the value; the key in it was added by the conversion
            info = dict(graphql_fields(inside)).get(part)
            # A key that is not a field is the client's own, such as the reference of an input.
            if info is not None:
                names, inside = _client_names(info), _inside(info)
                known = value if isinstance(value, dict) else {}
                part = next((name for name in names if name in known), names[0])
        translated.append(part)
        if isinstance(value, dict):
            value = value.get(part)
        elif isinstance(value, list) and isinstance(part, int) and part < len(value):
            value = value[part]
    return tuple(translated)


def mismatches(model: type[Body], type_: GraphQLInputType) -> Iterator[str]:
    """Yield the mismatches between the model of a body and its GraphQL input type."""
    named = get_named_type(type_)
    known = named.fields if isinstance(named, GraphQLInputObjectType) else {}
    fields = graphql_fields(model)
    for name, info in fields:
        if name in known:
            yield from field_mismatches(info, known[name].type)
        else:
            yield f"{named} has no field {name}"
    for name, field_type in known.items():
        if is_required_input_field(field_type) and name not in dict(fields):
            yield f"the body has nothing for {name} of {named}"


def field_mismatches(info: FieldInfo, type_: GraphQLInputType) -> Iterator[str]:
    """Yield the mismatches between a field of a model and its GraphQL input type."""
    inside = _inside(info)
    if isinstance(inside, KeyForms):
        named = get_named_type(type_)
        known = named.fields if isinstance(named, GraphQLInputObjectType) else {}
        keys = dict.fromkeys([*inside.members.values(), inside.text])
        yield from (f"{named} has no field {key}" for key in keys if key not in known)
    elif inside is not None:
        yield from mismatches(inside, type_)


def _client_names(info: FieldInfo) -> list[str]:
    """Return the names of a field in a body, the documented one first."""
    alias = info.validation_alias
    if isinstance(alias, AliasChoices):
        return [choice for choice in alias.choices if isinstance(choice, str)]
    assert isinstance(alias, str)
    return [alias]


def _inside(info: FieldInfo) -> type[Body] | KeyForms | None:
    """Return the model of a field's value or items, or the forms of its reference; else None."""
    for part in (*info.metadata, *_parts(info.annotation)):
        if isinstance(part, KeyForms) or (isinstance(part, type) and issubclass(part, Body)):
            return part
    return None


def _parts(annotation: Any) -> Iterator[Any]:
    """Yield the classes and the metadata of an annotation."""
    if get_origin(annotation) is Annotated:
        yield from annotation.__metadata__
        yield from _parts(annotation.__origin__)
    elif get_origin(annotation) in (Union, types.UnionType, list):
        for argument in get_args(annotation):
            yield from _parts(argument)
    elif get_origin(annotation) is None:
        yield annotation
