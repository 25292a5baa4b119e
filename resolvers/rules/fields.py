"""Define what the models of the input of mutations are made of: their base, and types of fields."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any, get_args

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    GetJsonSchemaHandler,
    model_validator,
)
from pydantic.alias_generators import to_camel, to_snake
from pydantic_core import CoreSchema, core_schema

from resolvers.execution.patterns import MAX_PATTERN
from resolvers.values.ids import MAX_DATABASE_ID, read_id_of
from resolvers.values.text import Name, Text


def _whole(number: float) -> int:
    if not number.is_integer():
        raise ValueError("not a whole number")
    return int(number)


class _DatabaseIdSchema:
    """A database ID, whose errors are all of one type (``resolvers.values.validation``).

    JSON does not tell 1 from 1.0, so both are the same ID.
    """

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> CoreSchema:
        floats = core_schema.float_schema(strict=True, gt=0, le=MAX_DATABASE_ID)
        return core_schema.union_schema(
            [_IDS, core_schema.no_info_after_validator_function(_whole, floats)],
            mode="left_to_right",
            custom_error_type="database_id",
            custom_error_message="Input should be a database ID",
        )

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        return handler(_IDS)


_IDS = core_schema.int_schema(strict=True, gt=0, le=MAX_DATABASE_ID)
DatabaseId = Annotated[int, _DatabaseIdSchema()]


def _between(least: float, most: float, value: float) -> float:
    """Check a number; raise ``ValueError`` with what was expected."""
    if not least <= value <= most:
        raise ValueError(f"expected a number from {least:,g} to {most:,g}, got {value:,g}")
    return value


ProcessSeconds = Annotated[float, AfterValidator(partial(_between, 1, 86_400))]
ActionSeconds = Annotated[float, AfterValidator(partial(_between, 0.1, 3600))]
Retries = Annotated[int, AfterValidator(partial(_between, 0, 5))]
Pattern = Annotated[Name, Field(max_length=MAX_PATTERN)]
DefaultValue = Annotated[Text, Field(max_length=4000)]

MAX_CHOICES = 1000
"""Maximum number of choices of an input."""
MAX_PARTS = 1000
"""Maximum number of actions, and of inputs, of one process."""


@dataclass(frozen=True, slots=True)
class IdOf:
    """Mark a field as a global ID of this type. The model holds the database ID."""

    type_name: str

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> Any:
        return handler(Annotated[str, AfterValidator(self._read)])

    def _read(self, text: str) -> int:
        return read_id_of(text, self.type_name)


EspaceId = Annotated[int, IdOf("Espace")]
ProfileId = Annotated[int, IdOf("Profile")]
SourceId = Annotated[int, IdOf("Source")]
ProcessId = Annotated[int, IdOf("Process")]


class BulkItemModel(BaseModel):
    """Base of all inputs: names in camel case, no unknown fields.

    Items of long lists derive from it directly if all their optional fields default to null:
    removing nulls from each of 10,000 items would cost a third of validating them.
    """

    model_config = ConfigDict(
        alias_generator=to_camel, populate_by_name=True, extra="forbid", frozen=True
    )


class InputModel(BulkItemModel):
    """Base of inputs in which null is the same as leaving a field out."""

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
